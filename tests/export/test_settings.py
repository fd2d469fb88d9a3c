"""The ``export`` group: what is in ``conf/`` builds, and impossible values are named."""

import dataclasses
from pathlib import Path

import hydra.utils
import pytest
from omegaconf import OmegaConf

from pindet.export.settings import ExportSettings

CONF = Path(__file__).parents[2] / "conf" / "export"


def test_the_configuration_builds():
    for path in CONF.glob("*.yaml"):
        assert isinstance(hydra.utils.instantiate(OmegaConf.load(path)), ExportSettings)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("opset", 17),
        ("golden_images", 0),
        ("latency_runs", 0),
        ("golden_box_tolerance", 0.0),
        ("golden_score_tolerance", 1.1),
        ("parity_min_iou", -0.1),
        ("parity_max_map_difference", 2.0),
    ],
)
def test_impossible_values_are_named(settings, key, value):
    with pytest.raises(ValueError, match=f"{key} is {value}"):
        dataclasses.replace(settings, **{key: value})
