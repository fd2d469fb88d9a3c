"""A model compiled for the machine that trains it."""

from __future__ import annotations

from torch import nn

from pindet.models.contract import DetectionModel


def compile_parts(model: DetectionModel) -> None:
    """Compile each part of a model (``torch.compile``) at its first call; names and values of its weights stay.

    The parts and not the whole: a loss matches predictions to a number of objects that changes from batch to batch.
    """
    for part in model.children():
        if not isinstance(part, (nn.ModuleList, nn.ModuleDict)):  # those are never called
            part.compile()
