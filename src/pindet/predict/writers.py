"""The answers as JSON lines or as one COCO file."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from pindet_serve.detections import Detections

from pindet.predict.frames import Frame
from pindet.predict.sources import shown

JSON_FILE = "predictions.jsonl"
COCO_FILE = "predictions.coco.json"


class Writer(ABC):
    """Takes the answers one by one; no file has its name before it is whole."""

    @abstractmethod
    def write(self, frame: Frame, detections: Detections) -> None:
        """Take the answer for one frame."""

    def close(self) -> None:  # noqa: B027 - pictures need no end
        """Put what was written in its place."""

    def discard(self) -> None:  # noqa: B027 - pictures are whole one by one
        """Leave nothing half-written behind."""


class JsonWriter(Writer):
    """One line a frame: ``{"image", "width", "height", "detections": [{"label", "label_id", "score", "box"}]}``.

    ``image`` is the path as it was found, ``box`` holds ``x1, y1, x2, y2`` in pixels of the displayed image; a video's
    frame also has ``frame``, its number from 0.
    """

    def __init__(self, stream: IO[str], classes: Sequence[str]) -> None:
        self._stream = stream
        self._classes = classes

    def write(self, frame: Frame, detections: Detections) -> None:
        """Write the line of one frame."""
        height, width = frame.image.shape[:2]
        line: dict[str, Any] = {"image": shown(str(frame.source.path))}
        if frame.number is not None:
            line["frame"] = frame.number
        line |= {"width": width, "height": height, "detections": self._rows(detections)}
        self._stream.write(json.dumps(line, ensure_ascii=False) + "\n")

    def _rows(self, detections: Detections) -> list[dict[str, Any]]:
        rows = zip(detections.boxes.tolist(), detections.scores.tolist(), detections.labels.tolist(), strict=True)
        return [
            {
                "label": self._classes[label],
                "label_id": label,
                "score": round(score, 4),
                "box": {key: round(value, 2) for key, value in zip(("x1", "y1", "x2", "y2"), box, strict=True)},
            }
            for box, score, label in rows
        ]


class CocoWriter(Writer):
    """One COCO data set with ``score`` in each annotation: ``COCO(file)`` reads it, ``loadRes`` its ``annotations``.

    ``category_id`` is the label + 1, as in prepared data; ``file_name`` the path below the folder that all sources
    share, with ``#`` and the number for a video's frame.
    """

    def __init__(self, stream: IO[str], classes: Sequence[str]) -> None:
        self._stream = stream
        self._categories = [{"id": i, "name": name} for i, name in enumerate(classes, 1)]
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def write(self, frame: Frame, detections: Detections) -> None:
        """Keep the answer for one frame until the end."""
        height, width = frame.image.shape[:2]
        number = len(self._images) + 1
        self._images.append({"id": number, "file_name": shown(frame.name), "width": width, "height": height})
        rows = zip(detections.boxes.tolist(), detections.scores.tolist(), detections.labels.tolist(), strict=True)
        for (x1, y1, x2, y2), score, label in rows:
            self._annotations.append(
                {
                    "id": len(self._annotations) + 1,
                    "image_id": number,
                    "category_id": label + 1,
                    "bbox": [round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)],
                    "area": round((x2 - x1) * (y2 - y1), 2),
                    "iscrowd": 0,
                    "score": round(score, 4),
                }
            )

    def close(self) -> None:
        """Write the one document."""
        content = {"images": self._images, "annotations": self._annotations, "categories": self._categories}
        self._stream.write(json.dumps(content, ensure_ascii=False) + "\n")


class FileWriter(Writer):
    """Another writer's stream as a file that appears when it is whole."""

    def __init__(self, path: Path, kind: type[JsonWriter] | type[CocoWriter], classes: Sequence[str]) -> None:
        self._path = path
        self._kind = kind
        self._classes = classes
        self._part = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._opened: tuple[IO[str], Writer] | None = None

    def write(self, frame: Frame, detections: Detections) -> None:
        """Pass the answer on; the first makes the folder and the unfinished file."""
        self._open()[1].write(frame, detections)

    def close(self) -> None:
        """Finish the file and give it its name."""
        stream, inner = self._open()
        inner.close()
        stream.close()
        self._part.replace(self._path)

    def discard(self) -> None:
        """Remove the unfinished file."""
        if self._opened:
            self._opened[0].close()
            self._part.unlink(missing_ok=True)

    def _open(self) -> tuple[IO[str], Writer]:
        if self._opened is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            stream = self._part.open("w", encoding="utf-8", newline="\n")
            self._opened = stream, self._kind(stream, self._classes)
        return self._opened
