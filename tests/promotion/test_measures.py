"""Average precision of resamples, and the paired bootstrap."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pindet_serve.detections import Detections

from pindet.evaluation.answers import Answers
from pindet.evaluation.average_precision import average_precisions
from pindet.evaluation.bootstrap import ALL, Draws, Estimate
from pindet.evaluation.matching import match_classes
from pindet.evaluation.metrics import coco_metrics
from pindet.promotion.comparison import bootstrap
from pindet.promotion.comparison.answers import read_answers
from pindet.promotion.comparison.bootstrap import resample
from pindet.promotion.comparison.difference import Difference, difference
from pindet.promotion.comparison.judge import weigh
from pindet.promotion.errors import PromotionError
from pindet.promotion.settings import PromotionSettings


class Split:
    """A split of prepared data, as the COCO evaluation reads it."""

    def __init__(self, answers):
        self.classes, self._answers = answers.classes, answers

    def __len__(self):
        return len(self._answers.names)

    def coco(self):
        annotations = []
        for i, truths in enumerate(self._answers.truths):
            for x1, y1, x2, y2, label in truths.tolist():
                box = [x1, y1, x2 - x1, y2 - y1]
                annotations.append(
                    {"id": len(annotations) + 1, "image_id": i + 1, "category_id": int(label) + 1, "bbox": box,
                     "area": box[2] * box[3], "iscrowd": 0}
                )  # fmt: skip
        images = [{"id": i + 1, "file_name": name} for i, name in enumerate(self._answers.names)]
        categories = [{"id": k + 1, "name": name} for k, name in enumerate(self.classes)]
        return {"images": images, "annotations": annotations, "categories": categories}


def random_answers(seed, images=9, classes=3, quality=3.0):
    """Objects and detections near them; no two scores are equal."""
    generator = np.random.default_rng(seed)
    truths, detections = [], []
    scores = iter(generator.permutation(10_000) / 10_000)
    for _ in range(images):
        count = generator.integers(0, 5)
        corners = generator.uniform(0, 60, (count, 2))
        boxes = np.concatenate([corners, corners + generator.uniform(8, 30, (count, 2))], axis=1)
        labels = generator.integers(0, classes, count)
        truths.append(np.column_stack([boxes, labels]))
        found = [
            [*(box + generator.uniform(-1.2, 1.2, 4) * quality), next(scores), label if generator.random() < 0.8 else 0]
            for box, label in zip(boxes, labels, strict=True)
            for _ in range(generator.integers(0, 3))
        ]
        found += [[5, 5, 20, 20, next(scores), generator.integers(0, classes)]]
        detections.append(np.array(sorted(found, key=lambda row: -row[4]), np.float64).reshape(-1, 6))
    names = [f"{i}.png" for i in range(images)]
    return Answers([f"c{k}" for k in range(classes)], 0.5, 0.5, names, truths, detections)


def repeated(answers, counts):
    """The same images, each as often as it counts."""
    order = np.repeat(np.arange(len(answers.names)), counts)
    pick = lambda rows: [rows[i] for i in order]  # noqa: E731
    names = [f"{k}.png" for k in range(len(order))]
    return Answers(answers.classes, 0.5, 0.5, names, pick(answers.truths), pick(answers.detections))


def by_coco(answers):
    found = [
        Detections(d[:, :4].astype(np.float32), d[:, 4].astype(np.float32), d[:, 5].astype(np.int64))
        for d in answers.detections
    ]
    return coco_metrics(Split(answers), found)


@given(st.integers(0, 10_000), st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_it_is_coco_s_on_all_images_and_on_images_repeated(seed, draw):
    answers = random_answers(seed)
    counts = np.random.default_rng(draw).multinomial(9, [1 / 9] * 9)
    values = np.stack([average_precisions(m, np.stack([np.ones(9, np.int64), counts])) for m in match_classes(answers)])
    for row, expected in ((0, by_coco(answers)), (1, by_coco(repeated(answers, counts)))):
        for k, name in enumerate(answers.classes):
            if f"map/{name}" in expected:
                # Images drawn twice bring equal scores, whose order COCO does not fix.
                assert values[k, row] == pytest.approx(expected[f"map/{name}"], abs=1e-9 if row == 0 else 0.03)
            else:
                assert np.isnan(values[k, row])


def test_a_model_against_itself_differs_by_nothing():
    answers, draws = random_answers(1), Draws(200, 0.95, 0)
    found = difference(resample(answers, draws), resample(answers, draws), draws)
    assert {(each.value, each.low, each.high) for each in found.map.values() if each.is_defined} == {(0.0, 0.0, 0.0)}


def test_the_paired_interval_is_narrower_than_that_of_two_samples_and_the_seed_fixes_it():
    good, bad = random_answers(3, images=60, quality=2.0), random_answers(3, images=60, quality=2.0)
    for i in range(0, 60, 3):  # some images get worse
        bad.detections[i] = bad.detections[i][:0]
    draws = Draws(400, 0.95, 0)
    one, two = resample(good, draws), resample(bad, draws)
    paired = difference(one, two, draws).map[ALL]
    other = resample(bad, Draws(400, 0.95, 9)).map[ALL]
    unpaired = draws.estimate(one.map[ALL] - np.concatenate([two.map[ALL][:1], other[1:]]))
    assert 0 < paired.low < paired.value < paired.high
    assert paired.high - paired.low < unpaired.high - unpaired.low
    again = difference(resample(good, draws), resample(bad, draws), draws).map[ALL]
    assert again == paired
    assert difference(resample(good, Draws(400, 0.95, 1)), resample(bad, Draws(400, 0.95, 1)), draws).map[ALL] != paired


def test_a_comparison_tells_how_far_it_is_if_it_takes_long(capsys, monkeypatch):
    answers, draws = random_answers(5, images=40), Draws(333, 0.95, 0)
    answers = Answers([*answers.classes, "absent"], 0.5, 0.5, answers.names, answers.truths, answers.detections)
    found = resample(answers, draws, "comparing v1")
    assert capsys.readouterr().err == ""
    counts = draws.counts(len(answers.names))
    for name, matches in zip(answers.classes, match_classes(answers), strict=True):
        assert np.array_equal(found.map[name], average_precisions(matches, counts), equal_nan=True)
    monkeypatch.setattr(bootstrap, "_SILENT_SECONDS", 0.0)
    resample(answers, draws, "comparing v1")
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 5 and said[-1] == "comparing v1: 16 of 16"


def test_a_class_without_objects_is_undefined_and_left_out_of_the_mean():
    answers = random_answers(4)
    answers = Answers([*answers.classes, "absent"], 0.5, 0.5, answers.names, answers.truths, answers.detections)
    found = resample(answers, Draws(100, 0.95, 0))
    assert np.isnan(found.map["absent"]).all()
    assert found.map[ALL][0] == pytest.approx(np.mean([found.map[c][0] for c in answers.classes[:-1]]))


def test_no_images_and_no_answers_are_errors(tmp_path):
    with pytest.raises(PromotionError, match="no test images"):
        resample(Answers(["a"], 0.5, 0.5, [], [], []), Draws(100, 0.95, 0))
    for text in ("{", "{}", '{"classes": [], "score_threshold": 0.5, "iou_threshold": 0.5, "images": [{}]}'):
        (tmp_path / "per_image.json").write_text(text)
        with pytest.raises(PromotionError, match="of v1 is not as evaluate writes it"):
            read_answers(tmp_path / "per_image.json", "v1")


def test_an_interval_that_the_draws_cannot_tell_is_not_shown_and_decides_nothing():
    told, untold = Estimate(-0.2, -0.3, -0.1), Estimate(-0.2, -0.2, -0.2)
    assert told.shown("+.2f") == "-0.20 [-0.30, -0.10]"
    assert (untold.shown(), Estimate(np.nan, np.nan, np.nan).shown()) == ("-0.200", "–")
    lenient = PromotionSettings(max_drop=0.5, max_class_drop=0.5)
    assert not weigh(Difference({ALL: told}, told), lenient, "v1").is_open
    assert weigh(Difference({ALL: untold}, untold), lenient, "v1").is_open
