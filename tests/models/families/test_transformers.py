"""Detection transformers: the library's own answers, and its weights from a folder or an unreachable hub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pindet.models import transformers_inference
from pindet.models.contract import DetectionModel
from pindet.models.transformers_inference import infer
from pindet.models.transformers_weights import PretrainedWeightsError

Build = Callable[..., DetectionModel]
IMAGES = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["rtdetr_v2", "dfine", "dfine_own"])
def test_inference_is_the_librarys(build: Build, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    # Fresh layers make many places equal; of those the library takes any.
    monkeypatch.setattr(transformers_inference, "best_first", lambda scores, count: scores.topk(count, dim=1).indices)
    model: Any = build(name).eval()
    with torch.inference_mode():
        pixels = model._pixels(IMAGES)
        whole = model.network(pixel_values=pixels)
        logits, boxes = infer(model.network, pixels)
    torch.testing.assert_close(logits, whole.logits)
    torch.testing.assert_close(boxes, whole.pred_boxes)


def library_network(model: Any) -> Any:
    """A whole network of the library, of the same shape, with random weights."""
    return model._library.network_class(model._full_config())


@pytest.mark.parametrize("name", ["rtdetr_v2_own", "dfine_own"])
def test_weights_come_from_a_folder_and_the_classes_are_ones_own(build: Build, name: str, tmp_path: Path) -> None:
    torch.manual_seed(5)
    stored = library_network(build(name, num_classes=8))
    stored.save_pretrained(tmp_path)
    model: Any = build(name, weights=str(tmp_path))
    state, theirs = model.network.state_dict(), stored.state_dict()
    for key in ("model.encoder_input_proj.0.0.weight", "model.decoder.bbox_embed.1.layers.2.weight"):
        assert torch.equal(state[key], theirs[key])
    assert state["model.decoder.class_embed.0.weight"].shape[0] == 3
    again: Any = build(name, weights=str(tmp_path))
    assert all(torch.equal(value, again.network.state_dict()[key]) for key, value in state.items())
    model.freeze(1)
    assert not any(p.requires_grad for p in model.network.model.backbone.model.embedder.parameters())


def test_weights_of_another_shape_or_place_are_refused(build: Build, tmp_path: Path) -> None:
    library_network(build("dfine_own")).save_pretrained(tmp_path)
    wider = build("dfine_own", config=build("dfine_own")._config | {"decoder_ffn_dim": 48})  # type: ignore[operator]
    wider._weights = str(tmp_path)  # type: ignore[assignment]
    with pytest.raises(PretrainedWeightsError, match=r"does not fit model.config: \d+ tensors differ"):
        wider.load_pretrained()
    with pytest.raises(PretrainedWeightsError, match=r"config.json does not exist; offline, set model.weights"):
        build("dfine_own", weights=str(tmp_path / "absent"))
    (tmp_path / "model.safetensors").write_bytes(b"rubbish")
    with pytest.raises(PretrainedWeightsError, match="holds no weights that can be read"):
        build("dfine_own", weights=str(tmp_path))


def test_an_unreachable_hub_names_the_offline_choice(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(PretrainedWeightsError, match=r"the hub gives no weights: .*; offline, set model.weights to a"):
        build("rtdetr_v2_own", weights="hub:nobody/rtdetr")


def test_random_stages_are_not_frozen(build: Build) -> None:
    with pytest.raises(ValueError, match="2 stages to freeze, and weights is 'none': they would stay random; freeze 0"):
        build("rtdetr_v2_own").freeze(2)
    build("rtdetr_v2_own").freeze(0)
