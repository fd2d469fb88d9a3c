"""The kind of alpha of a TIFF is found wherever it is written, and nothing else is changed."""

import struct

import pytest
from pindet_serve.serving.tiff import read_tiff, with_colours_as_stored


def tiff(order, extra, big=False):
    """A directory of three entries, and the values of the third behind it where they do not fit."""
    word, inline = ("Q", 8) if big else ("I", 4)
    start = 16 if big else 8
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    head += struct.pack(order + "HHQ", 8, 0, start) if big else struct.pack(order + "I", start)
    values = struct.pack(f"{order}{len(extra)}H", *extra)
    behind = start + (8 if big else 2) + 3 * (20 if big else 12)
    field = values.ljust(inline, b"\0") if len(values) <= inline else struct.pack(order + word, behind)
    directory = struct.pack(order + ("Q" if big else "H"), 3)
    for tag, value in ((256, 7), (257, 5)):
        directory += struct.pack(order + "HH" + word + word, tag, 4, 1, value) if not (big or order == ">") else (
            struct.pack(order + "HH" + word, tag, 4, 1) + struct.pack(order + "I", value).ljust(inline, b"\0")
        )  # fmt: skip
    directory += struct.pack(order + "HH" + word, 338, 3, len(extra)) + field
    return head + directory + values


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("extra", [[2], [2, 0], [2, 0, 0], [2, 0, 0, 0, 0]])
def test_alpha_that_would_be_multiplied_is_called_one_that_is_not(order, extra, big):
    before = tiff(order, extra, big)
    header = read_tiff(before)
    assert (header.image_width, header.image_height) == (7, 5)
    after = with_colours_as_stored(before)
    changed = [at for at in range(len(before)) if before[at] != after[at]]
    assert len(changed) == 1 and changed[0] in (header.alpha_at, header.alpha_at + 1)
    assert struct.unpack_from(order + "H", after, header.alpha_at) == (1,)


@pytest.mark.parametrize("extra", [[0], [1], [0, 2, 2]])
def test_any_other_is_left_as_it_is(extra):
    data = tiff("<", extra)
    assert with_colours_as_stored(data) is data
