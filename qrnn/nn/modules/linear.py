"""Linear: float32, and the shape that the quantized one shares."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..._types import expect_float32
from .layer import FloatLayer, Form, Layer, LayerShape, size

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Linear", "LinearLayer"]


class LinearLayer(Layer):
    """Names and sizes of a Linear, float or quantized."""

    @staticmethod
    def _shape(in_features: Any, out_features: Any, bias: Any) -> LayerShape:
        """Check a constructor's arguments."""
        columns = size(in_features, "in_features", 0)
        rows = size(out_features, "out_features", 1)
        return LayerShape(Form("linear"), ((rows, columns),), bool(bias), 1 / math.sqrt(columns) if columns else 0.0)

    @classmethod
    def _kind_of(cls, module: Any) -> str:
        return "linear"

    @property
    def in_features(self) -> int:
        """Size of an input row."""
        return self.input_size

    @property
    def out_features(self) -> int:
        """Size of an output row."""
        return self.hidden_size


class Linear(LinearLayer, FloatLayer):
    """``y = x W^T + b`` in float32, as ``torch.nn.Linear``.

    Parameters
    ----------
    in_features : int
        Size of an input row, not negative.
    out_features : int
        Size of an output row, at least 1.
    bias : bool
        Whether to add ``bias``.
    device : None or "cpu"
    dtype : None or float32
    isa : str, optional
        An instruction set, one of ``qrnn.isas()``. Default: ``QRNN_ISA``, else the best.

    Attributes
    ----------
    weight : ndarray, float32, shape (out_features, in_features)
        Read-only; assign a whole array to change it. New: uniform in +-1/sqrt(in_features).
    bias : ndarray, float32, shape (out_features,), or None
        Likewise.
    in_features, out_features : int
    isa : str
    nbytes : int
        Memory of the packed weights.

    Raises
    ------
    TypeError
        If a size is no integer.
    ValueError
        If a size, `device`, `dtype` or `isa` is out of range.

    Notes
    -----
    ``layer(input, *, out=None)`` takes `input` of shape (..., in_features) and gives (...,
    out_features), float32: a new array, or `out`. RuntimeError if the last size differs.

    Examples
    --------
    >>> import numpy as np, qrnn.nn as nn
    >>> layer = nn.Linear(2, 1)
    >>> layer.weight, layer.bias = [[2, 3]], [1]
    >>> layer(np.float32([[1, 1], [0, 2]])).tolist()
    [[6.0], [7.0]]
    """

    weight: NDArray[Any]
    bias: NDArray[Any] | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        isa: str | None = None,
    ) -> None:
        super().__init__()
        expect_float32(device, dtype)
        self._fill(self._shape(in_features, out_features, bias), isa)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
