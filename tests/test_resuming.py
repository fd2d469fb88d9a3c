"""The state of a training is one process's at a time, and is kept until DVC has recorded what came of it."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from pindet.resuming import remove_finished, resume_folder, sole_training, training_finished

HOLDER = """
import sys, time
from pathlib import Path
from pindet.resuming import sole_training

with sole_training(Path(sys.argv[1]), anew=False):
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
        training_finished(folder, weights)
    return folder


def made(name: str) -> Path:
    path = Path(name)
    path.write_text(name, encoding="utf-8")
    return path


def test_what_led_to_these_weights_is_removed_and_nothing_else(project: Path) -> None:
    weights, others = made("weights"), made("others")
    with sole_training(resume_folder("this"), anew=False):
        this = state_of("this", weights)
    other, unfinished = state_of("other", others), state_of("unfinished")
    remove_finished(weights)
    assert not this.exists() and other.exists() and unfinished.exists()
    assert sorted(path.name for path in (project / ".pindet/resume").iterdir()) == ["other", "unfinished"]


def test_a_state_that_another_goes_on_with_stays() -> None:
    weights = made("weights")
    folder = state_of("this", weights)
    with sole_training(folder, anew=False):
        remove_finished(weights)
    assert folder.exists()
    remove_finished(weights)
    assert not folder.exists()


def test_a_training_by_force_begins_anew_when_the_one_before_has_ended() -> None:
    ended, unfinished = state_of("ended", made("weights")), state_of("unfinished")
    for folder in (ended, unfinished):
        with sole_training(folder, anew=True):
            assert folder.exists() == (folder is unfinished)


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
            with sole_training(folder, anew=False):
                assert first.poll() == 0, "both trained at once"
        finally:
            logging.getLogger("pindet.resuming").removeHandler(handler)
    assert "another process trains" in caplog.text
