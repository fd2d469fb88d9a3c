"""The history of a training as a table that ``dvc plots`` reads."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from pindet.files import write_text
from pindet.training.module import Row


def write_history(path: Path, history: Sequence[Row]) -> None:
    """Write one line per epoch, counted from 1, CSV with a heading; a value that is undefined is left empty."""
    table = io.StringIO()
    writer = csv.DictWriter(table, list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "epoch": number} for number, row in enumerate(history, start=1))
    write_text(path, table.getvalue())
