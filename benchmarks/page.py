"""How long a frame of the page takes with 200 boxes while the threshold slider is dragged, in headless Chromium.

    PYTHONPATH=serve python benchmarks/page.py

Serves the bundle of the workspace (``make repro``), opens **Try**, lets an answer have 200 boxes, and moves the slider
as often as a mouse reports, ten times a frame, for some seconds; the same is timed while nothing moves. Without a
graphics card Chromium draws with the processor, so that this is the slowest that a page will be. Prints JSON: frames a
second and the 95th percentile of a frame in milliseconds of both, and the milliseconds of scripts in a frame.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
]  # fmt: skip
BOXES = 200
DRAG = """
async ([seconds, moves]) => {
  const slider = document.getElementById("threshold");
  const frame = () => new Promise(requestAnimationFrame);
  const times = [];
  let script = 0;
  let last = await frame();
  const end = last + 1000 * seconds;
  for (let n = 0; last < end; n++) {
    const start = performance.now();
    for (let move = 0; move < moves; move++) {
      slider.value = String(((n * moves + move) % 40) / 100);
      slider.dispatchEvent(new Event("input"));
    }
    script += performance.now() - start;
    const now = await frame();
    times.push(now - last);
    last = now;
  }
  times.sort((a, b) => a - b);
  const sum = times.reduce((a, b) => a + b, 0);
  return { frames_per_s: 1000 * times.length / sum, frame_p95_ms: times[Math.floor(0.95 * times.length)],
           handlers_ms_per_frame: script / times.length };
}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1920, "height": 1080})
        page.route("**/v1/detect*", lambda route: route.fulfill(json=answer()))
        page.goto(f"{address}/#/try")
        picture = Path(folder) / "picture.jpg"
        cv2.imwrite(str(picture), np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), np.uint8))
        page.set_input_files("input[type=file]", str(picture))
        page.wait_for_selector("#threshold:not([disabled])")
        page.wait_for_timeout(1000)
        moves = {"still": 0, "dragged": 10}
        result = {name: page.evaluate(DRAG, [options.seconds, count]) for name, count in moves.items()}
        browser.close()
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


def answer() -> dict[str, object]:
    """What the server would say of a picture with as many objects."""
    rng = np.random.default_rng(1)
    found = [
        {
            "label": f"class {i % 12}", "label_id": i % 12, "score": float(rng.uniform(0.01, 0.99)),
            "box": {"x1": float(x), "y1": float(y), "x2": float(x + w), "y2": float(y + h)},
        }
        for i, (x, y, w, h) in enumerate(rng.uniform((0, 0, 20, 20), (1700, 900, 200, 160), (BOXES, 4)))
    ]  # fmt: skip
    image = {"name": "picture.jpg", "image_width": 1920, "image_height": 1080, "detections": found}
    return {"model": {"name": "detector", "version": "v1", "md5": "0" * 32}, "images": [image]}


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a server of the workspace's bundle."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "pindet_serve", "--source", str(ROOT), "--port", str(port), "--state", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "serve")}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(300):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/health/ready", timeout=1):
                break
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(30)


if __name__ == "__main__":
    main()
