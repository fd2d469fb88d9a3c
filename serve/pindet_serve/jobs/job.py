"""One job and its folder."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from pindet_serve.serving.wanted import Wanted

Status = Literal["queued", "running", "finished", "failed"]
INPUT, RESULT, DESCRIPTION = "input", "result.jsonl", "job.json"


@dataclass(frozen=True)
class Job:
    """What was asked and how far it is.

    Attributes:
        id: 32 hexadecimal digits.
        kind: ``video`` or ``zip``.
        name: what it was called, such as the name of its file.
        created: seconds since 1970.
        status: where it stands.
        done: frames that have a line in the result.
        unreadable: how many of these could not be read.
        total: frames there are, as far as the input tells.
        error: why it failed.
        wanted: limits of the answers.
        attempts: how often in a row it was begun where the server then ended without a word.
        begun_at: frames that were done when it was begun last.
    """

    id: str
    kind: str
    created: float
    status: Status = "queued"
    done: int = 0
    total: int | None = None
    error: str = ""
    wanted: Wanted = field(default_factory=Wanted)
    attempts: int = 0
    begun_at: int = 0
    name: str = ""
    unreadable: int = 0

    @property
    def ended(self) -> bool:
        """Whether it is finished or has failed."""
        return self.status in ("finished", "failed")

    def changed(self, **changes: Any) -> Job:
        """A copy with some attributes changed."""
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """As ``job.json`` has it."""
        return asdict(self)


def write_job(folder: Path, job: Job) -> None:
    """Write ``job.json`` whole."""
    new = folder / f".{DESCRIPTION}.{os.getpid()}"
    new.write_text(json.dumps(job.to_dict()), "utf-8")
    new.replace(folder / DESCRIPTION)


def read_job(folder: Path) -> Job:
    """Read ``job.json``.

    Raises:
        ValueError: it is damaged.
        OSError: it can not be read.
    """
    try:
        content = json.loads((folder / DESCRIPTION).read_text("utf-8"))
        wanted = content.pop("wanted")
        classes = None if wanted["classes"] is None else tuple(wanted["classes"])
        known = {one.name for one in fields(Job)}  # a later version of the server may have written more
        content = {name: value for name, value in content.items() if name in known}
        return Job(**content, wanted=Wanted(wanted["score_threshold"], wanted["max_detections"], classes))
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / DESCRIPTION} is damaged: {error!r}") from error


def written(result: Path) -> tuple[int, int]:
    """Count the frames in a result, and those that could not be read; cut off what a killed server left of a line."""
    if not result.exists():
        return 0, 0
    count = unreadable = end = 0
    with result.open("rb+") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            count, end = count + 1, end + len(line)
            unreadable += "error" in json.loads(line)
        file.truncate(end)
    return count, unreadable
