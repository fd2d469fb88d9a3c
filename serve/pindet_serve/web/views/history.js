// History: what was detected, by time, class and model.

import { ask } from "../api.js";
import { Chart } from "../chart.js";
import { loading, notify, told } from "../dialog.js";
import { fill, h, save } from "../dom.js";
import { day, milliseconds, minute, moment, number, percent, short } from "../format.js";
import { exportCsv } from "../csv.js";
import { t } from "../i18n.js";

/** @typedef {import("../types.d.ts").Cleanup} Cleanup */
/** @typedef {import("../types.d.ts").RecordedImage} RecordedImage */
/** @typedef {import("../types.d.ts").Statistics} Statistics */

const HOUR = 3_600_000;
const SPANS = /** @type {const} */ ({ hour: HOUR, day: 24 * HOUR, week: 7 * 24 * HOUR, month: 30 * 24 * HOUR });
const STEPS = [60_000, 300_000, 900_000, HOUR, 3 * HOUR, 6 * HOUR, 24 * HOUR, 7 * 24 * HOUR, 30 * 24 * HOUR];
const BARS = 72;
const PAGE = 50;
/** Kept while the page is open, whatever view is shown. */
const chosen = { span: /** @type {keyof typeof SPANS | "custom"} */ ("day"), since: 0, until: 0, label: "", model: "" };

/**
 * @param {HTMLElement} root
 * @returns {Cleanup}
 */
export function mount(root) {
  const view = new HistoryView(root);
  return () => view.close();
}

class HistoryView {
  #leave = new AbortController();

  /** @param {HTMLElement} root */
  constructor(root) {
    this.filters = h("div", { class: "row top card filters" });
    this.charts = h("div", { class: "stack wide-gap" });
    this.rows = h("div");
    fill(root, h("h1", {}, t("view.history")), this.filters, this.charts,
      h("section", { class: "card" }, h("h2", {}, t("history.answers")), this.rows));
    void this.#load();
  }

  close() {
    this.#leave.abort();
  }

