"""The runtime answers in pixels of the image, the same in any batch, and refuses a bundle that is not what it says."""

import subprocess
import sys

import numpy as np
import pytest
from pindet_serve.detections import Detections
from pindet_serve.detector import Detector, decode_answer
from pindet_serve.letterbox import Letterbox
from pindet_serve.manifest import BundleError, read_manifest, verify_files
from pindet_serve.onnx_engine import OnnxRuntimeEngine

WHITE = np.full((64, 128, 3), 255, np.uint8)  # letterboxed: half its size, with 16 rows of border above and below


def test_boxes_are_in_pixels_of_the_image_best_first(bundle):
    (found,) = Detector(bundle).detect([WHITE], score_threshold=0.1)
    assert found.labels.tolist() == [0, 1]
    assert found.scores[0] == pytest.approx(2 * found.scores[1])
    np.testing.assert_allclose(found.boxes, [[0, 0, 100, 64], [20, 8, 60, 48]])


def test_padding_is_never_an_answer(bundle):
    (found,) = Detector(bundle).detect([WHITE], score_threshold=0)
    assert len(found) == 2


def test_a_box_of_which_the_image_has_nothing_is_no_answer():
    placement = Letterbox(64, 64).place(64, 128)  # 16 rows of border above and below
    boxes = np.array(
        [[4, 4, 40, 15], [4, 20, 4, 40], [4, 20, 40, 20], [4, 4, 40, 20], [8, 20, 40, 40], [9, 20, 40, 40]], np.float32
    )
    scores, labels = np.linspace(0.9, 0.4, 6, dtype=np.float32), np.arange(6)
    found = decode_answer(boxes, scores, labels, placement, 0.1, 2)
    assert found.labels.tolist() == [3, 4]  # what is left out takes no place of the limit
    np.testing.assert_allclose(found.boxes[0], [8, 0, 80, 8])
    np.testing.assert_allclose(found.scores, scores[3:5])


def test_the_bundle_s_own_threshold_is_the_default(bundle):
    (found,) = Detector(bundle).detect([WHITE])
    assert found.labels.tolist() == [0]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16])
def test_an_image_has_the_same_answer_in_any_batch(bundle, size):
    detector = Detector(bundle)
    images = [np.full((30 + i, 90, 3), 10 * i + 50, np.uint8) for i in range(size)]
    for image, together in zip(images, detector.detect(images, score_threshold=0.1), strict=True):
        (alone,) = detector.detect([image], score_threshold=0.1)
        np.testing.assert_array_equal(together.boxes, alone.boxes)
        np.testing.assert_array_equal(together.scores, alone.scores)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_images_of_a_batch_run_beside_each_other_and_keep_their_order(bundle, threads):
    engine = OnnxRuntimeEngine(bundle, read_manifest(bundle), threads=threads)
    images = np.stack([np.full((64, 64, 3), 10 * i + 40, np.uint8) for i in range(7)])
    together = engine.infer(images)
    for i in range(len(images)):
        for one, every in zip(engine.infer(images[i : i + 1]), together, strict=True):
            np.testing.assert_array_equal(every[i], one[0])
    assert len(np.unique(together[1][:, 0])) == len(images)  # each its own
    if threads > 1:
        engine._session = None  # has every core, and is for an image that is alone
        np.testing.assert_array_equal(engine.infer(images[:1], alone=False)[0], together[0][:1])


def test_no_images_no_answers(bundle):
    assert Detector(bundle).detect([]) == []
    with pytest.raises(ValueError, match="score_threshold is 2"):
        Detector(bundle).detect([], score_threshold=2)


def test_a_changed_file_is_refused(bundle):
    model = bundle / "model.onnx"
    data = bytearray(model.read_bytes())
    data[-1] ^= 1
    model.write_bytes(data)
    with pytest.raises(BundleError, match=r"model\.onnx has sha256 .*changed or truncated"):
        Detector(bundle)


