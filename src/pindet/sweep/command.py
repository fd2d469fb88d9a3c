"""``pindet sweep``."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from pindet.project import scratch
from pindet.stage import CONF

METRICS = "metrics.json"
REMEDY = "`pip install optuna`"


def sweep_command(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            help="As after -S of dvc exp run; those to vary with a range for a value: 'training.lr=log(1e-4,1e-2)', "
            "'training.ema_decay=uniform(0.9,0.999)', 'model.neck_blocks=int(1,3)', 'model=choice(pindet_n,fcos)'"
        ),
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("-S", help="The same, as other commands take it.")] = None,
    name: Annotated[str, typer.Option(help="Of the sweep; the same name goes on with it.")] = "sweep",
    trials: Annotated[int, typer.Option(min=1, help="How many finished trials, earlier ones included.")] = 20,
    metric: Annotated[str, typer.Option(help="A key of metrics.json; the highest is best.")] = "val/map",
    seed: Annotated[int, typer.Option(help="Of the proposals.")] = 0,
) -> None:
    """Let Optuna search for parameters; each trial is an experiment of DVC in a temporary copy.

    The best becomes conf/experiment/NAME.yaml. Trials are kept in .pindet/sweeps/NAME.db: a sweep that was interrupted
    goes on where it was, and more --trials prolong it.
    """
    asked = [*(overrides or []), *(settings or [])]
    if metric.startswith("test/"):
        raise ValueError(f"metric is {metric!r}; what is chosen on test can not be measured on it: take val/…")
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise ValueError(f"sweeps need the package optuna, which is not installed; {REMEDY}") from error
    from pindet.sweep.space import parse
    from pindet.sweep.study import sweep

    database = scratch("sweeps", f"{name}.db")
    run, say = partial(run_experiment, metric=metric), partial(typer.echo, err=True)
    best = sweep(name, parse(asked), trials, database, run, seed=seed, say=say, commit=_head)
    path = keep(name, best.overrides)
    typer.echo(f"best: {best.name}, {metric} {best.value:.5g}: {' '.join(best.overrides)}")
    typer.echo(f"wrote {path}; `dvc exp apply {best.name}` takes it into the project")


def run_experiment(name: str, overrides: Sequence[str], *, metric: str) -> float:
    """Run an experiment in a temporary copy and give its metric.

    Raises:
        TrialError: it failed, or has no such metric.
    """
    from pindet.sweep.study import TrialError

    head = _head()  # a commit meanwhile changes nothing for the trial
    settings = [part for override in overrides for part in ("-S", override)]
    done = subprocess.run(["dvc", "exp", "run", "--temp", "--force", "--name", name, *settings], check=False)
    if done.returncode:
        raise TrialError(f"`dvc exp run` ended with {done.returncode}; its last lines say why")
    path = f"{_commit(name, head)}:{METRICS}"
    shown = subprocess.run(["git", "show", path], check=False, capture_output=True, text=True)
    metrics = json.loads(shown.stdout) if not shown.returncode else {}
    if metric not in metrics:
        raise TrialError(f"{METRICS} of {name} has no {metric!r}, it has {', '.join(sorted(metrics)) or 'nothing'}")
    return float(metrics[metric])


def keep(name: str, overrides: Sequence[str]) -> Path:
    """Write ``conf/experiment/<name>.yaml`` with these overrides, in place of one of an earlier call."""
    from pindet.compose import compose_into, differences
    from pindet.experiment import save_experiment
    from pindet.params import load_tree

    with tempfile.TemporaryDirectory() as folder:
        params = Path(folder) / "params.yaml"
        compose_into(params, CONF, list(overrides))
        return save_experiment(name, differences(load_tree(params), CONF), params, CONF, replace=True)


def _commit(experiment: str, head: str) -> str:
    """The commit of an experiment by its name and the commit where it began: others may be named alike."""
    reference = f"refs/exps/{head[:2]}/{head[2:]}/{experiment}"
    found = subprocess.run(["git", "rev-parse", "--verify", "--quiet", reference], capture_output=True, text=True)
    return found.stdout.strip() or "none"


def _head() -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return done.stdout.strip()
