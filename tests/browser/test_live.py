"""Live: numbers of replicas, charts, trainings and events, as the feed tells them."""

import re
import zipfile

import httpx
import pytest
from playwright.sync_api import expect

PUBLISHED = [
    ("training.started", {"run": "r1", "name": "longer", "epochs": 3}),
    ("training.progress", {"run": "r1", "epoch": 1, "epochs": 3, "metrics": {"train/loss": 2.5, "val/map": 0.3}}),
    ("training.progress", {"run": "r1", "epoch": 2, "epochs": 3, "metrics": {"train/loss": 1.5, "val/map": 0.5}}),
]


def test_the_numbers_of_a_replica_appear_and_are_live(server, open_page, scene):
    page = open_page(server)
    expect(page.locator("#connection")).to_have_text("Live")
    row = page.locator("#replicas tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("answering")
    expect(row).to_contain_text("workspace")
    md5 = httpx.get(f"{server.url}/v1/model").json()["md5"]
    expect(row.locator("code")).to_have_text(md5[:8])

    server.detect(scene())
    expect(page.locator(".figure", has_text="Throughput").locator("dd")).not_to_contain_text("0 images/s")
    expect(row.locator("td").nth(3)).not_to_have_text("–")


def test_a_number_is_of_now_only_while_the_feed_is_live_and_the_replica_heard(server, open_page):
    page = open_page(server, "docs")
    seen = page.evaluate("""async () => {
        const { isStale } = await import("/web/views/live-replicas.js");
        return [[1000, true], [8000, true], [1000, false]]
            .map(([age, live]) => isStale({ heardAt: 9e9 - age }, 9e9, live));
    }""")
    assert seen == [False, True, True]


def test_without_a_replica_that_is_heard_no_number_is_said(server, open_page, in_live):
    shown = in_live(open_page(server, "docs"), """
        const beat = { throughput: 5, p50_ms: 4, p95_ms: 9, queue: 2, model: { version: "v1", md5: "0" } };
        store.replicas.set("r0", { source: "r0", heardAt: Date.now() - 60_000, ts: 1, beat, samples: [] });
        await drawn();
        return [...root.querySelectorAll(".figure")].map((one) => one.innerText.replace(/\\s+/g, " ").trim());
    """)  # fmt: skip
    assert [text for text in shown if text.startswith(("Throughput", "Slowest", "Queue", "Model"))] == [
        "Throughput –", "Slowest p95 –", "Queue –", "Model –",
    ]  # fmt: skip


def test_an_older_event_that_comes_late_is_listed_in_its_place(server, open_page, in_live):
    shown = in_live(open_page(server, "docs"), """
        const tell = (ms, reason) => store.take({
            id: `${ms}-0`, type: "model.refused", ts: ms / 1000, source: "r0", data: { reason } });
        tell(Date.now(), "the newer");
        await drawn();
        tell(Date.now() - 5000, "the older");
        await drawn();
        return [...root.querySelectorAll("#events .what")].map((one) => one.textContent);
    """)  # fmt: skip
    assert shown == ["the newer", "the older"]


def test_a_replica_that_is_gone_is_forgotten_whatever_view_is_shown(server, open_page):
    page = open_page(server, "docs")
    left = page.evaluate("""async () => {
        const { Store } = await import("/web/store.js");
        const store = new Store(), now = Date.now();
        const beat = (source, ms) => store.take({ id: `${now + ms}-0`, type: "heartbeat", ts: (now + ms) / 1000, source,
            data: { throughput: 0, queue: 0, model: {} } });
        beat("gone", 0);
        Date.now = () => now + 200_000;
        beat("here", 200_000);
        return [...store.replicas.keys()];
    }""")
    assert left == ["here"]


def test_a_replica_whose_clock_was_set_back_goes_on_and_what_comes_again_is_older(server, open_page):
    page = open_page(server, "docs")
    seen = page.evaluate("""async () => {
        const { Store } = await import("/web/store.js");
        const store = new Store(), now = Date.now(), seen = [];
        const event = (number, queue, ts) => ({ id: `${now}-${number}`, type: "heartbeat", ts: now / 1000 + ts,
            source: "r0", data: { throughput: 0, queue, model: {} } });
        const snapshot = (reset, ...replicas) => ({ id: `${now}-0`, type: "snapshot", ts: now / 1000, source: "r0",
            data: { reset, bus: {}, states: [], replicas: replicas.map((one) => ({ ...one, age: 0 })) } });
        for (const one of [event(5, 1, 0), event(6, 2, -3600), snapshot(false, event(8, 4, -3598)),
                           event(7, 3, -3599), snapshot(true), event(1, 5, -3597)]) {
            store.take(one);
            seen.push(store.replicas.get("r0").beat.queue);
        }
        return seen;
    }""")
    assert seen == [1, 2, 4, 4, 4, 5]


def test_a_clock_that_is_set_forward_makes_replicas_silent_for_a_short_time_only(server, open_page):
    page = open_page(server, "docs")
    silent = page.evaluate("""async () => {
        const { Store } = await import("/web/store.js");
        const { isStale } = await import("/web/views/live-replicas.js");
        const store = new Store(), real = Date.now, start = real(), silent = [];
        let ahead = 0;
        for (let second = 0; second < 300; second += 2) {
            if (second === 100) ahead = 30_000;
            const ms = start + second * 1000;
            Date.now = () => ms + ahead;
            store.take({ id: `${ms}-0`, type: "heartbeat", ts: ms / 1000, source: "r0",
                data: { throughput: 0, queue: 0, model: {} } });
            if (isStale(store.replicas.get("r0"), Date.now(), true)) silent.push(second);
        }
        Date.now = real;
        return silent;
    }""")
    assert silent and min(silent) == 100 and max(silent) < 240


def test_the_ticks_of_a_chart_are_whole_and_each_is_there_once(server, open_page, in_live):
    page = open_page(server, "docs")
    minutes, epochs = in_live(page, """
        const event = (type, data) => store.take({
            id: `${Date.now()}-0`, type, ts: Date.now() / 1000, source: "t", data });
        event("training.started", { run: "r1", epochs: 3 });
        for (const epoch of [1, 2, 3]) {
            event("training.progress", { run: "r1", epoch, epochs: 3, metrics: { "train/loss": 1 / epoch } });
        }
        await drawn(); await drawn();
        const ticks = (figure) => [...figure.querySelectorAll(".tick.x")].map((one) => one.textContent);
        return [ticks(root.querySelector("figure")), ticks(root.querySelector("#trainings figure"))];
    """)  # fmt: skip
    assert epochs == ["1", "2", "3"]
    assert len(minutes) >= 3 and len(set(minutes)) == len(minutes)
    multiples = """async (asked) => {
        const { multiples } = await import("/web/chart.js");
        return asked.map(([low, high, steps, most]) => multiples(low, high, steps, most));
    }"""
    seen = page.evaluate(multiples, [[1, 100, [1, 2, 5, 10, 20, 50], 6], [7, 7, [1, 2], 3], [95, 401, [60, 120], 3]])
    assert seen == [[20, 40, 60, 80, 100], [7], [120, 240, 360]]


def test_a_page_that_comes_in_the_middle_of_a_training_shows_all_of_its_curve(server, open_page, in_live):
    summary = in_live(open_page(server, "docs"), """
        const curve = [1, 2, 3].map((epoch) => [epoch, { "train/loss": 4 - epoch }]);
        const data = { run: "r1", epoch: 3, epochs: 9, metrics: { "train/loss": 1 } };
        const state = { id: "5-0", type: "training.progress", ts: 5, source: "t", data, age: 1, curve };
        store.take({ id: "9-0", type: "snapshot", ts: 9, source: "r0",
                     data: { reset: false, bus: {}, replicas: [], states: [state] } });
        await drawn(); await drawn();
        return root.querySelector("#trainings svg").getAttribute("aria-label");
    """)  # fmt: skip
    assert summary == "Loss, by epoch. train/loss: last 1, from 1 to 3"


def test_charts_have_axes_and_say_what_they_show(server, open_page, scene):
    server.detect(scene())
    page = open_page(server)
    chart = page.locator("figure", has_text="Time of a request")
    expect(chart.locator(".unit")).to_have_text("ms")
    expect(chart.locator("svg")).to_have_attribute("aria-label", re.compile("^Time of a request, ms. p95: last"))
    expect(chart.locator(".legend")).to_contain_text("p50")
    assert chart.locator(".tick").count() >= 5

    chart.locator("svg").focus()
    page.keyboard.press("ArrowLeft")
    for _ in range(60):
        if chart.locator(".tip").is_visible():
            break
        page.keyboard.press("ArrowRight")
    expect(chart.locator(".tip")).to_contain_text("p95")


def test_events_are_listed_and_filtered(server, open_page, scene):
    page = open_page(server)
    listed = page.get_by_role("list", name="Events")
    listed.focus()  # with which it is scrolled by keyboard
    expect(listed).to_be_focused()
    events = page.locator("#events li")
    expect(events.filter(has_text="model loaded")).to_have_count(1)
    expect(events.filter(has_text="detection")).to_have_count(0)

    page.get_by_label("Detections").check()
    server.detect(scene())
    expect(events.filter(has_text="blue × 1").first).to_be_visible()
    page.get_by_label("Search events").fill("no such thing")
    expect(events).to_have_text("Nothing has happened yet, or nothing that matches the filter.")
    page.get_by_label("Search events").fill("loaded")
    expect(events).to_have_count(1)


def test_what_is_not_listed_is_counted(server, open_page, in_live):
    said = in_live(open_page(server, "docs"), """
        const told = (n) => ({ id: `${n}-0`, ts: n, type: "model.loaded", source: "r0", data: { version: `v${n}` } });
        const last = () => document.querySelector("#events").lastElementChild.textContent;
        const said = [];
        for (const [from, until] of [[0, 150], [150, 151], [151, 160]]) {
            for (let n = from; n < until; n++) store.take(told(n));
            await drawn();
            said.push([document.querySelectorAll("#events time").length, last()]);
        }
        return said;
    """)
    assert said[0][0] == said[1][0] == said[2][0] == 150
    assert "v0" in said[0][1]
    assert [text for _, text in said[1:]] == [
        "1 older event is not listed; filter or search.",
        "10 older events are not listed; filter or search.",
    ]


def test_a_job_shows_its_progress(server, open_page, scene, png, tmp_path):
    archive = tmp_path / "images.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.png", png(scene()))
        file.writestr("b.png", png(scene()))
        file.writestr("c.txt", "no image")
    page = open_page(server)
    expect(page.locator("#connection")).to_have_text("Live")
    expect(page.locator("#jobs")).to_be_hidden()
    for name in ("", "shift <1>.zip"):
        query = {"name": name} if name else {}
        job = httpx.post(f"{server.url}/v1/jobs", content=archive.read_bytes(), params=query, timeout=30).json()
        listed = page.locator("#jobs li", has_text=name or job["id"][:8])
        expect(listed).to_contain_text("finished")
        expect(listed).to_contain_text("3 frames / 3 (100%) · 1 unreadable")
    expect(page.locator("#events li", has_text="job finished").first).to_be_visible()


