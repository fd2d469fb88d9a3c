"""The best of many scores, in an order that every engine agrees on."""

from __future__ import annotations

import torch
from torch import Tensor


def best_first(scores: Tensor, count: int) -> Tensor:
    """Positions of the ``count`` highest of each row ``[N, M]``, best first, the earlier of equals first.

    ``topk`` takes any of equal ones in torch, and in ONNX, which has no stable sort, the first of them.
    """
    if torch.onnx.is_in_onnx_export():
        return scores.topk(count, dim=1).indices
    return scores.sort(dim=1, descending=True, stable=True).indices[:, :count]
