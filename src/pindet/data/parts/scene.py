"""A scene: parts put on the belt, with shadows and overlaps, and the boxes of what is visible of them.

A box is tight around the pixels of a part that the camera sees: what another part covers or the border cuts off does
not count. A part that would be hidden by more than ``1 - MIN_VISIBLE`` is not put there, so none is without a box.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pindet.data.parts.belt import render_belt
from pindet.data.parts.camera import photograph
from pindet.data.parts.noise import Field
from pindet.data.parts.shading import FINISHES, Colour, Light, random_light, shade
from pindet.data.parts.shapes import SHAPES
from pindet.data.records import RawBox

MIN_VISIBLE = 0.6
_SAMPLES = 2
"""Supersampling along each side of a pixel."""
_TRIES = 12
_RENDERING = threading.Lock()


@dataclass(frozen=True)
class Sprite:
    """One part, in pixels of the image: its light ``[S, S, 3]`` times ``alpha``, and ``alpha`` in 0..1 ``[S, S]``."""

    label: str
    light: Colour
    alpha: Field
    tallness: float

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Where the part is."""
        return self.alpha >= 0.5


def render(
    rng: np.random.Generator, *, height: int, width: int, max_objects: int, empty_fraction: float
) -> tuple[bytes, list[RawBox]]:
    """Render one image, the same on every processor of an architecture.

    Returns:
        A JPEG of ``height`` x ``width`` pixels, and the boxes of its parts in the order in which they were put down.
    """
    with _same_everywhere():
        return _render(rng, height, width, max_objects, empty_fraction)


@contextlib.contextmanager
def _same_everywhere() -> Iterator[None]:
    """Keep OpenCV from code that it has for some processors only and that rounds otherwise.

    The switch is one for the whole process, so that one image is rendered at a time.
    """
    with _RENDERING:
        before = cv2.useOptimized()
        cv2.setUseOptimized(False)
        try:
            yield
        finally:
            cv2.setUseOptimized(before)


def _render(
    rng: np.random.Generator, height: int, width: int, max_objects: int, empty_fraction: float
) -> tuple[bytes, list[RawBox]]:
    light = random_light(rng)
    picture = render_belt(rng, height, width)
    owner = np.full((height, width), -1, np.int32)
    count = 0 if rng.random() < empty_fraction else int(rng.integers(1, max_objects + 1))
    zoom = min(height, width) / 416 * rng.uniform(0.82, 1.2)
    labels: list[str] = []
    areas: list[int] = []
    for _ in range(count):
        sprite = _sprite(rng, light, zoom)
        place = _place(rng, sprite.mask, owner, areas)
        if place is None:
            continue
        _put(picture, sprite, place, light)
        part = _window(sprite.mask, place, owner.shape)
        owner[part.target][sprite.mask[part.source]] = len(labels)
        labels.append(sprite.label)
        areas.append(int(sprite.mask.sum()))
    return photograph(rng, picture), [_box(owner == i, label) for i, label in enumerate(labels)]


def _sprite(rng: np.random.Generator, light: Light, zoom: float) -> Sprite:
    label = tuple(SHAPES)[rng.integers(len(SHAPES))]
    make, smallest, largest = SHAPES[label]
    shape, radius = make(rng, _SAMPLES * zoom * rng.uniform(smallest, largest))
    size = 2 * (int(radius / _SAMPLES) + 3)
    turn = rng.uniform(0, 2 * np.pi)
    shift_x, shift_y = rng.uniform(-1, 1, 2)
    y, x = np.mgrid[: size * _SAMPLES, : size * _SAMPLES].astype(np.float32) - np.float32(size * _SAMPLES / 2 - 0.5)
    x, y = x - np.float32(shift_x), y - np.float32(shift_y)
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    surface = shape(x * cos + y * sin, y * cos - x * sin)
    finish = FINISHES[tuple(FINISHES)[rng.choice(len(FINISHES), p=_odds(label))]]
    lit = shade(rng, surface, finish, light, x, y)
    covered = surface.mask.astype(np.float32)
    fine = np.dstack([lit * covered[..., None], covered])
    small = np.asarray(cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA), np.float32)
    tallness = float(surface.height.max()) / _SAMPLES
    return Sprite(label, small[..., :3], np.ascontiguousarray(small[..., 3]), tallness)


