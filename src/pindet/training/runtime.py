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
        devices: how many of this machine, each with a training process; more than one share each batch.
        workers: processes that load samples for each training process; 0 loads them in that process.

    Raises:
        ValueError: a value outside what is allowed, or a device that this machine does not have.
    """

    accelerator: str
    devices: int
    workers: int

    @property
    def torch_device(self) -> str:
        """What torch calls the accelerator."""
        return "cuda" if self.accelerator == "gpu" else "cpu"

    def __post_init__(self) -> None:
        if self.accelerator not in ACCELERATORS:
            raise ValueError(f"runtime.accelerator is {self.accelerator!r}; one of {ACCELERATORS} is allowed")
        if self.devices < 1:
            raise ValueError(f"runtime.devices is {self.devices}; at least 1 is allowed")
        if self.workers < 0:
            raise ValueError(f"runtime.workers is {self.workers}; at least 0 is allowed")
        if self.accelerator == "gpu" and not torch.cuda.is_available():
            raise ValueError(
                "runtime.accelerator is 'gpu', and torch finds no CUDA device on this machine; "
                "set runtime.accelerator=cpu, or install a driver and a torch build for this GPU"
            )
        if self.accelerator == "gpu" and self.devices > torch.cuda.device_count():
            raise ValueError(
                f"runtime.devices is {self.devices}, and this machine has {torch.cuda.device_count()} GPUs; "
                "so many or fewer are allowed"
            )
