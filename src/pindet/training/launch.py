"""Starts the processes of a training on one machine, watches them, and says which one failed and why."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import IO

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from pindet.training.ranks import FOLLOWED, PARENT

CHECKED_EVERY = 0.1
FIRST_HAS, OTHERS_HAVE = 30.0, 5.0
"""Seconds that the first process has to end after another (it closes the run, to which it may send what was missed),
and that the others have after the first."""
TAIL = 15
"""Lines of a failed process that are shown."""


class RankFailedError(ValueError):
    """A process of the training failed; the message says which, how, and what it said."""


def run_ranks(count: int) -> None:
    """Run the command of this process in ``count`` processes, each of which knows its number, and wait for them.

    The first one speaks to the terminal; what the others say is kept and shown of one that fails.

    Raises:
        RankFailedError: another than the first failed, or was killed.
        SystemExit: the first failed, which has said why.
    """
    with ExitStack() as stack:
        store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        said = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(count)]
        processes: list[subprocess.Popen[bytes]] = []
        stack.callback(_end, processes)
        for rank in range(count):
            processes.append(_start(rank, count, store.port, None if rank == 0 else said[rank]))
        try:
            failed = _wait(processes)
        except KeyboardInterrupt:  # which all of them heard
            _wait(processes, FIRST_HAS)
            raise SystemExit(1) from None
        if processes[0].poll() != 0:  # which ends well only after all have trained to the end
            _end(processes)
            raise _blame(failed, said)


def _start(rank: int, count: int, port: int, said: IO[bytes] | None) -> subprocess.Popen[bytes]:
    told = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": count,
        "LOCAL_WORLD_SIZE": count,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "TORCHELASTIC_USE_AGENT_STORE": True,  # the processes find each other at this one's store
        PARENT: os.getpid(),
    }
    quiet = {"TORCH_CPP_LOG_LEVEL": "ERROR"}  # DDP's advice about a model that needs none of its options
    environment = quiet | os.environ | {name: str(value) for name, value in told.items()}
    command = [sys.executable, *sys.orig_argv[1:]]
    return subprocess.Popen(command, env=environment, stdout=said, stderr=said)


def _wait(processes: list[subprocess.Popen[bytes]], seconds: float = math.inf) -> dict[int, int]:
    """Wait until all have ended, or those that were left by others had their time; the failed ones in their order."""
    failed: dict[int, int] = {}
    ended: set[int] = set()
    until = time.monotonic() + seconds
    while len(ended) < len(processes) and time.monotonic() < until:
        for rank, process in enumerate(processes):
            status = process.poll()
            if status is None or rank in ended:
                continue
            ended.add(rank)
            if status:
                failed[rank] = status
            if status or rank == 0:
                until = min(until, time.monotonic() + (OTHERS_HAVE if 0 in ended else FIRST_HAS))
        time.sleep(CHECKED_EVERY)
    return failed


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.kill()
        process.wait()


def _blame(failed: dict[int, int], said: Sequence[IO[bytes]]) -> Exception | SystemExit:
    """The error of the one that failed by itself."""
    by_itself = [rank for rank, status in failed.items() if status != FOLLOWED]
    if not by_itself or (failed.get(0, 0) not in (0, FOLLOWED) and failed[0] > 0):
        return SystemExit(1)  # the first has said it
    rank = by_itself[0]
    status, remedy = failed[rank], ""
    how = f"ended with status {status}"
    if status < 0:
        how = f"was killed ({signal.Signals(-status).name})"
        if status == -signal.SIGKILL:
            remedy = "; the system does so where memory runs out: then lower training.batch_size or runtime.devices"
    said[rank].seek(0)
    lines = said[rank].read().decode("utf-8", errors="replace").splitlines()[-TAIL:]
    last = f". It said last:\n{chr(10).join(lines)}" if lines else ""
    return RankFailedError(
        f"process {rank} of {len(said)} {how}, and the others were ended{remedy}. The next run goes on after the last "
        f"finished epoch{last}"
    )
