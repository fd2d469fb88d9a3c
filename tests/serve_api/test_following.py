"""A server that follows a release file serves what it pins, without losing a request."""

import asyncio
import io
import json
import shutil
import threading
import time

import httpx
import pytest
from PIL import Image as Pillow
from pindet_serve.engine import DeviceMissingError
from pindet_serve.manifest import BundleError
from pindet_serve.serving import service as serving
from pindet_serve.serving.following import follow_forever
from pindet_serve.serving.service import Service
from pindet_serve.settings import Settings
from pindet_serve.status.memory_bus import MemoryBus


@pytest.fixture
def release(tmp_path, make_release, make_bundle):
    """Writes a release of a new bundle, whose map is ``score``; returns its file."""

    def write(version, score, **changes):
        bundle = make_bundle(tmp_path / f"bundle-{version}", score=score, **changes)
        return make_release(tmp_path / "remote", bundle, version)

    return write


@pytest.fixture
def service(release, tmp_path):
    settings = Settings(
        source=str(release("v1.0.0", 0.9)), state=tmp_path / "state", threads=1, engine="onnxruntime", follow_s=3600.0
    )
    started = Service(settings, publish=lambda kind, _: events.append(kind))
    events = started.events = []
    started.start()
    yield started
    started.stop()


def version_of(service):
    return service.model.release.version


def test_another_release_is_served_once_it_is_there(service, release):
    assert service.follow() is False
    release("v1.1.0", 0.7)
    assert service.follow() is True
    assert version_of(service) == "v1.1.0"
    assert service.follow() is False


def test_what_was_rolled_back_is_not_followed_until_another_is_released(service, release):
    release("v1.1.0", 0.7)
    service.follow()
    service.rollback()
    assert service.follow() is False
    release("v1.2.0", 0.6)
    assert service.follow() is True
    assert version_of(service) == "v1.2.0"


def rolled_back(service, release):
    """Serve v1.1.0, go back to v1.0.0; return the release file."""
    path = release("v1.1.0", 0.7)
    service.follow()
    service.rollback()
    assert service.follow() is False and service.declined.version == "v1.1.0"
    return path


