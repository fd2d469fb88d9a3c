"""``POST /v1/detect``: what is found, in which pixels, and each thing that can be wrong with a request."""

import io
import json
import re
import time
import uuid

import httpx
import numpy as np
import pytest
from PIL import Image as Pillow
from pindet_serve.api import middleware
from pindet_serve.api.signs import whole_signs


def png(image):
    buffer = io.BytesIO()
    Pillow.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def client(server):
    with httpx.Client(base_url=server.url, timeout=30) as opened:
        yield opened


def raw(client, data, content_type="image/png", accept="application/json", **query):
    headers = {"content-type": content_type, "accept": accept}
    return client.post("/v1/detect", content=data, headers=headers, params=query)


def boxes(answer):
    return {item["label"]: list(item["box"].values()) for item in answer["detections"]}


def test_boxes_are_in_pixels_of_the_image(client, scene):
    response = raw(client, png(scene()))
    assert response.status_code == 200
    (answer,) = response.json()["images"]
    assert (answer["image_width"], answer["image_height"]) == (200, 120)
    expected = {"red": [20, 12, 50, 60], "blue": [100, 24, 150, 96], "white": [10, 84, 80, 108]}
    assert boxes(answer).keys() == expected.keys()
    for label, box in expected.items():
        np.testing.assert_allclose(boxes(answer)[label], box, atol=1)
    assert answer["timing"]["batch"] == 1


@pytest.mark.parametrize(("of_a_page", "query"), [(True, ""), (False, "?record=true"), (True, "?record=false")])
@pytest.mark.parametrize(
    ("content_type", "status"),
    [("image/png", 200), ("image/jpeg", 400), ("text/plain", 415), ("multipart/form-data", 400)],
)
def test_the_short_way_answers_as_the_long_one(client, server, scene, of_a_page, query, content_type, status):
    data = png(scene()) if status == 200 else b"nothing"
    headers = [{"content-type": content_type, "x-request-id": uuid.uuid4().hex} for _ in range(2)]
    before = answered(client, status)
    short = client.post("/v1/detect", content=data, headers=headers[0])
    until = time.monotonic() + 10
    while answered(client, status) == before:  # it is counted once its answer is on the way
        assert time.monotonic() < until, "the short way is not counted under its route"
        time.sleep(0.05)
    headers[1] |= {"origin": server.url} if of_a_page else {}
    long = client.post(f"/v1/detect{query}", content=data, headers=headers[1])
    assert short.status_code == long.status_code == status
    changing = {"x-request-id", "date", "content-length"}
    assert {*short.headers.items()} ^ {*long.headers.items()} <= {
        (name, answer.headers[name]) for answer in (short, long) for name in changing
    }
    answers = [json.loads(re.sub(r'"timing": {[^}]*}', '"timing": {}', answer.text)) for answer in (short, long)]
    assert answers[0] == answers[1]
    lines = [server.line_of(each["x-request-id"]) for each in headers]
    assert [(line["path"], line["status"]) for line in lines] == [("/v1/detect", status)] * 2


def answered(client, status):
    """How many requests of the route had that status."""
    line = rf'^pindet_requests_total{{method="POST",route="/v1/detect",status="{status}"}} (\S+)$'
    found = re.search(line, client.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "is_short"),
    [
        ("POST", "/v1/detect", b"", {}, True),
        ("POST", "/v1/detect", b"record=false", {}, False),
        ("POST", "/v1/detect", b"", {b"origin": "http://localhost"}, False),
        ("GET", "/v1/detect", b"", {}, False),
        ("POST", "/v1/detect/", b"", {}, False),
        ("POST", "/v1/jobs", b"", {}, False),
    ],
)
def test_without_parameters_and_not_of_a_page_it_does_not_go_through_fastapi(method, path, query, headers, is_short):
    scope = {"method": method, "path": path, "query_string": query}
    assert middleware._is_plain_detection(scope, headers) == is_short


def test_every_answer_names_its_model(client, scene):
    answer = raw(client, png(scene()))
    model = client.get("/v1/model").json()
    assert answer.json()["model"] == {key: model[key] for key in ("name", "version", "md5")}
    for response in (answer, client.get("/nowhere"), raw(client, b"x")):
        assert response.headers["x-model-md5"] == model["md5"]
        assert response.headers["x-model-version"] == "workspace"


def test_many_images_each_with_its_own_answer_or_error(client, scene):
    parts = [
        ("images", ("größe.png", png(scene()), "image/png")),
        ("images", ("bad.jpg", b"nothing", "image/jpeg")),
        ("anything", ("b.png", png(scene(90, 250)), "application/octet-stream")),
    ]
    response = client.post("/v1/detect", files=parts)
    assert response.status_code == 200
    first, second, third = response.json()["images"]
    assert [item["name"] for item in (first, second, third)] == ["größe.png", "bad.jpg", "b.png"]
    assert len(first["detections"]) == len(third["detections"]) == 3
    assert second["error"]["status"] == 400
    assert "detections" not in second


