// The objects of one image as a list, and the facts of its answer.

import { camera } from "../camera.js";
import { h, say } from "../dom.js";
import { number, percent, short, size } from "../format.js";
import { t } from "../i18n.js";
import { COLOURS } from "../overlay.js";

const LISTED = 200;

/** The table of what is found. Another threshold adds rows to its end or takes them away, and leaves the others. */
export class ObjectTable {
  /** @type {WeakMap<Detection, HTMLTableRowElement>} */ #rows = new WeakMap();

  /** @param {(detection: Detection | null) => void} mark told of the row that is pointed at or focused */
  constructor(mark) {
    this.mark = mark;
    const head = [t("common.class"), t("try.score"), t("try.box")].map((name, index) =>
      h("th", { scope: "col", class: index ? "number" : "" }, name)
    );
    this.body = h("tbody");
    this.rest = h("caption", { class: "muted" });
    this.element = h("table", {}, this.rest, h("thead", {}, h("tr", {}, ...head)), this.body);
  }

  /** @param {Detection[]} shown best first */
  show(shown) {
    const rows = shown.slice(0, LISTED).map((detection) => this.#row(detection));
    let same = 0;
    while (same < rows.length && this.body.children[same] === rows[same]) same += 1;
    while (this.body.children.length > same) this.body.lastElementChild?.remove();
    this.body.append(...rows.slice(same));
    const more = shown.length - rows.length;
    say(this.rest, more ? t("try.listed", { n: rows.length, more }) : "");
  }

  /** @param {Detection} detection */
  #row(detection) {
    let row = this.#rows.get(detection);
    if (!row) {
      row = h("tr", { tabIndex: 0 }, ...cells(detection));
      for (const name of ["pointerenter", "focus"]) row.addEventListener(name, () => this.mark(detection));
      for (const name of ["pointerleave", "blur"]) row.addEventListener(name, () => this.mark(null));
      this.#rows.set(detection, row);
    }
    return row;
  }
}

/** @param {Detection} detection */
function cells({ box, label, label_id, score }) {
  const [x1, y1, x2, y2] = [box.x1, box.y1, box.x2, box.y2].map(Math.round);
  return [
    h("td", {}, h("i", { class: `blob k${label_id % COLOURS.length}` }), " ", label),
    h("td", { class: "number" }, percent(score)),
    h("td", { class: "number muted" }, `${x1}, ${y1} – ${x2}, ${y2}`),
  ];
}

/**
 * Of what an image and its answer are, in one line.
 *
 * @param {Item} item
 */
export function factsOf({ answer, file, model, name }) {
  const { fps, ms, dropped } = camera;
  const facts = camera.running
    ? [t("try.camera_rate", { fps: number(fps), ms: number(ms, 0), dropped })]
    : [name, size(file.size)];
  if (answer) facts.push(`${answer.image_width} × ${answer.image_height}`);
  if (answer?.timing) {
    const { decode_ms, queue_ms, inference_ms, batch } = answer.timing;
    facts.push(t("try.timing", { decode: decode_ms, queue: queue_ms, inference: inference_ms, batch }));
  }
  if (model) facts.push(t("try.answered", { version: model.version, md5: short(model.md5) }));
  return facts.join(" · ");
}

/**
 * How often each class was found: `nut × 2, bolt × 1`.
 *
 * @param {Detection[]} detections
 */
export function counted(detections) {
  const groups = Object.entries(Object.groupBy(detections, ({ label }) => label));
  return groups.map(([label, some]) => `${label} × ${some?.length}`).join(", ");
}
