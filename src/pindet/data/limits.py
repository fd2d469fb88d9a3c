"""What the settings of prepared data may be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pindet.data.records import SourceError


def check_limits(*, val_fraction: float, test_fraction: float, shard_count: int, max_rejected: int) -> None:
    """Raise ValueError for a fraction outside [0, 1), two that leave nothing for train, or a count out of range."""
    allowed = {
        "val_fraction": (val_fraction, 0 <= val_fraction < 1, "0 to below 1"),
        "test_fraction": (
            test_fraction,
            test_fraction >= 0 and val_fraction + test_fraction < 1,
            "0 to below 1 less data.val_fraction",
        ),
        "shard_count": (shard_count, 1 <= shard_count <= 1000, "1 to 1000"),
        "max_rejected": (max_rejected, max_rejected >= 0, "at least 0"),
    }
    for name, (value, fits, wanted) in allowed.items():
        if not fits:
            raise ValueError(f"data.{name} is {value!r}; {wanted} is allowed")


def check_class_names(names: Sequence[str], where: str) -> None:
    """Raise SourceError unless there are names, all distinct and none of them empty; ``where`` says whose they are."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice or not names or not all(name.strip() for name in names):
        again = f", of which {twice} repeat" if twice else ""
        raise SourceError(
            f"{where} is {list(names)}{again}; one or more distinct names, none of them empty, are allowed; correct it"
        )
