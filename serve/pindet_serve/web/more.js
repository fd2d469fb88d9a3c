// A table that shows more on request.

import { ask } from "./api.js";
import { notify, told } from "./dialog.js";
import { h } from "./dom.js";
import { t } from "./i18n.js";

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
