// What a release says of itself, in rows: known facts by their names, others as they are.

import { copyButton } from "../dialog.js";
import { h } from "../dom.js";
import { moment } from "../format.js";
import { t } from "../i18n.js";

const KNOWN = /** @type {const} */ ({
  git_commit: "models.commit",
  run_id: "models.run",
  run_name: "models.run_name",
  experiment: "models.experiment",
  store: "models.store",
  promoted_by: "models.who",
  promoted_at: "models.when",
});
/** Shown elsewhere. */
const LEFT_OUT = ["metrics", "data_md5"];

/**
 * @param {[string, Child][]} rows
 */
export function pairs(rows) {
  return h("dl", { class: "pairs" }, ...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

/**
 * @param {Lineage} lineage
 * @param {string} server where browsers find MLflow; trainings may know it by a name of their own network
 * @returns {[string, Child][]}
 */
export function lineageRows({ mlflow, ...lineage }, server) {
  const run = /** @type {Lineage} */ (mlflow && typeof mlflow === "object" ? mlflow : {});
  const store = server && isWeb(run.store) ? new URL(server, location.href).href : run.store;
  /** @type {Lineage} */
  const all = { ...lineage, ...run, ...(store ? { store } : {}) };
  const facts = [...Object.keys(KNOWN), ...Object.keys(all).filter((key) => !(key in KNOWN))];
  return facts.filter((key) => !LEFT_OUT.includes(key) && isTold(all[key])).map((key) => [
    key in KNOWN ? t(KNOWN[/** @type {keyof typeof KNOWN} */ (key)]) : key,
    said(key, String(all[key]), store),
  ]);
}

/** @param {unknown} value */
function isTold(value) {
  return value !== undefined && value !== null && value !== "" && typeof value !== "object";
}

/**
 * @param {string} key
 * @param {string} text
 * @param {unknown} store where MLflow shows runs, if that is an address
 * @returns {Child}
 */
function said(key, text, store) {
  if (key === "promoted_at") return when(text);
  if (key === "promoted_by") return text;
  const address = key === "run_id" && isWeb(store) ? `${String(store).replace(/\/$/, "")}/#/runs/${text}` : text;
  const shown = isWeb(address) ? h("a", { href: address, rel: "noreferrer" }, text) : h("code", {}, text);
  return key in KNOWN ? h("span", { class: "row" }, shown, copyButton(text)) : shown;
}

/** @param {unknown} value a time in ISO 8601; none is a dash */
export function when(value) {
  const ms = Date.parse(String(value ?? ""));
  return Number.isNaN(ms) ? String(value ?? "–") : moment(ms);
}

/** A release file must not bring a javascript: address. @param {unknown} value */
function isWeb(value) {
  return typeof value === "string" && /^https?:\/\//.test(value);
}
