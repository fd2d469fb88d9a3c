"""Trained model → ``metrics.json``, ``models/operating_point.json`` and ``reports/evaluate/``."""

from pathlib import Path

from pindet.data.prepared import PreparedSplit
from pindet.digests import dvc_md5
from pindet.evaluation.evaluate import evaluate
from pindet.files import write_json
from pindet.models.postprocess import Postprocess
from pindet.models.predictor import Predictor
from pindet.models.store import load_trained
from pindet.params import Params
from pindet.resuming import remove_finished
from pindet.stage import run_stage
from pindet.tracking.results import log_evaluation

PREPARED = Path("data/prepared")
WEIGHTS = Path("models/weights.safetensors")
ARCHITECTURE = Path("models/architecture.json")
OPERATING_POINT = Path("models/operating_point.json")
METRICS = Path("metrics.json")
REPORT = Path("reports/evaluate")


def main(params: Params) -> None:
    remove_finished(dvc_md5(WEIGHTS))  # which DVC has recorded, or this stage would not run
    settings = params.build("evaluation")
    trained = load_trained(WEIGHTS, ARCHITECTURE)
    selection = Postprocess(
        nms_iou_threshold=settings.nms_iou_threshold, max_detections=settings.max_detections
    )
    device = params.build("runtime").torch_device
    predict = Predictor(trained.model, selection, device, settings.batch_size)
    val, test = (PreparedSplit(PREPARED, name) for name in ("val", "test"))
    evaluation = evaluate(predict, val, test, settings, REPORT)
    write_json(OPERATING_POINT, evaluation.operating_point)
    write_json(METRICS, evaluation.metrics)
    # The run has its validation metrics, epoch by epoch, from the training.
    measured = {key: value for key, value in evaluation.metrics.items() if key.startswith("test/")}
    log_evaluation(params.build("tracking"), Path(), dvc_md5(WEIGHTS), measured, REPORT)


if __name__ == "__main__":
    run_stage("evaluate", main)
