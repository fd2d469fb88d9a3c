"""What the processes of one training know of each other: each has a share of every batch.

Everything here is the identity, and touches no number, in a training of one process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

T = TypeVar("T")


def ranks() -> int:
    """How many processes train together; 1 where none but this one does."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Which of them this is; the first is 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def share(count: int) -> slice:
    """The part of ``count`` things in a row that is this process's; parts differ by one at most, all are one row."""
    return slice(count * rank() // ranks(), count * (rank() + 1) // ranks())


@torch.no_grad()
def normaliser(amount: Tensor) -> Tensor:
    """What a process divides its sum of losses by, so that a step minimises the sum over the whole batch's amount.

    The gradients of the processes are averaged; so this is the mean of their amounts, the sum of which counts as at
    least 1.

    Args:
        amount: scalar, of this process's share: a number of objects, a sum of qualities.
    """
    if ranks() == 1:
        return amount.clamp(min=1)
    total = amount.clone()
    distributed.all_reduce(total)
    return total.clamp(min=1) / ranks()


def correction(amount: Tensor) -> Tensor | float:
    """What a loss that is divided by a process's own ``amount`` (or 1) is multiplied by; see :func:`normaliser`."""
    return 1.0 if ranks() == 1 else amount.clamp(min=1) / normaliser(amount)


def mean_over_ranks(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Scalars without gradient, each the mean of what the processes have under that name."""
    if ranks() == 1:
        return values
    row = torch.stack([value.detach().float() for value in values.values()])
    distributed.all_reduce(row)
    return dict(zip(values, row / ranks(), strict=True))


def gathered(own: T) -> list[T]:
    """What each process has, in their order; any object that can be pickled."""
    if ranks() == 1:
        return [own]
    everything: list[Any] = [None] * ranks()
    distributed.all_gather_object(everything, own)
    return everything


def computed_once(compute: Callable[[], T]) -> T:
    """What ``compute`` returns in the first process, for all: a decision on it is the same in each."""
    if ranks() == 1:
        return compute()
    result: list[Any] = [compute() if rank() == 0 else None]
    distributed.broadcast_object_list(result)
    return result[0]  # type: ignore[no-any-return]
