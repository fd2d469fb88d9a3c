"""Which test data a revision was measured on: the test split within the prepared data, whatever the training had."""

from __future__ import annotations

from dataclasses import dataclass

from pindet.promotion.objects import Objects
from pindet.promotion.revision import PREPARED, Revision

_TEST = "test/"


@dataclass(frozen=True)
class MeasuredOn:
    """The data of a revision.

    Attributes:
        data_md5: DVC's md5 of all prepared data.
        test: md5s of the files of its test split, by path; equal test splits have equal files.
    """

    data_md5: str
    test: dict[str, str]


def measured_on(objects: Objects, revision: Revision) -> MeasuredOn:
    """Find the test data of a revision; only the listing of the prepared data is read.

    Raises:
        PromotionError: the revision pins no prepared data, or their listing can not be had.
    """
    md5 = revision.out(PREPARED)
    test = {entry.path: entry.md5 for entry in objects.listing(md5) if entry.path.startswith(_TEST)}
    return MeasuredOn(md5, test)
