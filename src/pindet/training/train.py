"""One training, from an untrained model to the best averaged weights."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy
from pindet_serve.letterbox import Letterbox
from torch import Tensor
from torch.utils.data import DataLoader

from pindet.data.prepared import PreparedSplit
from pindet.models.contract import DetectionModel
from pindet.models.parallel import ranks
from pindet.models.synced_norm import synchronise_norms
from pindet.training.compiling import compile_parts
from pindet.training.guard import Guard
from pindet.training.memory import keep_freed_memory
from pindet.training.module import DetectionTraining, Row
from pindet.training.out_of_memory import memory_advice
from pindet.training.precision import Precision, precision_on
from pindet.training.progress import Listener, TrainingProgress
from pindet.training.ranks import TIMEOUT, check_alike, check_shares, joined
from pindet.training.resume import ResumeState, ResumeWriter, find_resume_state, unfinished
from pindet.training.runtime import Runtime
from pindet.training.samples import (
    FittedImages,
    Sample,
    SharedBatches,
    TrainingSamples,
    training_loader,
    validation_loader,
)
from pindet.training.settings import TrainingSettings

logger = logging.getLogger(__name__)

VALIDATION_BATCH = 16
FEW_STEPS = 400
"""After fewer a model still finds little, whatever the data."""
DIVERGED = "diverged"
NOT_APPLICABLE = (
    ".*does not have many workers.*",  # how many is the user's to say
    ".*GPU available but not used.*",
    ".*in eval mode at the start.*",  # BatchNorm of the backbone and the averaged model, on purpose
    ".*LeafSpec.*",  # from within Lightning
    ".*sync_dist=True.*",  # what is logged is of all processes already
)
"""Warnings of Lightning that tell the reader nothing here."""


@dataclass(frozen=True)
class TrainingResult:
    """What a training gives.

    Attributes:
        state_dict: the averaged weights of the epoch with the best ``val/map``.
        history: one row per epoch: ``epoch``, ``lr``, ``train/loss`` and its parts, ``val/map``, ``val/map_50``,
            ``val/map_75``; ``None`` where a value is undefined or was not measured.
        precision: what it computed in.
    """

    state_dict: dict[str, Tensor]
    history: list[Row]
    precision: Precision


def train(
    model: DetectionModel,
    settings: TrainingSettings,
    train: PreparedSplit,
    val: PreparedSplit,
    *,
    seed: int,
    runtime: Runtime,
    resume: Path,
    callbacks: Sequence[Callback] = (),
    listeners: Sequence[Listener] = (),
) -> TrainingResult:
    """Train a model; the same arguments on the same machine give the same bits, interrupted or not.

    Args:
        model: its weights are set here, from ``seed`` and its pretrained file.
        resume: folder for the state after each epoch. A training that finds its own state there goes on from it.
            The caller removes it once the result is safe, and sees to it that nobody else trains there meanwhile.
        callbacks: Lightning's, for tracking.
        listeners: told of the progress, see :mod:`pindet.training.progress`.

    Raises:
        ValueError: no training or validation images, or settings that do not fit the model or the data.
        TrainingDivergedError: the loss is no number any more, or explodes; its batch is kept in ``resume``.
        TrainingMemoryError: memory does not suffice.
        RankLostError: another process of the training is gone.
    """
    with joined(runtime):
        return _train(model, settings, train, val, seed, runtime, resume, [*callbacks, TrainingProgress(listeners)])


def _train(
    model: DetectionModel,
    settings: TrainingSettings,
    train: PreparedSplit,
    val: PreparedSplit,
    seed: int,
    runtime: Runtime,
    resume: Path,
    callbacks: list[Callback],
) -> TrainingResult:
    precision = precision_on(runtime.accelerator, settings.precision)
    settings = replace(settings, precision=precision)
    _check(model, train, val)
    check_shares(settings.batch_size, len(train))
    if runtime.accelerator == "cpu":
        keep_freed_memory()
    model.initialise(seed)
    model.freeze(settings.frozen_stages)
    if settings.channels_last:
        model.to(memory_format=torch.channels_last)
    if settings.compile:
        compile_parts(model)
    if ranks() > 1:
        synchronise_norms(model.train(), "cuda" if runtime.accelerator == "gpu" else "cpu")
    letterbox = Letterbox(model.image_height, model.image_width)
    samples = TrainingSamples(train, letterbox, settings.augmentation, seed)
    loader = training_loader(samples, settings.batch_size, seed, runtime.workers)
    guard = Guard(settings, resume / DIVERGED, partial(_names, loader, train))
    module = DetectionTraining(model, settings, val, guard, steps=settings.epochs * len(loader), seed=seed)
    identity = _identity(model, settings, train, val, seed)
    _say_few_steps(settings, len(train), len(loader))
    module.train()
    state = find_resume_state(resume, identity)
    check_alike(identity, state.path.name if state else None)
    computing = {"threads": torch.get_num_threads(), "processes": ranks()}
    with _quiet_and_deterministic(), memory_advice(model, settings, runtime), unfinished(resume, settings.batch_size):
        writer = ResumeWriter(resume, identity, computing)
        trainer = _trainer(settings, runtime, model.repeatable_on_gpu, [*callbacks, writer])
        if state is not None:
            logger.info("going on after epoch %d of %d", state.content["epoch"] + 1, settings.epochs)
            state.check_computing(computing)
            module.on_load_checkpoint(state.content)
        if not module.is_over:
            validation = validation_loader(FittedImages(val, letterbox), VALIDATION_BATCH)
            trainer.fit(module, loader, validation, ckpt_path=_path(state), weights_only=True)
    return TrainingResult(module.best, module.history, precision)


def _names(loader: DataLoader[Sample], split: PreparedSplit, number: int) -> list[str]:
    """The images of a batch of the epoch that the loader is at."""
    assert isinstance(loader.batch_sampler, SharedBatches)
    draws = next(itertools.islice(loader.batch_sampler.whole(), number, None))
    return [split.names[draw.position] for draw in draws]


def _trainer(
    settings: TrainingSettings, runtime: Runtime, repeatable_on_gpu: bool, callbacks: list[Callback]
) -> lightning.Trainer:
    return lightning.Trainer(
        accelerator=runtime.accelerator,
        devices=runtime.devices,
        precision="bf16-mixed" if settings.precision == "bf16" else "32-true",
        max_epochs=settings.epochs,
        check_val_every_n_epoch=settings.validate_every,
        gradient_clip_val=settings.max_gradient_norm,
        callbacks=callbacks,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        deterministic=True if runtime.accelerator == "cpu" or repeatable_on_gpu else "warn",
        **(_together(runtime) if ranks() > 1 else {}),
    )


def _together(runtime: Runtime) -> dict[str, Any]:
    """Options of a trainer that is one of several: gradients are averaged, buffers are alike without being sent."""
    strategy = DDPStrategy(timeout=TIMEOUT, find_unused_parameters=True, forward_sync_buffers=False)
    machines = ranks() // runtime.devices
    return {"strategy": strategy, "num_nodes": machines, "plugins": [TorchElasticEnvironment()]}


def _check(model: DetectionModel, train: PreparedSplit, val: PreparedSplit) -> None:
    for name, split in (("training", train), ("validation", val)):
        if not len(split):
            raise ValueError(f"there are no {name} images; at least 1 is needed: give data.val_fraction a share")
        if len(split.classes) != model.num_classes:
            raise ValueError(f"the model has {model.num_classes} classes, the {name} data {len(split.classes)}")


def _say_few_steps(settings: TrainingSettings, images: int, steps_an_epoch: int) -> None:
    steps = settings.epochs * steps_an_epoch
    if steps < FEW_STEPS:
        logger.warning(
            "the training has only %d steps (images: %d, batch size: %d, epochs: %d); after so few a model finds "
            "little: training.epochs=%d or more would do",
            steps,
            images,
            settings.batch_size,
            settings.epochs,
            math.ceil(FEW_STEPS / steps_an_epoch),
        )


def _identity(
    model: DetectionModel, settings: TrainingSettings, train: PreparedSplit, val: PreparedSplit, seed: int
) -> str:
    """What a resume state must agree with, as a digest: the values that the model starts from among it."""
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    data = [train.classes, train.names, val.names]
    content = json.dumps([asdict(settings), shapes, data, seed, torch.__version__], sort_keys=True)
    digest = hashlib.sha256(content.encode())
    for value in model.state_dict().values():
        digest.update(value.contiguous().numpy())
    return digest.hexdigest()


def _path(state: ResumeState | None) -> Path | None:
    return None if state is None else state.path


@contextlib.contextmanager
def _quiet_and_deterministic() -> Iterator[None]:
    """Deterministic algorithms, and no advice from Lightning that does not apply here; undone afterwards."""
    talkative = logging.getLogger("lightning.pytorch")
    level, deterministic = talkative.level, torch.are_deterministic_algorithms_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    talkative.setLevel(logging.WARNING)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        with warnings.catch_warnings():
            for advice in NOT_APPLICABLE:
                warnings.filterwarnings("ignore", advice)
            yield
    finally:
        talkative.setLevel(level)
        torch.use_deterministic_algorithms(deterministic)
        torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
