"""Weights from a hub that cannot be reached, with the hub's real client."""

from __future__ import annotations

from pathlib import Path

import pytest

from pindet.models.backbone import Backbone, BackboneWeightsError


def test_an_unreachable_hub_names_the_offline_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    backbone = Backbone("mobilenetv3_small_050", "hub")
    expected = r"the hub gives no weights of 'mobilenetv3_small_050': .*; set model\.backbone_weights to 'packaged'"
    with pytest.raises(BackboneWeightsError, match=expected):
        backbone.load_pretrained()
