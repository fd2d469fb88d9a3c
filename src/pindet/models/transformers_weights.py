"""Pretrained weights of the ``transformers`` library's networks: from a local folder or, when asked, from the hub."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

from torch import Tensor

from pindet.models.hub import within_reach
from pindet.models.transformers_library import Library, single

HUB = "hub:"
PER_CLASS = ("class_embed", "enc_score_head")
"""Parts of which there is a row for each class: another data set's are of no use."""
REMEDY = (
    "offline, set model.weights to a folder that holds config.json and model.safetensors, or to 'none' for random "
    "weights"
)


class PretrainedWeightsError(ValueError):
    """The pretrained weights cannot be had or do not fit; the message names what can."""


def pretrained_state(library: Library, weights: str, config: Any) -> dict[str, Tensor]:
    """The tensors of a pretrained network that fit one of ``config``; those of its classes are left out.

    Args:
        weights: a folder, or ``hub:`` and a name.

    Raises:
        PretrainedWeightsError: no such folder, an unreachable hub, or a network of another shape.
    """
    place, on_hub = weights.removeprefix(HUB), weights.startswith(HUB)
    if not on_hub and not (Path(place) / "config.json").is_file():
        raise PretrainedWeightsError(f"model.weights is {weights!r}, and {place}/config.json does not exist; {REMEDY}")
    try:
        with within_reach() if on_hub else nullcontext():
            network, said = library.network_class.from_pretrained(
                place,
                config=config,
                local_files_only=not on_hub,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except Exception as error:  # the library and its hub client raise a dozen unrelated types
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        what = "the hub gives no weights" if on_hub else "the folder holds no weights that can be read"
        raise PretrainedWeightsError(f"model.weights is {weights!r}: {what}: {reason}; {REMEDY}") from error
    absent = {_name(key) for kind in ("missing_keys", "mismatched_keys") for key in said[kind]}
    wrong = sorted(name for name in absent if not any(part in name for part in PER_CLASS))
    if wrong:
        raise PretrainedWeightsError(
            f"model.weights is {weights!r}, which does not fit model.config: {len(wrong)} tensors differ, the first is "
            f"{wrong[0]!r}; make model.config agree with the config.json there"
        )
    state: dict[str, Tensor] = single(network).state_dict()
    return {name: value for name, value in state.items() if name not in absent and not name.endswith(PER_CLASS)}


def _name(key: Any) -> str:
    """Of a loading report's entry: a name, or a name with two shapes."""
    return str(key if isinstance(key, str) else key[0])
