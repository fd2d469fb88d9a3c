// What the status feed has told so far, in bounded memory.

import { follows } from "./socket.js";

const SAMPLES = 480;
const EVENTS = 400;
const DETECTIONS = 100;
const TRAININGS = 8;
const JOBS = 50;
const REMEMBERED = 2000;
/** A replica that was silent for so long is gone, ms. */
const FORGET_MS = 180_000;
/** The least delay is that of about so long, ms: this machine's clock may be set, or drift. */
const LEAST_OF_MS = 60_000;

/** Everything that the Live view shows; dispatches `change` after each event. */
export class Store extends EventTarget {
  /** @type {Map<string, Replica>} */ replicas = new Map();
  /** @type {Map<string, Training>} */ trainings = new Map();
  /** @type {Map<string, Job>} */ jobs = new Map();
  /** @type {Snapshot["bus"] | null} */ bus = null;
  /** @type {Seen[]} newest last */ events = [];
  /** @type {Seen[]} newest last */ detections = [];
  /** What the release agent said last, as JSON; empty if none was heard of, null before the first snapshot. */
  /** @type {string | null} */ agent = null;
  /** Counts what was put into one of the lists, at whatever place. */
  listed = 0;
  #started = false;
  /** @type {Set<string>} */ #told = new Set();
  #offsets = { shared: offset(Infinity), own: offset(Infinity) };

  /** @param {StatusEvent} event */
  take(event) {
    if (event.type === "snapshot") this.#takeSnapshot(event);
    else this.#takeEvent({ ...event, at: this.#timeOf(event) });
    this.#tidy();
    this.dispatchEvent(new Event("change"));
  }

