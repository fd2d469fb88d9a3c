"""The project that a notebook looks at, and a plain sentence where it has nothing to show yet."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


class NotReadyError(ValueError):
    """There is nothing to show; the message says why and what to do. Jupyter shows it without a traceback."""

    def _render_traceback_(self) -> list[str]:
        """What IPython asks an exception for that says all there is to say."""
        return [str(self)]


@dataclass(frozen=True)
class Project:
    """A project whose pipeline has run.

    Attributes:
        root: the folder of ``dvc.yaml``.
    """

    root: Path

    def path(self, name: str) -> Path:
        """The path of something in the project, whose name is relative to its root."""
        return self.root / name

    def json(self, name: str) -> Any:
        """The content of a JSON file of the project."""
        return json.loads(self.path(name).read_text("utf-8"))

    @property
    def params(self) -> dict[str, Any]:
        """The parameters, nested by group."""
        content: dict[str, Any] = yaml.safe_load(self.path("params.yaml").read_text("utf-8"))
        return content


def open_project(*needed: str) -> Project:
    """Return the project that the current folder lies in.

    Args:
        needed: what the pipeline must have written, relative to the project's root.

    Raises:
        NotReadyError: there is no project here, or its pipeline has not got that far.
    """
    # Jupyter starts in the notebook's folder, wherever its user opened the project.
    here = Path.cwd()
    root = next((folder for folder in (here, *here.parents) if (folder / "dvc.yaml").is_file()), None)
    if root is None:
        raise NotReadyError("There is no dvc.yaml here, nor in a folder above: open the notebook within its project.")
    check_made(root, "params.yaml", *needed)
    os.environ.setdefault("GIT_OPTIONAL_LOCKS", "0")  # `git status` would refresh git's index
    return Project(root)


def check_made(root: Path, *names: str) -> None:
    """Make sure that the pipeline wrote these files or folders.

    Raises:
        NotReadyError: it did not.
    """
    missing = [name for name in names if not (root / name).exists()]
    if missing:
        raise NotReadyError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing: the pipeline has not run here; "
            "run `make repro`, or `dvc pull` where it ran elsewhere, and then this notebook again."
        )


@contextmanager
def said_plainly(*errors: type[Exception]) -> Iterator[None]:
    """Turn errors whose message says all there is to say into :class:`NotReadyError`."""
    try:
        yield
    except errors as error:
        raise NotReadyError(str(error)) from error
