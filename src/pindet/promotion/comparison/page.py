"""A comparison as one HTML page that needs no network, with pictures of the images that changed."""

from __future__ import annotations

import base64
from typing import Any

import jinja2
import numpy as np

from pindet.evaluation.answers import Answers
from pindet.evaluation.gallery import draw
from pindet.promotion.bench import Bench
from pindet.promotion.comparison.changes import Change, find_changes, read_pixels
from pindet.promotion.comparison.rows import facts, flattered, heading, measures, not_run, problems
from pindet.promotion.comparison.sides import Sides
from pindet.promotion.progress import each
from pindet.promotion.revision import Revision

MOST_PICTURES = 12


def to_page(bench: Bench, sides: Sides, pictures: int = MOST_PICTURES) -> str:
    """The page.

    Args:
        pictures: most images shown for each side, half of them the worst, half the best changes.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pindet.promotion.comparison", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    context = {
        "headings": [heading(side) for side in sides.sides],
        "facts": facts(sides),
        "measures": measures(sides),
        "problems": problems(sides),
        "flattered": flattered(sides),
        "not_run": not_run(sides),
        "has_changes": sides.has_changes,
        "confidence": f"{bench.settings.confidence:.0%}",
        "resamples": bench.settings.resamples,
        "galleries": _galleries(bench, sides, pictures),
    }
    return environment.get_template("page.html.jinja").render(context) + "\n"


def _galleries(bench: Bench, sides: Sides, pictures: int) -> list[dict[str, Any]]:
    baseline = sides.answers[0]
    galleries = []
    for side, revision, other in list(zip(sides.sides, sides.revisions, sides.answers, strict=True))[1:]:
        if side.problem:
            continue
        pictured = sides.revisions[-1] if side.is_again else revision
        changes = find_changes(baseline, other)
        gallery = {
            "name": heading(side),
            "worse": sum(change.fewer < 0 for change in changes),
            "better": sum(change.fewer > 0 for change in changes),
            "images": len(other.names),
            "figures": [
                _figure(bench, pictured, (baseline, other), change)
                for change in each(_chosen(changes, pictures), "drawing")
            ],
        }
        galleries.append(gallery)
    return galleries


def _chosen(changes: list[Change], most: int) -> list[Change]:
    if len(changes) <= most:
        return changes
    return changes[: most - most // 2] + changes[len(changes) - most // 2 :]


def _figure(bench: Bench, revision: Revision, answers: tuple[Answers, Answers], change: Change) -> dict[str, Any]:
    pixels = read_pixels(bench.objects, revision, change.name)
    drawn = [
        draw(pixels, image, model.classes, float(np.float32(model.score_threshold)))
        for image, model in zip((change.before, change.after), answers, strict=True)
    ]
    count = abs(change.fewer)
    said = "other mistakes" if not count else f"{count} mistake{'s' if count > 1 else ''} "
    said += "" if not count else "fewer" if change.fewer > 0 else "more"
    tone = "better" if change.fewer > 0 else "worse" if change.fewer < 0 else ""
    sources = [f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" for jpeg in drawn]
    return {"name": change.name, "before": sources[0], "after": sources[1], "said": said, "tone": tone}
