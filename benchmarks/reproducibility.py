"""Whether the pipeline gives the same bytes twice: two clean clones, every stage by force, the md5 of every out.

    python benchmarks/reproducibility.py                                  # what is committed; two whole trainings
    python benchmarks/reproducibility.py training.epochs=1 model=fcos     # with overrides

The clones lie in folders of different names and share neither cache nor configuration with this project or each other.
Exits with 1 if an out differs. Changes that are not committed are not in the clones.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
PLACES = ("first", "another place")
OWN = ("DVC_", "MLFLOW_", "GIT_", "PYTHON")
"""Beginnings of environment variables that would reach from outside into a clone."""


def environment(scratch: Path) -> dict[str, str]:
    """The variables of this process but those in :data:`OWN`; its programs first on the path."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(OWN)}
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"src{os.pathsep}serve",
        "DVC_GLOBAL_CONFIG_DIR": str(scratch / "config"),
        "DVC_SITE_CACHE_DIR": str(scratch / "site"),
    }


def clone(folder: Path) -> None:
    """Clone what is committed of this project, without sharing its files."""
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder)], check=True)


def reproduce(folder: Path, scratch: Path, overrides: list[str]) -> dict[str, str]:
    """Clone the project, run all of its stages, and give the md5 of every out by its path."""
    clone(folder)
    variables = environment(scratch)
    commands = [["dvc", "repro", "--force"]]
    if overrides:
        commands.insert(0, ["pindet", "params", *overrides])
    for command in commands:
        # The tables are the answer of this script: what the stages say goes beside them.
        done = subprocess.run(command, cwd=folder, env=variables, check=False, stdout=sys.stderr)
        if done.returncode:
            sys.exit(f"`{' '.join(command)}` failed in {folder.name!r}; there is nothing to compare")
    stages = yaml.safe_load((folder / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    return {out["path"]: out["md5"] for stage in stages.values() for out in stage["outs"]}


def table(one: dict[str, str], other: dict[str, str]) -> Table:
    """Every out with both digests."""
    shown = Table("out", *PLACES, "")
    for path in sorted(one.keys() | other.keys()):
        digests = one.get(path, "none"), other.get(path, "none")
        shown.add_row(path, *digests, "same" if digests[0] == digests[1] else "DIFFERENT")
    return shown


def main() -> None:
    """Run both and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="as `pindet params` takes them")
    parser.add_argument("--folder", type=Path, help="where the clones go, and stay; a temporary folder if left out")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        digests = [reproduce(folder / place, folder / f"scratch {place}", arguments.overrides) for place in PLACES]
    console = Console()
    console.print(table(*digests))
    if digests[0] != digests[1]:
        console.print("the outs differ")
        sys.exit(1)
    console.print(f"{len(digests[0])} outs are the same, byte for byte")


if __name__ == "__main__":
    main()
