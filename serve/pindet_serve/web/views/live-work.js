// Trainings with their curves, and background jobs.

import { Chart, COLOURS } from "../chart.js";
import { fill, h, say } from "../dom.js";
import { age, number, percent } from "../format.js";
import { t, tOr } from "../i18n.js";
import { card } from "../table.js";

/** A training that said nothing for so long may be gone, ms. */
const SILENT_MS = 10 * 60_000;
/** A running job tells twice a second. */
const JOB_SILENT_MS = 60_000;
const EPOCHS = [1, 2, 5, 10, 20, 50, 100, 200, 500];

export function trainings() {
  const list = h("div", { class: "stack" });
  const element = card(t("live.training"), list);
  element.id = "trainings";
  /** @type {Map<string, ReturnType<typeof curvesOf>>} */
  const cards = new Map();
  return {
    element,
    /** @type {Update} */
    update(store, now, isLive) {
      element.hidden = store.trainings.size === 0;
      for (const [id, shown] of cards) {
        if (!store.trainings.has(id)) {
          shown.element.remove();
          cards.delete(id);
        }
      }
      for (const [id, training] of store.trainings) {
        if (!cards.has(id)) {
          const made = curvesOf(training);
          cards.set(id, made);
          list.prepend(made.element);
        }
        cards.get(id)?.update(training, now, isLive);
      }
    },
  };
}

/** @param {Training} training */
function curvesOf({ id }) {
  const options = {
    heading: /** @type {const} */ ("h3"),
    describeX: (/** @type {number} */ x) => t("live.epoch", { n: Math.round(x) }),
    tickX: (/** @type {number} */ x) => number(x, 0),
    stepsX: EPOCHS,
  };
  const loss = new Chart({ title: t("live.loss"), unit: t("unit.epochs"), format: (y) => number(y, 4), ...options });
  const quality = new Chart({
    title: t("live.quality"),
    unit: t("unit.epochs"),
    format: (y) => number(y, 4),
    most: 1,
    ...options,
  });
  const state = h("span", { class: "tag" });
  const text = h("span", { class: "muted" });
  const bar = h("progress", { max: 1 });
  const title = h("h3");
  const element = h(
    "article",
    {},
    h("div", { class: "row" }, title, state, text),
    bar,
    h("div", { class: "charts two" }, loss.element, quality.element),
  );
  return {
    element,
    /**
     * @param {Training} training
     * @param {number} now
     * @param {boolean} isLive
     */
    update(training, now, isLive) {
      const epochsSeen = [...training.points.keys()].sort((a, b) => a - b);
      const { epochs, error, epoch = epochsSeen.at(-1) ?? 0 } = training.data;
      const name = String(training.data.name ?? id);
      say(title, name);
      bar.setAttribute("aria-label", t("live.progress", { name }));
      const running = training.status === "started" || training.status === "progress";
      const stale = running && (!isLive || now - training.heardAt > SILENT_MS);
      element.classList.toggle("stale", stale);
      state.className = tagOf(training.status, stale);
      fill(state, tOr(`training.${training.status}`, training.status));
      const heard = age((now - training.heardAt) / 1000);
      fill(
        text,
        epochs ? `${t("live.epoch_of", { n: epoch, all: epochs })} · ` : "",
        t("live.heard", { age: heard }),
        error ? ` · ${error}` : "",
      );
      bar.hidden = !running || stale || !epochs;
      bar.value = epochs ? Math.min(1, epoch / epochs) : 0;
      const range =
        /** @type {[number, number]} */ ([epochsSeen[0] ?? 0, Math.max(epochs ?? 1, epochsSeen.at(-1) ?? 1)]);
      loss.update(curves(training, epochsSeen, (key) => key.includes("loss")), range);
      quality.update(curves(training, epochsSeen, (key) => key.includes("map") || key.includes("f1")), range);
    },
  };
}

/**
 * @param {Training} training
 * @param {number[]} epochs
 * @param {(key: string) => boolean} wanted
 */
function curves({ points }, epochs, wanted) {
  const keys = [...new Set(epochs.flatMap((epoch) => Object.keys(points.get(epoch) ?? {})))].filter(wanted).sort();
  return keys.slice(0, COLOURS).map((key, index) => ({
    name: key,
    colour: index,
    points: epochs.map((epoch) => ({ x: epoch, y: points.get(epoch)?.[key] ?? null })),
  }));
}

export function jobs() {
  const list = h("ul", { class: "plain" });
  const element = card(t("live.jobs"), list);
  element.id = "jobs";
  return {
    element,
    /** @type {Update} */
    update(store, now, isLive) {
      element.hidden = store.jobs.size === 0;
      fill(
        list,
        ...[...store.jobs.values()].reverse().slice(0, 10).map((job) => {
          const share = job.total ? job.done / job.total : 0;
          const running = job.status === "running";
          const stale = running && (!isLive || now - job.at > JOB_SILENT_MS);
          const name = job.name || job.id.slice(0, 8);
          return h(
            "li",
            { class: "row" },
            h("code", { title: job.id }, name),
            h("span", { class: tagOf(job.status, stale) }, tOr(`job.${job.status}`, job.status)),
            running && !stale
              ? h("progress", { max: 1, value: share, "aria-label": t("live.job", { name }) })
              : null,
            h(
              "span",
              { class: "muted" },
              t("live.frames", { n: job.done }),
              job.total ? ` / ${number(job.total)} (${percent(share, 0)})` : "",
              stale ? ` · ${t("live.heard", { age: age((now - job.at) / 1000) })}` : "",
              job.unreadable ? ` · ${t("live.unreadable", { n: job.unreadable })}` : "",
              job.error ? ` · ${job.error}` : "",
            ),
          );
        }),
      );
    },
  };
}

/** How the state of a training or job is marked. @param {string} status @param {boolean} stale */
function tagOf(status, stale) {
  return `tag ${stale ? "warn" : status === "failed" ? "bad" : status === "finished" ? "good" : ""}`;
}
