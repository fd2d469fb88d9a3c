"""When memory is given back: by the C library, where it is glibc, and by Python's collector of cycles."""

from __future__ import annotations

import ctypes
import gc
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_AN_IMAGE = 32 * 2**20
"""Of a photograph of ten million pixels, and the most that glibc allows."""

_YOUNG_OBJECTS = 50_000
"""Made and not gone yet before the collector looks at them; a few MB."""


def keep_freed_images() -> None:
    """Let this process use the memory of one decoded image for the next.

    Each would be taken from the system otherwise, which clears all of its pages: a third of the time of decoding.
    """
    if mallopt := _function("mallopt"):
        mallopt(_MMAP_THRESHOLD, _AN_IMAGE)
        mallopt(_TRIM_THRESHOLD, 2 * _AN_IMAGE)


def collect_rarely() -> None:
    """Let the collector of cycles leave alone what was loaded until now, and look at the rest less often.

    A look at everything stops a server with thousands of sockets for a fifth of a second. By default each event that
    all of them get brings one nearer, because the collector finds what is made for it alive and takes it for
    something that stays.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 20)


def return_freed() -> None:
    """Give the system back what the last model used; glibc keeps it otherwise, and reloads would add up."""
    if trim := _function("malloc_trim"):
        trim(0)


def _function(name: str) -> ctypes._NamedFuncPointer | None:
    return getattr(ctypes.CDLL(None), name, None) if os.name == "posix" else None
