"""The bundle is written only when it answers as the model does, and it proves itself."""

import copy
import dataclasses
import json
import logging

import numpy as np
import onnx
import pytest
from pindet_serve.golden import load_proven
from pindet_serve.images import decode_image
from pindet_serve.manifest import BundleError
from pindet_serve.profile import read_profile

import pindet.export.bundle
from pindet.export.export import export
from pindet.export.latency import measure_latency
from pindet.export.operating import OperatingPoint
from pindet.export.parity import ParityError
from pindet.models.predictor import Predictor

POINT = OperatingPoint(score_threshold=0.3, nms_iou_threshold=0.5, max_detections=20)
ABOUT = {"metrics": {"test/map": 0.5, "test/map/人": 0.25}, "data_md5": "0123456789abcdef" * 2}


@pytest.fixture(scope="session")
def exported(tmp_path_factory, trained_once, pictures, settings):
    """A bundle, not to be changed, and the parity that was measured."""
    bundle = tmp_path_factory.mktemp("exported") / "bundle"
    return bundle, export(trained_once, pictures, POINT, settings, bundle, **ABOUT)


@pytest.fixture
def perturbed(monkeypatch):
    """The export gets the model with its weights changed by that share."""

    def perturb(share):
        original = pindet.export.bundle.export_model

        def changed(model, *arguments, **options):
            other = copy.deepcopy(model)
            for parameter in other.parameters():
                parameter.data.mul_(1 + share)
            return original(other, *arguments, **options)

        monkeypatch.setattr(pindet.export.bundle, "export_model", changed)

    return perturb


def test_the_bundle_is_proved_and_agrees_with_the_model(exported, trained, pictures):
    bundle, parity = exported
    assert parity["images"] == 12
    assert parity["pairs"] == parity["objects_trained"] == parity["objects_bundle"] >= 12
    assert parity["unmatched"] == parity["pairs_apart"] == 0
    assert parity["iou_min"] > 0.999
    assert parity["score_difference_max"] < 1e-3
    assert parity["map_trained"] == parity["map_bundle"] > 0.1
    assert sorted(path.name for path in bundle.parent.iterdir()) == ["bundle"]

    detector = load_proven(bundle)
    for i in range(len(pictures)):
        (theirs,) = Predictor(trained.model, POINT.postprocess())([pictures.image(i)])
        (ours,) = detector.detect([pictures.image(i)], score_threshold=0)
        np.testing.assert_allclose(ours.boxes, theirs.boxes, atol=1e-2)
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-4)
        np.testing.assert_array_equal(ours.labels, theirs.labels)


def test_the_manifest_says_what_the_bundle_is(exported, pictures):
    manifest = load_proven(exported[0]).manifest
    assert manifest.classes == ["red", "green"]
    assert (manifest.image_height, manifest.image_width, manifest.letterbox_fill) == (64, 64, 114)
    assert (manifest.score_threshold, manifest.max_detections) == (0.3, 20)
    assert (manifest.metrics, manifest.data_md5) == (ABOUT["metrics"], ABOUT["data_md5"])
    golden = {"golden/answers.json", *(f"golden/00{i}.png" for i in range(3))}
    assert set(manifest.files) == {"model.onnx", "profile.json", *golden}
    profile = read_profile(exported[0], manifest.classes)
    assert profile is not None and profile.images == sum(profile.brightness) == len(pictures)


def test_golden_images_show_every_class(exported):
    content = json.loads((exported[0] / "golden" / "answers.json").read_text())
    assert content["score_threshold"] == POINT.score_threshold
    assert {label for answer in content["answers"] for label in answer["labels"]} == {0, 1}
    assert min(score for answer in content["answers"] for score in answer["scores"]) >= 0.3


def test_an_export_again_gives_the_same_bytes(exported, trained, pictures, settings, tmp_path):
    def contents(bundle):
        return {path.name: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}

    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "old").write_text("goes")
    (tmp_path / ".bundle.tmp-killed" / "new").mkdir(parents=True)
    assert export(trained, pictures, POINT, settings, tmp_path / "bundle", **ABOUT) == exported[1]
    assert contents(tmp_path / "bundle") == contents(exported[0])
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_bundle_of_other_weights_is_not_written(perturbed, trained, pictures, settings, tmp_path):
    perturbed(0.2)
    with pytest.raises(ParityError, match=r"objects have no counterpart with IoU >= 0\.99.*No bundle was written"):
        export(trained, pictures, POINT, settings, tmp_path / "bundle", **ABOUT)
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_that_cannot_prove_itself_is_not_written(trained, pictures, settings, tmp_path, monkeypatch):
    def forged(bundle, images, answers, *rest):
        moved = [dataclasses.replace(answer, boxes=answer.boxes + 3) for answer in answers]
        return original(bundle, images, moved, *rest)

    original = pindet.export.bundle.write_golden
    monkeypatch.setattr(pindet.export.bundle, "write_golden", forged)
    with pytest.raises(BundleError, match="box off by 3"):
        export(trained, pictures, POINT, settings, tmp_path / "bundle", **ABOUT)
    assert list(tmp_path.iterdir()) == []


def test_a_barely_trained_model_is_proved_at_a_lower_threshold(trained, pictures, settings, tmp_path, caplog):
    trained.model.score.bias.data.fill_(-16)  # scores of a few thousandths
    with caplog.at_level(logging.WARNING):
        parity = export(trained, pictures, POINT, settings, tmp_path / "bundle", **ABOUT)
    assert parity["pairs"] == 0
    assert "parity compared nothing but the map" in caplog.text
    content = json.loads((tmp_path / "bundle" / "golden" / "answers.json").read_text())
    assert content["score_threshold"] < 0.05
    assert load_proven(tmp_path / "bundle").manifest.score_threshold == 0.3


def test_a_model_that_finds_nothing_is_named(trained, pictures, settings, tmp_path):
    trained.model.score.bias.data.fill_(-40)
    with pytest.raises(ValueError, match="finds nothing in the 12 images"):
        export(trained, pictures, POINT, settings, tmp_path / "bundle", **ABOUT)


def test_data_that_do_not_fit_are_named(trained, pictures, no_pictures, settings, tmp_path):
    with pytest.raises(ValueError, match="holds no image"):
        export(trained, no_pictures, POINT, settings, tmp_path / "bundle", **ABOUT)
    with pytest.raises(ValueError, match=r"the model knows \['a', 'b'\], the data \['red', 'green'\]"):
        export(dataclasses.replace(trained, classes=["a", "b"]), pictures, POINT, settings, tmp_path / "b", **ABOUT)


def test_latency_is_measured(exported, pictures):
    latency = measure_latency(load_proven(exported[0]), [pictures.image(0), pictures.image(1)], runs=5)
    assert 0 < latency["p50_ms"] <= latency["p95_ms"]


def test_the_settings_are_followed_and_golden_images_are_small(trained, pictures, settings, tmp_path, monkeypatch):
    large = [np.kron(pictures.image(i), np.ones((9, 9, 1), np.uint8)) for i in range(len(pictures))]
    monkeypatch.setattr(pictures, "_images", large)
    changed = dataclasses.replace(settings, opset=18, golden_images=1)
    export(trained, pictures, POINT, changed, tmp_path / "bundle", **ABOUT)
    assert [entry.version for entry in onnx.load(tmp_path / "bundle" / "model.onnx").opset_import] == [18]
    (path,) = (tmp_path / "bundle" / "golden").glob("*.png")
    assert max(decode_image(path.read_bytes()).shape) == 160
