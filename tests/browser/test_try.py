"""Try: images in, boxes out, and everything that is done with them without asking the server again."""

import json
from pathlib import Path

import httpx
import numpy as np
import pytest
from playwright.sync_api import expect

BROKEN = {"name": "broken.jpg", "mimeType": "image/jpeg", "buffer": b"no image at all"}
FACTS = ".facts"


@pytest.fixture
def pictures(png, scene):
    """Two pictures as a file chooser gives them."""
    return [
        {"name": f"{name}.png", "mimeType": "image/png", "buffer": png(scene(width, 120))}
        for name, width in (("螺母 one", 200), ("two", 260))
    ]


@pytest.fixture
def trying(server, open_page):
    def open(**options):
        page = open_page(server, "try", ready=".try", **options)
        expect(page.locator(".try .chip")).to_have_count(3)
        return page

    return open


def put(page, *files):
    page.set_input_files("input[type=file]", list(files))


def found(page):
    return page.locator(".found")


def test_boxes_are_drawn_where_the_server_found_them(trying, pictures, scene, server):
    page = trying()
    put(page, pictures[0])
    expect(found(page)).to_have_text("3 objects of 3 above the least score")
    expect(page.get_by_role("img", name="螺母 one.png: 3 objects. red × 1, blue × 1, white × 1")).to_be_visible()
    expect(page.locator(FACTS)).to_contain_text("200 × 120")
    expect(page.locator(FACTS)).to_contain_text("Answered by workspace")

    (image,) = server.detect(scene())["images"]
    box = next(one["box"] for one in image["detections"] if one["label"] == "blue")
    # The colour of class blue lies on its box's left edge, and not a box's width away from it.
    seen = page.evaluate(
        """([x, y, width]) => {
            const canvas = document.querySelector("canvas.boxes"), scale = canvas.width / 200;
            const at = (px) => [...canvas.getContext("2d").getImageData(px * scale, y * scale, 1, 1).data];
            return [at(x), at(x + width / 2)];
        }""",
        [box["x1"], (box["y1"] + box["y2"]) / 2, box["x2"] - box["x1"]],
    )
    (*colour, alpha), nothing = seen
    assert colour == pytest.approx([60, 180, 75], abs=3)
    assert alpha > 60  # an edge between two pixels is thinner
    assert nothing == [0, 0, 0, 0]


def test_the_slider_acts_at_once_and_asks_nobody(trying, pictures):
    page = trying()
    put(page, pictures[0])
    expect(found(page)).to_contain_text("3 objects of 3")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    slider = page.get_by_label("Least score", exact=True)
    slider.fill("0.95")
    expect(found(page)).to_have_text("0 objects of 3 above the least score")
    slider.fill("0.3")
    expect(found(page)).to_contain_text("3 objects of 3")
    page.get_by_role("checkbox", name="red").uncheck()
    expect(found(page)).to_contain_text("2 objects of 3")
    page.get_by_role("button", name="None").click()
    expect(found(page)).to_contain_text("0 objects of 3")
    page.get_by_role("button", name="All", exact=True).click()
    expect(found(page)).to_contain_text("3 objects of 3")
    page.get_by_role("button", name="Use it").click()
    expect(page.locator("output")).to_have_text("0.50")
    assert asked == []


def test_an_image_that_fails_shows_its_own_reason(trying, pictures):
    page = trying()
    put(page, pictures[0], BROKEN, pictures[1])
    thumbs = page.locator(".thumb")
    expect(thumbs).to_have_count(3)
    expect(thumbs.nth(0)).to_contain_text("3")
    expect(thumbs.nth(1)).to_contain_text("failed")
    expect(thumbs.nth(2)).to_contain_text("3")
    thumbs.nth(1).click()
    expect(page.get_by_role("alert")).to_contain_text("broken.jpg: Not an image: 15 bytes")
    thumbs.nth(0).click()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_an_image_that_is_too_large_for_the_server_says_so(trying):
    page = trying()
    put(page, {"name": "large.png", "mimeType": "image/png", "buffer": b"\x89PNG" + bytes(5 * 2**20)})
    expect(page.get_by_role("alert")).to_contain_text("the body exceeds 4 MiB")


def test_a_full_server_is_asked_again(trying, pictures):
    page = trying()
    full = {"title": "Overloaded", "status": 503, "detail": "64 images wait"}
    answers = [{"status": 503, "body": json.dumps(full), "headers": {"Retry-After": "1"}}]
    page.route("**/v1/detect*", lambda route: route.fulfill(**answers.pop()) if answers else route.continue_())
    put(page, pictures[0])
    expect(page.get_by_text("The server is full; trying again in 1 s.")).to_be_visible()
    expect(found(page)).to_contain_text("3 objects of 3")


def test_keys_move_between_images_and_change_the_threshold(trying, pictures):
    page = trying()
    put(page, *pictures)
    pressed = page.locator(".thumb[aria-pressed=true]")
    expect(pressed).to_contain_text("two.png")
    page.keyboard.press("ArrowRight")
    expect(pressed).to_contain_text("螺母 one.png")
    page.keyboard.press("]")
    expect(page.locator("output")).to_have_text("0.55")
    page.keyboard.press("Delete")
    expect(page.locator(FACTS)).to_contain_text("two.png")


