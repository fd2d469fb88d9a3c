"""What is seen is compared with the profile that the bundle brings; a bundle without one is served all the same."""

import json

import cv2
import httpx
import numpy as np
import pytest
from pindet_serve.detector import Detector
from pindet_serve.manifest import BundleError, list_files
from pindet_serve.profile import PROFILE, measure, profile_of, read_profile, write_profile
from pindet_serve.serving import drift as module
from pindet_serve.serving.drift import Drift, jensen_shannon

from pindet.export.profile import add_profile

CLASSES = ["red", "blue", "white"]


@pytest.fixture(scope="module")
def detector(tmp_path_factory, bundle_writer):
    return Detector(bundle_writer(tmp_path_factory.mktemp("bundle") / "bundle"), threads=1)


def pictures(scene, count, darker=1.0):
    """Scenes of many sizes."""
    rng = np.random.default_rng(5)
    sizes = rng.integers(60, 300, (count, 2))
    return [(scene(int(width), int(height)) * darker).astype(np.uint8) for width, height in sizes]


def measured(detector, images):
    return [measure(*detector.manifest.letterbox()(image), detector.detect([image])[0]) for image in images]


def test_what_is_measured_of_an_image(detector):
    image = np.full((100, 200, 3), 40, np.uint8)
    image[:50, :100] = (240, 40, 40)
    (one,) = measured(detector, [image])
    assert one.sizes.keys() == one.scores.keys() == {0}
    assert one.sizes[0] == pytest.approx([0.5], abs=0.02)
    # A quarter has (240 + 40 + 40) / 3; the grey around the letterboxed image is not counted.
    assert one.brightness == pytest.approx(0.75 * 40 + 0.25 * 320 / 3, abs=2)


def test_the_same_world_does_not_drift_and_another_does(detector, scene):
    reference = profile_of(measured(detector, pictures(scene, 80)), CLASSES)
    same, darker = Drift(reference, CLASSES), Drift(reference, CLASSES)
    for one in measured(detector, pictures(scene, 80)):
        same.add(one)
    for one in measured(detector, pictures(scene, 80, darker=0.6)):
        darker.add(one)
    here = {(quantity, label): distance for quantity, label, distance in same.distances()}
    there = {(quantity, label): distance for quantity, label, distance in darker.distances()}
    assert len(here) == 1 + 3 * 3 and set(here.values()) == {0}
    assert there["brightness", ""] > 0.8
    assert there["counts", "white"] == pytest.approx(1)  # white is not white any more
    assert ("scores", "white") not in there  # nothing was found to have a score


def test_too_few_images_say_nothing(detector, scene):
    few = measured(detector, pictures(scene, module.LEAST - 1))
    drift = Drift(profile_of(few * 2, CLASSES), CLASSES)
    for one in few:
        drift.add(one)
    assert drift.images == module.LEAST - 1 and drift.distances() == []


def test_only_the_latest_images_count(detector, scene, monkeypatch):
    monkeypatch.setattr(module, "HALF_WINDOW", 60)
    reference = profile_of(measured(detector, pictures(scene, 60)), CLASSES)
    drift = Drift(reference, CLASSES)
    for one in measured(detector, pictures(scene, 60, darker=0.6)) + 2 * measured(detector, pictures(scene, 60)):
        drift.add(one)
    assert drift.images == 120
    assert {distance for *_, distance in drift.distances()} == {0}


def test_the_distance_is_that_of_jensen_and_shannon():
    assert jensen_shannon(np.array([3, 0]), np.array([0, 5])) == 1
    assert jensen_shannon(np.array([1, 1]), np.array([7, 7])) == 0
    # By hand: 1/2 [3/4 log2(6/5) + 1/4 log2(2/3)] + 1/2 [1/2 log2(4/5) + 1/2 log2(4/3)] is 0.0488.
    assert jensen_shannon(np.array([3, 1]), np.array([2, 2])) == pytest.approx(0.0488**0.5, abs=1e-3)


def rewritten(bundle):
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps(manifest | {"files": list_files(bundle)}))


def test_export_s_profile_comes_back_equal_and_what_is_none_is_refused(tmp_path, bundle_writer, scene):
    bundle = bundle_writer(tmp_path / "bundle")
    assert read_profile(bundle, CLASSES) is None
    detector = Detector(bundle, threads=1)
    written = add_profile(bundle, detector, pictures(scene, 8))
    assert read_profile(bundle, CLASSES) == written and written.images == 8
    before = (bundle / PROFILE).read_bytes()
    write_profile(bundle, written)
    assert (bundle / PROFILE).read_bytes() == before
    with pytest.raises(BundleError, match="its classes are"):
        read_profile(bundle, ["other"])
    content = json.loads(before)
    (bundle / PROFILE).write_text(json.dumps(content | {"brightness": [1]}))
    with pytest.raises(BundleError, match="1 bins, 16 counts are allowed"):
        read_profile(bundle, CLASSES)
    (bundle / PROFILE).write_text(json.dumps(content | {"schema_version": 2}))
    assert read_profile(bundle, CLASSES) is None


def test_the_server_tells_it_and_a_request_s_own_limits_do_not_count(start_server, project, lock, scene):
    bundle = project / "models" / "bundle"
    images = pictures(scene, 60)
    add_profile(bundle, Detector(bundle, threads=1), images)
    rewritten(bundle)
    lock(project)
    server = start_server(project)
    with httpx.Client(base_url=server.url, timeout=30) as client:
        for image in images:
            client.post("/v1/detect", content=png(image), params={"classes": "red"}).raise_for_status()
        lines = dict(line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines() if line[0] != "#")
    assert float(lines["pindet_drift_images"]) == 60
    for quantity, label in (("brightness", ""), ("counts", "blue"), ("scores", "white"), ("sizes", "red")):
        assert float(lines[f'pindet_drift{{label="{label}",quantity="{quantity}"}}']) < 0.2


def test_without_a_profile_there_is_no_drift_and_all_else(server):
    text = httpx.get(f"{server.url}/metrics").text
    assert "pindet_drift" not in text and "pindet_model_info" in text


def png(image):
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()
