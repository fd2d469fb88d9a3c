"""What is used of the ``transformers`` library, imported when it is needed and not before."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

NAMES = {"d_fine": "DFine", "rt_detr_v2": "RTDetrV2"}


class Library:
    """The classes of one architecture.

    Args:
        architecture: a key of :data:`NAMES`.

    Raises:
        ValueError: an unknown architecture, or the library is not installed.
    """

    def __init__(self, architecture: str) -> None:
        if architecture not in NAMES:
            raise ValueError(f"architecture is {architecture!r}; {', '.join(NAMES)} are allowed")
        # The library's checks of its own shapes cannot be exported; this switch of its is made for that.
        os.environ.setdefault("TRANSFORMERS_DISABLE_TORCH_CHECK", "1")
        try:
            import transformers
        except ImportError as error:
            raise ValueError(
                f"{architecture} is a model of the package transformers, which is not installed; "
                "`pip install transformers`, or choose another model"
            ) from error
        name = NAMES[architecture]
        self.architecture = architecture
        self.config_class: Any = getattr(transformers, f"{name}Config")
        self.network_class: Any = getattr(transformers, f"{name}ForObjectDetection")

    def config(self, values: Mapping[str, Any]) -> Any:
        """A configuration with ``values`` in place of the defaults.

        Raises:
            ValueError: a key that the architecture does not have, or a value that it refuses.
        """
        known = [field.name for field in fields(self.config_class)] + ["num_labels"]
        for key in values:
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                hint = f", did you mean {near[0]!r}?" if near else "; see the library's documentation"
                raise ValueError(f"config has the unknown key {key!r} for {self.architecture}{hint}")
        try:
            return self.config_class(**values)
        except Exception as error:  # the library checks values with types of its own
            raise ValueError(f"config of {self.architecture}: {error}") from error

    def build(self, config: Any) -> Any:
        """A network with random weights."""
        return single(self.network_class(config))

    def stand_in(self, channels: Sequence[int]) -> dict[str, Any]:
        """The smallest backbone of the library's own with these channels: something else will take its place."""
        widths = [channels[0], *channels]
        if self.architecture == "rt_detr_v2":
            own = {"model_type": "rt_detr_resnet", "embedding_size": 8, "hidden_sizes": widths, "depths": [1] * 4}
            return own | {"layer_type": "basic", "out_indices": [2, 3, 4]}
        return {
            "model_type": "hgnet_v2",
            "stem_channels": [3, 8, 8],
            "stage_in_channels": [8, *widths[:3]],
            "stage_mid_channels": [8] * 4,
            "stage_out_channels": widths,
            "stage_num_blocks": [1] * 4,
            "stage_numb_of_layers": [1] * 4,
            "hidden_sizes": widths,
            "out_indices": [2, 3, 4],
        }


def single(network: Any) -> Any:
    """The network without its second names for the decoder's heads: each tensor is to be kept and averaged once."""
    del network.class_embed, network.bbox_embed
    return network
