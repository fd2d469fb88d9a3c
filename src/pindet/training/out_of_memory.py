"""Memory that does not suffice for a training: what to lower, in place of an allocator's own words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pindet.models.contract import DetectionModel
from pindet.training.runtime import Runtime
from pindet.training.settings import TrainingSettings

SAID_BY_ALLOCATORS = ("can't allocate memory", "not enough memory", "out of memory", "insufficient memory")
KILLED = "is killed by signal: killed"
"""Of a worker process, most often by a system that ran out of memory."""


class TrainingMemoryError(ValueError):
    """The training needs more memory than there is; the message says what to lower."""


@contextmanager
def memory_advice(model: DetectionModel, settings: TrainingSettings, runtime: Runtime) -> Iterator[None]:
    """Turn an allocation that fails into :class:`TrainingMemoryError`; other errors pass through."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_about_memory(error):
            raise
        where = "the GPU's memory" if isinstance(error, torch.OutOfMemoryError) else "memory"
        workers = f", runtime.workers (now {runtime.workers})" if runtime.workers else ""
        raise TrainingMemoryError(
            f"{where} does not suffice; lower training.batch_size (now {settings.batch_size}), model.image_height and "
            f"model.image_width (now {model.image_height} and {model.image_width}){workers}, take a smaller model, or "
            f"freeze more of it: training.frozen_stages (now {settings.frozen_stages}). It was: "
            f"{str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from error


def _is_about_memory(error: Exception) -> bool:
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    said = str(error).lower()
    return KILLED in said or any(words in said for words in SAID_BY_ALLOCATORS)
