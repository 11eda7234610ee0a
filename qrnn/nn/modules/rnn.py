"""Recurrent layers in float32, and the shapes that the quantised ones share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from ..._types import expect_float32
from .layer import FloatLayer, Layer, LayerShape, size

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["RNNCell", "CellLayer", "RNNCellLayer"]


class CellLayer(Layer):
    """Names and sizes of a cell, float or quantised."""

    #: Rows of a weight matrix over hidden_size: 1 for an Elman cell.
    _gates: ClassVar[int]

    def _parameter_names(self) -> tuple[tuple[str, str], ...]:
        return (("weight_ih", "bias_ih"), ("weight_hh", "bias_hh"))

    @classmethod
    def _cell_shape(cls, kind: str, input_size: Any, hidden_size: Any, bias: Any) -> LayerShape:
        """Check a constructor's arguments."""
        columns, hidden = size(input_size, "input_size", 0), size(hidden_size, "hidden_size", 1)
        rows = cls._gates * hidden
        return LayerShape(kind, ((rows, columns), (rows, hidden)), bool(bias), 1 / math.sqrt(hidden))

    @property
    def bias(self) -> bool:
        """Whether there are biases."""
        return self._unpack(0, "bias") is not None

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCellLayer(CellLayer):
    """What an Elman cell adds: its non-linearity."""

    _gates = 1

    @staticmethod
    def _kind(nonlinearity: Any) -> str:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity: {nonlinearity}: expected 'tanh' or 'relu'")
        return f"rnn_{nonlinearity}"

    @classmethod
    def _kind_of(cls, module: Any) -> str:
        """The core's kind for a float module, ours or PyTorch's."""
        return cls._kind(module.nonlinearity)

    @property
    def nonlinearity(self) -> str:
        """``"tanh"`` or ``"relu"``."""
        return self.kind.removeprefix("rnn_")

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.nonlinearity == "tanh" else ", nonlinearity=relu")


class RNNCell(RNNCellLayer, FloatLayer):
    """An Elman cell in float32, as ``torch.nn.RNNCell``.

    ``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``, or ``max(0, ...)``.

    Parameters
    ----------
    input_size : int
        Size of an input row, not negative.
    hidden_size : int
        Size of a hidden row, at least 1.
    bias : bool
        Whether to add ``bias_ih`` and ``bias_hh``.
    nonlinearity : {"tanh", "relu"}
    device : None or "cpu"
    dtype : None or float32
    isa : str, optional
        An instruction set, one of ``qrnn.isas()``. Default: ``QRNN_ISA``, else the best.

    Attributes
    ----------
    weight_ih : ndarray, float32, shape (hidden_size, input_size)
        Read-only; assign a whole array to change it. New: uniform in +-1/sqrt(hidden_size).
    weight_hh : ndarray, float32, shape (hidden_size, hidden_size)
        Likewise.
    bias_ih, bias_hh : ndarray, float32, shape (hidden_size,), or None
        Likewise.
    input_size, hidden_size : int
    bias : bool
    nonlinearity : str
    isa : str
    nbytes : int
        Memory of the packed weights.

    Raises
    ------
    TypeError
        If a size is no integer.
    ValueError
        If a size, `nonlinearity`, `device`, `dtype` or `isa` is out of range.

    Notes
    -----
    ``cell(input, hx=None, *, out=None)`` takes `input` of shape (batch, input_size) or
    (input_size,) and `hx` of shape (batch, hidden_size) or (hidden_size,), zeros where it is None,
    and gives the new state in the shape of `hx`: a new float32 array, or `out`, which may be `hx`
    itself. A shape that does not fit raises RuntimeError or ValueError with PyTorch's text.

    Examples
    --------
    >>> import numpy as np, qrnn.nn as nn
    >>> cell = nn.RNNCell(4, 3)
    >>> h = cell(np.ones((2, 4)))
    >>> h = cell(np.ones((2, 4)), h)
    >>> h.shape, h.dtype
    ((2, 3), dtype('float32'))
    """

    weight_ih: NDArray[Any]
    weight_hh: NDArray[Any]
    bias_ih: NDArray[Any] | None
    bias_hh: NDArray[Any] | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
        *,
        isa: str | None = None,
    ) -> None:
        super().__init__()
        expect_float32(device, dtype)
        self._fill(self._cell_shape(self._kind(nonlinearity), input_size, hidden_size, bias), isa)
