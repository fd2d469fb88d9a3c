// Charts: lines or bars over an axis, with ticks, units, a legend and the values under the pointer or the arrow keys.

import { fill, h, s } from "./dom.js";
import { number } from "./format.js";
import { t } from "./i18n.js";

const HEIGHT = 168;
const LEFT = 46;
const RIGHT = 10;
const TOP = 8;
const BOTTOM = 22;
/** Closer to an end of the axis, a tick's text would stick out. */
const EDGE = 16;
export const COLOURS = 6;

export class Chart {
  /** @type {Line[]} */ #lines = [];
  /** @type {[number, number]} */ #range = [0, 1];
  /** @type {number | null} */ #cursor = null;
  #width = 0;

  /** @param {ChartOptions} options */
  constructor(options) {
    this.options = options;
    this.format = options.format ?? ((y) => number(y));
    this.svg = s("svg", { class: "plot", role: "img", tabindex: 0, height: HEIGHT });
    this.tip = h("div", { class: "tip", hidden: true });
    this.legend = h("div", { class: "legend" });
    const heading = h(
      "div",
      { class: "chart-head" },
      h(options.heading ?? "h2", {}, options.title),
      h("span", { class: "unit" }, options.unit),
    );
    this.element = h(
      "figure",
      { class: "chart" },
      heading,
      h("div", { class: "plot-area" }, this.svg, this.tip),
      this.legend,
    );
    this.svg.addEventListener("pointermove", (event) => this.#point(event.offsetX));
    this.svg.addEventListener("pointerleave", () => this.#show(null));
    this.svg.addEventListener("blur", () => this.#show(null));
    this.svg.addEventListener("keydown", (event) => this.#step(event));
    new ResizeObserver(([entry]) => {
      if (Math.abs(entry.contentRect.width - this.#width) < 1) return;
      this.#width = entry.contentRect.width;
      this.#draw();
    }).observe(/** @type {Element} */ (this.svg.parentElement));
  }

  /**
   * @param {Line[]} lines
   * @param {[number, number]} range of x
   */
  update(lines, range) {
    this.#lines = lines;
    this.#range = range;
    this.#draw();
  }

  #draw() {
    if (this.#width === 0) return;
    const ys = this.#lines.flatMap((line) => line.points.map(({ y }) => y).filter((y) => y !== null));
    const ticks = niceTicks(Math.min(this.options.least ?? 0, ...ys), Math.max(this.options.most ?? 0, ...ys));
    const [low, high] = [ticks[0], ticks[ticks.length - 1]];
    const x = this.#x();
    const y = (/** @type {number} */ value) => TOP + ((high - value) / (high - low)) * (HEIGHT - TOP - BOTTOM);
    this.svg.setAttribute("viewBox", `0 0 ${this.#width} ${HEIGHT}`);
    this.svg.setAttribute("aria-label", this.#summary());
    const grid = ticks.flatMap((tick) => [
      s("line", { class: "grid", x1: LEFT, x2: this.#width - RIGHT, y1: y(tick), y2: y(tick) }),
      s("text", { class: "tick", x: LEFT - 8, y: y(tick) + 4, "text-anchor": "end" }, number(tick, 3)),
    ]);
    const marks = this.options.bars ? this.#bars(x, y) : this.#lines.map((line) => path(line, x, y, this.options.gap));
    const cut = s("g", {}, ...marks);
    this.rule = s("line", { class: "rule", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
    fill(this.svg, ...grid, ...this.#ticksX(x), cut, this.rule);
    const named = this.#lines.length > 1 || this.#lines[0]?.dashed;
    fill(this.legend, ...(named ? this.#lines.map((line) => key(line)) : []));
    this.#show(this.#cursor);
  }

  #x() {
    const [first, last] = this.#range;
    return (/** @type {number} */ value) =>
      LEFT + ((value - first) / (last - first || 1)) * (this.#width - LEFT - RIGHT);
  }

  /** @param {(x: number) => number} x */
  #ticksX(x) {
    const [first, last] = this.#range;
    const most = Math.max(1, Math.min(6, Math.floor(this.#width / 110)));
    return multiples(first, last, this.options.stepsX, most).map((value) => {
      const place = x(value);
      const anchor = place < LEFT + EDGE ? "start" : place > this.#width - RIGHT - EDGE ? "end" : "middle";
      return s("text", { class: "tick x", x: place, y: HEIGHT - 5, "text-anchor": anchor }, this.options.tickX(value));
    });
  }

  /**
   * @param {(x: number) => number} x
   * @param {(y: number) => number} y
   */
  #bars(x, y) {
    const [first, last] = this.#range;
    return this.#lines.flatMap(({ points, colour }) => {
      const step = this.options.gap ?? (last - first) / Math.max(1, points.length);
      const width = Math.max(1, x(first + step) - x(first) - 1);
      return points.map((point) =>
        s("rect", {
          class: `bar c${colour}`,
          x: x(point.x),
          width,
          y: y(point.y ?? 0),
          height: Math.max(0, y(0) - y(point.y ?? 0)),
        })
      );
    });
  }

  #summary() {
    const said = this.#lines.map(({ name, points }) => {
      const ys = points.map(({ y }) => y).filter((y) => y !== null);
      if (!ys.length) return `${name}: ${t("chart.nothing")}`;
      const values = {
        last: this.format(ys[ys.length - 1]),
        low: this.format(Math.min(...ys)),
        high: this.format(Math.max(...ys)),
      };
      return `${name}: ${t("chart.summary", values)}`;
    });
    return `${this.options.title}, ${this.options.unit}. ${said.join("; ") || t("chart.nothing")}`;
  }

  /** @param {KeyboardEvent} event */
  #step(event) {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") this.#show(null);
    if (!move) return;
    event.preventDefault();
    const [first, last] = this.#range;
    const from = this.#cursor ?? last;
    this.#show(Math.max(first, Math.min(last, from + (move * (last - first)) / 60)));
  }

  /** @param {number} offset pixels */
  #point(offset) {
    const [first, last] = this.#range;
    const share = (offset - LEFT) / (this.#width - LEFT - RIGHT);
    this.#show(share < 0 || share > 1 ? null : first + share * (last - first));
  }

  /** @param {number | null} cursor a value of x */
  #show(cursor) {
    this.#cursor = cursor;
    const near = cursor === null ? [] : this.#lines.map((line) => nearest(line.points, cursor, this.options));
    const found = near.find((point) => point !== undefined);
    this.tip.hidden = found === undefined;
    this.rule?.setAttribute("visibility", found ? "visible" : "hidden");
    if (found === undefined) return;
    const place = this.#x()(found.x + (this.options.bars ? (this.options.gap ?? 0) / 2 : 0));
    this.rule?.setAttribute("x1", String(place));
    this.rule?.setAttribute("x2", String(place));
    const rows = this.#lines.map((line, index) =>
      h("div", {}, key(line), h("b", {}, this.format(near[index]?.y ?? null)))
    );
    fill(this.tip, h("div", { class: "tip-x" }, this.options.describeX(found.x)), ...rows);
    this.tip.style.left = `${Math.max(0, Math.min(place + 12, this.#width - this.tip.offsetWidth - 4))}px`;
  }
}

/** @param {Line} line */
function key(line) {
  return h(
    "span",
    { class: "key" },
    h("i", { class: `swatch c${line.colour}${line.dashed ? " dashed" : ""}` }),
    line.name,
  );
}

/**
 * @param {Line} line
 * @param {(x: number) => number} x
 * @param {(y: number) => number} y
 * @param {number} [gap]
 */
function path({ points, colour, dashed }, x, y, gap = Infinity) {
  let drawn = "";
  let last = -Infinity;
  for (const point of points) {
    if (point.y === null) continue;
    drawn += `${point.x - last > gap ? "M" : "L"}${x(point.x).toFixed(1)} ${y(point.y).toFixed(1)}`;
    last = point.x;
  }
  // A line needs a beginning, and a lone point a dot of the line's cap.
  return s("path", {
    class: `line c${colour}${dashed ? " dashed" : ""}`,
    d: drawn && `M${drawn.slice(1)}`.replace(/^(M[^ML]+)$/, "$1h0"),
  });
}

/**
 * @param {Point[]} points
 * @param {number} cursor
 * @param {ChartOptions} options
 */
function nearest(points, cursor, { gap = Infinity, bars }) {
  if (bars) return points.findLast((point) => point.x <= cursor && cursor < point.x + gap);
  let best;
  for (const point of points) {
    if (point.y !== null && (!best || Math.abs(point.x - cursor) < Math.abs(best.x - cursor))) best = point;
  }
  return best && Math.abs(best.x - cursor) <= gap ? best : undefined;
}

/**
 * Round values around a range, 3 to 6 of them.
 *
 * @param {number} low
 * @param {number} high
 */
export function niceTicks(low, high) {
  if (!(high > low)) high = low + 1;
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough) ?? rough;
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

/**
 * Multiples in a range of the first of some steps of which not too many fit in.
 *
 * @param {number} low
 * @param {number} high
 * @param {number[]} steps rising
 * @param {number} most
 */
export function multiples(low, high, steps, most) {
  const step = steps.find((one) => (high - low) / one <= most) ?? high - low;
  const values = [];
  for (let n = Math.ceil(low / step); n * step <= high; n++) values.push(n * step);
  return values;
}
