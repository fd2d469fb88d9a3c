"""From a source to prepared data: one pass over the images, one over the bytes kept, then one rename."""

from __future__ import annotations

import logging
import os
from collections import Counter, deque
from collections.abc import Iterator, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pindet.data.assign import say_unlisted, with_every_split
from pindet.data.clean import Cleaned, clean
from pindet.data.limits import check_class_names, check_limits
from pindet.data.progress import shown
from pindet.data.records import SPLITS, Item, Reason, Rejection, Source, SourceError
from pindet.data.shards import Entry, write_records, write_split
from pindet.data.split import split_of, winning_splits
from pindet.data.workspace import workspace

logger = logging.getLogger(__name__)
_THREADS = min(8, os.cpu_count() or 1)


class TooManyRejectedError(ValueError):
    """More was dropped than ``max_rejected`` allows."""


@dataclass(frozen=True)
class Report:
    """What was prepared: class names, images and boxes per split, and every rejection."""

    classes: list[str]
    images: dict[str, int]
    boxes: dict[str, int]
    rejections: list[Rejection]


def prepare(
    source: Source,
    output: Path,
    *,
    seed: int,
    val_fraction: float,
    test_fraction: float,
    shard_count: int,
    max_rejected: int,
) -> Report:
    """Clean, split and write ``source`` to the new folder ``output``; only a few images are in memory at a time.

    Args:
        seed: of the split of items that have no official one.
        val_fraction, test_fraction: of those items, in [0, 1).
        shard_count: tar files per split, 1..1000.
        max_rejected: how many images and boxes may be dropped; what is excluded, clipped, converted or kept does
            not count.

    Raises:
        TooManyRejectedError: more was dropped; nothing is written, and a note of the error lists all of it.
        FileExistsError: ``output`` exists.
        ValueError: an option or (as SourceError) the source is not as allowed.
    """
    check_limits(
        val_fraction=val_fraction, test_fraction=test_fraction, shard_count=shard_count, max_rejected=max_rejected
    )
    if output.exists():
        raise FileExistsError(f"{output} exists; allowed is a new folder; remove it or choose another")
    check_class_names(source.classes, "the list of classes")
    with workspace(output) as work, (work / "spool").open("w+b") as spool:
        entries, rejections = _collect(source, spool, seed, val_fraction, test_fraction)
        entries = _without_leaks(entries, rejections)
        say_unlisted(entries)
        entries = with_every_split(entries, seed, val_fraction, test_fraction)
        _check_rejected(rejections, max_rejected)
        report = _report(source.classes, entries, rejections)
        _check_left(report)
        _write(work / "result", entries, report, shard_count, spool)
        (work / "result").rename(output)
    return report


def _check_left(report: Report) -> None:
    if not report.images["train"]:
        raise SourceError(
            f"no image is left for train, of {report.images}; allowed is at least one; see what was dropped, check the "
            "source's split lists, or add images"
        )
    if not report.boxes["train"]:
        logger.warning("train has images and no box: nothing can be learnt; see what was dropped, or label objects")
    for split in SPLITS[1:]:
        if not report.images[split]:
            logger.warning(
                "%s has no image: nothing can be measured on it; raise data.%s_fraction, or where the source has "
                "splits of its own list some there",
                split,
                split,
            )
        elif not report.boxes[split]:
            logger.warning("%s has images and no box: no mAP can be measured on it; label objects there", split)


def _write(result: Path, entries: list[Entry], report: Report, shard_count: int, spool: BinaryIO) -> None:
    for split in SPLITS:
        kept = [e for e in entries if e.split == split]
        write_split(result / split, kept, report.classes, shard_count, spool)
    counts = {"images": report.images, "boxes": report.boxes}
    write_records(result / "dataset.json", {"classes": report.classes, "counts": counts})


