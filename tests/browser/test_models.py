"""Models: what is served, what is released, and who may change it; the same without the page."""

import json

import httpx
import pytest
from playwright.sync_api import expect

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
            "stage": stage, "git_commit": "a1b2c3d4" * 5, "metrics": {"test/map": score}, "promoted_by": "Li Wei",
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
    for text in ("followed", "served here", "Li Wei", "a1b2c3d4", "2026"):
        expect(rows.nth(0)).to_contain_text(text)
    expect(rows.nth(1)).to_contain_text("+0.05")
    expect(page.locator("main")).to_contain_text("r" * 32)

    released("v1.1.0", 0.8)
    page.get_by_role("button", name="Load what is pinned").click()
    page.locator("dialog").get_by_role("button", name="Load what is pinned").click()
    expect(page.locator(".pairs").first).to_contain_text("detector v1.1.0")
    page.get_by_role("button", name="Roll back").click()
    dialog = page.get_by_role("dialog", name="Roll back from v1.1.0?")
    dialog.get_by_role("button", name="Cancel").click()
    expect(page.locator(".pairs").first).to_contain_text("detector v1.1.0")
    page.get_by_role("button", name="Roll back").click()
    dialog.get_by_role("button", name="Roll back").click()
    expect(page.locator(".pairs").first).to_contain_text("detector v1.0.0")
    expect(rows.nth(0)).not_to_contain_text("served here")

    source.write_text("{}", "utf-8")
    page.get_by_role("button", name="Load what is pinned").click()
    page.locator("dialog").get_by_role("button", name="Load what is pinned").click()
    expect(page.locator("dialog").get_by_role("alert")).to_contain_text("is no release file")
    page.locator("dialog").get_by_role("button", name="Cancel").click()
    expect(page.locator("main")).to_contain_text("The last load was refused; this model serves on.")
    expect(rows.nth(0)).to_contain_text("can not be read")


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
