"""Tiny models of every family but the default one, and a few pictures that they are trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hydra.utils
import numpy as np
import pytest
import torch
from PIL import Image

from pindet.data.prepare import prepare
from pindet.data.prepared import PreparedSplit
from pindet.data.records import Item, RawBox, Rejection
from pindet.models.contract import DetectionModel

SIZE = {"image_height": 64, "image_width": 96}
BACKBONE = {"backbone": "test_efficientnet", "backbone_weights": "none"}
QUERIES: dict[str, Any] = {
    "d_model": 32,
    "encoder_hidden_dim": 32,
    "encoder_ffn_dim": 32,
    "encoder_attention_heads": 4,
    "decoder_in_channels": [32, 32, 32],
    "decoder_ffn_dim": 32,
    "decoder_attention_heads": 4,
    "decoder_layers": 2,
    "hidden_expansion": 0.5,
    "num_queries": 30,
    "num_denoising": 10,
}
OWN_BACKBONES: dict[str, dict[str, Any]] = {
    "rt_detr_v2": {
        "model_type": "rt_detr_resnet",
        "embedding_size": 8,
        "hidden_sizes": [8, 16, 16, 24],
        "depths": [1, 1, 1, 1],
        "layer_type": "basic",
        "out_indices": [2, 3, 4],
    },
    "d_fine": {
        "model_type": "hgnet_v2",
        "stem_channels": [3, 8, 8],
        "stage_in_channels": [8, 8, 16, 16],
        "stage_mid_channels": [8, 8, 8, 8],
        "stage_out_channels": [8, 16, 16, 24],
        "stage_num_blocks": [1, 1, 1, 1],
        "stage_numb_of_layers": [1, 1, 1, 1],
        "hidden_sizes": [8, 16, 16, 24],
        "out_indices": [2, 3, 4],
    },
}


def _detr(architecture: str, *, own: bool) -> dict[str, Any]:
    backbone = {"backbone": "own", "backbone_weights": "none"} if own else BACKBONE
    described = {"backbone_config": OWN_BACKBONES[architecture], "encoder_in_channels": [16, 16, 24]} if own else {}
    return {
        "_target_": "pindet.models.transformers_detr.TransformersDetr",
        **SIZE,
        **backbone,
        "architecture": architecture,
        "weights": "none",
        "config": QUERIES | described | ({"depth_mult": 0.34} if architecture == "d_fine" else {}),
    }


CONFIGS: dict[str, dict[str, Any]] = {
    "fcos": {
        "_target_": "pindet.models.torchvision_fcos.TorchvisionFcos",
        **SIZE,
        **BACKBONE,
        "pyramid_channels": 64,
        "head_blocks": 1,
    },
    "faster_rcnn": {
        "_target_": "pindet.models.torchvision_faster_rcnn.TorchvisionFasterRcnn",
        **SIZE,
        **BACKBONE,
        "pyramid_channels": 16,
        "head_channels": 32,
        "anchor_sizes": [12, 24, 48, 96],
        "proposals": 40,
    },
    "rtdetr_v2": _detr("rt_detr_v2", own=False),
    "rtdetr_v2_own": _detr("rt_detr_v2", own=True),
    "dfine": _detr("d_fine", own=False),
    "dfine_own": _detr("d_fine", own=True),
}


class Blocks:
    """A red and a blue block on noise, in pictures of three splits."""

    classes = ("blue", "red")

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.classes = list(Blocks.classes)  # type: ignore[assignment]

    def read(self) -> Iterator[Item | Rejection]:
        for split, count in {"train": 6, "val": 2, "test": 3}.items():
            for number in range(count):
                yield self._item(split, number)

    def _item(self, split: str, number: int) -> Item:
        rng = np.random.default_rng([len(split), number])
        pixels = rng.integers(90, 140, (64, 96, 3), np.uint8)
        boxes = []
        for position, (name, colour) in enumerate({"blue": (30, 30, 220), "red": (220, 30, 30)}.items()):
            x, y = 48 * position + int(rng.integers(0, 20)), int(rng.integers(0, 36))
            pixels[y : y + 28, x : x + 28] = colour
            boxes.append(RawBox(name, float(x), float(y), float(x + 28), float(y + 28)))
        path = self._folder / f"{split}-{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        return Item(path.name, path.read_bytes, boxes, split)


@pytest.fixture(scope="session")
def splits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PreparedSplit]:
    """Prepared pictures: training, validation and test split."""
    folder = tmp_path_factory.mktemp("blocks")
    options = {"seed": 0, "val_fraction": 0.1, "test_fraction": 0.1, "shard_count": 1, "max_rejected": 0}
    prepare(Blocks(folder / "raw"), folder / "prepared", **options)  # type: ignore[arg-type]
    return {name: PreparedSplit(folder / "prepared", name) for name in ("train", "val", "test")}


@pytest.fixture(scope="session")
def configs() -> dict[str, dict[str, Any]]:
    """What ``architecture.json`` would hold of each model."""
    pytest.importorskip("transformers", reason="the package transformers is not installed")
    return CONFIGS


@pytest.fixture
def build(configs: dict[str, dict[str, Any]]) -> Callable[..., DetectionModel]:
    """Builds a model of that name, initialised; with arguments replaced."""

    def made(name: str, *, num_classes: int = 3, seed: int = 0, **replaced: Any) -> DetectionModel:
        config = configs[name] | replaced
        model: DetectionModel = hydra.utils.instantiate(config, num_classes=num_classes, _convert_="all")
        model.initialise(seed)
        return model

    return made


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny convolutions are faster on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
