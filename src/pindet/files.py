"""Files that are whole or not there: written beside their place and renamed into it."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with ``\\n`` line ends; folders are made.

    Even after a power failure the file is the earlier one or the new one, whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")  # a name that no other process writes to
    try:
        with new.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # some network file systems know that of files only
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_json(path: Path, value: object) -> None:
    """Write JSON with sorted keys, so that equal values are equal bytes.

    Raises:
        ValueError: NaN or an infinite number, which JSON does not have.
    """
    write_text(path, json.dumps(value, ensure_ascii=False, sort_keys=True, indent=1, allow_nan=False) + "\n")
