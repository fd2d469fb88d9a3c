"""Make a bundle again from its commit alone, and say whether the same bytes come out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pindet.promotion.bench import Bench
from pindet.promotion.errors import PromotionError
from pindet.promotion.pinned import added, tree_of
from pindet.promotion.repository import Repository
from pindet.promotion.revision import BUNDLE, Revision, workspace_revision

_LEFT_OUT = ("DVC_EXP", "DVC_STAGE", "DVC_ROOT", "REDIS_URL")
"""Begin the names of what another run of DVC has set, and of where a training of this project is announced."""


@dataclass(frozen=True)
class Reproduction:
    """What came out.

    Attributes:
        expected: md5 of the bundle that the commit pins.
        made: md5 of the bundle that came out.
        different: paths of the outs that differ, in the order of the stages.
    """

    expected: str
    made: str
    different: list[str]

    @property
    def is_same(self) -> bool:
        """Whether the same bundle came out."""
        return self.expected == self.made

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**asdict(self), "is_same": self.is_same}


def reproduce(bench: Bench, revision: Revision, say: Callable[[str], None]) -> Reproduction:
    """Run the pipeline of a commit in a temporary clone, with a cache of its own, and compare every out.

    Args:
        say: told of each line that the pipeline says.

    Raises:
        PromotionError: the workspace was asked for, or the pipeline fails there.
    """
    if revision.is_workspace:
        raise PromotionError("the workspace can not be reproduced, only a commit; commit it first")
    with _clone(bench, revision) as root:
        if added(revision, tree_of(bench.repository, revision.commit)):
            _run(root, ["pull", "--remote", bench.objects.remote_name, *_added_files(bench, revision)], say)
        _run(root, ["repro", "--force"], say)
        made = workspace_revision(Repository(root)).outs
    different = [path for path, md5 in revision.outs.items() if made.get(path) != md5]
    return Reproduction(revision.out(BUNDLE), made.get(BUNDLE, ""), different)


@contextmanager
def _clone(bench: Bench, revision: Revision) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pindet-reproduce-") as folder:
        root = Path(folder) / "project"
        bench.repository.run("clone", "--quiet", "--shared", "--no-checkout", str(bench.root), str(root))
        _check_out(bench, root, revision.commit)
        local = bench.root / ".dvc/config.local"
        if local.is_file():
            shutil.copy(local, root / ".dvc/config.local")
        # A cache of its own: what is in the project's would be taken instead of made.
        _run(root, ["cache", "dir", "--local", str(Path(folder) / "cache")], lambda _: None)
        _run(root, ["remote", "modify", "--local", bench.objects.remote_name, "url", bench.objects.url], lambda _: None)
        yield root


def _check_out(bench: Bench, root: Path, commit: str) -> None:
    """Check a commit out, fetched by name where git cloned branches alone, as it does from a shallow clone."""
    clone = Repository(root)
    try:
        if clone.commit(commit) is None:
            clone.run("fetch", "--quiet", "--depth=1", "--no-tags", "origin", commit)
        clone.run("checkout", "--quiet", "--detach", commit)
    except PromotionError as error:
        if not bench.repository.is_shallow():
            raise
        raise PromotionError(
            f"commit {commit[:10]} can not be had from this clone, which is shallow: git fetch --unshallow ({error})"
        ) from error


def _added_files(bench: Bench, revision: Revision) -> list[str]:
    return sorted(path for path in tree_of(bench.repository, revision.commit) if path.endswith(".dvc"))


def _run(root: Path, arguments: list[str], say: Callable[[str], None]) -> None:
    """Run DVC in a folder, without a word to MLflow or the status bus, and pass on what it says."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(_LEFT_OUT)}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "MLFLOW_TRACKING_URI": f"sqlite:///{root / 'mlflow.db'}",
        "PYTHONUNBUFFERED": "1",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "dvc", *arguments], cwd=root, env=environment, text=True, errors="replace",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        last: list[str] = []
        for line in process.stdout:
            last = [*last[-20:], line.rstrip()]
            say(line.rstrip())
    if process.returncode:
        raise PromotionError(f"dvc {' '.join(arguments)} failed in the temporary clone:\n" + "\n".join(last))
