// Shows Live with a store of its own, and makes `hour(n)`, which gives the store the events of an hour: two replicas that
// stay and, every ten minutes, two others; detections, jobs, a training, models. Live draws it every five minutes.
async () => {
  const { Store } = await import("/web/store.js");
  const { mount } = await import("/web/views/live.js");
  const store = (globalThis.store = new Store());
  const start = Date.now() / 1000;
  const model = { name: "detector", version: "v1", md5: "0".repeat(32) };
  const empty = { reset: false, bus: {}, replicas: [], states: [] };
  store.take({ id: `${start * 1000}-0`, type: "snapshot", ts: start, source: "r0", data: empty });
  const root = document.createElement("main");
  document.body.replaceChildren(root);
  mount(root, { store, socket: Object.assign(new EventTarget(), { state: "live" }) });
  globalThis.hour = async (hour) => {
    for (let second = 0; second < 3600; second++) {
      const ts = start + hour * 3600 + second;
      const ms = Math.round(ts * 1000);
      let number = 0;
      const tell = (type, source, data) => store.take({ id: `${ms}-${number++}`, type, ts: ts + number / 1000, source, data });
      Date.now = () => ms;
      const others = hour * 6 + Math.floor(second / 600);
      for (const source of second % 2 ? [] : ["r0", "r1", `a${others}`, `b${others}`]) {
        tell("heartbeat", source, { throughput: 5, p50_ms: 4, p95_ms: 9, queue: 1, model });
      }
      tell("detection", "r0", { images: 1, objects: { red: 3 }, ms: 4 });
      tell("detection", "r1", { images: 2, objects: { blue: 1 }, ms: 5 });
      tell("job.running", "r0", { id: `job${hour}-${second >> 4}`, done: second, total: 9 });
      if (second % 10 === 0) tell("training.progress", "t", { run: `run${hour}`, epoch: second, metrics: { "train/loss": 1 / ts } });
      if (second % 60 === 0) tell("model.loaded", "r1", model);
      if (second % 300 === 0) await new Promise(requestAnimationFrame);
    }
  };
}
