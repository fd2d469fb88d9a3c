"""Odd inputs: never a failure of the server, never a wrong box.

Whatever is accepted has the boxes of the plain RGB image, as Pillow reads the same file, within a pixel.
"""

import base64
import io
import struct
import zipfile
import zlib

import httpx
import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageCms, ImageOps

REFUSED = "refused"
EITHER = "either"
ANSWERED = "answered"
UNKNOWABLE = "no failure"  # a JPEG decoder does not see that bytes were changed within its scan


def picture(width=200, height=120):
    """The scene of conftest, as a Pillow image; see there."""
    image = np.full((height, width, 3), 90, np.uint8)
    image[height // 10 : height // 2, width // 10 : width // 4] = (220, 20, 30)
    image[height // 5 : height * 4 // 5, width // 2 : width * 3 // 4] = (20, 30, 220)
    image[height * 7 // 10 : height * 9 // 10, width // 20 : width * 2 // 5] = 250
    return Pillow.fromarray(image)


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(image=None, **options):
    return saved(image or picture(), "JPEG", **{"quality": 95, "subsampling": 0} | options)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width, height, bits, colour, rows):
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def bomb(width, height):
    """A PNG of one bit a pixel that is all black: a few kB for hundreds of millions of pixels."""
    packer = zlib.compressobj(9)
    row = b"\0" * (1 + (width + 7) // 8)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return png_of(width, height, 1, 0, rows)


def sixteen_bit_png():
    deep = (np.asarray(picture()).astype(np.uint16) * 257).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    return png_of(200, 120, 16, 2, zlib.compress(rows))


def modes():
    image = picture()
    grey = Pillow.fromarray(np.where(np.asarray(image)[..., 0] > 225, 250, 90).astype(np.uint8))
    alpha = image.copy()
    alpha.putalpha(Pillow.fromarray(np.tile(np.linspace(0, 255, 200, dtype=np.uint8), (120, 1))))
    palette = image.quantize(16)
    yield "grey png", saved(grey, "PNG"), ANSWERED
    yield "grey jpeg", jpeg(grey), ANSWERED
    yield "grey tiff", saved(grey, "TIFF"), ANSWERED
    yield "grey bmp", saved(grey, "BMP"), ANSWERED
    yield "grey and alpha png", saved(grey.convert("LA"), "PNG"), ANSWERED
    yield "grey and alpha tiff", saved(grey.convert("LA"), "TIFF"), ANSWERED
    yield "alpha png", saved(alpha, "PNG"), ANSWERED
    yield "alpha webp lossless", saved(alpha, "WEBP", lossless=True, exact=True), ANSWERED
    yield "alpha tiff", saved(alpha, "TIFF"), ANSWERED
    yield "alpha tiff, lzw", saved(alpha, "TIFF", compression="tiff_lzw"), ANSWERED
    yield "alpha big tiff", saved(alpha, "TIFF", big_tiff=True), ANSWERED
    yield "alpha tiff, big-endian", alpha_tiff(alpha, ">", [2]), ANSWERED
    yield "alpha tiff, more samples than fit", alpha_tiff(alpha, "<", [2, 0, 0]), EITHER
    yield "alpha tiff that lies about where", alpha_tiff(alpha, "<", [2, 0, 0])[:-6], 400
    yield "alpha bmp", saved(alpha, "BMP"), ANSWERED
    yield "palette png", saved(palette, "PNG"), ANSWERED
    yield "palette png with transparency", saved(palette, "PNG", transparency=0), ANSWERED
    yield "palette bmp", saved(palette, "BMP"), ANSWERED
    yield "palette tiff", saved(palette, "TIFF"), ANSWERED
    yield "1 bit png", saved(grey.convert("1", dither=Pillow.Dither.NONE), "PNG"), ANSWERED
    yield "1 bit bmp", saved(grey.convert("1", dither=Pillow.Dither.NONE), "BMP"), ANSWERED
    yield "1 bit tiff", saved(grey.convert("1", dither=Pillow.Dither.NONE), "TIFF"), ANSWERED
    yield "1 bit tiff, fax", saved(grey.convert("1", dither=Pillow.Dither.NONE), "TIFF", compression="group4"), ANSWERED
    yield "2 bit palette png", saved(image.quantize(4), "PNG", bits=2), ANSWERED
    yield "16 bit rgb png", sixteen_bit_png(), ANSWERED
    yield "cmyk jpeg", jpeg(image.convert("CMYK")), ANSWERED
    yield "cmyk tiff", saved(image.convert("CMYK"), "TIFF"), ANSWERED
    yield "ycbcr jpeg tiff", saved(image, "TIFF", compression="jpeg"), ANSWERED
    yield "lab tiff", saved(ImageCms.profileToProfile(image, SRGB, LAB, outputMode="LAB"), "TIFF"), ANSWERED


SRGB, LAB = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")


def encodings():
    image = picture()
    yield "jpeg", jpeg(), ANSWERED
    yield "progressive jpeg", jpeg(progressive=True), ANSWERED
    yield "jpeg 4:2:0", jpeg(subsampling=2), ANSWERED
    yield "jpeg with restart markers", jpeg(restart_marker_blocks=3), ANSWERED
    yield "optimised jpeg", jpeg(optimize=True), ANSWERED
    yield "jpeg with a comment", jpeg(comment=b"\xff\xd8\xff\xc0" * 20), ANSWERED
    yield "interlaced png", interlaced(image), ANSWERED
    yield "png with text", b"\x89PNG\r\n\x1a\n" + with_text(saved(image, "PNG")[8:]), ANSWERED
    yield "webp", saved(image, "WEBP", quality=95), ANSWERED
    yield "lossless webp", saved(image, "WEBP", lossless=True), ANSWERED
    for compression in ("raw", "packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate"):
        yield f"tiff {compression}", saved(image, "TIFF", compression=compression), ANSWERED
    yield "big tiff", saved(image, "TIFF", big_tiff=True), ANSWERED
    yield "big-endian tiff", big_endian_tiff(np.asarray(image)), ANSWERED
    yield "tiff with white as 0", white_is_zero_tiff(), ANSWERED
    yield "bmp", saved(image, "BMP"), ANSWERED
    yield "bmp from the top", top_down_bmp(image), ANSWERED
    profile = ImageCms.ImageCmsProfile(SRGB).tobytes()
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        yield f"sRGB profile in {kind}", saved(image, kind, icc_profile=profile, quality=95), ANSWERED
    yield "broken profile", jpeg(icc_profile=b"no profile" * 40), ANSWERED


def interlaced(image):
    """Adam7, all seven passes, unfiltered."""
    pixels, rows = np.asarray(image), b""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    for x, y, dx, dy in passes:
        rows += b"".join(b"\0" + row.tobytes() for row in pixels[y::dy, x::dx])
    header = struct.pack(">IIBBBBB", image.width, image.height, 8, 2, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def with_text(chunks):
    return chunks[:25] + chunk(b"tEXt", b"Comment\0" + b"x" * 5000) + chunks[25:]


def tiff_of(order, entries, strip):
    """A TIFF with one directory of (tag, type, values) and one strip of pixels."""
    start = 8 + len(strip)
    extra_at = start + 2 + 12 * (len(entries) + 2) + 4
    entries = sorted([*entries, (273, 4, [8]), (279, 4, [len(strip)])], key=lambda entry: entry[0])
    directory, extra = struct.pack(order + "H", len(entries)), b""
    for tag, kind, values in entries:
        packed = b"".join(struct.pack(order + {3: "H", 4: "I"}[kind], value) for value in values)
        if len(packed) > 4:
            directory += struct.pack(order + "HHII", tag, kind, len(values), extra_at + len(extra))
            extra += packed
        else:
            directory += struct.pack(order + "HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(order + "I", start) + strip + directory + struct.pack(order + "I", 0) + extra


def plain_tiff(pixels, order, photometric, bits, sample_format=1):
    height, width = pixels.shape[:2]
    samples = 1 if pixels.ndim == 2 else 3
    entries = [(256, 4, [width]), (257, 4, [height]), (258, 3, [bits] * samples), (259, 3, [1])]
    entries += [(262, 3, [photometric]), (277, 3, [samples]), (278, 4, [height]), (339, 3, [sample_format] * samples)]
    return tiff_of(order, entries, pixels.tobytes())


def alpha_tiff(image, order, extra):
    """RGBA and, where ``extra`` names more, further samples of 0."""
    pixels = np.asarray(image)
    pixels = np.dstack([pixels, *[np.zeros(pixels.shape[:2], np.uint8)] * (len(extra) - 1)])
    height, width, samples = pixels.shape
    entries = [(256, 4, [width]), (257, 4, [height]), (258, 3, [8] * samples), (259, 3, [1]), (262, 3, [2])]
    entries += [(277, 3, [samples]), (278, 4, [height]), (338, 3, extra)]
    return tiff_of(order, entries, pixels.tobytes())


def big_endian_tiff(pixels):
    return plain_tiff(pixels, ">", 2, 8)


def white_is_zero_tiff():
    grey = np.where(np.asarray(picture())[..., 0] > 225, 5, 165).astype(np.uint8)
    return plain_tiff(grey, "<", 0, 8)


def float_tiff(scale):
    return plain_tiff((np.asarray(picture()) * scale).astype("<f4"), "<", 2, 32, 3)


def sixteen_bit_tiff():
    return plain_tiff((np.asarray(picture()).astype(np.uint16) * 257).astype("<u2"), "<", 2, 16)


def top_down_bmp(image):
    pixels = np.asarray(image)[..., ::-1]
    header = struct.pack("<IiiHHIIiiII", 40, image.width, -image.height, 1, 24, 0, pixels.size, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + pixels.size, 0, 0, 54) + header + pixels.tobytes()


def orientations():
    for number in range(1, 9):
        exif = Pillow.Exif()
        exif[0x0112] = number
        for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
            options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
            yield f"orientation {number} in {kind}", saved(picture(), kind, exif=exif, **options), ANSWERED
    exif = Pillow.Exif()
    exif[0x0112] = 77
    yield "orientation 77", jpeg(exif=exif), ANSWERED


def several_frames():
    others = [Pillow.new("RGB", (200, 120), (255, 255, 255))]
    for kind, expected in (("TIFF", ANSWERED), ("GIF", REFUSED), ("WEBP", ANSWERED), ("PNG", ANSWERED)):
        options = {"lossless": True} if kind == "WEBP" else {}
        yield f"two frames in {kind}", saved(picture(), kind, save_all=True, append_images=others, **options), expected
    yield "gif", saved(picture(), "GIF"), REFUSED


def sizes():
    yield "1x1", saved(Pillow.new("RGB", (1, 1), (255, 0, 0)), "PNG"), ANSWERED
    yield "1x20000", saved(picture(1, 20000), "PNG"), ANSWERED
    yield "20000x1", saved(picture(20000, 1), "PNG"), ANSWERED
    yield "2x3 jpeg", jpeg(Pillow.new("RGB", (2, 3), (255, 255, 255))), ANSWERED
    yield "4000x3000", jpeg(picture(4000, 3000)), ANSWERED
    yield "bomb 20000x20000", bomb(20000, 20000), 413
    yield "bomb 100000x100", png_of(300000, 100, 8, 2, zlib.compress(b"")), 413
    yield "jpeg that says 65500x65500", resized_jpeg(65500, 65500), 413
    yield "jpeg that says 0x0", resized_jpeg(0, 0), 400
    yield "png that says 0x5", png_of(0, 5, 8, 2, zlib.compress(b"\0" * 5)), 400
    yield "png that says 2^31", png_of(2**31, 2**31, 8, 2, zlib.compress(b"")), 413
    yield "bmp that says 60000x60000", bmp_says(60000, 60000), 413
    yield "webp that says 16384x16384", webp_says(), 413
    yield "tiff that says 30000x30000", plain_says(), 413
    yield "tiff that says two sizes, the first too large", two_sizes_tiff(30000, 1), 413
    yield "tiff that says two sizes, the second too large", two_sizes_tiff(1, 30000), EITHER


def resized_jpeg(width, height):
    data = bytearray(jpeg())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def bmp_says(width, height):
    data = bytearray(saved(picture(), "BMP"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def webp_says():
    data = bytearray(saved(picture(), "WEBP", quality=90))
    data[26:30] = struct.pack("<HH", 16383, 16383)
    return bytes(data)


def plain_says():
    return plain_tiff(np.zeros((1, 1, 3), np.uint8), "<", 2, 8).replace(
        struct.pack("<HHII", 256, 4, 1, 1), struct.pack("<HHII", 256, 4, 1, 30000)
    ).replace(struct.pack("<HHII", 257, 4, 1, 1), struct.pack("<HHII", 257, 4, 1, 30000))  # fmt: skip


def two_sizes_tiff(first, second):
    entries = [(256, 4, [first]), (256, 4, [second]), (257, 4, [first]), (257, 4, [second]), (258, 3, [8] * 3)]
    entries += [(259, 3, [1]), (262, 3, [2]), (277, 3, [3]), (278, 4, [1])]
    return tiff_of("<", entries, b"\xdc\x14\x1e")


def damaged():
    yield "0 bytes", b"", 400
    yield "1 byte", b"\xff", 400
    yield "text", b"hello world, this is no image", 400
    yield "noise", np.random.default_rng(0).bytes(5000), 400
    whole = {kind: saved(picture(), kind) for kind in ("PNG", "WEBP", "BMP", "TIFF")} | {"JPEG": jpeg()}
    for kind, data in whole.items():
        yield f"half a {kind}", data[: len(data) // 2], 400
        yield f"{kind} without its last bytes", data[:-20], 400 if kind != "TIFF" else EITHER
        yield f"the start of a {kind}", data[:12], 400
    yield "big tiff that begins beyond any file", b"II+\0\x08\0\0\0" + b"\xff" * 8 + bytes(40), 400
    yield "progressive jpeg, half", jpeg(progressive=True)[:1500], 400
    yield "jpeg with a thumbnail, truncated", truncated_with_thumbnail(), 400
    yield "jpeg, bytes changed", changed(jpeg(), 700, 40), UNKNOWABLE
    yield "png, bytes changed", changed(saved(picture(), "PNG"), 60, 10), EITHER
    yield "png, wrong checksum", changed(saved(picture(), "PNG"), -14, 2), EITHER


def truncated_with_thumbnail():
    thumbnail = jpeg(picture(40, 24))
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    whole = jpeg()
    return (whole[:2] + segment + whole[2:])[:-300]


def changed(data, at, count):
    spoilt = bytearray(data)
    spoilt[at : at + count] = bytes(255 - byte for byte in spoilt[at : at + count])
    return bytes(spoilt)


def others():
    yield "heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 100, 415
    yield "avif", saved(picture(), "AVIF"), 415
    yield "mp4", b"\0\0\0\x18ftypisom\0\0\0\0isomiso2" + b"\0" * 100, 415
    yield "svg", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>', 415
    yield "svg with a declaration", b'<?xml version="1.0"?>\n<!DOCTYPE svg [<!ENTITY a "b">]><svg/>', 415
    yield "html", b"<!DOCTYPE html><html></html>", 415
    yield "pdf", saved(picture(), "PDF"), 415
    yield "jpeg 2000", saved(picture(), "JPEG2000"), 415
    yield "netpbm", saved(picture(), "PPM"), 415
    yield "icon", saved(picture(), "ICO"), 415
    yield "gzip", b"\x1f\x8b\x08" + b"\0" * 30, 415
    yield "base64 of a jpeg", base64.b64encode(jpeg()), 415
    yield "data url", b"data:image/png;base64," + base64.b64encode(saved(picture(), "PNG")), 415
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.jpg", jpeg())
    yield "zip", archive.getvalue(), 415
    yield "jpeg of fill bytes", b"\xff\xd8" + b"\xff" * 3_000_000, 400
    yield "jpeg of a million segments", b"\xff\xd8" + b"\xff\xe0\0\x02" * 900_000, 400
    yield "png of chunks", b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes(13)) + chunk(b"abCd", b"") * 300_000, 400
    yield "jpeg that is a zip too", jpeg() + archive.getvalue(), ANSWERED
    yield "png that is html too", saved(picture(), "PNG") + b"<script>alert(1)</script>", ANSWERED
    yield "jpeg with padding behind", jpeg() + b"\0" * 4096, ANSWERED
    yield "two jpegs", jpeg() + jpeg(picture(40, 24)), ANSWERED
    yield "16 bit tiff", sixteen_bit_tiff(), ANSWERED
    yield "float tiff, 0 to 1", float_tiff(1 / 255), EITHER
    yield "float tiff, 0 to 255", float_tiff(1), EITHER


CORPUS = [*modes(), *encodings(), *orientations(), *several_frames(), *sizes(), *damaged(), *others()]


@pytest.fixture(scope="module")
def client(server):
    with httpx.Client(base_url=server.url, timeout=30) as opened:
        yield opened


def ask(client, data, content_type="application/octet-stream"):
    return client.post("/v1/detect", content=data, headers={"content-type": content_type})


def plain(data):
    """The same picture as an RGB PNG, upright, alpha dropped, as Pillow reads it."""
    image = ImageOps.exif_transpose(Pillow.open(io.BytesIO(data)))
    if image.mode in ("RGBA", "LA"):
        image = Pillow.merge(image.mode[:-1], image.split()[:-1])
    return saved(image.convert("RGB"), "PNG")


def found(response):
    (answer,) = response.json()["images"]
    objects = {item["label"]: list(item["box"].values()) for item in answer["detections"]}
    return (answer["image_width"], answer["image_height"]), objects


def test_the_corpus_is_large():
    assert len({name for name, _, _ in CORPUS}) == len(CORPUS) >= 80


@pytest.mark.parametrize(("data", "expected"), [item[1:] for item in CORPUS], ids=[item[0] for item in CORPUS])
def test_an_odd_input_is_refused_or_answered_rightly(client, data, expected):
    response = ask(client, data)
    status = response.status_code
    assert status < 500
    if isinstance(expected, int):
        assert status == expected, response.text
    if expected == ANSWERED:
        assert status == 200, response.text
    if expected == REFUSED:
        assert 400 <= status < 500
    if expected == UNKNOWABLE:
        return
    if status != 200:
        assert response.headers["content-type"] == "application/problem+json"
        return
    size, objects = found(response)
    expected_size, expected_objects = found(ask(client, plain(data), "image/png"))
    assert size == expected_size
    assert objects.keys() == expected_objects.keys()
    for label, box in objects.items():
        np.testing.assert_allclose(box, expected_objects[label], atol=1)


@pytest.mark.parametrize("content_type", ["image/png", "image/jpeg", "image/tiff", "application/octet-stream"])
def test_the_declared_type_does_not_matter_only_the_bytes(client, content_type):
    assert len(found(ask(client, jpeg(), content_type))[1]) == 3


def test_the_server_is_well_after_all_that(client):
    assert client.get("/health/ready").status_code == 200
    assert len(found(ask(client, jpeg()))[1]) == 3
