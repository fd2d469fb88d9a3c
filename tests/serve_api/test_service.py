"""Releases are verified, proved and swapped in; one that fails leaves the last one serving, and says why."""

import hashlib
import json
import threading

import pytest
from pindet_serve.engine import DeviceMissingError
from pindet_serve.manifest import BundleError
from pindet_serve.serving import service as serving
from pindet_serve.serving.service import Busy, Service
from pindet_serve.settings import Settings


@pytest.fixture
def open_service(tmp_path):
    """Starts a service; stops it in the end."""
    running = []

    def opened(source, **changes):
        events = []
        settings = Settings(
            **{"source": str(source), "state": tmp_path / "state", "threads": 1, "engine": "onnxruntime"} | changes
        )
        service = Service(settings, publish=lambda kind, data: events.append((kind, data)))
        service.start()
        service.events = events
        running.append(service)
        return service

    yield opened
    for service in running:
        service.stop()


def score_of(service):
    return service.model.manifest.metrics["test/map"]


def test_the_workspace_s_pinned_bundle_is_served(open_service, project):
    service = open_service(project)
    assert (service.model.release.version, service.model.engine) == ("workspace", "onnxruntime")
    assert [kind for kind, _ in service.events] == ["model.loading", "model.loaded"]


def test_a_reload_takes_the_new_pin_and_a_rollback_the_old(open_service, project, make_bundle, lock):
    service = open_service(project)
    assert service.reload() is False
    make_bundle(project / "models" / "bundle", score=0.7)
    lock(project)
    assert service.reload() is True
    assert score_of(service) == 0.7
    service.rollback()
    assert score_of(service) == 0.9
    service.rollback()
    assert score_of(service) == 0.7


def changed(bundle):
    data = bytearray((bundle / "model.onnx").read_bytes())
    data[-1] ^= 1
    (bundle / "model.onnx").write_bytes(data)


def truncated(bundle):
    (bundle / "model.onnx").write_bytes((bundle / "model.onnx").read_bytes()[:100])


def missing(bundle):
    (bundle / "golden" / "000.png").unlink()


def swapped(bundle):
    first, second = bundle / "golden" / "000.png", bundle / "golden" / "001.png"
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)


def added(bundle):
    (bundle / "note.txt").write_text("x")


@pytest.mark.parametrize("spoil", [changed, truncated, missing, swapped, added])
def test_a_workspace_that_differs_from_its_pin_is_refused(open_service, project, spoil):
    service = open_service(project)
    spoil(project / "models" / "bundle")
    with pytest.raises(BundleError, match=r"dvc\.lock pins .*dvc checkout"):
        service.reload()
    assert score_of(service) == 0.9
    assert "dvc.lock pins" in service.refused
    assert service.events[-1][0] == "model.refused"


@pytest.mark.parametrize("spoil", [changed, truncated, missing, swapped, added])
def test_a_pinned_bundle_that_its_manifest_contradicts_is_refused(open_service, project, lock, spoil):
    service = open_service(project)
    spoil(project / "models" / "bundle")
    lock(project)
    with pytest.raises(BundleError, match=r"manifest"):
        service.reload()
    assert score_of(service) == 0.9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 4}, "schema_version is 4; .*upgrade"),
        ({"classes": ["red", "blue", "black"]}, r"its classes are .*black.*last release's.*accept_classes"),
        ({"image_height": 128}, "its manifest says"),
    ],
)
def test_a_bundle_that_does_not_fit_is_refused(open_service, project, make_bundle, lock, changes, message):
    service = open_service(project)
    make_bundle(project / "models" / "bundle", **changes)
    lock(project)
    with pytest.raises(BundleError, match=message):
        service.reload()
    assert score_of(service) == 0.9
    make_bundle(project / "models" / "bundle", score=0.8)
    lock(project)
    assert service.reload() is True
    assert service.refused == ""


def test_other_classes_are_served_when_that_is_meant(open_service, project, make_bundle, lock):
    service = open_service(project)
    make_bundle(project / "models" / "bundle", classes=["a", "b", "c"])
    lock(project)
    assert service.reload(accept_classes=True) is True
    assert service.model.manifest.classes == ["a", "b", "c"]


def test_a_golden_answer_that_differs_is_refused(open_service, project, make_bundle, lock):
    service = open_service(project)
    bundle = make_bundle(project / "models" / "bundle", score=0.8)
    answers = bundle / "golden" / "answers.json"
    content = json.loads(answers.read_text())
    content["answers"][0]["boxes"][0][0] += 3
    answers.write_text(json.dumps(content))
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"]["golden/answers.json"] = hashlib.sha256(answers.read_bytes()).hexdigest()
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    lock(project)
    with pytest.raises(BundleError, match="golden image 000"):
        service.reload()
    assert score_of(service) == 0.9


def test_a_restart_serves_the_same_model_even_if_the_source_broke(open_service, project):
    open_service(project)
    truncated(project / "models" / "bundle")
    again = open_service(project)
    assert score_of(again) == 0.9
    assert "dvc.lock pins" in again.refused


