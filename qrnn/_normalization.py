"""LayerNorm and BatchNorm1d."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np

from ._array_module import ArrayModule
from ._parameters import Parameter
from ._public import public
from ._spec import checked_size
from ._types import expect_float32

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._typing import Array

__all__ = ["BatchNorm1d", "LayerNorm"]


@public("qrnn.nn")
class LayerNorm(ArrayModule):
    """``(x - mean) / sqrt(variance + eps) * weight + bias`` over the last dimensions, as ``torch.nn.LayerNorm``.

    Parameters
    ----------
    normalized_shape : int or iterable of int
        The last dimensions, over which mean and variance are taken, each at least 1.
    eps : float
    elementwise_affine : bool
        Whether there is a weight.
    bias : bool
        Whether there is also a bias.
    device : None or "cpu"
    dtype : None or float32

    Attributes
    ----------
    weight, bias : ndarray, float32, shape `normalized_shape`, or None
        Read-only; assign a whole array to change one. New: ones and zeros.

    Raises
    ------
    TypeError, ValueError
        If a size, `device` or `dtype` is not valid.

    Examples
    --------
    >>> import qrnn.nn as nn
    >>> nn.LayerNorm(2)
    LayerNorm((2,), eps=1e-05, elementwise_affine=True, bias=True)
    >>> nn.LayerNorm(2)([[1, 3], [100, 300]]).round(3).tolist()
    [[-1.0, 1.0], [-1.0, 1.0]]
    """

    weight: Array | None
    bias: Array | None

    def __init__(
        self,
        normalized_shape: SupportsIndex | Iterable[SupportsIndex],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        expect_float32(device, dtype)
        sizes = normalized_shape if isinstance(normalized_shape, Iterable) else (normalized_shape,)
        self.normalized_shape = tuple(checked_size(size, "normalized_shape", 1) for size in sizes)
        if not self.normalized_shape:
            raise ValueError("normalized_shape: expected at least 1 dimension, got ()")
        self.eps, self.elementwise_affine = eps, elementwise_affine
        shape = self.normalized_shape
        self.register_parameter("weight", np.ones(shape) if elementwise_affine else None)
        self.register_parameter("bias", np.zeros(shape) if elementwise_affine and bias else None)

    def _compute(self, x: Array) -> Any:
        shape = self.normalized_shape
        if x.shape[-len(shape) :] != shape:
            expected = ", ".join(str(size) for size in ("*", *shape))
            raise RuntimeError(
                f"Given normalized_shape={list(shape)}, expected input with shape [{expected}], but got input of "
                f"size{list(x.shape)}"
            )
        count = math.prod(shape)
        rows = x.reshape(-1, count).astype(np.float64)
        rows -= np.add.reduce(rows, axis=-1, keepdims=True) / count
        variance = np.add.reduce(rows * rows, axis=-1, keepdims=True) / count
        rows /= np.sqrt(variance + self.eps)
        result = rows.reshape(x.shape)
        if self.weight is not None:
            result *= self.weight
        if self.bias is not None:
            result += self.bias
        return result

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


@public("qrnn.nn")
class BatchNorm1d(ArrayModule):
    """Normalizes each channel by the mean and variance of training, as ``torch.nn.BatchNorm1d`` in eval mode.

    Parameters
    ----------
    num_features : int
        Channels, at least 1.
    eps : float
    momentum : float or None
        PyTorch's option of training; kept as an attribute.
    affine : bool
        Whether there is a weight.
    track_running_stats : True
        False raises ValueError: PyTorch then uses the statistics of the batch, so that a row depends on other rows.
    device : None or "cpu"
    dtype : None or float32
    bias : bool
        Whether there is a bias too.

    Attributes
    ----------
    weight, bias : ndarray, float32, shape (num_features,), or None
        Read-only; assign a whole array to change one. New: ones and zeros.
    running_mean, running_var : ndarray, float32, shape (num_features,)
        Buffers, likewise. New: zeros and ones.
    num_batches_tracked : ndarray, int64, shape ()
        A buffer in which PyTorch counts batches.

    Raises
    ------
    TypeError
        If a size is no integer.
    ValueError
        If a size, `track_running_stats`, `device` or `dtype` is out of range.

    Notes
    -----
    Calls take `input` of shape (batch, num_features) or (batch, num_features, steps). They compute the same in both
    modes, because nothing here trains.

    Examples
    --------
    >>> import numpy as np, qrnn.nn as nn
    >>> norm = nn.BatchNorm1d(2)
    >>> norm.running_mean, norm.running_var = [1, 2], [4, 4]
    >>> norm(np.float32([[3, 0]])).round(3).tolist()
    [[1.0, -1.0]]
    """

    weight: Array | None
    bias: Array | None
    running_mean: NDArray[np.float32]
    running_var: NDArray[np.float32]
    num_batches_tracked: NDArray[np.int64]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        expect_float32(device, dtype)
        if track_running_stats is not True:
            raise ValueError(f"track_running_stats: expected True, got {track_running_stats!r}")
        self.num_features = size = checked_size(num_features, "num_features", 1)
        self.eps, self.momentum, self.affine, self.track_running_stats = eps, momentum, affine, True
        self.weight = Parameter(np.ones(size)) if affine else None
        self.bias = Parameter(np.zeros(size)) if affine and bias else None
        self.register_buffer("running_mean", np.zeros(size, np.float32))
        self.register_buffer("running_var", np.ones(size, np.float32))
        self.register_buffer("num_batches_tracked", np.array(0))

    def _compute(self, x: Array) -> Any:
        if x.ndim not in (2, 3):
            raise ValueError(f"expected 2D or 3D input (got {x.ndim}D input)")
        if x.shape[1] != self.num_features:
            raise RuntimeError(
                f"running_mean should contain {x.shape[1]} elements not {self.num_features}: input: expected "
                f"{self.num_features} channels, got shape {x.shape}"
            )

        def channels(values: Any) -> Any:
            """`values` as a float64 array that broadcasts over steps."""
            return np.asarray(values, np.float64).reshape(-1, *[1] * (x.ndim - 2))

        result = (x - channels(self.running_mean)) / np.sqrt(channels(self.running_var) + self.eps)
        result = result if self.weight is None else result * channels(self.weight)
        return result if self.bias is None else result + channels(self.bias)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats=True"
        )
