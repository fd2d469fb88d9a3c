"""The parts' height fields."""

from __future__ import annotations

import numpy as np
import pytest

from pindet.data.parts.shapes import SHAPES


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("label", sorted(SHAPES))
def test_a_part_lies_within_its_radius_and_above_the_belt(label: str, number: int) -> None:
    make, smallest, largest = SHAPES[label]
    shape, radius = make(np.random.default_rng(number), 2 * (smallest + largest) / 2)
    half = int(radius) + 8
    v, u = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float32)
    surface = shape(u, v)
    far = np.hypot(u, v) > radius + 1
    assert surface.mask.any()
    assert not (surface.mask & far).any()
    assert np.isfinite(surface.height).all()
    assert (surface.height[surface.mask] >= 0).all()
    assert surface.height.dtype == surface.tone.dtype == surface.turned.dtype == np.float32
    has_bore = label in ("bearing", "hex_nut", "washer")
    assert surface.mask[half, half] != has_bore
