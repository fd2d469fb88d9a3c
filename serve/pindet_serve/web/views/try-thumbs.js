// The images that are tried, small, with how much was found in each.

import { h } from "../dom.js";
import { number } from "../format.js";
import { t } from "../i18n.js";

const WIDTH = 96;
const HEIGHT = 72;

export class Thumbs {
  /** @type {Map<Item, Thumb>} */ #thumbs = new Map();
  /** @type {Item | null} */ #chosen = null;

  /**
   * @param {(item: Item) => void} choose
   * @param {(detection: Detection) => boolean} isShown
   */
  constructor(choose, isShown) {
    this.element = h("ul", { class: "thumbs", "aria-label": t("common.images") });
    this.choose = choose;
    this.isShown = isShown;
  }

  /**
   * Only what has changed is drawn. The focus stays where it is, unless another is chosen or its thumb goes.
   *
   * @param {Item[]} items
   * @param {Item | null} chosen
   */
  draw(items, chosen) {
    const focused = this.element.contains(document.activeElement);
    for (const [item, { element }] of this.#thumbs) {
      if (items.includes(item)) continue;
      element.remove();
      this.#thumbs.delete(item);
    }
    for (const item of items) {
      const thumb = this.#thumbs.get(item) ?? this.#make(item);
      thumb.button.setAttribute("aria-pressed", String(item === chosen));
      if (thumb.version !== item.version) update(thumb, item);
    }
    const moves = chosen !== this.#chosen || !this.element.contains(document.activeElement);
    const thumb = chosen && this.#thumbs.get(chosen);
    if (focused && moves) thumb?.button.focus();
    else if (thumb && chosen !== this.#chosen) this.#bringIn(thumb.element);
    this.#chosen = chosen;
  }

  /** Move the strip, and nothing around it, until a thumb can be seen. @param {HTMLElement} thumb */
  #bringIn(thumb) {
    const [seen, whole] = [this.element, thumb].map((one) => one.getBoundingClientRect());
    if (whole.left < seen.left) this.element.scrollLeft -= seen.left - whole.left;
    else if (whole.right > seen.right) this.element.scrollLeft += whole.right - seen.right;
  }

  /** Count anew what is shown of each. */
  count() {
    for (const [{ answer, state }, { count }] of this.#thumbs) {
      const found = answer?.detections.filter((one) => this.isShown(one)).length;
      const text = state === "done" ? number(found) : state === "failed" ? t("try.failed") : "…";
      if (count.textContent !== text) count.textContent = text;
    }
  }

  /** @param {Item} item */
  #make(item) {
    const picture = h("canvas", { width: WIDTH, height: HEIGHT, "aria-hidden": "true" });
    const count = h("span");
    const name = h("span", { class: "name" }, item.name);
    const button = h("button", { title: item.name, onclick: () => this.choose(item) }, picture, name, count);
    const thumb = { element: h("li", {}, button), button, picture, count, version: -1 };
    this.#thumbs.set(item, thumb);
    this.element.append(thumb.element);
    return thumb;
  }
}

/**
 * @param {Thumb} thumb
 * @param {Item} item
 */
function update(thumb, item) {
  thumb.version = item.version;
  const bad = item.state === "failed" ? "bad" : "";
  thumb.button.className = `thumb ${bad}`;
  thumb.count.className = `tag ${bad}`;
  if (item.preview) cover(thumb.picture, item.preview);
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
