"""What the page does when the way to the server is lost: it says so, and comes back without gaps or repetitions."""

import json
import re

import httpx
from playwright.sync_api import expect


def test_a_server_that_goes_away_and_returns(make_server, open_page, scene):
    server = make_server()
    page = open_page(server)
    expect(page.locator("#connection")).to_have_text("Live")
    expect(page.locator("#replicas tbody tr")).to_contain_text("answering")
    server.stop()

    expect(page.locator("#connection")).to_have_text("Not connected")
    banner = page.locator(".banner")
    expect(banner).to_contain_text("The numbers below are from")
    expect(page.locator(".figures")).to_have_class(re.compile("stale"))
    expect(page.locator("#replicas tbody tr")).to_have_class("stale")
    expect(page.locator("#replicas tbody tr")).to_contain_text("silent for")
    expect(banner.get_by_role("button", name="Try now")).to_be_visible()

    server.start()
    banner.get_by_role("button", name="Try now").click()
    expect(page.locator("#connection")).to_have_text("Live")
    expect(banner).to_be_hidden()
    expect(page.locator("#events li", has_text="Events may be missing here")).to_have_count(1)
    # The old process is another replica: it stays, greyed, beside the new one.
    expect(page.locator("#replicas tbody tr", has_text="answering")).to_have_count(1)
    expect(page.locator("#replicas tbody tr.stale")).to_have_count(1)


def test_redis_that_goes_away_and_returns(make_server, redis_server, open_page):
    server = make_server(REDIS_URL=redis_server.url)
    page = open_page(server)
    bus = page.locator(".figure", has_text="Status bus").locator("dd")
    expect(bus).to_have_text("works redis")
    redis_server.stop()

    expect(bus).to_have_text("lost redis")
    expect(page.locator("#events li", has_text="Redis lost")).to_have_count(1)
    expect(page.locator("#connection")).to_have_text("Live")
    expect(page.locator("#replicas tbody tr")).to_contain_text("answering")

    redis_server.start()
    expect(bus).to_have_text("works redis")
    expect(page.locator("#events li", has_text="Redis back")).to_have_count(1)
    page.wait_for_timeout(2500)
    expect(page.locator("#replicas tbody tr")).to_contain_text("answering")
    expect(page.locator("#events li", has_text="model loaded")).to_have_count(1)


def test_a_sign_in_that_ends_is_asked_for_again_and_nothing_is_lost(guarded, open_page, token_of, sign_in, scene):
    page = open_page(guarded, ready=None)
    # As if signed in an hour ago: six seconds are left, and it is too late to renew.
    stored = {"token": token_of(guarded, "operator", 6.0), "endsAt": 9e15, "renewAt": 9e15}
    page.evaluate("text => sessionStorage.setItem('pindet.token', text)", json.dumps(stored))
    page.reload()
    expect(page.locator("#connection")).to_have_text("Live")
    page.get_by_label("Detections").check()

    expect(page.locator("#sign-in h1")).to_have_text("Sign in again")
    expect(page.locator("#name")).to_have_value("operator")
    expect(page.locator("#connection")).to_have_text("Signed out")
    token = token_of(guarded, "viewer")
    guarded.detect(scene(), headers={"Authorization": f"Bearer {token}"})
    sign_in(page, "operator")

    expect(page.locator("#connection")).to_have_text("Live")
    expect(page.locator("#events li", has_text="blue × 1")).to_have_count(1)
    expect(page.locator("#events li", has_text="Events may be missing")).to_have_count(0)
    expect(page.get_by_label("Detections")).to_be_checked()


def test_a_sign_in_is_renewed_in_time(guarded, open_page, token_of):
    page = open_page(guarded, ready=None)
    token = token_of(guarded, "operator")
    stored = {"token": token, "endsAt": 9e15, "renewAt": 0}
    page.evaluate("text => sessionStorage.setItem('pindet.token', text)", json.dumps(stored))
    with page.expect_response("**/v1/auth/renew") as renewed:
        page.reload()
    assert renewed.value.status == 200
    page.wait_for_function("old => JSON.parse(sessionStorage.getItem('pindet.token')).token !== old", arg=token)
    fresh = page.evaluate("JSON.parse(sessionStorage.getItem('pindet.token'))")
    me = httpx.get(f"{guarded.url}/v1/auth/me", headers={"Authorization": f"Bearer {fresh['token']}"}).json()
    assert me["name"] == "operator"
    assert fresh["renewAt"] > 0
    expect(page.locator("#connection")).to_have_text("Live")


PLAYED = """
async (play) => {
  const { StatusSocket } = await import("/web/socket.js");
  const sockets = [], taken = [], states = [], waits = [];
  class Played extends EventTarget {
    constructor(url) { super(); this.url = url; sockets.push(this); }
    close() { this.closed = true; }
    say(event) { this.dispatchEvent(new MessageEvent("message", { data: JSON.stringify({ ts: 0, source: "a", data: {}, ...event }) })); }
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
"""


def play(open_page, server, text):
    """Run the real socket class with a played connection and clock."""
    page = open_page(server, "docs", bypass_csp=True)  # it has no socket of its own; what is played is given as text
    return page.evaluate(PLAYED, text)