def test_a_running_job_that_is_not_heard_of_is_stale_and_dropped_when_nobody_knows_it(server, open_page, in_live):
    silent, known, unknown = in_live(open_page(server, "docs"), """
        const real = Date.now, start = real();
        const event = (type, id, ms = real()) => ({
            id: `${ms}-0`, type, ts: ms / 1000, source: "r0", data: { id, done: 1, total: 4 } });
        const shown = () => [...root.querySelectorAll("#jobs li")].map((one) => [
            one.querySelector("code").textContent, one.querySelector(".tag").className.trim(),
            one.querySelector("progress") !== null, one.textContent.includes("heard 2 min 0 s ago")]);
        for (const id of ["one", "two"]) store.take(event("job.running", id, start));
        Date.now = () => start + 120_000;
        await drawn();
        const all = [shown()];
        Date.now = real;
        const snapshot = (...states) => store.take({ id: `${start}-0`, type: "snapshot", ts: start / 1000, source: "r0",
            data: { reset: true, bus: {}, replicas: [], states } });
        snapshot();
        await drawn();
        all.push(shown().length);
        snapshot({ ...event("job.running", "two", start), age: 0 });
        await drawn();
        return [...all, shown().map(([id]) => id)];
    """)  # fmt: skip
    assert silent == [["two", "tag warn", False, True], ["one", "tag warn", False, True]]
    assert known == 2, "a snapshot without jobs tells nothing of them"
    assert unknown == ["two"]


