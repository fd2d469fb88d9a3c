"""The reference profile of a bundle: what its input and its answers look like on the test split."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pindet_serve.detector import Detector
from pindet_serve.images import Image
from pindet_serve.profile import Profile, measure, profile_of, write_profile


def add_profile(bundle: Path, detector: Detector, images: Iterable[Image]) -> Profile:
    """Write ``profile.json`` of a bundle that is being made; its manifest has to list the file afterwards.

    Args:
        bundle: folder.
        detector: the bundle's own, at its own threshold.
        images: uint8 ``[H, W, 3]`` RGB each; those that the model was tested on.
    """
    letterbox = detector.manifest.letterbox()
    measured = (measure(*letterbox(image), detector.detect([image])[0]) for image in images)
    profile = profile_of(measured, detector.manifest.classes)
    write_profile(bundle, profile)
    return profile
