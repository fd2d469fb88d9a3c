// The images that are tried, small, with how much was found in each.

import { fill, h } from "../dom.js";
import { number } from "../format.js";
import { t } from "../i18n.js";

/** @typedef {import("../types.d.ts").Detection} Detection */
/** @typedef {import("../tray.js").Item} Item */

const WIDTH = 96;
const HEIGHT = 72;

export class Thumbs {
  /** @type {Map<Item, HTMLElement>} */ #counts = new Map();

  /**
   * @param {(item: Item) => void} choose
   * @param {(detection: Detection) => boolean} isShown
   */
  constructor(choose, isShown) {
    this.element = h("ul", { class: "thumbs", "aria-label": t("try.images") });
    this.choose = choose;
    this.isShown = isShown;
  }

  /**
   * @param {Item[]} items
   * @param {Item | null} chosen
   */
  draw(items, chosen) {
    const focused = this.element.contains(document.activeElement);
    this.#counts.clear();
    fill(this.element, ...items.map((item) => h("li", {}, this.#thumb(item, item === chosen))));
    this.count();
    const pressed = this.element.querySelector("[aria-pressed=true]");
    if (focused && pressed instanceof HTMLElement) pressed.focus();
  }

  /** Count anew what is shown of each. */
  count() {
    for (const [{ answer, state }, tag] of this.#counts) {
      const found = answer?.detections.filter((one) => this.isShown(one)).length;
      tag.textContent = state === "done" ? number(found) : state === "failed" ? t("try.failed") : "…";
    }
  }

  /**
   * @param {Item} item
   * @param {boolean} pressed
   */
  #thumb(item, pressed) {
    const bad = item.state === "failed" ? "bad" : "";
    const count = h("span", { class: `tag ${bad}` });
    this.#counts.set(item, count);
    const picture = h("canvas", { width: WIDTH, height: HEIGHT, "aria-hidden": "true" });
    if (item.bitmap) cover(picture, item.bitmap);
    const properties = {
      class: `thumb ${bad}`,
      "aria-pressed": String(pressed),
      title: item.name,
      onclick: () => this.choose(item),
    };
    return h("button", properties, picture, h("span", { class: "name" }, item.name), count);
  }
}

/**
 * Fill a canvas with the middle of a picture.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {ImageBitmap} bitmap
 */
function cover(canvas, bitmap) {
  const scale = Math.max(canvas.width / bitmap.width, canvas.height / bitmap.height);
  const [width, height] = [bitmap.width * scale, bitmap.height * scale];
  const [left, top] = [(canvas.width - width) / 2, (canvas.height - height) / 2];
  canvas.getContext("2d")?.drawImage(bitmap, left, top, width, height);
}
