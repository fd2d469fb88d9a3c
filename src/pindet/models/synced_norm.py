"""BatchNorm whose statistics are those of the whole batch, of which each process of a training has a share.

torch's own ``SyncBatchNorm`` needs a GPU, and is taken there; this one computes the same on a CPU.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

PLACES = (0, 2, 3)
"""The dimensions of ``[N, C, H, W]`` that a channel's statistics are of."""


def synchronise_norms(model: nn.Module, device_type: str) -> None:
    """Replace each ``BatchNorm2d`` in training mode by one that all processes share, in place.

    Those in evaluation mode (a backbone's, whose statistics stay as they are) are left alone. Names in the state stay.

    Args:
        device_type: ``cpu`` or ``cuda``.
    """
    kind = SyncedBatchNorm2d if device_type == "cpu" else nn.SyncBatchNorm
    norms = [(n, m) for n, m in model.named_modules() if type(m) is nn.BatchNorm2d and m.training]
    for name, norm in norms:
        synced = kind(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        synced.to(next(iter(norm.state_dict().values())).device)
        synced.load_state_dict(norm.state_dict())
        for own, former in zip(synced.parameters(), norm.parameters(), strict=True):
            own.requires_grad_(former.requires_grad)
        model.set_submodule(name, synced)


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """``BatchNorm2d`` over the shares of all processes; see :class:`torch.nn.BatchNorm2d` for the arguments."""

    def forward(self, features: Tensor) -> Tensor:
        """Normalise ``[N, C, H, W]``, ``N`` at least 1, by the statistics of all processes' features."""
        if not self.training:
            return super().forward(features)
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        mean, variance, count = _statistics(features.detach())
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / max(count - 1, 1)), self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        statistics = (mean, variance, count)
        normalised: Tensor = _Normalise.apply(features, self.weight, self.bias, statistics, self.eps)
        return normalised


def _statistics(features: Tensor) -> tuple[Tensor, Tensor, float]:
    """Mean and variance ``[C]``, float32, of all processes' features, and of how many places they are.

    Joined from each process's own (Chan, Golub & LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing
    Sample Variances", 1979): sums of squares over all would cancel.
    """
    count = features.numel() / features.shape[1]
    variance, mean = torch.var_mean(features.float(), PLACES, correction=0)
    own = torch.cat([mean.double(), variance.double(), mean.new_tensor([count], dtype=torch.float64)])
    rows = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(rows, own)
    means, variances, counts = torch.split(torch.stack(rows), [len(mean), len(mean), 1], 1)
    weights = counts / counts.sum()
    joined = (weights * means).sum(0)
    spread = (weights * (variances + (means - joined) ** 2)).sum(0)
    return joined.float(), spread.float(), float(counts.sum())


class _Normalise(torch.autograd.Function):
    """Scale and shift by statistics that depend on the features of every process (Ioffe & Szegedy, ICML 2015)."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, statistics: tuple[Tensor, Tensor, float], eps: float
    ) -> Tensor:
        mean, variance, ctx.count = statistics
        ctx.save_for_backward(features, weight, mean, torch.rsqrt(variance + eps))
        return functional.batch_norm(features, mean, variance, weight, bias, training=False, eps=eps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        features, weight, mean, inverse = ctx.saved_tensors
        gradient = gradients[0].float()
        normal = (features.float() - _spread(mean)) * _spread(inverse)
        of_bias, of_weight = gradient.sum(PLACES), (gradient * normal).sum(PLACES)
        sums = torch.stack([of_bias, of_weight])  # the gradients of weight and bias are averaged like all others
        distributed.all_reduce(sums)
        shift, slope = sums / ctx.count
        of_features = (gradient - _spread(shift) - normal * _spread(slope)) * _spread(weight * inverse)
        return of_features.to(features.dtype), of_weight, of_bias, None, None


def _spread(channels: Tensor) -> Tensor:
    return channels[:, None, None]
