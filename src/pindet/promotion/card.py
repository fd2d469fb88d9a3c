"""The model card of a version: what it is, what it was made of, how good it is, and where it ends.

After Mitchell et al., "Model Cards for Model Reporting", FAT* 2019.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from pindet.evaluation.answers import Answers
from pindet.evaluation.bootstrap import ALL
from pindet.promotion.bench import Bench
from pindet.promotion.comparison.bootstrap import resample
from pindet.promotion.comparison.judge import answers_of, draws_of
from pindet.promotion.comparison.text import plain
from pindet.promotion.errors import PromotionError
from pindet.promotion.revision import BUNDLE, EVALUATION, PREPARED, WEIGHTS, Revision
from pindet.promotion.truth import OVERRIDDEN, Placement

RUN_LINE = "- MLflow run: "
"""Begins the line of a card that tells which run made it."""
_FEW_OBJECTS = 30
_LOW_AP = 0.5


def write_card(bench: Bench, placement: Placement) -> str:
    """The card as Markdown; the same for the same tag."""
    revision = bench.at(placement.commit, placement.version)
    manifest, answers = _manifest(bench, revision), _answers(bench, revision)
    lines = [
        f"# {bench.settings.artifact} {placement.version}",
        "",
        *_what(manifest),
        *_data(revision, manifest, answers),
        *_measures(bench, answers),
        *_limits(placement, revision, manifest, answers),
        *_lineage(bench, placement, revision),
    ]
    return "\n".join(lines) + "\n"


def bundle_line(revision: Revision) -> str:
    """The line of a card that tells which bundle it is about."""
    return f"- bundle: `{revision.out(BUNDLE)}`"


def _manifest(bench: Bench, revision: Revision) -> dict[str, Any]:
    entries = {entry.path: entry.md5 for entry in bench.objects.listing(revision.out(BUNDLE))}
    content: dict[str, Any] = json.loads(bench.objects.read(entries["manifest.json"]).read_text("utf-8"))
    return content


def _answers(bench: Bench, revision: Revision) -> Answers | None:
    """What the model answered on its test images; ``None`` if the remote can be asked, and they are gone from there."""
    try:
        return answers_of(bench.objects, revision)
    except PromotionError:
        md5 = revision.outs.get(EVALUATION)
        bench.objects.sizes([md5] if md5 else [])
        return None


def _what(manifest: dict[str, Any]) -> list[str]:
    classes = ", ".join(plain(name) for name in manifest["classes"])
    return [
        "## What it is", "",
        f"An object detector for {len(manifest['classes'])} classes: {classes}.", "",
        f"- input: RGB images of any size, letterboxed to {manifest['image_width']} × {manifest['image_height']}",
        f"- output: at most {manifest['max_detections']} boxes an image, with class and score",
        f"- default score threshold: {manifest['score_threshold']:g}, where F1 was best on the validation images", "",
    ]  # fmt: skip


def _data(revision: Revision, manifest: dict[str, Any], answers: Answers | None) -> list[str]:
    data = revision.params.get("data", {})
    test = "images whose list is lost"
    if answers is not None:
        test = f"{len(answers.names)} images with {sum(len(each) for each in answers.truths)} objects"
    return [
        "## Data", "",
        f"- source: `{data.get('_target_', 'unknown')}`, root `{data.get('root', 'unknown')}`",
        f"- prepared data: `{manifest['data_md5']}`",
        f"- test: {test}, which played no part in the training", "",
    ]  # fmt: skip


def _measures(bench: Bench, answers: Answers | None) -> list[str]:
    if answers is None:
        return ["## Measures", "", f"None: {EVALUATION} was deleted, or damaged, before this card was written.", ""]
    draws = draws_of(bench.settings)
    measured = resample(answers, draws, "model card")
    counts = _objects(answers)
    rows = [
        f"| {plain(name) if name else '**all**'} | {counts.get(name, '')} | {draws.estimate(values).shown()} |"
        for name, values in sorted(measured.map.items(), key=lambda pair: pair[0] == ALL)
    ]
    return [
        "## Measures", "",
        f"On the test images, with {draws.confidence:.0%} intervals of a bootstrap over images.", "",
        "| class | objects | mAP 50–95 |", "|---|---:|---:|", *rows, "",
        f"F1 at the default threshold: {draws.estimate(measured.f1).shown()}.", "",
    ]  # fmt: skip


def _limits(placement: Placement, revision: Revision, manifest: dict[str, Any], answers: Answers | None) -> list[str]:
    counts = _objects(answers) if answers is not None else {}
    limits = [
        f"released though the comparison with what was there before is against it: {plain(line[len(OVERRIDDEN) :])}"
        for line in placement.tag.message.splitlines()
        if line.startswith(OVERRIDDEN)
    ]
    limits += [
        f"{plain(name)}: only {counts.get(name, 0)} objects in the test images; its figures say little"
        for name in manifest["classes"]
        if answers is not None and counts.get(name, 0) < _FEW_OBJECTS
    ]
    limits += [
        f"{plain(name)}: average precision {value:.2f}; many are missed, or boxes fit badly"
        for name in manifest["classes"]
        if (value := revision.metrics.get(f"test/map/{name}", 1.0)) < _LOW_AP
    ]
    limits.append("it knows no other classes, and was measured on no images but those of its data source")
    return ["## Limits", "", *(f"- {each}" for each in limits), ""]


def _lineage(bench: Bench, placement: Placement, revision: Revision) -> list[str]:
    moment = datetime.fromtimestamp(placement.tag.when, UTC).strftime("%Y-%m-%d %H:%M UTC")
    registered = bench.truth.versions[placement.version]
    lines = [
        "## Lineage", "",
        f"- commit: `{placement.commit}`, tag `{registered.name}`",
        bundle_line(revision),
        f"- weights: `{revision.outs.get(WEIGHTS, 'unknown')}`",
        f"- prepared data: `{revision.outs.get(PREPARED, 'unknown')}`",
        f"- released by {placement.tag.who}, {moment}",
    ]  # fmt: skip
    run = bench.registry.find_run(revision.out(BUNDLE), revision.outs.get(WEIGHTS, "")) if bench.registry else None
    if run is not None:
        lines.append(f"{RUN_LINE}`{run.run_id}` ({run.name}, experiment {run.experiment})")
    seen = f"`pindet lineage {placement.version}` checks each of these; with `--reproduce` it makes the bundle again."
    return [*lines, "", seen]


def _objects(answers: Answers) -> dict[str, int]:
    labels = [int(label) for each in answers.truths for label in each[:, 4]]
    counts = {name: labels.count(label) for label, name in enumerate(answers.classes)}
    return {**counts, ALL: len(labels)}
