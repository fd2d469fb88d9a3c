"""The state of a training is one process's at a time, and is kept until DVC has recorded what came of it."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pindet.digests import dvc_md5
from pindet.resuming import (
    TrainedElsewhereError,
    forget_finished,
    remove_finished,
    resume_folder,
    sole_training,
    training_finished,
)

HOLDER = """
import sys, time
from pathlib import Path
from pindet.resuming import sole_training

with sole_training(Path(sys.argv[1])):
    print("has it", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder to be in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def state_of(key: str, weights: Path | None = None) -> Path:
    folder = resume_folder(key)
    folder.mkdir(parents=True)
    (folder / "epoch-0001.ckpt").write_bytes(b"state")
    if weights:
        training_finished(folder, weights, "torch 2, fp32")
    return folder


def made(name: str) -> Path:
    path = Path(name)
    path.write_text(name, encoding="utf-8")
    return path


def test_what_led_to_these_weights_is_removed_and_nothing_else(project: Path) -> None:
    weights, others = made("weights"), made("others")
    with sole_training(resume_folder("this")):
        this = state_of("this", weights)
    other, unfinished = state_of("other", others), state_of("unfinished")
    remove_finished(dvc_md5(weights))
    assert not this.exists() and other.exists() and unfinished.exists()
    assert sorted(path.name for path in (project / ".pindet/resume").iterdir()) == ["other", "unfinished"]


def test_a_state_that_another_goes_on_with_stays() -> None:
    weights = made("weights")
    folder = state_of("this", weights)
    with sole_training(folder):
        remove_finished(dvc_md5(weights))
    assert folder.exists()
    remove_finished(dvc_md5(weights))
    assert not folder.exists()


def test_one_s_own_state_and_what_is_gone_meanwhile_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = made("weights")
    mine, gone, other = (state_of(key, weights) for key in ("mine", "gone", "other"))
    read = Path.read_text

    def vanishes(path: Path, *arguments: Any, **options: Any) -> str:
        if path.parent == gone:
            raise FileNotFoundError(path)
        return read(path, *arguments, **options)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(Path, "read_text", vanishes)
        remove_finished(dvc_md5(weights), besides=mine)
    assert mine.exists() and gone.exists() and not other.exists()


@pytest.mark.parametrize(("made_with", "stays"), [("torch 2, fp32", True), ("torch 2, bf16", False), (None, False)])
def test_what_ended_is_used_again_by_what_computes_alike(made_with: str | None, stays: bool) -> None:
    ended, unfinished = state_of("ended", made("weights")), state_of("unfinished")
    for folder in (ended, unfinished):
        forget_finished(folder, made_with)
    assert ended.exists() == stays
    assert unfinished.exists()


def test_who_can_not_wait_is_refused() -> None:
    folder = resume_folder("this")
    refused = pytest.raises(TrainedElsewhereError, match="wait until it has ended")
    with sole_training(folder), refused, sole_training(folder, waits=False):
        pass


def test_the_second_of_two_equal_trainings_waits(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    folder = resume_folder("this")
    paths = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=paths, text=True
    ) as first:
        assert first.stdout and first.stdin and first.stdout.readline() == "has it\n"

        class LetGo(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                if "waiting until it has ended" in record.getMessage():
                    first.communicate("\n")

        logging.getLogger("pindet.resuming").addHandler(handler := LetGo())
        try:
            with sole_training(folder):
                assert first.poll() == 0, "both trained at once"
        finally:
            logging.getLogger("pindet.resuming").removeHandler(handler)
    assert "another process trains" in caplog.text
