// Models: what is served and where it came from, what is released, and taking another.

import { ask } from "../api.js";
import { confirm, copyButton, loading, notify } from "../dialog.js";
import { fill, h } from "../dom.js";
import { metric, number } from "../format.js";
import { t } from "../i18n.js";
import { card, dataTable, field, numberCell, select } from "../table.js";
import { lineageRows, pairs } from "./lineage.js";
import { releaseTable } from "./releases.js";
import { changeButtons, mayChange } from "./stage-change.js";

const RELOADS = ["model.loaded", "model.refused", "model.rolled_back"];
/** What becomes of a wish is told where it was made; only what is done changes a release. */
const UNCHANGED = ["release.wanted", "release.accepted", "release.refused"];
/** Kept while the page is open: someone else's release draws the view anew. */
const typed = { stage: "production", rev: "" };

/** @type {Mount} */
export function mount(root, app) {
  const content = h("div", { class: "stack wide-gap" });
  fill(root, h("h1", {}, t("view.models")), content);
  const load = () =>
    loading(content, async () => {
      app.forgetModel();
      const [model, releases] = await Promise.all([app.model(), ask("/v1/releases")]);
      return draw(app, model, releases, load);
    });
  void load();
  let seen = new Set(app.store.events);
  let agent = app.store.agent;
  // Someone else's promotion or rollback shows at once, and so does a release agent that begins to listen.
  const follow = () => {
    const heard = agent !== null && app.store.agent !== agent;
    // An event that comes late is listed behind the newest.
    if (heard || app.store.events.some((event) => !seen.has(event) && changes(event.type))) void load();
    seen = new Set(app.store.events);
    agent = app.store.agent;
  };
  app.store.addEventListener("change", follow);
  return () => app.store.removeEventListener("change", follow);
}

/** Whether what is served or released may be another after an event. @param {string} type */
function changes(type) {
  return type === "gap" || RELOADS.includes(type) || (type.startsWith("release.") && !UNCHANGED.includes(type));
}

/**
 * @param {App} app
 * @param {Model} model
 * @param {Release[]} releases
 * @param {Load} load
 */
function draw(app, model, releases, load) {
  const buttons = releases.some((release) => mayChange(app, release))
    ? (/** @type {Release} */ release) => changeButtons(app, release)
    : null;
  return [
    model.refused && h("div", { class: "problem" }, h("strong", {}, t("models.refused")), " ", model.refused),
    model.declined && h("div", { class: "problem" }, t("models.declined", { version: model.declined.version })),
    h(
      "div",
      { class: "columns" },
      h(
        "section",
        { class: "card" },
        h("div", { class: "row between" }, h("h2", {}, t("models.served")), actions(app, model, load)),
        served(model),
      ),
      card(t("models.lineage"), lineage(model)),
    ),
    card(t("models.releases"), releaseTable(releases, model, buttons)),
    card(t("models.metrics"), metricTable(model)),
    promotion(releases, buttons !== null),
  ];
}

/** @param {Model} model */
function served(model) {
  return pairs([
    [t("models.version"), h("strong", {}, `${model.name} ${model.version}`)],
    [t("models.stage"), model.stage || t("models.workspace")],
    [t("models.bundle"), h("span", { class: "row" }, h("code", {}, model.md5), copyButton(model.md5))],
    [t("models.engine"), `${model.engine} · ${model.device}`],
    [t("models.input"), `${model.image_width} × ${model.image_height}`],
    [t("common.threshold"), model.score_threshold.toFixed(3)],
    [t("models.most"), number(model.max_detections)],
    [
      t("common.classes"),
      h("span", { class: "row" }, ...model.classes.map((name) => h("span", { class: "tag" }, name))),
    ],
  ]);
}

/** @param {Model} model */
function lineage(model) {
  const rows = lineageRows(model.lineage, model.mlflow_url);
  const none = rows.length ? null : h("p", { class: "muted" }, t("models.no_lineage"));
  const data = h("span", { class: "row" }, h("code", {}, model.data_md5), copyButton(model.data_md5));
  return h("div", { class: "stack" }, none, pairs([...rows, [t("models.data"), data]]));
}

