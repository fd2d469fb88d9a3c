"""Start the server with a state folder of its own, whichever of the replicas this one is.

Replicas share the host's folder ``output/``; each takes the first of ``api-1``, ``api-2``, … that none of the others
holds. A replica that comes back finds its fetched bundles and the release before the present one again. Jobs are of all
replicas, in ``jobs``.
"""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

MOST_REPLICAS = 64


def take_slot(output: Path) -> Path:
    """Lock the first free slot, for as long as this process and what it becomes lives.

    Raises:
        OSError: the folder can not be written, or all slots are taken.
    """
    output.mkdir(parents=True, exist_ok=True)
    for number in range(1, MOST_REPLICAS + 1):
        folder = output / f"api-{number}"
        handle = os.open(output / f".api-{number}.lock", os.O_RDWR | os.O_CREAT, 0o664)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            continue
        os.set_inheritable(handle, True)
        folder.mkdir(exist_ok=True)
        return folder
    raise OSError(f"all of {MOST_REPLICAS} slots in {output} are taken")


def main() -> None:
    """Become the server."""
    if "PINDET_STATE" not in os.environ:
        output = Path(os.environ["PINDET_OUTPUT"])
        os.environ.setdefault("PINDET_JOBS", str(output / "jobs"))
        try:
            os.environ["PINDET_STATE"] = str(take_slot(output))
        except OSError as error:
            sys.exit(f"api: {error}; the host's folder output/ must be writable for user {os.getuid()}")
    os.execvp("pindet-serve", ["pindet-serve", *sys.argv[1:]])


if __name__ == "__main__":
    main()
