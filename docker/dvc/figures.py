"""The agent's figures for Prometheus, as text in the host's folder ``logs/``, which the proxy hands out inside."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any


def figures(state: dict[str, Any], disk: Path) -> str:
    """A state of the agent in Prometheus' text format.

    Args:
        state: as :meth:`agent.Agent.round` gives it.
        disk: a folder on the disk whose room is told.
    """
    usage = shutil.disk_usage(disk)
    lines = [
        f"pindet_agent_round_timestamp_seconds {state['ts']}",
        f"pindet_agent_problems {len(state['problems'])}",
        f"pindet_released_damaged {len(state['damaged'])}",
        f"pindet_disk_free_bytes {usage.free}",
        f"pindet_disk_size_bytes {usage.total}",
    ]
    for stage, release in sorted(state["releases"].items()):
        labels = {"stage": stage, **release}
        inside = ",".join(f'{name}="{_quoted(value)}"' for name, value in labels.items())
        lines.append(f"pindet_released_info{{{inside}}} 1")
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
