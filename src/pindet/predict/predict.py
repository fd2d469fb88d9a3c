"""A bundle on whatever the arguments stand for."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal, get_args

from pindet_serve.golden import load_proven
from rich.console import Console
from rich.progress import Progress

from pindet.predict.frames import Frame, UnreadableError, count_frames, read_frames
from pindet.predict.sources import Skipped, Source, find_sources, shown
from pindet.predict.writers import COCO_FILE, JSON_FILE, CocoWriter, FileWriter, JsonWriter, Writer

Format = Literal["json", "coco", "image"]
INSTALL = "for Chinese, Japanese and Korean install a font such as Debian's fonts-noto-cjk"
"""What to do where class names cannot be drawn."""


@dataclass
class Summary:
    """What came of it.

    Attributes:
        images: how many images and frames were answered.
        objects: how many objects were found in them.
        skipped: what could not be read.
    """

    images: int = 0
    objects: int = 0
    skipped: list[Skipped] = field(default_factory=list)


def predict(
    paths: Sequence[str],
    bundle: Path,
    out: Path | None = None,
    format: Format = "json",
    *,
    score_threshold: float | None = None,
    max_detections: int | None = None,
    batch_size: int = 4,
    every: int = 1,
) -> Summary:
    """Find the objects in images and videos.

    What cannot be read is named on standard error, where the progress is shown too, and skipped.

    Args:
        paths: files, folders and globs; see :func:`pindet.predict.sources.find_sources`.
        bundle: folder of the bundle; it is proved first.
        out: folder to write to: ``predictions.jsonl``, ``predictions.coco.json`` or the pictures. Without it ``json``
            and ``coco`` go to standard output.
        format: ``json``, ``coco`` or ``image``; see the writers for what they hold.
        score_threshold: least score, 0 to 1; the bundle's own by default.
        max_detections: most objects of an image; the bundle's own by default.
        batch_size: images that are answered together, at least 1.
        every: of a video, each frame whose number is a multiple of it.

    Raises:
        ValueError: the bundle is refused, an option is impossible, or an input would be overwritten.
    """
    _check_options(out, format, batch_size, every)
    if not (bundle / "manifest.json").is_file():
        raise ValueError(f"{bundle} holds no bundle; run `make repro`, which exports one, or name one with --bundle")
    detector = load_proven(bundle)
    detector.limits(score_threshold, max_detections)
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    summary = Summary()
    sources, unknown = find_sources(paths, without=out)
    for skipped in unknown:
        _skip(skipped, summary, console)
    writer = _writer(sources, out, format, detector.manifest.classes, console)
    try:
        for batch in _batches(_frames(sources, every, summary, console), batch_size):
            answers = detector.detect(
                [frame.image for frame in batch], score_threshold=score_threshold, max_detections=max_detections
            )
            for frame, answer in zip(batch, answers, strict=True):
                writer.write(frame, answer)
                summary.images += 1
                summary.objects += len(answer)
        (writer.close if summary.images else writer.discard)()
    except BaseException:
        writer.discard()
        raise
    console.print(f"{summary.images} images, {summary.objects} objects, {len(summary.skipped)} skipped")
    return summary


def _check_options(out: Path | None, format: str, batch_size: int, every: int) -> None:
    if format not in get_args(Format):
        raise ValueError(f"the format is {format!r}; {', '.join(get_args(Format))} are allowed")
    for name, value in (("batch_size", batch_size), ("every", every)):
        if value < 1:
            raise ValueError(f"{name} is {value}; at least 1 is allowed")
    if format == "image" and out is None:
        raise ValueError("pictures need a folder; give one with --out")
    if out is not None and out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; --out takes a folder")


def _writer(
    sources: Sequence[Source], out: Path | None, format: Format, classes: Sequence[str], console: Console
) -> Writer:
    if out is None:
        return CocoWriter(sys.stdout, classes) if format == "coco" else JsonWriter(sys.stdout, classes)
    if format != "image":
        kind, name = (CocoWriter, COCO_FILE) if format == "coco" else (JsonWriter, JSON_FILE)
        return FileWriter(out / name, kind, classes)
    from pindet.predict.drawing import replaced  # Pillow, for those who want pictures
    from pindet.predict.pictures import PictureWriter, check_targets

    check_targets(sources, out)
    if numbers := replaced(classes):
        names = ", ".join(f"{number} for {name}" for number, name in numbers.items())
        console.print(f"no font of this machine has the letters of some names; pictures show {names}; {INSTALL}")
    return PictureWriter(out, classes)


def _frames(sources: Sequence[Source], every: int, summary: Summary, console: Console) -> Iterator[Frame]:
    """The frames of all sources, with a bar; what cannot be read goes into the summary."""
    counts = [count_frames(source, every) for source in sources]
    with Progress(console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("predicting", total=sum(counts))
        for end, source in enumerate(sources, 1):
            try:
                for frame in read_frames(source, every):
                    yield frame
                    progress.advance(bar)
            except UnreadableError as error:
                _skip(Skipped(shown(str(source.path)), str(error)), summary, console)
            progress.update(bar, completed=sum(counts[:end]))


def _skip(skipped: Skipped, summary: Summary, console: Console) -> None:
    summary.skipped.append(skipped)
    console.print(f"skipped {skipped.path}: {skipped.reason}")


def _batches(frames: Iterable[Frame], size: int) -> Iterator[list[Frame]]:
    frames = iter(frames)
    while batch := list(islice(frames, size)):
        yield batch
