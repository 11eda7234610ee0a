"""Layers of Keras that ``qrnn.nn`` lacks or has with other dimensions: wrappers of its modules, and small modules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _arrays
from .._conv import Conv1d
from .._embedding import Embedding as Table
from .._module import Module
from .._normalization import BatchNorm1d, LayerNorm
from .._public import public

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Convolution", "Embedding", "Masked", "Masking", "Normalization", "TimeDistributed"]


class Masked(Module):
    """The base of layers that change or use masks: ``layer(input, mask=None)``."""

    def compute_mask(self, input: Any, mask: Any = None) -> Any:
        """The mask of the output, or None; here that of the input."""
        return mask


@public("qrnn.keras")
class Masking(Masked):
    """Masks the steps whose features all have one value, as Keras' Masking; they become zeros.

    Parameters
    ----------
    mask_value : float

    Examples
    --------
    >>> import qrnn.keras
    >>> masking, x = qrnn.keras.Masking(-1.0), [[[1, 2], [-1, -1], [-1, 3]]]
    >>> masking(x).tolist(), masking.compute_mask(x).tolist()
    ([[[1.0, 2.0], [0.0, 0.0], [-1.0, 3.0]]], [[True, False, True]])
    """

    def __init__(self, mask_value: float = 0.0) -> None:
        super().__init__()
        self.mask_value = float(mask_value)

    def compute_mask(self, input: Any, mask: Any = None) -> Any:
        """Which steps are kept, shape (batch, steps)."""
        return (_arrays.to_float32(input, "input") != np.float32(self.mask_value)).any(axis=-1)

    def forward(self, input: Any, mask: Any = None) -> Any:
        """`input` in float32, with zeros in steps that are left out."""
        x = _arrays.to_float32(input, "input")
        return _arrays.like(np.where(self.compute_mask(x)[..., None], x, np.float32(0)), input)

    def extra_repr(self) -> str:
        return f"mask_value={self.mask_value}"


@public("qrnn.keras")
class Embedding(Masked):
    """A table that takes integers of any type, as Keras' Embedding.

    Parameters
    ----------
    layer : nn.Embedding
    mask_zero : bool
        Whether the integer 0 means a step to leave out.

    Examples
    --------
    >>> import qrnn.nn as nn, qrnn.keras
    >>> embedding = qrnn.keras.Embedding(nn.Embedding(10, 3), mask_zero=True)
    >>> embedding([[4.0, 2.0, 0.0]]).shape, embedding.compute_mask([[4, 2, 0]]).tolist()
    ((1, 3, 3), [[True, True, False]])
    """

    def __init__(self, layer: Table, mask_zero: bool = False) -> None:
        super().__init__()
        self.layer = layer
        self.mask_zero = bool(mask_zero)

    def compute_mask(self, input: Any, mask: Any = None) -> Any:
        """Which integers are not 0; None without `mask_zero`."""
        return _arrays.to_numpy(input, "input") != 0 if self.mask_zero else None

    def forward(self, input: Any, mask: Any = None) -> Any:
        """The row of each integer, shape (..., embedding_dim); other numbers are truncated to integers.

        Raises
        ------
        TypeError
            If `input` is not an array of real numbers.
        ValueError, IndexError
            If a number is not finite, or has no row.
        """
        indices = _arrays.to_numpy(input, "input")
        if indices.dtype.kind not in "iu":
            if not np.isfinite(indices).all():
                raise ValueError("input: expected finite numbers, the indices of rows")
            indices = indices.astype(np.int64)
        return _arrays.like(self.layer(indices), input)

    def _frame_modules(self) -> list[tuple[str, Module]]:
        """The names and modules that a frame of a stream goes through."""
        if self.mask_zero:
            raise ValueError("model: expected one without masks, got an Embedding with mask_zero=True")
        return [("layer", self.layer)]

    def extra_repr(self) -> str:
        return f"mask_zero={self.mask_zero}"


@public("qrnn.keras")
class TimeDistributed(Masked):
    """Applies a layer to each step of a sequence by itself, as Keras' TimeDistributed.

    Parameters
    ----------
    layer : Module

    Examples
    --------
    >>> import numpy as np, qrnn.nn as nn, qrnn.keras
    >>> qrnn.keras.TimeDistributed(nn.Flatten())(np.ones((2, 5, 4, 3))).shape
    (2, 5, 12)
    """

    def __init__(self, layer: Module) -> None:
        super().__init__()
        self.layer: Any = layer

    def forward(self, input: Any, mask: Any = None) -> Any:
        """The layer's outputs, shape (batch, steps, ...).

        Raises
        ------
        ValueError
            If `input` has no dimension of steps.
        """
        x = _arrays.to_numpy(input, "input")
        if x.ndim < 3:
            raise ValueError(f"input: expected at least 3 dimensions, (batch, steps, ...), got shape {x.shape}")
        y = self.layer(x.reshape(x.shape[0] * x.shape[1], *x.shape[2:]))
        return _arrays.like(y.reshape(*x.shape[:2], *y.shape[1:]), input)

    def _frame_modules(self) -> list[tuple[str, Module]]:
        """The names and modules that a frame of a stream goes through."""
        return [("layer", self.layer)]


@public("qrnn.keras")
class Convolution(Masked):
    """A convolution over the steps of (batch, steps, channels), as Keras' Conv1D; it ends masks.

    Parameters
    ----------
    layer : nn.Conv1d
        It has the padding "same" or "causal" if its stride is 1; else no padding.
    padding : {"valid", "same", "causal"}
        Keras' padding. With a stride, "same" adds as many zeros as give an output for each started stride.

    Raises
    ------
    ValueError
        If `padding` is another one, or the layer's own padding is neither the same nor none.

    Examples
    --------
    >>> import numpy as np, qrnn.nn as nn, qrnn.keras
    >>> conv = qrnn.keras.Convolution(nn.Conv1d(4, 6, 3, stride=2), "same")
    >>> conv(np.ones((1, 9, 4))).shape
    (1, 5, 6)
    """

    def __init__(self, layer: Conv1d, padding: str = "valid") -> None:
        super().__init__()
        if padding not in ("valid", "same", "causal"):
            raise ValueError(f"padding: expected valid, same or causal, got {padding!r}")
        if not isinstance(layer, Conv1d) or layer.padding not in ((0,), padding):
            raise ValueError(f"layer: expected a Conv1d with padding 0 or {padding!r}, got {layer!r:.200}")
        self.layer = layer
        self.padding = padding

    def compute_mask(self, input: Any, mask: Any = None) -> None:
        """None, because the steps of the output are not those of the input."""

    def forward(self, input: Any, mask: Any = None) -> Any:
        """The convolution, shape (batch, steps of the output, channels).

        Raises
        ------
        ValueError, RuntimeError
            If `input` does not have 3 dimensions, or has other channels than the layer.
        """
        x = _arrays.to_float32(input, "input")
        if x.ndim != 3:
            raise ValueError(f"input: expected 3 dimensions, (batch, steps, channels), got shape {x.shape}")
        before, after = self._zeros(x.shape[1])
        if before or after:
            x = np.pad(x, [(0, 0), (before, after), (0, 0)])
        return _arrays.like(np.ascontiguousarray(self.layer(x.swapaxes(1, 2)).swapaxes(1, 2)), input)

    def _zeros(self, steps: int) -> tuple[int, int]:
        """How many zeros to add before and after the input, if the layer itself adds none."""
        if self.layer.padding != (0,) or self.padding == "valid":
            return 0, 0
        reach, stride = self.layer.dilation[0] * (self.layer.kernel_size[0] - 1), self.layer.stride[0]
        if self.padding == "causal":
            return reach, 0
        count = max(0, (-(-steps // stride) - 1) * stride + reach + 1 - steps)
        return count // 2, count - count // 2

    def _frame_modules(self) -> list[tuple[str, Module]]:
        """The names and modules that a frame of a stream goes through."""
        return [("layer", self.layer)]

    def extra_repr(self) -> str:
        return f"padding={self.padding!r}"


@public("qrnn.keras")
class Normalization(Masked):
    """A normalization over dimensions by their numbers, as Keras' BatchNormalization and LayerNormalization.

    Parameters
    ----------
    layer : nn.BatchNorm1d or nn.LayerNorm
        A BatchNorm1d has its channels along `axis`; a LayerNorm computes mean and variance over `axis`.
    axis : int or sequence of int
        Numbers of dimensions, which may be negative.

    Examples
    --------
    >>> import numpy as np, qrnn.nn as nn, qrnn.keras
    >>> norm = qrnn.keras.Normalization(nn.BatchNorm1d(3), axis=-1)
    >>> norm(np.ones((2, 5, 3))).shape
    (2, 5, 3)
    """

    def __init__(self, layer: BatchNorm1d | LayerNorm, axis: int | Sequence[int] = -1) -> None:
        super().__init__()
        self.layer = layer
        self.axis = tuple(int(each) for each in (axis if isinstance(axis, Sequence) else (axis,)))
        if isinstance(layer, BatchNorm1d) and len(self.axis) != 1:
            raise ValueError(f"axis: expected one dimension for a BatchNorm1d, got {self.axis}")

    def forward(self, input: Any, mask: Any = None) -> Any:
        """`input` in float32, normalized.

        Raises
        ------
        ValueError, RuntimeError
            If it lacks a dimension, or its sizes there differ from the layer's.
        """
        x = _arrays.to_float32(input, "input")
        if any(not -x.ndim <= each < x.ndim for each in self.axis):
            raise ValueError(f"input: expected dimensions {self.axis}, got shape {x.shape}")
        axes, last = sorted(each % x.ndim for each in self.axis), tuple(range(x.ndim - len(self.axis), x.ndim))
        moved = np.moveaxis(x, axes, last)
        rows = moved.reshape(-1, moved.shape[-1]) if isinstance(self.layer, BatchNorm1d) else moved
        y: NDArray[Any] = self.layer(rows).reshape(moved.shape)
        return _arrays.like(np.ascontiguousarray(np.moveaxis(y, last, axes)), input)

    def _frame_modules(self) -> list[tuple[str, Module]]:
        """The names and modules that a frame of a stream goes through."""
        if self.axis not in ((-1,), (2,)):
            raise ValueError(f"model: expected a normalization of frames, got one over the dimensions {self.axis}")
        return [("layer", self.layer)]

    def extra_repr(self) -> str:
        return f"axis={self.axis}"
