"""A detector small enough to build in a moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pindet.models.pindet import Pindet

TINY: dict[str, Any] = {
    "image_height": 64,
    "image_width": 96,
    "backbone": "test_efficientnet",
    "backbone_weights": "none",
    "neck_channels": 16,
    "neck_blocks": 1,
    "head_blocks": 1,
    "distance_bins": 8,
}


@pytest.fixture
def tiny_config() -> dict[str, Any]:
    """Arguments of a tiny model, without ``num_classes``."""
    return dict(TINY)


@pytest.fixture
def tiny() -> Callable[..., Pindet]:
    """Builds a tiny initialised model of three classes, with arguments replaced."""

    def build(**replaced: Any) -> Pindet:
        model = Pindet(**(TINY | {"num_classes": 3} | replaced))
        model.initialise(0)
        return model

    return build
