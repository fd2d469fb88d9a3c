"""One process of a training that several carry out: how it joins the others, and what it does when one is lost.

A process is told its number and where the first one is by torch's variables (``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``,
``MASTER_ADDR``, …), which :mod:`pindet.training.launch` and ``torchrun`` set alike.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import distributed

from pindet.models.parallel import gathered, ranks
from pindet.training.guard import TrainingDivergedError
from pindet.training.runtime import Runtime

logger = logging.getLogger(__name__)

TIMEOUT = timedelta(minutes=10)
"""How long a process waits for another that lives: longer than the first measures a validation."""
FOLLOWED = 75
"""Exit status of a process that ends because another did, or that leaves it to another to say why."""
PARENT = "PINDET_STARTED_BY"
"""The variable in which :mod:`pindet.training.launch` gives its process id."""
CHECKED_EVERY = 0.5
"""Seconds."""


class RankLostError(ValueError):
    """Another process of this training is gone."""


def is_started() -> bool:
    """Whether this process is one of several, which something has started already."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_first() -> bool:
    """Whether this process writes the results; so does the only one of a training."""
    return not is_started() or int(os.environ["RANK"]) == 0


def starts_others(runtime: Runtime) -> bool:
    """Whether this process has to start those that train.

    Raises:
        ValueError: something has started another number of processes than ``runtime`` says, or does not say which is
            which.
    """
    if is_started():
        local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        if local != runtime.devices:
            raise ValueError(
                f"runtime.devices is {runtime.devices}, and {local} processes were started on this machine; "
                f"give torchrun --nproc-per-node={runtime.devices}, or set runtime.devices={local}"
            )
        return False
    if int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        raise ValueError(
            f"srun started {os.environ['SLURM_STEP_NUM_TASKS']} tasks, which know nothing of each other; let it start "
            "one torchrun a machine, as the user guide shows under \"Several devices and machines\""
        )
    return runtime.devices > 1


@contextmanager
def joined(runtime: Runtime) -> Iterator[None]:
    """Be one of the processes of a training within the block; nothing happens where there is only this one.

    Raises:
        RankLostError: another one ended, or did not answer for :data:`TIMEOUT`.
    """
    if not is_started():
        yield
        return
    _end_with_parent()
    if runtime.accelerator == "gpu":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    try:
        distributed.init_process_group("nccl" if runtime.accelerator == "gpu" else "gloo", timeout=TIMEOUT)
        yield
        distributed.barrier()  # nobody leaves while another still listens
    except RuntimeError as error:
        if not _is_about_others(error):
            raise
        minutes = TIMEOUT.total_seconds() / 60
        is_late = any(words in str(error).lower() for words in ("timed out", "timeout"))
        what = f"has not answered for {minutes:.0f} minutes" if is_late else "is gone"
        raise RankLostError(
            f"another process of this training {what}; why is said by it, or by what started it. The next run goes on "
            "after the last finished epoch"
        ) from error
    distributed.destroy_process_group()


@contextmanager
def one_voice() -> Iterator[None]:
    """Of an error that all processes meet, or that follows from the end of one, only the first speaks."""
    try:
        yield
    except RankLostError as error:
        if is_first():
            logger.error("%s", error)
        sys.exit(FOLLOWED)
    except TrainingDivergedError:
        if is_first():
            raise
        sys.exit(FOLLOWED)


def check_alike(identity: str, state: str | None) -> None:
    """Hold the processes to the same training.

    Args:
        identity: digest of data, settings and versions.
        state: the name of the state that this process would go on from.

    Raises:
        ValueError: they differ.
    """
    seen = gathered((identity, state))
    if len({identity for identity, _ in seen}) > 1:
        raise ValueError("the machines differ in data, parameters, seed or torch; give all the same commit and data")
    if len({state for _, state in seen}) > 1:
        raise ValueError(
            f"the machines go on from different states: {', '.join(str(state) for _, state in seen)}; they need one "
            "project folder in common, or none may hold .pindet/resume/"
        )


def check_shares(batch_size: int, images: int) -> None:
    """Make sure that each process has a part of each batch.

    Raises:
        ValueError: there are fewer images than processes.
    """
    if min(batch_size, images) < ranks():
        raise ValueError(
            f"training.batch_size is {batch_size}, of {images} training images, and {ranks()} processes share a batch; "
            "at least one image for each is needed: raise training.batch_size, or lower runtime.devices"
        )


def _is_about_others(error: RuntimeError) -> bool:
    return isinstance(error, distributed.DistError) or "gloo" in str(error).lower()


def _end_with_parent() -> None:
    """End this process when what started it ends: nobody would end it otherwise, nor read what it writes."""
    parent = int(os.environ.get(PARENT, os.getppid()))

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(CHECKED_EVERY)
        os._exit(FOLLOWED)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()
