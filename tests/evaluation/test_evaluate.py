"""The whole evaluation: the numbers, the folder, its bytes, and data that leave something undefined."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pindet_serve.detections import Detections

from pindet.evaluation.comparison import compare_image
from pindet.evaluation.curves import counts_at, scored
from pindet.evaluation.evaluate import evaluate

FILES = {
    "report.html",
    "per_image.json",
    "intervals.json",
    "suspects.json",
    "pr_curve.json",
    "pr_curves.json",
    "f1_curve.json",
    "confusion.json",
    "calibration.json",
    "classes.json",
    "sizes.json",
    "errors.json",
    "undefined.json",
}
CLASSES = ["bolt", "<script>alert(1)</script>", "人"]


def tree(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def strict(data: bytes) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(data, parse_constant=refuse)


@pytest.fixture
def run(make_settings: Any, replay: Any, tmp_path: Path) -> Any:
    """Evaluates given answers; returns the result and the files."""
    numbers = iter(range(100))

    def evaluated(splits: Any, on_val: Any, on_test: Any, **changes: Any) -> Any:
        output = tmp_path / "out" / f"evaluate{next(numbers)}"
        result = evaluate(replay(on_val, on_test), *splits, make_settings(**changes), output)
        assert [p.name for p in output.parent.iterdir() if p.name.startswith(".")] == []
        files = tree(output)
        assert {name for name in files if not name.startswith("gallery/")} == FILES
        for name, data in files.items():
            if name.endswith(".json"):
                strict(data)
        assert all(math.isfinite(value) for value in result.metrics.values())
        check_page(files["report.html"].decode())
        return result, files

    return evaluated


class Page(HTMLParser):
    """Collects what a page refers to, and checks that its tags are balanced."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href", "srcset", "data")]
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        del attrs  # of a shape in a chart
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check_page(text: str) -> None:
    page = Page()
    page.feed(text)
    assert page.open == []
    assert all(link.startswith("data:image/jpeg;base64,") for link in page.links)
    assert not page.tags & {"script", "link", "iframe", "object", "base"}
    text = re.sub(r"base64,[A-Za-z0-9+/=]*", "", text)
    assert not re.search(r"https?:|//[a-z]|url\(|@import|NaN", text)
    assert "None" not in re.sub(r"None: (no|there)", "", text)


@pytest.fixture
def splits(make_splits: Any, random_boxes: Any) -> Any:
    return make_splits(CLASSES, random_boxes(1, 12, CLASSES), random_boxes(2, 12, CLASSES))


def test_the_operating_point_comes_from_validation(make_splits: Any, answer: Any, run: Any) -> None:
    one = {"x.png": [("a", 0, 0, 50, 50), ("a", 100, 0, 150, 50)]}
    splits = make_splits(["a"], one, {"y.png": [("a", 0, 0, 50, 50), ("a", 60, 60, 99, 99), ("a", 100, 0, 150, 50)]})
    on_val = answer((0, 0, 50, 50, 0.9, 0), (100, 0, 150, 50, 0.8, 0), (0, 100, 50, 150, 0.4, 0))
    on_test = answer((0, 0, 50, 50, 0.7, 0), (0, 100, 50, 150, 0.65, 0), (100, 0, 150, 50, 0.5, 0))
    result, files = run(splits, [on_val], [on_test])
    assert result.operating_point == {"score_threshold": 0.6, "nms_iou_threshold": 0.6, "max_detections": 100}
    metrics = result.metrics
    assert (metrics["val/precision"], metrics["val/recall"], metrics["val/f1"]) == (1, 1, 1)
    assert (metrics["test/precision"], metrics["test/recall"]) == pytest.approx((1 / 2, 1 / 3), abs=1e-6)
    assert metrics["test/f1"] == metrics["test/f1/a"] == pytest.approx(2 / 5)
    assert metrics["test/map_50"] == pytest.approx((34 + 33 * 2 / 3) / 101, abs=1e-6)
    image = strict(files["per_image.json"])["images"][0]
    assert {k: image[k] for k in ("file_name", "objects", "true_positives", "false_positives", "false_negatives")} == {
        "file_name": "y.png",
        "objects": 3,
        "true_positives": 1,
        "false_positives": 1,
        "false_negatives": 2,
    }
    assert image["detections"][0] == [0, 0, 50, 50, 0.7, 0]
    assert image["truths"][1] == [60, 60, 99, 99, 0]
    assert [e for e in strict(files["errors.json"]) if e["count"]] == [
        {"kind": "background", "count": 1, "map_gain": pytest.approx((67 - 34 - 22) / 101, abs=1e-6)},
        {"kind": "missed", "count": 2, "map_gain": pytest.approx((51 + 50 * 2 / 3 - 34 - 22) / 101, abs=1e-6)},
    ]
    assert strict(files["sizes.json"]) == [
        {"size": "small", "objects": 0, "found": 0},
        {"size": "medium", "objects": 3, "found": 1},
        {"size": "large", "objects": 0, "found": 0},
    ]
    assert set(result.undefined) == {"test/map_small", "test/map_large"}


