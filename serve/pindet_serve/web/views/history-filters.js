// What of history is shown: time, class and model.

import { h } from "../dom.js";
import { short } from "../format.js";
import { t } from "../i18n.js";
import { field, offer, select } from "../table.js";

const HOUR = 3_600_000;
const SPANS = /** @type {const} */ ({ hour: HOUR, day: 24 * HOUR, week: 7 * 24 * HOUR, month: 30 * 24 * HOUR });
/** Kept while the page is open, whatever view is shown. */
const chosen = { span: /** @type {keyof typeof SPANS | "custom"} */ ("day"), since: 0, until: 0, label: "", model: "" };

/** @returns {Span} the chosen time */
export function range() {
  const until = chosen.span === "custom" && chosen.until ? chosen.until : Date.now();
  const since = chosen.span === "custom" ? chosen.since : until - SPANS[chosen.span];
  return { since_ms: Math.max(0, since), until_ms: Math.max(until, since + 1000) };
}

/** The chosen class and model, as the server is asked for them. */
export function only() {
  return { label: chosen.label, model_md5: chosen.model };
}

/** Built once: what is being typed or chosen in it stays. */
export class Filters {
  /**
   * @param {() => void} changed
   * @param {HTMLElement[]} buttons
   */
  constructor(changed, buttons) {
    this.changed = changed;
    const spans = /** @type {(typeof chosen.span)[]} */ ([...Object.keys(SPANS), "custom"]);
    const span = select("history-span", spans.map((name) => [name, t(`history.span.${name}`)]), chosen.span);
    span.addEventListener("change", () => {
      if (span.value === "custom") Object.assign(chosen, { since: range().since_ms, until: 0 });
      chosen.span = /** @type {typeof chosen.span} */ (span.value);
      this.#showCustoms();
      changed();
    });
    this.customs = [this.#custom("since", t("history.from")), this.#custom("until", t("history.until"))];
    this.label = this.#choice("history-class", "label");
    this.model = this.#choice("history-model", "model");
    this.element = h(
      "div",
      { class: "row top card filters" },
      field(span.id, t("history.span"), span),
      ...this.customs.map(({ element }) => element),
      field(this.label.id, t("common.class"), this.label),
      field(this.model.id, t("common.model"), this.model),
      h("div", { class: "buttons push" }, ...buttons),
    );
    this.#showCustoms();
    this.offer(null);
  }

  /** Let what was found in the whole time be chosen. @param {Statistics | null} statistics */
  offer(statistics) {
    const labels = statistics?.classes.map(({ label }) => [label, label]) ?? [];
    const named = (/** @type {Statistics["models"][number]} */ one) => `${one.model_version} ${short(one.model_md5)}`;
    const models = statistics?.models.map((one) => [one.model_md5, named(one)]) ?? [];
    offer(this.label, choices(labels, chosen.label, chosen.label), chosen.label);
    offer(this.model, choices(models, chosen.model, short(chosen.model)), chosen.model);
  }

  /**
   * @param {string} id
   * @param {"label" | "model"} name
   */
  #choice(id, name) {
    const element = select(id, [], "");
    element.addEventListener("change", () => {
      chosen[name] = element.value;
      this.changed();
    });
    return element;
  }

  /**
   * @param {"since" | "until"} name
   * @param {string} text
   */
  #custom(name, text) {
    const input = h("input", { type: "datetime-local", id: `history-${name}` });
    input.addEventListener("change", () => {
      chosen[name] = input.value ? new Date(input.value).getTime() : 0;
      const wrong = chosen.until > 0 && chosen.until <= chosen.since;
      input.setCustomValidity(wrong ? t("history.order") : "");
      input.title = input.validationMessage;
      if (!wrong) this.changed();
    });
    return { name, input, element: field(input.id, text, input) };
  }

  #showCustoms() {
    for (const { name, input, element } of this.customs) {
      element.hidden = chosen.span !== "custom";
      input.value = chosen[name] ? local(chosen[name]) : "";
    }
  }
}

/**
 * @param {string[][]} found
 * @param {string} value what is chosen, though this time may have none of it
 * @param {string} text
 */
function choices(found, value, text) {
  const missing = value && !found.some(([one]) => one === value);
  return [["", t("common.all")], ...found, ...(missing ? [[value, text]] : [])];
}

/** As an input of a local time has it. @param {number} ms */
function local(ms) {
  return new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