def test_a_training_that_is_silent_looks_so(server, open_page, in_live):
    heard, silent = in_live(open_page(server, "docs"), """
        const real = Date.now, start = real();
        const data = { run: "r1", epoch: 1, epochs: 3 };
        store.take({ id: `${start}-0`, type: "training.progress", ts: start / 1000, source: "t", data });
        const shown = () => [root.querySelector("#trainings .tag").className.trim(),
                             root.querySelector("#trainings progress").hidden];
        await drawn();
        const all = [shown()];
        Date.now = () => start + 700_000;
        await drawn();
        Date.now = real;
        return [...all, shown()];
    """)  # fmt: skip
    assert (heard, silent) == (["tag", False], ["tag warn", True])


def test_a_training_that_ended_says_how_far_it_came(server, open_page, in_live):
    """Whether its end is told first, as by a snapshot, or last; what is told late adds what is not known yet."""
    texts = in_live(open_page(server, "docs"), """
        let n = 0;
        const at = Date.now();
        const tell = (run, ms, type, data) => store.take(
            { id: `${at + ms}-${n++}`, ts: (at + ms) / 1000, type, source: "trainer", data: { run, ...data } });
        const about = { name: "night-shift", epochs: 9 };
        const story = [
            [0, "training.started", about],
            ...[1, 2, 3, 4, 5].map((epoch) => [epoch, "training.progress", { epoch, metrics: { "val/map": 0.1 } }]),
            [9, "training.failed", { error: "no room" }],
        ];
        for (const one of story) tell("forwards", ...one);
        for (const one of story.toReversed()) tell("backwards", ...one);
        tell("again", 0, "training.failed", { ...about, error: "no room" });
        tell("again", 1, "training.started", about);
        await drawn();
        const events = [...document.querySelectorAll("#events .what")].map((one) => one.textContent);
        return [[...document.querySelectorAll("#trainings article")].map((one) => one.innerText), events];
    """)
    again, backwards, forwards = texts[0]
    for text in (backwards, forwards):
        assert "night-shift" in text and "epoch 5 of 9" in text and "no room" in text
    assert "no room" not in again and "epoch 0 of 9" in again
    assert not any("epoch 0" in what for what in texts[1])


