"""How much of the engine's speed reaches a client: one run, its figures as ratios.

    python benchmarks/serving.py --source . --seconds 8

Everything is measured on the same bundle, images and machine: one after the other, other servers in turns with ours.
A machine that does other work meanwhile gives no figures worth keeping. Needs what ``requirements/dev.txt`` installs.
"""

from __future__ import annotations

import argparse
import http.client
import importlib.util
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import cv2
import psutil
from http_load import free_ports, load, serving, together
from pictures import pictures
from pindet_serve.images import Image, decode_image
from pindet_serve.letterbox import Placement
from pindet_serve.serving.batcher import Batcher
from pindet_serve.serving.model import Model
from pindet_serve.serving.service import Service
from pindet_serve.serving.wanted import Wanted
from pindet_serve.settings import Settings
from rich.console import Console
from rich.table import Table

CLIENTS = 16
TURNS = 8
OTHERS = {
    "a plain handler": ("plain_handler.py", "session"),
    "a plain handler with our engine": ("plain_handler.py", "streams"),
    "LitServe with our engine": ("litserve_handler.py", "streams"),
}
Figures = dict[str, float]
FOLDER = Path(__file__).parent


def photographs(count: int = 24) -> list[bytes]:
    """JPEG files of 640x480 that cost a decoder what photographs do."""
    return [cv2.imencode(".jpg", image)[1].tobytes() for image in pictures(count)]


def batcher_share(model: Model, settings: Settings, seconds: float) -> float:
    """Images a second through the batcher, always full, over those of the bare engine on the same batches.

    The bare engine has as many threads as it has streams, and nothing to hand over between them.
    """
    sizes: list[int] = []
    canvas, _ = model.letterboxed(decode_image(photographs(1)[0]))
    batcher = Batcher(
        streams=model.streams,
        max_batch=settings.max_batch,
        max_wait_s=0,
        capacity=64,
        observe=lambda size, _: sizes.append(size),
    )
    batcher.start()
    started = time.perf_counter()
    waiting: list[Future[object]] = []
    while time.perf_counter() - started < seconds:
        while len(waiting) < 4 * settings.max_batch:
            waiting.append(batcher.submit(model, canvas, float("inf")))  # type: ignore[arg-type]
        waiting.pop(0).result()
    for left in waiting:
        left.result()
    batcher.stop()
    through = sum(sizes) / (time.perf_counter() - started)
    with ThreadPoolExecutor(model.streams) as pool:
        started = time.perf_counter()
        list(pool.map(lambda size: model.infer([canvas] * size, alone=False), sizes))
    return through * (time.perf_counter() - started) / sum(sizes)


def bare_rate(model: Model, settings: Settings, files: list[bytes], seconds: float) -> float:
    """Images a second of decoding and inferring, and nothing else.

    An engine with streams has a thread for each that does all of an image; else a pool decodes and one thread infers.
    """

    def prepared(number: int) -> tuple[Image, Placement]:
        return model.letterboxed(decode_image(files[number % len(files)]))

    def whole(number: int) -> None:
        canvas, placement = prepared(number)
        model.answer(model.infer([canvas], alone=False)[0], placement, Wanted())

    if model.streams > 1:
        until = time.perf_counter() + seconds
        counts = itertools.count()
        with ThreadPoolExecutor(model.streams) as pool:
            list(pool.map(lambda _: _repeat(whole, counts, until), range(model.streams)))
        return next(counts) / seconds

    count = 0
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        pending = [pool.submit(prepared, number) for number in range(4 * settings.max_batch)]
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            batch = [pending.pop(0).result() for _ in range(settings.max_batch)]
            pending += [pool.submit(prepared, count + number) for number in range(settings.max_batch)]
            raws = model.infer([canvas for canvas, _ in batch])
            for raw, (_, placement) in zip(raws, batch, strict=True):
                model.answer(raw, placement, Wanted())
            count += settings.max_batch
        return count / (time.perf_counter() - started)


def _repeat(work: Callable[[int], None], counts: Iterator[int], until: float) -> None:
    while time.perf_counter() < until:
        work(next(counts))


