"""Sweeps: what varies is read, trials are proposed and kept, and an interrupted sweep goes on."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("optuna", reason="the package optuna is not installed")

from pindet.compose import compose
from pindet.sweep import command
from pindet.sweep.space import SpaceError, parse
from pindet.sweep.study import SweepError, TrialError, sweep

OVERRIDES = [
    "training.epochs=3",
    "training.lr=log(1e-4,1e-2)",
    "model.neck_blocks=int(1,3)",
    "model=choice(pindet_n,pindet_s)",
]


def quality(overrides: list[str]) -> float:
    values = dict(override.split("=") for override in overrides)
    return float(values["model.neck_blocks"]) - abs(float(values["training.lr"]) - 0.002)


def quality_of(name: str, overrides: Sequence[str]) -> float:
    assert name.startswith("s-")
    return quality(list(overrides))


def test_ranges_are_told_from_values() -> None:
    space = parse(OVERRIDES)
    assert space.fixed == ("training.epochs=3",)
    assert [(each.key, each.kind) for each in space.varied] == [
        ("training.lr", "log"),
        ("model.neck_blocks", "int"),
        ("model", "choice"),
    ]


@pytest.mark.parametrize("wrong", ["a=log(0,1)", "a=uniform(2,1)", "a=int(1,x)", "a=choice(b)", "a=log(1)"])
def test_a_range_that_is_none_is_named(wrong: str) -> None:
    with pytest.raises(SpaceError, match="is no range; allowed are log"):
        parse([wrong])
    with pytest.raises(SpaceError, match="nothing varies in a=1"):
        parse(["a=1"])


def test_the_best_of_all_trials_is_given(tmp_path: Path) -> None:
    tried: dict[str, float] = {}
    said: list[str] = []

    def run(name: str, overrides: list[str]) -> float:
        assert overrides[0] == "training.epochs=3"
        tried[name] = quality(overrides)
        return tried[name]

    best = sweep("s", parse(OVERRIDES), 12, tmp_path / "s.db", run, say=said.append)  # type: ignore[arg-type]
    assert list(tried) == [f"s-{i}" for i in range(12)]
    assert said[2].startswith("trial 1, finished 1 of 12: training.epochs=3 training.lr=")
    assert said[3] == f"trial 1: {tried['s-1']:.5g}; best so far: " + max(
        (f"trial {i}, {tried[f's-{i}']:.5g}" for i in range(2)), key=lambda line: float(line.split()[-1])
    )
    assert best.value == max(tried.values()) == tried[best.name]
    assert quality(best.overrides) == best.value
    assert 1e-4 <= float(dict(o.split("=") for o in best.overrides)["training.lr"]) <= 1e-2


def test_an_interrupted_sweep_goes_on_with_the_trial_that_was_cut_off(tmp_path: Path) -> None:
    tried: list[tuple[str, list[str]]] = []
    said: list[str] = []

    def cut_off(name: str, overrides: list[str]) -> float:
        tried.append((name, overrides))
        if len(tried) == 3:
            raise KeyboardInterrupt
        return quality(overrides)

    with pytest.raises(KeyboardInterrupt):
        sweep("s", parse(OVERRIDES), 5, tmp_path / "s.db", cut_off, say=said.append)  # type: ignore[arg-type]
    sweep("s", parse(OVERRIDES), 5, tmp_path / "s.db", cut_off, say=said.append)  # type: ignore[arg-type]
    assert [name for name, _ in tried] == ["s-0", "s-1", "s-2", "s-3", "s-4", "s-5"]
    assert tried[3][1] == tried[2][1]
    assert "trial 2 was interrupted; its parameters are tried again" in said
    assert len({tuple(overrides) for _, overrides in tried}) == 5
    best = sweep("s", parse(OVERRIDES), 5, tmp_path / "s.db", cut_off, say=said.append)  # type: ignore[arg-type]
    assert len(tried) == 6  # there is nothing more to do
    assert best.value == max(quality(overrides) for _, overrides in tried)
    with pytest.raises(SweepError, match="holds a sweep 's' over something else"):
        sweep("s", parse(OVERRIDES[:2]), 5, tmp_path / "s.db", cut_off, say=said.append)  # type: ignore[arg-type]


def test_trials_of_other_commits_are_said(tmp_path: Path) -> None:
    said: list[str] = []

    def go_on(trials: int, commit: str) -> None:
        sweep("s", parse(OVERRIDES), trials, tmp_path / "s.db", quality_of, say=said.append, commit=lambda: commit)

    go_on(1, "a" * 40)
    go_on(2, "a" * 40)
    assert not any("other commits" in line for line in said)
    go_on(3, "b" * 40)
    assert any(line.startswith("finished trials are of other commits (aaaaaaa)") for line in said)


def test_two_processes_do_not_share_a_sweep(tmp_path: Path) -> None:
    def meanwhile(name: str, overrides: Sequence[str]) -> float:
        with pytest.raises(SweepError, match="another process is at the sweep 's'"):
            sweep("s", parse(OVERRIDES), 1, tmp_path / "s.db", quality_of, say=print)
        return quality_of(name, overrides)

    best = sweep("s", parse(OVERRIDES), 1, tmp_path / "s.db", meanwhile, say=print)
    assert best.name == "s-0"


def test_the_experiment_of_a_trial_is_that_of_the_present_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def git(*arguments: str) -> str:
        who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
        return subprocess.run(["git", *who, *arguments], check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    found = {}
    for value in (0.25, 0.5):
        (tmp_path / "metrics.json").write_text(f'{{"val/map": {value}}}', encoding="utf-8")
        git("add", "-A")
        git("commit", "-q", "-m", str(value))
        head = git("rev-parse", "HEAD")
        git("update-ref", f"refs/exps/{head[:2]}/{head[2:]}/s-0", head)
        found[value] = head
    monkeypatch.setattr(command.subprocess, "run", without_dvc(command.subprocess.run))
    assert command.run_experiment("s-0", [], metric="val/map") == 0.5
    git("checkout", "-q", found[0.25])
    assert command.run_experiment("s-0", [], metric="val/map") == 0.25


def without_dvc(run: Callable[..., Any]) -> Callable[..., Any]:
    """In place of `dvc` a commit is made, as the user may while a trial runs."""
    commit = "git -c user.name=test -c user.email=test@localhost commit -q --allow-empty -m meanwhile"

    def ran(arguments: list[str], **options: Any) -> Any:
        return run(commit.split() if arguments[0] == "dvc" else arguments, **options)

    return ran


def test_failures_are_passed_over_until_there_are_too_many(tmp_path: Path) -> None:
    said: list[str] = []
    outcomes = iter([TrialError("no"), 0.5, TrialError("no"), TrialError("no"), TrialError("really no")])

    def run(name: str, overrides: list[str]) -> float:
        del name, overrides
        outcome = next(outcomes)
        if isinstance(outcome, TrialError):
            raise outcome
        return outcome

    with pytest.raises(SweepError, match="3 trials in a row failed, the last with: really no"):
        sweep("s", parse(OVERRIDES), 3, tmp_path / "s.db", run, say=said.append)  # type: ignore[arg-type]
    assert said[-1] == "trial 4 failed: really no"


def test_the_best_becomes_an_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = Path(__file__).parents[2] / "conf"
    monkeypatch.chdir(tmp_path)
    subprocess.run(["cp", "-r", str(conf), "conf"], check=True)
    path = command.keep("found", ["training.lr=0.004", "model=fcos"])
    assert path == Path("conf/experiment/found.yaml")
    assert "fcos" in path.read_text(encoding="utf-8")
    composed = compose(Path("conf"), ["+experiment=found"])
    assert composed["training"]["lr"] == 0.004
    assert composed["model"]["_target_"].endswith("TorchvisionFcos")
    first = path.read_text(encoding="utf-8")
    assert command.keep("found", ["training.lr=0.004", "model=fcos"]) == path
    assert path.read_text(encoding="utf-8") == first, "an experiment that is kept again does not name itself"
    command.keep("found", ["+experiment=found", "training.epochs=3"])
    composed = compose(Path("conf"), ["+experiment=found"])
    assert (composed["training"]["lr"], composed["training"]["epochs"]) == (0.004, 3)
    command.keep("found", ["+experiment=found", "model=faster_rcnn"])
    assert path.read_text(encoding="utf-8").count("override /model") == 1
    composed = compose(Path("conf"), ["+experiment=found"])
    assert composed["model"]["_target_"].endswith("TorchvisionFasterRcnn")
    assert composed["training"]["epochs"] == 3
    command.keep("found", ["training.lr=0.005"])
    assert yaml.safe_load(path.read_text(encoding="utf-8")) == {"training": {"lr": 0.005}}


def test_overrides_may_be_given_as_other_commands_take_them() -> None:
    with pytest.raises(SpaceError, match=r"nothing varies in seed=1 training\.lr=0\.1"):
        command.sweep_command(["seed=1"], ["training.lr=0.1"])


def test_the_test_split_is_not_to_be_chosen_on() -> None:
    with pytest.raises(ValueError, match="metric is 'test/map'; what is chosen on test can not be measured on it"):
        command.sweep_command(["training.lr=log(1e-4,1e-2)"], metric="test/map")