def test_the_parameters(client, scene):
    data = png(scene())
    assert raw(client, data, score_threshold=0.95).json()["images"][0]["detections"] == []
    assert len(raw(client, data, max_detections=2).json()["images"][0]["detections"]) == 2
    found = raw(client, data, classes=["blue", "white"]).json()["images"][0]
    assert boxes(found).keys() == {"blue", "white"}
    (only,) = raw(client, data, classes=["white"], max_detections=1).json()["images"][0]["detections"]
    assert only["label"] == "white"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"score_threshold": 1.5}, "less than or equal to 1"),
        ({"score_threshold": "nan"}, "0 to 1|less than|greater than"),
        ({"score_threshold": "high"}, "valid number"),
        ({"max_detections": 0}, "greater than or equal to 1"),
        ({"max_detections": 4}, "1 to 3 is allowed"),
        ({"classes": "green"}, r"unknown classes \['green'\]; allowed are"),
    ],
)
def test_parameters_out_of_contract_are_named(client, scene, query, message):
    response = raw(client, png(scene()), **query)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert re.search(message, response.json()["detail"])


@pytest.mark.parametrize("media_type", ["image/png", "image/jpeg"])
def test_a_picture_with_boxes(client, scene, media_type):
    response = raw(client, png(scene()), accept=media_type)
    assert response.headers["content-type"] == media_type
    picture = np.asarray(Pillow.open(io.BytesIO(response.content)).convert("RGB")).astype(int)
    assert picture.shape == (120, 200, 3)
    on_edge = picture[60, 100]  # the left edge of the blue object
    assert np.abs(on_edge - scene()[60, 100]).max() > 60
    assert np.abs(picture[60, 125] - scene()[60, 125]).max() < 20


def test_which_picture(client, scene):
    data = png(scene())
    assert raw(client, data, accept="image/*").headers["content-type"] == "image/jpeg"
    assert raw(client, data, accept="*/*").headers["content-type"] == "application/json"
    assert raw(client, data, accept="image/avif").status_code == 406
    parts = [("images", ("a.png", data, "image/png"))] * 2
    assert client.post("/v1/detect", files=parts, headers={"accept": "image/png"}).status_code == 406


@pytest.mark.parametrize(
    ("content_type", "data", "status"),
    [
        ("text/plain", b"hello", 415),
        ("application/json", b"{}", 415),
        ("image/heic", b"x", 415),
        ("image/png", b"", 400),
        ("multipart/form-data", b"x", 400),
        ("multipart/form-data; boundary=x", b"", 400),
        ("multipart/form-data; boundary=x", b"garbage", 400),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--", 400),
        ("multipart/form-data; boundary=" + "x" * 3000, b"a", 400),
    ],
)
def test_bodies_that_hold_no_image(client, content_type, data, status):
    response = raw(client, data, content_type)
    assert response.status_code == status
    assert response.json()["status"] == status


def test_too_many_images_and_parts(client, scene):
    parts = [("images", (f"{number}.png", png(scene()), "image/png")) for number in range(9)]
    assert client.post("/v1/detect", files=parts).status_code == 413
    assert client.post("/v1/detect", files=parts[:8]).status_code == 200
    fields = {f"field{number}": "x" for number in range(1000)}
    assert client.post("/v1/detect", data=fields, files=parts[:1]).status_code in (400, 413)


def test_a_body_that_is_too_large_is_refused_declared_or_not(client):
    large = b"\0" * (5 * 2**20)
    assert raw(client, large).status_code == 413

    def chunks():
        for _ in range(5):
            yield b"\0" * 2**20

    assert raw(client, chunks()).status_code == 413


def test_a_chunked_body_is_as_good(client, scene):
    def chunks():
        data = png(scene())
        yield from (data[start : start + 100] for start in range(0, len(data), 100))

    assert len(raw(client, chunks()).json()["images"][0]["detections"]) == 3


def test_a_compressed_body_is_named(client, scene):
    headers = {"content-type": "image/png", "content-encoding": "gzip"}
    assert client.post("/v1/detect", content=png(scene()), headers=headers).status_code == 415


def test_request_ids_and_traces_are_passed_on(client, server, scene):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"x-request-id": "mine-1", "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    response = client.post("/v1/detect", content=png(scene()), headers=headers, params={"classes": "red"})
    assert response.headers["x-request-id"] == "mine-1"
    assert response.headers["traceparent"].startswith(f"00-{trace}-")
    assert "00f067aa0ba902b7" not in response.headers["traceparent"]
    line = server.line_of("mine-1")
    assert (line["trace_id"], line["status"], line["path"]) == (trace, 200, "/v1/detect")

    other = client.get("/health", headers={"x-request-id": "bad id", "traceparent": "00-0-0-0"})
    assert len(other.headers["x-request-id"]) == 32
    assert "traceparent" not in other.headers


