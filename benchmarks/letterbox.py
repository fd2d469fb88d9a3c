"""How long it takes to bring an image into the model's input: ``pyramid``, which is the way, beside ``area``.

    PYTHONPATH=serve python benchmarks/letterbox.py

Processor time of one thread for one image, both ways in turns, and how far the two pictures are apart.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator

import cv2
import numpy as np
from pictures import pictures
from pindet_serve.images import Image
from pindet_serve.letterbox import Letterbox

SIZES = ("640x480", "1280x720", "1280x960", "1281x961", "1920x1080", "4000x3000")
INPUT = 320, 416
TURN = 3


def picture(width: int, height: int) -> Image:
    """Structure of all sizes down to a few pixels."""
    (small,) = pictures(1)
    return np.asarray(cv2.resize(small, (width, height)), np.uint8)


def milliseconds(letterbox: Letterbox, image: Image) -> Iterator[float]:
    """Processor time of each of a few calls in a row; the first is not counted."""
    for i in range(TURN + 1):
        started = time.thread_time()
        letterbox(image)
        if i:
            yield 1000 * (time.thread_time() - started)


def row(size: str, iterations: int) -> str:
    """One line of the table."""
    image = picture(*map(int, size.split("x")))
    ways = [Letterbox(*INPUT, resampling="pyramid"), Letterbox(*INPUT, resampling="area")]
    times: list[list[float]] = [[], []]
    while len(times[0]) < iterations:
        for way, kept in zip(ways, times, strict=True):
            kept += milliseconds(way, image)
    pyramid, area = map(statistics.median, times)
    apart = np.abs(np.subtract(*(way(image)[0].astype(int) for way in ways))).mean()
    return f"| {size} | {pyramid:.2f} | {area:.2f} | {pyramid / area:.2f} | {apart:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="WIDTHxHEIGHT")
    parser.add_argument("--iterations", type=int, default=30)
    options = parser.parse_args()
    cv2.setNumThreads(1)  # what a thread takes, not what it hands to others
    sys.stdout.write("| image | pyramid ms | area ms | ratio | mean difference, grey levels |\n|---|---|---|---|---|\n")
    for size in options.sizes:
        sys.stdout.write(row(size, options.iterations) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