def test_what_a_snapshot_told_first_is_listed_where_the_feed_has_it(server, open_page, in_live):
    listed = in_live(open_page(server, "docs"), """
        const ts = Date.now() / 1000 - 5, at = Math.round(ts * 1000) + 60;
        const one = (name, place) =>
            ({ id: `${at}-${place}`, type: `model.${name}`, source: "r0", ts: ts + place / 100, data: {} });
        const [loading, loaded] = [one("loading", 0), one("loaded", 1)];
        const data = { bus: { backend: "redis", state: "up" }, replicas: [], states: [{ ...loaded, age: 4.99 }] };
        store.take({ id: `${at}-0`, type: "snapshot", source: "r0", ts: Date.now() / 1000, data });
        for (const event of [loading, loaded]) store.take(event);
        await drawn();
        return [...document.querySelectorAll("#events .tag")].map((one) => one.textContent);
    """)
    assert listed == ["model loaded", "model loading"]


def test_a_training_of_another_process_shows_with_its_curves(make_server, redis_server, open_page):
    redis = pytest.importorskip("redis")
    from pindet_serve.status.event import encode_body
    from pindet_serve.status.redis_stream import publish_arguments

    page = open_page(make_server(REDIS_URL=redis_server.url))
    expect(page.locator("#connection")).to_have_text("Live")
    with redis.Redis(port=redis_server.port) as client:
        for number, (type, data) in enumerate(PUBLISHED):
            body = encode_body(type, 1_700_000_000.0 + number, "trainer", data)
            client.execute_command("EVAL", *publish_arguments("trainer", number + 1, body, 4096))
    card = page.locator("#trainings article")
    expect(card).to_contain_text("longer")
    expect(card).to_contain_text("epoch 2 of 3")
    expect(card.get_by_role("img", name="Loss, by epoch. train/loss: last 1.5, from 1.5 to 2.5")).to_be_visible()
    expect(card.get_by_role("img", name="Quality, by epoch. val/map: last 0.5")).to_be_visible()


def test_a_fresh_page_shows_what_happened_before_it_was_opened(server, open_page, scene):
    server.detect(scene())
    first = open_page(server)
    expect(first.locator("#connection")).to_have_text("Live")
    first.wait_for_timeout(5000)  # two heartbeats, so that there is something to have been missed
    second = open_page(server)
    expect(second.locator("#connection")).to_have_text("Live")
    drawn = second.locator("figure", has_text="Throughput").locator("path.line")
    expect(drawn).to_have_attribute("d", re.compile("L"))
