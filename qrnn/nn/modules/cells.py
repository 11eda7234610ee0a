"""Recurrent cells in float32: one time step a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..._types import expect_float32
from .layer import FloatLayer
from .recurrent import CellLayer, GRULayer, LSTMLayer, RNNCellLayer

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["GRUCell", "LSTMCell", "RNNCell"]


class FloatCell(CellLayer, FloatLayer):
    """What float cells share: the types of their parameters."""

    weight_ih: NDArray[Any]
    weight_hh: NDArray[Any]
    bias_ih: NDArray[Any] | None
    bias_hh: NDArray[Any] | None


class RNNCell(RNNCellLayer, FloatCell):
    """An Elman cell in float32, as ``torch.nn.RNNCell``.

    ``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``, or ``max(0, ...)`` (Elman, 1990, "Finding Structure
    in Time").

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


class LSTMCell(LSTMLayer, FloatCell):
    """A long short-term memory cell in float32, as ``torch.nn.LSTMCell``.

    ::

        i, f, g, o = W_ih x + b_ih + W_hh h + b_hh
        c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h' = sigmoid(o) * tanh(c')

    (Hochreiter and Schmidhuber, 1997, "Long Short-Term Memory"; the forget gate f: Gers,
    Schmidhuber and Cummins, 2000, "Learning to Forget").

    Parameters
    ----------
    input_size : int
        Size of an input row, not negative.
    hidden_size : int
        Size of a row of h and of c, at least 1.
    bias : bool
        Whether to add ``bias_ih`` and ``bias_hh``.
    device : None or "cpu"
    dtype : None or float32
    isa : str, optional
        An instruction set, one of ``qrnn.isas()``. Default: ``QRNN_ISA``, else the best.

    Attributes
    ----------
    weight_ih : ndarray, float32, shape (4 * hidden_size, input_size)
        Rows of i, f, g and o in this order. Read-only; assign a whole array to change it. New:
        uniform in +-1/sqrt(hidden_size).
    weight_hh : ndarray, float32, shape (4 * hidden_size, hidden_size)
        Likewise.
    bias_ih, bias_hh : ndarray, float32, shape (4 * hidden_size,), or None
        Likewise.
    input_size, hidden_size : int
    bias : bool
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
    ``cell(input, hx=None, *, out=None)`` takes `input` of shape (batch, input_size) or
    (input_size,) and `hx`, a pair (h, c) of shape (batch, hidden_size) or (hidden_size,) each, zeros
    where it is None, and gives the new pair: new float32 arrays, or those of the pair `out`, which
    may be those of `hx`. A shape that does not fit raises RuntimeError or ValueError with PyTorch's
    text.

    Examples
    --------
    >>> import numpy as np, qrnn.nn as nn
    >>> cell = nn.LSTMCell(4, 3)
    >>> h, c = cell(np.ones((2, 4)))
    >>> h, c = cell(np.ones((2, 4)), (h, c))
    >>> h.shape, c.shape, c.dtype
    ((2, 3), (2, 3), dtype('float32'))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        isa: str | None = None,
    ) -> None:
        super().__init__()
        expect_float32(device, dtype)
        self._fill(self._cell_shape("lstm", input_size, hidden_size, bias), isa)


class GRUCell(GRULayer, FloatCell):
    """A gated recurrent unit in float32, as ``torch.nn.GRUCell``.

    ::

        r = sigmoid(W_ir x + b_ir + W_hr h + b_hr)
        z = sigmoid(W_iz x + b_iz + W_hz h + b_hz)
        n = tanh(W_in x + b_in + r * (W_hn h + b_hn))         reset_after=True
        n = tanh(W_in x + b_in + W_hn (r * h) + b_hn)         reset_after=False
        h' = n + z * (h - n)

    Cho et al., 2014, "Learning Phrase Representations using RNN Encoder-Decoder", reset before the
    product (ONNX: ``linear_before_reset=0``); PyTorch and Keras reset after it.

    Parameters
    ----------
    input_size : int
        Size of an input row, not negative.
    hidden_size : int
        Size of a hidden row, at least 1.
    bias : bool
        Whether to add ``bias_ih`` and ``bias_hh``.
    device : None or "cpu"
    dtype : None or float32
    reset_after : bool
        Whether r is applied after the recurrent product or before it, where PyTorch has no option.
    isa : str, optional
        An instruction set, one of ``qrnn.isas()``. Default: ``QRNN_ISA``, else the best.

    Attributes
    ----------
    weight_ih : ndarray, float32, shape (3 * hidden_size, input_size)
        Rows of r, z and n in this order. Read-only; assign a whole array to change it. New: uniform
        in +-1/sqrt(hidden_size).
    weight_hh : ndarray, float32, shape (3 * hidden_size, hidden_size)
        Likewise.
    bias_ih, bias_hh : ndarray, float32, shape (3 * hidden_size,), or None
        Likewise.
    input_size, hidden_size : int
    bias, reset_after : bool
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
    Calls are those of `RNNCell`.

    Examples
    --------
    >>> import numpy as np, qrnn.nn as nn
    >>> cell = nn.GRUCell(4, 3)
    >>> h = cell(np.ones((2, 4)))
    >>> cell(np.ones((2, 4)), h).shape
    (2, 3)
    >>> nn.GRUCell(4, 3, reset_after=False)
    GRUCell(4, 3, reset_after=False)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        reset_after: bool = True,
        isa: str | None = None,
    ) -> None:
        super().__init__()
        expect_float32(device, dtype)
        self._fill(self._cell_shape(self._kind(reset_after), input_size, hidden_size, bias), isa)
