"""Trained model → ``models/bundle/`` and ``reports/export/``."""

import json
from pathlib import Path

from pindet_serve.detector import Detector

from pindet.data.prepared import PreparedSplit
from pindet.digests import dvc_md5
from pindet.export.export import export
from pindet.export.latency import measure_latency
from pindet.export.operating import read_operating_point
from pindet.files import write_json
from pindet.models.store import load_trained
from pindet.params import Params
from pindet.project import scratch
from pindet.stage import run_stage
from pindet.tracking.results import log_export

PREPARED = Path("data/prepared")
WEIGHTS = Path("models/weights.safetensors")
ARCHITECTURE = Path("models/architecture.json")
OPERATING_POINT = Path("models/operating_point.json")
METRICS = Path("metrics.json")
BUNDLE = Path("models/bundle")
PARITY = Path("reports/export/parity.json")
TIMED_IMAGES = 16


def main(params: Params) -> None:
    settings = params.build("export")
    test = PreparedSplit(PREPARED, "test")
    parity = export(
        load_trained(WEIGHTS, ARCHITECTURE),
        test,
        read_operating_point(OPERATING_POINT),
        settings,
        BUNDLE,
        metrics=json.loads(METRICS.read_text(encoding="utf-8")),
        data_md5=dvc_md5(PREPARED),
        calibration=PreparedSplit(PREPARED, "val"),
    )
    write_json(PARITY, parity)
    images = [test.image(i) for i in range(min(len(test), TIMED_IMAGES))]
    latency = measure_latency(Detector(BUNDLE), images, runs=settings.latency_runs)
    bundle_md5 = dvc_md5(BUNDLE)
    write_json(scratch("latency", f"{bundle_md5}.json"), latency)
    log_export(params.build("tracking"), Path(), dvc_md5(WEIGHTS), bundle_md5, parity, latency)


if __name__ == "__main__":
    run_stage("export", main)
