"""The default computes in what the device is fast in; what was asked for by name is done, and said where it is slow."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pindet.data.prepared import PreparedSplit
from pindet.models.pindet import Pindet
from pindet.training.precision import precision_on
from pindet.training.runtime import Runtime
from pindet.training.settings import TrainingSettings
from pindet.training.train import train


def processor(monkeypatch: pytest.MonkeyPatch, **capabilities: object) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "cpu_name": "some"} | capabilities)


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({}, "fp32"),
        ({"avx512_f": True, "avx512_bf16": False}, "fp32"),
        ({"avx512_bf16": True}, "bf16"),
        ({"avx512_bf16": False, "amx_bf16": True}, "bf16"),
        ({"architecture": "aarch64", "bf16": True}, "bf16"),
    ],
)
def test_auto_is_what_the_processor_has_instructions_for(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, object], expected: str
) -> None:
    processor(monkeypatch, **capabilities)
    assert precision_on("cpu", "auto") == expected
    assert precision_on("cpu", "fp32") == "fp32"


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_on_a_gpu(monkeypatch: pytest.MonkeyPatch, native: bool, expected: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native or including_emulation)
    assert precision_on("gpu", "auto") == expected


def test_what_was_asked_for_is_done_and_said_where_it_is_slow(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        processor(monkeypatch, avx512_bf16=True)
        assert precision_on("cpu", "bf16") == "bf16"
        assert not caplog.records
        processor(monkeypatch)
        assert precision_on("cpu", "bf16") == "bf16"
    assert "fp32 or auto would be several times faster" in caplog.text


def test_a_training_tells_what_it_computed_in(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    model: Callable[..., Pindet],
    settings: Callable[..., TrainingSettings],
    splits: tuple[PreparedSplit, PreparedSplit],
    runtime: Runtime,
) -> None:
    chosen = settings(precision="auto", epochs=1)
    weights = {}
    for capable, expected in ((False, "fp32"), (True, "bf16")):
        processor(monkeypatch, avx512_bf16=capable)
        result = train(model(), chosen, *splits, seed=0, runtime=runtime, resume=tmp_path / expected)
        assert result.precision == expected
        weights[expected] = torch.cat([value.flatten().float() for value in result.state_dict.values()])
    assert not torch.equal(weights["fp32"], weights["bf16"])
