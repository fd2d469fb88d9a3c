"""What this machine has to run a model on, found out without loading a runtime for it."""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from dataclasses import dataclass

import onnxruntime

_DRIVERS = {"linux": "libcuda.so.1", "win32": "nvcuda.dll"}


@dataclass(frozen=True)
class Hardware:
    """The devices and runtimes that are there.

    Attributes:
        gpus: NVIDIA GPUs that the driver lets this process use.
        packages: of ``openvino`` and ``torch``, those that are installed.
        providers: of ONNX Runtime, as it was built.
    """

    gpus: int
    packages: frozenset[str]
    providers: frozenset[str]


def find_hardware(*, gpus: bool) -> Hardware:
    """Look, for GPUs only if told to. Takes milliseconds; nothing of torch and of CUDA is loaded but the driver."""
    packages = frozenset(name for name in ("openvino", "torch") if importlib.util.find_spec(name) is not None)
    return Hardware(_count_gpus() if gpus else 0, packages, frozenset(onnxruntime.get_available_providers()))


def _count_gpus() -> int:
    """How many GPUs the NVIDIA driver has for us; 0 without the driver."""
    try:
        driver = ctypes.CDLL(_DRIVERS.get(sys.platform, "libcuda"))
        count = ctypes.c_int(0)
        if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
            return 0
        return count.value
    except (OSError, AttributeError):
        return 0
