"""Which floating-point format a training computes in."""

from __future__ import annotations

import logging
from typing import Literal

import torch

logger = logging.getLogger(__name__)

Precision = Literal["bf16", "fp32"]

BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")
"""What ``torch.cpu.get_capabilities`` calls them on x86-64 and on Arm."""


def precision_on(accelerator: str, asked: Literal["auto", "bf16", "fp32"]) -> Precision:
    """Return the format that was asked for; for ``auto`` the one that the device is fastest in.

    A processor without instructions for bfloat16 emulates them and takes several times as long as in 32 bits; that is
    done only where ``bf16`` was asked for by name, and said.

    Args:
        accelerator: ``cpu`` or ``gpu``.
        asked: ``training.precision``.
    """
    fast = _has_bf16(accelerator)
    if asked == "auto":
        if not fast:
            logger.info("training in fp32: this %s has no instructions for bf16", _called(accelerator))
        return "bf16" if fast else "fp32"
    if asked == "bf16" and not fast:
        logger.warning(
            "training.precision is bf16, which this %s has no instructions for: fp32 or auto would be several times "
            "faster",
            _called(accelerator),
        )
    return asked


def _has_bf16(accelerator: str) -> bool:
    if accelerator == "gpu":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in BF16_INSTRUCTIONS)


def _called(accelerator: str) -> str:
    return "GPU" if accelerator == "gpu" else "processor"
