// Cards, figures, tables and labelled inputs, as every view has them.

import { ask } from "./api.js";
import { notify, told } from "./dialog.js";
import { fill, h } from "./dom.js";
import { t } from "./i18n.js";

/**
 * A part of a view, under a title.
 *
 * @param {string} title
 * @param {...Child} children
 */
export function card(title, ...children) {
  return h("section", { class: "card" }, h("h2", {}, title), ...children);
}

/** @param {Figure[]} all */
export function figures(all) {
  return all.map(([name, value, unit, warn]) =>
    h(
      "div",
      { class: warn ? "figure warn" : "figure" },
      h("dt", {}, name),
      h("dd", {}, value, " ", h("small", {}, unit)),
    )
  );
}

/**
 * A table that can be scrolled, by keyboard too, where it does not fit.
 *
 * @param {string} label what it holds, for screen readers
 * @param {string[]} head names of the columns
 * @param {HTMLElement} body a `tbody`
 * @param {{ id?: string, numbers?: number[] }} [options] `numbers`: which columns are
 */
export function dataTable(label, head, body, { id, numbers = [] } = {}) {
  const cells = head.map((name, index) =>
    name ? h("th", { scope: "col", class: numbers.includes(index) ? "number" : "" }, name) : h("td")
  );
  const table = h("table", { id }, h("thead", {}, h("tr", {}, ...cells)), body);
  return h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": label }, table);
}

/**
 * The rows of a list that the server gives page by page, and a button for the next page.
 *
 * @template T
 * @param {string} path
 * @param {Record<string, unknown>} query
 * @param {(page: any) => T[]} listed what a page lists
 * @param {(one: T) => HTMLElement} row
 * @param {AbortSignal} [signal]
 */
export async function paged(path, query, listed, row, signal) {
  const first = await ask(path, { query, signal });
  const body = h("tbody", {}, ...listed(first).map(row));
  let before = first.next_before_id;
  const more = h("button", { hidden: before === null }, t("action.more"));
  more.addEventListener("click", async () => {
    more.disabled = true;
    try {
      const next = await ask(path, { query: { ...query, before_id: before }, signal });
      body.append(...listed(next).map(row));
      before = next.next_before_id;
      more.hidden = before === null;
    } catch (error) {
      if (!signal?.aborted) notify(told(error), "bad");
    } finally {
      more.disabled = false;
    }
  });
  return { body, more };
}

/** @param {...Child} children */
export function numberCell(...children) {
  return h("td", { class: "number" }, ...children);
}

/**
 * @param {string} id of the input
 * @param {string} name
 * @param {HTMLElement} input
 * @param {string} [hint]
 */
export function field(id, name, input, hint) {
  if (hint) input.setAttribute("aria-describedby", `${id}-hint`);
  const below = hint && h("small", { id: `${id}-hint` }, hint);
  return h("div", { class: "field" }, h("label", { htmlFor: id }, name), input, below);
}

/**
 * @param {string | undefined} id
 * @param {string[][]} choices value and text
 * @param {string} value the chosen one
 */
export function select(id, choices, value) {
  const element = h("select", { id });
  offer(element, choices, value);
  return element;
}

/**
 * Give a select other choices; where they are the same, it is left alone.
 *
 * @param {HTMLSelectElement} element
 * @param {string[][]} choices value and text
 * @param {string} value the chosen one
 */
export function offer(element, choices, value) {
  const same = choices.length === element.options.length &&
    choices.every(([one, text], index) => element.options[index].value === one && element.options[index].text === text);
  if (!same) fill(element, ...choices.map(([one, text]) => h("option", { value: one }, text)));
  element.value = value;
}
