"""A training announced on the status bus, where ``REDIS_URL`` names one: the page of the server shows it as it goes."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from pindet_serve.status.publisher import Publisher, open_publisher

from pindet.tracking.run import rank

logger = logging.getLogger(__name__)

Report = Mapping[str, float | int | None]


@contextmanager
def announced_training(run: str, epochs: int) -> Iterator[Callable[[Report], None]]:
    """Say on the bus that a training begins and how it ends; yield what tells it how far it is.

    Nothing here stops or holds up the training: a bus that can not be used is one warning. Only rank 0 tells.

    Args:
        run: what names the training among others.
        epochs: of it.
    """
    publisher = _open() if rank() == 0 else open_publisher({})
    about = {"run": run, "name": os.environ.get("DVC_EXP_NAME") or run[:12], "epochs": epochs}
    reached: dict[str, float | int | None] = {}

    def tell(report: Report) -> None:
        metrics = {"train/loss": report["loss"], "val/map": report["map"]}
        of_epoch = {"metrics": {key: value for key, value in metrics.items() if value is not None}}
        is_end = report["epochs_done"] == report["epoch"]
        told = {key: report[key] for key in ("step", "steps", "images_per_second", "seconds_left")}
        told["epoch"] = reached["epoch"] = report["epochs_done"]
        publisher.publish("training.progress", about | told | (of_epoch if is_end else {}))

    publisher.publish("training.started", about)
    try:
        yield tell
    except BaseException as error:
        publisher.publish("training.failed", about | reached | {"error": _said(error)})
        raise
    else:
        publisher.publish("training.finished", about | reached)
    finally:
        publisher.close()


def _open() -> Publisher:
    try:
        return open_publisher(os.environ)
    except ValueError as error:
        logger.warning("the status bus hears nothing of this training: %s", error)
        return open_publisher({})


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300] if isinstance(error, Exception) else "interrupted"