def _odds(label: str) -> list[float]:
    """How often each of ``FINISHES`` occurs: bearings are of bright steel, socket screws mostly black, bolts seldom."""
    if label == "bearing":
        return [0.0, 0.5, 0.5, 0.0, 0.0, 0.0]
    if label == "socket_screw":
        return [0.12, 0.15, 0.1, 0.0, 0.03, 0.6]
    if label == "hex_bolt":
        return [0.36, 0.22, 0.12, 0.06, 0.17, 0.07]
    return [0.3, 0.2, 0.12, 0.12, 0.13, 0.13]


def _place(
    rng: np.random.Generator, mask: NDArray[np.bool_], owner: NDArray[np.int32], areas: list[int]
) -> tuple[int, int] | None:
    """Find the row and column of the sprite's corner; None when the belt is too full."""
    overlap = rng.random() < 0.35
    size, area = mask.shape[0], int(mask.sum())
    for _ in range(_TRIES):
        place = int(rng.integers(-size // 2, owner.shape[0])), int(rng.integers(-size // 2, owner.shape[1]))
        window = _window(mask, place, owner.shape)
        seen = mask[window.source]
        if seen.sum() < MIN_VISIBLE * area:
            continue
        hidden = np.bincount(owner[window.target][seen] + 1, minlength=len(areas) + 1)[1:]
        if not overlap and hidden.any():
            continue
        left = np.bincount(owner.ravel() + 1, minlength=len(areas) + 1)[1:] - hidden
        if all(n >= MIN_VISIBLE * whole for n, whole in zip(left, areas, strict=True)):
            return place
    return None


@dataclass(frozen=True)
class _Window:
    """Where a square at ``place`` lies in the image, and which part of the square that is."""

    target: tuple[slice, slice]
    source: tuple[slice, slice]


def _window(square: NDArray[np.generic], place: tuple[int, int], shape: tuple[int, ...]) -> _Window:
    targets, sources = [], []
    for start, size, limit in zip(place, square.shape, shape, strict=False):
        first, last = min(max(start, 0), limit), max(min(start + size, limit), 0)
        targets.append(slice(first, last))
        sources.append(slice(first - start, last - start))
    return _Window((targets[0], targets[1]), (sources[0], sources[1]))


def _put(picture: Colour, sprite: Sprite, place: tuple[int, int], light: Light) -> None:
    margin = int(2 * sprite.tallness + 6)
    shadow = _shadow(np.pad(sprite.alpha, margin), sprite.tallness, light)
    window = _window(shadow, (place[0] - margin, place[1] - margin), picture.shape)
    picture[window.target] *= 1 - shadow[window.source][..., None]
    window = _window(sprite.alpha, place, picture.shape)
    alpha = sprite.alpha[window.source][..., None]
    picture[window.target] = picture[window.target] * (1 - alpha) + sprite.light[window.source]


def _shadow(alpha: Field, tallness: float, light: Light) -> Field:
    """How much light is missing around a part: cast by the main lamp, and where it touches the belt."""
    reach = -light.key[:2] / light.key[2] * tallness * 0.95
    cast = np.zeros_like(alpha)
    for t in (0.35, 0.7, 1.0):
        move = np.array([[1, 0, reach[0] * t], [0, 1, reach[1] * t]], np.float32)
        moved = cv2.warpAffine(alpha, move, alpha.shape[::-1])
        cast = np.maximum(cast, cv2.GaussianBlur(moved, (0, 0), 0.6 + 0.09 * tallness * t))
    touch = cv2.GaussianBlur(alpha, (0, 0), 1.0 + 0.14 * tallness)
    return np.asarray(1 - (1 - 0.72 * cast) * (1 - 0.55 * touch), np.float32)


def _box(mask: NDArray[np.bool_], label: str) -> RawBox:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return RawBox(label, float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
