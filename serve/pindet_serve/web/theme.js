// Light or dark: as the system says, unless chosen here.

/** @typedef {"auto" | "light" | "dark"} Theme */

const STORED = "pindet.theme";
/** @type {Theme[]} */
export const THEMES = ["auto", "light", "dark"];

/** @returns {Theme} */
export function theme() {
  const stored = localStorage.getItem(STORED);
  return stored === "light" || stored === "dark" ? stored : "auto";
}

/** @param {Theme} chosen */
export function chooseTheme(chosen) {
  localStorage.setItem(STORED, chosen);
  apply();
}

function apply() {
  document.documentElement.dataset.theme = theme();
}

apply();