  /** Forget the replicas that are long gone. */
  #tidy() {
    const now = Date.now();
    for (const [source, replica] of this.replicas) {
      if (now - replica.heardAt > FORGET_MS) this.replicas.delete(source);
    }
  }

  /** @param {StatusEvent} event */
  #takeSnapshot(event) {
    const snapshot = /** @type {Snapshot} */ (event.data);
    const now = Date.now();
    const delay = now - event.ts * 1000;
    this.#offsets = { shared: offset(delay), own: offset(delay) };
    // Ids may begin anew.
    if (snapshot.reset) { for (const replica of this.replicas.values()) replica.last = ""; }
    this.bus = snapshot.bus;
    if (snapshot.reset && this.#started) {
      this.#list({ ...event, id: `gap-${event.id}`, type: "gap", at: now, data: {} });
    }
    if (snapshot.reset) this.#dropJobs(snapshot);
    this.#started = true;
    this.agent ??= "";
    for (const { age, curve = [], ...one } of snapshot.states) {
      this.#takeEvent({ ...one, at: now - age * 1000 });
      const training = this.trainings.get(runOf(one));
      if (training) { for (const [epoch, metrics] of curve) plot(training, epoch, metrics); }
    }
    for (const { age, ...one } of snapshot.replicas) this.#beat({ ...one, at: now - age * 1000 });
  }

  /** Of a job that runs no more nothing may have told. @param {Snapshot} snapshot */
  #dropJobs({ states }) {
    const known = states.filter(({ type }) => type.startsWith("job.")).map(({ data }) => data.id);
    for (const { id, status } of known.length ? this.jobs.values() : []) {
      if (status === "running" && !known.includes(id)) this.jobs.delete(id);
    }
  }

  /**
   * When it happened by this machine's clock: the least delay seen lately is taken for no delay at all. What a replica
   * tells only to its own clients has no time of its own in its id.
   *
   * @param {StatusEvent} event
   */
  #timeOf(event) {
    const [ms, , local] = event.id.split("-").map(Number);
    const kind = local === undefined ? "shared" : "own";
    const stamp = kind === "shared" ? ms : event.ts * 1000;
    const now = Date.now();
    const known = this.#offsets[kind];
    if (now > known.until) Object.assign(known, offset(Infinity), { before: known.least });
    known.least = Math.min(known.least, now - stamp);
    return Math.min(now, stamp + Math.min(known.before, known.least));
  }

  /** @param {Seen} event */
  #takeEvent(event) {
    const [family] = event.type.split(".");
    if (event.type === "heartbeat") return this.#beat(event);
    if (event.type === "release.agent") return void (this.agent = JSON.stringify(event.data));
    if (this.#known(event)) return this.#placeAnew(event);
    if (family === "training") this.#train(event);
    if (family === "job") this.#work(event);
    if (event.type === "service.redis_lost" && this.bus) this.bus = { ...this.bus, state: "down" };
    if (event.type === "service.redis_back" && this.bus) this.bus = { ...this.bus, state: "up" };
    if (event.type !== "training.progress" && event.type !== "job.running") this.#list(event);
  }

  /** Whether it was told before, under another id: by another replica, or as part of a snapshot. @param {Seen} event */
  #known(event) {
    const key = keyOf(event);
    if (this.#told.has(key)) return true;
    this.#told.add(key);
    if (this.#told.size > REMEMBERED) this.#told.delete(/** @type {string} */ (this.#told.values().next().value));
    return false;
  }

  /** Where the feed has an event, which a snapshot told before, is where it belongs. @param {Seen} event */
  #placeAnew(event) {
    const key = keyOf(event);
    const place = this.events.findIndex((other) => other.ts === event.ts && keyOf(other) === key);
    if (place < 0) return;
    this.events.splice(place, 1);
    this.#list(event);
  }

  /** @param {Seen} event */
  #list(event) {
    const [list, most] = event.type === "detection" ? [this.detections, DETECTIONS] : [this.events, EVENTS];
    const place = list.findLastIndex((other) => other.at <= event.at);
    list.splice(place + 1, 0, event);
    this.listed++;
    if (list.length > most) list.shift();
  }

  /** @param {Seen} event */
  #beat(event) {
    const beat = /** @type {Heartbeat} */ (event.data);
    const known = this.replicas.get(event.source);
    const replica = known ?? { source: event.source, heardAt: 0, last: "", beat, samples: [] };
    if (!known) this.replicas.set(event.source, replica);
    // By place, as a replica's clock may be set; what comes again after a snapshot is older than what that told.
    if (!replica.last || follows(event.id, replica.last)) Object.assign(replica, { last: event.id, beat });
    replica.heardAt = Math.max(replica.heardAt, event.at);
    const { samples } = replica;
    const place = samples.findLastIndex((other) => other.at <= event.at);
    // The same heartbeat, in a snapshot and by itself, is one sample.
    if (place >= 0 && event.at - samples[place].at < 400) return;
    const sample = { at: event.at, throughput: beat.throughput, p50: beat.p50_ms, p95: beat.p95_ms, queue: beat.queue };
    samples.splice(place + 1, 0, sample);
    if (samples.length > SAMPLES) samples.shift();
  }

  /** @param {Seen} event */
  #train(event) {
    const id = runOf(event);
    const before = this.trainings.get(id);
    const training = before ?? { id, status: "", heardAt: 0, data: {}, points: new Map() };
    if (event.at >= training.heardAt) {
      training.heardAt = event.at;
      training.status = event.type.slice("training.".length);
      // What begins anew is not what failed before.
      training.data = training.status === "started" ? event.data : { ...training.data, ...event.data };
    } else training.data = { ...event.data, ...training.data };
    const { epoch, metrics } = event.data;
    if (Number.isFinite(epoch) && metrics) plot(training, epoch, metrics);
    keep(this.trainings, id, training, TRAININGS);
  }

  /** @param {Seen} event */
  #work(event) {
    const { id } = event.data;
    const status = event.type.slice("job.".length);
    if (event.at < (this.jobs.get(id)?.at ?? 0)) return;
    if (status === "deleted") this.jobs.delete(id);
    else keep(this.jobs, id, { id, done: 0, total: null, error: "", ...event.data, status, at: event.at }, JOBS);
  }
}

/** What is the same of an event that is told twice. @param {StatusEvent} event */
function keyOf({ type, source, ts, data }) {
  return `${type} ${source} ${ts} ${data.id ?? data.run ?? ""} ${data.epoch ?? ""}`;
}

/** The least delay in the present time and the one before. @param {number} least ms */
function offset(least) {
  return { before: least, least, until: Date.now() + LEAST_OF_MS };
}

/** @param {StatusEvent} event of a training */
function runOf({ data, source }) {
  return String(data.run ?? data.id ?? source);
}

/**
 * @param {Training} training
 * @param {number} epoch
 * @param {Metrics} metrics
 */
function plot({ points }, epoch, metrics) {
  points.set(epoch, { ...points.get(epoch), ...metrics });
}

/**
 * @template T
 * @param {Map<string, T>} map
 * @param {string} key
 * @param {T} value
 * @param {number} most
 */
function keep(map, key, value, most) {
  map.delete(key);
  map.set(key, value);
  if (map.size > most) map.delete(/** @type {string} */ (map.keys().next().value));
}
