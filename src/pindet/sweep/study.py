"""The trials of a sweep, kept in a database of their own, so that one that was interrupted goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna.trial import TrialState

from pindet.sweep.space import Space

SPACE, COMMIT = "space", "commit"
MOST_FAILURES = 3
"""Failures in a row after which something else than the parameters is wrong."""

Say = Callable[[str], None]
Commit = Callable[[], str]
Run = Callable[[str, Sequence[str]], float]
"""Tries overrides under the name of an experiment and gives what is to be highest; raises :class:`TrialError`."""


class TrialError(ValueError):
    """A trial gave no result; the message says why."""


class SweepError(ValueError):
    """A sweep cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Best:
    """The best trial: its experiment, overrides and value."""

    name: str
    overrides: list[str]
    value: float


def sweep(
    name: str, space: Space, trials: int, database: Path, run: Run, *, say: Say, seed: int = 0, commit: Commit = str
) -> Best:
    """Try out parameters until there are so many finished trials.

    A trial that an interruption cut off is tried again, with the same parameters.

    Args:
        name: of the sweep; its experiments are ``<name>-<number>``.
        trials: how many finished ones are wanted, those of earlier calls included.
        database: SQLite file; made if it is not there.
        say: told how the sweep goes, a line at a time.
        commit: gives what a trial is of when it begins; it is said where earlier ones were of others.

    Raises:
        SweepError: the database is of a sweep over something else, another process is at it, or trial after trial
            fails.
    """
    database.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(database.with_suffix(".lock")).acquire(timeout=0):
            return _sweep(_open(name, space, database, seed), name, space, trials, run, say, commit)
    except Timeout:
        raise SweepError(f"another process is at the sweep {name!r}; wait for it, or take another --name") from None


def _sweep(study: optuna.Study, name: str, space: Space, trials: int, run: Run, say: Say, commit: Commit) -> Best:
    _say_other_commits(study, commit(), say)
    _take_up_again(study, say)
    failures = 0
    while (done := len(study.get_trials(states=[TrialState.COMPLETE]))) < trials:
        trial = study.ask()
        overrides = space.overrides(trial)
        trial.set_user_attr("overrides", overrides)
        trial.set_user_attr(COMMIT, commit())
        say(f"trial {trial.number}, finished {done} of {trials}: {' '.join(overrides)}")
        try:
            value = run(f"{name}-{trial.number}", overrides)
        except TrialError as error:
            study.tell(trial, state=TrialState.FAIL)
            failures += 1
            say(f"trial {trial.number} failed: {error}")
            if failures == MOST_FAILURES:
                raise SweepError(f"{failures} trials in a row failed, the last with: {error}") from error
            continue
        failures = 0
        study.tell(trial, value)
        best, highest = _best(study)
        say(f"trial {trial.number}: {value:.5g}; best so far: trial {best}, {highest:.5g}")
    number, value = _best(study)
    return Best(f"{name}-{number}", list(study.trials[number].user_attrs["overrides"]), value)


def _open(name: str, space: Space, database: Path, seed: int) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage(f"sqlite:///{database.resolve()}")
    study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
    # A sampler that goes on draws otherwise than one that begins, or it would propose what was tried.
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))
    known = study.user_attrs.get(SPACE)
    if known not in (None, repr(space)):
        raise SweepError(f"{database} holds a sweep {name!r} over something else: {known}; give this one another name")
    study.set_user_attr(SPACE, repr(space))
    return study


def _say_other_commits(study: optuna.Study, commit: str, say: Say) -> None:
    finished = study.get_trials(states=[TrialState.COMPLETE])
    others = {trial.user_attrs[COMMIT] for trial in finished if trial.user_attrs.get(COMMIT, commit) != commit}
    if others:
        named = ", ".join(sorted(other[:7] for other in others))
        say(
            f"finished trials are of other commits ({named}); where the code or the data changed since, what they "
            "reached says little: give the sweep another --name"
        )


def _take_up_again(study: optuna.Study, say: Say) -> None:
    for trial in study.get_trials(states=[TrialState.RUNNING]):
        say(f"trial {trial.number} was interrupted; its parameters are tried again")
        study.tell(trial.number, state=TrialState.FAIL)
        if trial.params:
            study.enqueue_trial(trial.params)


def _best(study: optuna.Study) -> tuple[int, float]:
    best = study.best_trial
    assert best.value is not None
    return best.number, best.value
