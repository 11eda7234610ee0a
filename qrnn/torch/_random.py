"""New weights, from PyTorch's generator."""

from __future__ import annotations

from typing import Any

import torch

from .._matrices import Matrix
from .._spec import LayerSpec

__all__ = ["new_matrices"]


def new_matrices(spec: LayerSpec) -> list[Matrix]:
    """New float weights, uniform."""

    def drawn(*shape: int) -> Any:
        return torch.empty(shape, device="cpu").uniform_(-spec.bound, spec.bound).numpy()

    return [
        Matrix(drawn(*each.shape), None, drawn(each.rows) if spec.bias and each.bias is not None else None)
        for each in spec.matrices
    ]
