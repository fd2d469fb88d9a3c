"""Revisions side by side."""

import io
import json
import re

import pytest
from rich.console import Console

from pindet.promotion.bench import open_bench
from pindet.promotion.comparison.page import to_page
from pindet.promotion.comparison.rows import facts
from pindet.promotion.comparison.sides import compare_sides
from pindet.promotion.comparison.text import show, to_markdown
from pindet.promotion.errors import PromotionError


@pytest.fixture
def two(project):
    """A project with v1.0.0 released, and a worse last commit with another learning rate."""
    project.promote()
    project.train(score=0.8, miss=range(5), lr=0.02)
    return project


def compared(project, *revs):
    with open_bench(project.root) as bench:
        return compare_sides(bench, [bench.revision(rev) for rev in revs])


def test_the_command_compares_champion_and_workspace(two):
    said = two.pindet("compare")
    assert "v1.0.0 (production)" in said and "workspace" in said
    assert re.search(r"training\.lr +│ 0\.01 +│ 0\.02", said)
    content = json.loads(two.pindet("compare", "champion", "HEAD", "--json", "--html", "page.html"))
    change = content["sides"][1]["difference"]["map"]
    assert change["nut"]["value"] < change["nut"]["high"] < 0 == change["bolt"]["value"]
    assert content["changed_params"] == {"training.lr": ["0.01", "0.02"]}
    assert "data:image/jpeg" in (two.root / "page.html").read_text("utf-8")


def test_data_size_and_latency_are_rows(two, monkeypatch):
    two.train(score=0.8, lr=0.02, train_note="more")
    bundles = [two.pinned(rev=rev) for rev in ("HEAD~2", "HEAD")]
    two.write(f".pindet/latency/{bundles[0]}.json", '{"p50_ms": 12.34}')
    monkeypatch.chdir(two.root)
    sides = compared(two, "champion", "HEAD")
    rows = {row.name: [cell.text for cell in row.cells] for row in facts(sides)}
    models = [two.object(two.listing(bundle)["model.onnx"]).stat().st_size for bundle in bundles]
    assert [side.bytes for side in sides.sides] == models
    assert rows["model size"] == [f"{size / 2**20:.1f} MiB" for size in models]
    assert rows["median latency at its export"] == ["12.3 ms", "–"]
    assert rows["prepared data"] == [two.pinned("data/prepared", rev)[:10] for rev in ("HEAD~2", "HEAD")]
    assert len(set(rows["prepared data"])) == 2
    said = two.pindet("compare", "champion", "HEAD")
    for name, cells in rows.items():
        assert re.search(rf"{name} +│ {cells[0]} +│ {cells[1]}", said)


def test_a_class_s_change_and_its_interval_are_in_every_form(two):
    with open_bench(two.root) as bench:
        sides = compare_sides(bench, [bench.revision("v1.0.0"), bench.revision("HEAD")])
        page = to_page(bench, sides, 4)
    markdown = to_markdown(sides)
    nut = next(line for line in markdown.splitlines() if line.startswith("| nut"))
    assert nut.endswith("▼ |") and "1.000" in nut
    assert 'class="worse">' in page and page.count("<figure>") == 4
    assert "0 have fewer mistakes and 5 more" in page and "Shown are the extremes" in page
    assert not re.search(r"""(src|href)=["'](?!data:)""", page) and "http" not in page  # it needs no network


def test_other_test_data_are_said_and_not_compared(two):
    two.train(score=0.7, test_seed=1)
    sides = compared(two, "champion", "HEAD", "HEAD~1")
    assert sides.sides[1].difference is None and "different test data" in sides.sides[1].problem
    assert sides.sides[2].difference is not None and not sides.sides[2].problem
    assert all("first column" in text for text in texts(two, "champion", "HEAD", "HEAD~1"))
    for text in texts(two, "champion", "HEAD"):  # nothing can be compared
        assert "different test data" in text and "first column" not in text
    said = two.pindet("compare", "champion", "HEAD", "--format", "markdown", status=3)
    assert "different test data" in said


def test_the_workspace_is_what_is_in_it(two):
    lock = (two.root / "dvc.lock").read_text()
    two.git("checkout", "-q", "HEAD~1", "--", "dvc.lock", "params.yaml")
    sides = compared(two, "HEAD", "workspace")
    assert sides.sides[1].params["training.lr"] == "0.01"
    assert sides.sides[1].difference.map["nut"].low > 0
    assert (two.root / "dvc.lock").read_text() != lock


@pytest.mark.parametrize("is_committed", [False, True])
def test_parameters_that_did_not_make_the_results_are_said_in_every_form(is_committed, two):
    two.write("params.yaml", (two.root / "params.yaml").read_text().replace("lr: 0.02", "lr: 0.5"))
    rev = "HEAD" if is_committed else "workspace"
    if is_committed:
        two.commit("parameters without a run")
    forms = [two.pindet("compare", "champion", rev), two.pindet("compare", "champion", rev, "--format", "markdown")]
    content = json.loads(two.pindet("compare", "champion", rev, "--json", "--html", "page.html"))
    for text in [*forms, (two.root / "page.html").read_text("utf-8")]:
        assert "0.5" in text and "not made with params.yaml:training as shown here" in text.replace("\n", " ")
    assert [side["not_run"] for side in content["sides"]] == [[], ["params.yaml:training"]]


def test_a_stage_that_was_emptied_holds_nothing(two):
    two.git("tag", "-a", "-m", "empty", "detector#production!#2", "HEAD~1")
    with pytest.raises(PromotionError, match="'production' names no model: nothing is released in production"):
        compared(two, "production", "HEAD")


def texts(two, *revs):
    """A comparison on a terminal, in Markdown and as a page."""
    with open_bench(two.root) as bench:
        sides = compare_sides(bench, [bench.revision(rev) for rev in revs])
        page = to_page(bench, sides, 2)
    console = Console(file=io.StringIO(), width=200)
    show(sides, console)
    return console.file.getvalue(), to_markdown(sides), page


@pytest.mark.parametrize("count", [1, 2])
def test_one_revision_alone_is_compared_with_nothing(count, two):
    for text in texts(two, *("HEAD", "HEAD~1")[:count]):
        assert "mAP 50" in text and ("first column" in text) == (count == 2)


def test_what_can_not_be_compared_is_named(project):
    with pytest.raises(PromotionError, match="'champion' names no model: nothing is released in production yet"):
        compared(project, "champion")
    with pytest.raises(PromotionError, match="'staging' is no commit"):
        compared(project, "staging")
    evaluation = project.pinned("reports/evaluate")
    project.object(evaluation).unlink()
    with pytest.raises(PromotionError, match=r"answers of HEAD .* is missing in the DVC remote .*; run `dvc push`"):
        compared(project, "HEAD")
    with pytest.raises(PromotionError, match=r"answers of workspace .*; run `make repro` here"):
        compared(project, "workspace")


def test_class_names_can_not_break_the_forms(project):
    path = project.root / "reports/evaluate/per_image.json"
    content = json.loads(path.read_text())
    content["classes"] = ["a|b<script>[bold]", "螺母"]
    path.write_text(json.dumps(content))
    project.lock()
    project.commit()
    with open_bench(project.root) as bench:
        sides = compare_sides(bench, [bench.revision("HEAD"), bench.revision("HEAD")])
        page = to_page(bench, sides)
    assert "<script>" not in page and "螺母" in page
    assert r"a\|b\<script\>\[bold\]" in to_markdown(sides)
    assert "a|b<script>[bold]" in project.pindet("compare", "HEAD", "HEAD")
