// The releases of all stages, compared with what is served.

import { copyButton } from "../dialog.js";
import { h } from "../dom.js";
import { number, short } from "../format.js";
import { t } from "../i18n.js";
import { dataTable, numberCell } from "../table.js";
import { known, when } from "./lineage.js";

/** @typedef {import("../dom.js").Child} Child */
/** @typedef {import("../types.d.ts").Model} Model */
/** @typedef {import("../types.d.ts").Release} Release */

const SHOWN = ["test/map", "test/map_50", "test/f1"];

/**
 * @param {Release[]} releases
 * @param {Model} model
 * @param {((release: Release) => Child) | null} buttons what can be done with a stage; null for nothing
 */
export function releaseTable(releases, model, buttons) {
  if (!releases.length) return h("p", { class: "muted" }, t("models.no_releases"));
  const metrics = SHOWN.filter((key) => releases.some((release) => metric(release, key) !== undefined));
  const head = [
    t("models.stage"),
    t("models.version"),
    ...metrics.map((key) => key.slice("test/".length)),
    t("models.who"),
    t("models.when"),
    t("models.commit"),
    t("models.bundle"),
    ...(buttons ? [t("stage.change")] : []),
  ];
  const numbers = metrics.map((_, index) => index + 2);
  const body = h("tbody", {}, ...ordered(releases).map((release) => row(release, metrics, model, buttons)));
  return dataTable(t("models.releases"), head, body, { id: "releases", numbers });
}

/** The one that is followed first. @param {Release[]} releases */
function ordered(releases) {
  return releases.toSorted((a, b) => Number(b.followed) - Number(a.followed));
}

/**
 * @param {Release} release
 * @param {string[]} metrics
 * @param {Model} model
 * @param {((release: Release) => Child) | null} buttons
 */
function row(release, metrics, model, buttons) {
  const change = buttons && h("td", {}, buttons(release));
  const tags = [
    release.followed && h("span", { class: "tag accent" }, t("models.followed")),
    release.served && h("span", { class: "tag good" }, t("models.serving")),
  ];
  const stage = h("th", { scope: "row" }, h("span", { class: "row" }, release.stage, ...tags));
  if (release.error) {
    return h(
      "tr",
      {},
      stage,
      h(
        "td",
        { colSpan: metrics.length + 5 },
        h("span", { class: "tag bad" }, t("models.unreadable")),
        " ",
        release.error,
      ),
      change,
    );
  }
  const commit = String(known(release.lineage, "models.commit") ?? "");
  return h(
    "tr",
    {},
    stage,
    h("td", {}, release.version || "–"),
    ...metrics.map((key) => numberCell(...compared(metric(release, key), model.metrics[key], release.served))),
    h("td", {}, String(known(release.lineage, "models.who") ?? "–")),
    h(
      "td",
      {},
      known(release.lineage, "models.when") === undefined ? "–" : when(known(release.lineage, "models.when")),
    ),
    h("td", {}, commit ? h("span", { class: "row" }, h("code", {}, short(commit)), copyButton(commit)) : "–"),
    h("td", {}, release.md5 ? h("code", {}, short(release.md5)) : "–"),
    change,
  );
}

/**
 * @param {Release} release
 * @param {string} key
 * @returns {number | undefined}
 */
function metric({ lineage }, key) {
  const all = lineage.metrics;
  const value = all && typeof all === "object" ? /** @type {Record<string, unknown>} */ (all)[key] : undefined;
  return typeof value === "number" ? value : undefined;
}

/**
 * @param {number | undefined} value
 * @param {number | undefined} served
 * @param {boolean} same
 */
function compared(value, served, same) {
  if (value === undefined) return ["–"];
  if (served === undefined || same) return [number(value, 3)];
  const difference = value - served;
  const text = `${difference < 0 ? "−" : "+"}${number(Math.abs(difference), 3)}`;
  return [
    number(value, 3),
    " ",
    h("small", { class: difference < 0 ? "worse" : "better", title: t("models.compared") }, text),
  ];
}
