"""Embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy as np

from . import _arrays
from ._module import Module
from ._parameters import Parameter
from ._public import public
from ._random import normal
from ._spec import checked_size
from ._types import expect_float32

if TYPE_CHECKING:
    from ._typing import Array, Input, T, Tensor, typed_as

__all__ = ["Embedding"]


@public("qrnn.nn")
class Embedding(Module):
    """A row of a table for each integer, as ``torch.nn.Embedding``.

    Parameters
    ----------
    num_embeddings : int
        Rows of the table, not negative.
    embedding_dim : int
        Size of a row, not negative.
    padding_idx : int, optional
        The row that starts as zeros; a negative one counts from the end.
    max_norm : None
        With it PyTorch scales rows in place at each call. Nothing here changes weights: ValueError if given.
    norm_type, scale_grad_by_freq, sparse
        PyTorch's options of `max_norm` and of training; kept as attributes.
    device : None or "cpu"
    dtype : None or float32

    Attributes
    ----------
    weight : ndarray, float32, shape (num_embeddings, embedding_dim)
        Read-only; assign a whole array to change it. New: normally distributed.

    Raises
    ------
    TypeError
        If a size is no integer.
    ValueError
        If a size, `padding_idx`, `max_norm`, `device` or `dtype` is out of range.

    Notes
    -----
    The row of `padding_idx` is a row like any other: PyTorch treats it differently only in training. Quantization
    does not change the table.

    Examples
    --------
    >>> import qrnn.nn as nn
    >>> table = nn.Embedding(10, 3, padding_idx=0)
    >>> table
    Embedding(10, 3, padding_idx=0)
    >>> table([[4, 0, 2]]).shape, table([0]).tolist()
    ((1, 3, 3), [[0.0, 0.0, 0.0]])
    """

    weight: Array

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        expect_float32(device, dtype)
        self.num_embeddings = checked_size(num_embeddings, "num_embeddings", 0)
        self.embedding_dim = checked_size(embedding_dim, "embedding_dim", 0)
        if max_norm is not None:
            raise ValueError(f"max_norm: expected None, as calls change no weights, got {max_norm!r}")
        if padding_idx is not None:
            padding_idx = checked_size(padding_idx, "padding_idx", -self.num_embeddings)
            if padding_idx >= self.num_embeddings:
                raise ValueError(f"Padding_idx must be within num_embeddings, {num_embeddings}, got {padding_idx}")
            padding_idx %= self.num_embeddings
        self.padding_idx, self.max_norm, self.norm_type = padding_idx, max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        table = normal(self.num_embeddings, self.embedding_dim)
        if padding_idx is not None:
            table[padding_idx] = 0
        self.weight = Parameter(table)

    @overload
    def forward(self, input: Tensor[T]) -> T: ...
    @overload
    def forward(self, input: Input) -> Array: ...
    def forward(self, input: Any) -> Any:
        """Look up the row of each integer.

        Parameters
        ----------
        input : array_like of int, any shape

        Returns
        -------
        ndarray, float32, shape (*, embedding_dim)
            A tensor if `input` is one.

        Raises
        ------
        TypeError
            If `input` does not hold integers.
        IndexError
            If an integer is negative or has no row.
        """
        indices = _arrays.to_numpy(input, "input")
        if indices.dtype.kind not in "iu":
            raise TypeError(f"input: expected integers, the indices of rows, got {indices.dtype}")
        if indices.size and not 0 <= int(indices.min()) <= int(indices.max()) < self.num_embeddings:
            found = f"{indices.min()}..{indices.max()}"
            raise IndexError(f"input: expected indices in 0..{self.num_embeddings - 1}, got {found}")
        return _arrays.like(np.take(self.weight, indices, axis=0), input)

    if TYPE_CHECKING:

        @typed_as(forward)
        def __call__(self) -> None: ...  # type: ignore[override]

    @classmethod
    def from_pretrained(cls, embeddings: Any, freeze: bool = True, padding_idx: int | None = None) -> Embedding:
        """An Embedding with the table `embeddings`.

        Parameters
        ----------
        embeddings : array_like, shape (num_embeddings, embedding_dim)
        freeze : bool
            PyTorch's option; nothing here trains.
        padding_idx : int, optional
            Kept as an attribute; its row stays as it is.

        Raises
        ------
        ValueError
            If `embeddings` does not have two dimensions or is not finite.
        """
        table = _arrays.to_floats(embeddings, "embeddings")
        if table.ndim != 2:
            raise ValueError(f"embeddings: expected 2 dimensions, got shape {table.shape}")
        new = cls(table.shape[0], table.shape[1], padding_idx)
        _arrays.expect_finite(table, "embeddings")
        new.weight = table
        return new

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
