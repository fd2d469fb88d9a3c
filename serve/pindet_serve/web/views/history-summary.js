// Totals of a time, over time, by class and by model.

import { Chart } from "../chart.js";
import { h } from "../dom.js";
import { day, milliseconds, minute, moment, number, percent, short } from "../format.js";
import { t } from "../i18n.js";
import { dataTable, numberCell } from "../table.js";

/** @typedef {import("../types.d.ts").Statistics} Statistics */
/** @typedef {{ since_ms: number, until_ms: number }} Range */

const HOUR = 3_600_000;

/**
 * @param {Statistics} statistics
 * @param {Range} range
 * @param {number} step ms
 */
export function summary(statistics, range, step) {
  const figures = [
    [t("history.images"), number(statistics.images), ""],
    [t("history.objects"), number(statistics.objects), ""],
    [t("history.mean"), milliseconds(statistics.mean_elapsed_ms), t("unit.ms")],
  ];
  const cells = figures.map(([name, value, unit]) =>
    h("div", { class: "figure" }, h("dt", {}, name), h("dd", {}, value, " ", h("small", {}, unit)))
  );
  return [
    h("dl", { class: "figures" }, ...cells),
    overTime(statistics, range, step),
    h("div", { class: "columns" }, classTable(statistics), modelTable(statistics)),
  ];
}

/**
 * @param {Statistics} statistics
 * @param {Range} range
 * @param {number} step ms
 */
function overTime({ series }, { since_ms, until_ms }, step) {
  const isLong = until_ms - since_ms > 24 * HOUR;
  const short = (/** @type {number} */ x) => (isLong ? `${day(x)} ${minute(x)}` : minute(x));
  const chart = new Chart({
    title: t("history.over_time"),
    unit: t("unit.images"),
    describeX: moment,
    tickX: step >= 6 * HOUR ? day : short,
    format: (y) => number(y ?? 0),
    bars: true,
    gap: step,
  });
  const points = series.map(({ start_ms, images }) => ({ x: start_ms, y: images }));
  const line = { name: t("history.images"), colour: 0, points };
  chart.update([line], [since_ms - (since_ms % step), Math.ceil(until_ms / step) * step]);
  return chart.element;
}

/** @param {Statistics} statistics */
function classTable({ classes, objects }) {
  const head = [
    t("history.class"),
    t("history.objects"),
    t("history.share"),
    "",
    t("history.images"),
    t("history.mean_score"),
  ];
  const rows = classes.map((one) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, one.label),
      numberCell(number(one.objects)),
      numberCell(percent(objects ? one.objects / objects : 0)),
      h("td", {}, h("meter", { min: 0, max: classes[0].objects, value: one.objects, "aria-label": one.label })),
      numberCell(number(one.images)),
      numberCell(number(one.mean_score, 2)),
    )
  );
  return section(t("history.by_class"), head, rows, [1, 2, 4, 5]);
}

/** @param {Statistics} statistics */
function modelTable({ models }) {
  const head = [t("history.model"), t("history.images"), t("history.objects"), t("history.mean")];
  const rows = models.map((one) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, one.model_version, " ", h("code", {}, short(one.model_md5))),
      numberCell(number(one.images)),
      numberCell(number(one.objects)),
      numberCell(milliseconds(one.mean_elapsed_ms), " ", t("unit.ms")),
    )
  );
  return section(t("history.by_model"), head, rows, [1, 2, 3]);
}

/**
 * @param {string} title
 * @param {string[]} head
 * @param {HTMLElement[]} rows
 * @param {number[]} numbers which columns are
 */
function section(title, head, rows, numbers) {
  const none = h("p", { class: "muted" }, t("history.none"));
  const table = dataTable(title, head, h("tbody", {}, ...rows), { numbers });
  return h("section", { class: "card" }, h("h2", {}, title), rows.length ? table : none);
}
