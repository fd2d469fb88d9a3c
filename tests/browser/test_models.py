"""Models: what is served, what is released, and who may change it; the same without the page."""

import json
import time

import httpx
import pytest
import redis
from pindet_serve.status.publisher import Publisher
from playwright.sync_api import expect

from .test_accessible import PHONE, violations

SECRET = "0f9d2c4b6a8e1735f0b1c2d3e4a59687"


@pytest.fixture
def released(tmp_path, make_release, make_bundle):
    """A function that releases a bundle to production, and staging once: told by version and the model's score."""
    remote = tmp_path / "remote"

    def release(version, score, stage="production"):
        production = remote / "releases/detector/production.json"
        before = production.read_text("utf-8") if production.exists() else ""
        path = make_release(remote, make_bundle(tmp_path / "bundle", score=score), version)
        content = json.loads(path.read_text("utf-8"))
        content |= {
            "stage": stage, "git_commit": "a1b2c3d4" * 5, "metrics": {"test/map": score}, "promoted_by": "trainer-7",
            "promoted_at": "2026-03-04T05:06:07Z", "mlflow": {"run_id": "r" * 32, "run_name": "longer"},
        }  # fmt: skip
        if stage != "production":
            path.write_text(before, "utf-8")
        path.with_name(f"{stage}.json").write_text(json.dumps(content), "utf-8")
        return path.with_name(f"{stage}.json")

    return release


def test_a_workspace_is_shown_with_what_pins_it(server, open_page):
    page = open_page(server, "models", ready=".pairs")
    model = httpx.get(f"{server.url}/v1/model").json()
    expect(page.locator(".pairs").first).to_contain_text(model["md5"])
    expect(page.locator(".pairs").first).to_contain_text("workspace, not promoted")
    expect(page.locator("main")).to_contain_text(model["data_md5"])
    expect(page.locator("main")).to_contain_text("dvc.lock pins it")
    expect(page.get_by_role("button", name="Roll back")).to_be_disabled()


def test_promotion_is_a_command_to_be_copied(server, open_page):
    page = open_page(server, "models", ready="#promote-rev")
    page.get_by_label("Revision").fill("exp; rm -rf '/'")
    command = page.locator(".command")
    expect(command).to_have_text(r"pindet promote --stage production --rev 'exp; rm -rf '\''/'\'''")
    page.get_by_label("Revision").fill("wise-owl")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy Command").click()
    assert page.evaluate("navigator.clipboard.readText()") == "pindet promote --stage production --rev wise-owl"


