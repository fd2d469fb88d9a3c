"""Answers as pictures with boxes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
from pindet_serve.detections import Detections

from pindet.predict.drawing import draw
from pindet.predict.frames import Frame
from pindet.predict.sources import Source, shown
from pindet.predict.writers import Writer

KEPT = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
"""Extensions in which a picture is written as it came; all else becomes ``.jpg``."""


class PictureWriter(Writer):
    """A picture a frame, below a folder: ``a/b.jpg`` as ``a/b.jpg``, frame 7 of ``c.mp4`` as ``c.mp4/000007.jpg``."""

    def __init__(self, folder: Path, classes: Sequence[str]) -> None:
        self._folder = folder
        self._classes = classes

    def write(self, frame: Frame, detections: Detections) -> None:
        """Draw and write one picture."""
        path = self._folder / picture_name(frame.source.name, frame.number)
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = cv2.cvtColor(draw(frame.image, detections, self._classes), cv2.COLOR_RGB2BGR)
        written, data = cv2.imencode(path.suffix, picture)
        assert written
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        part.write_bytes(data.tobytes())
        part.replace(path)


def picture_name(name: str, number: int | None) -> str:
    """The path below the output folder of the picture of a source, or of one frame of it."""
    if number is not None:
        return f"{name}/{number:06d}.jpg"
    return name if name.lower().endswith(KEPT) else f"{name}.jpg"


def check_targets(sources: Sequence[Source], folder: Path) -> None:
    """Make sure that no picture takes the place of an input or of another picture.

    Raises:
        ValueError: one would; the message names it.
    """
    inputs = {source.path.resolve() for source in sources}
    taken: dict[Path, Source] = {}
    for source in sources:
        # Pictures of a video go into a folder that is named after it.
        target = folder / (source.name if source.is_video else picture_name(source.name, None))
        if target.resolve() in inputs:
            raise ValueError(
                f"{shown(str(target))} is an input and would be overwritten; choose another folder for --out"
            )
        if target in taken:
            raise ValueError(
                f"{shown(str(source.path))} and {shown(str(taken[target].path))} would both be written to "
                f"{shown(str(target))}; predict them one after the other"
            )
        taken[target] = source
