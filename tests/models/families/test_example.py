"""The example of docs/models.md, as it stands there: configured, trained, stored and exported."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from omegaconf import OmegaConf
from pindet_serve.golden import load_proven

from pindet.data.prepared import PreparedSplit
from pindet.export.export import export
from pindet.export.operating import OperatingPoint
from pindet.export.settings import ExportSettings
from pindet.models.predictor import Predictor
from pindet.models.store import load_trained, save_trained
from pindet.params import Params, ParamsError
from pindet.training.augmentation import Augmentation
from pindet.training.runtime import Runtime
from pindet.training.settings import TrainingSettings
from pindet.training.train import train

DOCUMENT = Path(__file__).parents[3] / "docs" / "models.md"
CONF = Path(__file__).parents[3] / "conf"
POINT = OperatingPoint(score_threshold=0.2, nms_iou_threshold=0.6, max_detections=20)


@pytest.fixture
def described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The documented configuration, after the documented module was put where the document says."""
    text = DOCUMENT.read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (config,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (path,) = re.findall(r"`src/(pindet/models/\w+)\.py`:", text)
    module_name = path.replace("/", ".")
    file = tmp_path / "documented.py"
    file.write_text(code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(module_name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, module_name, module)
    monkeypatch.setattr(sys.modules["pindet.models"], module_name.rpartition(".")[2], module, raising=False)
    parsed: dict[str, object] = yaml.safe_load(config)
    return parsed


def params_of(model: dict[str, object]) -> Params:
    return Params(OmegaConf.create({"model": model}))


def test_the_documented_model_goes_from_configuration_to_bundle(
    described: dict[str, object], splits: dict[str, PreparedSplit], tmp_path: Path
) -> None:
    config = described | {"image_height": 64, "image_width": 96}
    model = params_of(config).build("model", num_classes=2)
    still = Augmentation(**dict.fromkeys(Augmentation.__dataclass_fields__, 0.0))
    training = OmegaConf.to_container(OmegaConf.load(CONF / "training/default.yaml"))
    assert isinstance(training, dict)
    values = {str(key): value for key, value in training.items() if key not in ("_target_", "augmentation")}
    changed = {"epochs": 30, "batch_size": 3, "lr": 0.01, "frozen_stages": 0, "validate_every": 30, "ema_decay": 0.5}
    result = train(
        model,
        TrainingSettings(**(values | changed), augmentation=still),
        splits["train"],
        splits["val"],
        seed=0,
        runtime=Runtime(accelerator="cpu", devices=1, workers=0),
        resume=tmp_path / "resume",
    )
    first, last = result.history[0]["train/loss"], result.history[-1]["train/loss"]
    assert first is not None and last is not None and last < first / 2
    model.load_state_dict(result.state_dict)
    stored = tmp_path / "w.safetensors", tmp_path / "a.json"
    save_trained(*stored, model, config, ["blue", "red"])
    trained = load_trained(*stored)
    exporting = OmegaConf.to_container(OmegaConf.load(CONF / "export/default.yaml"))
    assert isinstance(exporting, dict)
    settings = ExportSettings(**{str(key): value for key, value in exporting.items() if key != "_target_"})
    export(trained, splits["test"], POINT, settings, tmp_path / "bundle", metrics={}, data_md5="0" * 32)
    pictures = [splits["test"].image(i) for i in range(3)]
    expected = Predictor(trained.model, POINT.postprocess())(pictures)
    for one, other in zip(
        load_proven(tmp_path / "bundle").detect(pictures, score_threshold=0), expected, strict=True
    ):
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)
        assert one.labels.tolist() == other.labels.tolist()
        assert len(one) > 0


def test_its_configuration_is_checked_by_its_signature(described: dict[str, object]) -> None:
    with pytest.raises(ParamsError, match="unknown key 'channel', did you mean 'channels'"):
        params_of(described | {"channel": 3}).build("model", num_classes=2)
    with pytest.raises(ParamsError, match=r"model\.channels is 'many'"):
        params_of(described | {"channels": "many"}).build("model", num_classes=2)


def test_a_batch_without_objects_is_a_batch(described: dict[str, object]) -> None:
    from pindet.models.contract import Target

    model = params_of(described | {"image_height": 64, "image_width": 96}).build("model", num_classes=2)
    nothing = Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    losses = model.loss(torch.zeros(1, 3, 64, 96, dtype=torch.uint8), [nothing])
    assert torch.isfinite(sum(losses.values()))


def test_the_document_names_every_model_that_can_be_chosen() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert not [path.stem for path in (CONF / "model").glob("*.yaml") if f"`{path.stem}`" not in text]
