"""Uncompressed tar shards with an index of byte offsets, and the COCO annotations beside them."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pindet.data.records import RawBox


@dataclass(frozen=True, slots=True)
class Entry:
    """One kept item: its metadata, whether its source gave the split, where in the spool the bytes to store are."""

    name: str
    digest: str
    split: str
    official: bool
    width: int
    height: int
    boxes: list[RawBox]
    offset: int
    size: int


def write_split(
    folder: Path, entries: Sequence[Entry], classes: Sequence[str], shard_count: int, spool: BinaryIO
) -> None:
    """Write ``images-*.tar``, ``index.json`` and ``annotations.json``; the bytes ignore the order of entries."""
    folder.mkdir(parents=True)
    ordered = sorted(entries, key=lambda e: e.name)
    index: dict[str, dict[str, str | int]] = {}
    for number in range(shard_count):
        shard = f"images-{number:03d}.tar"
        with tarfile.open(folder / shard, "w", format=tarfile.GNU_FORMAT, encoding="utf-8") as tar:
            for entry in ordered:
                if int(entry.digest[:16], 16) % shard_count == number:
                    offset = _add(tar, entry, spool)
                    index[entry.name] = {"offset": offset, "shard": shard, "size": entry.size}
    write_records(folder / "index.json", {name: index[name] for name in sorted(index)})
    write_records(folder / "annotations.json", coco(ordered, classes))


def coco(entries: Sequence[Entry], classes: Sequence[str]) -> dict[str, Iterable[dict[str, Any]]]:
    """COCO instances of entries sorted by name; ids count from 1; boxes by class, then corner; xywh in pixels."""
    ids = {name: i for i, name in enumerate(classes, start=1)}
    images = (
        {"file_name": e.name, "height": e.height, "id": image_id, "width": e.width}
        for image_id, e in enumerate(entries, start=1)
    )
    categories = ({"id": i, "name": name} for name, i in ids.items())
    return {"annotations": _annotations(entries, ids), "categories": categories, "images": images}


def _annotations(entries: Sequence[Entry], ids: dict[str, int]) -> Iterator[dict[str, Any]]:
    number = 0
    for image_id, e in enumerate(entries, start=1):
        for box in sorted(e.boxes, key=lambda b: (ids[b.label], b.x1, b.y1, b.x2, b.y2)):
            number += 1
            bbox = [box.x1, box.y1, round(box.x2 - box.x1, 3), round(box.y2 - box.y1, 3)]
            yield {
                "area": round(bbox[2] * bbox[3], 3),
                "bbox": bbox,
                "category_id": ids[box.label],
                "id": number,
                "image_id": image_id,
                "iscrowd": 0,
            }


def write_records(path: Path, value: Mapping[str, object]) -> None:
    """Write ``value`` as UTF-8 JSON, one record a line; an iterator is written as a list, record by record."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for i, (key, member) in enumerate(value.items()):
            file.write("{\n" if i == 0 else ",\n")
            file.write(f"{_compact(key)}: ")
            if not isinstance(member, Iterator):
                file.write(_compact(member))
                continue
            file.write("[")
            for j, record in enumerate(member):
                file.write(("\n" if j == 0 else ",\n") + _compact(record))
            file.write("\n]")
        file.write("\n}\n" if value else "{}\n")


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _add(tar: tarfile.TarFile, entry: Entry, spool: BinaryIO) -> int:
    info = tarfile.TarInfo(entry.name)  # its defaults: mtime, uid and gid 0, no owner, mode 0644
    info.size = entry.size
    spool.seek(entry.offset)
    tar.addfile(info, spool)
    return tar.offset - _padded(entry.size)  # the archive has just been padded to a block after the data


def _padded(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
