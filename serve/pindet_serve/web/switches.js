// Language and theme.

import { h } from "./dom.js";
import { choose, current, t } from "./i18n.js";
import { chooseTheme, theme, THEMES } from "./theme.js";

/** @typedef {import("./theme.js").Theme} Theme */

/**
 * The two switches.
 *
 * @param {() => void} redraw draws again, in the other language
 */
export function switches(redraw) {
  const other = current() === "en" ? "zh" : "en";
  const name = other === "zh" ? "中文" : "English";
  const language = h("button", {
    type: "button",
    class: "quiet",
    id: "language",
    lang: other === "zh" ? "zh-CN" : "en",
    onclick: () => {
      choose(other);
      redraw();
      document.getElementById("language")?.focus();
    },
  }, name);
  const chosen = h(
    "select",
    { id: "theme", "aria-label": t("theme.label"), class: "quiet" },
    ...THEMES.map((one) => h("option", { value: one, selected: one === theme() }, t(`theme.${one}`))),
  );
  chosen.addEventListener("change", () => chooseTheme(/** @type {Theme} */ (chosen.value)));
  return h("div", { class: "switches" }, language, chosen);
}
