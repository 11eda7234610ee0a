"""Converts weights of Keras' recurrent layers to PyTorch's shapes and order of gates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._foreign import Direction, gates, weight
from .._format_error import FormatError
from ._config import LayerConfig

if TYPE_CHECKING:
    from .._typing import Array

__all__ = ["array_count", "direction"]

#: Keras' part of each gate of PyTorch's order: h; z r h; i f c o.
_ORDER = {"RNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 1, 2, 3)}


def array_count(layer: LayerConfig) -> int:
    """How many arrays a layer has: kernel, recurrent kernel and bias, if there is one."""
    return 3 if layer.flags["use_bias"] else 2


def direction(layer: LayerConfig, weights: Sequence[Any], where: str) -> Direction:
    """The parameters of a layer from ``layer.get_weights()``.

    Raises
    ------
    FormatError
        If their number or a shape does not fit the layer.
    """
    count = array_count(layer)
    if len(weights) != count:
        raise FormatError(f"{where}: weights: expected {count} arrays, got {len(weights)}")
    order = _ORDER[layer.family]
    columns = len(order) * layer.units
    kernel = weight(weights[0], f"{where}: kernel", (None, columns))
    if kernel.shape[0] == 0:
        raise FormatError(f"{where}: kernel: expected at least one row, got shape {kernel.shape}")
    recurrent = weight(weights[1], f"{where}: recurrent_kernel", (layer.units, columns))
    bias = weights[2] if count == 3 else None
    cudnn = layer.cudnn or (bias is not None and np.shape(bias) == (2 * columns,))
    bias_ih, bias_hh = _biases(layer, bias, cudnn, order, where)
    ours = _from_cudnn if cudnn else _transposed
    return Direction(
        gates(ours(kernel, len(order)), order), gates(ours(recurrent, len(order)), order), bias_ih, bias_hh
    )


def _biases(
    layer: LayerConfig, bias: Any, cudnn: bool, order: tuple[int, ...], where: str
) -> tuple[Array | None, Array | None]:
    """The two biases of PyTorch. Keras has one; two for a GRU that resets after the product, or with cuDNN's weights.

    cuDNN's biases are a single row of both, whose size distinguishes them from Keras' own.
    """
    if bias is None:
        return None, None
    columns = len(order) * layer.units
    if cudnn:
        if layer.family == "RNN" or (layer.family == "GRU" and not layer.reset_after):
            expected = f"shape ({columns},)"
            raise FormatError(f"{where}: bias: expected {expected}, got {np.shape(bias)}")
        both = weight(bias, f"{where}: bias", (2 * columns,)).reshape(2, columns)
    elif layer.family == "GRU" and layer.reset_after:
        both = weight(bias, f"{where}: bias", (2, columns))
    else:
        one = weight(bias, f"{where}: bias", (columns,))
        both = np.stack([one, np.zeros_like(one)])
    bias_ih, bias_hh = gates(both, order, axis=1)
    return bias_ih, bias_hh


def _transposed(kernel: Array, count: int) -> Array:
    return kernel.T


def _from_cudnn(kernel: Array, count: int) -> Array:
    """Each gate's part holds, row by row, the elements of the matrix (units, inputs)."""
    inputs, columns = kernel.shape
    units = columns // count
    return np.concatenate([part.reshape(units, inputs) for part in np.split(kernel, count, axis=1)])