  /** @returns {{ since_ms: number, until_ms: number }} */
  #range() {
    const until = chosen.span === "custom" && chosen.until ? chosen.until : Date.now();
    const since = chosen.span === "custom" ? chosen.since : until - SPANS[chosen.span];
    return { since_ms: Math.max(0, since), until_ms: Math.max(until, since + 1000) };
  }

  async #load() {
    this.#leave.abort();
    this.#leave = new AbortController();
    const { signal } = this.#leave;
    const range = this.#range();
    const step = STEPS.find((ms) => (range.until_ms - range.since_ms) / ms <= BARS) ?? STEPS[STEPS.length - 1];
    await loading(this.charts, async () => {
      /** @type {Statistics} */
      const statistics = await ask("/v1/statistics", { query: { ...range, step_ms: step }, signal });
      this.#drawFilters(statistics);
      return summary(statistics, range, step);
    });
    if (signal.aborted) return;
    if (!this.filters.hasChildNodes()) this.#drawFilters(null);
    await loading(this.rows, async () => this.#table(range, signal));
  }

  /** @param {Statistics | null} statistics */
  #drawFilters(statistics) {
    const again = () => void this.#load();
    const span = select("history-span", [...Object.keys(SPANS), "custom"].map((name) =>
      [name, t(`history.span.${/** @type {typeof chosen.span} */ (name)}`)]), chosen.span);
    span.addEventListener("change", () => {
      const range = this.#range();
      if (span.value === "custom") Object.assign(chosen, { since: range.since_ms, until: 0 });
      chosen.span = /** @type {typeof chosen.span} */ (span.value);
      again();
    });
    const label = select("history-class", [["", t("history.any")], ...options(statistics?.classes.map((one) => one.label), chosen.label)], chosen.label);
    label.addEventListener("change", () => { chosen.label = label.value; again(); });
    const models = statistics?.models.map((one) => [one.model_md5, `${one.model_version} ${short(one.model_md5)}`]) ?? [];
    if (chosen.model && !models.some(([md5]) => md5 === chosen.model)) models.push([chosen.model, short(chosen.model)]);
    const model = select("history-model", [["", t("history.any")], ...models], chosen.model);
    model.addEventListener("change", () => { chosen.model = model.value; again(); });
    fill(this.filters,
      field("history-span", t("history.span"), span),
      ...(chosen.span === "custom" ? this.#customs(again) : []),
      field("history-class", t("history.class"), label),
      field("history-model", t("history.model"), model),
      h("div", { class: "buttons push" }, h("button", { onclick: again }, t("history.refresh")), this.#exportButton()));
  }

  /** @param {() => void} again */
  #customs(again) {
    return /** @type {const} */ (["since", "until"]).map((name) => {
      const input = h("input", { type: "datetime-local", id: `history-${name}`, value: chosen[name] ? local(chosen[name]) : "" });
      input.addEventListener("change", () => {
        chosen[name] = input.value ? new Date(input.value).getTime() : 0;
        again();
      });
      return field(input.id, t(name === "since" ? "history.from" : "history.until"), input);
    });
  }

  #exportButton() {
    const button = h("button", {}, t("history.export"));
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        const query = { ...this.#range(), label: chosen.label, model_md5: chosen.model };
        const { blob, images, cut } = await exportCsv(query, (n) => fill(button, t("history.exporting", { n })), this.#leave.signal);
        save(blob, `detections-${new Date().toISOString().slice(0, 10)}.csv`);
        notify(t(cut ? "history.export_cut" : "history.exported", { n: images }), cut ? "bad" : "good");
      } catch (error) {
        if (!this.#leave.signal.aborted) notify(told(error), "bad");
      } finally {
        button.disabled = false;
        fill(button, t("history.export"));
      }
    });
    return button;
  }

  /**
   * @param {{ since_ms: number, until_ms: number }} range
   * @param {AbortSignal} signal
   */
  async #table(range, signal) {
    const query = { ...range, limit: PAGE, label: chosen.label, model_md5: chosen.model };
    const first = await ask("/v1/detections", { query, signal });
    if (!first.images.length) return [h("p", { class: "muted" }, t("history.none"))];
    const body = h("tbody", {}, ...first.images.map(row));
    const more = h("button", { hidden: first.next_before_id === null }, t("action.more"));
    let before = first.next_before_id;
    more.addEventListener("click", async () => {
      more.disabled = true;
      try {
        const next = await ask("/v1/detections", { query: { ...query, before_id: before }, signal });
        body.append(...next.images.map(row));
        before = next.next_before_id;
        more.hidden = before === null;
      } catch (error) {
        if (!signal.aborted) notify(told(error), "bad");
      } finally {
        more.disabled = false;
      }
    });
    const head = [t("history.when"), t("history.name"), t("history.found"), t("history.took"), t("history.model"), t("history.who"), t("history.replica")];
    return [h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": t("history.answers") },
      h("table", { id: "answers" }, h("thead", {}, h("tr", {}, ...head.map((name, index) => h("th", { scope: "col", class: index === 3 ? "number" : "" }, name)))), body)), more];
  }
}

/**
 * @param {Statistics} statistics
 * @param {{ since_ms: number, until_ms: number }} range
 * @param {number} step
 */
function summary(statistics, range, step) {
  const tick = step >= 6 * HOUR ? day : (/** @type {number} */ x) => `${range.until_ms - range.since_ms > 24 * HOUR ? `${day(x)} ` : ""}${minute(x)}`;
  const chart = new Chart({ title: t("history.over_time"), unit: t("unit.images"), describeX: moment, tickX: tick, bars: true, gap: step, format: (y) => number(y ?? 0) });
  const points = statistics.series.map(({ start_ms, images }) => ({ x: start_ms, y: images }));
  chart.update([{ name: t("history.images"), colour: 0, points }], [range.since_ms - (range.since_ms % step), Math.ceil(range.until_ms / step) * step]);
  const figures = [
    [t("history.images"), number(statistics.images), ""],
    [t("history.objects"), number(statistics.objects), ""],
    [t("history.mean"), milliseconds(statistics.mean_elapsed_ms), t("unit.ms")],
  ];
  return [
    h("dl", { class: "figures" }, ...figures.map(([name, value, unit]) =>
      h("div", { class: "figure" }, h("dt", {}, name), h("dd", {}, value, " ", h("small", {}, unit))))),
    chart.element,
    h("div", { class: "columns" }, classTable(statistics), modelTable(statistics)),
    chosen.label || chosen.model ? h("p", { class: "muted small" }, t("history.filtered")) : null,
  ];
}

