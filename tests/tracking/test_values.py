from __future__ import annotations

import pytest
from mlflow.utils.validation import _validate_metric_name

from pindet.tracking.values import differing, flat_metrics, flat_params, metric_key


def test_parameters_are_named_by_their_groups() -> None:
    params = {"seed": 1, "model": {"on": True, "size": [4, 3], "none": None, "name": "ü", "deep": {"lr": 0.1}}}
    assert flat_params(params) == {
        "seed": "1",
        "model.on": "true",
        "model.size": "[4, 3]",
        "model.none": "null",
        "model.name": "ü",
        "model.deep.lr": "0.1",
    }


def test_metrics_are_defined_numbers() -> None:
    metrics = {"a": 1, "b": {"c": 0.5, "d": float("nan")}, "e": True, "f": None, "g": "text", "h": float("inf")}
    assert flat_metrics(metrics, "test") == {"test/a": 1.0, "test/b/c": 0.5}


@pytest.mark.parametrize("key", ["test/map/人", "test/map/a b", "val/map_50"])
def test_allowed_keys_stay(key: str) -> None:
    assert metric_key(key) == key


def test_other_keys_become_allowed_and_stay_different() -> None:
    keys = ["test/map/a&b", "test/map/a|b", "test/map/..", "test/map/.", "/a", "a//b", "a/", "x" * 500, "x" * 501]
    allowed = [metric_key(key) for key in keys]
    for key in allowed:
        _validate_metric_name(key)
    assert len(set(allowed)) == len(keys)


def test_what_differs_is_told_side_by_side() -> None:
    sides = [{"seed": "0", "training.lr": "0.1"}, {"seed": "0", "training.lr": "0.2", "training.patience": "3"}]
    assert differing(sides) == {"training.lr": ["0.1", "0.2"], "training.patience": ["–", "3"]}
    assert differing(sides[:1]) == differing([]) == {}
