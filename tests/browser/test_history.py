"""History: what programs had detected, filtered, and taken along as CSV."""

import csv
import io
import re
import time

import httpx
import numpy as np
import pytest
from playwright.sync_api import expect

from .test_accessible import PHONE


@pytest.fixture(scope="module")
def recorded(server):
    """Three images in history, one with a name that a spreadsheet would take for a formula."""
    red = np.full((60, 80, 3), 90, np.uint8)
    red[10:40, 10:50] = (220, 20, 30)
    for name in ("=1+1,甲.png", "b.png"):
        server.detect(red, name)
    server.detect(np.full((60, 80, 3), 90, np.uint8), "nothing.png")
    for _ in range(300):
        page = httpx.get(f"{server.url}/v1/detections", params={"limit": 500}).json()["images"]
        if len({one["image_name"] for one in page} & {"=1+1,甲.png", "b.png", "nothing.png"}) == 3:
            return server
        time.sleep(0.1)
    pytest.fail("history did not record the images")


def test_it_shows_totals_and_every_answer(recorded, open_page):
    page = open_page(recorded, "history", ready="#answers")
    statistics = httpx.get(f"{recorded.url}/v1/statistics").json()
    expect(page.locator(".figure", has_text="Images").locator("dd")).to_contain_text(str(statistics["images"]))
    row = page.locator("#answers tr", has_text="=1+1,甲.png")
    expect(row).to_contain_text("red × 1")
    expect(row).to_contain_text("80 × 60")
    expect(row).to_contain_text("anonymous")
    expect(page.locator("#answers tr", has_text="nothing.png")).to_contain_text("nothing found")
    expect(page.locator("figure", has_text="Images over time").locator("rect")).not_to_have_count(0)
    expect(page.locator("section", has_text="Objects by class").locator("tbody th").first).to_be_visible()


def test_a_phone_shows_what_was_found_without_scrolling_sideways(recorded, open_page):
    page = open_page(recorded, "history", ready="#answers", **PHONE)
    box = page.locator("#answers tr", has_text="b.png").first.locator("td").nth(2).bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= PHONE["viewport"]["width"]


def test_it_is_filtered_by_class_model_and_time(recorded, open_page):
    page = open_page(recorded, "history", ready="#answers")
    md5 = httpx.get(f"{recorded.url}/v1/model").json()["md5"]
    images = page.locator(".figure", has_text="Images").locator("dd")
    page.get_by_label("Class", exact=True).select_option("red")
    red = httpx.get(f"{recorded.url}/v1/statistics", params={"label": "red"}).json()
    assert 0 < red["images"] < httpx.get(f"{recorded.url}/v1/statistics").json()["images"]
    expect(images).to_contain_text(str(red["images"]))
    expect(page.locator("#answers tr", has_text="nothing.png")).to_have_count(0)
    expect(page.locator("#answers tr", has_text="b.png")).not_to_have_count(0)
    page.get_by_label("Model", exact=True).select_option(md5)
    expect(page.locator("#answers tr", has_text="b.png")).not_to_have_count(0)
    answer = httpx.get(f"{recorded.url}/v1/detections", params={"model_md5": "another"}).json()
    assert answer["images"] == []
    page.get_by_label("Time", exact=True).select_option("custom")
    page.get_by_label("until", exact=True).fill("2020-01-02T00:00")
    page.get_by_label("From", exact=True).fill("2020-01-01T00:00")
    expect(page.get_by_text("Nothing was detected in this time.").first).to_be_visible()
    expect(page.locator("#answers")).to_have_count(0)


def test_a_filter_keeps_the_focus_and_what_is_typed(recorded, open_page):
    page = open_page(recorded, "history", ready="#answers")
    label = page.get_by_label("Class", exact=True)
    label.focus()
    with page.expect_response("**/v1/detections*"):
        page.keyboard.press("ArrowDown")
    page.wait_for_timeout(300)
    expect(label).to_be_focused()
    chosen = label.input_value()
    assert chosen
    page.get_by_label("Time", exact=True).select_option("custom")
    since = page.get_by_label("From", exact=True)
    since.focus()
    for digit in "02022021":  # the browser decides whether the day or the month comes first
        page.keyboard.press(digit)
        page.wait_for_timeout(150)
    expect(since).to_have_value(re.compile("^2021-02-02T"))
    expect(since).to_be_focused()
    expect(label).to_have_value(chosen)


def test_with_a_class_rows_and_csv_are_of_that_class(recorded, open_page, scene):
    recorded.detect(scene(), "three.png")
    page = open_page(recorded, "history", ready="#answers")
    row = page.locator("#answers tr", has_text="three.png").first
    for _ in range(100):
        if row.count():
            break
        page.get_by_role("button", name="Refresh").click()
        page.wait_for_timeout(200)
    expect(row).to_contain_text("blue × 1")
    page.get_by_label("Class", exact=True).select_option("red")
    expect(page.locator("#answers tr", has_text="nothing.png")).to_have_count(0)
    expect(row).to_contain_text("red × 1")
    expect(row).not_to_contain_text("blue")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export CSV").click()
    text = download.value.path().read_bytes().decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {one["label"] for one in rows} == {"red"}
    objects = httpx.get(f"{recorded.url}/v1/statistics", params={"label": "red"}).json()["objects"]
    assert len(rows) == objects


def test_a_database_that_is_away_is_said_and_asked_again(recorded, open_page):
    page = open_page(recorded, "models", ready=".pairs")
    away = {"title": "The database is away", "status": 503, "detail": "history can not be read now; try again"}
    page.route("**/v1/statistics*", lambda route: route.fulfill(status=503, json=away))
    page.route("**/v1/detections*", lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
    page.get_by_role("link", name="History").click()
    problems = page.get_by_role("alert")
    expect(problems.nth(0)).to_contain_text("The database is away: history can not be read now; try again")
    expect(problems.nth(1)).to_contain_text("Something between this page and the server answered instead of it.")
    page.unroute_all()
    for _ in range(2):
        problems.first.get_by_role("button", name="Try again").click()
        page.wait_for_timeout(300)
    expect(problems).to_have_count(0)
    expect(page.locator("#answers")).to_be_visible()


def test_the_csv_holds_every_object_and_no_formula(recorded, open_page):
    page = open_page(recorded, "history", ready="#answers")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export CSV").click()
    text = download.value.path().read_bytes().decode("utf-8")
    assert text.startswith("\ufeffid,time,")
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    images = httpx.get(f"{recorded.url}/v1/detections", params={"limit": 500}).json()["images"]
    assert len(rows) == sum(max(1, len(image["detections"])) for image in images)
    by_id = {image["id"]: image for image in images}
    for row in rows:
        image = by_id[int(row["id"])]
        name = image["image_name"] or ""
        assert row["image_name"] == (f"'{name}" if name.startswith("=") else name)
        assert row["label"] in {one["label"] for one in image["detections"]} | {""}
    (formula,) = {row["image_name"] for row in rows if "甲" in row["image_name"]}
    assert formula == "'=1+1,甲.png"
