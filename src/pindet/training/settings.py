"""How a model is trained; configured by ``conf/training``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pindet.training.augmentation import Augmentation


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Everything that the trained weights depend on, besides seed, data and model.

    Args:
        epochs: passes over the training images.
        batch_size: images per step.
        lr: highest learning rate; it rises during ``warmup`` and then falls as a cosine.
        weight_decay: of AdamW, on weights but not on biases and normalisation.
        warmup: share of the training that the learning rate rises, 0 to below 1.
        precision: ``bf16`` (mixed), ``fp32``, or ``auto``, the faster of the two on the device that trains; see
            :func:`pindet.training.precision.precision_on`.
        channels_last: keep a pixel's channels beside each other in memory, which convolutions are fastest with.
        compile: compile the model's parts (``torch.compile``) before the first step. That takes a minute or more and a
            C++ compiler (on a GPU Triton), and pays in long trainings on a GPU.
        frozen_stages: stages of the backbone that keep their starting weights, with its stem.
        ema_decay: share of the averaged weights that one step keeps, 0 (no averaging) to below 1.
        max_gradient_norm: longer gradients are shortened to it; above 0.
        validate_every: epochs between validations; the last epoch is validated in any case.
        patience: the training ends early after so many validations in a row without a better ``val/map`` of the
            averaged weights; 0: never.
        augmentation: random changes of the samples.

    Raises:
        ValueError: a value outside what is allowed.
    """

    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    warmup: float
    precision: Literal["auto", "bf16", "fp32"]
    channels_last: bool
    compile: bool
    frozen_stages: int
    ema_decay: float
    max_gradient_norm: float
    validate_every: int
    patience: int
    augmentation: Augmentation

    def __post_init__(self) -> None:
        allowed = {
            "epochs": (self.epochs >= 1, "at least 1"),
            "batch_size": (self.batch_size >= 1, "at least 1"),
            "lr": (self.lr > 0, "above 0"),
            "weight_decay": (self.weight_decay >= 0, "at least 0"),
            "warmup": (0 <= self.warmup < 1, "0 to below 1"),
            "precision": (self.precision in ("auto", "bf16", "fp32"), "auto, bf16 or fp32"),
            "frozen_stages": (self.frozen_stages >= 0, "at least 0"),
            "ema_decay": (0 <= self.ema_decay < 1, "0 to below 1"),
            "max_gradient_norm": (self.max_gradient_norm > 0, "above 0"),
            "validate_every": (self.validate_every >= 1, "at least 1"),
            "patience": (self.patience >= 0, "at least 0"),
        }
        for name, (fits, wanted) in allowed.items():
            if not fits:
                raise ValueError(f"training.{name} is {getattr(self, name)!r}; {wanted} is allowed")
