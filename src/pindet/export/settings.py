"""What the ``export`` group of the parameters configures."""

from __future__ import annotations

from dataclasses import dataclass

OPSETS = range(18, 24)
FORMATS = ("int8", "pt2")


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
        formats: further formats of the model in the bundle: ``int8`` (``model.int8.onnx``, convolutions in 8-bit
            integers) and ``pt2`` (``model.pt2``, of ``torch.export``, for the torch engine).
        max_map_drop: most that the test map of a format may be below that of ``model.onnx``.
        int8_calibration_images: validation images that set the ranges of the integers, at least 1.
        int8_box_tolerance, int8_score_tolerance: how far ``int8`` may be from the golden answers, in place of the
            other engines' tolerances.

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
    formats: list[str]
    max_map_drop: float
    int8_calibration_images: int
    int8_box_tolerance: float
    int8_score_tolerance: float

    def __post_init__(self) -> None:
        if self.opset not in OPSETS:
            raise ValueError(f"opset is {self.opset}; {OPSETS[0]} to {OPSETS[-1]} is allowed")
        unknown = [name for name in self.formats if name not in FORMATS]
        if unknown or len(set(self.formats)) != len(self.formats):
            raise ValueError(f"formats is {self.formats}; each of {', '.join(FORMATS)} is allowed once")
        for name in ("golden_images", "latency_runs", "int8_calibration_images"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; at least 1 is allowed")
        for name in ("golden_box_tolerance", "int8_box_tolerance"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; more than 0 pixels is allowed")
        for name in self.__dataclass_fields__:
            if name.startswith("parity_") or name.endswith("_score_tolerance") or name == "max_map_drop":
                value = getattr(self, name)
                if not 0 <= value <= 1:
                    raise ValueError(f"{name} is {value}; 0 to 1 is allowed")
