"""The quantized Elman cell and layer."""

from __future__ import annotations

import torch

from .._constructors import RNNCellConstructor, RNNConstructor
from .._elman import ElmanCell, ElmanLayer
from ._prepared import PreparedCell, PreparedSequence
from ._recurrent import Cell, Sequence, documented
from ._rows import quantizes

__all__ = ["RNN", "RNNCell"]


@quantizes(torch.nn.RNNCell, PreparedCell)
@documented
class RNNCell(RNNCellConstructor, ElmanCell, Cell[torch.Tensor]):
    """An Elman cell with int8 weights, as ``torch.ao.nn.quantized.dynamic.RNNCell``.

    ``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``, or ``max(0, ...)``; both products multiply 8-bit integers.

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


@quantizes(torch.nn.RNN, PreparedSequence)
@documented
class RNN(RNNConstructor, ElmanLayer, Sequence[torch.Tensor]):
    """Elman layers with int8 weights over whole sequences; ``torch.ao`` has no such module.

    Parameters
    ----------
    input_size, hidden_size : int
        Sizes of an input and a hidden row, at least 1.
    num_layers : int
        Layers, each of which reads the output of the one before.
    nonlinearity : {"tanh", "relu"}
    bias : bool
        Whether there are biases.
    batch_first : bool
        Whether inputs and outputs are (batch, time, ...).
    dropout : float
        Kept as an attribute.
    bidirectional : bool
        Whether there is a reverse direction.
    proj_size : None
        Raises ValueError, as in PyTorch.
    {parameters}
    Examples
    --------
    >>> import torch, qrnn.torch
    >>> layer = qrnn.torch.nn.quantized.dynamic.RNN(4, 3)
    >>> output, h_n = layer(torch.ones(5, 2, 4))
    >>> output.shape, h_n.shape
    (torch.Size([5, 2, 3]), torch.Size([1, 2, 3]))
    """
