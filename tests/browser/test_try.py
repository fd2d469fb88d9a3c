"""Try: images in, boxes out, and everything that is done with them without asking the server again."""

import json
import time
from itertools import pairwise
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
    expect(found(page)).to_have_text("3 objects of 3 shown")
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
    expect(found(page)).to_have_text("0 objects of 3 shown")
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


def test_an_image_that_fails_says_so_in_chinese(open_page, server):
    page = open_page(server, "try", locale="zh-CN")
    page.set_input_files("input[type=file]", {"name": "坏.png", "mimeType": "image/png", "buffer": b"none"})
    expect(page.locator(".problem:visible")).to_contain_text("坏.png: 不是图片：4 bytes starting with 6e 6f")


def test_an_image_that_failed_is_removed_with_the_mouse_too(trying):
    page = trying()
    put(page, BROKEN)
    expect(page.get_by_role("alert")).to_contain_text("broken.jpg")
    expect(page.get_by_role("button", name="Save")).to_have_count(0)
    page.get_by_role("button", name="Remove broken.jpg").click()
    expect(page.get_by_text("No image yet.")).to_be_visible()
    expect(page.get_by_role("button", name="Remove")).to_have_count(0)


def test_an_image_that_is_too_large_for_the_server_says_so(trying):
    page = trying()
    put(page, {"name": "large.png", "mimeType": "image/png", "buffer": b"\x89PNG" + bytes(5 * 2**20)})
    expect(page.get_by_role("alert")).to_contain_text("the body exceeds 4 MiB")


FULL = {"title": "Overloaded", "status": 503, "detail": "64 images wait"}


@pytest.mark.parametrize(("status", "body"), [(503, json.dumps(FULL)), (429, "<h1>429 Too Many Requests</h1>")])
def test_a_full_server_or_proxy_is_asked_again(trying, pictures, status, body):
    page = trying()
    answers = [{"status": status, "body": body, "headers": {"Retry-After": "1"}}]
    page.route("**/v1/detect*", lambda route: route.fulfill(**answers.pop()) if answers else route.continue_())
    put(page, pictures[0])
    expect(page.get_by_text("The server is full; trying again in 1 s.")).to_be_visible()
    expect(found(page)).to_contain_text("3 objects of 3")


@pytest.mark.parametrize("all", [True, False])
def test_what_is_removed_does_not_hold_the_others_up(open_page, server, all):
    """Neither while it is sent nor while it waits for a full server; the next are sent at once."""
    page = open_page(server, "docs")
    seen = page.evaluate("""async (all) => {
        const { Tray } = await import("/web/tray.js");
        const real = { fetch, setTimeout }, asked = [];
        const frame = () => new Promise(requestAnimationFrame);
        const until = async (done) => { while (!done()) await frame(); };
        globalThis.setTimeout = () => 0;  // no pause ends by itself
        globalThis.fetch = (address, { signal }) => new Promise((resolve, reject) => {
            if (signal.aborted) return reject(signal.reason);
            asked.push(signal);
            if (asked.length === 1) resolve(new Response("{}", { status: 503 }));
            else signal.addEventListener("abort", () => reject(signal.reason));
        });
        try {
            const tray = new Tray(), file = new File([""], "a.png");
            const items = [tray.add(file), tray.add(file), ...(all ? [] : [tray.add(file), tray.add(file)])];
            await until(() => items[0].note && asked.length === 2);
            if (all) tray.clear();
            else items.slice(0, 2).forEach((item) => tray.remove(item));
            if (all) for (let n = 0; n < 2; n++) items.push(tray.add(file));
            await until(() => asked.length === 4);
            return [asked[1].aborted, ...items.map((item) => item.state)];
        } finally {
            Object.assign(globalThis, real);
        }
    }""", all)  # fmt: skip
    assert seen == [True, "working", "working", "working", "working"]


def test_thumbs_that_are_not_chosen_have_their_pictures_and_marks(trying, pictures):
    page = trying()
    held = []
    page.route("**/v1/detect*", lambda route: route.continue_() if held else held.append(route))
    put(page, BROKEN, pictures[0], pictures[1])
    thumbs = page.locator(".thumb")
    expect(thumbs.nth(2)).to_have_attribute("aria-pressed", "true")
    expect(found(page)).to_contain_text("3 objects of 3")
    expect(page.locator(".thumb.bad")).to_have_count(0)
    held[0].continue_()
    expect(page.locator(".thumb.bad")).to_contain_text("broken.jpg")
    painted = """canvas => canvas.getContext("2d").getImageData(48, 36, 1, 1).data[3] === 255"""
    for number, has_picture in ((0, False), (1, True), (2, True)):
        canvas = thumbs.nth(number).locator("canvas").element_handle()
        assert wait_for(page, lambda canvas=canvas: canvas.evaluate(painted)) is has_picture, number