/** @param {Statistics} statistics */
function classTable({ classes, objects }) {
  const rows = classes.map((one) => h("tr", {}, h("th", { scope: "row" }, one.label),
    h("td", { class: "number" }, number(one.objects)), h("td", { class: "number" }, percent(objects ? one.objects / objects : 0)),
    h("td", {}, h("meter", { min: 0, max: classes[0].objects, value: one.objects, "aria-label": one.label })),
    h("td", { class: "number" }, number(one.images)), h("td", { class: "number" }, number(one.mean_score, 2))));
  const head = [t("history.class"), t("history.objects"), t("history.share"), "", t("history.images"), t("history.mean_score")];
  return section(t("history.by_class"), head, rows, [1, 2, 4, 5]);
}

/** @param {Statistics} statistics */
function modelTable({ models }) {
  const rows = models.map((one) => h("tr", {}, h("th", { scope: "row" }, one.model_version, " ", h("code", {}, short(one.model_md5))),
    h("td", { class: "number" }, number(one.images)), h("td", { class: "number" }, number(one.objects)),
    h("td", { class: "number" }, milliseconds(one.mean_elapsed_ms), " ", t("unit.ms"))));
  return section(t("history.by_model"), [t("history.model"), t("history.images"), t("history.objects"), t("history.mean")], rows, [1, 2, 3]);
}

/**
 * @param {string} title
 * @param {string[]} head
 * @param {HTMLElement[]} rows
 * @param {number[]} numbers which columns are
 */
function section(title, head, rows, numbers) {
  const cells = head.map((name, index) => (name ? h("th", { scope: "col", class: numbers.includes(index) ? "number" : "" }, name) : h("td")));
  const table = h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": title },
    h("table", {}, h("thead", {}, h("tr", {}, ...cells)), h("tbody", {}, ...rows)));
  return h("section", { class: "card" }, h("h2", {}, title), rows.length ? table : h("p", { class: "muted" }, t("history.none")));
}

/** @param {RecordedImage} image */
function row(image) {
  const counts = Object.entries(Object.groupBy(image.detections, ({ label }) => label)).map(([label, some]) => `${label} × ${some?.length}`);
  return h("tr", {}, h("td", { class: "nowrap" }, h("time", { title: `${t("history.request")} ${image.request_id}` }, moment(image.at_ms))),
    h("td", { class: "name" }, image.image_name ?? h("span", { class: "muted" }, t("history.no_name")), " ", h("small", { class: "muted" }, `${image.image_width} × ${image.image_height}`)),
    h("td", {}, counts.join(", ") || h("span", { class: "muted" }, t("live.nothing_found"))),
    h("td", { class: "number" }, milliseconds(image.elapsed_ms), " ", t("unit.ms")),
    h("td", {}, image.model_version, " ", h("code", {}, short(image.model_md5))),
    h("td", {}, image.actor), h("td", {}, image.source));
}

/**
 * @param {string[] | undefined} labels
 * @param {string} always one that is chosen though this time has none of it
 */
function options(labels = [], always) {
  const all = always && !labels.includes(always) ? [...labels, always] : labels;
  return all.map((label) => [label, label]);
}

/**
 * @param {string} id
 * @param {string[][]} choices value and text
 * @param {string} value
 */
function select(id, choices, value) {
  return h("select", { id }, ...choices.map(([one, text]) => h("option", { value: one, selected: one === value }, text)));
}

/**
 * @param {string} id
 * @param {string} name
 * @param {HTMLElement} input
 */
function field(id, name, input) {
  return h("div", { class: "field" }, h("label", { htmlFor: id }, name), input);
}

/** As an input of a local time has it. @param {number} ms */
function local(ms) {
  return new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
