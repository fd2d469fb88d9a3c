"""Servers that share a folder of jobs: any of them answers for a job, and one that ends leaves it to the others."""

import errno
import io
import json
import time
import zipfile
from types import SimpleNamespace

import cv2
import httpx
import psutil
import pytest
from pindet_serve.jobs.job import DESCRIPTION, INPUT, RESULT, Job, read_job, write_job
from pindet_serve.jobs.runner import MOST_ATTEMPTS, JobRunner
from pindet_serve.jobs.store import JobStore
from pindet_serve.serving.wanted import Wanted
from pindet_serve.settings import Settings
from websockets.sync.client import connect


@pytest.fixture
def archive(scene):
    """A zip of 24 images, each the scene."""
    image = cv2.imencode(".png", scene()[..., ::-1])[1].tobytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for number in range(24):
            file.writestr(f"{number:02}.png", image)
    return buffer.getvalue()


@pytest.fixture
def pair(start_server, project, tmp_path):
    """Two servers, the first of which is slow."""
    shared = f"--jobs={tmp_path / 'jobs'}"
    return [start_server(project, shared, "--max-batch=1", slow=0.1), start_server(project, shared)]


def create(server, archive):
    return httpx.post(f"{server.url}/v1/jobs", content=archive, timeout=30).json()


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.05)


def seen(server, job):
    return httpx.get(f"{server.url}/v1/jobs/{job['id']}").json()


def lines(server, job):
    text = httpx.get(f"{server.url}/v1/jobs/{job['id']}/result").raise_for_status().text
    return [json.loads(line) for line in text.splitlines()]


def test_each_server_answers_for_the_jobs_of_all(pair, archive):
    for asked, other in (pair, pair[::-1]):
        job = create(asked, archive)
        until(lambda other=other, job=job: seen(other, job)["status"] == "finished")
        assert [line["name"] for line in lines(other, job)] == [f"{number:02}.png" for number in range(24)]
        assert job["id"] in [one["id"] for one in httpx.get(f"{other.url}/v1/jobs").json()]


def test_a_job_goes_on_at_another_server_when_its_own_is_killed(pair, archive):
    slow, other = pair
    jobs = [create(slow, archive) for _ in range(3)]
    until(lambda: any(2 < seen(slow, job)["done"] < 20 for job in jobs))
    slow.process.kill()
    slow.process.wait(10)

    for job in jobs:
        until(lambda job=job: seen(other, job)["status"] == "finished")
        assert [line["index"] for line in lines(other, job)] == list(range(24))


def test_a_job_is_cancelled_through_another_server(pair, archive, tmp_path):
    slow, other = pair
    with connect(f"{slow.url.replace('http', 'ws')}/ws/status") as feed:
        job = create(slow, archive)
        until(lambda: seen(other, job)["done"] > 0)
        httpx.delete(f"{other.url}/v1/jobs/{job['id']}").raise_for_status()
        told = ""
        while told != "job.deleted":  # without Redis only its own server's feed tells it
            told = json.loads(feed.recv(30))["type"]

    assert httpx.get(f"{slow.url}/v1/jobs/{job['id']}").status_code == 404
    assert seen(slow, create(slow, archive))["status"] in ("queued", "running", "finished")
    until(lambda: not list((tmp_path / "jobs").glob(f"*{job['id']}*")))
    until(lambda: all(one["status"] == "finished" for one in httpx.get(f"{slow.url}/v1/jobs").json()))


def runner_of(root):
    service = SimpleNamespace(publish=lambda *_: None)
    return JobRunner(root, service, Settings(source=".", state=root))


def test_what_others_upload_or_work_on_is_left_alone_and_what_nobody_does_is_tidied_away(tmp_path):
    store, other = JobStore(tmp_path), JobStore(tmp_path)
    uploading, working, half = store.new(), store.new(), store.new()
    (half.folder / INPUT).write_bytes(b"half")
    half.release()
    job = Job("0" * 32, "zip", 1.0, status="running")
    store.add(working, job)
    damaged = tmp_path / ("1" * 32)
    damaged.mkdir()
    (damaged / DESCRIPTION).write_text("{")
    (tmp_path / ".gone-1").mkdir()
    (tmp_path / "notes").mkdir()
    held, _ = store.claim(job)

    other.tidy()

    assert {path.name for path in tmp_path.iterdir()} == {uploading.folder.name, job.id, "notes"}
    assert other.claim(job) is None
    held.release()
    taken, present = other.claim(job)
    assert (taken.folder, present) == (tmp_path / job.id, job)


