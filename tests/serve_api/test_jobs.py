"""Background jobs: every frame has its line, a restart goes on where it was, a cancelled job leaves nothing."""

import io
import json
import time
import zipfile

import cv2
import httpx
import numpy as np
import pytest
from PIL import Image as Pillow
from pindet_serve.jobs.job import written
from websockets.sync.client import connect


@pytest.fixture
def video(tmp_path, scene):
    """An MP4 of 12 frames, 160x120, each the scene with a band that tells its number."""
    path = tmp_path / "video.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (160, 120))
    for number in range(12):
        frame = scene(160, 120)[..., ::-1].copy()
        frame[:2] = number * 10
        writer.write(frame)
    writer.release()
    return path.read_bytes()


def png(image):
    buffer = io.BytesIO()
    Pillow.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def archive(scene):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("b/größe.png", png(scene()))
        file.writestr("a.png", png(scene(90, 250)))
        file.writestr("c.txt", "no image")
        file.writestr("../../evil.png", png(np.zeros((8, 8, 3), np.uint8)))
    return buffer.getvalue()


def create(server, data, **query):
    return httpx.post(f"{server.url}/v1/jobs", content=data, params=query, timeout=30)


def get(server, job):
    return httpx.get(f"{server.url}/v1/jobs/{job['id']}").json()


def ended(server, job, seconds=20):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        seen = get(server, job)
        if seen["status"] in ("finished", "failed"):
            return seen
        time.sleep(0.05)
    pytest.fail(f"the job did not end: {seen}")


def lines(server, job):
    response = httpx.get(f"{server.url}/v1/jobs/{job['id']}/result")
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


def test_every_frame_of_a_video_has_its_line(server, video):
    job = create(server, video)
    assert (job.status_code, job.json()["status"], job.json()["total"]) == (202, "queued", 12)
    assert ended(server, job.json())["done"] == 12
    result = lines(server, job.json())
    assert [line["frame"] for line in result] == list(range(12))
    assert result[5]["seconds"] == 0.5
    for line in result:
        assert {item["label"] for item in line["detections"]} == {"red", "blue", "white"}
        assert (line["image_width"], line["image_height"]) == (160, 120)


def test_every_file_of_an_archive_has_its_line_or_its_error(server, archive):
    job = create(server, archive, classes="red", name="Schicht 1, größe.zip").json()
    seen = ended(server, job)
    assert (seen["status"], seen["name"]) == ("finished", "Schicht 1, größe.zip")
    assert (seen["done"], seen["unreadable"]) == (4, 1)
    found = {line["name"]: line for line in lines(server, job)}
    assert found.keys() == {"../../evil.png", "a.png", "b/größe.png", "c.txt"}
    assert [item["label"] for item in found["a.png"]["detections"]] == ["red"]
    assert found["../../evil.png"]["detections"] == []
    assert "no image that can be read" in found["c.txt"]["error"]


def test_what_a_killed_server_left_of_a_result_is_counted(tmp_path):
    result = tmp_path / "result.jsonl"
    assert written(result) == (0, 0)
    whole = b'{"index": 0, "detections": [{"label": "error"}]}\n{"index": 1, "error": "no image"}\n'
    result.write_bytes(whole + b'{"index": 2, "error": "no im')
    assert written(result) == (2, 1)
    assert result.read_bytes() == whole


def test_jobs_are_listed_and_deleted(server, archive):
    job = create(server, archive).json()
    ended(server, job)
    assert job["id"] in [item["id"] for item in httpx.get(f"{server.url}/v1/jobs").json()]
    assert httpx.delete(f"{server.url}/v1/jobs/{job['id']}").status_code == 204
    assert not (server.state / "jobs" / job["id"]).exists()
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/result")):
        assert httpx.request(method, f"{server.url}/v1/jobs/{job['id']}{path}").status_code == 404


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", 400),
        (b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1/secret\n", 415),
        (b"hello", 415),
        (b"PK\3\4 and nothing else of an archive", 400),
        (b"\0\0\0\x18ftypisom\0\0\0\0isomiso2" + b"\0" * 500, 400),
        (b"RIFF\0\0\0\0AVI LIST" + b"\0" * 500, 400),
    ],
)
def test_what_is_no_video_and_no_archive_is_refused(server, data, status):
    before = sorted((server.state / "jobs").glob("*"))
    response = create(server, data)
    assert response.status_code == status, response.text
    assert sorted((server.state / "jobs").glob("*")) == before


