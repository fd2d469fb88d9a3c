"""The frames of a job's input: of a video, or the images in a zip archive."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pindet_serve.images import Image, ImageDecodeError
from pindet_serve.serving.headers import TooManyPixelsError, UnsupportedTypeError, decode_checked

MOST_ENTRIES = 100_000
MOST_DIRECTORY = 32 * 2**20
_END_AT_MOST = 2**16 + 22 + 20 + 56  # a comment, and the records of the end
_VIDEO_STARTS = (b"\x1aE\xdf\xa3",)


def _go_on() -> None:
    """Nothing stops the reading."""


class UnreadableInputError(ValueError):
    """The input as a whole can not be read; the message says why."""


@dataclass(frozen=True)
class Frame:
    """One frame: how its line of the result names it, and its pixels or why there are none."""

    name: dict[str, Any]
    image: Image | None
    error: str = ""


def kind_of(start: bytes) -> str:
    """``video``, ``zip`` or empty, by the first bytes (at least 16) of a file.

    Only containers that hold their frames themselves: a playlist would make the server fetch what it names.
    """
    if start.startswith((b"PK\3\4", b"PK\5\6")):
        return "zip"
    avi = start.startswith(b"RIFF") and start[8:12] == b"AVI "
    return "video" if avi or start[4:8] == b"ftyp" or start.startswith(_VIDEO_STARTS) else ""


def count_frames(path: Path, kind: str) -> int | None:
    """How many frames there are; ``None`` when the input does not say.

    Raises:
        UnreadableInputError: the input can not be read.
    """
    if kind == "zip":
        with _archive(path) as archive:
            return len(_entries(archive))
    video = _opened(path, None)
    try:
        count = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    finally:
        video.release()
    return count if count > 0 else None


def read_frames(
    path: Path, kind: str, start: int, *, max_bytes: int, max_pixels: int, check: Callable[[], None] = _go_on
) -> Iterator[Frame]:
    """Yield the frames from number ``start`` on.

    Args:
        path: the input.
        kind: ``video`` or ``zip``.
        start: how many frames to leave out.
        max_bytes: largest image file in an archive.
        max_pixels: largest frame.
        check: called before each frame of a video that is left out; raises when that is to end.

    Raises:
        UnreadableInputError: the input can not be read.
    """
    if kind == "zip":
        return _zip_frames(path, start, max_bytes, max_pixels)
    return _video_frames(path, start, max_pixels, check)


def _zip_frames(path: Path, start: int, max_bytes: int, max_pixels: int) -> Iterator[Frame]:
    with _archive(path) as archive:
        for entry in _entries(archive)[start:]:
            name = {"name": entry.filename}
            try:
                yield Frame(name, decode_checked(_bytes_of(archive, entry, max_bytes), max_pixels))
            except (ImageDecodeError, UnsupportedTypeError, TooManyPixelsError) as error:
                yield Frame(name, None, str(error))


def _bytes_of(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, max_bytes: int) -> bytes:
    try:
        with archive.open(entry) as file:
            data = file.read(max_bytes + 1)
    except Exception as error:  # each way of compressing has errors of its own, and a damaged entry costs only itself
        raise ImageDecodeError(f"it can not be read from the archive: {str(error) or repr(error)}") from None
    if len(data) > max_bytes:
        raise TooManyPixelsError(f"it is larger than {max_bytes / 2**20:g} MiB, which is allowed")
    return data


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        # All of its directory is read at once, and each entry takes ten times its bytes.
        size = _directory_size(path)
        if size <= MOST_DIRECTORY:
            return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, OSError, OverflowError, ValueError, struct.error) as error:
        raise UnreadableInputError(f"the archive can not be read: {error}") from None
    raise UnreadableInputError(
        f"the archive's directory has {size / 2**20:.0f} MiB; {MOST_DIRECTORY / 2**20:.0f} are allowed"
    )


def _directory_size(path: Path) -> int:
    """Bytes of an archive's central directory, as its end says (APPNOTE.TXT 4.3.14 and 4.3.16); 0 without an end."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _END_AT_MOST))
        tail = file.read()
    end = tail.rfind(b"PK\5\6")
    if end < 0:
        return 0
    size = int.from_bytes(tail[end + 12 : end + 16], "little")
    larger = tail.rfind(b"PK\6\6", 0, end)
    if size == 2**32 - 1 and larger >= 0:
        size = int.from_bytes(tail[larger + 40 : larger + 48], "little")
    return size


def _entries(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    entries = sorted((entry for entry in archive.infolist() if not entry.is_dir()), key=lambda entry: entry.filename)
    if not 1 <= len(entries) <= MOST_ENTRIES:
        raise UnreadableInputError(f"the archive holds {len(entries)} files; 1 to {MOST_ENTRIES} are allowed")
    return entries


def _video_frames(path: Path, start: int, max_pixels: int, check: Callable[[], None]) -> Iterator[Frame]:
    video = _opened(path, max_pixels)
    try:
        rate = video.get(cv2.CAP_PROP_FPS)
        for number in range(start):
            check()
            if not video.grab():
                raise UnreadableInputError(f"the video ends at frame {number}; it had {start} before")
        number = start
        while True:
            there, bgr = video.read()
            if not there:
                break
            seconds = round(number / rate, 3) if rate > 0 else None
            image = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
            yield Frame({"frame": number, "seconds": seconds}, image)
            number += 1
        if number == 0:
            raise UnreadableInputError("the video holds no frame that can be decoded")
    finally:
        video.release()


def _opened(path: Path, max_pixels: int | None) -> cv2.VideoCapture:
    video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    width, height = int(video.get(cv2.CAP_PROP_FRAME_WIDTH)), int(video.get(cv2.CAP_PROP_FRAME_HEIGHT))
    problem = ""
    if not video.isOpened() or width < 1 or height < 1:
        problem = "the video can not be read; allowed are MP4, QuickTime, Matroska, WebM and AVI"
    elif max_pixels is not None and width * height > max_pixels:
        problem = f"the video is {width}x{height} pixels; at most {max_pixels / 1e6:g} million are allowed"
    if problem:
        video.release()
        raise UnreadableInputError(problem)
    return video
