"""Whether the DVC remote has what a commit pins, found out by listing it: ``dvc push`` believes its own notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pindet.promotion.objects import Entry, ObjectError, Objects


@dataclass
class Inventory:
    """Objects that a commit pins, and where they are.

    Attributes:
        wanted: md5 of each, with the path that it is for.
        to_upload: those that the remote lacks, or has with another size, and the cache here has.
        lost: paths of those that neither has.
    """

    wanted: dict[str, str] = field(default_factory=dict)
    to_upload: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def take_inventory(objects: Objects, outs: Mapping[str, str]) -> Inventory:
    """List every object of what stages made in the remote and in the cache.

    Args:
        outs: md5 of each file or folder, by path.

    Raises:
        ObjectError: the remote can not be asked.
    """
    inventory = Inventory()
    for path, md5 in outs.items():
        inventory.wanted[md5] = path
        for entry in _entries(objects, md5, path, inventory):
            inventory.wanted.setdefault(entry.md5, f"{path}/{entry.path}")
    sizes = objects.sizes(inventory.wanted)
    for md5, path in inventory.wanted.items():
        place = objects.place(md5)
        differs = sizes[md5] is None or (place is not None and place.stat().st_size != sizes[md5])
        if differs and objects.cached(md5) is not None:
            inventory.to_upload.append(md5)
        elif sizes[md5] is None:
            inventory.lost.append(path)
    inventory.lost = sorted(set(inventory.lost))
    return inventory


def _entries(objects: Objects, md5: str, path: str, inventory: Inventory) -> Sequence[Entry]:
    if not md5.endswith(".dir"):
        return []
    try:
        return objects.listing(md5)
    except ObjectError:
        inventory.lost.append(path)
        return []
