"""``pindet unlock``: put right what a killed DVC may leave of its own."""

from __future__ import annotations

import json
from pathlib import Path

import typer

RWLOCK = Path(".dvc/tmp/rwlock")
"""Where DVC notes which process uses which path; it writes the file in place, so that a kill may leave it empty."""


def unlock_command() -> None:
    """Remove DVC's list of used paths where a kill left it broken, and DVC says "JSON structure is corrupted".

    A list that can be read stays: DVC strikes processes that are gone from it by itself.
    """
    if remove_broken(RWLOCK):
        typer.echo(f"{RWLOCK} was broken, as a killed DVC leaves it, and is removed; nothing of yours was in it")


def remove_broken(rwlock: Path) -> bool:
    """Remove DVC's list of used paths if it is no JSON; whether it was.

    Raises:
        dvc.lock.LockError: another process keeps it for longer than it takes to write.
    """
    if not _is_broken(rwlock):
        return False
    from dvc.lock import make_lock  # takes two seconds to import, and is hardly ever needed

    with make_lock(str(rwlock.with_name("rwlock.lock")), tmp_dir=str(rwlock.parent), hardlink_lock=False):
        if not _is_broken(rwlock):  # another process was just writing it
            return False
        rwlock.unlink()
    return True


def _is_broken(rwlock: Path) -> bool:
    try:
        json.loads(rwlock.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    except ValueError:
        return True
    return False
