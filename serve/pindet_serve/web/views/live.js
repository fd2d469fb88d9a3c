// Live: what replicas, trainings and jobs do now, and did in the last minutes.

import { Chart, COLOURS } from "../chart.js";
import { fill, h } from "../dom.js";
import { clock, milliseconds, minute, MINUTES, number } from "../format.js";
import { t } from "../i18n.js";
import { figures } from "../table.js";
import { events } from "./live-events.js";
import { jobs, trainings } from "./live-work.js";
import { isStale, replicaTable } from "./live-replicas.js";

const SPAN_MS = 15 * 60_000;
/** While less is known, less is shown, but not less than this. */
const LEAST_MS = 3 * 60_000;
/** Heartbeats come every 2 s; over a longer pause no line is drawn. */
const GAP_MS = 15_000;

/** @type {Mount} */
export function mount(root, app) {
  const summary = h("dl", { class: "figures" });
  const time = { describeX: clock, tickX: minute, stepsX: MINUTES, gap: GAP_MS };
  const charts = {
    throughput: new Chart({ title: t("live.throughput"), unit: t("unit.images_s"), most: 1, ...time }),
    latency: new Chart({ title: t("live.latency"), unit: t("unit.ms"), most: 10, format: milliseconds, ...time }),
    queue: new Chart({ title: t("live.queue"), unit: t("unit.images"), most: 4, ...time }),
  };
  const table = replicaTable();
  const training = trainings();
  const work = jobs();
  const happened = events(app.store);
  fill(
    root,
    h("h1", { class: "offscreen" }, t("view.live")),
    summary,
    h(
      "section",
      { class: "charts", "aria-label": t("live.charts") },
      ...Object.values(charts).map((chart) => chart.element),
    ),
    table.element,
    training.element,
    work.element,
    happened.element,
  );

  let frame = 0;
  const draw = () => {
    frame = 0;
    const now = Date.now();
    const { store, socket } = app;
    const isLive = socket.state === "live";
    drawFigures(summary, app, now, isLive);
    drawCharts(charts, app, now);
    table.update(store, now, isLive);
    training.update(store, now, isLive);
    work.update(store, now, isLive);
    happened.update();
  };
  // However many events come, it is drawn once a frame, and not at all while nobody can see it.
  const soon = () => (frame ||= requestAnimationFrame(draw));
  const second = setInterval(soon, 1000);
  app.store.addEventListener("change", soon);
  app.socket.addEventListener("state", soon);
  draw();
  return () => {
    clearInterval(second);
    cancelAnimationFrame(frame);
    app.store.removeEventListener("change", soon);
    app.socket.removeEventListener("state", soon);
  };
}

/**
 * @param {HTMLElement} list
 * @param {App} app
 * @param {number} now
 * @param {boolean} isLive
 */
function drawFigures(list, app, now, isLive) {
  const all = [...app.store.replicas.values()];
  const fresh = all.filter((replica) => !isStale(replica, now, isLive));
  const beats = (isLive ? fresh : all).map((replica) => replica.beat);
  const worst = beats.map((beat) => beat.p95_ms).filter((ms) => ms !== null);
  const versions = [...new Set(beats.map((beat) => beat.model?.version))];
  const bus = app.store.bus;
  /** @param {"throughput" | "queue"} key */
  const total = (key) => number(beats.length ? beats.reduce((sum, beat) => sum + beat[key], 0) : null);
  const values = /** @type {Figure[]} */ ([
    [
      t("live.replicas"),
      all.length > fresh.length && isLive ? `${fresh.length}/${all.length}` : number(all.length),
      "",
      all.length > fresh.length,
    ],
    [t("live.throughput"), total("throughput"), beats.length ? t("unit.images_s") : ""],
    [t("live.p95"), worst.length ? milliseconds(Math.max(...worst)) : "–", worst.length ? t("unit.ms") : ""],
    [t("live.queue"), total("queue"), beats.length ? t("unit.images") : ""],
    [t("common.model"), versions.join(", ") || "–", versions.length > 1 ? t("live.mixed") : "", versions.length > 1],
    [
      t("live.bus"),
      bus ? t(bus.state === "up" ? "live.bus_up" : "live.bus_down") : "–",
      bus?.backend ?? "",
      bus?.state === "down",
    ],
  ]);
  list.classList.toggle("stale", !isLive);
  fill(list, ...figures(values));
}

/**
 * @param {Record<"throughput" | "latency" | "queue", Chart>} charts
 * @param {App} app
 * @param {number} now
 */
function drawCharts(charts, app, now) {
  const replicas = [...app.store.replicas.values()];
  const known = now - Math.min(now, ...replicas.map(({ samples }) => samples[0]?.at ?? now));
  /** @type {[number, number]} */
  const range = [now - Math.min(SPAN_MS, Math.max(LEAST_MS, known)), now];
  /** @type {(name: string, value: (sample: Sample) => number | null, dashed?: boolean) => Line[]} */
  const lines = (name, value, dashed) =>
    replicas.map(({ source, samples }, index) => ({
      name: replicas.length > 1 ? `${source} ${name}` : name,
      colour: index % COLOURS,
      dashed,
      points: samples.filter(({ at }) => at >= range[0]).map((sample) => ({ x: sample.at, y: value(sample) })),
    }));
  charts.throughput.update(lines(t("live.throughput"), (sample) => sample.throughput), range);
  charts.queue.update(lines(t("live.queue"), (sample) => sample.queue), range);
  const latency = [...lines("p95", (sample) => sample.p95), ...lines("p50", (sample) => sample.p50, true)];
  charts.latency.update(latency, range);
}