def _collect(
    source: Source, spool: BinaryIO, seed: int, val_fraction: float, test_fraction: float
) -> tuple[list[Entry], list[Rejection]]:
    entries: list[Entry] = []
    rejections: list[Rejection] = []
    names: set[tuple[str, str]] = set()
    total = len(source) if isinstance(source, Sized) else None
    for record in shown(_cleaned(source), "preparing images", total, counts=lambda r: not isinstance(r, Rejection)):
        if isinstance(record, Rejection):
            rejections.append(record)
            continue
        item, cleaned, found = record
        rejections += found
        if cleaned is None:
            continue
        split = item.split or split_of(cleaned.digest, seed, val_fraction, test_fraction)
        entry = _spooled(cleaned, split, item.split is not None, spool)
        if (entry.split, entry.name) in names:
            detail = f"second image of this name in {entry.split}; rename one"
            rejections.append(Rejection(entry.name, Reason.DUPLICATE_NAME, detail, "dropped"))
            continue
        names.add((entry.split, entry.name))
        entries.append(entry)
    return entries, rejections


def _cleaned(source: Source) -> Iterator[Rejection | tuple[Item, Cleaned | None, list[Rejection]]]:
    """Clean the items in threads (decoding leaves Python to the others), in their order, a few at a time."""
    waiting: deque[tuple[Item, Future[tuple[Cleaned | None, list[Rejection]]]] | Rejection] = deque()
    with ThreadPoolExecutor(_THREADS) as pool:
        for record in source.read():
            waiting.append(record if isinstance(record, Rejection) else (record, pool.submit(clean, record)))
            if len(waiting) > 2 * _THREADS:
                yield _finished(waiting.popleft())
        while waiting:
            yield _finished(waiting.popleft())


def _finished(
    waiting: tuple[Item, Future[tuple[Cleaned | None, list[Rejection]]]] | Rejection,
) -> Rejection | tuple[Item, Cleaned | None, list[Rejection]]:
    if isinstance(waiting, Rejection):
        return waiting
    item, future = waiting
    return item, *future.result()


def _spooled(cleaned: Cleaned, split: str, official: bool, spool: BinaryIO) -> Entry:
    offset = spool.tell()
    size = spool.write(cleaned.data)
    height, width = cleaned.height, cleaned.width
    return Entry(cleaned.name, cleaned.digest, split, official, width, height, cleaned.boxes, offset, size)


def _without_leaks(entries: list[Entry], rejections: list[Rejection]) -> list[Entry]:
    best = winning_splits((e.digest, e.split) for e in entries)
    winners = {entry.digest: entry.name for entry in reversed(entries) if best[entry.digest] == entry.split}
    kept: list[Entry] = []
    first: dict[str, Entry] = {}
    for entry in entries:
        if best[entry.digest] != entry.split:
            other = f"{winners[entry.digest]} in {best[entry.digest]}"
            detail = f"same pixels as {other}; dropped from {entry.split}"
            rejections.append(Rejection(entry.name, Reason.LEAK, detail, "dropped"))
            continue
        kept.append(entry)
        same = first.setdefault(entry.digest, entry)
        if same is not entry:
            differ = "" if _same_boxes(same, entry) else ", with other boxes"
            detail = f"same pixels as {same.name} in {entry.split}{differ}"
            rejections.append(Rejection(entry.name, Reason.DUPLICATE, detail, "kept"))
    return kept


def _same_boxes(a: Entry, b: Entry) -> bool:
    return Counter(a.boxes) == Counter(b.boxes)


def _check_rejected(rejections: list[Rejection], max_rejected: int) -> None:
    dropped = [f"  {r.item}: {r.reason}: {r.detail}" for r in rejections if r.action == "dropped"]
    if len(dropped) <= max_rejected:
        return
    counts = Counter(r.reason.value for r in rejections if r.action == "dropped").most_common()
    what = "image or box" if len(dropped) == 1 else "images or boxes"
    error = TooManyRejectedError(
        f"{len(dropped)} {what} dropped ({', '.join(f'{n} {r}' for r, n in counts)}); data.max_rejected "
        f"allows {max_rejected}; correct the data or set `-S data.max_rejected={len(dropped)}`; the first:\n"
        + "\n".join(dropped[:5])
    )
    error.add_note("All that was dropped:\n" + "\n".join(dropped))  # for the traceback, too long for the message
    raise error


def _report(classes: list[str], entries: list[Entry], rejections: list[Rejection]) -> Report:
    images = Counter(e.split for e in entries)
    boxes: Counter[str] = Counter()
    for entry in entries:
        boxes[entry.split] += len(entry.boxes)
    return Report(classes, {s: images[s] for s in SPLITS}, {s: boxes[s] for s in SPLITS}, rejections)