def idle_overhead_ms(port: int, model: Model, files: list[bytes], seconds: float) -> float:
    """Median of a request with nothing else going on, less that of decoding and inferring the same images here."""
    served: list[float] = []
    alone: list[float] = []
    until = time.perf_counter() + seconds
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while time.perf_counter() < until:
        file = files[len(served) % len(files)]
        started = time.perf_counter()
        connection.request("POST", "/v1/detect", file, {"Content-Type": "image/jpeg"})
        connection.getresponse().read()
        middle = time.perf_counter()
        model.detector.detect([decode_image(file)])
        served.append(middle - started)
        alone.append(time.perf_counter() - middle)
    connection.close()
    return 1000 * (statistics.median(served) - statistics.median(alone))


def overload(port: int, files: list[bytes], process: psutil.Process, rate: float, seconds: float) -> Figures:
    """Four times what the server can do, offered steadily."""
    before = process.memory_info().rss
    seen = load(port, files, seconds, clients=256, rate=4 * rate)
    refused = [answer for answer in seen.answers if answer[0] == 503]
    return {
        "overload: p99 of those answered, s": seen.quantile(0.99),
        "overload: share refused with 503": len(refused) / len(seen.answers),
        "overload: of those with Retry-After": sum(retry for *_, retry in refused) / max(1, len(refused)),
        "overload: answers that are neither": sum(status not in (200, 503) for status, *_ in seen.answers),
        "overload: memory grown, MiB": (process.memory_info().rss - before) / 2**20,
    }


def compared(name: str, command: list[str], port: int, our_port: int, files: list[bytes], seconds: float) -> Figures:
    """Our throughput and p99 over those of another server that has the same work, in turns with it."""
    with serving(command, port) as other:
        load(port, files, 1, CLIENTS)
        turns = [[load(each, files, seconds / TURNS, CLIENTS) for each in (our_port, port)] for _ in range(TURNS)]
        ours, theirs = (together(loads) for loads in zip(*turns, strict=True))
        return {
            f"over {name}: throughput": ours.rate() / theirs.rate(),
            f"over {name}: p99": ours.quantile(0.99) / theirs.quantile(0.99),
            f"{name}: resident memory after it, MiB": other.resident_mib(),
        }


def measure(settings: Settings, seconds: float) -> Figures:
    """Measure everything once."""
    service = Service(settings)
    service.start()
    model, files = service.model, photographs()
    figures = {"batcher over bare engine": batcher_share(model, settings, seconds)}
    bare = bare_rate(model, settings, files, seconds)
    figures["bare loop, images/s"] = bare
    port, *others = free_ports(1 + len(OTHERS))
    options = [f"--source={settings.source}", f"--state={settings.state}-server", f"--threads={settings.threads}"]
    with serving([sys.executable, "-m", "pindet_serve", f"--port={port}", *options], port) as running:
        figures["start-up until it answers, s"] = running.start_s
        figures["resident memory before the first request, MiB"] = running.resident_mib()
        saturated = load(port, files, seconds, CLIENTS)
        figures["HTTP over bare loop"] = saturated.rate() / bare
        figures["resident memory at saturation, MiB"] = running.resident_mib()
        figures["idle: p50 over decode and engine, ms"] = idle_overhead_ms(port, model, files, seconds)
        figures |= overload(port, files, running.process, saturated.rate(), seconds)
        bundle = str(settings.state / "store" / "bundles" / model.release.bundle_md5.removesuffix(".dir"))
        for (name, (script, engine)), other in zip(OTHERS.items(), others, strict=True):
            if script.startswith("litserve") and importlib.util.find_spec("litserve") is None:
                sys.stderr.write("LitServe is not installed and not compared; pip install litserve\n")
                continue
            arguments = [bundle, str(other), str(settings.threads), str(settings.max_batch), engine]
            command = [sys.executable, str(FOLDER / script), *arguments]
            figures |= compared(name, command, other, port, files, 4 * seconds)
    service.stop()
    return figures


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", default=".", help="as for pindet-serve")
    parser.add_argument("--seconds", type=float, default=8, help="how long each figure is measured")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads of one inference; 0 takes every core")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(source=arguments.source, state=Path(folder) / "state", threads=arguments.threads)
        figures = measure(settings, arguments.seconds)
    if arguments.json:
        sys.stdout.write(json.dumps(figures, indent=1) + "\n")
        return
    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name, f"{value:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
