// The images that are tried: each is sent by itself, a few at a time, and has its own answer or error.

import { ApiError, send } from "./api.js";
import { t } from "./i18n.js";

/** Objects with a lower score are not asked for; the slider has everything above at hand. */
export const LEAST = 0.02;
const AT_ONCE = 2;
const PATIENCE_MS = 120_000;
const TRIES_WHEN_FULL = 8;
/** What says that the server, or the proxy before it, has enough to do. */
const FULL = [429, 503];
/** Longest side of the picture that is shown, pixels, and of the others' previews. */
const SHOWN = 2560;
const PREVIEW = 256;

export class Tray extends EventTarget {
  /** @type {Item[]} */ items = [];
  /** @type {Map<Item, AbortController>} what is on its way */ #underway = new Map();
  /** @type {Item | null} */ #shown = null;
  /** @type {Set<Item>} whose pictures are being read */ #reading = new Set();

  /** @param {File} file */
  add(file) {
    const item = newItem(file, file.name || "image");
    this.items.push(item);
    this.#read();
    this.#next();
    this.#changed(item);
    return item;
  }

  /** Ask again for an image that failed. @param {Item} item */
  again(item) {
    Object.assign(item, { state: "waiting", error: null });
    this.#changed(item);
    this.#next();
  }

  /** @param {Item} item */
  remove(item) {
    this.#underway.get(item)?.abort();
    this.items = this.items.filter((other) => other !== item);
    forget(item);
    this.#changed(item);
  }

  /** Remove all, and take back what is on its way. */
  clear() {
    for (const one of this.#underway.values()) one.abort();
    for (const item of this.items) forget(item);
    this.items = [];
    this.dispatchEvent(new Event("change"));
  }

  /** Hold the picture of this one at hand; of the others only previews. @param {Item | null} item */
  show(item) {
    if (item === this.#shown) return;
    if (this.#shown?.bitmap) {
      this.#shown.bitmap.close();
      this.#shown.bitmap = undefined;
    }
    this.#shown = item;
    this.#read();
  }

  /** Read the next pictures: the shown one first, and a few at a time, because each is large while it is decoded. */
  #read() {
    while (this.#reading.size < AT_ONCE) {
      const left = this.items.filter((item) => !this.#reading.has(item));
      const whole = left.find((item) => item === this.#shown && item.bitmap === undefined);
      const item = whole ?? (this.items.length > 1 && left.find((one) => one.preview === undefined));
      if (!item) return;
      void this.#readOne(item, whole ? "bitmap" : "preview");
    }
  }

  /**
   * @param {Item} item
   * @param {"bitmap" | "preview"} what
   */
  async #readOne(item, what) {
    this.#reading.add(item);
    const bitmap = await readBitmap(item.file, what === "bitmap" ? SHOWN : PREVIEW);
    this.#reading.delete(item);
    if (!this.items.includes(item) || (what === "bitmap" && item !== this.#shown)) bitmap?.close();
    else {
      item[what] = bitmap;
      this.#changed(item);
    }
    this.#read();
  }

  #next() {
    while (this.#underway.size < AT_ONCE) {
      const item = this.items.find((one) => one.state === "waiting");
      if (!item) return;
      const leave = new AbortController();
      this.#underway.set(item, leave);
      void this.#detect(item, leave.signal).finally(() => {
        this.#underway.delete(item);
        this.#next();
      });
    }
  }

  /**
   * @param {Item} item
   * @param {AbortSignal} signal
   */
  async #detect(item, signal) {
    item.state = "working";
    this.#changed(item);
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
   * @returns {Promise<DetectAnswer>}
   */
  async #ask(item, signal) {
    for (let tries = 1;; tries++) {
      const body = new FormData();
      body.append("images", item.file, item.name);
      try {
        const query = { score_threshold: LEAST, record: false };
        return await (await send("/v1/detect", { method: "POST", query, body, signal, patience: PATIENCE_MS })).json();
      } catch (error) {
        const full = error instanceof ApiError && FULL.includes(error.status) && tries < TRIES_WHEN_FULL;
        if (!full || signal.aborted) throw error;
        const seconds = Math.min(30, error.retryAfter || tries);
        item.note = t("try.full", { n: seconds });
        this.#changed(item);
        await new Promise((resolve) => {
          setTimeout(resolve, 1000 * seconds * (0.8 + Math.random() * 0.4));
          signal.addEventListener("abort", resolve);
        });
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

/** Whether another try may do better: what failed is the server or the way to it, not the image. @param {unknown} error */
export function mayBeRepeated(error) {
  return error instanceof ApiError && (error.status === 0 || error.status >= 500 || [408, 429].includes(error.status));
}

/**
 * @param {Blob} file
 * @param {string} name
 * @returns {Item}
 */
export function newItem(file, name) {
  return { name, file, state: "waiting", note: "", version: 0, answer: null, model: null, error: null };
}

/** @param {Item} item */
function forget(item) {
  item.bitmap?.close();
  item.preview?.close();
  item.bitmap = item.preview = undefined;
}

/**
 * The picture as it is displayed, EXIF applied; null if this browser can not read it.
 *
 * @param {Blob} file
 * @param {number} longest side at most, pixels
 */
async function readBitmap(file, longest) {
  try {
    const whole = await createImageBitmap(file);
    const scale = longest / Math.max(whole.width, whole.height);
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
