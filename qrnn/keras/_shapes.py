"""Layers of Keras that change shapes: pooling, repetition, other orders of dimensions. They end masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _arrays
from .._public import public
from ._modules import Masked

if TYPE_CHECKING:
    from .._typing import Array

__all__ = ["GlobalPooling", "Permute", "Pooling", "Repeat", "Reshape"]


def _mean(x: Array, axis: int) -> Array:
    """The mean in float64, each row by itself."""
    mean: Array = np.ascontiguousarray(np.moveaxis(x, axis, -1), np.float64).mean(axis=-1).astype(np.float32)
    return mean


_FUNCTIONS: Mapping[str, Callable[[Array, int], Array]] = {
    "average": _mean,
    "max": lambda x, axis: x.max(axis=axis),
}


def _expect_function(function: str) -> str:
    if function not in _FUNCTIONS:
        raise ValueError(f"function: expected one of {', '.join(_FUNCTIONS)}, got {function!r}")
    return function


class _Unmasked(Masked):
    """A layer whose output has no mask."""

    def compute_mask(self, input: Any, mask: Any = None) -> None:
        """None."""

    def forward(self, input: Any, mask: Any = None) -> Any:
        """The layer's output, a tensor if `input` is one.

        Raises
        ------
        TypeError
            If `input` is not an array of real numbers.
        ValueError
            If its dimensions do not fit the layer.
        """
        x = _arrays.to_float32(input, "input")
        return _arrays.like(np.ascontiguousarray(self._compute(x, mask)), input)

    def _compute(self, x: Array, mask: Any) -> Array:
        raise NotImplementedError


def _expect_dims(x: Array, count: int, names: str) -> None:
    if x.ndim != count:
        raise ValueError(f"input: expected {count} dimensions, {names}, got shape {x.shape}")


@public("qrnn.keras")
class GlobalPooling(_Unmasked):
    """Mean or maximum over all steps, as Keras' GlobalAveragePooling1D and GlobalMaxPooling1D.

    Parameters
    ----------
    function : {"average", "max"}
        The mean is over the steps that a mask keeps; the maximum ignores masks.
    keepdims : bool
        Whether the dimension of steps stays, with the size 1.

    Examples
    --------
    >>> import qrnn.keras
    >>> mean = qrnn.keras.GlobalPooling("average")
    >>> mean([[[1], [3], [8]]]).tolist(), mean([[[1], [3], [8]]], mask=[[True, True, False]]).tolist()
    ([[4.0]], [[2.0]])
    """

    def __init__(self, function: str = "average", keepdims: bool = False) -> None:
        super().__init__()
        self.function, self.keepdims = _expect_function(function), bool(keepdims)

    def _compute(self, x: Array, mask: Any) -> Array:
        _expect_dims(x, 3, "(batch, steps, features)")
        if mask is None or self.function == "max":
            y = _FUNCTIONS[self.function](x, 1)
        else:
            keep = _arrays.to_numpy(mask, "mask").astype(bool)
            if keep.shape != x.shape[:2]:
                raise ValueError(f"mask: expected shape {x.shape[:2]}, got {keep.shape}")
            rows = np.where(keep[:, None], x.swapaxes(1, 2), 0).astype(np.float64)
            with np.errstate(all="ignore"):  # a row without steps is NaN, as in Keras
                y = (rows.sum(axis=-1) / keep.sum(axis=1)[:, None]).astype(np.float32)
        return y[:, None] if self.keepdims else y

    def extra_repr(self) -> str:
        return f"{self.function!r}, keepdims={self.keepdims}"


@public("qrnn.keras")
class Pooling(_Unmasked):
    """Mean or maximum over some steps, as Keras' AveragePooling1D and MaxPooling1D.

    Parameters
    ----------
    function : {"average", "max"}
    pool_size, strides : int
        How many steps an output covers, and how many lie from one output to the next.
    padding : {"valid", "same"}
        "same" gives an output for each started stride; only for the maximum.

    Examples
    --------
    >>> import qrnn.keras
    >>> qrnn.keras.Pooling("max", 2, 2)([[[1], [3], [8], [2], [9]]]).tolist()
    [[[3.0], [8.0]]]
    """

    def __init__(self, function: str, pool_size: int, strides: int, padding: str = "valid") -> None:
        super().__init__()
        self.function, self.pool_size, self.strides = _expect_function(function), int(pool_size), int(strides)
        if min(self.pool_size, self.strides) < 1:
            raise ValueError(f"pool_size, strides: expected at least 1, got {pool_size} and {strides}")
        if padding != "valid" and (function, padding) != ("max", "same"):
            raise ValueError(f"padding: expected valid, or same of a maximum, got {padding!r}")
        self.padding = padding

    def _compute(self, x: Array, mask: Any) -> Array:
        _expect_dims(x, 3, "(batch, steps, features)")
        if self.padding == "same":
            steps = x.shape[1]
            count = max(0, (-(-steps // self.strides) - 1) * self.strides + self.pool_size - steps)
            x = np.pad(x, [(0, 0), (count // 2, count - count // 2), (0, 0)], constant_values=-np.inf)
        if x.shape[1] < self.pool_size:
            raise ValueError(f"input: expected at least {self.pool_size} steps, got shape {x.shape}")
        windows = np.lib.stride_tricks.sliding_window_view(x, self.pool_size, axis=1)[:, :: self.strides]
        return _FUNCTIONS[self.function](windows, 3)

    def extra_repr(self) -> str:
        return f"{self.function!r}, pool_size={self.pool_size}, strides={self.strides}, padding={self.padding!r}"


@public("qrnn.keras")
class Repeat(_Unmasked):
    """Repeats a row as `n` steps, as Keras' RepeatVector.

    Parameters
    ----------
    n : int

    Examples
    --------
    >>> import qrnn.keras
    >>> qrnn.keras.Repeat(2)([[1, 2]]).tolist()
    [[[1.0, 2.0], [1.0, 2.0]]]
    """

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = int(n)
        if self.n < 1:
            raise ValueError(f"n: expected at least 1, got {n}")

    def _compute(self, x: Array, mask: Any) -> Array:
        _expect_dims(x, 2, "(batch, features)")
        return np.repeat(x[:, None], self.n, axis=1)

    def extra_repr(self) -> str:
        return f"{self.n}"


@public("qrnn.keras")
class Reshape(_Unmasked):
    """Changes the dimensions after the batch, as Keras' Reshape.

    Parameters
    ----------
    target_shape : sequence of int
        One of them may be -1.

    Examples
    --------
    >>> import numpy as np, qrnn.keras
    >>> qrnn.keras.Reshape((6, -1))(np.ones((2, 3, 4))).shape
    (2, 6, 2)
    """

    def __init__(self, target_shape: Sequence[int]) -> None:
        super().__init__()
        self.target_shape = tuple(int(each) for each in target_shape)

    def _compute(self, x: Array, mask: Any) -> Array:
        return x.reshape(x.shape[0], *self.target_shape)

    def extra_repr(self) -> str:
        return f"{self.target_shape}"


@public("qrnn.keras")
class Permute(_Unmasked):
    """Changes the order of the dimensions after the batch, as Keras' Permute.

    Parameters
    ----------
    dims : sequence of int
        Their numbers, from 1 on.

    Examples
    --------
    >>> import numpy as np, qrnn.keras
    >>> qrnn.keras.Permute((2, 1))(np.ones((2, 3, 4))).shape
    (2, 4, 3)
    """

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__()
        self.dims = tuple(int(each) for each in dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(f"dims: expected the numbers from 1 to {len(self.dims)}, got {self.dims}")

    def _compute(self, x: Array, mask: Any) -> Array:
        _expect_dims(x, len(self.dims) + 1, "that of the batch and those of dims")
        return x.transpose(0, *self.dims)

    def extra_repr(self) -> str:
        return f"{self.dims}"
