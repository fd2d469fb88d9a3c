"""The first look at a file: kind, size, wholeness; and that no bytes bring the decoder to more than its errors."""

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from pindet_serve.images import ImageDecodeError
from pindet_serve.serving.headers import (
    Header,
    TooManyPixelsError,
    UnsupportedTypeError,
    decode_checked,
    read_header,
)

KINDS = ["JPEG", "PNG", "WEBP", "BMP", "TIFF"]


def saved(kind, **options):
    image = Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (21, 34, 3), np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


FILES = {kind: saved(kind) for kind in KINDS} | {
    "WEBP lossless": saved("WEBP", lossless=True),
    "WEBP extended": saved("WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0", lossless=True),
    "JPEG progressive": saved("JPEG", progressive=True),
    "TIFF big": saved("TIFF", big_tiff=True),
    "TIFF packed": saved("TIFF", compression="tiff_lzw"),
}


@pytest.mark.parametrize("name", FILES)
def test_the_size_is_read_without_decoding(name):
    kind = {"WEBP": "WebP"}.get(name.split()[0], name.split()[0])
    assert read_header(FILES[name]) == Header(kind, 34, 21)


@pytest.mark.parametrize("name", FILES)
def test_the_limit_is_in_pixels(name):
    assert decode_checked(FILES[name], 34 * 21).shape == (21, 34, 3)
    with pytest.raises(TooManyPixelsError, match="34x21 pixels"):
        decode_checked(FILES[name], 34 * 21 - 1)


@pytest.mark.parametrize("name", [name for name in FILES if "TIFF" not in name])
def test_a_file_cut_anywhere_is_seen(name):
    data = FILES[name]
    for end in range(0, len(data) - 1, max(1, len(data) // 60)):
        with pytest.raises((ImageDecodeError, UnsupportedTypeError)):
            decode_checked(data[:end], 10**6)


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(sorted(FILES)),
    st.lists(st.tuples(st.integers(0, 4000), st.binary(min_size=1, max_size=6)), min_size=1, max_size=8),
    st.integers(0, 400),
)
def test_changed_bytes_end_in_an_image_or_a_named_error(name, changes, cut):
    data = bytearray(FILES[name])
    for at, new in changes:
        at %= len(data)
        data[at : at + len(new)] = new
    if cut < 40:
        del data[-cut - 1 :]
    try:
        image = decode_checked(bytes(data), 10**6)
    except (ImageDecodeError, UnsupportedTypeError, TooManyPixelsError):
        return
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[0] * image.shape[1] <= 10**6


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"BM", b"II*\0"]))
def test_any_bytes_end_in_an_image_or_a_named_error(data, start):
    try:
        decode_checked(start + data, 10**6)
    except (ImageDecodeError, UnsupportedTypeError, TooManyPixelsError):
        return