def test_the_logs_hold_no_query_and_no_image(client, server, scene):
    client.get("/health", params={"ticket": "very-secret"}, headers={"authorization": "Bearer very-secret"})
    raw(client, png(scene()))
    assert "very-secret" not in server.log.read_text("utf-8")
    assert max(len(json.dumps(line)) for line in server.lines()) < 2000


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v1/detect", 405), ("GET", "/nowhere", 404)])
def test_routing_errors_are_problems_too(client, method, path, status):
    response = client.request(method, path)
    assert (response.status_code, response.json()["status"]) == (status, status)
    assert response.headers["content-type"] == "application/problem+json"


def test_what_was_found_is_in_the_history(client, scene):
    response = raw(client, png(scene()), classes="red")
    query = {"request_id": response.headers["x-request-id"]}
    until = time.monotonic() + 15
    while not (found := client.get("/v1/detections", params=query).json()["images"]):
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.1)
    (entry,) = found
    assert (entry["image_width"], entry["image_height"]) == (200, 120)
    assert [item["label"] for item in entry["detections"]] == ["red"]


def test_a_wrong_method_is_told_the_right_ones(client):
    assert client.options("/v1/jobs/0").headers["allow"] == "DELETE, GET"
    assert client.get("/v1/detect").headers["allow"] == "POST"


def test_the_figures(client, scene):
    raw(client, png(scene()))
    lines = dict(line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines() if line[0] != "#")
    assert float(lines['pindet_requests_total{method="POST",route="/v1/detect",status="200"}']) >= 1
    assert float(lines['pindet_detections_total{label="red"}']) >= 1
    assert float(lines["pindet_queue_images"]) == 0
    for phase in ("decode", "queue", "inference", "encode"):
        assert float(lines[f'pindet_phase_seconds_count{{phase="{phase}"}}']) >= 1
    assert any(line.startswith('pindet_model_info{device="cpu",engine="onnxruntime",md5="') for line in lines)
    assert not any("nowhere" in line for line in lines)


def test_a_body_of_curl_s_own_type_is_told_how_to_be_sent(client, scene):
    response = raw(client, png(scene()), "application/x-www-form-urlencoded")
    assert response.status_code == 415
    assert "-H 'Content-Type: image/jpeg'" in response.json()["detail"]


def test_pages_of_other_origins_may_ask_only_where_they_are_allowed(client, start_server, project):
    asked = {"Origin": "https://plant.example", "Access-Control-Request-Method": "POST"}
    closed = client.options("/v1/detect", headers=asked)
    assert "access-control-allow-origin" not in closed.headers
    opened = start_server(project, "--allowed-origins=https://plant.example, https://b.example")
    allowed = httpx.options(f"{opened.url}/v1/detect", headers=asked)
    assert allowed.headers["access-control-allow-origin"] == "https://plant.example"
    other = httpx.options(f"{opened.url}/v1/detect", headers=asked | {"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers
    got = httpx.get(f"{opened.url}/health", headers={"Origin": "https://plant.example"})
    assert got.headers["access-control-allow-origin"] == "https://plant.example"
    assert "X-Model-MD5" in got.headers["access-control-expose-headers"]


@pytest.mark.parametrize("path", ["/v1/detect", "/v1/model/rollback", "/v1/jobs"])
def test_without_sign_in_pages_of_other_sites_may_do_nothing(client, server, path):
    for origin in ("https://evil.example", "null", "http://localhost.evil.example"):
        refused = client.post(path, content=b"x", headers={"Origin": origin})
        assert (refused.status_code, refused.json()["title"]) == (403, "Not allowed")
    assert client.post(path, content=b"x", headers={"Origin": server.url}).status_code != 403


@pytest.mark.parametrize("charset", ["utf-7", "unicode_escape"])
def test_half_a_sign_in_a_name_is_made_a_whole_one(client, scene, charset):
    name = {"utf-7": "+2AA-.png", "unicode_escape": "\\ud800.png"}[charset]
    head = f'--x\r\nContent-Disposition: form-data; name="images"; filename="{name}"\r\n\r\n'
    body = head.encode() + png(scene()) + b"\r\n--x--\r\n"
    response = raw(client, body, f"multipart/form-data; boundary=x; charset={charset}")
    assert response.status_code == 200, response.text
    assert response.json()["images"][0]["name"] == "\N{REPLACEMENT CHARACTER}.png"


def test_a_whole_sign_in_two_halves_stays_what_it_is():
    assert whole_signs("a\ud83d\udd29b") == "a\U0001f529b"
    assert whole_signs("größe \0") == "größe \0"
