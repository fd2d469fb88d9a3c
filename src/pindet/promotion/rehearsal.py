"""What follows the tags, made before they are written: what fails then would fail for ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import replace

from pindet.promotion.bench import Bench
from pindet.promotion.card import write_card
from pindet.promotion.effects.release import WriteRelease
from pindet.promotion.errors import told
from pindet.promotion.revision import Revision
from pindet.promotion.truth import Placement, Tag
from pindet.promotion.verdict import Verdict, passed, refused

GATE = "release"


def judge_release(bench: Bench, revision: Revision, version: str, stage: str, coming: Collection[str] = ()) -> Verdict:
    """Can the release file be made, and the model card of a version that is not tagged yet?

    Args:
        coming: md5s that are to be uploaded.
    """
    tag = Tag(
        name=bench.truth.version_tag(version), object="", commit=revision.commit, is_annotated=True, version=version,
        stage=stage, takes_back=False, number=0, who="", when=int(time.time()), message="",
    )  # fmt: skip
    placement = Placement(version, stage, tag)
    makes: dict[str, Callable[[], str]] = {"release file": lambda: WriteRelease(bench, stage).text(placement, coming)}
    if version not in bench.truth.versions:
        tagged = replace(bench, truth=replace(bench.truth, tags=(*bench.truth.tags, tag)))
        makes["model card"] = lambda: write_card(tagged, placement)
    for what, make in makes.items():
        try:
            make().encode("utf-8")
        except Exception as error:  # whatever it is, it would come again
            return refused(GATE, f"its {what} can not be made: {told(error)}")
    return passed(GATE, f"its {' and '.join(makes)} can be made")
