"""The quantized LSTM cell and layer."""

from __future__ import annotations

import torch

from .._constructors import LSTMCellConstructor, LSTMConstructor
from ._prepared import PreparedCell, PreparedSequence
from ._recurrent import Cell, Sequence, documented
from ._rows import quantizes

__all__ = ["LSTM", "LSTMCell"]


@quantizes(torch.nn.LSTMCell, PreparedCell)
@documented
class LSTMCell(LSTMCellConstructor, Cell[tuple[torch.Tensor, torch.Tensor]]):
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

    _kind = "lstm"


@quantizes(torch.nn.LSTM, PreparedSequence)
@documented
class LSTM(LSTMConstructor, Sequence[tuple[torch.Tensor, torch.Tensor]]):
    """LSTM layers with int8 weights, as ``torch.ao.nn.quantized.dynamic.LSTM``.

    Parameters
    ----------
    input_size, hidden_size : int
        Sizes of an input and a hidden row, at least 1.
    num_layers : int
        Layers, each of which reads the output of the one before.
    bias : bool
        Whether there are biases.
    batch_first : bool
        Whether inputs and outputs are (batch, time, ...).
    dropout : float
        Kept as an attribute.
    bidirectional : bool
        Whether there is a reverse direction.
    proj_size : int
        Size of a projected state; 0: no projection. PyTorch's engines have no projections.
    {parameters}
    Examples
    --------
    >>> import torch, qrnn.torch
    >>> layer = qrnn.torch.nn.quantized.dynamic.LSTM(4, 3, bidirectional=True)
    >>> output, (h_n, c_n) = layer(torch.ones(5, 2, 4))
    >>> output.shape, h_n.shape
    (torch.Size([5, 2, 6]), torch.Size([2, 2, 3]))
    """
