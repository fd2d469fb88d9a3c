"""The decoder: every kind of image file to upright 8-bit RGB, or an error that says what was seen."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image as Pillow
from pindet_serve.images import ImageDecodeError, decode_image

COLOUR = (200, 40, 90)


def encoded(image: Pillow.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP", "JPEG"])
def test_colours_are_rgb(kind):
    options = {"quality": 100} if kind in ("JPEG", "WEBP") else {}
    pixels = decode_image(encoded(Pillow.new("RGB", (16, 8), COLOUR), kind, **options))
    assert pixels.shape == (8, 16, 3)
    assert np.abs(pixels.astype(int) - COLOUR).max() <= 4


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("L", "PNG"),
        ("L", "JPEG"),
        ("P", "PNG"),
        ("1", "PNG"),
        ("RGBA", "PNG"),
        ("LA", "PNG"),
        ("CMYK", "JPEG"),
    ],
)
def test_every_mode_becomes_rgb(mode, kind):
    pixels = decode_image(encoded(Pillow.new("RGB", (16, 8), (255, 255, 255)).convert(mode), kind))
    assert pixels.shape == (8, 16, 3)
    assert pixels.min() >= 250


def test_sixteen_bits_keep_the_high_byte():
    deep = Pillow.fromarray(np.full((4, 4), 0x8000, np.uint16))
    assert np.abs(decode_image(encoded(deep, "PNG")).astype(int) - 128).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    picture = Pillow.new("RGB", (64, 32))
    picture.paste((255, 0, 0), (0, 0, 32, 16))
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    pixels = decode_image(encoded(picture, "JPEG", exif=exif, quality=100))

    assert pixels.shape[:2] == ((32, 64) if orientation <= 4 else (64, 32))
    red = {1: (0, 0), 2: (0, 1), 3: (1, 1), 4: (1, 0), 5: (0, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}[orientation]
    quarter = pixels[(np.array(red) * 2 + 1)[0] * pixels.shape[0] // 4, (red[1] * 2 + 1) * pixels.shape[1] // 4]
    assert quarter[0] > 200
    assert quarter[1] < 60


def test_unreadable_bytes_are_named():
    whole = encoded(Pillow.effect_noise((64, 64), 80), "JPEG")
    for data, message in [(b"", "0 bytes"), (b"hello world", "68 65 6c 6c 6f"), (whole[:100], "truncated")]:
        with pytest.raises(ImageDecodeError, match=message):
            decode_image(data)


def test_too_many_pixels_are_refused_whichever_module_is_imported_first(tmp_path):
    """OpenCV reads its limit when it is first imported, and several modules import it."""
    (tmp_path / "wide.png").write_bytes(encoded(Pillow.new("1", (20000, 10000)), "PNG"))
    script = (
        "import sys, pathlib; from pindet_serve.letterbox import Letterbox;"
        "from pindet_serve.images import decode_image;"
        "decode_image(pathlib.Path(sys.argv[1]).read_bytes())"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "wide.png"], capture_output=True, text=True)
    assert "ImageDecodeError: " in done.stderr
    assert "CV_IO_MAX_IMAGE_PIXELS" in done.stderr