def test_releases_are_loaded_and_rolled_back_by_who_may(make_server, released, open_page, sign_in, add_users, tmp_path):
    source = released("v1.0.0", 0.9)
    released("v2.0.0-rc", 0.95, "staging")
    add_users(tmp_path / "state")
    server = make_server(source, JWT_SECRET=SECRET)
    page = open_page(server, "models", ready=None)
    sign_in(page, "operator")
    rows = page.locator("#releases tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text("v1.0.0")
    for text in ("followed", "served here", "trainer-7", "a1b2c3d4", "2026"):
        expect(rows.nth(0)).to_contain_text(text)
    expect(rows.nth(1)).to_contain_text("+0.050")
    expect(page.locator("main")).to_contain_text("r" * 32)

    released("v1.1.0", 0.8)
    page.get_by_role("button", name="Load what is pinned").click()
    page.locator("dialog").get_by_role("button", name="Load what is pinned").click()
    expect(page.locator(".pairs").first).to_contain_text("detector v1.1.0")
    page.get_by_role("button", name="Roll back").click()
    dialog = page.get_by_role("dialog", name="Roll back from v1.1.0?")
    expect(dialog).to_contain_text("v1.0.0 answers again, at once")
    dialog.get_by_role("button", name="Cancel").click()
    expect(page.locator(".pairs").first).to_contain_text("detector v1.1.0")
    page.get_by_role("button", name="Roll back").click()
    dialog.get_by_role("button", name="Roll back").click()
    expect(page.locator(".pairs").first).to_contain_text("detector v1.0.0")
    expect(rows.nth(0)).not_to_contain_text("served here")
    expect(page.locator("main")).to_contain_text("v1.1.0 was rolled back on this server")

    source.write_text("{}", "utf-8")
    page.get_by_role("button", name="Load what is pinned").click()
    page.locator("dialog").get_by_role("button", name="Load what is pinned").click()
    expect(page.locator("dialog").get_by_role("alert")).to_contain_text("is no release file")
    page.locator("dialog").get_by_role("button", name="Cancel").click()
    expect(page.locator("main")).to_contain_text("The last load was refused; this model serves on.")
    expect(rows.nth(0)).to_contain_text("can not be read")


def test_a_server_that_returns_with_another_release_is_shown_with_it(make_server, released, open_page):
    server = make_server(released("v1.0.0", 0.9))
    page = open_page(server, "models", ready=".pairs")
    served = page.locator(".pairs").first
    expect(page.locator("#connection")).to_have_text("Live")
    expect(served).to_contain_text("detector v1.0.0")
    server.stop()
    expect(page.locator("#connection")).to_have_text("Not connected")
    released("v1.1.0", 0.8)
    server.start()
    expect(served).to_contain_text("detector v1.1.0")


def test_what_is_typed_stays_when_someone_else_changes_the_release(make_server, released, open_page):
    server = make_server(released("v1.0.0", 0.9))
    released("v1.1.0", 0.8)
    page = open_page(server, "models", ready="#promote-rev")
    expect(page.locator("#connection")).to_have_text("Live")
    page.get_by_label("To stage").select_option("staging")
    page.get_by_label("Revision").fill("wise-owl")
    page.get_by_label("Revision").evaluate("input => input.setSelectionRange(4, 4)")
    page.evaluate("scrollTo(0, 0)")
    at = page.evaluate("scrollY")
    assert httpx.post(f"{server.url}/v1/model/reload", timeout=60).json()["changed"]
    expect(page.locator(".pairs").first).to_contain_text("detector v1.1.0")

    expect(page.locator(".command")).to_have_text("pindet promote --stage staging --rev wise-owl")
    expect(page.get_by_label("Revision")).to_be_focused()
    page.keyboard.type("s")
    expect(page.get_by_label("Revision")).to_have_value("wises-owl")
    assert page.evaluate("scrollY") == at
    page.get_by_label("Revision").fill("wise-owl")
    expect(page.get_by_label("Revision")).to_have_value("wise-owl")


def test_what_changed_while_others_were_told_is_asked_for(server, open_page):
    page = open_page(server, "docs")
    asked = page.evaluate("""async () => {
        const { Store } = await import("/web/store.js");
        const { mount } = await import("/web/views/models.js");
        const store = new Store();
        let asked = 0;
        const model = () => new Promise(() => asked++);
        mount(document.createElement("main"), { store, model, forgetModel() {} });
        const tell = (ms, type) => store.take({ id: `${ms}-0`, type, ts: ms / 1000, source: "r0", data: {} });
        const now = Date.now(), all = [asked];
        tell(now, "service.redis_back");
        all.push(asked);
        tell(now - 5000, "model.loaded");
        all.push(asked);
        return all;
    }""")
    assert asked == [1, 1, 2], "the late one, behind the newest"


@pytest.mark.parametrize(("url", "leads_to"), [("/mlflow/", "{server}/mlflow/"), ("", "http://mlflow:5000/")])
def test_a_run_is_linked_where_browsers_find_mlflow(make_server, released, open_page, url, leads_to):
    source = released("v1.0.0", 0.9)
    content = json.loads(source.read_text("utf-8"))
    content["mlflow"] |= {"experiment": "production_detection", "store": "http://mlflow:5000"}
    source.write_text(json.dumps(content), "utf-8")
    server = make_server(source, PINDET_MLFLOW_URL=url)
    page = open_page(server, "models", ready=".pairs")
    base = leads_to.format(server=server.url)
    expect(page.get_by_role("link", name="r" * 32)).to_have_attribute("href", f"{base}#/runs/{'r' * 32}")
    store = base if url else base.rstrip("/")
    expect(page.get_by_role("link", name=store, exact=True)).to_have_attribute("href", store)


def test_of_overlapping_loads_the_last_wins(server, open_page):
    page = open_page(server, "docs")
    shown = page.evaluate("""async () => {
        const { loading } = await import("/web/dialog.js");
        const element = document.createElement("div"), answers = [];
        const load = () => loading(element, () => new Promise((resolve, reject) => answers.push({ resolve, reject })));
        const loads = [load(), load(), load()];
        answers[2].resolve(["newest"]);
        await loads[2];
        answers[0].resolve(["oldest"]);
        answers[1].reject(new Error("older"));
        await Promise.all(loads);
        return [element.textContent, element.hasAttribute("aria-busy")];
    }""")
    assert shown == ["newest", False]


def test_a_dialog_says_close_while_what_it_began_goes_on(server, open_page):
    page = open_page(server, "docs")
    page.evaluate("""async () => {
        const { confirm } = await import("/web/dialog.js");
        globalThis.ended = "open";
        const run = () => new Promise((resolve, reject) => Object.assign(globalThis, { resolve, reject }));
        void confirm("Go on?", [], { action: "Go", run }).then((done) => (globalThis.ended = done));
    }""")
    dialog = page.get_by_role("dialog", name="Go on?")
    dialog.get_by_role("button", name="Go", exact=True).click()
    expect(dialog.get_by_role("button")).to_have_text(["Close", "Go"])
    page.evaluate("reject(new Error('not now'))")
    expect(dialog.get_by_role("alert")).to_have_text("not now")
    expect(dialog.get_by_role("button")).to_have_text(["Cancel", "Go"])
    dialog.get_by_role("button", name="Go", exact=True).click()
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)
    assert page.evaluate("ended") == "open", "what is begun goes on"
    page.evaluate("resolve()")
    page.wait_for_function("() => ended === true")


