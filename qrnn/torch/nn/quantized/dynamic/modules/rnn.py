"""The dynamically quantized recurrent layers over whole sequences."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from ......_types import dtype as _dtype
from ......_types import qint8
from ......nn.modules import rnn as _numpy
from ......nn.modules.layer import LayerShape
from ......nn.modules.recurrent import no_projection
from ..... import _ops
from ....._calls import array_of, state_of, to_tensors, traced
from ....._checks import check_packed
from ....._shape import GATES, Shape, rnn_kind
from .recurrent import Nonlinear, Recurrent, documented

__all__ = ["GRU", "LSTM", "RNN", "joined", "permuted", "run_packed", "run_sequence"]


class _Layer(Recurrent):
    """Layers over whole sequences."""

    def _make(self, checked: LayerShape, *rest: Any) -> None:
        """The rest of a constructor, whose arguments the NumPy side has checked."""
        kind, sequence, projection = checked.form
        (rows, columns), (_, state) = checked.shapes[:2]
        proj_size = state if projection else 0
        shape = Shape(kind, columns, rows // GATES[kind], checked.bias, sequence, proj_size, checked.dropout)
        self._fill(shape, *rest)

    def forward(self, input: Any, hx: Any = None, *, lengths: Any = None) -> Any:
        """Outputs of all steps, and the last state.

        Parameters
        ----------
        input : torch.Tensor or torch.nn.utils.rnn.PackedSequence
            Shape (time, batch, input_size), with ``batch_first`` (batch, time, input_size), or (time,
            input_size).
        hx : torch.Tensor, shape (num_layers * num_directions, batch, hidden_size), optional
            The first state; for LSTM a pair. Default: zeros.
        lengths : ints or torch.Tensor, one a batch row, optional
            Steps of each row, 1 to time; outputs after them are zeros. None for a PackedSequence.

        Returns
        -------
        output : torch.Tensor, or a PackedSequence if `input` is one
            Shape (time, batch, num_directions * hidden_size), float32, without a gradient.
        h_n : torch.Tensor, shape (num_layers * num_directions, batch, hidden_size)
            For LSTM a pair.

        Raises
        ------
        TypeError
            If an argument is no tensor of real numbers on the CPU.
        RuntimeError, ValueError
            If shapes or lengths do not fit, or, for a torch engine, a value is not finite.
        """
        if isinstance(input, PackedSequence):
            return run_packed(self, self._shape, input, hx, lengths)
        if traced(input):
            return _ops.call_sequence(self._shape, self._engine, self._tensors(), input, hx, lengths)
        return run_sequence(self._module(), input, hx, lengths)

    @property
    def num_layers(self) -> int:
        """Layers above one another."""
        return self._sequence[0]

    @property
    def bidirectional(self) -> bool:
        """Whether there is a reverse direction."""
        return self._sequence[1] == 2

    @property
    def batch_first(self) -> bool:
        """Whether inputs and outputs are (batch, time, ...)."""
        return self._sequence[2]

    @property
    def dropout(self) -> float:
        """Kept for `extra_repr`; inference drops nothing."""
        return self._shape.dropout

    @property
    def proj_size(self) -> int:
        """Size of the projected state of an LSTM, 0 without one."""
        return self._shape.proj_size

    @property
    def mode(self) -> str:
        """PyTorch's name of the kind: ``"RNN_TANH"``, ``"RNN_RELU"``, ``"LSTM"`` or ``"GRU"``."""
        return self._shape.kind.upper()

    @property
    def dtype(self) -> _dtype:
        """`qrnn.qint8`."""
        return qint8

    def flatten_parameters(self) -> None:
        """Do nothing: models written for PyTorch call it."""

    @property
    def _sequence(self) -> tuple[int, int, bool]:
        assert self._shape.sequence is not None
        return self._shape.sequence

    def extra_repr(self) -> str:
        shape, parts = self._shape, [f"{self.input_size}, {self.hidden_size}"]
        parts += [f"proj_size={shape.proj_size}"] if shape.proj_size else []
        parts += [f"num_layers={self.num_layers}"] if self.num_layers != 1 else []
        parts += ["bias=False"] if not self.bias else []
        parts += ["batch_first=True"] if self.batch_first else []
        parts += [f"dropout={self.dropout}"] if self.dropout else []
        parts += ["bidirectional=True"] if self.bidirectional else []
        return ", ".join(parts)


def run_sequence(packed: Any, input: Any, hx: Any, lengths: Any) -> Any:
    """A sequence module of the core, of tensors."""
    keywords = {} if lengths is None else {"lengths": array_of_lengths(lengths)}
    return to_tensors(packed(array_of(input, "input"), state_of(hx), **keywords))


