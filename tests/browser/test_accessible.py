"""Every view, in both languages and both themes: axe-core finds nothing, and nothing sticks out."""

import pytest
from playwright.sync_api import expect

VIEWS = {
    "live": "#events li", "try": ".try .chip", "models": ".pairs", "history": ".figures", "users": "#users",
    "docs": ".route",
}  # fmt: skip
PHONE = {"viewport": {"width": 360, "height": 740}, "locale": "zh-CN", "color_scheme": "dark"}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
WIDTHS = (360, 768, 1280, 3840)


@pytest.fixture
def ready_page(guarded, open_page, token_of, png, scene):
    def open(view, **options):
        page = open_page(guarded, view, ready=VIEWS[view], token=token_of(guarded, "admin"), **options)
        if view == "try":
            file = {"name": "part.png", "mimeType": "image/png", "buffer": png(scene())}
            page.set_input_files("input[type=file]", [file, {**file, "name": "broken.png", "buffer": b"none"}])
            page.wait_for_selector(".thumb.bad")
            page.locator(".thumb").first.click()
            page.wait_for_selector(".objects tbody tr")
        if view == "docs":
            page.get_by_label("Search routes").fill("/v1/detect")
            page.locator("#post-v1-detect > summary").click()
        return page

    return open


def violations(page):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    found = axe.Axe().run(page, options={"runOnly": RULES})
    return [
        f"{one['id']}: {one['help']}: {[node['html'][:200] for node in one['nodes']]}"
        for one in found.response["violations"]
    ]


@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing_and_nothing_sticks_out(ready_page, view):
    page = ready_page(view, bypass_csp=True)  # axe adds a style of its own
    for theme_label in ("Theme", "主题"):
        if theme_label == "主题":
            page.get_by_role("button", name="中文").click()
            page.wait_for_selector(VIEWS[view], state="attached")
            if view == "docs":
                page.locator("#post-v1-detect > summary").click()
        for theme, axe_at in (("light", WIDTHS[-2]), ("dark", WIDTHS[0])):
            page.get_by_label(theme_label).select_option(theme)
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 800})
                page.wait_for_timeout(150)
                assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, (theme_label, width)
                if width == axe_at:
                    assert violations(page) == [], (theme_label, theme)


def test_the_sign_in_and_the_dialogs_too(guarded, open_page, sign_in):
    page = open_page(guarded, "users", ready="#sign-in", **PHONE, bypass_csp=True)
    assert violations(page) == []
    sign_in(page, "admin")
    page.get_by_role("button", name="添加用户").click()
    page.get_by_role("dialog").wait_for()
    assert violations(page) == []


def test_a_lost_connection_too(make_server, open_page):
    server = make_server()
    page = open_page(server, bypass_csp=True)
    expect(page.locator("#replicas tbody tr")).to_contain_text("answering")
    server.stop()
    expect(page.locator("#connection")).to_have_text("Not connected")
    assert violations(page) == []


@pytest.mark.parametrize(("locale", "theme"), [("en-GB", "light"), ("zh-CN", "dark")])
def test_live_with_all_that_it_can_show_too(server, open_page, in_live, locale, theme):
    page = open_page(server, "docs", bypass_csp=True, locale=locale, color_scheme=theme)
    in_live(page, """
        const now = Date.now() / 1000;
        let n = 0;
        const tell = (type, data, source = "r0") =>
            store.take({ id: `${Date.now()}-${n++}`, ts: now + n / 1000, type, source, data });
        const model = { version: "v1.2.0", md5: "0123456789abcdef0123456789abcdef" };
        const beat = { throughput: 5, p50_ms: 4, p95_ms: 9, queue: 2, uptime_s: 5, model };
        for (const replica of ["r0", "r1"]) tell("heartbeat", beat, replica);
        for (const [status, run] of [["started", "a"], ["progress", "b"], ["finished", "c"], ["failed", "d"]]) {
            for (const epoch of [1, 2]) {
                const metrics = { "train/loss": 2 / epoch, "val/map": epoch / 3 };
                tell("training.progress", { run, name: `run ${run}`, epoch, epochs: 3, metrics });
            }
            tell(`training.${status}`, { run, name: `run ${run}`, epochs: 3, seconds: 9 });
        }
        for (const status of ["queued", "running", "finished", "failed"]) {
            const error = status === "failed" ? "no" : "";
            tell(`job.${status}`, { id: `0f3a9b2c-${status}`, done: 5, total: 10, error });
        }
        for (const type of ["service.redis_lost", "service.redis_back", "model.refused", "release.promoted"]) {
            tell(type, { reason: "a reason", ...model });
        }
        for (let n = 0; n < 200; n++) tell("model.loaded", model);
        await drawn();
    """)
    assert page.locator("progress").count() >= 2
    assert page.locator("#events time").count() == 150
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_timeout(150)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, width
        assert violations(page) == [], width


@pytest.mark.parametrize("view", VIEWS)
def test_every_control_is_reached_by_tab(ready_page, view):
    page = ready_page(view)
    controls = page.evaluate(
        """() => {
            const some = "a[href], button, input, select, textarea, summary, [tabindex='0']";
            window.controls = [...document.querySelectorAll(some)].filter((one) =>
                !one.disabled && one.tabIndex >= 0 && one.checkVisibility({ visibilityProperty: true }));
            window.reached = new Set([document.activeElement]);
            document.addEventListener("focusin", (event) => window.reached.add(event.target));
            return window.controls.length;
        }"""
    )
    assert controls > 8
    for _ in range(controls + 3):
        page.keyboard.press("Tab")
    missed = "window.controls.filter((one) => one.isConnected && !window.reached.has(one)).map((one) => one.outerHTML)"
    assert page.evaluate(missed) == []


def test_the_skip_link_and_the_views_work_by_keyboard(server, open_page):
    page = open_page(server)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.get_by_role("link", name="Models").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Models")).to_have_attribute("aria-current", "page")
    expect(page).to_have_title("Models · pindet")


def test_the_theme_and_the_language_are_chosen_and_kept(server, open_page):
    page = open_page(server)
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_label("Theme").select_option("dark")
    assert page.evaluate(ground) != light
    page.get_by_role("button", name="中文").click()
    expect(page.get_by_role("button", name="English")).to_be_focused()
    page.reload()
    expect(page.get_by_role("link", name="实时")).to_be_visible()
    expect(page.get_by_label("主题")).to_have_value("dark")
    assert page.evaluate(ground) != light