def test_wrong_parameters_are_refused(server, archive):
    assert create(server, archive, classes="green").status_code == 422
    assert create(server, archive, max_detections=4).status_code == 422


def test_an_input_that_is_too_large_is_refused(start_server, project, video):
    server = start_server(project, "--max-job-mb=0.001")
    assert create(server, video).status_code == 413
    assert not list((server.state / "jobs").glob("*"))


def test_a_cancelled_job_stops_and_leaves_nothing(start_server, project, video, archive):
    server = start_server(project, "--max-batch=1", slow=0.2)
    first, second = create(server, video).json(), create(server, archive).json()
    httpx.delete(f"{server.url}/v1/jobs/{first['id']}").raise_for_status()
    assert ended(server, second)["status"] == "finished"
    assert [path.name for path in (server.state / "jobs").iterdir()] == [second["id"]]
    assert httpx.get(f"{server.url}/v1/jobs/{first['id']}").status_code == 404


def test_a_job_goes_on_after_the_server_was_killed(start_server, project, video):
    server = start_server(project, "--max-batch=1", slow=0.2)
    job = create(server, video).json()
    while get(server, job)["done"] < 3:
        time.sleep(0.05)
    assert httpx.get(f"{server.url}/v1/jobs/{job['id']}/result").status_code == 409
    server.process.kill()
    server.process.wait(10)
    with (server.state / "jobs" / job["id"] / "result.jsonl").open("a") as result:
        result.write('{"index": 3, "fra')
    again = start_server(project)
    assert ended(again, job)["done"] == 12
    assert [line["frame"] for line in lines(again, job)] == list(range(12))
    assert [line["index"] for line in lines(again, job)] == list(range(12))


def test_requests_go_on_beside_a_job(start_server, project, video, scene):
    server = start_server(project, "--max-batch=1", "--queue-size=2", slow=0.1)
    job = create(server, video).json()
    statuses = [httpx.post(f"{server.url}/v1/detect", content=png(scene()), timeout=10).status_code for _ in range(5)]
    assert statuses == [200] * 5
    assert ended(server, job)["done"] == 12


def test_a_disk_that_takes_nothing_costs_the_job_only(start_server, project, archive, scene):
    server = start_server(project)
    (server.state / "jobs").write_text("where the jobs' folder would be")
    response = create(server, archive)
    assert (response.status_code, response.json()["title"]) == (507, "No room")
    assert httpx.post(f"{server.url}/v1/detect", content=png(scene())).status_code == 200


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "video/mp4", "image/png", ""])
def test_the_declared_type_does_not_matter_only_the_bytes(server, archive, content_type):
    response = httpx.post(f"{server.url}/v1/jobs", content=archive, headers={"content-type": content_type})
    assert response.status_code == 202
    ended(server, response.json())


def test_what_is_sent_in_another_way_is_told_how(server, archive, scene):
    url = f"{server.url}/v1/jobs"
    answers = [
        httpx.post(url, files={"file": ("a.zip", archive)}),
        httpx.post(url, content=archive, headers={"content-encoding": "gzip"}),
        httpx.post(url, content=png(scene())),
        httpx.post(url, json={"url": "video.mp4"}),
    ]
    for answer in answers:
        assert answer.status_code == 415
        assert "curl --data-binary @video.mp4" in answer.json()["detail"], answer.text


def test_the_throughput_counts_what_jobs_infer(start_server, project, video):
    server = start_server(project)
    with connect(f"{server.url.replace('http', 'ws')}/ws/status") as feed:
        ended(server, create(server, video).json())
        until = time.monotonic() + 20
        while True:
            event = json.loads(feed.recv(20))
            if event["type"] == "heartbeat" and event["data"]["throughput"] > 0:
                break
            assert time.monotonic() < until
    assert event["data"]["p50_ms"] is None, "no request was answered"


def test_the_feed_tells_how_far_a_job_is(start_server, project, video):
    server = start_server(project, "--max-batch=1", slow=0.3)
    with connect(f"{server.url.replace('http', 'ws')}/ws/status") as feed:
        job = create(server, video).json()
        told = []
        while not told or told[-1]["type"] != "job.finished":
            event = json.loads(feed.recv(30))
            if event["type"].startswith("job."):
                assert event["data"]["id"] == job["id"]
                told.append(event)
            assert server.process.poll() is None and len(told) < 100
    assert [event["type"] for event in told][:2] == ["job.queued", "job.running"]
    done = [event["data"]["done"] for event in told]
    assert done == sorted(done) and done[0] == 0 and done[-1] == 12
    assert len(set(done)) > 3  # it was told on the way, not only at both ends
