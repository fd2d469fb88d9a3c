// Tables and labelled inputs, as every view has them.

import { fill, h } from "./dom.js";

/** @typedef {import("./dom.js").Child} Child */

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
