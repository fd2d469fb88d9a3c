"""The socket of the page by itself: resuming, waiting, silence, refusals, and how much it makes the page remember."""

from pathlib import Path

from playwright.sync_api import expect

HERE = Path(__file__).parent


def play(open_page, server, text):
    """Run the real socket class with a played connection and clock."""
    page = open_page(server, "docs", bypass_csp=True)  # it has no socket of its own; what is played is given as text
    return page.evaluate((HERE / "played_socket.js").read_text("utf-8"), text)


def test_it_resumes_after_what_was_read_and_drops_what_it_has(open_page, server):
    seen = play(open_page, server, """async ({ socket, sockets, settle }) => {
        socket.start(); await settle();
        sockets[0].say({ id: "100-0", type: "snapshot", data: { reset: false } });
        const ids = ["100-1", "101-0", "101-0-1", "101-0", "100-1", "101-0-1"];
        for (const id of ids) sockets[0].say({ id, type: "heartbeat" });
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
    queries = [dict(part.split("=") for part in url.split("&")) for url in seen["urls"]]
    assert [query["last_id"] for query in queries][1:] == ["101-0-1", "101-1-1"]
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


def test_a_network_that_returns_is_used_at_once(open_page, server):
    seen = play(open_page, server, """async ({ socket, sockets, settle }) => {
        socket.start(); await settle();
        sockets[0].say({ id: "7-0", type: "snapshot", data: { reset: false } });
        for (const wake of [() => window.dispatchEvent(new Event("online")),
                            () => document.dispatchEvent(new Event("visibilitychange"))]) {
            sockets.at(-1).end(1006);
            if (socket.state !== "waiting") throw new Error(socket.state);
            wake(); await settle();
            if (socket.state !== "connecting") throw new Error(socket.state);
        }
    }""")

    assert len(seen["urls"]) == 3
    assert all("last_id=7-0" in url for url in seen["urls"][1:])


def test_after_a_sleep_silence_is_not_waited_out(open_page, server):
    seen = play(open_page, server, """async ({ socket, sockets, settle, later }) => {
        const wakes = [() => window.dispatchEvent(new Event("online")),
                       () => document.dispatchEvent(new Event("visibilitychange"))];
        socket.start(); await settle();
        for (const wake of wakes) {
            sockets.at(-1).say({ id: "7-0", type: "snapshot", data: { reset: false } });
            later(14_000); wake(); await settle();
            if (socket.state !== "live") throw new Error("what was heard 14 s ago may be well");
            later(2_000); wake(); await settle();
            if (socket.state !== "connecting") throw new Error(socket.state);
        }
    }""")

    assert len(seen["urls"]) == 3
    assert all("last_id=7-0" in url for url in seen["urls"][1:])


def test_a_fresh_page_asks_for_less_until_the_server_has_it(open_page, server):
    seen = play(open_page, server, """async ({ socket, sockets, settle }) => {
        socket.start(); await settle();
        for (let n = 0; n < 2; n++) {
            sockets[n].say({ id: "900-0", type: "snapshot", data: { reset: true } }); await settle();
        }
        sockets[2].say({ id: "900-0", type: "snapshot", data: { reset: false } });
    }""")

    asked = [int(url.split("last_id=")[1].split("-")[0]) for url in seen["urls"]]
    assert len(asked) == 3
    assert asked[0] < asked[1] < asked[2]
    assert seen["taken"] == ["900-0"]


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


def test_hours_of_events_and_of_replicas_that_come_and_go_leave_live_in_flat_memory(open_page, server):
    page = open_page(server, "docs")
    session = page.context.new_cdp_session(page)
    page.evaluate((HERE / "an_hour.js").read_text("utf-8"))

    def used_after(hour):
        page.evaluate(f"globalThis.hour({hour})")  # Live draws it, while it happens
        return min(collected() for _ in range(3))  # what a look at it left behind goes with the next

    def collected():
        session.send("HeapProfiler.collectGarbage")
        return session.send("Runtime.getHeapUsage")["usedSize"]

    # The first hours fill what is bounded; each after that must add nothing.
    first = [used_after(hour) for hour in range(9)][-1]
    second = used_after(9)
    assert page.evaluate("store.listed") > 10 * 3600 * 2
    assert second - first < 1_000_000
    sizes = page.evaluate("""[store.events.length, store.detections.length, store.jobs.size, store.trainings.size,
        ...[...store.replicas.values()].map((replica) => replica.samples.length)]""")  # fmt: skip
    assert sizes == [400, 100, 50, 8, 480, 480, *[300] * (len(sizes) - 6)]
    assert len(sizes) - 6 == 2, "of the replicas that come and go those of the last minutes are kept"
    expect(page.locator("#replicas tbody tr")).to_have_count(4)
    expect(page.locator("#trainings article")).to_have_count(8)