def test_the_files_agree_with_each_other(splits: Any, make_noisy: Any, run: Any) -> None:
    answers = make_noisy(splits[0], 1), make_noisy(splits[1], 2)
    result, files = run(splits, *answers)
    images, threshold = strict(files["per_image.json"])["images"], result.operating_point["score_threshold"]
    assert [image["file_name"] for image in images] == splits[1].names
    classes = strict(files["classes.json"])
    for key in ("objects", "true_positives", "false_positives", "false_negatives"):
        assert sum(row[key] for row in images) == sum(row[key] for row in classes)
    pairs = Counter((row["actual"], row["predicted"]) for row in strict(files["confusion.json"]))
    assert sum(n for (a, p), n in pairs.items() if a == p) == sum(row["true_positives"] for row in images)
    assert sum(n for (a, _), n in pairs.items() if a != "background") == sum(row["objects"] for row in images)
    assert {name for pair in pairs for name in pair} == {*CLASSES, "background"}
    page = files["report.html"].decode()
    lone = pairs.total() - sum(n for (actual, _), n in pairs.items() if actual != "background")
    assert f"In the words of the table above: The last row holds {lone} detections: " in page
    # What per_image.json holds is enough to count and judge again.
    rebuilt = []
    for row in images:
        table, truths = np.array(row["detections"]).reshape(-1, 6), np.array(row["truths"]).reshape(-1, 5)
        boxes, scores = table[:, :4].astype(np.float32), table[:, 4].astype(np.float32)
        found = Detections(boxes, scores, table[:, 5].astype(np.int64))
        rebuilt.append(compare_image("", found, truths[:, :4].astype(np.float32), truths[:, 4].astype(np.int64), 0.5))
    counts = counts_at(scored(rebuilt, len(CLASSES))[0], threshold)
    assert counts.f1 == pytest.approx(result.metrics["test/f1"], abs=1e-6)
    assert [found.scores.tolist() for found in answers[1]] == [image.found.scores.tolist() for image in rebuilt]
    assert len([name for name in files if name.startswith("gallery/")]) == 3


def test_rows_for_dvc_plots_have_equal_keys(splits: Any, make_noisy: Any, run: Any) -> None:
    _, files = run(splits, make_noisy(splits[0], 1), make_noisy(splits[1], 2))
    keys = {
        "pr_curve": {"recall", "precision", "score"},
        "pr_curves": {"class", "recall", "precision", "score"},
        "f1_curve": {"score_threshold", "f1", "precision", "recall"},
        "confusion": {"actual", "predicted"},
        "calibration": {"low", "high", "count", "confidence", "precision"},
        "errors": {"kind", "count", "map_gain"},
    }
    for name, expected in keys.items():
        rows = strict(files[f"{name}.json"])
        assert rows
        assert {frozenset(row) for row in rows} == {frozenset(expected)}
    recalls = [row["recall"] for row in strict(files["pr_curves.json"]) if row["class"] == "人"]
    assert recalls == sorted(recalls)


def test_equal_answers_give_equal_bytes(splits: Any, make_noisy: Any, run: Any) -> None:
    first = run(splits, make_noisy(splits[0], 1), make_noisy(splits[1], 2))
    second = run(splits, make_noisy(splits[0], 1), make_noisy(splits[1], 2), batch_size=5)
    assert first == second
    other = run(splits, make_noisy(splits[0], 1), make_noisy(splits[1], 3))
    assert other[0].metrics != first[0].metrics


def test_names_are_text_never_markup(splits: Any, make_noisy: Any, run: Any) -> None:
    _, files = run(splits, make_noisy(splits[0], 1), make_noisy(splits[1], 2))
    page = files["report.html"].decode()
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "人" in page
    assert "人" in files["confusion.json"].decode()