def test_the_sign_in_can_not_be_closed(guarded, open_page):
    page = open_page(guarded, ready="#sign-in")
    for _ in range(4):
        page.keyboard.press("Escape")
        page.wait_for_timeout(100)
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.get_by_label("Name")).to_be_visible()


def test_a_viewer_sees_no_buttons_and_the_server_lets_none_be_pressed(guarded, open_page, sign_in, token_of):
    page = open_page(guarded, "models", ready=None)
    sign_in(page, "viewer")
    expect(page.get_by_text("Loading and rolling back need the role operator.")).to_be_visible()
    expect(page.get_by_role("button", name="Roll back")).to_have_count(0)
    expect(page.get_by_role("link", name="Users")).to_have_count(0)
    headers = {"Authorization": f"Bearer {token_of(guarded, 'viewer')}"}
    for path in ("/v1/model/rollback", "/v1/model/reload", "/v1/users"):
        assert httpx.post(guarded.url + path, headers=headers).status_code == 403, path
    for path in ("/v1/users", "/v1/audit"):
        assert httpx.get(guarded.url + path, headers=headers).status_code == 403, path
    page.goto(f"{guarded.url}/#/users")
    expect(page.locator("main")).to_contain_text("Only administrators see the users.")


class Agent:
    """Says on the bus what a release agent says."""

    def __init__(self, url):
        self.redis = redis.Redis.from_url(url, decode_responses=True)
        self.publisher = Publisher(url, "release-agent@test")

    def listen(self, before=()):
        versions = [
            {"version": "v1.1.0", "commit": "c" * 40, "when": 1.77e9, "metrics": {"test/map": 0.95, "test/f1": 0.9}},
            {"version": "v1.0.0", "commit": "a" * 40, "when": 1.76e9, "metrics": {"test/map": 0.9}},
        ]
        stages = {"production": {"before": list(before)}, "staging": {"before": []}}
        self.say("agent", carries_out=True, stages=stages, versions=versions)

    def say(self, what, **data):
        assert self.publisher.publish(f"release.{what}", data)

    def wish(self, number, seconds=30):
        """The wish of that number, when it is on the bus."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            events = [json.loads(fields["event"]) for _, fields in self.redis.xrange("{pindet:status}:events")]
            wishes = [event["data"] for event in events if event["type"] == "release.wanted"]
            if len(wishes) > number:
                return wishes[number]
            time.sleep(0.05)
        raise AssertionError("no wish came")


@pytest.fixture
def agent(redis_server):
    made = Agent(redis_server.url)
    yield made
    made.publisher.close()
    made.redis.close()


@pytest.fixture
def plant(make_server, released, add_users, redis_server, tmp_path):
    """A server that follows production, on a bus, with sign-in."""
    source = released("v1.0.0", 0.9)
    add_users(tmp_path / "state")
    return make_server(source, JWT_SECRET=SECRET, REDIS_URL=redis_server.url, RELEASE_SECRET=SECRET[::-1])


def test_an_administrator_promotes_and_rolls_back_a_stage(plant, agent, released, open_page, sign_in):
    page = open_page(plant, "models", ready=None)
    sign_in(page, "admin")
    expect(page.locator("#releases tbody tr")).to_have_count(1)
    expect(page.get_by_role("button", name="Promote to")).to_have_count(0)
    expect(page.locator("main")).to_contain_text("so it is done where the repository is")
    agent.listen()
    page.get_by_role("button", name="Promote to production").click()
    dialog = page.get_by_role("dialog", name="Promote to production")
    expect(dialog).to_contain_text("v1.0.0 → v1.1.0")
    expect(dialog.get_by_role("row", name="map")).to_contain_text("+0.050")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)

    page.get_by_role("button", name="Promote to production").click()
    dialog.get_by_role("button", name="Promote", exact=True).click()
    expect(dialog.get_by_role("status")).to_contain_text("waiting for the release agent")
    wish = agent.wish(0)
    told = {name: wish[name] for name in ("id", "kind", "stage", "version")}
    assert told | {"id": ""} == {"id": "", "kind": "promote", "stage": "production", "version": "v1.1.0"}
    agent.say("accepted", **told)
    expect(dialog.get_by_role("status")).to_contain_text("checking the gates")
    agent.say("refused", **told, reason="not promoted; closed: comparison <b>")
    expect(dialog.get_by_role("alert")).to_contain_text("Refused: not promoted; closed: comparison <b>")

    dialog.get_by_role("button", name="Promote", exact=True).click()
    told["id"] = agent.wish(1)["id"]
    released("v1.1.0", 0.95)
    agent.say("done", **told, changed=True)
    agent.listen(before=["v1.0.0"])
    expect(dialog).to_have_count(0)
    expect(page.locator("#notices")).to_contain_text("production holds v1.1.0 now.")
    expect(page.locator("#releases tbody tr").nth(0)).to_contain_text("v1.1.0")

    page.get_by_role("button", name="Roll back production").click()
    dialog = page.get_by_role("dialog", name="Roll back production")
    expect(dialog).to_contain_text("v1.1.0 → v1.0.0")
    dialog.get_by_role("button", name="Roll back", exact=True).click()
    wish = agent.wish(2)
    assert (wish["kind"], wish["version"], wish["by"]) == ("rollback", "v1.0.0", "admin")
    dialog.get_by_role("button", name="Close").click()
    agent.say("refused", id=wish["id"], reason="v1.0.0 does not prove itself")
    expect(page.locator("#notices")).to_contain_text("v1.0.0 does not prove itself")


def test_an_operator_has_no_button_for_a_stage_and_is_refused(plant, agent, open_page, sign_in, token_of):
    agent.listen()
    page = open_page(plant, "models", ready=None)
    sign_in(page, "operator")
    expect(page.get_by_role("button", name="Load what is pinned")).to_be_visible()
    expect(page.locator("#releases")).not_to_contain_text("Promote to")
    headers = {"Authorization": f"Bearer {token_of(plant, 'operator')}"}
    answer = httpx.post(f"{plant.url}/v1/releases/production", json={"version": "v1.1.0"}, headers=headers)
    assert (answer.status_code, answer.json()["detail"]) == (403, "the role is operator; admin is needed")
    page.goto(f"{plant.url}/#/live")
    agent.say("refused", id="0" * 32, stage="staging", version="v1.1.0", reason="no gate is open")
    expect(page.locator("#events")).to_contain_text("no gate is open")
    expect(page.locator("#events")).not_to_contain_text("release.agent")
    expect(page.locator("#replicas tbody tr")).to_have_count(1)  # the agent is none


def test_axe_finds_nothing_in_the_dialog_of_a_stage(plant, agent, open_page, token_of):
    agent.listen(before=["v0.9.0", "v0.8.0"])
    page = open_page(plant, "models", ready=None, token=token_of(plant, "admin"), bypass_csp=True, **PHONE)
    page.get_by_role("button", name="发布到 production").click()
    expect(page.get_by_role("dialog")).to_contain_text("v1.0.0 → v1.1.0")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.get_by_role("button", name="取消").click()
    page.get_by_role("button", name="回滚 production").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("option")).to_have_text(["v0.9.0", "v0.8.0"])
    expect(dialog).to_contain_text("v1.0.0 → v0.9.0")
    dialog.get_by_role("combobox").select_option("v0.8.0")
    expect(dialog).to_contain_text("v1.0.0 → v0.8.0")
