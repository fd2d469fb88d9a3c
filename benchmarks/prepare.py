"""Prepare many small images: peak memory, speed against a plain copy, and what DVC takes for it.

    PYTHONPATH=src:serve python benchmarks/prepare.py --images 50000

makes a YOLO data set in a temporary folder and, in this one run, measures

- preparing a fifth of the images and all of them, each in a process of its own: peak resident memory and images/s;
- a plain copy of the same image files (``shutil.copytree``): images/s, and the ratio of the two;
- ``dvc add`` and ``dvc push`` to a remote in a local folder, of the prepared data and of a folder with one file per
  image and the same annotations, as ratios.

Times depend on the machine and on what else it does: compare the ratios, and those only roughly. Files that were
just written are read from memory, which favours the copy. Writes JSON to stdout; exits 1 if preparing took more memory
than it may.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

logger = logging.getLogger("benchmarks.prepare")
HEIGHT, WIDTH = 72, 96
MOST_MEMORY_MB = 600
CHILD = """
import sys, time
from pathlib import Path
from pindet.data.prepare import prepare
from pindet.data.yolo import YoloSource
start = time.perf_counter()
prepare(YoloSource(Path(sys.argv[1])), Path(sys.argv[2]), seed=0, val_fraction=0.1, test_fraction=0.1,
        shard_count=8, max_rejected=0)
seconds = time.perf_counter() - start
status = Path("/proc/self/status").read_text()
peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
sys.stdout.write(f"{seconds} {peak}")
"""


def make_images(root: Path, count: int) -> None:
    """Write a YOLO folder of ``count`` different JPEGs with two boxes each."""
    rng = np.random.default_rng(0)
    for number in range(count):
        folder = f"{number // 1000:03d}"
        if number % 1000 == 0:
            (root / "images" / folder).mkdir(parents=True)
            (root / "labels" / folder).mkdir(parents=True)
        pixels = cv2.resize(rng.integers(0, 256, (9, 12, 3), np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(root / "images" / folder / f"{number:06d}.jpg"), pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])
        boxes = "".join(f"{c} {x:.6f} {y:.6f} 0.2 0.2\n" for c, (x, y) in enumerate(rng.uniform(0.1, 0.9, (2, 2))))
        (root / "labels" / folder / f"{number:06d}.txt").write_text(boxes)
    (root / "data.yaml").write_text("names: [a, b]\n")


def prepare_apart(source: Path, output: Path) -> tuple[float, float]:
    """Prepare in a process of its own; return seconds and the peak of its resident memory in MB."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(source), str(output)], check=True, stdout=subprocess.PIPE, text=True
    )
    seconds, kilobytes = done.stdout.split()
    return float(seconds), int(kilobytes) * 1024 / 1e6


def copy_seconds(source: Path, target: Path) -> float:
    """Copy a folder file by file."""
    start = time.perf_counter()
    shutil.copytree(source, target)
    return time.perf_counter() - start


def dvc_seconds(folder: Path, work: Path) -> dict[str, float]:
    """Seconds of ``dvc add`` and ``dvc push`` of ``folder``, which is moved into a repository with a local remote."""
    repository = work / "repository"
    repository.mkdir(parents=True)
    folder.rename(repository / "data")
    environment = os.environ | {"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(work / "site")}

    def dvc(*arguments: str) -> float:
        start = time.perf_counter()
        command = [sys.executable, "-m", "dvc", *arguments]
        subprocess.run(command, cwd=repository, env=environment, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start

    dvc("init", "--no-scm", "--quiet")
    dvc("remote", "add", "--quiet", "--default", "here", str(work / "remote"))
    return {"add": dvc("add", "--quiet", "data"), "push": dvc("push", "--quiet")}


def measure(count: int, work: Path) -> dict[str, dict[str, Any]]:
    """Measure everything in the folder ``work``."""
    logger.info("making %d images", count)
    make_images(work / "few", count // 5)
    make_images(work / "all", count)
    logger.info("preparing")
    few_seconds, few_peak = prepare_apart(work / "few", work / "prepared_few")
    seconds, peak = prepare_apart(work / "all", work / "prepared")
    logger.info("copying")
    copying = copy_seconds(work / "all" / "images", work / "one_file_each" / "images")
    for split in ("train", "val", "test"):
        shutil.copy(work / "prepared" / split / "annotations.json", work / "one_file_each" / f"{split}.json")
    logger.info("dvc add and dvc push")
    shards = dvc_seconds(work / "prepared", work / "dvc_shards")
    files = dvc_seconds(work / "one_file_each", work / "dvc_files")
    return {
        "prepare": {
            "images": count,
            f"peak_mb_of_{count // 5}_images": round(few_peak),
            "peak_mb": round(peak),
            "images_per_second": round(count / seconds),
            "images_per_second_of_a_fifth": round(count // 5 / few_seconds),
            "plain_copy_images_per_second": round(count / copying),
            "seconds_per_second_of_copy": round(seconds / copying, 2),
        },
        "dvc": {
            step: {
                "shards_seconds": round(shards[step], 2),
                "one_file_each_seconds": round(files[step], 2),
                "times_faster": round(files[step] / shards[step], 1),
            }
            for step in ("add", "push")
        },
    }


def main() -> None:
    """Measure and write JSON to stdout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=50_000, help="how many, at least 100 (default: 50000)")
    parser.add_argument("--folder", type=Path, help="where to make the temporary folder (about 1.5 GB)")
    arguments = parser.parse_args()
    if arguments.images < 100:
        parser.error(f"--images is {arguments.images}; allowed is 100 or more")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with tempfile.TemporaryDirectory(prefix="pindet-benchmark-", dir=arguments.folder) as folder:
        figures = measure(arguments.images, Path(folder).resolve())
        # Before the folder goes: removing so many files can take minutes on a busy disk.
        sys.stdout.write(json.dumps(figures, indent=2) + "\n")
        sys.stdout.flush()
    if (peak := figures["prepare"]["peak_mb"]) > MOST_MEMORY_MB:
        sys.exit(f"preparing took {peak} MB; at most {MOST_MEMORY_MB} are allowed")


if __name__ == "__main__":
    main()
