"""``data/prepared/`` → ``models/weights.safetensors``, ``models/architecture.json`` and ``reports/train/``."""

from contextlib import nullcontext
from pathlib import Path

from omegaconf import OmegaConf

from pindet.data.prepared import PreparedSplit
from pindet.digests import stage_key
from pindet.lifeline import is_forced
from pindet.models.store import save_trained
from pindet.params import Params
from pindet.resuming import resume_folder, sole_training, training_finished
from pindet.stage import run_stage
from pindet.tracking.bus import announced_training
from pindet.tracking.run import training_run
from pindet.training.history import write_history
from pindet.training.launch import run_ranks
from pindet.training.ranks import is_first, one_voice, starts_others
from pindet.training.runtime import Runtime
from pindet.training.train import train

PREPARED = Path("data/prepared")
WEIGHTS = Path("models/weights.safetensors")
ARCHITECTURE = Path("models/architecture.json")
HISTORY = Path("reports/train/history.csv")


def main(params: Params) -> None:
    for later in ("evaluation", "export"):
        params.build(later)  # a wrong value there is better known before hours of training than after
    runtime = params.build("runtime")
    if starts_others(runtime):
        run_ranks(runtime.devices)
        return
    with one_voice():
        train_model(params, runtime)


def train_model(params: Params, runtime: Runtime) -> None:
    seed = params.build("seed")
    settings = params.build("training")
    splits = {name: PreparedSplit(PREPARED, name) for name in ("train", "val")}
    classes = splits["train"].classes
    model = params.build("model", num_classes=len(classes))
    key = stage_key("train", Path())
    resume = resume_folder(key)
    everything = OmegaConf.to_container(params.tree)
    with (
        sole_training(resume, anew=is_forced()) if is_first() else nullcontext(),
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
        training_finished(resume, WEIGHTS)


if __name__ == "__main__":
    run_stage("train", main)
