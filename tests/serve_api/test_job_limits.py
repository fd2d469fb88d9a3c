"""What a job may take: its directory, its place in the queue, and nothing from those that come after it."""

import math
import time
import zipfile
from types import SimpleNamespace

import cv2
import pytest
from pindet_serve.jobs import runner as jobs
from pindet_serve.jobs.frames import UnreadableInputError, count_frames, read_frames
from pindet_serve.jobs.runner import MOST_WAITING, JobRunner, TooManyJobs
from pindet_serve.settings import Settings


@pytest.fixture
def runner(tmp_path):
    service = SimpleNamespace(publish=lambda *_: None)
    made = JobRunner(tmp_path / "jobs", service, Settings(source=".", state=tmp_path))
    yield made
    made.stop()


def test_places_are_held_from_before_the_upload_until_it_is_given_up(runner):
    runner.start()
    uploads = [runner.reserve() for _ in range(MOST_WAITING)]
    with pytest.raises(TooManyJobs):
        runner.reserve()
    runner.give_back(uploads[0])
    assert not uploads[0].folder.exists()
    runner.reserve()


def test_a_job_that_can_not_even_be_said_to_have_failed_keeps_no_other_waiting(runner, submit_job, monkeypatch):
    runner.start()
    written = []

    def full(_, job):
        written.append(job.status)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(jobs, "write_job", full)
    for job in (submit_job(runner), submit_job(runner)):
        until = time.monotonic() + 10
        while runner.get(job.id).status != "failed" and time.monotonic() < until:
            time.sleep(0.01)
        assert "No space left" in runner.get(job.id).error
    assert written.count("failed") == 2


def test_a_directory_that_is_too_large_is_not_read(tmp_path, imageless):
    path, whole = tmp_path / "input", imageless
    path.write_bytes(whole)
    assert count_frames(path, "zip") == 1
    end = whole.rindex(b"PK\5\6")
    path.write_bytes(whole[: end + 12] + (33 * 2**20).to_bytes(4, "little") + whole[end + 16 :])
    with pytest.raises(UnreadableInputError, match="directory has 33 MiB; 32 are allowed"):
        count_frames(path, "zip")


def test_the_directory_of_a_zip64_archive(tmp_path, request, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 0)
    path, whole = tmp_path / "input", request.getfixturevalue("imageless")
    assert whole.rindex(b"PK\6\6") < whole.rindex(b"PK\5\6")
    end, larger = whole.rindex(b"PK\5\6"), whole.rindex(b"PK\6\6")
    whole = whole[: end + 12] + b"\xff" * 4 + whole[end + 16 :]
    path.write_bytes(whole)
    assert count_frames(path, "zip") == 1
    path.write_bytes(whole[: larger + 40] + (2**33).to_bytes(8, "little") + whole[larger + 48 :])
    with pytest.raises(UnreadableInputError, match="directory has 8192 MiB"):
        count_frames(path, "zip")


def test_frames_are_left_out_only_as_long_as_the_job_is_wanted(tmp_path, scene):
    path = tmp_path / "video.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (160, 120))
    for _ in range(12):
        writer.write(scene(160, 120)[..., ::-1].copy())
    writer.release()
    seen = []

    def check():
        seen.append(0)
        if len(seen) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(read_frames(path, "video", 10, max_bytes=2**20, max_pixels=2**24, check=check))
    assert len(seen) == 4
    assert len(list(read_frames(path, "video", 10, max_bytes=2**20, max_pixels=math.inf))) == 2
