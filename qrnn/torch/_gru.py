"""The quantized GRU cell and layer."""

from __future__ import annotations

import torch

from .._constructors import GRUCellConstructor, GRUConstructor
from .._gru import GRULayer
from ._prepared import PreparedCell, PreparedSequence
from ._recurrent import Cell, Sequence, documented
from ._rows import quantizes

__all__ = ["GRU", "GRUCell"]


@quantizes(torch.nn.GRUCell, PreparedCell)
@documented
class GRUCell(GRUCellConstructor, GRULayer, Cell[torch.Tensor]):
    """A GRU cell with int8 weights, as ``torch.ao.nn.quantized.dynamic.GRUCell``.

    Parameters
    ----------
    input_size : int
        Size of an input row, not negative.
    hidden_size : int
        Size of a hidden row, at least 1.
    bias : bool
        Whether there are biases.
    reset_after : bool
        Whether the reset gate is applied after the recurrent product, or before it, which PyTorch's engines lack.
    {parameters}
    Examples
    --------
    >>> import torch, qrnn.torch
    >>> cell = qrnn.torch.nn.quantized.dynamic.GRUCell(4, 3)
    >>> cell(torch.ones(2, 4)).shape
    torch.Size([2, 3])
    """


@quantizes(torch.nn.GRU, PreparedSequence)
@documented
class GRU(GRUConstructor, GRULayer, Sequence[torch.Tensor]):
    """GRU layers with int8 weights, as ``torch.ao.nn.quantized.dynamic.GRU``.

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
    proj_size : None
        Raises ValueError, as in PyTorch.
    reset_after : bool
        Whether the reset gate is applied after the recurrent product, or before it, which PyTorch's engines lack.
    {parameters}
    Examples
    --------
    >>> import torch, qrnn.torch
    >>> layer = qrnn.torch.nn.quantized.dynamic.GRU(4, 3, num_layers=2)
    >>> output, h_n = layer(torch.ones(5, 2, 4))
    >>> output.shape, h_n.shape
    (torch.Size([5, 2, 3]), torch.Size([2, 2, 3]))
    """
