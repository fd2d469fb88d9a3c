// The images that are tried: each is sent by itself, a few at a time, and has its own answer or error.

import { ApiError, send } from "./api.js";
import { t } from "./i18n.js";

/** @typedef {import("./types.d.ts").ImageAnswer} ImageAnswer */
/** @typedef {import("./types.d.ts").ModelName} ModelName */
/** @typedef {{ name: string, file: Blob, state: "waiting" | "working" | "done" | "failed", note: string,
 *   version: number, bitmap: ImageBitmap | null, answer: ImageAnswer | null, model: ModelName | null,
 *   error: unknown }} Item
 *   `version` counts its changes */

/** Objects with a lower score are not asked for; the slider has everything above at hand. */
export const LEAST = 0.02;
const AT_ONCE = 2;
const PATIENCE_MS = 120_000;
const TRIES_WHEN_FULL = 8;
/** Longest side of the picture that is kept for showing, pixels. */
const SHOWN = 2560;

export class Tray extends EventTarget {
  /** @type {Item[]} */ items = [];
  #working = 0;
  #leave = new AbortController();

  /** @param {File} file */
  add(file) {
    const item = newItem(file, file.name || "image");
    this.items.push(item);
    void this.#show(item);
    this.#next();
    this.#changed(item);
    return item;
  }

  /** @param {Item} item */
  remove(item) {
    this.items = this.items.filter((other) => other !== item);
    item.bitmap?.close();
    this.#changed(item);
  }

  /** Remove all, and take back what is on its way. */
  clear() {
    this.#leave.abort();
    this.#leave = new AbortController();
    for (const item of this.items) item.bitmap?.close();
    this.items = [];
    this.dispatchEvent(new Event("change"));
  }

  /** @param {Item} item */
  async #show(item) {
    const bitmap = await readBitmap(item.file);
    if (!this.items.includes(item)) return bitmap?.close();
    item.bitmap = bitmap;
    this.#changed(item);
  }

  #next() {
    while (this.#working < AT_ONCE) {
      const item = this.items.find((one) => one.state === "waiting");
      if (!item) return;
      this.#working++;
      void this.#detect(item).finally(() => {
        this.#working--;
        this.#next();
      });
    }
  }

  /** @param {Item} item */
  async #detect(item) {
    item.state = "working";
    this.#changed(item);
    const { signal } = this.#leave;
    try {
      const answer = await this.#ask(item, signal);
      const [image] = answer.images;
      if (image.error) throw new ApiError(image.error.status, image.error.title, image.error.detail);
      Object.assign(item, { state: "done", answer: image, model: answer.model });
    } catch (error) {
      if (signal.aborted) return;
      Object.assign(item, { state: "failed", error });
    }
    this.#changed(item);
  }

  /**
   * @param {Item} item
   * @param {AbortSignal} signal
   * @returns {Promise<import("./types.d.ts").DetectAnswer>}
   */
  async #ask(item, signal) {
    for (let tries = 1;; tries++) {
      const body = new FormData();
      body.append("images", item.file, item.name);
      try {
        const query = { score_threshold: LEAST, record: false };
        return await (await send("/v1/detect", { method: "POST", query, body, signal, patience: PATIENCE_MS })).json();
      } catch (error) {
        const full = error instanceof ApiError && error.status === 503 && tries < TRIES_WHEN_FULL;
        if (!full || signal.aborted) throw error;
        const seconds = Math.min(30, error.retryAfter || tries);
        item.note = t("try.full", { n: seconds });
        this.#changed(item);
        await new Promise((resolve) => setTimeout(resolve, 1000 * seconds * (0.8 + Math.random() * 0.4)));
        item.note = "";
      }
    }
  }

  /** @param {Item} item */
  #changed(item) {
    item.version++;
    this.dispatchEvent(new Event("change"));
  }
}

/**
 * @param {Blob} file
 * @param {string} name
 * @returns {Item}
 */
export function newItem(file, name) {
  return { name, file, state: "waiting", note: "", version: 0, bitmap: null, answer: null, model: null, error: null };
}

/**
 * The picture as it is displayed, EXIF applied, no larger than a screen needs; null if this browser can not read it.
 *
 * @param {Blob} file
 */
async function readBitmap(file) {
  try {
    const whole = await createImageBitmap(file);
    const scale = SHOWN / Math.max(whole.width, whole.height);
    if (scale >= 1) return whole;
    const options = /** @type {const} */ ({
      resizeWidth: Math.round(whole.width * scale),
      resizeHeight: Math.round(whole.height * scale),
      resizeQuality: "high",
    });
    const small = await createImageBitmap(whole, options);
    whole.close();
    return small;
  } catch {
    return null;
  }
}
