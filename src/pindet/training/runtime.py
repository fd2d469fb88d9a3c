"""Where a model is trained. Nothing here changes the result beyond rounding, so no stage tracks it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

ACCELERATORS = ("cpu", "gpu")


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """The device and the processes that load data.

    Args:
        accelerator: ``cpu`` or ``gpu``; never chosen silently.
        devices: how many; 1.
        workers: processes that load samples; 0 loads them in the training process.

    Raises:
        ValueError: a value outside what is allowed, or a device that this machine does not have.
    """

    accelerator: str
    devices: int
    workers: int

    def __post_init__(self) -> None:
        if self.accelerator not in ACCELERATORS:
            raise ValueError(f"runtime.accelerator is {self.accelerator!r}; one of {ACCELERATORS} is allowed")
        if self.devices != 1:
            raise ValueError(f"runtime.devices is {self.devices}; training uses one device, 1 is allowed")
        if self.workers < 0:
            raise ValueError(f"runtime.workers is {self.workers}; at least 0 is allowed")
        if self.accelerator == "gpu" and not torch.cuda.is_available():
            raise ValueError(
                "runtime.accelerator is 'gpu', and torch finds no CUDA device on this machine; "
                "set runtime.accelerator=cpu, or install a driver and a torch build for this GPU"
            )