def test_what_is_shown_can_be_saved_as_coco(trying, pictures, server):
    page = trying()
    put(page, *pictures)
    expect(page.locator(".thumb").nth(0)).to_contain_text("3")
    page.get_by_role("checkbox", name="white").uncheck()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save COCO JSON").click()
    coco = json.loads(download.value.path().read_text("utf-8"))
    assert [image["file_name"] for image in coco["images"]] == ["螺母 one.png", "two.png"]
    assert [category["name"] for category in coco["categories"]] == ["red", "blue", "white"]
    answer = httpx.post(f"{server.url}/v1/detect", content=pictures[0]["buffer"], headers={"Content-Type": "image/png"})
    expected = [one for one in answer.json()["images"][0]["detections"] if one["label"] != "white"]
    got = [one for one in coco["annotations"] if one["image_id"] == 1]
    assert len(got) == len(expected) == 2
    for one, other in zip(got, expected, strict=True):
        box = other["box"]
        corners = [box["x1"], box["y1"], box["x2"] - box["x1"], box["y2"] - box["y1"]]
        assert one["bbox"] == pytest.approx(corners, abs=0.011)
        assert one["category_id"] == other["label_id"] + 1
        assert one["area"] == pytest.approx(corners[2] * corners[3], rel=1e-3)


def test_the_picture_can_be_saved_with_its_boxes(trying, pictures):
    cv2 = pytest.importorskip("cv2")
    page = trying()
    put(page, pictures[0])
    expect(found(page)).to_contain_text("3 objects of 3")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the picture").click()
    assert download.value.suggested_filename == "螺母 one-detections.png"
    saved = cv2.imdecode(np.fromfile(download.value.path(), np.uint8), cv2.IMREAD_COLOR)
    plain = cv2.imdecode(np.frombuffer(pictures[0]["buffer"], np.uint8), cv2.IMREAD_COLOR)
    assert saved.shape == plain.shape == (120, 200, 3)
    changed = (saved != plain).any(axis=2)
    assert 0.01 < changed.mean() < 0.4


def test_images_can_be_dropped_and_pasted(trying, pictures):
    page = trying()
    script = """([bytes, kind]) => {
        const files = new DataTransfer();
        files.items.add(new File([new Uint8Array(bytes)], kind + ".png", { type: "image/png" }));
        const drop = new DragEvent("drop", { dataTransfer: files, bubbles: true });
        const paste = new ClipboardEvent("paste", { clipboardData: files, bubbles: true });
        document.querySelector("main").dispatchEvent(kind === "drop" ? drop : paste);
    }"""
    for kind in ("drop", "paste"):
        page.evaluate(script, [list(pictures[0]["buffer"]), kind])
        expect(page.locator(FACTS)).to_contain_text(f"{kind}.png")
        expect(found(page)).to_contain_text("3 objects of 3")


def test_what_is_tried_is_no_history(trying, pictures, server):
    before = httpx.get(f"{server.url}/v1/statistics").json()["images"]
    page = trying()
    with page.expect_response("**/v1/detect*") as response:
        put(page, pictures[0])
    assert "record=false" in response.value.url
    expect(found(page)).to_contain_text("3 objects of 3")
    httpx.post(f"{server.url}/v1/detect", content=pictures[0]["buffer"], headers={"Content-Type": "image/png"})
    for _ in range(100):
        after = httpx.get(f"{server.url}/v1/statistics").json()["images"]
        if after > before:
            break
        page.wait_for_timeout(100)
    assert after == before + 1


def test_the_camera_streams_through_the_socket(trying):
    page = trying()
    page.get_by_role("button", name="Use the camera").click()
    expect(page.locator(FACTS)).to_contain_text("frames/s")
    expect(page.locator(FACTS)).to_contain_text("Answered by workspace")
    expect(found(page)).to_contain_text("above the least score")
    page.get_by_role("button", name="Stop the camera").click()
    expect(page.get_by_role("button", name="Use the camera")).to_be_visible()


def test_images_stay_when_language_and_view_change(trying, pictures):
    page = trying()
    put(page, pictures[0])
    expect(found(page)).to_contain_text("3 objects of 3")
    page.get_by_role("button", name="中文").click()
    expect(found(page)).to_have_text("高于最低分数的目标 3 个，共 3 个")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    page.get_by_role("link", name="实时").click()
    page.get_by_role("link", name="试用").click()
    expect(found(page)).to_contain_text("3")


def test_many_moves_in_one_frame_are_drawn_once(trying, pictures):
    """Two hundred boxes: however fast the slider moves, a frame draws them once, so they keep up with the screen."""
    page = trying()
    corners = [(n % 20 * 10, n // 20 * 12) for n in range(200)]
    boxes = [
        {"label": "red", "label_id": 0, "score": n / 200, "box": {"x1": x, "y1": y, "x2": x + 9, "y2": y + 11}}
        for n, (x, y) in enumerate(corners)
    ]
    image = {"name": "one.png", "image_width": 200, "image_height": 120, "detections": boxes}
    answer = {"model": {"name": "detector", "version": "v1", "md5": "0" * 32}, "images": [image]}
    page.route("**/v1/detect*", lambda route: route.fulfill(json=answer))
    put(page, pictures[0])
    expect(found(page)).to_contain_text("100 objects of 200")
    seen = page.evaluate((Path(__file__).parent / "fast_slider.js").read_text("utf-8"))
    assert {times for times, _ in seen} == {1}
    assert {boxes for _, boxes in seen} >= {200 - 2 * 9, 200 - 2 * 19}
