"""Sign-in and users."""

import httpx
from playwright.sync_api import expect


def test_a_wrong_password_is_refused_with_the_reason(guarded, open_page, sign_in):
    page = open_page(guarded, ready="#sign-in")
    page.fill("#name", "nobody")
    page.fill("#password", "wrong")
    page.press("#password", "Enter")
    expect(page.get_by_role("alert")).to_have_text("Sign-in refused: name and password do not fit")
    page.keyboard.press("Escape")
    expect(page.locator("#sign-in")).to_be_visible()
    sign_in(page, "viewer")
    expect(page.locator("#connection")).to_have_text("Live")

    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("#sign-in h1")).to_have_text("Sign in")
    assert page.evaluate("sessionStorage.length") == 0
    expect(page.locator("#replicas")).to_have_count(0)


def test_without_sign_in_nobody_is_asked(server, open_page):
    page = open_page(server)
    expect(page.locator("#connection")).to_have_text("Live")
    expect(page.locator("#sign-in")).to_have_count(0)
    expect(page.get_by_role("button", name="Sign out")).to_have_count(0)
    page.goto(f"{server.url}/#/users")
    expect(page.locator("main")).to_contain_text("Sign-in is off on this server")


def test_an_administrator_manages_users(guarded, open_page, sign_in):
    page = open_page(guarded, "users", ready=None)
    sign_in(page, "admin")
    page.get_by_role("button", name="Add a user").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("chen")
    dialog.get_by_label("Password").fill("chen-chen-chen")
    dialog.get_by_label("Role").select_option("operator")
    dialog.get_by_role("button", name="Add a user").click()
    row = page.locator("#users tbody tr", has_text="chen")
    expect(row.get_by_label("Role of chen")).to_have_value("operator")

    def may(password):
        form = {"username": "chen", "password": password}
        answer = httpx.post(f"{guarded.url}/v1/auth/token", data=form, timeout=30)
        return answer.json().get("role")

    assert may("chen-chen-chen") == "operator"
    role, block = row.get_by_label("Role of chen"), row.get_by_role("button", name="Block: chen")
    role.focus()
    role.select_option("viewer")
    expect(page.get_by_role("dialog", name="Make chen viewer?")).to_contain_text("Every sign-in of this user ends")
    dialog.get_by_role("button", name="Cancel").click()
    expect(role).to_have_value("operator")
    expect(role).to_be_focused()
    role.select_option("viewer")
    dialog.get_by_role("button", name="Change").click()
    expect(page.get_by_text("chen was changed; earlier sign-ins have ended.").first).to_be_visible()
    expect(role).to_be_focused()
    assert may("chen-chen-chen") == "viewer"
    row.get_by_role("button", name="New password: chen").click()
    dialog.get_by_label("Password").fill("another-long-one")
    dialog.get_by_role("button", name="New password").click()
    expect(dialog).to_have_count(0)
    assert may("another-long-one") == "viewer"
    block.click()
    expect(page.get_by_role("dialog", name="Block chen?")).to_be_visible()
    dialog.get_by_role("button", name="Cancel").click()
    expect(block).to_be_focused()
    assert may("another-long-one") == "viewer"
    block.click()
    dialog.get_by_role("button", name="Change").click()
    expect(row).to_contain_text("blocked")
    expect(row.get_by_role("button", name="Allow: chen")).to_be_focused()
    assert may("another-long-one") is None
    row.get_by_role("button", name="Remove: chen").click()
    dialog.get_by_role("button", name="Remove").click()
    expect(row).to_have_count(0)
    deeds = page.locator("#deeds tbody tr")
    expect(deeds.filter(has_text="user removed").filter(has_text="chen").first).to_contain_text("admin")


def test_the_last_administrator_can_not_be_lost(guarded, open_page, sign_in):
    page = open_page(guarded, "users", ready=None)
    sign_in(page, "admin")
    row = page.locator("#users tbody tr", has_text="admin")
    row.get_by_label("Role of admin").select_option("viewer")
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Change").click()
    expect(dialog.get_by_role("alert")).to_contain_text("no enabled administrator would be left")
    dialog.get_by_role("button", name="Cancel").click()
    expect(row.get_by_label("Role of admin")).to_have_value("admin")


def test_a_new_user_must_have_a_long_password(guarded, open_page, sign_in):
    page = open_page(guarded, "users", ready=None)
    sign_in(page, "admin")
    page.get_by_role("button", name="Add a user").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("a bad name")
    dialog.get_by_label("Password").fill("long enough for it")
    dialog.get_by_role("button", name="Add a user").click()
    expect(dialog.get_by_role("alert")).to_contain_text("the name is 'a bad name'; allowed are")
    dialog.get_by_label("Password").fill("short")
    dialog.get_by_role("button", name="Add a user").click()
    assert dialog.get_by_label("Password").evaluate("input => input.validity.tooShort")