def test_a_restart_keeps_a_rollback_until_another_release_is_pinned(open_service, project, make_bundle, lock):
    service = open_service(project)
    make_bundle(project / "models" / "bundle", score=0.7)
    lock(project)
    service.reload()
    service.rollback()
    assert score_of(open_service(project)) == 0.9
    make_bundle(project / "models" / "bundle", score=0.6)
    lock(project)
    assert score_of(open_service(project)) == 0.6


def test_the_first_start_with_nothing_to_serve_stops(open_service, project, tmp_path):
    changed(project / "models" / "bundle")
    with pytest.raises(BundleError, match=r"dvc\.lock pins"):
        open_service(project)
    with pytest.raises(BundleError, match="run make repro"):
        open_service(tmp_path)
    with pytest.raises(BundleError, match="no folder"):
        open_service(tmp_path / "nowhere")


def test_there_is_nothing_to_roll_back_to_at_first(open_service, project):
    service = open_service(project)
    with pytest.raises(BundleError, match="no release before"):
        service.rollback()


@pytest.fixture
def held_load(open_service, project, make_bundle, lock, monkeypatch):
    """A service in which a thread has begun to load another bundle; that, and what lets it go on soon."""
    monkeypatch.setattr(serving, "PATIENCE_SECONDS", 60)
    service = open_service(project)
    make_bundle(project / "models" / "bundle", score=0.8)
    lock(project)
    service.reload()
    make_bundle(project / "models" / "bundle", score=0.7)
    lock(project)
    loading, go_on = threading.Event(), threading.Event()

    def hold(kind, _):
        if kind == "model.loading":
            loading.set()
            assert go_on.wait(60)

    service.publish = hold
    by_itself = threading.Thread(target=service.follow)
    by_itself.start()
    assert loading.wait(60)
    yield service, lambda: threading.Timer(0.2, go_on.set).start()
    go_on.set()
    by_itself.join(60)


def test_a_reload_by_hand_waits_for_a_load_that_is_going_on(held_load):
    service, go_on_soon = held_load
    go_on_soon()
    assert service.reload() is False
    assert score_of(service) == 0.7


def test_a_rollback_of_what_was_replaced_meanwhile_is_refused(held_load):
    service, go_on_soon = held_load
    go_on_soon()
    with pytest.raises(Busy, match="another release was loaded meanwhile"):
        service.rollback()
    assert score_of(service) == 0.7
    service.rollback()
    assert score_of(service) == 0.8


def test_one_load_at_a_time(open_service, project, make_bundle, lock, monkeypatch):
    monkeypatch.setattr(serving, "PATIENCE_SECONDS", 0.1)
    service = open_service(project)
    make_bundle(project / "models" / "bundle", score=0.7)
    lock(project)
    refused = []

    def reload_within(kind, _):
        if kind == "model.loading":
            with pytest.raises(Busy):
                service.reload()
            refused.append(kind)

    service.publish = reload_within
    service.reload()
    assert refused


def test_a_damaged_store_is_repaired_from_the_source(open_service, project, tmp_path):
    open_service(project)
    (model,) = (tmp_path / "state" / "store" / "bundles").glob("*/model.onnx")
    model.unlink()
    model.write_bytes(b"damaged")
    assert score_of(open_service(project)) == 0.9


def test_old_releases_leave_the_store(open_service, project, make_bundle, lock, tmp_path):
    service = open_service(project)
    for score in (0.8, 0.7, 0.6):
        make_bundle(project / "models" / "bundle", score=score)
        lock(project)
        service.reload()
    store = tmp_path / "state" / "store"
    assert len(list((store / "bundles").iterdir())) == 2
    models = [path for path in (store / "files").rglob("*") if path.is_file() and b"looking" in path.read_bytes()]
    assert len(models) == 2


def test_a_record_that_can_not_be_written_costs_nothing_else(open_service, project, tmp_path, make_bundle, lock):
    service = open_service(project)
    (tmp_path / "state" / "served.json").unlink()
    (tmp_path / "state" / "served.json").mkdir()
    make_bundle(project / "models" / "bundle", score=0.7)
    lock(project)
    assert service.reload() is True
    assert score_of(service) == 0.7


def test_openvino_answers_alike(open_service, project, scene):
    pytest.importorskip("openvino")
    ours = open_service(project, engine="openvino")
    theirs = open_service(project)
    assert ours.model.engine == "openvino"
    for images in ([scene()], [scene(), scene(100, 300), scene(300, 100)]):
        pairs = zip(ours.model.detector.detect(images), theirs.model.detector.detect(images), strict=True)
        for one, other in pairs:
            assert one.boxes.tolist() == other.boxes.tolist()
            assert one.labels.tolist() == other.labels.tolist()


def test_an_engine_that_is_not_installed_stops_the_start(open_service, project, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(DeviceMissingError, match=r"pip install 'pindet-serve\[openvino\]'"):
        open_service(project, engine="openvino")
    assert open_service(project, engine="auto").model.engine == "onnxruntime"
