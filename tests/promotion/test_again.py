"""Test data grow: what was measured on fewer images answers the new ones, too."""

import json
from dataclasses import replace

import numpy as np
import pytest

from pindet.promotion.bench import open_bench
from pindet.promotion.comparison.again import answers_on, learnt_from
from pindet.promotion.comparison.judge import answers_of
from pindet.promotion.errors import PromotionError, RefusedError
from pindet.promotion.promote import Wish, promote


def quiet(*_):
    pass


@pytest.fixture
def grown(project):
    """A project whose release was measured on other test images than its last commit, and had learnt from five."""
    project.write("promotion.yaml", "resamples: 200\nmax_drop: 0.1\nmax_class_drop: 0.1\n")
    project.train(score=0.85, learnt=5)
    project.promote()
    project.train(score=0.8, test_seed=1, miss=[0])
    return project


def comparison(verdicts):
    return next(verdict.reason for verdict in verdicts if verdict.gate == "comparison")


def test_a_candidate_is_held_against_a_champion_that_is_measured_again(grown):
    with open_bench(grown.root) as bench:
        with pytest.raises(RefusedError) as error:
            promote(bench, Wish(), quiet, quiet)
        assert "--measure-again" in comparison(error.value.outcome.verdicts)
        outcome = promote(bench, Wish(again=True), quiet, quiet, dry_run=True)
    said = comparison(outcome.verdicts)
    assert "measured again, on 24 new test images, 5 of which it had learnt from" in said


def test_a_worse_candidate_is_refused_on_the_new_images(grown):
    grown.train(score=0.7, test_seed=1, miss=range(12))
    with open_bench(grown.root) as bench, pytest.raises(RefusedError) as error:
        promote(bench, Wish(again=True), quiet, quiet)
    assert "worse beyond chance" in comparison(error.value.outcome.verdicts)


def test_the_answers_are_those_of_the_bundle(grown):
    with open_bench(grown.root) as bench:
        champion, head = bench.revision("champion"), bench.revision("HEAD")
        asked = answers_of(bench.objects, head)
        found = answers_on(bench.objects, champion, asked, head)
        assert found.same_truth(asked) and found.score_threshold == 0.5
        for rows in found.detections:
            np.testing.assert_allclose(rows[:, :4], [[4, 4, 30, 30], [34, 34, 60, 60]], atol=0.01)
            assert rows[:, 4].tolist() == pytest.approx([0.85, 0.85]) and rows[:, 5].tolist() == [0, 1]
        turned = answers_on(bench.objects, champion, replace(asked, classes=asked.classes[::-1]), head)
        assert turned.detections[0][:, 5].tolist() == [1, 0]  # by their names, not by their place in the list
        with pytest.raises(PromotionError, match=r"knows the classes bolt, nut.*have bolt, washer"):
            answers_on(bench.objects, champion, replace(asked, classes=["bolt", "washer"]), head)
        assert learnt_from(bench.objects, champion, head) == 5 and learnt_from(bench.objects, head, head) == 0


def test_compare_measures_again_what_it_is_asked_to(grown):
    content = json.loads(grown.pindet("compare", "champion", "HEAD", "--measure-again", "--json", "--html", "a.html"))
    baseline, other = content["sides"]
    assert baseline["is_again"] and not other["is_again"] and not other["problem"]
    assert other["difference"]["map"]["nut"]["value"] < 0 == other["difference"]["map"]["bolt"]["value"]
    page = (grown.root / "a.html").read_text("utf-8")
    assert "v1.0.0 (production) (measured again)" in page and page.count("<figure>") == 1
    assert baseline["learnt_from"] == 5 and other["learnt_from"] == 0
    terminal = grown.pindet("compare", "champion", "HEAD", "--measure-again")
    markdown = grown.pindet("compare", "champion", "HEAD", "--measure-again", "--format", "markdown")
    for text in (page, terminal, markdown.replace("\\", "")):
        assert "(measured again): had learnt from or was chosen with 5 of the 24 test images" in text
    assert "different test data" in grown.pindet("compare", "champion", "HEAD", status=3)
    assert "--measure-again lets the bundles answer" in grown.said
