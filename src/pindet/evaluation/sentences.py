"""What the report says in words about its figures, computed from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pindet.evaluation.comparison import Kind
from pindet.evaluation.confusion import Confusion
from pindet.evaluation.errors import MISSED
from pindet.evaluation.gallery import WORDS

_LAST_ROW = (
    ("with nothing there", [Kind.BACKGROUND]),
    ("on an object that has its detection already", [Kind.DUPLICATE, Kind.CLASSIFICATION]),
    ("with too little overlap", [Kind.LOCALISATION, Kind.BOTH]),
)


def counted(number: int, one: str, many: str) -> str:
    """The number with its noun, in the singular for 1."""
    return f"{number} {one if number == 1 else many}"


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


def _part(counts: Mapping[str, int], place: str, kinds: Sequence[Kind]) -> str:
    present = [kind for kind in kinds if counts.get(kind)]
    if len(present) > 1:
        place += f" ({', '.join(f'{counts[kind]} {WORDS[kind]}' for kind in present)})"
    elif present != [Kind.BACKGROUND]:
        place += f" ({', '.join(WORDS[kind] for kind in present)})"
    return f"{sum(counts[kind] for kind in present)} {place}" if present else ""


def _holds(place: str, what: str, parts: Sequence[str]) -> str:
    return f"The {place} holds {what}: {', '.join(parts)}." if parts else f"The {place} is empty."
