"""Averaged weights: what is validated and kept.

An exponential moving average of the weights of every step (Polyak & Juditsky, "Acceleration of Stochastic Approximation
by Averaging", 1992) behaves like a lower learning rate without being slower.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from pindet.models.contract import DetectionModel

WARM_STEPS = 200
"""Steps in which the average grows its memory: the first weights are not worth remembering."""


class Averaged(nn.Module):
    """A copy of a model that follows it at a distance.

    Args:
        model: the model to follow.
        decay: share of the copy that one step keeps, in the long run.
    """

    def __init__(self, model: DetectionModel, decay: float) -> None:
        super().__init__()
        self.model: DetectionModel = copy.deepcopy(model).requires_grad_(False).eval()
        self._decay = decay

    @torch.no_grad()
    def update(self, model: DetectionModel, step: int) -> None:
        """Take in the weights after step ``step``, the first of which is 1."""
        share = 1 - self._decay * (1 - math.exp(-step / WARM_STEPS))
        own, other = self.model.state_dict(), model.state_dict()
        averaged = [name for name, value in own.items() if value.is_floating_point()]
        torch._foreach_lerp_([own[name] for name in averaged], [other[name] for name in averaged], share)
        for name in own.keys() - set(averaged):
            own[name].copy_(other[name])

    def weights(self) -> dict[str, Tensor]:
        """A copy of the averaged weights, on the CPU."""
        return {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}
