"""A bundle proves itself: its golden images give its golden answers, or it is refused."""

import json

import numpy as np
import pytest
from pindet_serve.detector import Detector
from pindet_serve.golden import Tolerance, load_proven, prove, write_golden
from pindet_serve.manifest import BundleError, list_files

IMAGES = [np.full((64, 128, 3), 255, np.uint8), np.full((40, 30, 3), 200, np.uint8)]


@pytest.fixture
def golden(bundle):
    """The bundle with golden answers, and a function that edits the first of them."""
    detector = Detector(bundle)
    answers = detector.detect(IMAGES, score_threshold=0.2)
    write_golden(bundle, IMAGES, answers, Tolerance(box=0.5, score=0.01), 0.2)
    path = bundle / "golden" / "answers.json"

    def edit(change):
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))
        return prove(detector, bundle)

    return edit


def test_its_own_answers_prove_it(golden):
    assert golden(lambda _: None) == 2


def test_the_order_of_answers_does_not_matter(golden):
    def turn_round(content):
        for key in ("boxes", "scores", "labels"):
            content["answers"][0][key].reverse()

    assert golden(turn_round) == 2


def test_differences_within_the_tolerance_are_allowed(golden):
    def nudge(content):
        content["answers"][0]["boxes"][0][0] += 0.4
        content["answers"][0]["scores"][0] -= 0.009

    assert golden(nudge) == 2


def test_an_object_as_good_as_the_threshold_may_come(golden):
    def forget(content):
        content["score_threshold"] = content["answers"][1]["scores"][1] - 0.005
        for key in ("boxes", "scores", "labels"):
            content["answers"][1][key].pop()

    assert golden(forget) == 2


def test_an_object_as_good_as_the_threshold_may_score_less(golden):
    def promise_more(content):
        content["answers"][1]["scores"][1] += 0.005
        content["score_threshold"] = content["answers"][1]["scores"][1]

    assert golden(promise_more) == 2


def moved(content):
    content["answers"][0]["boxes"][0][2] -= 0.6


def rescored(content):
    content["answers"][1]["scores"][0] -= 0.02


def relabelled(content):
    content["answers"][0]["labels"] = [0, 0]


def shortened(content):
    for key in ("boxes", "scores", "labels"):
        content["answers"][0][key].pop()


def emptied(content):
    content["answers"].clear()


def undefined(content):
    content["answers"][0]["boxes"][0][0] = float("nan")


def renamed(content):
    content["answers"][0]["image"] = "none.png"


def without_scores(content):
    del content["answers"][0]["scores"]


def without_tolerance(content):
    del content["box_tolerance"]


def ragged(content):
    content["answers"][0]["boxes"][0].pop()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (moved, r"000\.png, label 0: box off by 0\.6"),
        (rescored, r"001\.png, label 0: .*score off by 0\.02"),
        (relabelled, "label 0 is expected and was not found"),
        (shortened, "2 objects were found, 1 are expected"),
        (emptied, "holds no answer"),
        (undefined, "label 0: box off by nan"),
        (renamed, r"golden image none\.png cannot be read"),
        (without_scores, r"holds no golden answers: KeyError\('scores'\)"),
        (without_tolerance, r"holds no golden answers: KeyError\('box_tolerance'\)"),
        (ragged, "holds no golden answers"),
    ],
)
def test_an_answer_that_differs_is_refused(golden, change, message):
    with pytest.raises(BundleError, match=message):
        golden(change)


def test_a_bundle_without_golden_answers_is_refused(bundle):
    with pytest.raises(BundleError, match=r"holds no golden/answers\.json"):
        prove(Detector(bundle), bundle)


def test_loading_a_bundle_checks_its_files_and_proves_it(golden, bundle, rewrite):
    rewrite(files=list_files(bundle))
    assert load_proven(bundle, threads=1).manifest.max_detections == 3

    with pytest.raises(BundleError, match="box off by"):
        golden(moved)  # and leaves the change in the file
    with pytest.raises(BundleError, match=r"golden/answers\.json has sha256"):
        load_proven(bundle)
    rewrite(files=list_files(bundle))
    with pytest.raises(BundleError, match="box off by"):
        load_proven(bundle)


def test_half_precision_may_be_further_off_and_not_more_than_some(golden, bundle, rewrite):
    with pytest.raises(BundleError, match="box off by"):
        golden(moved)  # which leaves the change in the file
    rewrite(files=list_files(bundle))
    detector = Detector(bundle)
    detector.engine.half = True
    assert prove(detector, bundle) == 2
    with pytest.raises(BundleError, match="box off by"):
        golden(lambda content: [moved(content) for _ in range(10)])
    with pytest.raises(BundleError, match="box off by"):
        prove(detector, bundle)
