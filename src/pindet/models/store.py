"""A trained model on disk: its weights and what to build to hold them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra.utils
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from pindet.files import write_json
from pindet.models.contract import DetectionModel


class StoredModelError(ValueError):
    """The stored model cannot be loaded; the message says what is wrong with it."""


@dataclass(frozen=True)
class Trained:
    """A trained model, in evaluation mode, and the ordered names of its classes."""

    model: DetectionModel
    classes: list[str]


def save_trained(
    weights: Path, architecture: Path, model: DetectionModel, config: Mapping[str, Any], classes: Sequence[str]
) -> None:
    """Write a trained model; the same model always gives the same bytes.

    Args:
        weights: file to write, safetensors.
        architecture: file to write, JSON ``{"model": config, "classes": classes}``.
        config: the model's ``_target_`` and arguments, without ``num_classes``.

    Raises:
        ValueError: the number of class names is not the model's.
    """
    _check_classes(model, classes)
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    weights.parent.mkdir(parents=True, exist_ok=True)
    part = weights.with_name(f".{weights.name}.{os.getpid()}.tmp")
    save_file(state, part)
    part.replace(weights)
    write_json(architecture, {"model": dict(config), "classes": list(classes)})


def load_trained(weights: Path, architecture: Path) -> Trained:
    """Load what :func:`save_trained` wrote; pretrained backbone files are not needed.

    Raises:
        StoredModelError: a file is missing, cannot be read or does not fit the other.
    """
    for path in (weights, architecture):
        if not path.is_file():
            raise StoredModelError(f"{path} is missing; run `dvc repro train`, or `dvc pull` to fetch it")
    try:
        content = json.loads(architecture.read_text("utf-8"))
        config, classes = content["model"], content["classes"]
        model: DetectionModel = hydra.utils.instantiate(config, num_classes=len(classes), _convert_="all")
        model.load_state_dict(load_file(weights))
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise StoredModelError(f"{architecture} is no architecture file: {error!r}; train again") from error
    except (SafetensorError, RuntimeError, hydra.errors.InstantiationException) as error:
        raise StoredModelError(f"{weights} and {architecture} do not make a model: {error}") from error
    return Trained(model.eval(), list(classes))


def _check_classes(model: DetectionModel, classes: Sequence[str]) -> None:
    if len(classes) != model.num_classes:
        raise ValueError(f"{len(classes)} class names {list(classes)} for a model of {model.num_classes} classes")