def edited(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("changes", [{"version": "v1.2.0"}, {"git_tag": "detector#production#3"}])
def test_another_release_of_a_bundle_that_was_rolled_back_is_followed(service, release, changes):
    edited(rolled_back(service, release), **changes)
    assert service.follow() is True
    assert version_of(service) == changes.get("version", "v1.1.0") and service.declined is None
    service.rollback()
    assert version_of(service) == "v1.0.0"


def test_a_release_that_was_rolled_back_stays_so_when_its_file_is_written_again(service, release):
    edited(rolled_back(service, release), mlflow={"run_id": "1"})
    assert service.follow() is False
    assert version_of(service) == "v1.0.0" and service.declined.version == "v1.1.0"


def test_nothing_is_rolled_back_once_the_source_pins_what_is_served(service, release):
    before = json.loads(release("v1.0.0", 0.9).read_text())
    edited(rolled_back(service, release), **before)
    assert service.follow() is False
    assert version_of(service) == "v1.0.0" and service.declined is None


def test_a_restart_keeps_to_a_rollback_until_another_release_of_the_same_bundle(service, release, tmp_path):
    path = rolled_back(service, release)
    record = json.loads((tmp_path / "state/served.json").read_text())
    assert record["declined"] == record["previous"]["bundle_md5"]  # as older servers wrote and read it

    def restarted():
        again = Service(service._settings)
        again.start()
        again.stop()
        return version_of(again)

    assert restarted() == "v1.0.0"
    edited(path, version="v1.2.0")
    assert restarted() == "v1.2.0"


def test_what_is_refused_is_said_once_and_tried_again_later(service, release, tmp_path, monkeypatch):
    path = release("v1.1.0", 0.7)
    kept = tmp_path / "kept"
    shutil.move(tmp_path / "remote/files", kept)
    with pytest.raises(BundleError, match="can not be fetched"):
        service.follow()
    assert service.follow() is False
    monkeypatch.setattr(serving, "TRY_AGAIN_SECONDS", 0.0)
    service._try_again_at = time.monotonic()  # a minute later
    with pytest.raises(BundleError, match="can not be fetched"):
        service.follow()
    assert service.events.count("model.refused") == 1
    assert version_of(service) == "v1.0.0"
    shutil.move(kept, tmp_path / "remote/files")
    assert path.is_file() and service.follow() is True
    assert service.refused == ""


def test_a_source_out_of_reach_is_no_refusal(service, tmp_path):
    shutil.move(tmp_path / "remote", tmp_path / "away")
    with pytest.raises(BundleError):
        service.follow()
    assert service.refused == "" and "model.refused" not in service.events


def test_the_bus_tells_at_once(service, release):
    async def told():
        bus = MemoryBus("replica")
        await bus.start()
        following = asyncio.create_task(follow_forever(service, bus, 3600))
        await asyncio.sleep(0.1)
        await asyncio.to_thread(release, "v1.1.0", 0.7)
        async with asyncio.timeout(60):
            while version_of(service) != "v1.1.0":
                await bus.publish("release.promoted", {"version": "v1.1.0"})
                await asyncio.sleep(0.05)
        following.cancel()
        await asyncio.wait([following])
        await bus.stop()

    asyncio.run(told())


def test_a_running_server_changes_over_and_loses_no_request(start_server, release, scene):
    buffer = io.BytesIO()
    Pillow.fromarray(scene()).save(buffer, "PNG")
    server = start_server(release("v1.0.0", 0.9), "--follow-s=0.2")
    answers, stop = [], threading.Event()

    def ask():
        with httpx.Client(base_url=server.url, timeout=240) as client:
            while not stop.is_set():
                answer = client.post("/v1/detect", content=buffer.getvalue())
                answers.append((answer.status_code, answer.headers["X-Model-Version"]))

    asking = threading.Thread(target=ask)
    asking.start()
    release("v1.1.0", 0.7)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (not answers or answers[-1][1] != "v1.1.0"):
        time.sleep(0.05)
    stop.set()
    asking.join(60)
    assert {status for status, _ in answers} == {200}
    versions = [version for _, version in answers]
    assert versions == sorted(versions) and versions[-1] == "v1.1.0"
    served = httpx.get(f"{server.url}/v1/model").json()
    assert served["declined"] is None
    answer = httpx.post(f"{server.url}/v1/model/rollback", timeout=60).json()["model"]
    assert answer["version"] == "v1.0.0"
    assert answer["declined"] == {key: served[key] for key in ("name", "version", "md5")}


@pytest.mark.parametrize("version", ["v1.1.0 – neu", 7, "v1.1.0\r\nX-Evil: 1", "v" * 65, "", "\ud800", " v1.1.0"])
def test_a_version_that_no_header_can_say_is_refused(service, release, version):
    edited(release("v1.1.0", 0.7), version=version)
    with pytest.raises(BundleError, match=r"version of the release|is no JSON"):
        service.reload()
    assert version_of(service) == "v1.0.0" and service.refused


def test_a_server_that_is_given_such_a_version_answers_on_and_says_why(start_server, release, scene):
    buffer = io.BytesIO()
    Pillow.fromarray(scene()).save(buffer, "PNG")
    path = release("v1.0.0", 0.9)
    server = start_server(path, "--follow-s=0.1")
    for version in ("v1.0.1 – neu", 7, "v1.0.1\r\nX-Evil: 1"):
        edited(path, version=version)
        said = f"version of the release is {version!a}"
        deadline = time.monotonic() + 60
        while said not in httpx.get(f"{server.url}/v1/model").json()["refused"]:
            assert time.monotonic() < deadline, httpx.get(f"{server.url}/v1/model").text
            time.sleep(0.05)
        refused = httpx.post(f"{server.url}/v1/model/reload")
        assert refused.status_code == 409 and said in refused.json()["detail"]
        assert httpx.post(f"{server.url}/v1/detect", content=buffer.getvalue()).headers["X-Model-Version"] == "v1.0.0"
        assert json.loads((server.state / "served.json").read_text())["current"]["version"] == "v1.0.0"
    edited(path, version="v1.0.1")
    assert httpx.post(f"{server.url}/v1/model/reload", timeout=60).json()["model"]["version"] == "v1.0.1"


def test_a_device_that_is_gone_refuses_a_release_and_is_tried_again(service, release, monkeypatch):
    release("v1.1.0", 0.7)
    with monkeypatch.context() as patch:
        patch.setattr("pindet_serve.serving.model.open_detector", gone)
        with pytest.raises(BundleError, match="no NVIDIA GPU"):
            service.reload()
        assert "no NVIDIA GPU" in service.refused and service.events[-1] == "model.refused"
        assert version_of(service) == "v1.0.0"
        assert service.follow() is False
        service._try_again_at = time.monotonic()  # a minute later
        with pytest.raises(BundleError, match="no NVIDIA GPU"):
            service.follow()
    service._try_again_at = time.monotonic()
    assert service.follow() is True
    assert (version_of(service), service.refused) == ("v1.1.0", "")


def gone(*_):
    raise DeviceMissingError("no NVIDIA GPU can be used here")
