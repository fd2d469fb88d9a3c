"""A detection transformer's forward pass in evaluation, so written that it exports with a free batch size.

The library's own asks for the length of a batch in a way that fixes it in an exported graph. The parts are the
library's; a test holds the two to the same answers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pindet.models.ranking import best_first


def infer(network: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Answers of the last layer of the decoder.

    Args:
        network: in evaluation mode, built for images of one size.
        pixels: float32 ``[N, 3, H, W]``.

    Returns:
        logits ``[N, Q, C]`` and boxes ``[N, Q, 4]``: centre, width and height as shares of the image's sides.
    """
    model = network.model
    sources = _sources(model, pixels)
    memory = torch.cat([source.flatten(2).transpose(1, 2) for source in sources], 1)
    encoded = model.enc_output(model.valid_mask.to(memory) * memory)
    best = best_first(model.enc_score_head(encoded).max(-1).values, model.config.num_queries)[..., None]
    points = (model.enc_bbox_head(encoded) + model.anchors.to(memory)).gather(1, best.expand(-1, -1, 4))
    shapes = [(source.shape[2], source.shape[3]) for source in sources]
    sizes = torch.tensor(shapes, device=pixels.device)
    decoded = model.decoder(
        inputs_embeds=encoded.gather(1, best.expand(-1, -1, encoded.shape[-1])),
        encoder_hidden_states=memory,
        reference_points=points,
        spatial_shapes=sizes,
        spatial_shapes_list=shapes,
        level_start_index=torch.cat([sizes.new_zeros(1), sizes.prod(1).cumsum(0)[:-1]]),
    )
    return decoded.intermediate_logits[:, -1], decoded.intermediate_reference_points[:, -1]


def _sources(model: Any, pixels: Tensor) -> list[Tensor]:
    """What the decoder looks at, one ``[N, D, H_i, W_i]`` per level, finest first."""
    everywhere = torch.ones_like(pixels[:, 0])
    features = model.backbone(pixels, everywhere)
    projected = [project(feature) for project, (feature, _) in zip(model.encoder_input_proj, features, strict=True)]
    levels = model.encoder(projected).last_hidden_state
    more = model.config.num_feature_levels - len(levels)
    levels = [*levels, *levels[-1:] * more]
    return [project(level) for project, level in zip(model.decoder_input_proj, levels, strict=True)]
