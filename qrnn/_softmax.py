"""Softmax and LogSoftmax."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._array_module import ArrayModule
from ._public import public
from ._warn import warn

if TYPE_CHECKING:
    from ._typing import Array

__all__ = ["LogSoftmax", "Softmax", "checked_dim"]


def checked_dim(dim: int, ndim: int) -> int:
    """The dimension `dim`, which may be negative, of `ndim`; a single number counts as one dimension, as in PyTorch."""
    count = max(ndim, 1)
    if not -count <= dim < count:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-count}, {count - 1}], but got {dim})")
    return dim % count


class _Softmax(ArrayModule):
    """The base of modules that normalize along a dimension, in float64."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def _compute(self, x: Array) -> Any:
        dim = self.dim
        if dim is None:
            dim = 0 if x.ndim in (0, 1, 3) else 1
            name = type(self).__name__
            warn(f"Implicit dimension choice for {name}: dim={dim} was taken; give dim= ({name}(dim={dim}))")
        axis = checked_dim(dim, x.ndim)
        rows = np.ascontiguousarray(np.moveaxis(np.atleast_1d(x), axis, -1), np.float64)
        if rows.size:
            rows = self._of_rows(rows - rows.max(axis=-1, keepdims=True))
        return np.moveaxis(rows, -1, axis).astype(np.float32, order="C").reshape(x.shape)

    def _of_rows(self, rows: Any) -> Any:
        """The result for rows whose maximum is 0."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


@public("qrnn.nn")
class Softmax(_Softmax):
    """``exp(x) / sum(exp(x))`` along a dimension, as ``torch.nn.Softmax``.

    Parameters
    ----------
    dim : int, optional
        Without it the choice is PyTorch's, the first dimension or the second, with a warning.

    Raises
    ------
    IndexError
        When called with an array that lacks the dimension.

    Examples
    --------
    >>> import qrnn.nn as nn
    >>> nn.Softmax(dim=-1)([[0, 0], [1000, 0]]).tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """

    def _of_rows(self, rows: Any) -> Any:
        powers = np.exp(rows)
        return powers / powers.sum(axis=-1, keepdims=True)


@public("qrnn.nn")
class LogSoftmax(_Softmax):
    """``x - log(sum(exp(x)))`` along a dimension, as ``torch.nn.LogSoftmax``.

    Parameters
    ----------
    dim : int, optional
        Without it the choice is PyTorch's, the first dimension or the second, with a warning.

    Raises
    ------
    IndexError
        When called with an array that lacks the dimension.

    Examples
    --------
    >>> import qrnn.nn as nn
    >>> nn.LogSoftmax(dim=-1)([[1000, 0]]).tolist()
    [[0.0, -1000.0]]
    """

    def _of_rows(self, rows: Any) -> Any:
        return rows - np.log(np.exp(rows).sum(axis=-1, keepdims=True))
