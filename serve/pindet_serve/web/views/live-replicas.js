// One row for each replica.

import { fill, h } from "../dom.js";
import { age, milliseconds, number, short } from "../format.js";
import { t } from "../i18n.js";
import { card, dataTable, numberCell } from "../table.js";

/** Three heartbeats that did not come, ms. */
const SILENT_MS = 7000;

/**
 * Whether a replica's numbers are not those of now.
 *
 * @param {Replica} replica
 * @param {number} now ms since 1970
 * @param {boolean} isLive whether the feed is
 */
export function isStale(replica, now, isLive) {
  return !isLive || now - replica.heardAt > SILENT_MS;
}

export function replicaTable() {
  const body = h("tbody");
  const columns = [
    t("common.replica"),
    t("live.state"),
    t("common.model"),
    `${t("live.throughput")} (${t("unit.images_s")})`,
    `p50 (${t("unit.ms")})`,
    `p95 (${t("unit.ms")})`,
    t("live.queue"),
  ];
  const table = dataTable(t("live.replicas"), columns, body, { id: "replicas", numbers: [3, 4, 5, 6] });
  const element = card(t("live.replicas"), table);
  return {
    element,
    /** @type {Update} */
    update(store, now, isLive) {
      const replicas = [...store.replicas.values()].sort((a, b) => a.source.localeCompare(b.source));
      const none = h("tr", {}, h("td", { colSpan: columns.length, class: "muted" }, t("live.no_replicas")));
      fill(body, ...(replicas.length ? replicas.map((replica) => row(replica, now, isLive)) : [none]));
    },
  };
}

/**
 * @param {Replica} replica
 * @param {number} now
 * @param {boolean} isLive
 */
function row(replica, now, isLive) {
  const stale = isStale(replica, now, isLive);
  const { beat } = replica;
  const state = stale ? t("live.silent", { age: age((now - replica.heardAt) / 1000) }) : t("live.answering");
  return h(
    "tr",
    { class: stale ? "stale" : "" },
    h("th", { scope: "row" }, replica.source),
    h("td", {}, h("span", { class: stale ? "tag warn" : "tag good" }, state)),
    h("td", {}, beat.model?.version ?? "–", " ", h("code", {}, short(beat.model?.md5 ?? ""))),
    numberCell(number(beat.throughput)),
    numberCell(milliseconds(beat.p50_ms)),
    numberCell(milliseconds(beat.p95_ms)),
    numberCell(number(beat.queue)),
  );
}
