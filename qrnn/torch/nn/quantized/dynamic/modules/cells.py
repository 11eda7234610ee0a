"""The dynamically quantized recurrent cells."""

from __future__ import annotations

from typing import Any

import torch

from ......_types import qint8
from ......nn.modules.layer import size
from ..... import _ops
from ....._calls import call, traced
from ....._shape import Shape, rnn_kind
from .recurrent import Nonlinear, Recurrent, documented

__all__ = ["GRUCell", "LSTMCell", "RNNCell"]


class _Cell(Recurrent):
    """A cell whose state is one tensor."""

    def _make(self, kind: str, input_size: Any, hidden_size: Any, bias: Any, *rest: Any) -> None:
        columns, hidden = size(input_size, "input_size", 0), size(hidden_size, "hidden_size", 1)
        self._fill(Shape(kind, columns, hidden, bool(bias)), *rest)

    def forward(self, input: Any, hx: Any = None) -> Any:
        """The next state.

        Parameters
        ----------
        input : torch.Tensor, shape (batch, input_size) or (input_size,)
        hx : torch.Tensor, shape (batch, hidden_size) or (hidden_size,), optional
            The state. Default: zeros.

        Returns
        -------
        torch.Tensor, float32, the shape of the state
            Without a gradient.

        Raises
        ------
        TypeError
            If an argument is no tensor of real numbers on the CPU.
        RuntimeError, ValueError
            If the shapes do not fit, or, for a torch engine, a value is not finite.
        """
        if traced(input):
            return _ops.call_cell(self._shape.kind, self._engine, self._tensors(), input, hx)
        return call(self._module(), input, hx)

    def extra_repr(self) -> str:
        kind = "" if self._shape.kind != "rnn_relu" else ", nonlinearity=relu"
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False") + kind


@documented
class RNNCell(Nonlinear, _Cell):
    """An Elman cell with int8 weights, as ``torch.ao.nn.quantized.dynamic.RNNCell``.

    ``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``, or ``max(0, ...)``; both products are of 8-bit integers.

    Parameters
    ----------
    input_size : int
        Size of an input row, not negative.
    hidden_size : int
        Size of a hidden row, at least 1.
    bias : bool
        Whether there are biases.
    nonlinearity : {"tanh", "relu"}
    {parameters}
    Examples
    --------
    >>> import torch, qrnn.torch
    >>> cell = qrnn.torch.nn.quantized.dynamic.RNNCell(4, 3)
    >>> h = cell(torch.ones(2, 4))
    >>> cell(torch.ones(2, 4), h).shape
    torch.Size([2, 3])
    """

    _float_type = torch.nn.RNNCell
    _torch_ao_type = "RNNCell"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        dtype: Any = qint8,
        *,
        engine: str | None = None,
        isa: str | None = None,
    ) -> None:
        self._make(rnn_kind(nonlinearity), input_size, hidden_size, bias, dtype, engine, isa)


@documented
class GRUCell(_Cell):
    """A GRU cell with int8 weights, as ``torch.ao.nn.quantized.dynamic.GRUCell``.

    Parameters
    ----------
    input_size : int
        Size of an input row, not negative.
    hidden_size : int
        Size of a hidden row, at least 1.
    bias : bool
        Whether there are biases.
    {parameters}
    Examples
    --------
    >>> import torch, qrnn.torch
    >>> cell = qrnn.torch.nn.quantized.dynamic.GRUCell(4, 3)
    >>> cell(torch.ones(2, 4)).shape
    torch.Size([2, 3])
    """

    _float_type = torch.nn.GRUCell
    _torch_ao_type = "GRUCell"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        dtype: Any = qint8,
        *,
        engine: str | None = None,
        isa: str | None = None,
    ) -> None:
        self._make("gru", input_size, hidden_size, bias, dtype, engine, isa)


@documented
class LSTMCell(_Cell):
    """An LSTM cell with int8 weights, as ``torch.ao.nn.quantized.dynamic.LSTMCell``.

    Its state is a pair ``(h, c)``; c is not quantized.

    Parameters
    ----------
    input_size : int
        Size of an input row, not negative.
    hidden_size : int
        Size of a hidden row, at least 1.
    bias : bool
        Whether there are biases.
    {parameters}
    Examples
    --------
    >>> import torch, qrnn.torch
    >>> cell = qrnn.torch.nn.quantized.dynamic.LSTMCell(4, 3)
    >>> h, c = cell(torch.ones(2, 4))
    >>> h.shape, c.shape
    (torch.Size([2, 3]), torch.Size([2, 3]))
    """

    _float_type = torch.nn.LSTMCell
    _torch_ao_type = "LSTMCell"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        dtype: Any = qint8,
        *,
        engine: str | None = None,
        isa: str | None = None,
    ) -> None:
        self._make("lstm", input_size, hidden_size, bias, dtype, engine, isa)
