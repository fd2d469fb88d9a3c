"""What the stages after the training add to its run. They observe: a store that is away fails no stage."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pindet.tracking.journal import Journal
from pindet.tracking.pending import send_now
from pindet.tracking.settings import TrackingSettings
from pindet.tracking.store import find_store
from pindet.tracking.values import flat_metrics


def log_evaluation(
    settings: TrackingSettings, root: Path, weights_md5: str, metrics: Mapping[str, Any], report: Path
) -> None:
    """Add test metrics and the report to the run that trained the weights.

    Without such a run (an untracked training, or weights that were pulled) a warning is all that happens.

    Args:
        settings: of tracking.
        root: the project.
        weights_md5: as DVC has it.
        metrics: numbers by ``test/…``; undefined ones are left out.
        report: a folder, which becomes the artifact ``evaluate``.
    """
    journal = _journal(settings, root, weights_md5, "evaluate")
    if journal:
        journal.append("metrics", rows=[_row(flat_metrics(metrics))])
        journal.append_files(report, "evaluate")
        send_now(find_store(root), journal)


def log_export(
    settings: TrackingSettings,
    root: Path,
    weights_md5: str,
    bundle_md5: str,
    parity: Mapping[str, Any],
    latency: Mapping[str, Any],
) -> None:
    """Tag the run that trained the weights with the bundle made of them, and add the bundle's measures.

    Args:
        settings: of tracking.
        root: the project.
        weights_md5: as DVC has it.
        bundle_md5: of ``models/bundle``, as DVC has it (``….dir``).
        parity: numbers, nested or not, which become ``export/parity/…``.
        latency: the same, as ``export/latency/…``.
    """
    journal = _journal(settings, root, weights_md5, "export")
    if journal:
        journal.append("tags", values={"pindet.bundle_md5": bundle_md5})
        values = flat_metrics(parity, "export/parity") | flat_metrics(latency, "export/latency")
        journal.append("metrics", rows=[_row(values)])
        send_now(find_store(root), journal)


def _journal(settings: TrackingSettings, root: Path, weights_md5: str, stage: str) -> Journal | None:
    if not settings.enabled:
        return None
    store = find_store(root)
    header = {
        "store": store.shown,
        "experiment": settings.experiment,
        "weights_md5": weights_md5,
        "dvc_exp": os.environ.get("DVC_EXP_NAME"),
    }
    return Journal(store.journals / f"{stage}-{weights_md5}-{os.getpid()}.jsonl", header)


def _row(values: dict[str, float]) -> dict[str, Any]:
    return {"values": values, "step": 0, "timestamp": int(time.time() * 1000)}  # ms, as MLflow has them
