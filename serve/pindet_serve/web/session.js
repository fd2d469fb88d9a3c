// Who is signed in: keeps the token for this tab, renews it in time, and says when it has ended.

import { ApiError, ask, credentials, send } from "./api.js";

const STORED = "pindet.token";
const ROLES = ["viewer", "operator", "admin"];
const RENEW_AT = 0.7;
const RETRY_MS = 20_000;

/** The session of this tab; dispatches `change` when who is signed in changes, or a sign-in is needed. */
export class Session extends EventTarget {
  /** @type {Me | null} */ me = null;
  /** Whether the server asks for a sign-in that it does not have. */
  needed = false;
  /** The server's clock minus this machine's, in ms, to the second. */
  clockOffset = 0;
  #renewAt = 0;
  #endsAt = 0;
  #renewing = false;

  constructor() {
    super();
    const stored = read();
    if (stored) {
      credentials.token = stored.token;
      this.#endsAt = stored.endsAt;
      this.#renewAt = stored.renewAt;
    }
    credentials.refused = (token) => token === credentials.token && this.#ended();
    // A timer of half an hour would not know of a night's sleep; a short one looks at the clock.
    setInterval(() => this.keepUp(), 5000);
  }

  /**
   * Find out who is asking.
   *
   * @throws {ApiError} the server is not reached
   */
  async start() {
    try {
      const response = await send("/v1/auth/me");
      this.clockOffset = new Date(response.headers.get("Date") ?? Date.now()).getTime() - Date.now();
      this.#is(await response.json());
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 401)) throw error;
      this.#ended();
    }
  }

  /** @param {Role} role */
  may(role) {
    return this.me !== null && ROLES.indexOf(this.me.role) >= ROLES.indexOf(role);
  }

  /**
   * @param {string} name
   * @param {string} password
   * @throws {ApiError} refused, locked out for a while, or not reached
   */
  async signIn(name, password) {
    const body = new URLSearchParams({ username: name, password });
    credentials.token = null;
    this.#take(await ask("/v1/auth/token", { method: "POST", body }));
    this.#is(await ask("/v1/auth/me"));
  }

  /** Forget the token. */
  signOut() {
    this.#ended();
  }

  /** A ticket for one socket; null where sign-in is off. @returns {Promise<string | null>} */
  async ticket() {
    if (this.me?.sign_in === false) return null;
    return (await ask("/v1/auth/ticket", { method: "POST" })).ticket;
  }

  /** Renew the token if it is time to. */
  async keepUp() {
    if (!credentials.token || !this.me?.sign_in) return;
    const now = Date.now();
    if (now >= this.#endsAt) return this.#ended();
    if (now < this.#renewAt || this.#renewing) return;
    this.#renewing = true;
    const before = credentials.token;
    try {
      const answer = await ask("/v1/auth/renew", { method: "POST", quiet: true });
      if (credentials.token === before) this.#take(answer);
    } catch (error) {
      // Refused because the password was given too long ago: the present token is still good until its end.
      this.#renewAt = error instanceof ApiError && error.status === 401 ? this.#endsAt : now + RETRY_MS;
    } finally {
      this.#renewing = false;
    }
  }

  /** @param {Token} answer */
  #take(answer) {
    const now = Date.now();
    credentials.token = answer.access_token;
    this.#endsAt = now + answer.expires_in * 1000;
    this.#renewAt = now + answer.expires_in * 1000 * RENEW_AT;
    const stored = { token: answer.access_token, endsAt: this.#endsAt, renewAt: this.#renewAt };
    sessionStorage.setItem(STORED, JSON.stringify(stored));
  }

  /** @param {Me} me */
  #is(me) {
    this.me = me;
    this.needed = false;
    this.dispatchEvent(new Event("change"));
  }

  #ended() {
    sessionStorage.removeItem(STORED);
    credentials.token = null;
    if (this.needed) return;
    this.needed = true;
    this.dispatchEvent(new Event("change"));
  }
}

/** @returns {{ token: string, endsAt: number, renewAt: number } | null} */
function read() {
  try {
    return JSON.parse(sessionStorage.getItem(STORED) ?? "null");
  } catch {
    return null;
  }
}
