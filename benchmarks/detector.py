"""How long a detector takes for one image: engines, precisions, image sizes and threads, as a table in Markdown.

    PYTHONPATH=src:serve python benchmarks/detector.py --iterations 100

Suppression is included, letterboxing is not. Every row is a ratio to ONNX Runtime in 32 bits at the same size and with
the same threads, measured in turns of a few images with it, so that a machine that slows down slows both, and each
works with the caches and threads of its own. A machine that does other work meanwhile gives no figures worth keeping.
``--against other.onnx`` times another detector's export beside it in the same engines: one input, float32
``[1, 3, H, W]``. With a trained model in ``models/`` its weights are timed, else random ones, which suppress more boxes
than a trained model does. Needs what ``requirements/dev.txt`` installs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import hydra.utils
import numpy as np
import onnxruntime
import openvino
import torch
from pictures import pictures
from pindet_serve.engine import DeviceMissingError
from pindet_serve.images import Image
from pindet_serve.letterbox import Letterbox
from pindet_serve.manifest import Manifest, ModelFormat, list_files, read_manifest, write_manifest
from pindet_serve.onnx_engine import MODEL, OnnxRuntimeEngine
from pindet_serve.serving.openvino import OpenVinoEngine
from rich.console import Console
from safetensors.torch import load_file

from pindet.compose import compose
from pindet.data.prepared import PreparedSplit
from pindet.export.bundle import write_model
from pindet.export.formats import FILES, INT8
from pindet.export.int8 import quantise
from pindet.export.operating import OperatingPoint
from pindet.models.contract import DetectionModel
from pindet.models.postprocess import select
from pindet.models.store import Trained

ROOT = Path(__file__).parents[1]
SIZES = ("320x416", "416x416", "480x640")
TURN, WARM_UP = 12, 2
"""Images in a row for one engine before it is the other's turn; the first of them are not counted."""
POINT = OperatingPoint(score_threshold=0.3, nms_iou_threshold=0.6, max_detections=100)
CALIBRATION = 32

Infer = Callable[[np.ndarray], Any]
"""Answers for images uint8 ``[N, H, W, 3]``."""


@dataclass(frozen=True)
class Row:
    """One line of the table: milliseconds for an image, and those of ONNX Runtime in 32 bits beside it."""

    size: str
    threads: int
    engine: str
    precision: str
    p50: float
    p95: float
    beside: float


def photographs(split: Path) -> list[Image]:
    """Images of the prepared validation split; pictures with structure where there is none."""
    if (split / "val").is_dir():
        images = PreparedSplit(split, "val")
        return [images.image(i) for i in range(min(CALIBRATION, len(images)))]
    return list(pictures(CALIBRATION))


def load(models: Path, name: str, size: str) -> Trained:
    """The trained model, or ``conf/model/<name>.yaml`` with random weights, for images of that size."""
    height, width = map(int, size.split("x"))
    architecture, weights = models / "architecture.json", models / "weights.safetensors"
    trained = architecture.is_file() and weights.is_file() and not name
    if trained:
        content = json.loads(architecture.read_text("utf-8"))
        config, classes = content["model"], content["classes"]
    else:
        config = compose(ROOT / "conf", [f"model={name or 'pindet_n'}"])["model"]
        classes = [f"class {i}" for i in range(5)]
    config |= {"image_height": height, "image_width": width}
    model: DetectionModel = hydra.utils.instantiate(config, num_classes=len(classes), _convert_="all")
    if trained:
        model.load_state_dict(load_file(weights))
    else:
        model.initialise(0)
    return Trained(model.eval(), list(classes))


def make_bundle(folder: Path, trained: Trained, images: Sequence[Image]) -> Manifest:
    """A bundle with ``model.onnx`` and its int8 format, without golden answers."""
    write_model(folder, trained, POINT, opset=20, metrics={}, data_md5="0" * 32)
    letterbox = Letterbox(trained.model.image_height, trained.model.image_width)
    quantise(folder / MODEL, folder / FILES[INT8], (letterbox(image)[0] for image in images))
    formats = {INT8: ModelFormat(FILES[INT8], 8.0, 0.25, {})}
    manifest = replace(read_manifest(folder), files=list_files(folder), formats=formats)
    write_manifest(folder, manifest)
    return manifest