/** One row a class, one column a metric of the test split. @param {Model} model */
function metricTable({ metrics }) {
  /** @type {Map<string, Map<string, number>>} */
  const table = new Map();
  for (const [key, value] of Object.entries(metrics)) {
    if (key.startsWith("val/")) continue;
    const [name, label = ""] = split(key);
    if (!table.has(name)) table.set(name, new Map());
    table.get(name)?.set(label, value);
  }
  const labels = [...new Set([...table.values()].flatMap((row) => [...row.keys()]))].sort();
  const head = [t("common.class"), ...table.keys()];
  const rows = labels.map((label) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, label || t("common.all")),
      ...[...table.values()].map((values) => numberCell(values.has(label) ? metric(values.get(label)) : "")),
    )
  );
  const numbers = head.map((_, index) => index).slice(1);
  return dataTable(t("models.metrics"), head, h("tbody", {}, ...rows), { numbers });
}

/** `test/map/washer` is metric `map` of class `washer`. @param {string} key */
function split(key) {
  const [, name, ...label] = key.includes("/") ? key.split("/") : ["", key];
  return [name, label.join("/")];
}

/**
 * @param {App} app
 * @param {Model} model
 * @param {Load} load
 */
function actions(app, model, load) {
  if (!app.session.may("operator")) return h("small", { class: "muted" }, t("models.need_operator"));
  const back = h("button", {
    class: "small danger",
    disabled: !model.can_roll_back,
    onclick: () => rollBack(model, load),
  }, t("models.rollback"));
  if (!model.can_roll_back) back.title = t("models.rollback_none");
  return h(
    "div",
    { class: "buttons" },
    h("button", { class: "small", onclick: () => reload(load) }, t("models.reload")),
    back,
  );
}

/**
 * @param {Model} model
 * @param {Load} load
 */
async function rollBack(model, load) {
  const run = async () => {
    const answer = await ask("/v1/model/rollback", { method: "POST", patience: 120_000 });
    notify(t("models.rollback_done", { version: answer.model.version }));
  };
  const title = t("models.rollback_title", { version: model.version });
  const text = t("models.rollback_text", { previous: model.previous?.version ?? "" });
  if (await confirm(title, [h("p", {}, text)], { action: t("models.rollback"), danger: true, run })) await load();
}

/** @param {Load} load */
async function reload(load) {
  const accept = h("input", { type: "checkbox", id: "accept" });
  const run = async () => {
    const query = { accept_classes: accept.checked };
    const answer = await ask("/v1/model/reload", { method: "POST", query, patience: 120_000 });
    notify(answer.changed ? t("models.reload_done", { version: answer.model.version }) : t("models.reload_same"));
  };
  const content = [h("p", {}, t("models.reload_text")), h("label", { class: "row" }, accept, t("models.accept"))];
  await confirm(t("models.reload_title"), content, { action: t("models.reload"), run });
  await load();
}

/**
 * Git tags are the truth of promotion, so the page gives the command that makes them.
 *
 * @param {Release[]} releases
 * @param {boolean} byButton whether what has a version already can be promoted on the page
 */
function promotion(releases, byButton) {
  const stages = [...new Set(["production", "staging", typed.stage, ...releases.map((release) => release.stage)])];
  const stage = select("promote-stage", stages.map((name) => [name, name]), typed.stage);
  const rev = h("input", { id: "promote-rev", autocomplete: "off", spellcheck: false, value: typed.rev });
  const command = h("code", { class: "command" });
  const copy = h("span");
  const say = () => {
    Object.assign(typed, { stage: stage.value, rev: rev.value });
    const wanted = rev.value.trim();
    const text = `pindet promote --stage ${quoted(stage.value)}${wanted && ` --rev ${quoted(wanted)}`}`;
    command.textContent = text;
    fill(copy, copyButton(text, t("models.command")));
  };
  for (const input of [stage, rev]) input.addEventListener("input", say);
  say();
  return h(
    "section",
    { class: "card stack" },
    h("h2", {}, t("models.promote")),
    h("p", { class: "muted" }, byButton ? t("models.promote_new_text") : t("models.promote_text")),
    h(
      "div",
      { class: "row top" },
      field("promote-stage", t("models.promote_stage"), stage),
      field("promote-rev", t("models.promote_rev"), rev, t("models.promote_rev_hint")),
    ),
    h("div", { class: "row" }, command, copy),
  );
}

/** As a shell takes it for one word. @param {string} word */
function quoted(word) {
  return /^[\w./@:+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
