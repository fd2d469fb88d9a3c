"""Uncompressed tar shards with an index of byte offsets, and the COCO annotations beside them."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pindet.data.records import RawBox


@dataclass(frozen=True)
class Entry:
    """One kept item: its metadata, and ``spool``, the file that holds the bytes to store."""

    name: str
    digest: str
    split: str
    width: int
    height: int
    boxes: list[RawBox]
    spool: Path


def write_split(folder: Path, entries: Sequence[Entry], classes: Sequence[str], shard_count: int) -> None:
    """Write ``images-*.tar``, ``index.json`` and ``annotations.json``; the bytes ignore the order of entries."""
    folder.mkdir(parents=True)
    ordered = sorted(entries, key=lambda e: e.name)
    index: dict[str, dict[str, str | int]] = {}
    for number in range(shard_count):
        shard = f"images-{number:03d}.tar"
        with tarfile.open(folder / shard, "w", format=tarfile.GNU_FORMAT, encoding="utf-8") as tar:
            for entry in ordered:
                if int(entry.digest[:16], 16) % shard_count == number:
                    size = _add(tar, entry)
                    # The archive has just been padded to a block after the data.
                    index[entry.name] = {"shard": shard, "offset": tar.offset - _padded(size), "size": size}
    write_json(folder / "index.json", index)
    write_json(folder / "annotations.json", coco(ordered, classes))


def read_image(root: Path, split: str, name: str) -> bytes:
    """Return the stored file of image ``name``.

    Raises:
        KeyError: the split has no such image.
    """
    index: dict[str, dict[str, Any]] = json.loads((root / split / "index.json").read_text("utf-8"))
    if name not in index:
        raise KeyError(f"no image {name!r} among the {len(index)} of {split}; index.json lists those allowed")
    place = index[name]
    with (root / split / str(place["shard"])).open("rb") as file:
        file.seek(place["offset"])
        return file.read(int(place["size"]))


def coco(entries: Sequence[Entry], classes: Sequence[str]) -> dict[str, Any]:
    """COCO instances of entries sorted by name; ids count from 1; boxes by class, then corner; xywh in pixels."""
    ids = {name: i for i, name in enumerate(classes, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, e in enumerate(entries, start=1):
        images.append({"id": image_id, "file_name": e.name, "width": e.width, "height": e.height})
        for box in sorted(e.boxes, key=lambda b: (ids[b.label], b.x1, b.y1, b.x2, b.y2)):
            bbox = [box.x1, box.y1, round(box.x2 - box.x1, 3), round(box.y2 - box.y1, 3)]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": ids[box.label],
                    "bbox": bbox,
                    "area": round(bbox[2] * bbox[3], 3),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": i, "name": name} for name, i in ids.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as UTF-8 JSON with sorted keys, so that equal values are equal bytes."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, indent=1) + "\n"
    path.write_text(text, "utf-8", newline="\n")


def _add(tar: tarfile.TarFile, entry: Entry) -> int:
    info = tarfile.TarInfo(entry.name)  # its defaults: mtime, uid and gid 0, no owner, mode 0644
    info.size = entry.spool.stat().st_size
    with entry.spool.open("rb") as file:
        tar.addfile(info, file)
    return info.size


def _padded(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
