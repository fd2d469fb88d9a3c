"""Starting values of networks that know how to initialise themselves, and only when they are built."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


def initialise_by_building(network: nn.Module, build: Callable[[], nn.Module], seed: int) -> None:
    """Give a network the values of one that is built anew, as a function of ``seed`` alone.

    Args:
        network: changed in place.
        build: makes a network of the same layers, with random values.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = build()
    network.load_state_dict(fresh.state_dict())
