// Another version in a stage: asks, wishes for it, and follows what becomes of the wish.

import { ask } from "../api.js";
import { confirm, notify } from "../dialog.js";
import { fill, h } from "../dom.js";
import { metric, moment } from "../format.js";
import { t } from "../i18n.js";
import { dataTable, field, numberCell, select } from "../table.js";
import { difference, metricsOf } from "./releases.js";
import { outcome } from "./wish-outcome.js";

const SHOWN = 6;

/**
 * The buttons of a stage; none for who may not, and while no release agent listens.
 *
 * @param {App} app
 * @param {Release} release
 */
export function changeButtons(app, release) {
  if (!mayChange(app, release)) return null;
  const promote = release.choices.length > 0 &&
    h("button", { class: "small", onclick: () => change(app, release, "promote") }, words("promote", release));
  const back = release.before.length > 0 &&
    h("button", { class: "small danger", onclick: () => change(app, release, "rollback") }, words("rollback", release));
  return h("div", { class: "buttons" }, promote, back);
}

/**
 * @param {App} app
 * @param {Release} release
 */
export function mayChange(app, release) {
  return app.session.may("admin") && release.closed === "";
}

/**
 * @param {ChangeKind} kind
 * @param {Release} release
 */
function words(kind, { stage }) {
  return kind === "promote" ? t("stage.promote", { stage }) : t("stage.rollback", { stage });
}

/**
 * @param {App} app
 * @param {Release} release
 * @param {ChangeKind} kind
 */
async function change(app, release, kind) {
  const known = new Map(release.choices.map((choice) => [choice.version, choice]));
  const versions = kind === "promote" ? [...known.keys()] : release.before;
  const named = versions.map((version) => {
    const at = known.get(version)?.when;
    return [version, at ? `${version} · ${moment(at * 1000)}` : version];
  });
  const version = select("stage-version", named, versions[0]);
  const compared = h("div", { class: "stack" });
  const show = () => {
    const from = metricsOf(release);
    fill(compared, ...comparison(release.version, from, version.value, known.get(version.value)?.metrics ?? {}));
  };
  version.addEventListener("input", show);
  show();
  const content = [
    h("p", {}, kind === "promote" ? t("stage.promote_text") : t("stage.rollback_text")),
    field("stage-version", t("models.version"), version),
    compared,
  ];
  const action = kind === "promote" ? t("models.promote") : t("models.rollback");
  /** @param {(text: string) => void} underway */
  const run = async (underway) => {
    version.disabled = true;
    try {
      const json = { version: version.value, kind };
      const wish = await ask(`/v1/releases/${encodeURIComponent(release.stage)}`, { method: "POST", json });
      underway(t("stage.wished"));
      const reason = await outcome(app.store, wish.id, () => underway(t("stage.accepted")));
      const done = t("stage.done", { stage: release.stage, version: wish.version });
      if (reason) notify(`${done} ${reason}`, "bad");
      else notify(done);
    } finally {
      version.disabled = false;
    }
  };
  await confirm(words(kind, release).replace(/\s*…$/, ""), content, { action, danger: kind === "rollback", run });
}

/**
 * From → to, with the metrics that either has.
 *
 * @param {string} from
 * @param {Metrics} before
 * @param {string} to
 * @param {Metrics} after
 */
function comparison(from, before, to, after) {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort().slice(0, SHOWN);
  const line = h("p", { class: "from-to" }, h("strong", {}, from || t("stage.nothing")), " → ", h("strong", {}, to));
  if (!keys.length) return [line, h("p", { class: "muted" }, t("stage.no_metrics"))];
  const rows = keys.map((key) => {
    const [was, will] = [before[key], after[key]];
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, key.replace(/^test\//, "")),
      ...[was, will].map((value) => numberCell(metric(value))),
      numberCell(was === undefined || will === undefined ? "–" : difference(will - was)),
    );
  });
  const head = [t("models.metrics"), from || t("stage.nothing"), to, t("stage.difference")];
  return [line, dataTable(t("models.metrics"), head, h("tbody", {}, ...rows), { numbers: [1, 2, 3] })];
}
