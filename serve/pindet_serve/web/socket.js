// The status feed: connects, resumes after what was read last, and always knows whether what it gave is still true.

import { ApiError } from "./api.js";

const EXPIRED = 4401;
const FORBIDDEN = 4403;
/** The server pings every 15 s: when nothing came for longer, it or the way to it is gone. */
export const SILENCE_MS = 20_000;
/** After a sleep or a change of network, silence for that long is enough. */
const DOUBT_MS = 15_000;
const OPEN_MS = 10_000;
const FIRST_MS = 1000;
const LONGEST_MS = 30_000;
/** How far back a fresh page asks, seconds; the next where the server does not hold that much any more. */
const BACKFILL = [900, 300, 90, 30];

/**
 * Follows `/ws/status`; dispatches `state` when {@link StatusSocket.state} changes, and calls `take` with each event
 * once, in order. Events that may be missing are announced by a snapshot with `reset`.
 */
export class StatusSocket extends EventTarget {
  /** @type {Connection} */ state = "stopped";
  /** When something was heard last, ms since 1970. */
  heardAt = 0;
  /** When it tries again, ms since 1970, while `waiting`. */
  retryAt = 0;
  /** Why the connection was lost, in the server's words. */
  reason = "";
  /** @type {WebSocket | null} */ #socket = null;
  /** @type {string | null} */ #lastId = null;
  /** @type {number[]} */ #backfill = [...BACKFILL];
  #tries = 0;
  #attempt = 0;
  #openedAt = 0;
  #retry = 0;

  /**
   * @param {(event: StatusEvent) => void} take
   * @param {() => Promise<string | null>} ticket for one connection; null where none is needed
   * @param {() => number} serverNow the server's clock, ms since 1970
   */
  constructor(take, ticket, serverNow) {
    super();
    this.take = take;
    this.ticket = ticket;
    this.serverNow = serverNow;
    setInterval(() => this.#watch(), 1000);
    addEventListener("online", () => this.#wake());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.#wake());
  }

  /** Connect, from wherever it stands; what was read before is resumed from. */
  start() {
    if (this.state === "live" || this.state === "connecting") return;
    this.#tries = 0;
    void this.#connect();
  }

  /** @param {Connection} [state] what to be instead */
  stop(state = "stopped") {
    this.#drop();
    this.#become(state);
  }

  /** Do not wait any longer. */
  retryNow() {
    if (this.state === "waiting") void this.#connect();
  }

  async #connect() {
    this.#drop();
    const attempt = ++this.#attempt;
    this.#openedAt = Date.now();
    this.#become("connecting");
    let ticket;
    try {
      ticket = await this.ticket();
    } catch (error) {
      if (attempt !== this.#attempt) return;
      if (error instanceof ApiError && error.status === 401) return this.stop("signed_out");
      if (error instanceof ApiError && error.status === 403) return this.stop("forbidden");
      return this.#wait(error instanceof ApiError && error.status ? error.message : "");
    }
    if (attempt !== this.#attempt) return;
    this.#openedAt = Date.now();
    const socket = new WebSocket(this.#address(ticket));
    this.#socket = socket;
    socket.addEventListener("message", (message) => socket === this.#socket && this.#hear(message.data));
    socket.addEventListener("close", (close) => socket === this.#socket && this.#closed(close));
  }

  /** @param {string | null} ticket */
  #address(ticket) {
    const since = this.#backfill[0];
    const lastId = this.#lastId ?? (since === undefined ? null : `${Math.round(this.serverNow()) - since * 1000}-0`);
    const query = new URLSearchParams();
    if (lastId) query.set("last_id", lastId);
    if (ticket) query.set("ticket", ticket);
    return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/status?${query}`;
  }

  /** @param {string} text */
  #hear(text) {
    /** @type {StatusEvent} */
    const event = JSON.parse(text);
    if (event.type === "snapshot") {
      const guessed = this.#lastId === null && this.#backfill.length > 0;
      if (guessed && event.data.reset) {
        this.#backfill.shift();
        void this.#connect();
        return;
      }
      this.heardAt = Date.now();
      if (guessed) event.data.reset = false;
      // Where the server stands may be before what was read: after it lost its memory, ids start anew.
      this.#lastId = event.id;
      this.#tries = 0;
      this.reason = "";
      this.take(event);
      this.#become("live");
      return;
    }
    this.heardAt = Date.now();
    if (this.#lastId && !follows(event.id, this.#lastId)) return;
    this.#lastId = event.id;
    if (event.type !== "ping") this.take(event);
  }

  /** @param {CloseEvent} close */
  #closed(close) {
    const wasLive = this.state === "live";
    this.#socket = null;
    if (close.code === FORBIDDEN) return this.stop("forbidden");
    // The token may have been renewed meanwhile: a new ticket tells. Were it refused again and again, it would wait.
    if (close.code === EXPIRED && wasLive) return void this.#connect();
    this.#wait(close.reason);
  }

  /** @param {string} reason */
  #wait(reason) {
    const longest = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(this.#tries++, 10));
    const delay = longest * (0.5 + Math.random() / 2);
    this.#drop();
    this.reason = reason;
    this.retryAt = Date.now() + delay;
    this.#retry = setTimeout(() => this.retryNow(), delay);
    this.#become("waiting");
  }

  /** After sleep or a change of network, waiting makes no sense. */
  #wake() {
    this.#doubt(DOUBT_MS);
    this.retryNow();
  }

  /** Connect anew when nothing was heard for longer. @param {number} silence ms */
  #doubt(silence) {
    if (this.state !== "live" || Date.now() - this.heardAt <= silence) return;
    this.#tries = 0;
    void this.#connect();
  }

  #watch() {
    const now = Date.now();
    this.#doubt(SILENCE_MS);
    if (this.state === "connecting" && now - this.#openedAt > OPEN_MS) {
      this.#wait("");
    } else if (this.state === "waiting" && now > this.retryAt) {
      this.retryNow();
    }
  }

  #drop() {
    clearTimeout(this.#retry);
    this.#attempt++;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  /** @param {Connection} state */
  #become(state) {
    if (this.state === state && state !== "waiting") return;
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}

/**
 * Whether an event's id lies after another's: `ms-n`, or `ms-n-m` for what one replica says to its own clients.
 *
 * @param {string} id
 * @param {string} other
 */
export function follows(id, other) {
  const [a, b] = [id, other].map((text) => text.split("-").map(Number));
  for (let place = 0; place < 3; place++) {
    const difference = (a[place] ?? 0) - (b[place] ?? 0);
    if (difference) return difference > 0;
  }
  return false;
}
