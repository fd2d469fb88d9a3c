"""What the ``export`` group of the parameters configures."""

from __future__ import annotations

from dataclasses import dataclass

OPSETS = range(18, 24)


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """How the bundle is made, and what it must live up to.

    Attributes:
        opset: version of the ONNX operators of ``model.onnx``.
        golden_images: how many images of the test split go into the bundle with their answers, at least 1.
        golden_box_tolerance: how far an engine may be from the corner of a golden box, pixels.
        golden_score_tolerance: how far an engine may be from a golden score.
        parity_score_floor: objects of a lower score are not compared; the map still sees them.
        parity_min_iou: least IoU of an object of the trained model and the one of the bundle that answers to it.
        parity_max_score_difference: most difference of their scores.
        parity_max_unmatched_fraction: share of all objects that may be without a counterpart. Two boxes on one thing
            whose scores differ by a rounding error are enough for one: suppression keeps the other box.
        parity_max_map_difference: most difference of the two test maps, either way.
        latency_runs: how many single images are timed.

    Raises:
        ValueError: a value outside what is allowed.
    """

    opset: int
    golden_images: int
    golden_box_tolerance: float
    golden_score_tolerance: float
    parity_score_floor: float
    parity_min_iou: float
    parity_max_score_difference: float
    parity_max_unmatched_fraction: float
    parity_max_map_difference: float
    latency_runs: int

    def __post_init__(self) -> None:
        if self.opset not in OPSETS:
            raise ValueError(f"opset is {self.opset}; {OPSETS[0]} to {OPSETS[-1]} is allowed")
        for name in ("golden_images", "latency_runs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; at least 1 is allowed")
        if not self.golden_box_tolerance > 0:
            raise ValueError(f"golden_box_tolerance is {self.golden_box_tolerance}; more than 0 pixels is allowed")
        for name in self.__dataclass_fields__:
            if name.startswith("parity_") or name == "golden_score_tolerance":
                value = getattr(self, name)
                if not 0 <= value <= 1:
                    raise ValueError(f"{name} is {value}; 0 to 1 is allowed")
