"""What the report says in words about its figures, computed from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pindet.evaluation.bootstrap import ALL, FEW_IMAGES, LEAST_IMAGES
from pindet.evaluation.comparison import Kind
from pindet.evaluation.confusion import Confusion
from pindet.evaluation.errors import MISSED
from pindet.evaluation.findings import Findings
from pindet.evaluation.gallery import WORDS

_FEW_DETECTIONS = 100
"""Below which a calibration error is mostly chance: ten for each of ten bins."""
_MOST_NAMES = 5
_LAST_ROW = (
    ("with nothing there", [Kind.BACKGROUND]),
    ("on an object that has its detection already", [Kind.DUPLICATE, Kind.CLASSIFICATION]),
    ("with too little overlap", [Kind.LOCALISATION, Kind.BOTH]),
)


def counted(number: int, one: str, many: str) -> str:
    """The number with its noun, in the singular for 1."""
    return f"{number} {one if number == 1 else many}"


def lead(findings: Findings) -> str:
    """What was done, and what came of it."""
    counts, images = findings.test.counts, len(findings.test.images)
    if not images:
        return "The detector has not been tested: the prepared data hold no test image."
    objects = counted(counts.objects, "object", "objects")
    kept, right = counts.true_positives + counts.false_positives, counts.true_positives
    said = f"it finds {right} of {objects}, and {right} of its {kept} detections are right"
    if kept == 1:
        said = f"it finds {right} of {objects}, and its only detection is {'right' if right else 'wrong'}"
    if not counts.objects:
        said = f"it makes {counted(kept, 'detection', 'detections')}, which can only be wrong"
    return (
        f"The detector was shown {counted(images, 'test image', 'test images')} that played no part in its training, "
        f"with {f'{objects} of {_classes(findings)}' if counts.objects else 'no object in them'}. Reporting what it is "
        f"at least {findings.score_threshold:g} sure of, {said if kept else 'it finds nothing'}."
    )


def _classes(findings: Findings) -> str:
    total = len(findings.test.classes)
    present = sum(counts.objects > 0 for counts in findings.test.counts_per_class)
    return f"{present} of the {total} classes" if present < total else counted(total, "class", "classes")


def matrix_sentences(confusion: Confusion) -> list[str]:
    """What the last row and column of the matrix hold, in the words of the table of errors, and where its wrong
    classes are."""
    row = sum(confusion.lone_detections.values())
    parts = [_part(confusion.lone_detections, place, kinds) for place, kinds in _LAST_ROW]
    sentences = [_holds("last row", counted(row, "detection", "detections"), [part for part in parts if part])]
    missed, misplaced = (confusion.lone_objects.get(kind, 0) for kind in (MISSED, Kind.LOCALISATION))
    parts = [f"{missed} missed"] if missed else []
    parts += [f"{misplaced} with a detection that is badly placed"] if misplaced else []
    sentences.append(_holds("last column", counted(missed + misplaced, "object", "objects"), parts))
    mixed_up = int(confusion.counts[:-1, :-1].sum() - np.trace(confusion.counts[:-1, :-1]))
    further = confusion.lone_detections.get(Kind.CLASSIFICATION, 0)
    if mixed_up or further:
        sentences.append(
            f"Detections of a wrong class: {mixed_up + further}, of which {mixed_up} off the diagonal and {further} in "
            "the last row."
        )
    return sentences


def certainty(findings: Findings) -> str:
    """Why no interval can be given for all classes, or why it is to be taken with caution; empty where neither is."""
    images = findings.test.carriers[ALL]
    if not images or not findings.settings.resamples:
        return ""
    shown = f"Only {counted(images, 'test image shows', 'test images show')} an object"
    if images < LEAST_IMAGES:
        return (
            f"{shown}. How much the figures depend on the choice of images cannot be told from one, so no interval "
            "is given: take none of them as certain."
        )
    said = f"{shown}: other images may give quite other figures" if images < FEW_IMAGES else ""
    if ALL in findings.intervals:
        return f"{said}, and intervals from so few are too narrow." if said else ""
    agree = "Every draw of the test images gives the same mAP, so it has no interval; other images need not agree."
    return f"{said}. {agree}" if said else agree


def few_images(findings: Findings) -> str:
    """Which classes are shown in so few test images that their figures say little, unless all are."""
    carriers = findings.test.carriers
    shown = [(name, n) for name, n in carriers.items() if name != ALL and n]
    few = [(name, n) for name, n in shown if n < FEW_IMAGES]
    if not few or carriers[ALL] < FEW_IMAGES:
        return ""
    start = f"Fewer than {FEW_IMAGES} of the test images show"
    if len(few) == len(shown) > 1:
        return f"{start} any one class: the figures of a single class say little."
    few.sort(key=lambda pair: pair[1])
    named = [f"{name} ({n})" for name, n in few[:_MOST_NAMES]]
    more = len(few) - len(named)
    named += [counted(more, "more class", "more classes")] if more else []
    return f"{start} these classes, whose figures say little: {', '.join(named)}."


def rests_on(findings: Findings) -> str:
    """How many detections the calibration error comes from, and whether they are too few."""
    count = sum(b.count for b in findings.bins)
    unsure = count - findings.test.counts.true_positives - findings.test.counts.false_positives
    text = f"over {counted(count, 'detection', 'detections')}, {unsure} of them below the score threshold"
    return f"{text}; with fewer than {_FEW_DETECTIONS} it is mostly chance" if count < _FEW_DETECTIONS else text


def _part(counts: Mapping[str, int], place: str, kinds: Sequence[Kind]) -> str:
    present = [kind for kind in kinds if counts.get(kind)]
    if len(present) > 1:
        place += f" ({', '.join(f'{counts[kind]} {WORDS[kind]}' for kind in present)})"
    elif present != [Kind.BACKGROUND]:
        place += f" ({', '.join(WORDS[kind] for kind in present)})"
    return f"{sum(counts[kind] for kind in present)} {place}" if present else ""


def _holds(place: str, what: str, parts: Sequence[str]) -> str:
    return f"The {place} holds {what}: {', '.join(parts)}." if parts else f"The {place} is empty."
