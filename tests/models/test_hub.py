"""Weights from a hub that cannot be reached, with the hub's real client."""

from __future__ import annotations

import socket
import urllib.request
from pathlib import Path

import pytest
from huggingface_hub import constants

from pindet.models.backbone import Backbone, BackboneWeightsError
from pindet.models.hub import within_reach


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> str:
    """The hub is an address where nobody listens; returns it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{probe.getsockname()[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(urllib.request, "getproxies", dict)
    return endpoint


def test_an_unreachable_hub_names_the_offline_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    backbone = Backbone("mobilenetv3_small_050", "hub")
    expected = (
        rf"the hub gives no weights of 'mobilenetv3_small_050': {closed} does not answer \(Connection refused\), and "
        r"they are not in the local cache; set model\.backbone_weights to 'packaged'"
    )
    with pytest.raises(BackboneWeightsError, match=expected):
        backbone.load_pretrained()
    assert not constants.HF_HUB_OFFLINE


@pytest.mark.usefixtures("closed")
def test_without_an_answer_the_client_uses_its_cache_alone() -> None:
    with within_reach():
        assert constants.HF_HUB_OFFLINE
    assert not constants.HF_HUB_OFFLINE


def test_behind_a_proxy_the_client_is_left_to_try(monkeypatch: pytest.MonkeyPatch, closed: str) -> None:
    monkeypatch.setattr(urllib.request, "getproxies", lambda: {"http": closed})
    with within_reach():
        assert not constants.HF_HUB_OFFLINE