def test_no_table_and_no_name_can_push_the_page_apart(
    make_splits: Any, make_noisy: Any, random_boxes: Any, run: Any
) -> None:
    name = "a_name_without_a_place_to_break_" * 4
    splits = make_splits([name, "b"], random_boxes(1, 5, [name, "b"]), random_boxes(2, 5, [name, "b"]))
    page = run(splits, make_noisy(splits[0], 1), make_noisy(splits[1], 2))[1]["report.html"].decode()
    assert page.count("<table") == len(re.findall(r'<div class="scroll"><table', page)) == 5
    heads = re.findall(r"<th[^>]*>((?:(?!</th>).)*)</th>", page)
    long = [head for head in heads if name in head]
    assert len(long) == 4  # in the tables of classes and data, and twice in the matrix
    assert all(head.startswith('<span class="label">') for head in long)


def test_chinese_is_marked_as_such_and_never_alone(
    make_splits: Any, random_boxes: Any, make_noisy: Any, run: Any
) -> None:
    splits = make_splits(["a"], random_boxes(1, 5, ["a"]), random_boxes(2, 5, ["a"]))
    _, files = run(splits, make_noisy(splits[0], 1), make_noisy(splits[1], 2))
    page = files["report.html"].decode()
    english = re.sub(r'<span lang="zh-Hans">[^<]+</span>', "", page)
    assert english != page
    assert not re.search(r"[\u2e80-\uffef]|lang=.?zh", english)
    assert not re.search(r"<(h\d|th|dt|span class=\"name\")>\s*</", english.replace("<tr><th></th>", ""))


def test_the_report_names_what_its_pictures_can_not_write(splits: Any, make_noisy: Any, run: Any) -> None:
    _, files = run(splits, make_noisy(splits[0], 1), make_noisy(splits[1], 2))
    assert "#2 in the picture is 人." in files["report.html"].decode()


def empty(split: Any) -> list[Detections]:
    nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)
    return [Detections(*nothing) for _ in range(len(split))]


def test_no_detections(splits: Any, run: Any) -> None:
    result, files = run(splits, empty(splits[0]), empty(splits[1]))
    warned = "other images may give quite other figures. Every draw of the test images gives the same mAP"
    assert warned in files["report.html"].decode()
    assert result.operating_point["score_threshold"] == 0.5
    assert result.metrics["test/map"] == result.metrics["test/recall"] == result.metrics["test/f1"] == 0
    assert "test/precision" not in result.metrics
    assert {"score_threshold", "test/precision", "test/precision/人", "test/ece"} <= set(result.undefined)
    assert strict(files["calibration.json"]) == strict(files["pr_curve.json"]) == []
    errors = {row["kind"]: row["map_gain"] for row in strict(files["errors.json"])}
    assert errors == dict.fromkeys(errors, 0) | {"missed": 1}
    assert "fallback" in files["report.html"].decode()


def test_no_objects(make_splits: Any, run: Any, answer: Any) -> None:
    splits = make_splits(["a"], {"v.png": []}, {"t.png": []})
    found = answer((0, 0, 50, 50, 0.9, 0))
    result, files = run(splits, [found], [found])
    assert result.metrics["test/precision"] == result.metrics["test/f1"] == 0
    assert result.undefined["test/map"] == "The test images show no object."
    assert {"test/map", "val/map", "test/recall", "test/mar_100", "test/map/a"} <= set(result.undefined)
    assert not {"test/map", "test/recall"} & set(result.metrics)
    page = files["report.html"].decode()
    assert "with no object in them. Reporting what it is at least 0.5 sure of, it makes 1 detection, which can" in page
    assert strict(files["confusion.json"]) == [{"actual": "background", "predicted": "a"}]


def test_no_images(make_splits: Any, run: Any) -> None:
    result, files = run(make_splits(["a"], {}, {}), [], [])
    assert result.metrics == {}
    said = {(key.split("/")[0], reason) for key, reason in result.undefined.items() if key != "score_threshold"}
    assert said == {("test", "There is no test image."), ("val", "There is no val image.")}
    assert strict(files["per_image.json"])["images"] == []
    page = files["report.html"].decode()
    assert "There is no test image, so nothing on this page says how good" in page
    assert "that played no part" not in page and "No class is taken for another" not in page
    assert "<td>–</td>" in page and "0.0%" not in page
    assert page.count("<dd>There is no test image.</dd>") == 1  # for all metrics together
    assert "Nothing to draw: there is no test image." in page and "Nothing to show: there is no test image." in page


