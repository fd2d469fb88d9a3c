"""Version numbers ``v1.2.3`` (Semantic Versioning 2.0.0, without pre-releases)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum

from pindet.promotion.errors import PromotionError

_VERSION = re.compile(r"v(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)")
FIRST = "v1.0.0"


class Bump(StrEnum):
    """Which number of a version grows."""

    major = "major"
    minor = "minor"
    patch = "patch"


def numbers(version: str) -> tuple[int, int, int]:
    """The three numbers of a version, by which versions are ordered.

    Raises:
        PromotionError: it is no version.
    """
    match = _VERSION.fullmatch(version)
    if not match:
        raise PromotionError(f"the version is {version!r}; allowed is vMAJOR.MINOR.PATCH, as in v1.2.0")
    return int(match[1]), int(match[2]), int(match[3])


def is_version(text: str) -> bool:
    """Whether a text is a version."""
    return _VERSION.fullmatch(text) is not None


def next_version(taken: Iterable[str], bump: Bump) -> str:
    """The version after the greatest that is taken; :data:`FIRST` when there is none."""
    versions = [numbers(version) for version in taken if is_version(version)]
    if not versions:
        return FIRST
    major, minor, patch = max(versions)
    if bump is Bump.major:
        return f"v{major + 1}.0.0"
    return f"v{major}.{minor + 1}.0" if bump is Bump.minor else f"v{major}.{minor}.{patch + 1}"
