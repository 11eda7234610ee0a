"""The dynamically quantised recurrent cells and layers."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch.nn.utils.rnn import PackedSequence

from ......_types import qint8
from ..... import _ops
from ....._calls import array_of, call, state_of, to_tensors, traced
from ....._shape import Shape, check_size, rnn_kind
from .base import QuantisedLayer

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell", "run_sequence"]

_PARAMETERS = """    dtype : qint8
        `qrnn.qint8` or `torch.qint8`.
    engine : str, optional
        The arithmetic. Default: the current one, see ``qrnn.engine``.
    isa : str, optional
        An instruction set, one of ``qrnn.isas()``. Default: ``QRNN_ISA``, else the best.

    Attributes
    ----------
    bias_ih, bias_hh : torch.Tensor, float32, or None
        The biases; layers name them ``bias_ih_l0`` and so on, as PyTorch does.
    engine, isa : str
    nbytes : int
        Memory of the packed weights.

    Raises
    ------
    TypeError
        If a size is no integer.
    ValueError
        If an argument is out of range.
"""


class _Recurrent(QuantisedLayer):
    """What cells and layers share."""

    def set_weight_bias(self, weight_bias_dict: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace all weights and biases.

        Parameters
        ----------
        weight_bias_dict : dict
            ``{"weight": {name: QTensor}, "bias": {name: tensor or None}}``, as `_weight_bias` gives it, or
            ``{name: QTensor or tensor}`` in one dict. Quantised torch tensors are taken too.

        Raises
        ------
        KeyError
            If a name is missing.
        TypeError, ValueError
            If a value does not fit. In each case nothing has changed.
        """
        if "weight" in weight_bias_dict:
            self._replace_all(weight_bias_dict["weight"], weight_bias_dict["bias"])
        else:
            self._replace_all(weight_bias_dict, weight_bias_dict)

    def _weight_bias(self) -> dict[str, dict[str, Any]]:
        """``{"weight": get_weight(), "bias": get_bias()}``, as PyTorch's."""
        return {"weight": dict(self.get_weight()), "bias": dict(self.get_bias())}

    @property
    def input_size(self) -> int:
        """Size of an input row."""
        return self._shape.input_size

    @property
    def hidden_size(self) -> int:
        """Size of a hidden row."""
        return self._shape.hidden_size

    @property
    def bias(self) -> bool:
        """Whether there are biases."""
        return self._shape.bias


class _Nonlinear:
    """What Elman cells and layers add."""

    _shape: Shape

    @property
    def nonlinearity(self) -> str:
        """``"tanh"`` or ``"relu"``."""
        return self._shape.kind.removeprefix("rnn_")


# ---- cells


class _Cell(_Recurrent):
    """A cell whose state is one tensor."""

    def _make(self, kind: str, input_size: Any, hidden_size: Any, bias: Any, *rest: Any) -> None:
        columns, hidden = check_size(input_size, "input_size", 0), check_size(hidden_size, "hidden_size", 1)
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


class RNNCell(_Nonlinear, _Cell):
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
    nonlinearity : {{"tanh", "relu"}}
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


class LSTMCell(_Cell):
    """An LSTM cell with int8 weights, as ``torch.ao.nn.quantized.dynamic.LSTMCell``.

    Its state is a pair ``(h, c)``; c is not quantised.

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


# ---- layers


class _Layer(_Recurrent):
    """Layers over whole sequences."""

    _has_projection: ClassVar[bool] = False

    def _make(
        self,
        kind: str,
        sizes: tuple[Any, Any, Any],
        bias: Any,
        batch_first: Any,
        dropout: Any,
        bidirectional: Any,
        proj_size: Any,
        *rest: Any,
    ) -> None:
        columns, hidden = check_size(sizes[0], "input_size", 1), check_size(sizes[1], "hidden_size", 1)
        layers, proj = check_size(sizes[2], "num_layers", 1), check_size(proj_size, "proj_size", 0)
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an element "
                "being zeroed"
            )
        if proj and proj >= hidden:
            raise ValueError("proj_size has to be smaller than hidden_size")
        if dropout and layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
                f"num_layers greater than 1, but got dropout={dropout} and num_layers={layers}",
                UserWarning,
                stacklevel=3,
            )
        sequence = (layers, 2 if bidirectional else 1, bool(batch_first))
        self._fill(Shape(kind, columns, hidden, bool(bias), sequence, proj, float(dropout)), *rest)

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
            Steps of each row, 1 to time; outputs after them are zeros.

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
            return run_packed(self, input, hx)
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


def run_packed(module: Any, packed: PackedSequence, hx: Any) -> Any:
    """`module` of a PackedSequence: padded rows in packed order and their lengths, and back."""
    data, sizes, order, back = packed
    plain = PackedSequence(data, sizes)
    batch_first = module.batch_first
    padded, lengths = torch.nn.utils.rnn.pad_packed_sequence(plain, batch_first)
    output, last = module.forward(padded, _permuted(hx, order), lengths=lengths)
    output = torch.nn.utils.rnn.pack_padded_sequence(output, lengths, batch_first)
    return PackedSequence(output.data, sizes, order, back), _permuted(last, back)


def _permuted(hx: Any, order: Any) -> Any:
    """A state, a tensor or a pair of them, with its batch rows in another order."""
    if hx is None or order is None:
        return hx
    return tuple(_permuted(each, order) for each in hx) if isinstance(hx, tuple) else hx[:, order]


class RNN(_Nonlinear, _Layer):
    """Elman layers with int8 weights over whole sequences; ``torch.ao`` has no such module.

    Parameters
    ----------
    input_size, hidden_size : int
        Sizes of an input and a hidden row, at least 1.
    num_layers : int
        Layers above one another.
    nonlinearity : {{"tanh", "relu"}}
    bias : bool
        Whether there are biases.
    batch_first : bool
        Whether inputs and outputs are (batch, time, ...).
    dropout : float
        Kept as an attribute.
    bidirectional : bool
        Whether there is a reverse direction.
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
        engine: str | None = None,
        isa: str | None = None,
    ) -> None:
        kind, sizes = rnn_kind(nonlinearity), (input_size, hidden_size, num_layers)
        self._make(kind, sizes, bias, batch_first, dropout, bidirectional, 0, dtype, engine, isa)


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
        sizes = (input_size, hidden_size, num_layers)
        self._make("lstm", sizes, bias, batch_first, dropout, bidirectional, proj_size, dtype, engine, isa)


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
        engine: str | None = None,
        isa: str | None = None,
    ) -> None:
        sizes = (input_size, hidden_size, num_layers)
        self._make("gru", sizes, bias, batch_first, dropout, bidirectional, 0, dtype, engine, isa)


for _class in (RNNCell, GRUCell, LSTMCell, RNN, LSTM, GRU):
    if _class.__doc__:
        _class.__doc__ = _class.__doc__.format(parameters=_PARAMETERS)