def test_a_class_that_test_lacks(make_splits: Any, run: Any, answer: Any) -> None:
    objects = [("a", 0, 0, 50, 50), ("b", 100, 0, 150, 50)]
    splits = make_splits(["a", "b"], {"v.png": objects}, {"t.png": objects[:1]})
    right = answer((0, 0, 50, 50, 0.9, 0), (100, 0, 150, 50, 0.8, 1))
    result, files = run(splits, [right], [right])
    assert result.metrics["test/map"] == result.metrics["test/map/a"] == 1
    assert result.metrics["test/precision/b"] == 0
    missing = [k for k in result.undefined if k.endswith("/b")]
    assert missing == ["test/map/b", "test/map_50/b", "test/recall/b"]
    assert strict(files["classes.json"])[1]["map"] is None


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([(0, 0, 50, 50, 0.9, 0)], "with 1 object of 1 of the 2 classes. Reporting what it is at least 0.9 sure of, it "
         "finds 1 of 1 object, and its only detection is right."),
        ([(0, 99, 50, 150, 0.9, 0)], "it finds 0 of 1 object, and its only detection is wrong."),
        ([(0, 0, 50, 50, 0.9, 0), (0, 99, 50, 150, 0.95, 1)], "it finds 1 of 1 object, and 1 of its 2 detections are"),
        ([], "sure of, it finds nothing."),
    ],
)  # fmt: skip
def test_the_first_words_fit_small_numbers(make_splits: Any, run: Any, answer: Any, rows: Any, said: str) -> None:
    one = [("a", 0, 0, 50, 50)]
    splits = make_splits(["a", "b"], {"v.png": one}, {"t.png": one})
    assert said in run(splits, [answer((0, 0, 50, 50, 0.9, 0))], [answer(*rows)])[1]["report.html"].decode()


def test_a_faultless_detector_has_no_gallery(make_splits: Any, run: Any, answer: Any) -> None:
    splits = make_splits(["人"], {"v.png": [("人", 0, 0, 50, 50)]}, {"t.png": [("人", 0, 0, 50, 50)]})
    found = [answer((0, 0, 50, 50, 0.9, 0))]
    result, files = run(splits, found, found)
    assert result.metrics["test/f1"] == result.metrics["test/map/人"] == 1
    assert not [name for name in files if name.startswith("gallery/")]
    assert "no test image shows a mistake" in files["report.html"].decode()


def test_every_metric_is_there_or_has_its_reason(make_splits: Any, run: Any, splits: Any, make_noisy: Any) -> None:
    full, _ = run(splits, make_noisy(splits[0], 1), make_noisy(splits[1], 2))
    bare, _ = run(make_splits(CLASSES, {}, {}), [], [])
    keys = {*full.metrics, *full.undefined}
    assert keys == {*bare.metrics, *bare.undefined} - {"score_threshold"}
    assert not set(full.metrics) & set(full.undefined)


