"""MLflow's database, made while the training is still importing its libraries."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path


def begin_store(root: Path) -> None:
    """Let another process make a store that is a SQLite file and not there yet; the caller goes on at once.

    That takes a core that a process importing its libraries leaves free. Whoever connects meanwhile waits for it as
    for any other process (see :func:`pindet.tracking.store.migrate`), makes it where that failed, and says what is
    wrong; nothing is raised here.

    Args:
        root: the folder of ``params.yaml``, whose ``tracking.enabled`` decides.
    """
    from pindet_serve.serving.cpus import usable_cpus

    from pindet.tracking.store import find_store

    if int(os.environ.get("RANK", "0")) or usable_cpus() < 2:
        return
    with contextlib.suppress(OSError):
        file = find_store(root).sqlite_file
        if file is None or (file.exists() and file.stat().st_size):
            return
        quiet = subprocess.DEVNULL
        command = [sys.executable, "-m", __name__, str(root)]
        making = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)
        threading.Thread(target=making.wait, name="store ahead", daemon=True).start()


def main(root: Path) -> None:
    """Make the store of a project that tracks; under DVC, end with the stage that asked for it."""
    from pindet.lifeline import end_with_dvc

    end_with_dvc()
    from pindet.params import load_params
    from pindet.project import PARAMS
    from pindet.tracking.settings import TrackingSettings
    from pindet.tracking.store import find_store, migrate

    settings: TrackingSettings = load_params(root / PARAMS).build("tracking")
    if settings.enabled:
        migrate(find_store(root))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