PRESS = "key => document.body.dispatchEvent(new KeyboardEvent('keydown', { bubbles: true, ...key }))"
SLIDE = "slider => { slider.value = 0.6; slider.dispatchEvent(new Event('input')); }"


def wait_for(page, condition, seconds=5):
    """Whether a condition comes true."""
    for _ in range(seconds * 10):
        if condition():
            return True
        page.wait_for_timeout(100)
    return False


def test_what_can_be_pressed_keeps_its_place_and_the_focus(trying, pictures):
    page = trying()
    put(page, *pictures)
    thumb, save = page.locator(".thumb").nth(0), page.get_by_role("button", name="Save COCO JSON")
    expect(thumb).to_contain_text("3")
    for button in (thumb, save):
        button.focus()
        element = button.element_handle()
        page.get_by_label("Least score", exact=True).evaluate(SLIDE)
        page.wait_for_timeout(500)
        assert element.evaluate("e => e.isConnected && e === document.activeElement")
    remove = page.get_by_role("button", name="Remove two.png")
    remove.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Remove 螺母 one.png")).to_be_focused()


def test_many_photos_are_decoded_a_few_at_a_time_and_kept_small(open_page, server):
    page = open_page(server, "docs")
    seen = page.evaluate((Path(__file__).parent / "many_photos.js").read_text("utf-8"), 6)
    assert seen["mostAtOnce"] <= 2
    assert seen["previews"] == [[256, 192]] * 6
    assert seen["pictures"] == [[2560, 1920]], "the shown one only"
    assert seen["left"] == 0


def test_keys_move_between_images_and_change_the_threshold(trying, pictures):
    page = trying()
    put(page, *pictures)
    pressed = page.locator(".thumb[aria-pressed=true]")
    expect(pressed).to_contain_text("two.png")
    page.keyboard.press("ArrowRight")
    expect(pressed).to_contain_text("螺母 one.png")
    page.keyboard.press("]")
    expect(page.locator("output")).to_have_text("0.55")
    # A German keyboard and a Chinese input method have other letters there; AltGr gives the bracket itself.
    for key in (
        {"key": "ü", "code": "BracketLeft"}, {"key": "Process", "code": "BracketRight"},
        {"key": "[", "code": "Digit8", "ctrlKey": True, "altKey": True, "modifierAltGraph": True},
    ):  # fmt: skip
        page.evaluate(PRESS, key)
        expect(page.locator("output")).to_have_text("0.55" if key["code"] == "BracketRight" else "0.50")
    page.evaluate(PRESS, {"key": "[", "code": "BracketLeft", "ctrlKey": True})
    page.wait_for_timeout(300)
    expect(page.locator("output")).to_have_text("0.50")
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


def test_coco_names_what_each_image_was_found_by(open_page, server):
    """Between two images another model came, with other classes: neither's objects get the other's names."""
    page = open_page(server, "docs")
    coco = page.evaluate("""async () => {
        const { toCoco } = await import("/web/coco.js");
        const item = (md5, ...found) => ({ name: `${md5}.png`, model: { name: "detector", version: md5, md5 }, answer: {
            image_width: 9, image_height: 9, detections: found.map(([label, label_id]) => (
                { label, label_id, score: 0.9, box: { x1: 1, y1: 1, x2: 3, y2: 4 } })) } });
        const items = [item("old", ["nut", 0], ["bolt", 1]), item("new", ["bolt", 0], ["screw", 1])];
        const served = { name: "detector", version: "new", md5: "new", classes: ["bolt", "screw", "washer"] };
        return [toCoco(items, served, () => true), toCoco(items.slice(0, 1), served, () => true)];
    }""")
    names = [{one["id"]: one["name"] for one in each["categories"]} for each in coco]
    assert names[0] == {1: "bolt", 2: "screw", 3: "washer", 4: "nut"}
    found = [(one["image_id"], names[0][one["category_id"]]) for one in coco[0]["annotations"]]
    assert found == [(1, "nut"), (1, "bolt"), (2, "bolt"), (2, "screw")]
    assert names[1] == {1: "nut", 2: "bolt"}
    said = [each["info"]["description"] for each in coco]
    assert said == [
        "Found by detector old, bundle old; detector new, bundle new",
        "Found by detector old, bundle old",
    ]


