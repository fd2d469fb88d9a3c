// Totals of a time, over time, by class and by model.

import { Chart } from "../chart.js";
import { h } from "../dom.js";
import { day, DAYS, milliseconds, minute, MINUTES, moment, number, percent, short } from "../format.js";
import { t } from "../i18n.js";
import { card, dataTable, figures, numberCell } from "../table.js";

/**
 * @param {Statistics} statistics
 * @param {Span} range
 * @param {number} step ms
 */
export function summary(statistics, range, step) {
  const totals = figures([
    [t("common.images"), number(statistics.images), ""],
    [t("common.objects"), number(statistics.objects), ""],
    [t("history.mean"), milliseconds(statistics.mean_elapsed_ms), statistics.images ? t("unit.ms") : ""],
  ]);
  return [
    h("dl", { class: "figures" }, ...totals),
    overTime(statistics, range, step),
    h("div", { class: "columns" }, classTable(statistics), modelTable(statistics)),
  ];
}

/**
 * @param {Statistics} statistics
 * @param {Span} range
 * @param {number} step ms
 */
function overTime({ series }, { since_ms, until_ms }, step) {
  const hours = (until_ms - since_ms) / 3_600_000;
  const short = (/** @type {number} */ x) => (hours > 24 ? `${day(x)} ${minute(x)}` : minute(x));
  const chart = new Chart({
    title: t("history.over_time"),
    unit: t("unit.images"),
    describeX: moment,
    tickX: hours > 48 ? day : short,
    stepsX: hours > 48 ? DAYS : MINUTES,
    format: (y) => number(y ?? 0),
    bars: true,
    gap: step,
  });
  const points = series.map(({ start_ms, images }) => ({ x: start_ms, y: images }));
  const line = { name: t("common.images"), colour: 0, points };
  chart.update([line], [since_ms - (since_ms % step), Math.ceil(until_ms / step) * step]);
  return chart.element;
}

/** @param {Statistics} statistics */
function classTable({ classes, objects }) {
  const head = [
    t("common.class"),
    t("common.objects"),
    t("history.share"),
    "",
    t("common.images"),
    t("history.mean_score"),
  ];
  const rows = classes.map((one) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, one.label),
      numberCell(number(one.objects)),
      numberCell(percent(objects ? one.objects / objects : 0)),
      h("td", {}, h("meter", { min: 0, max: objects, value: one.objects, "aria-label": one.label })),
      numberCell(number(one.images)),
      numberCell(number(one.mean_score, 2, 2)),
    )
  );
  return section(t("history.by_class"), head, rows, [1, 2, 4, 5]);
}

/** @param {Statistics} statistics */
function modelTable({ models }) {
  const head = [t("common.model"), t("common.images"), t("common.objects"), t("history.mean")];
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
  return card(title, rows.length ? table : none);
}
