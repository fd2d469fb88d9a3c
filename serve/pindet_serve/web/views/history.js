// History: what was detected, by time, class and model.

import { ask } from "../api.js";
import { loading, notify, told } from "../dialog.js";
import { fill, h, save } from "../dom.js";
import { milliseconds, moment, short } from "../format.js";
import { exportCsv, found } from "../csv.js";
import { t } from "../i18n.js";
import { card, dataTable, numberCell, paged } from "../table.js";
import { Filters, only, range } from "./history-filters.js";
import { summary } from "./history-summary.js";
import { counted } from "./try-objects.js";

const HOUR = 3_600_000;
const STEPS = [60_000, 300_000, 900_000, HOUR, 3 * HOUR, 6 * HOUR, 24 * HOUR, 7 * 24 * HOUR, 30 * 24 * HOUR];
const BARS = 72;
const PAGE = 50;

/** @type {Mount} */
export function mount(root) {
  const view = new HistoryView(root);
  return () => view.close();
}

class HistoryView {
  /** Ends what another choice overtakes. */
  #leave = new AbortController();
  #gone = new AbortController();

  /** @param {HTMLElement} root */
  constructor(root) {
    const again = h("button", { onclick: () => void this.#load() }, t("history.refresh"));
    this.filters = new Filters(() => void this.#load(), [again, this.#exportButton()]);
    this.charts = h("div", { class: "stack wide-gap" });
    this.rows = h("div");
    fill(
      root,
      h("h1", {}, t("view.history")),
      this.filters.element,
      this.charts,
      card(t("history.answers"), this.rows),
    );
    void this.#load();
  }

  close() {
    this.#leave.abort();
    this.#gone.abort();
  }

  async #load() {
    this.#leave.abort();
    this.#leave = new AbortController();
    const { signal } = this.#leave;
    const span = range();
    const step = STEPS.find((ms) => (span.until_ms - span.since_ms) / ms <= BARS) ?? STEPS[STEPS.length - 1];
    await loading(this.charts, async () => {
      const [all, seen] = await this.#statistics({ ...span, step_ms: step }, signal);
      this.filters.offer(all);
      return summary(seen, span, step);
    });
    if (signal.aborted) return;
    await loading(this.rows, async () => this.#table(span, signal));
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
    const filtered = Object.values(only()).some(Boolean);
    return Promise.all([all, filtered ? ask("/v1/statistics", { query: { ...query, ...only() }, signal }) : all]);
  }

  #exportButton() {
    const button = h("button", {}, t("history.export"));
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        const { blob, images, cut } = await exportCsv(
          { ...range(), ...only() },
          (n) => fill(button, t("history.exporting", { n })),
          this.#gone.signal,
        );
        save(blob, `detections-${new Date().toISOString().slice(0, 10)}.csv`);
        notify(t(cut ? "history.export_cut" : "history.exported", { n: images }), cut ? "bad" : "good");
      } catch (error) {
        if (!this.#gone.signal.aborted) notify(told(error), "bad");
      } finally {
        button.disabled = false;
        fill(button, t("history.export"));
      }
    });
    return button;
  }

  /**
   * @param {Span} span
   * @param {AbortSignal} signal
   */
  async #table(span, signal) {
    const query = { ...span, ...only(), limit: PAGE };
    const shown = (/** @type {RecordedImage} */ image) => row(image, found(image, query.label));
    const { body, more } = await paged("/v1/detections", query, (page) => page.images, shown, signal);
    if (!body.hasChildNodes()) return [h("p", { class: "muted" }, t("history.none"))];
    const head = [
      t("common.when"),
      t("history.name"),
      t("history.found"),
      t("history.took"),
      t("common.model"),
      t("common.who"),
      t("common.replica"),
    ];
    return [dataTable(t("history.answers"), head, body, { id: "answers", numbers: [3] }), more];
  }
}

/**
 * @param {RecordedImage} image
 * @param {Detection[]} detections
 */
function row(image, detections) {
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
    h("td", {}, counted(detections) || h("span", { class: "muted" }, t("live.nothing_found"))),
    numberCell(milliseconds(image.elapsed_ms), " ", t("unit.ms")),
    h("td", {}, image.model_version, " ", h("code", {}, short(image.model_md5))),
    h("td", {}, image.actor === "anonymous" ? t("common.anonymous") : image.actor),
    h("td", {}, image.source),
  );
}
