"""What the page does when the way to the server is lost: it says so, and comes back without gaps or repetitions."""

import re

import httpx
import pytest
from playwright.sync_api import expect


def test_a_server_that_goes_away_and_returns(make_server, open_page):
    server = make_server()
    page = open_page(server)
    expect(page.locator("#connection")).to_have_text("Live")
    expect(page.locator("#replicas tbody tr")).to_contain_text("answering")
    page.clock.install()
    server.stop()

    expect(page.locator("#connection")).to_have_text("Not connected")
    banner = page.locator(".banner")
    expect(banner).to_contain_text("The live numbers are from")
    expect(banner).not_to_contain_text("The server said")  # it says nothing: it is not there
    expect(page.locator(".figures")).to_have_class(re.compile("stale"))
    expect(page.locator("#replicas tbody tr")).to_have_class("stale")
    expect(page.locator("#replicas tbody tr")).to_contain_text("silent for")
    expect(banner.get_by_role("button", name="Try now")).to_be_visible()

    page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 2)  # or the page tries by itself before the button does
    server.start()
    banner.get_by_role("button", name="Try now").click()
    expect(page.locator("#connection")).to_have_text("Live")
    page.clock.resume()
    expect(banner).to_be_hidden()
    expect(page.locator("#events li", has_text="Events may be missing here")).to_have_count(1)
    # The old process is another replica: it stays, greyed, beside the new one.
    expect(page.locator("#replicas tbody tr", has_text="answering")).to_have_count(1)
    expect(page.locator("#replicas tbody tr.stale")).to_have_count(1)


@pytest.mark.parametrize(("view", "ready"), [("live", "#replicas"), ("docs", ".route")])
def test_a_network_that_changes_while_the_page_is_loaded(server, open_page, view, ready):
    page = open_page(server, view, ready=ready)
    lost = []

    def lose_once(route):
        if route.request.url in lost:
            route.continue_()
        else:
            lost.append(route.request.url)
            route.abort("connectionfailed")

    for pattern in ("**/web/i18n/zh.js", "**/openapi.json", "**/v1/auth/me"):
        page.route(pattern, lose_once)
    page.reload()
    page.wait_for_selector(ready)
    assert len(lost) == 2
    assert page.evaluate("sessionStorage.getItem('pindet.starts')") is None


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


def test_a_sign_in_that_ends_is_asked_for_again_and_nothing_is_lost(
    guarded, open_page, token_of, ticket_of, sign_in, scene
):
    page = open_page(guarded, token=token_of(guarded, "operator"))
    # As if signed in an hour ago: the socket is closed in a few seconds, and then there is no other ticket.
    over = {"status": 401, "json": {"title": "Sign-in needed", "status": 401, "detail": "no valid token"}}
    ended = []

    def give_ticket(route):
        ticket = {"json": {"ticket": ticket_of(guarded, "operator", 5.0), "expires_in": 30}}
        route.fulfill(**(over if ended else ticket))

    page.route("**/v1/auth/ticket", give_ticket)
    page.reload()
    expect(page.locator("#connection")).to_have_text("Live")
    ended.append(True)
    page.get_by_label("Detections").check()

    expect(page.locator("#sign-in h1")).to_have_text("Sign in again")
    expect(page.locator("#name")).to_have_value("operator")
    expect(page.locator("#connection")).to_have_text("Signed out")
    seen = page.locator("#events li", has_text="blue × 1")
    before = seen.count()  # of earlier tests, which a fresh page asks for
    token = token_of(guarded, "viewer")
    guarded.detect(scene(), headers={"Authorization": f"Bearer {token}"})
    page.unroute_all()
    sign_in(page, "operator")

    expect(page.locator("#connection")).to_have_text("Live")
    expect(seen).to_have_count(before + 1)
    expect(page.locator("#events li", has_text="Events may be missing")).to_have_count(0)
    expect(page.get_by_label("Detections")).to_be_checked()


def test_a_language_that_is_chosen_in_the_sign_in_is_that_of_the_page_behind_it(guarded, open_page, token_of, sign_in):
    page = open_page(guarded, token=token_of(guarded, "operator"))
    expect(page.locator("#connection")).to_have_text("Live")
    over = {"status": 401, "json": {"title": "Sign-in needed", "status": 401, "detail": "no valid token"}}
    page.route("**/v1/releases", lambda route: route.fulfill(**over))
    page.get_by_role("link", name="Models").click()
    expect(page.locator("#sign-in h1")).to_have_text("Sign in again")
    page.unroute_all()
    page.get_by_role("dialog").get_by_role("button", name="中文").click()
    expect(page.locator("#sign-in h1")).to_have_text("请重新登录")
    sign_in(page, "operator")
    expect(page.get_by_role("link", name="实时")).to_be_visible()
    expect(page.get_by_role("heading", name="发布版本")).to_be_visible()
    # Drawn in it already: to be signed in once more changes nothing.
    page.get_by_role("link", name="历史").click()
    page.evaluate("document.querySelector('main').firstChild.id = 'kept'")
    page.route("**/v1/statistics*", lambda route: route.fulfill(**over))
    page.get_by_role("button", name="刷新").click()
    expect(page.locator("#sign-in h1")).to_have_text("请重新登录")
    page.unroute_all()
    sign_in(page, "operator")
    expect(page.locator("#kept")).to_have_count(1)


def test_a_sign_in_is_renewed_in_time(guarded, open_page, token_of):
    token = token_of(guarded, "operator")
    page = open_page(guarded, token=token, renew_at=0)
    page.wait_for_function("old => JSON.parse(sessionStorage.getItem('pindet.token')).token !== old", arg=token)
    fresh = page.evaluate("JSON.parse(sessionStorage.getItem('pindet.token'))")
    me = httpx.get(f"{guarded.url}/v1/auth/me", headers={"Authorization": f"Bearer {fresh['token']}"}).json()
    assert me["name"] == "operator"
    assert fresh["renewAt"] > 0
    expect(page.locator("#connection")).to_have_text("Live")