def test_a_missing_and_an_unlisted_file_are_refused(bundle):
    (bundle / "more").write_text("x")
    with pytest.raises(BundleError, match="holds more"):
        verify_files(bundle, read_manifest(bundle))
    (bundle / "more").unlink()
    (bundle / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"lacks model\.onnx"):
        Detector(bundle)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 4}, "schema_version is 4; .*upgrade"),
        ({"data_md5": None}, r"lacks \['data_md5'\]"),
        ({"colour": "red"}, r"unknown keys \['colour'\]"),
        ({"classes": ["a", "a"]}, "must be unique"),
        ({"classes": []}, "at least one"),
        ({"score_threshold": 2}, "score_threshold is 2"),
        ({"max_detections": 0}, "max_detections is 0"),
        ({"max_detections": "3"}, "max_detections in .* is '3'; allowed is int"),
        ({"max_detections": True}, "max_detections in .* is True; allowed is int"),
        ({"score_threshold": "high"}, "score_threshold in .* is 'high'; allowed is float"),
        ({"classes": "bolt"}, "classes in .* is 'bolt'; allowed is list"),
        ({"image_width": 0}, "image_width is 0"),
        ({"letterbox_fill": 256}, "letterbox_fill is 256"),
        ({"letterbox_resampling": "area"}, r"unknown keys \['letterbox_resampling'\]"),
        ({"schema_version": 3}, r"lacks \['letterbox_resampling'\]"),
        ({"schema_version": 3, "letterbox_resampling": ["area"]}, r"resampling in .* is \['area'\]; allowed is str"),
        ({"schema_version": 3, "letterbox_resampling": "cubic"}, "'cubic'; allowed are area, pyramid"),
        ({"image_height": 32}, r"takes images of tensor\(uint8\) .*64, 64.*its manifest says uint8 and \[32, 64, 3\]"),
        ({"max_detections": 2}, r"gives \[3, 3, 3\] detections an image; its manifest says 2"),
    ],
)
def test_a_manifest_out_of_contract_is_refused(bundle, rewrite, changes, message):
    rewrite(**changes)
    with pytest.raises(BundleError, match=message):
        Detector(bundle)


@pytest.mark.parametrize(
    ("changes", "way"),
    [
        ({"schema_version": 1}, "area"),
        ({"schema_version": 2, "formats": {}}, "area"),
        ({"schema_version": 3, "formats": {}, "letterbox_resampling": "pyramid"}, "pyramid"),
    ],
)
def test_images_are_shrunk_as_those_were_that_the_model_learned_from(bundle, rewrite, changes, way):
    rewrite(**changes)
    image = np.random.default_rng(0).integers(0, 256, (200, 240, 3), np.uint8)
    detector, seen = Detector(bundle), []
    infer = detector.engine.infer
    detector.engine.infer = lambda images, **options: seen.append(images) or infer(images, **options)
    detector.detect([image])
    np.testing.assert_array_equal(seen[0][0], Letterbox(64, 64, resampling=way)(image)[0])


@pytest.mark.parametrize(("text", "message"), [("{", "no JSON"), ("[]", "holds a list")])
def test_a_manifest_that_is_no_object_is_refused(bundle, text, message):
    (bundle / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match=message):
        read_manifest(bundle)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(BundleError, match="holds no manifest"):
        Detector(tmp_path)


def test_detections_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        Detections(np.zeros((2, 4), np.float32), np.zeros(2, np.float32), np.zeros(1, np.int64))


def test_nothing_of_the_training_side_is_imported(bundle):
    script = (
        "import sys, pathlib; from pindet_serve.detector import Detector; Detector(pathlib.Path(sys.argv[1]));"
        "print(*{'torch', 'lightning', 'hydra', 'omegaconf', 'dvc', 'mlflow', 'pindet'} & sys.modules.keys())"
    )
    out = subprocess.run([sys.executable, "-c", script, bundle], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == ""


def test_the_best_are_kept_and_impossible_limits_are_named(bundle):
    detector = Detector(bundle)
    (found,) = detector.detect([WHITE], score_threshold=0, max_detections=1)
    assert found.labels.tolist() == [0]
    with pytest.raises(ValueError, match="max_detections is 4; 1 to 3"):
        detector.detect([WHITE], max_detections=4)
    with pytest.raises(ValueError, match="score_threshold is -1"):
        detector.detect([WHITE], score_threshold=-1)
