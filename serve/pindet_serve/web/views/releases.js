// The releases of all stages, compared with what is served.

import { copyButton } from "../dialog.js";
import { h } from "../dom.js";
import { metric, short } from "../format.js";
import { t } from "../i18n.js";
import { dataTable, numberCell } from "../table.js";
import { when } from "./lineage.js";

const SHOWN = ["test/map", "test/map_50", "test/f1"];

/**
 * @param {Release[]} releases
 * @param {Model} model
 * @param {((release: Release) => Child) | null} buttons what can be done with a stage; null for nothing
 */
export function releaseTable(releases, model, buttons) {
  if (!releases.length) return h("p", { class: "muted" }, t("models.no_releases"));
  const metrics = SHOWN.filter((key) => releases.some((release) => metricsOf(release)[key] !== undefined));
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
  const { git_commit, promoted_by, promoted_at } = release.lineage;
  const commit = String(git_commit ?? "");
  return h(
    "tr",
    {},
    stage,
    h("td", {}, release.version || "–"),
    ...metrics.map((key) => numberCell(...compared(metricsOf(release)[key], model.metrics[key], release.served))),
    h("td", {}, String(promoted_by ?? "–")),
    h("td", {}, when(promoted_at)),
    h("td", {}, commit ? h("span", { class: "row" }, h("code", {}, short(commit)), copyButton(commit)) : "–"),
    h("td", {}, release.md5 ? h("code", {}, short(release.md5)) : "–"),
    change,
  );
}

/** Test metrics of all classes together. @param {Release} release @returns {Metrics} */
export function metricsOf({ lineage }) {
  const { metrics } = lineage;
  const entries = metrics && typeof metrics === "object" ? Object.entries(metrics) : [];
  return Object.fromEntries(
    entries.filter(([key, value]) => /^test\/[^/]+$/.test(key) && typeof value === "number"),
  );
}

/**
 * @param {number | undefined} value
 * @param {number | undefined} served
 * @param {boolean} same
 */
function compared(value, served, same) {
  if (value === undefined || served === undefined || same) return [metric(value)];
  return [metric(value), " ", h("small", { title: t("models.compared") }, difference(value - served))];
}

/** @param {number} value */
export function difference(value) {
  const text = `${value < 0 ? "−" : "+"}${metric(Math.abs(value))}`;
  return h("span", { class: value < 0 ? "worse" : "better" }, text);
}
