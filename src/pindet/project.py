"""Where the project is, also for a stage that DVC runs in a temporary copy of it."""

from __future__ import annotations

import os
from pathlib import Path

PARAMS = Path("params.yaml")
SCRATCH = Path(".pindet")
"""Git-ignored folder for what must not be hashed: resume state, latencies, journals, tracebacks."""


def main_root(root: Path) -> Path:
    """Return the project that ``root`` is a temporary copy of, or ``root`` itself.

    DVC tells a stage with ``DVC_ROOT``, which counts only where ``root`` lies below it: a pipeline that another
    pipeline starts inherits the variable of the outer one.
    """
    root = root.resolve()
    told = os.environ.get("DVC_ROOT")
    if told and root.is_relative_to(Path(told).resolve()):
        return Path(told).resolve()
    for parent in root.parents:
        if parent.parts[-3:] == (".dvc", "tmp", "exps"):
            return parent.parents[2]
    return root


def scratch(*parts: str) -> Path:
    """A path in the scratch folder of the project, from whichever copy of it a stage runs in."""
    return main_root(Path.cwd()).joinpath(SCRATCH, *parts)
