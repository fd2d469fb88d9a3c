"""What may be set, and the names that a source may bring."""

from __future__ import annotations

from typing import Any

import pytest

from pindet.data.limits import check_class_names, check_limits
from pindet.data.records import SourceError

USUAL: dict[str, Any] = {"val_fraction": 0.2, "test_fraction": 0.2, "shard_count": 4, "max_rejected": 0}


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"val_fraction": -0.1}, "val_fraction is -0.1"),
        ({"val_fraction": 1}, "val_fraction is 1"),
        ({"val_fraction": float("nan")}, "val_fraction is nan"),
        ({"test_fraction": -0.1}, "test_fraction is -0.1"),
        ({"test_fraction": 0.8}, "test_fraction is 0.8"),
        ({"val_fraction": 0.7, "test_fraction": 0.3}, "test_fraction is 0.3"),
        ({"test_fraction": float("nan")}, "test_fraction is nan"),
        ({"shard_count": 0}, "shard_count is 0"),
        ({"shard_count": 1001}, "shard_count is 1001"),
        ({"max_rejected": -1}, "max_rejected is -1"),
    ],
)
def test_values_that_are_not_allowed(changed: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=rf"^data\.{named}; .* is allowed$"):
        check_limits(**USUAL | changed)


@pytest.mark.parametrize(
    "changed",
    [{"val_fraction": 0, "test_fraction": 0}, {"test_fraction": 0.79}, {"shard_count": 1}, {"shard_count": 1000}],
)
def test_values_at_the_limits(changed: dict[str, Any]) -> None:
    check_limits(**USUAL | changed)


@pytest.mark.parametrize(
    ("names", "seen"),
    [([], r"\[\];"), (["a", "b", "a"], r"\['a', 'b', 'a'\], of which \['a'\] repeat;"), (["a", " "], r"\['a', ' '\];")],
)
def test_names_that_are_not_allowed(names: list[str], seen: str) -> None:
    with pytest.raises(SourceError, match=f"^data.classes is {seen} one or more distinct names, none of them empty"):
        check_class_names(names, "data.classes")
    check_class_names(["a", "b"], "data.classes")
