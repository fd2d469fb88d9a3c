"""Sources to images, one at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

# Read when OpenCV opens its first video; its messages name no file and the error here does.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2
import numpy as np
from pindet_serve.images import Image, ImageDecodeError, decode_image

from pindet.predict.sources import Source


@dataclass(frozen=True)
class Frame:
    """An image to answer: of an image file, or one of a video.

    Attributes:
        source: where it comes from.
        image: uint8 ``[H, W, 3]`` RGB.
        number: which frame of the video, from 0; ``None`` for an image file.
    """

    source: Source
    image: Image
    number: int | None

    @property
    def name(self) -> str:
        """Unique among the frames of all sources: that of the source, with the frame's number after ``#``."""
        return self.source.name if self.number is None else f"{self.source.name}#{self.number}"


class UnreadableError(ValueError):
    """A source that cannot be read; the message says why."""


def read_frames(source: Source, every: int) -> Iterator[Frame]:
    """Read a source.

    Args:
        source: an image, or a video of which each ``every``-th frame is taken, the first among them.

    Raises:
        UnreadableError: no image and no video, or not to be opened.
    """
    try:
        if not source.is_video:
            yield Frame(source, decode_image(source.path.read_bytes()), None)
            return
        with source.path.open("rb"):
            pass  # a reason that OpenCV would keep to itself
    except ImageDecodeError as error:
        raise UnreadableError(str(error)) from error
    except OSError as error:
        raise UnreadableError((error.strerror or str(error)).lower()) from error
    yield from _video(source, every)


def count_frames(source: Source, every: int) -> int:
    """How many frames a source will probably give; at least 1."""
    if not source.is_video:
        return 1
    video = cv2.VideoCapture(str(source.path), cv2.CAP_FFMPEG)
    count = int(video.get(cv2.CAP_PROP_FRAME_COUNT)) if video.isOpened() else 0
    video.release()
    return max(1, -(-count // every))


def _video(source: Source, every: int) -> Iterator[Frame]:
    # FFmpeg by name: another backend takes a file called "a%d.avi" for a series of images.
    video = cv2.VideoCapture(str(source.path), cv2.CAP_FFMPEG)
    number = 0
    try:
        while video.grab():
            if number % every == 0:
                read, bgr = video.retrieve()
                if not read:
                    break
                yield Frame(source, np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8), number)
            number += 1
    finally:
        video.release()
    if number == 0:
        raise UnreadableError("no video that can be read, or not a single frame of it")
