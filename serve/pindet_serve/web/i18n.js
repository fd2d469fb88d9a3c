// The page's languages: which one, and how it says things.

import en from "./i18n/en.js";
import problems from "./i18n/problems-zh.js";
import zh from "./i18n/zh.js";

/** @typedef {keyof typeof en} Key */

const DICTIONARIES = { en, zh };
const STORED = "pindet.language";
const LOCALES = { en: navigator.languages.find((name) => name.startsWith("en")) ?? "en-GB", zh: "zh-CN" };

/** @type {Language} */
let language = initial();

/** @returns {Language} */
function initial() {
  const stored = localStorage.getItem(STORED);
  if (stored === "en" || stored === "zh") return stored;
  for (const name of navigator.languages) {
    if (name.startsWith("zh")) return "zh";
    if (name.startsWith("en")) return "en";
  }
  return "en";
}

/** @returns {Language} */
export function current() {
  return language;
}

/** The locale that numbers and times are written in. */
export function locale() {
  return LOCALES[language];
}

/**
 * Change the language; who calls this draws the page anew.
 *
 * @param {Language} chosen
 */
export function choose(chosen) {
  language = chosen;
  localStorage.setItem(STORED, chosen);
  document.documentElement.lang = locale();
}

/**
 * Say something in the chosen language. `{name}` is replaced; `{n|image|images}` takes the first word for 1.
 *
 * @param {Key} key
 * @param {Record<string, string | number>} [values]
 * @returns {string}
 */
export function t(key, values = {}) {
  return DICTIONARIES[language][key].replace(/\{(\w+)(?:\|([^|}]*)\|([^}]*))?\}/g, (_, name, one, many) => {
    const value = values[name] ?? "";
    if (many === undefined) return typeof value === "number" ? value.toLocaleString(locale()) : value;
    return Number(value) === 1 ? one : many;
  });
}

/**
 * What the server calls an error, in the chosen language, and its own words on it, which are English.
 *
 * @param {string} title
 * @param {string} detail
 */
export function problem(title, detail) {
  return language === "zh" ? `${problems[title] ?? title}：${detail}` : `${title}: ${detail}`;
}

/**
 * Say something that may have no words of its own.
 *
 * @param {string} key
 * @param {string} otherwise
 */
export function tOr(key, otherwise) {
  return key in en ? t(/** @type {Key} */ (key)) : otherwise;
}

document.documentElement.lang = locale();
