"""How many CPU cores this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def usable_cpus(cgroups: Path = CGROUPS) -> int:
    """Return the cores of this machine that the process may run on, at most those that its container is given.

    A container's share is a time, not a number of cores: the system shows it all of the host's, and one that starts a
    thread on each of them spends its time waiting and its memory on images that it does not get to.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = _share(cgroups)
    return cores if share is None else max(1, min(cores, math.ceil(share)))


def _share(cgroups: Path) -> float | None:
    """Cores' worth of time that control groups (version 2, else 1) grant; ``None`` without a limit."""
    try:
        quota, period = (cgroups / "cpu.max").read_text("ascii").split()
    except (OSError, ValueError):
        first = cgroups / "cpu"
        try:
            quota, period = (first.joinpath(f"cpu.cfs_{name}_us").read_text("ascii") for name in ("quota", "period"))
        except OSError:
            return None
    try:
        share = int(quota) / int(period)  # "max" and -1 are no limit
    except (ValueError, ZeroDivisionError):
        return None
    return share if share > 0 else None
