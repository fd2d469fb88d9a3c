// Runs the page's socket class with played connections and a played clock; what it did is returned.
async (play) => {
  const { StatusSocket } = await import("/web/socket.js");
  const sockets = [], taken = [], states = [], waits = [];
  class Played extends EventTarget {
    constructor(url) { super(); this.url = url; sockets.push(this); }
    close() { this.closed = true; }
    say(event) {
      const data = JSON.stringify({ ts: 0, source: "a", data: {}, ...event });
      this.dispatchEvent(new MessageEvent("message", { data }));
    }
    end(code, reason = "") { this.dispatchEvent(new CloseEvent("close", { code, reason })); }
  }
  const real = { WebSocket, now: Date.now };
  let now = real.now();
  globalThis.WebSocket = Played;
  Date.now = () => now;
  try {
    const socket = new StatusSocket((event) => taken.push(event.id), async () => "one-use", () => now);
    socket.addEventListener("state", () => {
      states.push(socket.state);
      if (socket.state === "waiting") waits.push(socket.retryAt - now);
    });
    const settle = () => new Promise((resolve) => setTimeout(resolve, 0));
    const tick = () => new Promise((resolve) => setTimeout(resolve, 1100));
    const run = eval(play);
    await run({ socket, sockets, settle, tick, later: (ms) => { now += ms; } });
    socket.stop();
    return { taken, states, waits, urls: sockets.map((one) => one.url.split("?")[1]) };
  } finally {
    globalThis.WebSocket = real.WebSocket;
    Date.now = real.now;
  }
}