def test_objects_that_are_not_listed_are_counted(server, open_page):
    said = open_page(server, "docs").evaluate("""async () => {
        const { ObjectTable } = await import("/web/views/try-objects.js");
        const table = new ObjectTable(() => {});
        const box = { x1: 0, y1: 0, x2: 9, y2: 9 };
        const all = [...Array(230).keys()].map(() => ({ label: "red", label_id: 0, score: 0.5, box }));
        document.querySelector("main").replaceChildren(table.element);
        return [all, all.slice(30)].map((shown) => {
            table.show(shown);
            return [document.querySelectorAll("main tbody tr").length, document.querySelector("caption").innerText];
        });
    }""")
    assert said == [
        [200, "The 200 of the highest score are listed, 30 more are in the picture."],
        [200, ""],
    ]


def test_a_picture_that_can_not_be_saved_says_why(trying, pictures):
    page = trying()
    put(page, pictures[0])
    expect(found(page)).to_contain_text("3 objects of 3")
    page.evaluate("() => { HTMLCanvasElement.prototype.toBlob = (done) => done(null); }")
    page.get_by_role("button", name="Save the picture").click()
    expect(page.locator("#notices")).to_contain_text("The picture is too large for this browser to save.")


def test_a_transparent_picture_does_not_show_the_one_before(open_page, server):
    page = open_page(server, "docs")
    seen = page.evaluate("""async () => {
        const { Overlay } = await import("/web/overlay.js");
        const overlay = new Overlay(), canvas = new OffscreenCanvas(9, 9), seen = [];
        document.body.replaceChildren(overlay.element);
        for (const colour of ["#ff0000", "transparent"]) {
            canvas.getContext("2d").clearRect(0, 0, 9, 9);
            canvas.getContext("2d").fillStyle = colour;
            canvas.getContext("2d").fillRect(0, 0, 9, 9);
            overlay.show(await createImageBitmap(canvas), 9, 9);
            seen.push([...overlay.picture.getContext("2d").getImageData(4, 4, 1, 1).data]);
        }
        return seen;
    }""")
    assert seen == [[255, 0, 0, 255], [0, 0, 0, 0]]


def test_labels_of_boxes_that_coincide_do_not_hide_each_other(open_page, server):
    places = open_page(server, "docs").evaluate("""async () => {
        const { Overlay } = await import("/web/overlay.js");
        const overlay = new Overlay(), places = [];
        document.body.replaceChildren(overlay.element);
        overlay.element.style.width = "400px";
        CanvasRenderingContext2D.prototype.fillText = function (text, x, y) { places.push([text, x, y]); };
        overlay.show(await createImageBitmap(new ImageData(400, 300)), 400, 300);
        const box = { x1: 100, y1: 100, x2: 200, y2: 200 };
        const made = (label_id, score) => ({ label: `class ${label_id}`, label_id, score, box });
        places.length = 0;
        overlay.draw([made(0, 0.9), made(1, 0.5), made(2, 0.4)]);
        return places;
    }""")
    assert [text for text, *_ in places] == ["class 2 0.40", "class 1 0.50", "class 0 0.90"]
    (below, inside, above) = (y for *_, y in places)
    assert above < 100 < inside < 130 and below > 200


def test_an_image_that_the_server_could_not_take_is_tried_again(make_server, open_page, pictures):
    server = make_server()
    page = open_page(server, "try", ready=".try .chip")
    server.stop()
    page.set_input_files("input[type=file]", pictures[:1])
    again = page.locator(".stage").get_by_role("button", name="Try again")
    expect(again).to_be_visible()
    server.start()
    again.click()
    expect(found(page)).to_have_text("3 objects of 3 shown")
    expect(again).to_be_hidden()

    page.set_input_files("input[type=file]", {"name": "none.png", "mimeType": "image/png", "buffer": b"none"})
    expect(page.locator(".problem:visible")).to_contain_text("none.png: Not an image")
    expect(again).to_be_hidden()


