"""What a recipe of ``conf/`` reaches on a data set, over several seeds, and what it costs.

    python benchmarks/accuracy.py experiment=bccd --root /path/to/bccd    # the bccd recipe, seeds 0, 1 and 2
    python benchmarks/accuracy.py data=parts --seeds 0                    # the generated parts, one seed

Prepares the data once, trains and measures each seed in a process of its own on one thread, and prints a table. CPU
seconds are those of all processes of a seed: training and the measurements on both splits.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SEEDS = (0, 1, 2)
MEASURES = ("map", "map_50")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="as after -S: experiment=bccd, training.epochs=45")
    parser.add_argument("--root", type=Path, help="the data set: data.root")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)  # the folder of one seed's process
    options = parser.parse_args()
    overrides = [f"+{each}" if each.startswith("experiment=") else each for each in options.overrides]
    if options.root:
        overrides.append(f"data.root={options.root.resolve()}")
    if options.one:
        one(options.one, [*overrides, f"seed={options.seeds[0]}"])
        return
    with tempfile.TemporaryDirectory() as folder:
        rows = [measured(Path(folder), seed, sys.argv[1:]) for seed in options.seeds]
    sys.stdout.write(table(rows, options.seeds) + "\n")


def measured(folder: Path, seed: int, arguments: list[str]) -> dict[str, float]:
    """Run one seed in a process and return what it measured, with the CPU seconds that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, __file__, *arguments, "--one", str(folder), "--seeds", str(seed)]
    paths = os.pathsep.join(str(ROOT / name) for name in ("src", "serve"))
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    row: dict[str, float] = json.loads((folder / f"seed-{seed}.json").read_text(encoding="utf-8"))
    return row | {"cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def one(folder: Path, overrides: list[str]) -> None:
    """Train and measure one seed; the data are prepared by the first."""
    import logging

    from pindet.compose import compose_into
    from pindet.data.prepare import prepare
    from pindet.data.prepared import PreparedSplit
    from pindet.evaluation.metrics import coco_metrics
    from pindet.models.postprocess import Postprocess
    from pindet.models.predictor import Predictor
    from pindet.params import load_params
    from pindet.training.train import train

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("lightning").setLevel(logging.WARNING)
    compose_into(folder / "params.yaml", ROOT / "conf", overrides)
    params = load_params(folder / "params.yaml")
    seed, data, evaluation = params.build("seed"), params.build("data"), params.build("evaluation")
    if not (folder / "prepared").exists():
        prepare(
            data.source(seed), folder / "prepared", seed=seed, val_fraction=data.val_fraction,
            test_fraction=data.test_fraction, shard_count=data.shard_count, max_rejected=data.max_rejected,
        )  # fmt: skip
    splits = {name: PreparedSplit(folder / "prepared", name) for name in ("train", "val", "test")}
    model = params.build("model", num_classes=len(splits["train"].classes))
    result = train(
        model, params.build("training"), splits["train"], splits["val"], seed=seed, runtime=params.build("runtime"),
        resume=folder / f"resume-{seed}",
    )  # fmt: skip
    model.load_state_dict(result.state_dict)
    selection = Postprocess(
        nms_iou_threshold=evaluation.nms_iou_threshold, max_detections=evaluation.max_detections
    )
    predict = Predictor(model.eval(), selection)
    row = {}
    for name in ("val", "test"):
        split = splits[name]
        found = [answer for i in range(len(split)) for answer in predict([split.image(i)])]
        metrics = coco_metrics(split, found)
        row |= {f"{name}/{key}": metrics[key] for key in MEASURES}
    (folder / f"seed-{seed}.json").write_text(json.dumps(row), encoding="utf-8")


def table(rows: list[dict[str, float]], seeds: list[int]) -> str:
    """A Markdown table of the seeds, their mean, and their spread (highest less lowest)."""
    names = list(rows[0])
    lines = ["| seed | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for seed, row in zip(seeds, rows, strict=True):
        lines.append(f"| {seed} | " + " | ".join(_shown(name, row[name]) for name in names) + " |")
    columns = {name: [row[name] for row in rows] for name in names}
    lines.append("| mean | " + " | ".join(_shown(n, statistics.mean(v)) for n, v in columns.items()) + " |")
    lines.append("| spread | " + " | ".join(_shown(n, max(v) - min(v)) for n, v in columns.items()) + " |")
    return "\n".join(lines)


def _shown(name: str, value: float) -> str:
    return f"{value:.0f}" if name == "cpu_s" else f"{value:.3f}"


if __name__ == "__main__":
    main()
