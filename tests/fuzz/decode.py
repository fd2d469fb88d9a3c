"""Bytes that no one thought of, guided by coverage, through the server's way from bytes to pixels.

    make fuzz        ten minutes; what breaks it is written to crash-… in the current folder

Any exception but the three that a client is told of is a finding, and so is a picture that is none, larger than
allowed, or of another size than its header said. Arguments go to libFuzzer: ``-max_total_time=60``, or a file to be
tried again. Needs ``atheris``.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pindet_serve"]):
    from pindet_serve.images import ImageDecodeError
    from pindet_serve.jobs.frames import kind_of
    from pindet_serve.letterbox import Letterbox
    from pindet_serve.serving.headers import TooManyPixelsError, UnsupportedTypeError, decode_checked, read_header

import cv2
import numpy as np
from PIL import Image as Pillow

MOST_PIXELS = 4_000_000
LETTERBOX = Letterbox(64, 96)


def try_bytes(data: bytes) -> None:
    """Try one input."""
    kind_of(data[:64])
    try:
        image = decode_checked(data, MOST_PIXELS)
    except (ImageDecodeError, UnsupportedTypeError, TooManyPixelsError) as error:
        assert str(error), "a refusal that says nothing"
        return
    header = read_header(data)
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3, image.shape
    assert image.shape[0] * image.shape[1] <= MOST_PIXELS, image.shape
    # EXIF may have turned it.
    assert sorted(image.shape[:2]) == sorted((header.image_height, header.image_width)), (image.shape, header)
    canvas, _ = LETTERBOX(image)
    assert canvas.shape == (64, 96, 3)


def write_seeds(folder: Path) -> None:
    """A small file of each kind that is served, plain and with what makes its header longer."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 17, 4), np.uint8)
    exif = Pillow.Exif()
    exif[0x0112] = 6
    for kind in ("JPEG", "PNG", "WEBP", "BMP", "TIFF"):
        rgb, rgba = Pillow.fromarray(pixels[..., :3]), Pillow.fromarray(pixels)
        variants = [(rgb, {}), (rgb, {"exif": exif}), (rgb.convert("L"), {})]
        variants += [(rgba, {})] if kind != "JPEG" else [(rgb, {"progressive": True}), (rgb.convert("CMYK"), {})]
        variants += [(rgb, {"lossless": True}), (rgb, {"save_all": True})] if kind == "WEBP" else []
        variants += [(rgb, {"compression": "tiff_lzw"}), (rgba, {"big_tiff": True})] if kind == "TIFF" else []
        for number, (image, options) in enumerate(variants):
            with contextlib.suppress(OSError), io.BytesIO() as buffer:
                image.save(buffer, kind, **options)
                (folder / f"{kind}-{number}").write_bytes(buffer.getvalue())


def main() -> None:
    """Fuzz until told to stop."""
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    with tempfile.TemporaryDirectory() as folder:
        write_seeds(Path(folder))
        limits = ["-max_len=65536", "-rss_limit_mb=2048", "-timeout=10", "-print_final_stats=1"]
        named = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
        atheris.Setup([sys.argv[0], *limits, *sys.argv[1:], *([] if named else [folder])], try_bytes)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
