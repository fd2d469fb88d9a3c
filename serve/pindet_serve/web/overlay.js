// The picture and, on a canvas above it, its boxes: moving the threshold draws only the boxes.

import { h } from "./dom.js";
import { t } from "./i18n.js";

/** A class's colour is by its position; white and black letters are readable on each as noted in {@link INK}. */
export const COLOURS = [
  "#e6194b",
  "#3cb44b",
  "#0082c8",
  "#f58231",
  "#911eb4",
  "#008080",
  "#ffe119",
  "#f032e6",
  "#aaffc3",
  "#800000",
];
export const INK = ["#fff", "#000", "#000", "#000", "#fff", "#fff", "#000", "#000", "#000", "#fff"];
const FONT = 'system-ui, "Microsoft YaHei", "PingFang SC", sans-serif';

/** The two canvases. */
export class Overlay {
  /** @type {Detection[]} */ #shown = [];
  /** @type {Detection | null} */ #marked = null;
  /** @type {ImageBitmap | null} */ #bitmap = null;
  #size = { width: 0, height: 0 };
  #scale = 1;
  #texts = new Map();

  constructor() {
    this.picture = h("canvas", { class: "picture", "aria-hidden": "true" });
    this.boxes = h("canvas", { class: "boxes", role: "img", "aria-label": "" });
    this.element = h("div", { class: "overlay" }, this.picture, this.boxes);
    this.boxes.addEventListener("pointermove", (event) => this.mark(this.#at(event.offsetX, event.offsetY)));
    this.boxes.addEventListener("pointerleave", () => this.mark(null));
    this.observer = new ResizeObserver(() => this.#fit());
    this.observer.observe(this.element);
  }

  close() {
    this.observer.disconnect();
  }

  /** @param {string} text for screen readers */
  describe(text) {
    this.boxes.setAttribute("aria-label", text);
  }

  /**
   * Show a picture; boxes are in pixels of `width` × `height`, whatever the bitmap's size.
   *
   * @param {ImageBitmap | null} bitmap
   * @param {number} width
   * @param {number} height
   */
  show(bitmap, width, height) {
    this.#bitmap = bitmap;
    this.#size = { width, height };
    this.element.style.aspectRatio = width ? `${width} / ${height}` : "";
    this.element.style.setProperty("--shape", String(width ? width / height : 1));
    this.#fit();
  }

  /** @param {Detection[]} shown best first */
  draw(shown) {
    this.#shown = shown;
    this.#drawBoxes();
  }

  /** @param {Detection | null} detection to be seen among the others */
  mark(detection) {
    if (detection === this.#marked) return;
    this.#marked = detection;
    this.#drawBoxes();
  }

  #fit() {
    const { clientWidth, clientHeight } = this.element;
    if (!clientWidth || !this.#size.width) return;
    const dots = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(clientWidth * dots), Math.round(clientHeight * dots)];
    for (const canvas of [this.picture, this.boxes]) {
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    }
    this.#scale = width / this.#size.width;
    const context = /** @type {CanvasRenderingContext2D} */ (this.picture.getContext("2d"));
    // What is transparent would show the picture before it.
    context.clearRect(0, 0, width, height);
    if (this.#bitmap) context.drawImage(this.#bitmap, 0, 0, width, height);
    this.#drawBoxes();
  }

  #drawBoxes() {
    const context = /** @type {CanvasRenderingContext2D} */ (this.boxes.getContext("2d"));
    context.clearRect(0, 0, this.boxes.width, this.boxes.height);
    const line = Math.max(1.5, (window.devicePixelRatio || 1) * 1.5);
    const marked = this.#shown.indexOf(/** @type {Detection} */ (this.#marked));
    const lines = this.#shown.map((_, index) => (index === marked ? line * 1.8 : line));
    const labels = labelsOf(context, this.#shown, this.#scale, lines, this.#texts);
    // The best last: they lie on top.
    for (let index = this.#shown.length - 1; index >= 0; index--) {
      context.globalAlpha = marked >= 0 && index !== marked ? 0.25 : 1;
      drawBox(context, this.#shown[index], this.#scale, lines[index], labels[index]);
    }
    context.globalAlpha = 1;
  }

  /**
   * @param {number} x CSS pixels
   * @param {number} y
   */
  #at(x, y) {
    const dots = window.devicePixelRatio || 1;
    const [px, py] = [(x * dots) / this.#scale, (y * dots) / this.#scale];
    const hit = this.#shown.filter(({ box }) => box.x1 <= px && px <= box.x2 && box.y1 <= py && py <= box.y2);
    const area = (/** @type {Detection} */ { box }) => (box.x2 - box.x1) * (box.y2 - box.y1);
    return hit.sort((a, b) => area(a) - area(b))[0] ?? null;
  }
}

/**
 * Where labels go: above their boxes, or where a better one's is there already, inside or below.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Detection[]} shown best first
 * @param {number} scale from image pixels to the canvas's
 * @param {number[]} lines their widths
 * @param {Map<string, number>} texts widths of labels, measured once
 * @returns {Label[]}
 */
function labelsOf(context, shown, scale, lines, texts) {
  /** @type {Label[]} */
  const labels = [];
  for (const [index, { box, label, score }] of shown.entries()) {
    const line = lines[index];
    const letters = Math.round(line * 7.5);
    const text = `${label} ${score.toFixed(2)}`;
    const key = `${letters} ${text}`;
    context.font = `600 ${letters}px ${FONT}`;
    const measured = texts.get(key) ?? context.measureText(text).width;
    texts.set(key, measured);
    const tall = letters * 1.4;
    const wide = measured + letters * 0.6;
    const left = Math.max(0, Math.min(box.x1 * scale - line / 2, context.canvas.width - wide));
    const tops = [box.y1 * scale - tall, box.y1 * scale, box.y2 * scale]
      .filter((top) => top >= 0 && top + tall <= context.canvas.height);
    const free = tops.find((top) =>
      !labels.some((other) =>
        Math.abs(other.top - top) < (other.tall + tall) / 2 && Math.abs(other.left - left) < tall
      )
    );
    const top = free ?? tops[0] ?? Math.max(0, Math.min(box.y1 * scale, context.canvas.height - tall));
    labels.push({ text, letters, left, top, wide, tall });
  }
  return labels;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Detection} detection
 * @param {number} scale from image pixels to the canvas's
 * @param {number} line width
 * @param {Label} label
 */
function drawBox(context, { box, label_id }, scale, line, { text, letters, left, top, wide, tall }) {
  const colour = label_id % COLOURS.length;
  const [x, y] = [box.x1 * scale, box.y1 * scale];
  const [width, height] = [(box.x2 - box.x1) * scale, (box.y2 - box.y1) * scale];
  context.lineWidth = line;
  context.strokeStyle = COLOURS[colour];
  context.strokeRect(x, y, width, height);
  context.font = `600 ${letters}px ${FONT}`;
  context.fillStyle = COLOURS[colour];
  context.fillRect(left, top, wide, tall);
  context.fillStyle = INK[colour];
  context.textBaseline = "middle";
  context.fillText(text, left + letters * 0.3, top + tall / 2);
}

/**
 * The whole image with its boxes, as PNG.
 *
 * @param {Blob} file
 * @param {ImageAnswer} answer
 * @param {Detection[]} shown
 * @returns {Promise<Blob>}
 */
export async function paint(file, answer, shown) {
  const canvas = h("canvas", { width: answer.image_width, height: answer.image_height });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (bitmap) context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap?.close();
  const line = Math.max(1.5, Math.max(canvas.width, canvas.height) / 600);
  const labels = labelsOf(context, shown, 1, shown.map(() => line), new Map());
  for (let index = shown.length - 1; index >= 0; index--) drawBox(context, shown[index], 1, line, labels[index]);
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error(t("try.too_large")))));
  });
}
