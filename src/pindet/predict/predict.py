"""A bundle on whatever the arguments stand for."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import batched
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pindet.predict.frames import Frame, UnreadableError, count_frames, read_frames
from pindet.predict.sources import Skipped, Source, find_sources
from pindet.predict.writers import (
    COCO_FILE,
    JSON_FILE,
    CocoWriter,
    FileWriter,
    JsonWriter,
    PictureWriter,
    Writer,
    picture_name,
)
from pindet_serve.golden import load_proven
