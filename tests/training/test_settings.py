"""Settings say which value is wrong, and what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from pindet.training.runtime import Runtime
from pindet.training.settings import TrainingSettings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("lr", 0.0),
        ("weight_decay", -0.1),
        ("warmup", 1.0),
        ("precision", "fp16"),
        ("frozen_stages", -1),
        ("ema_decay", 1.0),
        ("max_gradient_norm", 0.0),
        ("validate_every", 0),
        ("patience", -1),
    ],
)
def test_a_wrong_setting_is_named(settings: Callable[..., TrainingSettings], name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"training\.{name} is {value!r}; .* is allowed"):
        settings(**{name: value})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"accelerator": "tpu"}, r"accelerator is 'tpu'; one of \('cpu', 'gpu'\)"),
        ({"devices": 0}, "devices is 0; at least 1 is allowed"),
        ({"workers": -1}, "workers is -1"),
    ],
)
def test_a_wrong_runtime_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Runtime(**({"accelerator": "cpu", "devices": 1, "workers": 0} | wrong))


def test_a_missing_gpu_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"finds no CUDA device .*; set runtime\.accelerator=cpu"):
        Runtime(accelerator="gpu", devices=1, workers=0)


def test_more_gpus_than_there_are_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match=r"devices is 3, and this machine has 2 GPUs"):
        Runtime(accelerator="gpu", devices=3, workers=0)