def test_the_chosen_image_can_be_seen_among_many(open_page, server, png, scene):
    page = open_page(server, "try", ready=".try .chip", viewport={"width": 700, "height": 900})
    picture = png(scene())
    files = [{"name": f"{n}.png", "mimeType": "image/png", "buffer": picture} for n in range(20)]
    page.set_input_files("input[type=file]", files)
    seen = """() => {
        const [strip, thumb] = [".thumbs", ".thumb[aria-pressed=true]"].map((one) =>
            document.querySelector(one).getBoundingClientRect());
        return strip.left <= thumb.left + 1 && thumb.right <= strip.right + 1;
    }"""
    page.wait_for_function(f"({seen})()")
    for _ in range(19):
        page.keyboard.press("ArrowLeft")
    expect(page.locator(".thumb").first).to_have_attribute("aria-pressed", "true")
    page.wait_for_function(f"({seen})()")


def test_labels_can_be_read_on_each_colour(open_page, server):
    page = open_page(server, "docs")
    colours, ink = page.evaluate("import('/web/overlay.js').then(({ COLOURS, INK }) => [COLOURS, INK])")

    def light(colour):
        digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
        parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for ground, letters in zip(colours, ink, strict=True):
        low, high = sorted((light(ground), light(letters)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, ground


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


def test_a_file_that_is_dropped_beside_the_view_is_taken_while_it_is_shown(trying, pictures):
    page = trying()
    script = """([bytes, place]) => {
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([new Uint8Array(bytes)], place + ".png", { type: "image/png" }));
        const options = { dataTransfer, bubbles: true, cancelable: true };
        return ["dragover", "drop"].map((type) =>
            document.querySelector(place).dispatchEvent(new DragEvent(type, options)));
    }"""
    for place in ("header", "footer"):
        assert page.evaluate(script, [list(pictures[0]["buffer"]), place]) == [False, False], "the browser opens it"
        expect(page.locator(FACTS)).to_contain_text(f"{place}.png")
    page.get_by_role("link", name="Models").click()
    expect(page.locator(".try")).to_have_count(0)
    assert page.evaluate(script, [list(pictures[0]["buffer"]), "header"]) == [True, True]


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
    expect(found(page)).to_contain_text("shown")
    page.get_by_role("button", name="Stop the camera").click()
    expect(page.get_by_role("button", name="Use the camera")).to_be_visible()


MEDIA = """() => { navigator.mediaDevices.getUserMedia = ((real) => async (asked) => {
    globalThis.tracks ??= [];
    await new Promise((resolve) => (globalThis.allow = [...(globalThis.allow ?? []), resolve]));
    const media = await real(asked);
    tracks.push(...media.getTracks());
    return media;
})(navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices)); }"""
LIVE_TRACKS = "tracks.filter((track) => track.readyState === 'live').length"


def test_a_camera_that_is_allowed_after_its_view_was_left_does_not_start(trying):
    page = trying()
    page.evaluate(MEDIA)
    page.get_by_role("button", name="Use the camera").click()
    page.get_by_role("link", name="Live").click()
    page.evaluate("allow[0]()")
    page.wait_for_function("() => globalThis.tracks.length === 1")
    page.wait_for_timeout(500)
    assert page.evaluate(LIVE_TRACKS) == 0


def test_two_clicks_open_one_camera(trying):
    page = trying()
    page.evaluate(MEDIA)
    button = page.get_by_role("button", name="Use the camera")
    button.click()
    button.click()
    page.evaluate("allow.forEach((one) => one())")
    expect(page.locator(FACTS)).to_contain_text("frames/s")
    assert page.evaluate("tracks.length") == 2
    assert page.evaluate(LIVE_TRACKS) == 1
    page.get_by_role("button", name="Stop the camera").click()
    expect(button).to_be_visible()
    assert page.evaluate(LIVE_TRACKS) == 0


def test_a_camera_that_is_unplugged_stops_and_says_so(trying):
    page = trying()
    page.evaluate(MEDIA)
    button = page.get_by_role("button", name="Use the camera")
    gone = page.get_by_role("alert").filter(has_text="The camera has gone")
    for shown in (1, 0):  # the second time it is the track of the first that ends
        button.click()
        page.wait_for_function("() => globalThis.allow?.length")
        page.evaluate("allow.pop()()")
        expect(page.locator(FACTS)).to_contain_text("frames/s")
        page.evaluate("tracks[0].dispatchEvent(new Event('ended'))")
        expect(gone).to_have_count(shown)
    assert page.evaluate("import('/web/camera.js').then(({ camera }) => camera.running)")


def test_a_camera_that_is_refused_says_so_beside_the_images_too(trying, pictures):
    page = trying()
    put(page, pictures[0])
    expect(found(page)).to_contain_text("3 objects of 3")
    page.evaluate("""() => { navigator.mediaDevices.getUserMedia = async () => {
        throw new DOMException("Permission denied", "NotAllowedError"); } }""")
    page.get_by_role("button", name="Use the camera").click()
    alert = page.get_by_role("alert").filter(has_text="The camera can not be used: Permission denied")
    expect(alert).to_be_visible()
    put(page, pictures[1])
    expect(alert).to_have_count(0)


def test_a_frame_that_is_refused_says_why_and_the_next_comes_a_second_later(trying):
    page = trying()
    frames = []
    error = {"title": "Overloaded", "status": 503, "detail": "there is no room for the frame"}

    def answer(socket, _):
        frames.append(time.monotonic())
        socket.send(json.dumps({"frame": len(frames) - 1, "dropped": 0, "error": error}))

    page.route_web_socket("**/v1/stream*", lambda socket: socket.on_message(lambda data: answer(socket, data)))
    page.get_by_role("button", name="Use the camera").click()
    expect(page.get_by_role("alert")).to_contain_text("Overloaded: there is no room for the frame")
    assert wait_for(page, lambda: len(frames) >= 3)
    assert min(after - before for before, after in pairwise(frames)) > 0.9


def test_a_camera_whose_connection_died_without_a_word_stops_and_says_so(trying):
    page, frames = trying(), []
    page.route_web_socket("**/v1/stream*", lambda socket: socket.on_message(lambda data: frames.append(data)))
    page.clock.install()
    page.get_by_role("button", name="Use the camera").click()
    assert wait_for(page, lambda: frames)
    page.clock.fast_forward(15_000)
    expect(page.get_by_role("button", name="Stop the camera")).to_be_visible()
    page.clock.fast_forward(16_000)
    expect(page.get_by_role("alert")).to_contain_text("The stream ended: The server did not answer in time.")
    expect(page.get_by_role("button", name="Use the camera")).to_be_visible()


def test_another_release_brings_its_own_threshold(make_server, make_release, make_bundle, open_page, tmp_path):
    remote = tmp_path / "remote"
    server = make_server(make_release(remote, make_bundle(tmp_path / "one"), "v1.0.0"))
    page = open_page(server, "try", ready=".chips .chip")
    expect(page.locator("output")).to_have_text("0.50")
    make_release(remote, make_bundle(tmp_path / "other", score=0.8, score_threshold=0.7), "v1.1.0")
    httpx.post(f"{server.url}/v1/model/reload", timeout=60).raise_for_status()
    expect(page.locator("output")).to_have_text("0.70")
    expect(page.locator("aside")).to_contain_text("own is 0.70")


def test_a_server_that_returns_with_another_release_brings_its_threshold_too(
    make_server, make_release, make_bundle, open_page, tmp_path
):
    remote = tmp_path / "remote"
    server = make_server(make_release(remote, make_bundle(tmp_path / "one"), "v1.0.0"))
    page = open_page(server, "try", ready=".chips .chip")
    expect(page.locator("#connection")).to_have_text("Live")
    expect(page.locator("output")).to_have_text("0.50")
    server.stop()
    make_release(remote, make_bundle(tmp_path / "other", score=0.8, score_threshold=0.7), "v1.1.0")
    server.start()
    expect(page.locator("output")).to_have_text("0.70")  # when the process before is silent


def test_the_rate_of_a_camera_begins_anew_with_it(trying):
    page = trying()
    page.evaluate("""async () => {
        const { camera } = await import("/web/camera.js");
        globalThis.rates = [];
        camera.addEventListener("change", () => camera.running && camera.fps && rates.push(camera.fps));
    }""")
    for _ in range(2):
        page.evaluate("rates.length = 0")
        page.get_by_role("button", name="Use the camera").click()
        page.wait_for_function("() => rates.length > 0")
        first = page.evaluate("rates[0]")
        page.get_by_role("button", name="Stop the camera").click()
        page.wait_for_timeout(4000)
    assert first > 0.5, "not one frame in the seconds without camera"


def test_images_stay_when_language_and_view_change(trying, pictures):
    page = trying()
    put(page, pictures[0])
    expect(found(page)).to_contain_text("3 objects of 3")
    page.get_by_role("button", name="中文").click()
    expect(found(page)).to_have_text("显示 3 个目标，共 3 个")
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
