// History: what was detected, by time, class and model.

import { ask } from "../api.js";
import { loading, notify, told } from "../dialog.js";
import { fill, h, save } from "../dom.js";
import { milliseconds, moment, short } from "../format.js";
import { exportCsv } from "../csv.js";
import { t } from "../i18n.js";
import { dataTable, field, numberCell, select } from "../table.js";
import { summary } from "./history-summary.js";
import { counted } from "./try-objects.js";

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
    fill(
      root,
      h("h1", {}, t("view.history")),
      this.filters,
      this.charts,
      h("section", { class: "card" }, h("h2", {}, t("history.answers")), this.rows),
    );
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
      const [all, seen] = await this.#statistics({ ...range, step_ms: step }, signal);
      this.#drawFilters(all);
      return summary(seen, range, step);
    });
    if (signal.aborted) return;
    if (!this.filters.hasChildNodes()) this.#drawFilters(null);
    await loading(this.rows, async () => this.#table(range, signal));
  }

  /**
   * Of the whole time, for the choices; and of what is chosen.
   *
   * @param {Record<string, number>} query
   * @param {AbortSignal} signal
   * @returns {Promise<Statistics[]>}
   */
  #statistics(query, signal) {
    const all = ask("/v1/statistics", { query, signal });
    const only = { label: chosen.label, model_md5: chosen.model };
    const filtered = chosen.label || chosen.model;
    return Promise.all([all, filtered ? ask("/v1/statistics", { query: { ...query, ...only }, signal }) : all]);
  }

  /** @param {Statistics | null} statistics */
  #drawFilters(statistics) {
    const again = () => void this.#load();
    const span = select(
      "history-span",
      [...Object.keys(SPANS), "custom"].map((
        name,
      ) => [name, t(`history.span.${/** @type {typeof chosen.span} */ (name)}`)]),
      chosen.span,
    );
    span.addEventListener("change", () => {
      const range = this.#range();
      if (span.value === "custom") Object.assign(chosen, { since: range.since_ms, until: 0 });
      chosen.span = /** @type {typeof chosen.span} */ (span.value);
      again();
    });
    const label = select("history-class", [
      ["", t("history.any")],
      ...options(statistics?.classes.map((one) => one.label), chosen.label),
    ], chosen.label);
    label.addEventListener("change", () => {
      chosen.label = label.value;
      again();
    });
    const models = statistics?.models.map((one) => [one.model_md5, `${one.model_version} ${short(one.model_md5)}`]) ??
      [];
    if (chosen.model && !models.some(([md5]) => md5 === chosen.model)) models.push([chosen.model, short(chosen.model)]);
    const model = select("history-model", [["", t("history.any")], ...models], chosen.model);
    model.addEventListener("change", () => {
      chosen.model = model.value;
      again();
    });
    fill(
      this.filters,
      field("history-span", t("history.span"), span),
      ...(chosen.span === "custom" ? this.#customs(again) : []),
      field("history-class", t("history.class"), label),
      field("history-model", t("history.model"), model),
      h("div", { class: "buttons push" }, h("button", { onclick: again }, t("history.refresh")), this.#exportButton()),
    );
  }

  /** @param {() => void} again */
  #customs(again) {
    return /** @type {const} */ (["since", "until"]).map((name) => {
      const input = h("input", {
        type: "datetime-local",
        id: `history-${name}`,
        value: chosen[name] ? local(chosen[name]) : "",
      });
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
        const { blob, images, cut } = await exportCsv(
          query,
          (n) => fill(button, t("history.exporting", { n })),
          this.#leave.signal,
        );
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
    const head = [
      t("history.when"),
      t("history.name"),
      t("history.found"),
      t("history.took"),
      t("history.model"),
      t("history.who"),
      t("history.replica"),
    ];
    return [dataTable(t("history.answers"), head, body, { id: "answers", numbers: [3] }), more];
  }
}

/** @param {RecordedImage} image */
function row(image) {
  return h(
    "tr",
    {},
    h(
      "td",
      { class: "nowrap" },
      h("time", { title: `${t("history.request")} ${image.request_id}` }, moment(image.at_ms)),
    ),
    h(
      "td",
      { class: "name" },
      image.image_name ?? h("span", { class: "muted" }, t("history.no_name")),
      " ",
      h("small", { class: "muted" }, `${image.image_width} × ${image.image_height}`),
    ),
    h("td", {}, counted(image.detections) || h("span", { class: "muted" }, t("live.nothing_found"))),
    numberCell(milliseconds(image.elapsed_ms), " ", t("unit.ms")),
    h("td", {}, image.model_version, " ", h("code", {}, short(image.model_md5))),
    h("td", {}, image.actor),
    h("td", {}, image.source),
  );
}

/**
 * @param {string[] | undefined} labels
 * @param {string} always one that is chosen though this time has none of it
 */
function options(labels = [], always) {
  const all = always && !labels.includes(always) ? [...labels, always] : labels;
  return all.map((label) => [label, label]);
}

/** As an input of a local time has it. @param {number} ms */
function local(ms) {
  return new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
