// Questions and short notices.

import { ApiError } from "./api.js";
import { fill, h, say } from "./dom.js";
import { problem, t } from "./i18n.js";

/**
 * Show a dialog until it is closed.
 *
 * @param {string} title
 * @param {Child[]} content
 * @param {Act} act
 * @returns {Promise<boolean>} whether it was carried out; of what is begun, when it has ended
 */
export function confirm(title, content, act) {
  return new Promise((resolve) => {
    /** @type {Promise<boolean> | boolean} */ let done = false;
    const problem = h("p", { class: "problem", role: "alert", hidden: true });
    const go = h("button", { class: act.danger ? "danger" : "primary", type: "submit" }, act.action);
    const status = h("p", { class: "muted", role: "status" });
    const cancel = h("button", { type: "button", onclick: () => dialog.close() }, t("action.cancel"));
    const form = h(
      "form",
      { method: "dialog", class: "stack" },
      h("h2", { id: "dialog-title" }, title),
      ...content,
      status,
      problem,
      h("div", { class: "buttons end" }, cancel, go),
    );
    const dialog = h("dialog", { class: "card", "aria-labelledby": "dialog-title" }, form);
    const carryOut = async () => {
      go.disabled = true;
      say(problem, "");
      cancel.textContent = t("action.close");
      try {
        await act.run((text) => {
          if (status.textContent !== text) status.textContent = text;
        });
        dialog.close();
        return true;
      } catch (error) {
        status.textContent = "";
        say(problem, told(error));
        cancel.textContent = t("action.cancel");
        if (!dialog.open) notify(told(error), "bad");
        return false;
      } finally {
        go.disabled = false;
      }
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      done = carryOut();
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(done);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/**
 * Say something that needs no answer.
 *
 * @param {string} text
 * @param {"good" | "bad"} [kind]
 */
export function notify(text, kind = "good") {
  const place = /** @type {HTMLElement} */ (document.getElementById("notices"));
  const notice = h("div", { class: `notice ${kind}` }, text);
  place.append(notice);
  setTimeout(() => notice.remove(), kind === "bad" ? 12_000 : 5000);
}

/**
 * What went wrong, for a person.
 *
 * @param {unknown} error
 */
export function told(error) {
  if (error instanceof ApiError) return error.title && error.status ? problem(error.title, error.detail) : error.detail;
  return error instanceof Error ? error.message : String(error);
}

/** What fills an element, as far as it was asked for last. @type {WeakMap<HTMLElement, object>} */
const latest = new WeakMap();

/**
 * Fill an element with what is fetched; a failure with a button to try again. An answer that is overtaken by the next
 * load of the element is dropped.
 *
 * @param {HTMLElement} element
 * @param {() => Promise<Child[]>} load
 */
export async function loading(element, load) {
  const own = {};
  latest.set(element, own);
  element.setAttribute("aria-busy", "true");
  if (!element.hasChildNodes()) fill(element, h("p", { class: "muted" }, t("state.loading")));
  try {
    const content = await load();
    if (latest.get(element) !== own) return;
    const before = element.contains(document.activeElement) ? document.activeElement : null;
    fill(element, ...content);
    if (before?.id) focusAgain(before);
  } catch (error) {
    if (latest.get(element) !== own || (error instanceof DOMException && error.name === "AbortError")) return;
    const again = h("button", { onclick: () => loading(element, load) }, t("action.again"));
    fill(element, h("div", { class: "problem", role: "alert" }, h("p", {}, told(error)), again));
  } finally {
    if (latest.get(element) === own) element.removeAttribute("aria-busy");
  }
}

/**
 * Focus what has taken the place of an element, with the caret where it was.
 *
 * @param {Element} before
 */
function focusAgain(before) {
  const now = document.getElementById(before.id);
  now?.focus({ preventScroll: true });
  if (now instanceof HTMLInputElement && before instanceof HTMLInputElement && now.type === "text") {
    now.setSelectionRange(before.selectionStart, before.selectionEnd);
  }
}

/**
 * A button that copies a text.
 *
 * @param {string} text
 * @param {string} [what] named to screen readers
 */
export function copyButton(text, what = text) {
  const button = h(
    "button",
    { class: "small", type: "button", "aria-label": t("action.copy_what", { what }) },
    t("action.copy"),
  );
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without https the clipboard is closed; an old way is still open.
      const area = h("textarea", { value: text, class: "offscreen" });
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    notify(t("state.copied"));
  });
  return button;
}
