"""Memory that a training on the CPU frees and takes again at every step."""

from __future__ import annotations

import ctypes
import platform

# From glibc's malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
LARGEST = 2**31 - 1
STEP = 2**28


def keep_freed_memory() -> None:
    """Let this process keep what it frees, until it ends.

    The C library gives each large tensor back to the system, which clears the pages anew when the next step asks for
    them: a tenth of a step. Does nothing where the C library is not glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, LARGEST), (M_TOP_PAD, STEP)):
        libc.mallopt(option, value)
