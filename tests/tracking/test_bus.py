"""What the status bus hears of a training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pindet.tracking import bus
from pindet.tracking.bus import announced_training

PROGRESS: dict[str, Any] = {
    "epoch": 1, "epochs": 2, "epochs_done": 0, "step": 3, "steps": 8, "loss": 2.5, "map": None,
    "images_per_second": 9.0, "seconds_left": 5.0,
}  # fmt: skip


class Heard:
    """A bus that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        self.closed = False

    def publish(self, type: str, data: Mapping[str, Any]) -> bool:
        self.events.append((type, data))
        return True

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    heard = Heard()
    monkeypatch.setattr(bus, "open_publisher", lambda _environment: heard)
    monkeypatch.setenv("DVC_EXP_NAME", "brave-bolt")
    return heard


def test_a_training_is_told_from_its_beginning_to_its_end(heard: Heard) -> None:
    with announced_training("0123456789abcdef", 2) as tell:
        tell(PROGRESS)
        tell(PROGRESS | {"epochs_done": 1, "step": 4, "map": 0.25})
    about = {"run": "0123456789abcdef", "name": "brave-bolt", "epochs": 2}
    pace = {"steps": 8, "images_per_second": 9.0, "seconds_left": 5.0}
    assert heard.events == [
        ("training.started", about),
        ("training.progress", about | pace | {"epoch": 0, "step": 3}),
        ("training.progress", about | pace | {"epoch": 1, "step": 4, "metrics": {"train/loss": 2.5, "val/map": 0.25}}),
        ("training.finished", about | {"epoch": 1}),
    ]
    assert heard.closed


@pytest.mark.parametrize(
    ("error", "said"), [(ValueError("no data"), "ValueError: no data"), (KeyboardInterrupt(), "interrupted")]
)
def test_how_a_training_failed_is_told(heard: Heard, error: BaseException, said: str) -> None:
    with pytest.raises(type(error)), announced_training("abc", 2):
        raise error
    assert [(type, data.get("error")) for type, data in heard.events] == [
        ("training.started", None), ("training.failed", said),
    ]  # fmt: skip
    assert heard.closed


def test_an_address_that_is_none_costs_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("REDIS_URL", "http://nowhere")
    with announced_training("abc", 2) as tell:
        tell(PROGRESS)
    assert "the status bus hears nothing of this training" in caplog.text