def test_it_resumes_after_what_was_read_and_drops_what_it_has(open_page, server):
    seen = play(open_page, server, """async ({ socket, sockets, settle }) => {
        socket.start(); await settle();
        sockets[0].say({ id: "100-0", type: "snapshot", data: { reset: false } });
        for (const id of ["100-1", "101-0", "101-0-1", "101-0", "100-1", "101-0-1"]) sockets[0].say({ id, type: "heartbeat" });
        sockets[0].end(1006);
        socket.retryNow(); await settle();
        sockets[1].say({ id: "101-0-1", type: "snapshot", data: { reset: false } });
        sockets[1].say({ id: "101-0-1", type: "heartbeat" });
        sockets[1].say({ id: "101-1", type: "heartbeat" });
        sockets[1].say({ id: "101-1-1", type: "ping" });
        sockets[1].end(1012);
        socket.retryNow(); await settle();
    }""")

    assert seen["taken"] == ["100-0", "100-1", "101-0", "101-0-1", "101-0-1", "101-1"]
    assert [dict(part.split("=") for part in url.split("&"))["last_id"] for url in seen["urls"]][1:] == ["101-0-1", "101-1-1"]
    assert all("ticket=one-use" in url for url in seen["urls"])


def test_after_a_reset_it_goes_on_from_where_the_server_stands(open_page, server):
    seen = play(open_page, server, """async ({ socket, sockets, settle }) => {
        socket.start(); await settle();
        sockets[0].say({ id: "900-0", type: "snapshot", data: { reset: false } });
        sockets[0].end(1006);
        socket.retryNow(); await settle();
        sockets[1].say({ id: "5-0", type: "snapshot", data: { reset: true } });
        sockets[1].say({ id: "6-0", type: "heartbeat" });
    }""")

    assert seen["taken"] == ["900-0", "5-0", "6-0"]


def test_the_waits_grow_to_half_a_minute_with_jitter_and_start_over(open_page, server):
    seen = play(open_page, server, """async ({ socket, sockets, settle }) => {
        socket.start();
        for (let n = 0; n < 9; n++) { await settle(); sockets[n].end(1006); socket.retryNow(); }
        await settle();
        sockets[9].say({ id: "1-0", type: "snapshot", data: { reset: false } });
        sockets[9].end(1006);
    }""")

    *growing, last = seen["waits"]
    for number, wait in enumerate(growing):
        longest = min(30_000, 1000 * 2**number)
        assert longest / 2 <= wait <= longest
    assert len({round(wait % 1000, 3) for wait in growing}) > 5
    assert last <= 1000


def test_silence_counts_as_lost(open_page, server):
    seen = play(open_page, server, """async ({ socket, sockets, settle, tick, later }) => {
        socket.start(); await settle();
        sockets[0].say({ id: "1-0", type: "snapshot", data: { reset: false } });
        later(19_000); await tick();
        if (sockets.length !== 1 || socket.state !== "live") throw new Error("too early");
        later(3_000); await tick();
        if (!sockets[0].closed) throw new Error("the silent socket is still open");
    }""")

    assert seen["states"] == ["connecting", "live", "connecting", "stopped"]
    assert "last_id=1-0" in seen["urls"][1]


def test_who_is_not_allowed_is_told_and_does_not_try_again(open_page, server):
    seen = play(open_page, server, """async ({ socket, sockets, settle, tick, later }) => {
        socket.start(); await settle();
        sockets[0].end(4403, "the role is not enough");
        later(60_000); await tick();
        if (sockets.length !== 1) throw new Error("it tried again");
        if (socket.state !== "forbidden") throw new Error(socket.state);
    }""")

    assert seen["states"][:2] == ["connecting", "forbidden"]


def test_an_hour_of_events_is_kept_in_flat_memory(open_page, server):
    page = open_page(server, "docs")
    session = page.context.new_cdp_session(page)
    page.evaluate("""async () => {
        const { Store } = await import("/web/store.js");
        const store = globalThis.store = new Store();
        const at = Date.now() / 1000;
        store.take({ id: `${at * 1000}-0`, type: "snapshot", ts: at, source: "r0", data: { reset: false, bus: {}, replicas: [], states: [] } });
        globalThis.hour = (hour) => {
            for (let second = 0; second < 3600; second++) {
                const ts = at + hour * 3600 + second, ms = Math.round(ts * 1000);
                Date.now = () => ms;
                const model = { name: "detector", version: "v1", md5: "0".repeat(32) };
                for (let r = 0; r < 4 && second % 2 === 0; r++) {
                    const data = { throughput: 5, p50_ms: 4, p95_ms: 9, queue: r, model };
                    store.take({ id: `${ms}-${r}`, type: "heartbeat", ts, source: `r${r}`, data });
                }
                for (let n = 4; n < 6; n++) {
                    store.take({ id: `${ms}-${n}`, type: "detection", ts: ts + n / 10, source: "r0", data: { images: 1, objects: { red: 3 }, ms: 4 } });
                }
                store.take({ id: `${ms}-7`, type: "job.running", ts, source: "r0", data: { id: `job${hour}-${second >> 4}`, done: second, total: 9 } });
                if (second % 10 === 0) store.take({ id: `${ms}-8`, type: "training.progress", ts, source: "t", data: { run: `run${hour}`, epoch: second, metrics: { "train/loss": 1 / ts } } });
                if (second % 60 === 0) store.take({ id: `${ms}-9`, type: "model.loaded", ts, source: "r1", data: model });
            }
        };
    }""")  # fmt: skip

    def used_after(hour):
        page.evaluate(f"globalThis.hour({hour})")
        session.send("HeapProfiler.collectGarbage")
        return session.send("Runtime.getHeapUsage")["usedSize"]

    # The first hours fill what is bounded; each after that must add nothing.
    first = [used_after(hour) for hour in range(9)][-1]
    second = used_after(9)
    assert page.evaluate("store.taken") > 10 * 3600 * 4
    assert abs(second - first) < 1_000_000
    sizes = page.evaluate("""[store.events.length, store.detections.length, store.jobs.size, store.trainings.size,
        ...[...store.replicas.values()].map((replica) => replica.samples.length)]""")  # fmt: skip
    assert sizes == [400, 100, 50, 8, 480, 480, 480, 480]
