"""How long a user waits: from `dvc repro` to the first step of the training.

    python benchmarks/first_step.py --rounds 3

Clones what is committed, prepares the data, and starts `dvc repro` on a terminal of its own, where the bar is shown
after each step; each training is ended there. Prints the seconds of each round.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from reproducibility import clone, environment

FIRST = b"epoch 1 of "
PATIENCE_S = 120.0
"""How long it may say nothing."""


def first_step_s(folder: Path, variables: dict[str, str]) -> float:
    """Seconds from the start of ``dvc repro`` to the bar's first step; ends the training."""
    ours, theirs = pty.openpty()
    began = time.monotonic()
    started = subprocess.Popen(
        ["dvc", "repro"], cwd=folder, env=variables | {"TERM": "xterm", "COLUMNS": "200"}, start_new_session=True,
        stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    said = b""
    try:
        while FIRST not in said:
            ready, _, _ = select.select([ours], [], [], PATIENCE_S)
            read = b""
            with contextlib.suppress(OSError):  # the other end is closed
                read = os.read(ours, 65536) if ready else b""
            if not read:
                sys.exit(f"the training did not begin: {said[-2000:].decode(errors='replace')}")
            said += read
        return time.monotonic() - began
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait(60)
        os.close(ours)


def main() -> None:
    """Measure each round in a clone of its own, so that none goes on with the training of another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    for number in range(rounds):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
            folder = Path(temporary) / "project"
            clone(folder)
            variables = environment(Path(temporary))
            prepare = ["dvc", "repro", "--quiet", "prepare"]
            subprocess.run(prepare, cwd=folder, env=variables, check=True, stdout=sys.stderr)
            seconds = first_step_s(folder, variables)
            sys.stdout.write(f"round {number + 1}: {seconds:.1f} s from `dvc repro` to the first step\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