def engines(folder: Path, manifest: Manifest, model: DetectionModel, threads: int) -> Iterator[tuple[str, str, Infer]]:
    """Each engine and precision, opened; ONNX Runtime in 32 bits first."""
    for engine, opener in (("ONNX Runtime", OnnxRuntimeEngine), ("OpenVINO", OpenVinoEngine)):
        for precision in ("fp32", "int8"):
            asked: dict[str, Any] = {"model_format": INT8} if precision == "int8" else {}
            yield engine, precision, opener(folder, manifest, threads=threads, **asked).infer  # type: ignore[arg-type]
    with contextlib.suppress(DeviceMissingError):
        yield "OpenVINO", "bf16", OpenVinoEngine(folder, manifest, threads=threads, half=True).infer
    yield "torch", "fp32", partial(in_torch, model, threads)


def others(path: Path, size: tuple[int, int], threads: int) -> Iterator[tuple[str, str, Infer]]:
    """Another's detector in both engines, told as much of the machine as ours are told."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    yield "ONNX Runtime", path.stem, lambda images: session.run(None, {given.name: as_floats(images)})
    core = openvino.Core()
    read = core.read_model(path)
    read.reshape({read.input(0): [1, 3, *size]})
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    for precision in ("f32", "bf16"):
        if precision == "f32" or "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            compiled = core.compile_model(read, "CPU", hints | {"INFERENCE_PRECISION_HINT": precision})
            yield "OpenVINO", f"{path.stem} {precision}", partial(in_openvino, compiled)


def in_openvino(compiled: openvino.CompiledModel, images: np.ndarray) -> Any:
    """Another's detector in OpenVINO."""
    return compiled([as_floats(images)])


def as_floats(images: np.ndarray) -> np.ndarray:
    """Images uint8 ``[N, H, W, 3]`` as such a detector takes them, float32 ``[N, 3, H, W]`` from 0 to 1."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32) / 255


@torch.inference_mode()
def in_torch(model: DetectionModel, threads: int, images: np.ndarray) -> Any:
    """The model itself and its selection."""
    torch.set_num_threads(threads)
    candidates = model.candidates(torch.from_numpy(images).permute(0, 3, 1, 2))
    return select(*candidates, POINT.postprocess().of(model))


def measure(one: Infer, other: Infer, canvases: Sequence[Image], iterations: int) -> tuple[list[float], list[float]]:
    """Milliseconds of both for single images, in turns; at least ``iterations`` of each."""
    images = [np.ascontiguousarray(canvas)[None] for canvas in canvases]
    milliseconds: tuple[list[float], list[float]] = ([], [])
    while len(milliseconds[1]) < iterations:
        for infer, kept in zip((one, other), milliseconds, strict=True):
            turn = []
            for i in range(TURN):
                started = time.perf_counter()
                infer(images[i % len(images)])
                turn.append(1000 * (time.perf_counter() - started))
            kept += turn[WARM_UP:]
    return milliseconds


def rows(arguments: argparse.Namespace, say: Callable[[str], None]) -> Iterator[Row]:
    """Measure everything that is asked for."""
    images = photographs(arguments.prepared)
    for size in arguments.sizes:
        say(f"{size}: exporting and quantising")
        trained = load(arguments.models, arguments.model, size)
        letterbox = Letterbox(trained.model.image_height, trained.model.image_width)
        canvases = [letterbox(image)[0] for image in images]
        with tempfile.TemporaryDirectory() as folder:
            manifest = make_bundle(Path(folder), trained, images)
            for threads in arguments.threads:
                opened = list(engines(Path(folder), manifest, trained.model, threads))
                if arguments.against is not None:
                    shape = trained.model.image_height, trained.model.image_width
                    opened += others(arguments.against, shape, threads)
                for engine, precision, infer in opened:
                    say(f"{size}, {threads} threads: {engine} {precision}")
                    own, beside = measure(infer, opened[0][2], canvases, arguments.iterations)
                    p95 = float(np.quantile(own, 0.95))
                    yield Row(size, threads, engine, precision, statistics.median(own), p95, statistics.median(beside))


def markdown(found: Sequence[Row]) -> str:
    """The table."""
    lines = [
        "| size | threads | engine | precision | p50 ms | p95 ms | ratio to ONNX Runtime fp32 |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.size} | {row.threads} | {row.engine} | {row.precision} | {row.p50:.1f} | {row.p95:.1f} "
        f"| {row.p50 / row.beside:.2f} |"
        for row in found
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write the table to the standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="folder of a trained model")
    parser.add_argument("--model", default="", help="instead: a name of conf/model, with random weights")
    parser.add_argument("--against", type=Path, help="another's detector as ONNX, for one of --sizes")
    parser.add_argument("--prepared", type=Path, default=ROOT / "data/prepared", help="images to time with")
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="HEIGHTxWIDTH")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--iterations", type=int, default=100)
    console = Console(stderr=True)
    sys.stdout.write(markdown(list(rows(parser.parse_args(), lambda text: console.print(text, highlight=False)))))


if __name__ == "__main__":
    main()
