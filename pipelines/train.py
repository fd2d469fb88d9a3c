"""``data/prepared/`` → ``models/weights.safetensors``, ``models/architecture.json`` and ``reports/train/``."""

import os
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from pindet.tracking.ahead import begin_store

if __name__ == "__main__":
    begin_store(Path())  # before what takes seconds to import

import torch
import yaml
from omegaconf import OmegaConf

from pindet.data.prepared import PreparedSplit
from pindet.digests import stage_key
from pindet.lifeline import is_forced
from pindet.models.store import save_trained
from pindet.params import Params
from pindet.resuming import forget_finished, remove_finished, resume_folder, sole_training, training_finished
from pindet.stage import run_stage
from pindet.tracking.bus import announced_training
from pindet.tracking.run import training_run
from pindet.training.history import write_history
from pindet.training.launch import run_ranks
from pindet.training.precision import precision_on
from pindet.training.ranks import PARENT, is_first, is_started, one_voice, starts_others
from pindet.training.runtime import Runtime
from pindet.training.train import train

LOCK = Path("dvc.lock")
PREPARED = Path("data/prepared")
WEIGHTS = Path("models/weights.safetensors")
ARCHITECTURE = Path("models/architecture.json")
HISTORY = Path("reports/train/history.csv")


def main(params: Params) -> None:
    for later in ("evaluation", "export"):
        params.build(later)  # a wrong value there is better known before hours of training than after
    runtime = params.build("runtime")
    key = stage_key("train", Path())
    remove_finished(recorded_weights(), besides=resume_folder(key))
    if starts_others(runtime):
        with sole_training(resume_folder(key)):
            run_ranks(runtime.devices)
        return
    with one_voice(), nullcontext() if PARENT in os.environ or not is_first() else sole_training(
        resume_folder(key), waits=not is_started()
    ):  # fmt: skip
        train_model(params, runtime, key)


def train_model(params: Params, runtime: Runtime, key: str) -> None:
    seed = params.build("seed")
    settings = params.build("training")
    splits = {name: PreparedSplit(PREPARED, name) for name in ("train", "val")}
    classes = splits["train"].classes
    model = params.build("model", num_classes=len(classes))
    resume = resume_folder(key)
    if settings.precision == "auto":
        settings = replace(settings, precision=precision_on(runtime.accelerator, "auto"))
    made_with = f"torch {torch.__version__}, {settings.precision}"
    if is_first():
        forget_finished(resume, None if is_forced() else made_with)
    everything = OmegaConf.to_container(params.tree)
    with (
        training_run(
            params.build("tracking"), Path(), everything, stage_key=key, dataset=PREPARED, resume=resume
        ) as run,
        announced_training(run.id or key, settings.epochs) as tell_bus,
    ):
        result = train(
            model, settings, splits["train"], splits["val"], seed=seed, runtime=runtime, resume=resume,
            callbacks=run.callbacks, listeners=[run.log_progress, tell_bus],
        )  # fmt: skip
        if not is_first():
            return
        params.check_given()  # else the run is not finished, and goes on as the same one
        model.load_state_dict(result.state_dict)
        save_trained(WEIGHTS, ARCHITECTURE, model, everything["model"], classes)
        write_history(HISTORY, result.history)
        run.trained(WEIGHTS, precision=result.precision)
        training_finished(resume, WEIGHTS, made_with)


def recorded_weights() -> str:
    """The md5 of the weights that ``dvc.lock`` has; empty without any."""
    if not LOCK.exists():
        return ""
    outs = yaml.safe_load(LOCK.read_text(encoding="utf-8")).get("stages", {}).get("train", {}).get("outs", [])
    return next((out["md5"] for out in outs if out["path"] == WEIGHTS.as_posix()), "")


if __name__ == "__main__":
    run_stage("train", main)
