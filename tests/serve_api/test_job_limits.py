"""What a job may take: its directory, its place in the queue, and nothing from those that come after it."""

import io
import math
import time
import zipfile
from types import SimpleNamespace

import cv2
import pytest
from PIL import Image as Pillow
from pindet_serve.jobs import runner as jobs
from pindet_serve.jobs.frames import UnreadableInputError, count_frames, read_frames
from pindet_serve.jobs.runner import MOST_WAITING, JobRunner, TooManyJobs
from pindet_serve.serving.wanted import Wanted
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


def two_entries(path, scene, compression):
    """An archive of a picture and of a text, which comes first; where the text's bytes and its two headers begin."""
    picture = io.BytesIO()
    Pillow.fromarray(scene()).save(picture, "PNG")
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("a.txt", bytes(range(256)) * 40)
        archive.writestr("b.png", picture.getvalue())
        at = archive.getinfo("a.txt").header_offset
    whole = bytearray(path.read_bytes())
    return whole, at + 30 + len("a.txt"), at, whole.index(b"PK\1\2")


def bytes_changed(whole, data, *_):
    whole[data + 12 : data + 60] = b"\xff" * 48


def start_changed(whole, data, *_):
    whole[data : data + 12] = b"\xff" * 12


def unknown_method(whole, _, local, central):
    whole[local + 8 : local + 10] = whole[central + 10 : central + 12] = b"\x63\0"


def encrypted(whole, _, local, central):
    whole[local + 6] |= 1
    whole[central + 8] |= 1


def header_gone(whole, _, local, __):
    whole[local : local + 4] = b"gone"


def header_cut(whole, _, __, central):
    whole[central + 42 : central + 46] = (len(whole) - 10).to_bytes(4, "little")


def too_long(whole, _, __, central):
    whole[central + 20 : central + 24] = (2**31).to_bytes(4, "little")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize(
    "spoil", [bytes_changed, start_changed, unknown_method, encrypted, header_gone, header_cut, too_long]
)
def test_a_damaged_entry_costs_only_itself(tmp_path, scene, compression, spoil):
    path = tmp_path / "input"
    whole, *places = two_entries(path, scene, compression)
    spoil(whole, *places)
    path.write_bytes(whole)
    assert count_frames(path, "zip") == 2
    first, second = read_frames(path, "zip", 0, max_bytes=2**20, max_pixels=2**24)
    assert first.image is None
    assert "can not be read from the archive: " in first.error or "no image" in first.error
    assert second.image.shape == scene().shape


def test_an_archive_of_a_later_version_is_refused(tmp_path, scene):
    path = tmp_path / "input"
    whole, _, _, central = two_entries(path, scene, zipfile.ZIP_STORED)
    whole[central + 6 : central + 8] = (99).to_bytes(2, "little")
    path.write_bytes(whole)
    with pytest.raises(UnreadableInputError, match=r"can not be read: zip file version 9\.9"):
        count_frames(path, "zip")


def test_a_job_that_fails_keeps_no_input(runner, monkeypatch):
    monkeypatch.setattr(jobs, "count_frames", lambda *_: None)
    runner.start()
    upload = runner.reserve()
    (upload.folder / "input").write_bytes(b"PK no archive")
    job = runner.submit(upload, "zip", Wanted())
    runner.give_back(upload)
    until = time.monotonic() + 20
    while runner.get(job.id).status != "failed" or (upload.folder / "input").exists():
        assert time.monotonic() < until, runner.get(job.id)
        time.sleep(0.01)
    assert "can not be read" in runner.get(job.id).error
