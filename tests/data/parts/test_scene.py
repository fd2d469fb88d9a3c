"""Rendered scenes: repeatable, with boxes that fit."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import cv2
import numpy as np
import pytest
from pindet_serve.images import decode_image

from pindet.data.parts import scene
from pindet.data.parts.scene import MIN_VISIBLE, render
from pindet.data.parts.shapes import SHAPES
from pindet.data.records import RawBox

OPTIONS: dict[str, Any] = {"height": 160, "width": 208, "max_objects": 6, "empty_fraction": 0.0}


def rendered(number: int, **changed: Any) -> tuple[bytes, list[RawBox]]:
    return render(np.random.default_rng([0, number]), **OPTIONS | changed)


def test_the_number_of_threads_changes_nothing() -> None:
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        alone = [rendered(i) for i in range(3)]
        cv2.setNumThreads(4)
        assert [rendered(i) for i in (2, 1, 0)][::-1] == alone
    finally:
        cv2.setNumThreads(threads)
    assert len({data for data, _ in alone}) == 3


DIGEST = """
import hashlib
import numpy as np
from pindet.data.parts.scene import render
options = {"height": 480, "width": 640, "max_objects": 30, "empty_fraction": 0.1}
made = [render(np.random.default_rng([0, 0, number]), **options)[0] for number in (4, 7)]
print(hashlib.md5(b"".join(made)).hexdigest())
"""


def test_another_processor_renders_the_same() -> None:
    """One without the instructions that OpenCV and NumPy have code of their own for, as far as they can be told so."""
    path = os.pathsep.join(sys.path)
    less = {"OPENCV_CPU_DISABLE": "AVX2,FMA3", "NPY_DISABLE_CPU_FEATURES": "X86_V3", "OPENBLAS_CORETYPE": "Nehalem"}
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST], env=os.environ | {"PYTHONPATH": path} | variables, capture_output=True,
            text=True, check=True,
        ).stdout
        for variables in ({}, less)
    }  # fmt: skip
    assert len(digests) == 1
    assert cv2.useOptimized(), "only while it renders"


def test_pictures_have_the_size_and_boxes_lie_inside() -> None:
    labels: set[str] = set()
    for i in range(12):
        data, boxes = rendered(i)
        assert decode_image(data).shape == (160, 208, 3)
        assert 1 <= len(boxes) <= 6
        for box in boxes:
            assert 0 <= box.x1 < box.x2 <= 208
            assert 0 <= box.y1 < box.y2 <= 160
        labels |= {box.label for box in boxes}
    assert labels == set(SHAPES)


def test_boxes_are_tight_around_what_is_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a black belt without shadows, lamps or a lens, whatever is not black is a part."""
    shots: list[Any] = []
    monkeypatch.setattr(scene, "render_belt", lambda _, h, w: np.zeros((h, w, 3), np.float32))
    monkeypatch.setattr(scene, "photograph", lambda _, picture: shots.append(picture.copy()) or b"")
    for i in range(20):
        _, boxes = rendered(i, max_objects=1)
        rows, columns = np.nonzero(shots[-1].sum(axis=2) > 0)
        seen = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        stated = np.array([[b.x1, b.y1, b.x2, b.y2] for b in boxes])
        assert np.abs(stated[0] - seen).max() <= 1  # the faintest edge pixels are covered by less than half


def test_no_part_is_hidden_without_a_box(monkeypatch: pytest.MonkeyPatch) -> None:
    areas: list[tuple[int, int]] = []
    original = scene._box

    def box(mask: Any, label: str) -> RawBox:
        areas.append((int(mask.sum()), 0))
        return original(mask, label)

    sizes: list[int] = []
    make = scene._sprite

    def sprite(*arguments: Any) -> Any:
        made = make(*arguments)
        sizes.append(int(made.mask.sum()))
        return made

    monkeypatch.setattr(scene, "_box", box)
    monkeypatch.setattr(scene, "_sprite", sprite)
    monkeypatch.setattr(scene, "_TRIES", 200)  # then none is left out, and the lists run in step
    for i in range(8):
        rendered(i, max_objects=5)
    assert len(areas) == len(sizes)
    assert all(seen >= MIN_VISIBLE * size for (seen, _), size in zip(areas, sizes, strict=True))
    assert any(seen < size for (seen, _), size in zip(areas, sizes, strict=True))


def test_empty_belt() -> None:
    assert rendered(0, empty_fraction=1.0)[1] == []


@pytest.mark.parametrize("changed", [{"height": 176}, {"width": 176}, {"max_objects": 20}, {"empty_fraction": 1.0}])
def test_each_option_changes_the_picture(changed: dict[str, Any]) -> None:
    assert rendered(1)[0] != rendered(1, **changed)[0]
