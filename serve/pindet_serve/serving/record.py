"""What is served, written down: so that a server that was killed comes back with the same model."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from pindet_serve.serving.release import Release, parse_release

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Record:
    """The release that is served, the one before it, and the one that an operator went back from.

    Attributes:
        current: what is served; ``None`` before the first load.
        previous: what a rollback goes to.
        went_back: whether that was left by a rollback.
        classes: class names of the current bundle, in order.
    """

    current: Release | None = None
    previous: Release | None = None
    went_back: bool = False
    classes: tuple[str, ...] = ()

    @property
    def declined(self) -> Release | None:
        """The release that was rolled back; it is not loaded again by itself."""
        return self.previous if self.went_back else None


def read_record(path: Path) -> Record:
    """Read the record; an absent or damaged one counts as none."""
    try:
        content = json.loads(path.read_text("utf-8"))
        current, previous = (
            None if content[name] is None else parse_release(json.dumps(content[name]), str(path))
            for name in ("current", "previous")
        )
        went_back = previous is not None and content["declined"] == previous.bundle_md5
        return Record(current, previous, went_back, tuple(content["classes"]))
    except FileNotFoundError:
        return Record()
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("%s is damaged and not used: %r", path, error)
        return Record()


def write_record(path: Path, record: Record) -> None:
    """Write the record whole; a full disk costs the record, not the serving."""
    content = {
        "current": record.current and record.current.to_dict(),
        "previous": record.previous and record.previous.to_dict(),
        "declined": record.declined.bundle_md5 if record.declined else "",
        "classes": record.classes,
    }
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(json.dumps(content), "utf-8")
        new.replace(path)
    except OSError as error:
        _log.error("%s can not be written, a restart will not know what was served: %s", path, error)