def array_of_lengths(lengths: Any) -> Any:
    """Lengths, a tensor or a list, as the core takes them."""
    return array_of(lengths, "lengths") if isinstance(lengths, torch.Tensor) else lengths


def run_packed(module: Any, shape: Shape, packed: PackedSequence, hx: Any, lengths: Any) -> Any:
    """`module` of a PackedSequence: padded rows in packed order and their lengths, and back."""
    states = check_packed(shape, packed, hx, lengths)
    data, sizes, order, back = packed
    plain = PackedSequence(data, sizes)
    batch_first = module.batch_first
    padded, lengths = torch.nn.utils.rnn.pad_packed_sequence(plain, batch_first)
    hx = None if states is None else joined(shape, permuted(states, order))
    output, last = module.forward(padded, hx, lengths=lengths)
    last = permuted(last if shape.kind == "lstm" else (last,), back)
    output = torch.nn.utils.rnn.pack_padded_sequence(output, lengths, batch_first)
    return PackedSequence(output.data, sizes, order, back), joined(shape, last)


def permuted(states: Any, order: Any) -> Any:
    """The tensors of a state, if there is one, with their batch rows in another order."""
    return states if states is None or order is None else tuple(each[:, order] for each in states)


def joined(shape: Shape, states: tuple[Any, ...]) -> Any:
    """A state as callers have it: a pair for an LSTM, else a tensor."""
    return states if shape.kind == "lstm" else states[0]


@documented
class RNN(Nonlinear, _Layer):
    """Elman layers with int8 weights over whole sequences; ``torch.ao`` has no such module.

    Parameters
    ----------
    input_size, hidden_size : int
        Sizes of an input and a hidden row, at least 1.
    num_layers : int
        Layers above one another.
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

    _float_type = torch.nn.RNN
    _torch_ao_type = None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: Any = qint8,
        *,
        proj_size: None = None,
        engine: str | None = None,
        isa: str | None = None,
    ) -> None:
        no_projection(proj_size)
        kind, options = rnn_kind(nonlinearity), (bias, batch_first, dropout, bidirectional)
        checked = _numpy.RNN._sequence_shape(kind, input_size, hidden_size, num_layers, *options)
        self._make(checked, dtype, engine, isa)


@documented
class LSTM(_Layer):
    """LSTM layers with int8 weights, as ``torch.ao.nn.quantized.dynamic.LSTM``.

    Parameters
    ----------
    input_size, hidden_size : int
        Sizes of an input and a hidden row, at least 1.
    num_layers : int
        Layers above one another.
    bias : bool
        Whether there are biases.
    batch_first : bool
        Whether inputs and outputs are (batch, time, ...).
    dropout : float
        Kept as an attribute.
    bidirectional : bool
        Whether there is a reverse direction.
    proj_size : int
        Size of a projected state, 0 for none; engine ``qrnn`` alone has one.
    {parameters}
    Examples
    --------
    >>> import torch, qrnn.torch
    >>> layer = qrnn.torch.nn.quantized.dynamic.LSTM(4, 3, bidirectional=True)
    >>> output, (h_n, c_n) = layer(torch.ones(5, 2, 4))
    >>> output.shape, h_n.shape
    (torch.Size([5, 2, 6]), torch.Size([2, 2, 3]))
    """

    _float_type = torch.nn.LSTM
    _torch_ao_type = "LSTM"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: Any = qint8,
        *,
        proj_size: int = 0,
        engine: str | None = None,
        isa: str | None = None,
    ) -> None:
        options = bias, batch_first, dropout, bidirectional, proj_size
        checked = _numpy.LSTM._sequence_shape("lstm", input_size, hidden_size, num_layers, *options)
        self._make(checked, dtype, engine, isa)


@documented
class GRU(_Layer):
    """GRU layers with int8 weights, as ``torch.ao.nn.quantized.dynamic.GRU``.

    Parameters
    ----------
    input_size, hidden_size : int
        Sizes of an input and a hidden row, at least 1.
    num_layers : int
        Layers above one another.
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
    >>> layer = qrnn.torch.nn.quantized.dynamic.GRU(4, 3, num_layers=2)
    >>> output, h_n = layer(torch.ones(5, 2, 4))
    >>> output.shape, h_n.shape
    (torch.Size([5, 2, 3]), torch.Size([2, 2, 3]))
    """

    _float_type = torch.nn.GRU
    _torch_ao_type = "GRU"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: Any = qint8,
        *,
        proj_size: None = None,
        engine: str | None = None,
        isa: str | None = None,
    ) -> None:
        no_projection(proj_size)
        options = bias, batch_first, dropout, bidirectional
        checked = _numpy.GRU._sequence_shape("gru", input_size, hidden_size, num_layers, *options)
        self._make(checked, dtype, engine, isa)
