"""The parts as height fields seen from above.

Lengths are in sample pixels (the image's pixels times the supersampling); ``u`` runs along a part's axis, ``v``
across it, both from its centre.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pindet.data.parts.noise import Field, ramp, triangle


@dataclass(frozen=True)
class Surface:
    """What the camera sees of one part, all ``[S, S]``.

    Attributes:
        height: of the surface above the belt, in sample pixels.
        mask: where the part is.
        turned: 0..1, how strongly lathe marks around the centre catch the light.
        rubber: where the surface is a rubber seal instead of metal.
        tone: factor of what the surface reflects (soot in grooves, the dark between balls).
    """

    height: Field
    mask: NDArray[np.bool_]
    turned: Field
    rubber: NDArray[np.bool_]
    tone: Field


Shape = Callable[[Field, Field], Surface]
"""From the coordinates ``u, v`` to the surface."""


def hex_bolt(rng: np.random.Generator, size: float) -> tuple[Shape, float]:
    """A bolt with a hexagonal head on its side; ``size`` is the thread diameter. Returns the shape and its radius."""
    flat = 0.5 * size * rng.uniform(1.6, 1.75)
    thickness = size * rng.uniform(0.62, 0.72)
    roll = rng.uniform(0, math.pi / 3)

    def head(s: Field, v: Field) -> tuple[Field, NDArray[np.bool_]]:
        height = np.full_like(v, flat * 2)
        for k in range(6):
            angle = roll + k * math.pi / 3
            if math.cos(angle) > 0.05:
                height = np.minimum(height, (flat - v * math.sin(angle)) / math.cos(angle))
        # The chamfer is a cone about the axis: it cuts an arc into each facet.
        cone = flat * 1.0 + np.minimum(s, thickness * 0.5) * 0.9
        corner = max(abs(math.sin(roll + (k + 0.5) * math.pi / 3)) for k in range(6)) * flat / math.cos(math.pi / 6)
        mask = (np.abs(v) < np.minimum(corner, cone)) & (s >= 0) & (s < thickness)
        return np.minimum(height, np.sqrt(np.maximum(cone * cone - v * v, 0))), mask

    return _fastener(rng, size, flat, thickness, head)


def socket_screw(rng: np.random.Generator, size: float) -> tuple[Shape, float]:
    """A screw with a knurled cylindrical head on its side; ``size`` is the thread diameter."""
    radius = 0.5 * size * rng.uniform(1.48, 1.6)
    thickness = size * rng.uniform(0.95, 1.1)
    teeth = rng.integers(13, 19)
    smooth_part = rng.uniform(0.2, 0.35) * thickness

    def head(s: Field, v: Field) -> tuple[Field, NDArray[np.bool_]]:
        edge = radius - np.maximum(radius * 0.14 - s, 0)
        around = np.arcsin(np.clip(v / radius, -1, 1)) * np.float32(teeth / math.pi)
        knurl = triangle(around) * (s < thickness - smooth_part) * (s > radius * 0.2)
        edge = edge - knurl * radius * 0.07
        mask = (np.abs(v) < edge) & (s >= 0) & (s < thickness)
        return np.sqrt(np.maximum(edge * edge - v * v, 0)), mask

    return _fastener(rng, size, radius, thickness, head)


def _fastener(
    rng: np.random.Generator,
    size: float,
    head_radius: float,
    head_length: float,
    head: Callable[[Field, Field], tuple[Field, NDArray[np.bool_]]],
) -> tuple[Shape, float]:
    """A shank with a thread behind ``head(s, v)``, which gives height above the axis and mask at ``s`` from its end."""
    radius = size / 2
    length = size * rng.uniform(2.4, 5.2)
    threaded = length * (1.0 if rng.random() < 0.45 else rng.uniform(0.45, 0.75))
    pitch, depth = size * rng.uniform(0.2, 0.25), size * rng.uniform(0.06, 0.08)
    skew = pitch / (2 * size)
    total = head_length + length

    def shape(u: Field, v: Field) -> Surface:
        s = u + total / 2
        x = s - head_length
        in_thread = x > length - threaded
        groove = triangle((x + skew * v) / pitch) * in_thread
        r = radius - depth * groove - np.maximum(x - (length - size * 0.16), 0)
        shank = (np.abs(v) < r) & (x >= 0) & (x < length)
        top, cap = head(s, v)
        axis = radius + (head_radius - radius) * np.clip(1 - s / total, 0, 1)  # it leans on its head
        height = np.where(cap, axis + top, np.where(shank, axis + np.sqrt(np.maximum(r * r - v * v, 0)), 0))
        tone = np.where(cap, 1, 1 - 0.55 * groove * groove - 0.25 * ramp(x, size * 0.25, 0)).astype(np.float32)
        none = np.zeros_like(cap)
        return Surface(height.astype(np.float32), cap | shank, np.zeros_like(u), none, tone)

    return shape, math.hypot(total / 2, head_radius * 1.2)


def hex_nut(rng: np.random.Generator, size: float) -> tuple[Shape, float]:
    """A nut lying flat; ``size`` is its width across flats."""
    flat = size / 2
    bore = flat * rng.uniform(0.5, 0.6)
    thickness = size * rng.uniform(0.42, 0.5)
    chamfer = flat * rng.uniform(0.97, 1.04)

    def shape(u: Field, v: Field) -> Surface:
        r = np.sqrt(u * u + v * v)
        across = np.zeros_like(u)
        for k in range(3):
            across = np.maximum(across, np.abs(u * math.cos(k * math.pi / 3) + v * math.sin(k * math.pi / 3)))
        height = np.minimum(thickness, thickness + (chamfer - r) * 0.58)
        height = np.minimum(height, thickness + (r - bore * 1.17) * 1.1)
        threads = 0.35 + 0.65 * triangle((r - bore) / (flat * 0.055))
        tone = np.where(r < bore * 1.17, threads * 0.75, 1).astype(np.float32)
        face = ramp(r, chamfer, chamfer * 0.97) * ramp(r, bore * 1.14, bore * 1.2)
        mask = (across < flat) & (r > bore)
        return Surface((height * mask).astype(np.float32), mask, face, np.zeros_like(mask), tone)

    return shape, flat / math.cos(math.pi / 6)


def washer(rng: np.random.Generator, size: float) -> tuple[Shape, float]:
    """A plain washer or, now and then, a split spring washer; ``size`` is its outer diameter."""
    outer = size / 2
    split = rng.random() < 0.3
    bore = outer * (rng.uniform(0.6, 0.66) if split else rng.uniform(0.42, 0.56))
    thickness = size * (0.1 if split else rng.uniform(0.05, 0.08))
    gap = outer * rng.uniform(0.05, 0.09)

    def shape(u: Field, v: Field) -> Surface:
        r = np.sqrt(u * u + v * v)
        rim = np.minimum(outer - r, r - bore)
        height = thickness * ramp(rim, -0.5, outer * (0.16 if split else 0.05))
        mask = (r < outer) & (r > bore)
        if split:
            height += np.float32(thickness * 0.8) * triangle(np.arctan2(v, u) / np.float32(2 * math.pi) + 0.5)
            mask &= (np.abs(v + u * 0.35) > gap) | (u < 0)
        turned = np.full_like(u, 0.45 if split else 0.9)
        return Surface((height * mask).astype(np.float32), mask, turned, np.zeros_like(mask), np.ones_like(u))

    return shape, outer


def bearing(rng: np.random.Generator, size: float) -> tuple[Shape, float]:
    """A ball bearing lying flat: open, shielded or sealed; ``size`` is its outer diameter."""
    outer = size / 2
    bore = outer * rng.uniform(0.36, 0.48)
    wall = (outer - bore) * rng.uniform(0.22, 0.27)
    thickness = size * rng.uniform(0.24, 0.3)
    kind = ("open", "shielded", "sealed")[rng.integers(3)]
    balls = int(rng.integers(7, 10))

    def shape(u: Field, v: Field) -> Surface:
        r = np.sqrt(u * u + v * v)
        mask = (r < outer) & (r > bore)
        inside = (r > bore + wall) & (r < outer - wall)
        rim = np.minimum(np.minimum(outer - r, r - bore), np.maximum(r - outer + wall, bore + wall - r))
        height = thickness - np.maximum(outer * 0.06 - rim, 0) * 0.8
        tone = np.ones_like(u)
        if kind == "open":
            cage, shade = _balls(u, v, r, (bore + outer) / 2, (outer - bore - 2 * wall) * 0.52, balls)
            height = np.where(inside, thickness * 0.35 + cage, height)
            tone = np.where(inside, shade, tone)
        else:
            width = outer - bore - 2 * wall
            edge = np.minimum(r - bore - wall, outer - wall - r)
            height = np.where(inside, thickness * 0.9 - 0.06 * width * triangle(edge / (width * 0.5)), height)
            tone = np.where(inside & (edge < outer * 0.035), 0.3, tone)
        turned = np.where(inside, 0.35 if kind == "shielded" else 0.0, 0.8).astype(np.float32)
        rubber = inside if kind == "sealed" else np.zeros_like(inside)
        return Surface((height * mask).astype(np.float32), mask, turned, rubber, tone.astype(np.float32))

    return shape, outer


def _balls(u: Field, v: Field, r: Field, orbit: float, radius: float, count: int) -> tuple[Field, Field]:
    """Heights and tones of ``count`` balls on a circle of radius ``orbit``, and of the cage between them."""
    height = radius * 0.45 * ramp(np.abs(r - orbit), radius * 0.62, radius * 0.45)
    tone = 0.18 + 0.4 * ramp(np.abs(r - orbit), radius * 0.62, radius * 0.45)
    for k in range(count):
        angle = 2 * math.pi * k / count
        dx, dy = u - orbit * math.cos(angle), v - orbit * math.sin(angle)
        squared = radius * radius - dx * dx - dy * dy
        height = np.where(squared > 0, np.sqrt(np.maximum(squared, 0)), height)
        tone = np.where(squared > 0, 0.35 + 0.65 * np.minimum(squared / (0.4 * radius * radius), 1), tone)
    return height, tone


SHAPES: dict[str, tuple[Callable[[np.random.Generator, float], tuple[Shape, float]], float, float]] = {
    "bearing": (bearing, 40, 74),
    "hex_bolt": (hex_bolt, 13, 20),
    "hex_nut": (hex_nut, 28, 48),
    "socket_screw": (socket_screw, 13, 20),
    "washer": (washer, 30, 58),
}
"""Class name to the maker of its shape and its smallest and largest ``size``, in pixels of an image 416 wide."""
