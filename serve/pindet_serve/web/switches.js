// Language, and light or dark: as the system says, unless chosen here.

import { h } from "./dom.js";
import { choose, current, t } from "./i18n.js";

const STORED = "pindet.theme";
/** @type {Theme[]} */
const THEMES = ["auto", "light", "dark"];

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

/** @returns {Theme} */
function theme() {
  const stored = localStorage.getItem(STORED);
  return stored === "light" || stored === "dark" ? stored : "auto";
}

/** @param {Theme} chosen */
function chooseTheme(chosen) {
  localStorage.setItem(STORED, chosen);
  apply();
}

function apply() {
  document.documentElement.dataset.theme = theme();
}

apply();
