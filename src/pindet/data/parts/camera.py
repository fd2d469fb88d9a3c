"""Lamp fall-off, lens and sensor: from light to the bytes of a JPEG."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pindet.data.parts.noise import Field, smooth
from pindet.data.parts.shading import Colour

_STEPS = 4096


def photograph(rng: np.random.Generator, light: Colour) -> bytes:
    """Take the picture: uneven light, blur, exposure, white balance, noise and compression."""
    height, width = light.shape[:2]
    light = light * _illumination(rng, height, width)[..., None]
    light = _blurred(rng, light)
    light = light * np.float32(_exposure(rng, light)) * _white_balance(rng)
    read, shot = rng.uniform(0.001, 0.004), rng.uniform(0.004, 0.014)
    noise = rng.standard_normal(light.shape, np.float32)
    noise *= np.float32(read) + np.float32(shot) * np.sqrt(np.maximum(light[..., 1:2], 0))
    light += noise
    bgr = np.ascontiguousarray(_developed(light)[..., ::-1])
    quality = int(rng.integers(78, 93))
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(encoded.tobytes())


def _illumination(rng: np.random.Generator, height: int, width: int) -> Field:
    y, x = np.mgrid[-1:1:64j, -1:1:64j].astype(np.float32)
    slope = rng.uniform(0, 0.3, 2) * rng.choice([-1, 1], 2)
    vignette = 1 - rng.uniform(0.12, 0.3) * (x * x + y * y) * 0.6
    spot_x, spot_y = rng.uniform(-0.7, 0.7, 2)
    spot = 1 / (1 + 1.6 * ((x - spot_x) ** 2 + (y - spot_y) ** 2))
    flicker = 1 + 0.03 * smooth(rng, 64, 64, 20, 20)
    even = (1 + slope[0] * x + slope[1] * y) * vignette * flicker * (0.72 + 0.5 * spot)
    fine = cv2.resize(np.maximum(even, 0.15).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(fine, np.float32)


def _blurred(rng: np.random.Generator, light: Colour) -> Colour:
    travel = rng.uniform(0, 4.5) if rng.random() < 0.5 else 0.0
    if travel > 1:
        reach = int(np.ceil(travel / 2))
        kernel = np.ones((1, 2 * reach + 1), np.float32)
        kernel[0, [0, -1]] = travel / 2 - (reach - 0.5)
        moved = cv2.filter2D(light, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)
        light = np.asarray(moved, np.float32)
    sigma = rng.uniform(0.75, 1.4) if rng.random() < 0.2 else rng.uniform(0.3, 0.6)
    return np.asarray(cv2.GaussianBlur(light, (0, 0), sigma, borderType=cv2.BORDER_REFLECT), np.float32)


def _exposure(rng: np.random.Generator, light: Colour) -> float:
    """An automatic exposure that is off by up to a third of a stop or so."""
    return float(0.2 / (0.13 + 0.5 * light.mean()) * rng.uniform(0.75, 1.35))


def _white_balance(rng: np.random.Generator) -> NDArray[np.float32]:
    warm, green = rng.uniform(-0.13, 0.13), rng.uniform(-0.03, 0.03)
    return np.array([1 + warm, 1 + green, 1 - warm], np.float32)


def _developed(light: Colour) -> NDArray[np.uint8]:
    """Linear light to 8-bit values: a shoulder that keeps highlights from clipping hard, then gamma."""
    tone = np.arange(_STEPS, dtype=np.float64) / (_STEPS - 1) * 2
    table = 255 * (tone * (1 + tone / 2.6) / (1 + tone)) ** (1 / 2.2) * 1.04
    curve = np.clip(np.round(table), 0, 255).astype(np.uint8)
    return np.asarray(curve[np.clip(light * np.float32((_STEPS - 1) / 2), 0, _STEPS - 1).astype(np.int32)], np.uint8)
