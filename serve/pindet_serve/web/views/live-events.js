// What happened, newest first, filtered.

import { fill, h } from "../dom.js";
import { clock, moment, number } from "../format.js";
import { t, tOr } from "../i18n.js";

const FAMILIES = /** @type {const} */ (["model", "release", "training", "pipeline", "job", "service", "detection"]);
const SHOWN = 150;
const BAD = /refused|failed|lost|damaged|^gap$/;
const GOOD = /loaded|finished|(redis|history)_back$|started$|promoted|done$|verified/;
/** Kept while the page is open, whatever view is shown. */
const wanted = {
  families: new Set(/** @type {string[]} */ (FAMILIES.filter((name) => name !== "detection"))),
  text: "",
};

/** @param {Store} store */
export function events(store) {
  const list = h("ol", { class: "events", id: "events", tabIndex: 0, "aria-label": t("live.events") });
  const boxes = FAMILIES.map((family) => {
    const box = h("input", { type: "checkbox", checked: wanted.families.has(family) });
    box.addEventListener("change", () => {
      if (box.checked) wanted.families.add(family);
      else wanted.families.delete(family);
      update(true);
    });
    return h("label", { class: "chip" }, box, t(`family.${family}`));
  });
  const search = h("input", {
    type: "search",
    placeholder: t("live.search"),
    "aria-label": t("live.search"),
    value: wanted.text,
  });
  search.addEventListener("input", () => {
    wanted.text = search.value.trim().toLowerCase();
    update(true);
  });
  const element = h(
    "section",
    { class: "card" },
    h("div", { class: "row between" }, h("h2", {}, t("live.events")), search),
    h("fieldset", { class: "chips" }, h("legend", { class: "offscreen" }, t("live.filter")), ...boxes),
    list,
  );
  let drawn = -1;
  /** @param {boolean} [always] */
  function update(always = false) {
    if (store.listed === drawn && !always) return;
    drawn = store.listed;
    const shown = [...store.events, ...(wanted.families.has("detection") ? store.detections : [])]
      .filter((event) => event.type === "gap" || wanted.families.has(event.type.split(".")[0]))
      .filter((event) =>
        !wanted.text || `${event.type} ${event.source} ${says(event)}`.toLowerCase().includes(wanted.text)
      )
      .reverse()
      .sort((a, b) => b.at - a.at);
    const older = shown.length - SHOWN;
    const rest = shown.length ? older > 0 && t("live.older", { n: older }) : t("live.no_events");
    fill(list, ...shown.slice(0, SHOWN).map((event) => row(event)), rest && h("li", { class: "muted" }, rest));
  }
  return { element, update };
}

/** @param {Seen} event */
function row(event) {
  const kind = BAD.test(event.type) ? "bad" : GOOD.test(event.type) ? "good" : "";
  return h(
    "li",
    { class: kind },
    h("time", { title: moment(event.at) }, clock(event.at)),
    h("span", { class: `tag ${kind}` }, tOr(`event.${event.type}`, event.type)),
    h("span", { class: "what" }, says(event)),
    h("span", { class: "muted source" }, event.type === "gap" ? "" : event.source),
  );
}

/** What an event says, in words. @param {Seen} event */
function says({ type, data }) {
  if (type === "gap") return t("live.gap");
  const words = [];
  const { from, to } = data;
  if (from && to) words.push(`${from.version} → ${to.version}`);
  else if (data.version) words.push([data.name, data.stage, data.version].filter(Boolean).join(" "));
  if (data.images && data.objects) {
    const objects = Object.entries(data.objects).map(([label, count]) => `${label} × ${count}`);
    words.push(
      t("live.detected", { n: data.images }),
      objects.join(", ") || t("live.nothing_found"),
      `${number(data.ms)} ${t("unit.ms")}`,
    );
  }
  // A wish is known by its stage and version; its id is of use to programs only.
  const whose = data.run ?? data.id;
  if (whose && !type.startsWith("release.")) words.push(String(data.name ?? whose).slice(0, 40));
  if (data.epochs && data.epoch !== undefined) words.push(t("live.epoch_of", { n: data.epoch, all: data.epochs }));
  if (data.seconds !== undefined) words.push(t("live.after", { n: data.seconds }));
  for (const name of ["reason", "error", "message", "stage", "by"]) {
    if (data[name] && !(name === "stage" && data.version)) words.push(String(data[name]));
  }
  return words.filter(Boolean).join(" · ");
}