def test_a_folder_with_something_in_it_is_left_alone(
    splits: Any, make_settings: Any, replay: Any, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (tmp_path / ".out.tmp-killed" / "result").mkdir(parents=True)
    answers = replay(empty(splits[0]), empty(splits[1]))
    evaluate(answers, *splits, make_settings(), output)  # an empty folder is fine
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    before = tree(output)
    with pytest.raises(FileExistsError, match="not empty"):
        evaluate(answers, *splits, make_settings(), output)
    assert tree(output) == before


def test_nothing_is_left_when_the_model_fails(splits: Any, make_settings: Any, tmp_path: Path) -> None:
    def broken(images: Any) -> Any:
        raise RuntimeError(f"no answer for {len(images)}")

    with pytest.raises(RuntimeError, match="no answer"):
        evaluate(broken, *splits, make_settings(), tmp_path / "sub" / "out")
    assert not (tmp_path / "sub").exists()


def test_splits_of_other_classes_are_refused(make_splits: Any, make_settings: Any, tmp_path: Path) -> None:
    val, test = make_splits(["a"], {}, {})[0], make_splits(["b"], {}, {})[1]
    with pytest.raises(ValueError, match="must agree"):
        evaluate(lambda _: [], val, test, make_settings(), tmp_path / "out")


def test_intervals_hold_the_measured_map_and_are_left_out_when_not_asked_for(
    make_splits: Any, make_settings: Any, random_boxes: Any, make_noisy: Any, tmp_path: Path
) -> None:
    val, test = make_splits(["a", "b"], random_boxes(0, 5, ["a", "b"]), random_boxes(1, 12, ["a", "b"]))
    answers = [*make_noisy(val, 0), *make_noisy(test, 1)]
    for resamples, rows in ((50, 3), (0, 0)):
        left = iter(answers)
        settings = make_settings(resamples=resamples)
        result = evaluate(lambda images: [next(left) for _ in images], val, test, settings, tmp_path / str(resamples))  # noqa: B023
        intervals = json.loads((tmp_path / str(resamples) / "intervals.json").read_text("utf-8"))
        assert len(intervals) == rows
        for row in intervals:
            assert row["low"] < row["map"] < row["high"]
            key = f"test/map/{row['class']}" if row["class"] else "test/map"
            assert row["map"] == pytest.approx(result.metrics[key], abs=1e-6)
        page = (tmp_path / str(resamples) / "report.html").read_text("utf-8")
        assert ("With other test images of the same kind probably" in page) == bool(rows)


def numbered(count: int, classes: list[str]) -> Any:
    """Images that each show one object of each class, side by side."""
    return {
        f"{i:02d}.png": [(name, 40 * k, 0, 40 * k + 30, 30) for k, name in enumerate(classes)] for i in range(count)
    }


@pytest.fixture
def moved(answer: Any) -> Any:
    """Answers to :func:`numbered`, of other quality for each image, with detections on nothing."""

    def build(count: int, class_count: int) -> list[Detections]:
        rows = [
            [(40 * k, 0, 40 * k + 30, 30 - 2 * (i % 8), 0.9 - 0.01 * i, k) for k in range(class_count)]
            for i in range(count)
        ]
        return [answer(*of_image, (0, 100, 30, 150, 0.1, 0)) for of_image in rows]

    return build


@pytest.mark.parametrize(
    ("count", "said", "given"),
    [
        (1, "Only 1 test image shows an object. How much", False),
        (2, "Only 2 test images show an object: other images may give quite other figures", True),
        (19, "Only 19 test images show an object: other images may give quite other figures", True),
        (20, "", True),
    ],
)
def test_few_images_give_no_false_certainty(
    make_splits: Any, run: Any, moved: Any, count: int, said: str, given: bool
) -> None:
    images = numbered(count, ["a", "b"])
    splits = make_splits(["a", "b"], {f"v{k}": v for k, v in images.items()}, images)
    result, files = run(splits, moved(count, 2), moved(count, 2), resamples=50)
    page = files["report.html"].decode()
    assert (said in page) if said else ("Only" not in page)
    assert [row["class"] for row in strict(files["intervals.json"])] == ([None, "a", "b"] if given else [])
    assert ("probably" in page) == ("95 of 100 draws" in page) == given
    assert "these classes, whose figures" not in page  # of all images there are few
    assert result.metrics["test/ece"] > 0
    below = f"over {count * 3} detections, {count} of them below the score threshold"
    assert below in page
    assert (f"{below}; with fewer than 100 it is mostly chance" in page) == (count * 3 < 100)


def test_draws_that_agree_are_no_interval(make_splits: Any, run: Any, answer: Any) -> None:
    images = numbered(25, ["a"])
    found = [answer((0, 0, 30, 30, 0.9, 0)) for _ in images]
    result, files = run(make_splits(["a"], {f"v{k}": v for k, v in images.items()}, images), found, found)
    assert result.metrics["test/map"] == 1
    assert strict(files["intervals.json"]) == []
    page = files["report.html"].decode()
    assert "Every draw of the test images gives the same mAP" in page and "probably" not in page


def test_a_class_of_few_images_is_named(make_splits: Any, run: Any, moved: Any) -> None:
    images = numbered(20, ["a", "b"])
    for name in list(images)[:-1]:
        images[name] = images[name][:1]  # the last alone shows b
    val = {f"v{k}": v for k, v in images.items()}
    _, files = run(make_splits(["a", "b"], val, images), moved(20, 2), moved(20, 2), resamples=50)
    assert [row["class"] for row in strict(files["intervals.json"])] == [None, "a"]
    assert (
        "Fewer than 20 of the test images show these classes, whose figures say little: b (1)."
        in files["report.html"].decode()
    )


def test_if_each_class_is_rare_none_is_named(make_splits: Any, run: Any, moved: Any) -> None:
    images = numbered(20, ["a", "b"])
    images = {name: boxes[:1] if i % 2 else boxes[1:] for i, (name, boxes) in enumerate(images.items())}
    val = {f"v{k}": v for k, v in images.items()}
    _, files = run(make_splits(["a", "b", "absent"], val, images), moved(20, 2), moved(20, 2))
    assert "test images show any one class: the figures of a single class say little." in files["report.html"].decode()


def test_nothing_is_said_of_intervals_that_were_not_asked_for(make_splits: Any, run: Any, moved: Any) -> None:
    images = numbered(1, ["a"])
    splits = make_splits(["a"], {f"v{k}": v for k, v in images.items()}, images)
    assert "no interval" not in run(splits, moved(1, 1), moved(1, 1), resamples=0)[1]["report.html"].decode()
