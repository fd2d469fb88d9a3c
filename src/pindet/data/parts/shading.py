"""Light on metal: reflections of lamps and room, lathe marks, wear."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pindet.data.parts.noise import Field, grain, ramp, smooth
from pindet.data.parts.shapes import Surface

Colour = NDArray[np.float32]
"""Linear light, float32 ``[H, W, 3]`` RGB; 1 is white paper in full light."""


@dataclass(frozen=True)
class Light:
    """The lamps of one scene.

    Attributes:
        key: unit vector from the belt towards the main lamp; x right, y down, z to the camera.
        tube: unit vector in the plane of the belt, across a tube lamp that hangs above.
        tube_offset: where that lamp hangs, as a sine from the zenith.
        tube_strength: its brightness.
        ambient: brightness of the room.
    """

    key: NDArray[np.float32]
    tube: NDArray[np.float32]
    tube_offset: float
    tube_strength: float
    ambient: float


@dataclass(frozen=True)
class Finish:
    """Colour of the reflections, and their polish: 0 dull .. 1 bright."""

    colour: tuple[float, float, float]
    polish: float


FINISHES = {
    "zinc": Finish((0.66, 0.69, 0.73), 0.7),
    "steel": Finish((0.6, 0.58, 0.55), 0.85),
    "nickel": Finish((0.74, 0.71, 0.64), 0.95),
    "brass": Finish((0.72, 0.53, 0.22), 0.8),
    "yellow zinc": Finish((0.66, 0.57, 0.36), 0.6),
    "black oxide": Finish((0.13, 0.13, 0.14), 0.6),
}


def random_light(rng: np.random.Generator) -> Light:
    """Draw the lamps of a scene."""
    turn = rng.uniform(0, 2 * np.pi)
    lean = rng.uniform(0.4, 1.1)
    key = np.array([np.cos(turn) * lean, np.sin(turn) * lean, 1.0])
    cross = rng.uniform(0, np.pi)
    tube = np.array([np.cos(cross), np.sin(cross)])
    return Light(
        (key / np.linalg.norm(key)).astype(np.float32),
        tube.astype(np.float32),
        float(rng.uniform(-0.4, 0.4)),
        float(rng.uniform(0.4, 1.0)),
        float(rng.uniform(0.12, 0.24)),
    )


def shade(rng: np.random.Generator, surface: Surface, finish: Finish, light: Light, u: Field, v: Field) -> Colour:
    """Light that ``surface`` sends to the camera, ``[S, S, 3]``; outside its mask it means nothing."""
    size = u.shape[0]
    gx = cv2.Sobel(surface.height, cv2.CV_32F, 1, 0, scale=0.125)
    gy = cv2.Sobel(surface.height, cv2.CV_32F, 0, 1, scale=0.125)
    dents = cv2.GaussianBlur(grain(rng, size, size), (0, 0), 1.6) * 0.09
    gx, gy = gx + dents, gy + np.roll(dents, 7, 0)
    nz = 1 / np.sqrt(1 + gx * gx + gy * gy)
    nx, ny = -gx * nz, -gy * nz
    rx, ry, rz = 2 * nz * nx, 2 * nz * ny, 2 * nz * nz - 1
    polish = finish.polish
    room = light.ambient * (0.55 + 0.9 * np.maximum(rz, 0)) + 0.1 * np.maximum(-rz, 0)
    lamp = 1 / np.square(1 + (3 + 9 * polish) * (1 - (rx * light.key[0] + ry * light.key[1] + rz * light.key[2])))
    across = rx * light.tube[0] + ry * light.tube[1] - light.tube_offset
    tube = light.tube_strength * ramp(np.abs(across), 0.5 - 0.25 * polish, 0.1) * (rz > 0)
    diffuse = np.maximum(nx * light.key[0] + ny * light.key[1] + nz * light.key[2], 0)
    glow = room + 1.5 * lamp + 0.8 * tube + 0.3 * diffuse + _lathe(surface, light, u, v) * polish
    worn = 1 + 0.14 * smooth(rng, size, size, 14, 14) + 0.04 * grain(rng, size, size)
    metal = (glow * surface.tone * worn)[..., None] * np.array(finish.colour, np.float32)
    rubber = (0.02 + 0.05 * diffuse + 0.03 * lamp)[..., None] * np.ones(3, np.float32)
    lit = np.where(surface.rubber[..., None], rubber, metal)
    return _rust(rng, lit, size) if rng.random() < 0.12 else lit


def _lathe(surface: Surface, light: Light, u: Field, v: Field) -> Field:
    """Marks around the centre reflect a lamp into two opposite sectors."""
    squared = u * u + v * v + 1
    lean = light.key[:2] / (1 + light.key[2])
    along = (u * lean[1] - v * lean[0]) ** 2 / squared  # (tangent x half vector)^2
    sheen = np.square(np.square(np.maximum(1 - 6 * along, 0)))
    radius = np.sqrt(squared)
    rings = 0.85 + 0.15 * np.abs((radius * 0.31) % 2 - 1) * np.abs((radius * 0.83) % 2 - 1) * 2
    return np.asarray(surface.turned * sheen * rings * 0.75, np.float32)


def _rust(rng: np.random.Generator, lit: Colour, size: int) -> Colour:
    spots = ramp(smooth(rng, size, size, 18, 18) + 0.25 * grain(rng, size, size), 0.35, 0.75)[..., None] * 0.7
    rust = np.array([0.3, 0.13, 0.05], np.float32) * (0.3 + lit.mean(axis=2, keepdims=True))
    return np.asarray(lit * (1 - spots) + rust * spots, np.float32)
