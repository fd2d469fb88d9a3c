"""A trained model on disk and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pindet.models.pindet import Pindet
from pindet.models.store import StoredModelError, load_trained, save_trained

CLASSES = ["no", "人", "1e3"]


def save(folder: Path, model: Pindet, config: dict[str, Any]) -> tuple[Path, Path]:
    paths = folder / "models" / "weights.safetensors", folder / "models" / "architecture.json"
    save_trained(*paths, model, {"_target_": "pindet.models.pindet.Pindet", **config}, CLASSES)
    return paths


def test_round_trip(tmp_path: Path, tiny: Callable[..., Pindet], tiny_config: dict[str, Any]) -> None:
    model = tiny().eval()
    trained = load_trained(*save(tmp_path, model, tiny_config))
    assert trained.classes == CLASSES
    assert not trained.model.training
    images = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)
    with torch.inference_mode():
        for seen, expected in zip(trained.model.candidates(images), model.candidates(images), strict=True):
            assert torch.equal(seen, expected)


def test_the_same_model_gives_the_same_bytes(
    tmp_path: Path, tiny: Callable[..., Pindet], tiny_config: dict[str, Any]
) -> None:
    model = tiny()
    first = [path.read_bytes() for path in save(tmp_path / "a", model, tiny_config)]
    model.to(memory_format=torch.channels_last)
    assert [path.read_bytes() for path in save(tmp_path / "b", model, tiny_config)] == first
    assert sorted(p.name for p in (tmp_path / "a" / "models").iterdir()) == ["architecture.json", "weights.safetensors"]


def test_loading_needs_no_pretrained_file(
    tmp_path: Path, tiny: Callable[..., Pindet], tiny_config: dict[str, Any]
) -> None:
    paths = save(tmp_path, tiny(), tiny_config | {"backbone_weights": str(tmp_path / "gone.pth")})
    assert load_trained(*paths).classes == CLASSES


def test_what_does_not_load_is_named(tmp_path: Path, tiny: Callable[..., Pindet], tiny_config: dict[str, Any]) -> None:
    weights, architecture = save(tmp_path, tiny(), tiny_config)
    content = architecture.read_text("utf-8")
    wider = json.loads(content)
    wider["model"]["neck_channels"] = 24
    for text, message in (
        (content[:-20], "no architecture file"),
        ("{}", "no architecture file"),
        (json.dumps(wider), "do not make a model"),
        (content.replace("pindet.Pindet", "pindet.Absent"), "do not make a model"),
    ):
        architecture.write_text(text, "utf-8")
        with pytest.raises(StoredModelError, match=message):
            load_trained(weights, architecture)
    architecture.write_text(content, "utf-8")
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(StoredModelError, match="do not make a model"):
        load_trained(weights, architecture)
    weights.unlink()
    with pytest.raises(StoredModelError, match=r"weights\.safetensors is missing"):
        load_trained(weights, architecture)


def test_class_names_must_fit(tmp_path: Path, tiny: Callable[..., Pindet], tiny_config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"3 class names .* for a model of 2"):
        save(tmp_path, tiny(num_classes=2), tiny_config)
