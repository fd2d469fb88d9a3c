"""The conveyor belt: rubber, fabric or rough plastic, with seams, edges, scratches and dirt. It runs along x."""

from __future__ import annotations

import cv2
import numpy as np

from pindet.data.parts.noise import Field, grain, ramp, smooth, triangle
from pindet.data.parts.shading import Colour

COLOURS = {
    "black rubber": (0.035, 0.036, 0.038),
    "grey rubber": (0.1, 0.1, 0.1),
    "green plastic": (0.035, 0.13, 0.085),
    "blue plastic": (0.03, 0.08, 0.17),
    "beige fabric": (0.26, 0.23, 0.17),
    "light plastic": (0.36, 0.37, 0.36),
}


def render_belt(rng: np.random.Generator, height: int, width: int) -> Colour:
    """A stretch of belt, ``[height, width, 3]``, as it looks in even light."""
    name = tuple(COLOURS)[rng.integers(len(COLOURS))]
    tone = np.array(COLOURS[name], np.float32) * rng.uniform(0.8, 1.25)
    relief = _weave(rng, height, width) if "fabric" in name else _rough(rng, height, width)
    relief = relief + 0.05 * smooth(rng, height, width, 3, 120) + 0.05 * smooth(rng, height, width, 25, 300)
    if rng.random() < 0.35:
        relief = relief + _seam(rng, height, width)
    belt = np.maximum(1 + relief, 0.05)[..., None] * tone.astype(np.float32)
    belt = _dirty(rng, belt)
    return _frame(rng, belt) if rng.random() < 0.3 else belt


def _axes(height: int, width: int) -> tuple[Field, Field]:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return y, x


def _weave(rng: np.random.Generator, height: int, width: int) -> Field:
    y, x = _axes(height, width)
    period = rng.uniform(4.5, 7)
    x, y = x + smooth(rng, height, width, 40, 40), y + smooth(rng, height, width, 40, 40)
    over = (np.floor(x / period) + np.floor(y / period)) % 2
    thread = np.where(over > 0, triangle(y / period + 0.5), triangle(x / period + 0.5))
    return np.asarray(0.22 * (thread - 0.5) * -1 + 0.06 * over + 0.06 * grain(rng, height, width), np.float32)


def _rough(rng: np.random.Generator, height: int, width: int) -> Field:
    fine = cv2.GaussianBlur(grain(rng, height, width), (0, 0), 0.7) * 0.16
    if rng.random() < 0.5:
        return np.asarray(fine + 0.05 * smooth(rng, height, width, 5, 5), np.float32)
    y, x = _axes(height, width)
    period = rng.uniform(9, 15)
    ridges = np.maximum(triangle((x + y) / period), triangle((x - y) / period))
    return np.asarray(fine + 0.22 * (ramp(ridges, 0.78, 0.95) - 0.25), np.float32)


def _seam(rng: np.random.Generator, height: int, width: int) -> Field:
    """Where the ends of the belt meet: a slanted cut, sometimes with lacing."""
    y, x = _axes(height, width)
    place = x - rng.uniform(0.1, 0.9) * width - (y - height / 2) * rng.uniform(-0.25, 0.25)
    cut = 0.5 * ramp(np.abs(place - 2.5), 2, 0) - 0.75 * ramp(np.abs(place), 2, 0.5)
    if rng.random() < 0.5:
        pitch = rng.uniform(9, 13)
        hooks = ramp(triangle(y / pitch), 0.55, 0.75) * ramp(np.abs(place), 9, 7)
        cut = np.where(hooks > 0.5, 1.6 * triangle(y / pitch), cut)
    return np.asarray(cut, np.float32)


def _dirty(rng: np.random.Generator, belt: Colour) -> Colour:
    height, width = belt.shape[:2]
    patches = smooth(rng, height, width, 70, 160) + 0.5 * smooth(rng, height, width, 10, 30)
    dust = ramp(patches + 0.4 * smooth(rng, height, width, 2, 2), -0.6, 1.6)
    belt = belt + (dust * rng.uniform(0, 0.06))[..., None] * np.array([1, 0.93, 0.82], np.float32)
    if rng.random() < 0.4:
        oil = ramp(smooth(rng, height, width, 60, 110) + 0.12 * smooth(rng, height, width, 7, 7), 0.45, 0.8)
        belt = belt * (1 - oil * rng.uniform(0.15, 0.5))[..., None]
    marks = np.zeros((height, width), np.uint8)
    for _ in range(rng.integers(4, 26)):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        dx, dy = rng.uniform(10, 160), rng.uniform(-14, 14)
        ends = [(int(8 * a), int(8 * b)) for a, b in ((x, y), (x + dx, y + dy))]
        cv2.line(marks, ends[0], ends[1], int(rng.integers(40, 200)), 1, cv2.LINE_AA, 3)
    for _ in range(rng.integers(0, 40)):
        centre = int(8 * rng.uniform(0, width)), int(8 * rng.uniform(0, height))
        cv2.circle(marks, centre, int(rng.uniform(3, 11)), int(rng.integers(60, 255)), -1, cv2.LINE_AA, 3)
    marked = (marks.astype(np.float32) / 255)[..., None]
    sign = 1.0 if belt.mean() < 0.15 else -0.6
    return np.maximum(belt + marked * sign * rng.uniform(0.05, 0.16), 0.004)


def _frame(rng: np.random.Generator, belt: Colour) -> Colour:
    """The steel guide along one edge of the belt, with the gap between."""
    height, width = belt.shape[:2]
    y, _ = _axes(height, width)
    edge = rng.uniform(0.02, 0.09) * height
    depth = y - edge if rng.random() < 0.5 else height - edge - y
    steel = 0.3 + 0.12 * smooth(rng, height, width, 2, 260) + 0.03 * grain(rng, height, width)
    steel = np.maximum(steel + 0.3 * ramp(np.abs(depth + edge * 0.35), edge * 0.25, 0), 0.05)
    tint = np.array([0.98, 1.0, 1.03], np.float32)
    shadowed = belt * (0.25 + 0.75 * ramp(depth, 0, 14))[..., None]
    return np.where(depth[..., None] < -1.5, steel[..., None] * tint, shadowed)
