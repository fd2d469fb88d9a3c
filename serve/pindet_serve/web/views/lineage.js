// What a release says of itself, in rows: known facts by their names, others as they are.

import { copyButton } from "../dialog.js";
import { h } from "../dom.js";
import { moment } from "../format.js";
import { t } from "../i18n.js";

/** @typedef {import("../dom.js").Child} Child */

const KNOWN = /** @type {const} */ ({
  "models.commit": ["git_commit", "commit"],
  "models.run": ["run_id", "mlflow_run_id", "mlflow_run"],
  "models.who": ["promoted_by", "by", "author"],
  "models.when": ["promoted_at", "at", "created"],
});
/** Shown elsewhere, or of no use to a person. */
const LEFT_OUT = ["metrics", "schema_version", "data_md5", "tracking_uri", "experiment_id"];

/**
 * @param {[string, Child][]} rows
 */
export function pairs(rows) {
  return h("dl", { class: "pairs" }, ...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

/**
 * @param {Record<string, unknown>} lineage
 * @param {keyof typeof KNOWN} fact
 * @returns {unknown}
 */
export function known(lineage, fact) {
  const flat = flattened(lineage);
  const key = KNOWN[fact].find((one) => flat[one] !== undefined);
  return key === undefined ? undefined : flat[key];
}

/**
 * @param {Record<string, unknown>} lineage
 * @param {string} server where browsers find MLflow; trainings may know it by a name of their own network
 * @returns {[string, Child][]}
 */
export function lineageRows(lineage, server) {
  /** @type {[string, Child][]} */
  const rows = [];
  const flat = flattened(lineage);
  if (server && isWeb(flat.store)) flat.store = new URL(server, location.href).href;
  for (const fact of /** @type {(keyof typeof KNOWN)[]} */ (Object.keys(KNOWN))) {
    const value = known(lineage, fact);
    if (value !== undefined && value !== null) rows.push([t(fact), said(fact, value, flat)]);
  }
  const told = /** @type {string[]} */ ([...Object.values(KNOWN).flat(), ...LEFT_OUT]);
  for (const [key, value] of Object.entries(flat)) {
    if (!told.includes(key) && value !== "" && value !== null && typeof value !== "object") {
      rows.push([key, linked(String(value))]);
    }
  }
  return rows;
}

/**
 * With what MLflow knows of the run beside the rest.
 *
 * @param {Record<string, unknown>} lineage
 * @returns {Record<string, unknown>}
 */
function flattened(lineage) {
  const { mlflow, ...rest } = lineage;
  return { ...rest, ...(typeof mlflow === "object" ? /** @type {Record<string, unknown>} */ (mlflow) : {}) };
}

/**
 * @param {keyof typeof KNOWN} fact
 * @param {unknown} value
 * @param {Record<string, unknown>} lineage
 * @returns {Child}
 */
function said(fact, value, lineage) {
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  if (fact === "models.when") return when(value);
  if (fact === "models.who") return text;
  const address = fact === "models.run" ? runAddress(text, lineage) : null;
  return h(
    "span",
    { class: "row" },
    address ? h("a", { href: address, rel: "noreferrer" }, text) : h("code", {}, text),
    copyButton(text),
  );
}

/** @param {unknown} value seconds since 1970, or a time in ISO 8601 */
export function when(value) {
  const ms = typeof value === "number" ? value * 1000 : Date.parse(String(value));
  return Number.isNaN(ms) ? String(value) : moment(ms);
}

/**
 * Where MLflow shows a run: as the release says, else from its server's address.
 *
 * @param {string} run
 * @param {Record<string, unknown>} lineage
 */
function runAddress(run, lineage) {
  for (const key of ["mlflow_url", "run_url"]) {
    if (isWeb(lineage[key])) return String(lineage[key]);
  }
  const server = lineage.store ?? lineage.tracking_uri;
  const experiment = lineage.experiment_id;
  if (!isWeb(server)) return null;
  const base = String(server).replace(/\/$/, "");
  return experiment === undefined ? `${base}/#/runs/${run}` : `${base}/#/experiments/${experiment}/runs/${run}`;
}

/** @param {string} text */
function linked(text) {
  return isWeb(text) ? h("a", { href: text, rel: "noreferrer" }, text) : h("code", {}, text);
}

/** A release file must not bring a javascript: address. @param {unknown} value */
function isWeb(value) {
  return typeof value === "string" && /^https?:\/\//.test(value);
}