def test_a_system_without_locks_is_said_and_leaves_nothing_open(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", none)
    store = JobStore(tmp_path / "jobs")
    before = psutil.Process().num_fds()
    for _ in range(3):
        with pytest.raises(OSError, match="No locks"):
            store.new()
    assert psutil.Process().num_fds() == before
    assert not list((tmp_path / "jobs").iterdir())
    (tmp_path / "jobs" / ".gone-1").mkdir()
    store.tidy()  # says it, and lets the server start


def test_what_is_wrong_for_a_while_does_not_end_the_thread(tmp_path, submit_job, monkeypatch):
    runner, looks = runner_of(tmp_path / "jobs"), []

    def none(_):
        looks.append(0)
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("pindet_serve.jobs.runner.LOOK_EVERY_S", 0.05)
    with monkeypatch.context() as patch:
        patch.setattr(JobStore, "_folders", none)
        runner.start()
        until(lambda: len(looks) > 3)
    try:
        job = submit_job(runner)
        until(lambda: runner.get(job.id).ended)
    finally:
        runner.stop()


def test_an_end_that_could_not_be_written_yields_to_what_another_server_wrote(tmp_path, imageless, monkeypatch):
    runner, store = runner_of(tmp_path / "jobs"), JobStore(tmp_path / "jobs")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pindet_serve.jobs.runner.write_job", full)
    upload = store.new()
    (upload.folder / INPUT).write_bytes(imageless)
    job = Job("e" * 32, "zip", 1.0)
    store.add(upload, job)
    runner.start()
    try:
        until(lambda: runner.get(job.id).status == "failed")
        write_job(store.folder(job.id), job.changed(status="finished", done=60))
        assert [one.status for one in runner.every()] == [runner.get(job.id).status] == ["finished"]
        runner.remove(job)
        assert runner.get(job.id) is None
    finally:
        runner.stop()


def test_the_input_of_an_ended_job_goes_when_a_killed_server_left_it(tmp_path):
    store = JobStore(tmp_path)
    for number, status in enumerate(("finished", "failed", "running")):
        upload = store.new()
        (upload.folder / INPUT).write_bytes(b"")
        store.add(upload, Job(str(number) * 32, "zip", 1.0, status=status))
    store.tidy()
    assert [(tmp_path / (str(number) * 32) / INPUT).exists() for number in range(3)] == [False, False, True]


def test_a_job_that_ends_every_server_is_given_up(tmp_path):
    root = tmp_path / "jobs"
    store = JobStore(root)
    upload = store.new()
    job = Job("a" * 32, "zip", 1.0, status="running", total=9, attempts=MOST_ATTEMPTS, begun_at=2)
    (upload.folder / INPUT).write_bytes(b"what no server survives")
    (upload.folder / RESULT).write_text("{}\n{}\n")
    store.add(upload, job)
    runner = runner_of(root)
    runner.start()
    try:
        until(lambda: runner.get(job.id).status == "failed")
        assert runner.get(job.id).error == "3 times the server ended at frame 2 of the input"
    finally:
        runner.stop()


def test_a_server_that_is_stopped_gives_its_job_back(start_server, project, archive):
    server = start_server(project, "--max-batch=1", "--drain-s=5", slow=0.1)
    job = create(server, archive)
    until(lambda: seen(server, job)["done"] > 1)
    server.process.terminate()
    server.process.wait(20)

    left = read_job(server.state / "jobs" / job["id"])
    assert (left.status, left.attempts) == ("queued", 1)
    assert 1 < left.done < 24


def test_ids_that_are_none_find_nothing(tmp_path):
    store = JobStore(tmp_path / "jobs")
    store.add(store.new(), Job("b" * 32, "zip", 1.0))
    write_job(tmp_path, Job("c" * 32, "zip", 1.0))

    assert store.get("b" * 32).wanted == Wanted()
    for job_id in ("..", "", ".", "B" * 32, "b" * 31, "../jobs/" + "b" * 32):
        assert store.get(job_id) is None


def test_a_job_of_a_later_version_can_be_read(tmp_path):
    write_job(tmp_path, Job("d" * 32, "zip", 1.0))
    content = json.loads((tmp_path / DESCRIPTION).read_text())
    (tmp_path / DESCRIPTION).write_text(json.dumps(content | {"priority": 5}))
    assert read_job(tmp_path) == Job("d" * 32, "zip", 1.0)
