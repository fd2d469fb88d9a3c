// The camera through /v1/stream: one frame is on its way at a time, and boxes are shown on the very frame they are of.

import { ApiError } from "./api.js";
import { told } from "./dialog.js";
import { h } from "./dom.js";
import { t } from "./i18n.js";
import { LEAST, newItem } from "./tray.js";

const LONGEST_SIDE = 1280;
const QUALITY = 0.85;
/** How long a frame is waited for that the server could not take, ms. */
const PAUSE_MS = 1000;
/** Longer than the server by default lets an image wait: a connection that takes more is dead, and nothing else says so. */
const ANSWER_MS = 30_000;

/** Dispatches `change` with each answered frame and when it starts or stops. */
class Camera extends EventTarget {
  running = false;
  /** Why it does not run. */
  reason = "";
  fps = 0;
  ms = 0;
  dropped = 0;
  item = newItem(new Blob(), "camera");
  /** @type {WebSocket | null} */ #socket = null;
  /** @type {MediaStream | null} */ #media = null;
  /** @type {ImageBitmap | null} */ #sent = null;
  #sentAt = 0;
  #answeredAt = 0;
  #attempt = 0;
  #patience = 0;
  #video = h("video", { muted: true, playsInline: true });
  #canvas = h("canvas");

  /** @param {App} app */
  async start(app) {
    this.stop();
    if (!navigator.mediaDevices) return this.#fail(t("try.camera_closed"));
    const attempt = this.#attempt;
    try {
      const media = await navigator.mediaDevices.getUserMedia({
        video: { width: { ideal: 1280 }, facingMode: "environment" },
      });
      // While the person was asked, the view was left, or the button pressed again.
      if (attempt !== this.#attempt) return release(media);
      this.#media = media;
      // The video would keep the last frame.
      const ended = () => media === this.#media && this.#fail(t("try.camera_gone"));
      for (const track of media.getTracks()) track.addEventListener("ended", ended);
      this.#video.srcObject = media;
      await this.#video.play();
      const ticket = await app.session.ticket();
      if (attempt !== this.#attempt) return;
      const query = new URLSearchParams({ score_threshold: String(LEAST), ...(ticket && { ticket }) });
      const address = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/stream?${query}`;
      this.#open(new WebSocket(address));
    } catch (error) {
      if (attempt === this.#attempt) this.#fail(t("try.camera_refused", { reason: told(error) }));
    }
  }

  /** Let go of the camera. */
  stop() {
    this.#attempt++;
    clearTimeout(this.#patience);
    this.reason = "";
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    if (this.#media) release(this.#media);
    this.#media = null;
    this.#video.srcObject = null;
    this.#sent?.close();
    this.#sent = null;
    this.running = false;
    this.dispatchEvent(new Event("change"));
  }

  /** @param {string} reason */
  #fail(reason) {
    this.stop();
    this.reason = reason;
    this.dispatchEvent(new Event("change"));
  }

  /** @param {WebSocket} socket */
  #open(socket) {
    this.#socket = socket;
    this.item = newItem(new Blob(), "camera");
    this.running = true;
    Object.assign(this, { fps: 0, ms: 0, dropped: 0 });
    this.#answeredAt = 0;
    this.#wait();
    socket.addEventListener("open", () => this.#send());
    socket.addEventListener("message", ({ data }) => socket === this.#socket && this.#take(JSON.parse(data)));
    socket.addEventListener("close", ({ reason, code }) => {
      if (socket === this.#socket) this.#fail(t("try.camera_lost", { reason: reason || String(code) }));
    });
  }

  /** Give the socket some time from now. */
  #wait() {
    clearTimeout(this.#patience);
    const silent = () => this.#fail(t("try.camera_lost", { reason: t("error.no_answer") }));
    this.#patience = setTimeout(silent, ANSWER_MS);
  }

  async #send() {
    const socket = this.#socket;
    const { videoWidth, videoHeight } = this.#video;
    const scale = Math.min(1, LONGEST_SIDE / Math.max(videoWidth, videoHeight, 1));
    Object.assign(this.#canvas, { width: Math.round(videoWidth * scale), height: Math.round(videoHeight * scale) });
    this.#canvas.getContext("2d")?.drawImage(this.#video, 0, 0, this.#canvas.width, this.#canvas.height);
    const [bitmap, blob] = await Promise.all([createImageBitmap(this.#canvas), jpeg(this.#canvas)]);
    if (socket !== this.#socket || !socket) return bitmap.close();
    if (!blob) {
      bitmap.close();
      return this.#fail(t("try.camera_refused", { reason: "JPEG" }));
    }
    this.#sent = bitmap;
    this.#sentAt = performance.now();
    socket.send(blob);
  }

  /** @param {StreamAnswer} answer */
  #take(answer) {
    const now = performance.now();
    this.#wait();
    this.ms = smooth(this.ms, now - this.#sentAt);
    if (this.#answeredAt) this.fps = smooth(this.fps, 1000 / (now - this.#answeredAt));
    this.#answeredAt = now;
    this.dropped = answer.dropped;
    const { item } = this;
    const before = item.bitmap;
    Object.assign(item, { bitmap: this.#sent, version: item.version + 1, model: answer.model ?? null });
    this.#sent = null;
    before?.close();
    if (answer.error) {
      const { status, title, detail } = answer.error;
      const error = new ApiError(status, title, detail);
      Object.assign(item, { answer: null, error, state: "failed" });
    } else Object.assign(item, { answer, error: null, state: "done" });
    this.dispatchEvent(new Event("change"));
    const attempt = this.#attempt;
    setTimeout(() => attempt === this.#attempt && this.#send(), answer.error ? PAUSE_MS : 0);
  }
}

/** The one camera of the page. */
export const camera = new Camera();

/** @param {MediaStream} media */
function release(media) {
  for (const track of media.getTracks()) track.stop();
}

/**
 * @param {HTMLCanvasElement} canvas
 * @returns {Promise<Blob | null>}
 */
function jpeg(canvas) {
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
}

/**
 * @param {number} before
 * @param {number} now
 */
function smooth(before, now) {
  return before ? before * 0.8 + now * 0.2 : now;
}
