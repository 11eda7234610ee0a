"""The base of quantized recurrent cells and layers."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import torch
from torch.nn.utils.rnn import PackedSequence

from .._recurrent import RecurrentLayer, SequenceLayer
from .._spec import Sequence as SequenceSpec
from .._types import dtype as _dtype
from . import _ops
from ._calls import as_node, call, call_sequence, is_proxy, traced
from ._packed_sequences import run_packed
from ._quantized_layer import QuantizedLayer

if TYPE_CHECKING:
    from .._typing import Lengths, typed_as

__all__ = ["Cell", "Sequence", "documented"]

C = TypeVar("C", bound=type)
State = TypeVar("State")  # a tensor, for LSTM a pair of them

_PARAMETERS = """dtype : qint8
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
    If a size is no integer, or, for a layer, `bias` or `batch_first` no bool.
ValueError
    If an argument is out of range.
"""


def documented(cls: C) -> C:
    """`cls`, with the common parameters inserted for ``{parameters}`` in its text."""
    if cls.__doc__:
        cls.__doc__ = inspect.cleandoc(cls.__doc__).replace("{parameters}", _PARAMETERS)
    return cls


class Recurrent(RecurrentLayer, QuantizedLayer):
    """The base of cells and layers."""

    def set_weight_bias(self, weight_bias_dict: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace all weights and biases.

        Parameters
        ----------
        weight_bias_dict : dict
            ``{"weight": {name: QTensor}, "bias": {name: tensor or None}}``, as `_weight_bias` returns it, or
            ``{name: QTensor or tensor}`` in one dict. Quantized torch tensors are accepted too; a weight that stays
            float is a float tensor.

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
        return self._spec.input_size

    @property
    def hidden_size(self) -> int:
        """Size of a hidden row."""
        return self._spec.hidden_size


class Cell(Recurrent, Generic[State]):
    """The base of cells, which compute one step."""

    def forward(self, input: torch.Tensor, hx: State | None = None) -> State:
        """Compute the next state.

        Parameters
        ----------
        input : torch.Tensor, shape (batch, input_size) or (input_size,)
        hx : torch.Tensor, shape (batch, hidden_size) or (hidden_size,), optional
            The state. Default: zeros.

        Returns
        -------
        torch.Tensor, the shape of the state
            It has the float type of `input`, float32 for integers, and no gradient.

        Raises
        ------
        TypeError
            If an argument is not a tensor of real numbers on the CPU.
        RuntimeError, ValueError
            If the shapes do not fit, or, for a torch engine, a value is not finite.
        """
        if traced(input):
            if is_proxy(input):
                return as_node(self, input, hx)  # type: ignore[no-any-return]
            state: State = _ops.call_cell_operator(self, input, hx)
        else:
            state = call(self._packed.get(self), input, hx)
        return state

    if TYPE_CHECKING:

        @typed_as(forward)
        def __call__(self) -> None: ...


class Sequence(SequenceLayer, Recurrent, Generic[State]):
    """The base of layers over whole sequences."""

    @overload
    def forward(
        self, input: torch.Tensor, hx: State | None = None, *, lengths: Lengths | None = None
    ) -> tuple[torch.Tensor, State]: ...
    @overload
    def forward(
        self, input: PackedSequence, hx: State | None = None, *, lengths: None = None
    ) -> tuple[PackedSequence, State]: ...
    def forward(self, input: Any, hx: Any = None, *, lengths: Any = None) -> Any:
        """Compute the outputs of all steps, and the last state.

        Parameters
        ----------
        input : torch.Tensor or torch.nn.utils.rnn.PackedSequence
            Shape (time, batch, input_size), with ``batch_first`` (batch, time, input_size), or (time,
            input_size).
        hx : torch.Tensor, shape (num_layers * num_directions, batch, hidden_size), optional
            The initial state; a pair for an LSTM. Default: zeros.
        lengths : ints or torch.Tensor, one for each batch row, optional
            Steps of each row, 0 to time. Outputs after them are zeros, and a row of length 0 keeps its state. At
            least 1 with engines that have one scale for the batch. None for a PackedSequence.

        Returns
        -------
        output : torch.Tensor, or a PackedSequence if `input` is one
            Shape (time, batch, num_directions * hidden_size). It has the float type of `input`, float32 for
            integers, like the state, and no gradient.
        h_n : torch.Tensor, shape (num_layers * num_directions, batch, hidden_size)
            A pair for an LSTM.

        Raises
        ------
        TypeError
            If an argument is not a tensor of real numbers on the CPU.
        RuntimeError, ValueError
            If shapes or lengths do not fit, or, for a torch engine, a value is not finite.
        """
        if isinstance(input, PackedSequence):
            return run_packed(self, self._spec, input, hx, lengths)
        if traced(input):
            if is_proxy(input):
                return as_node(self, input, hx, lengths=lengths)
            return _ops.call_sequence_operator(self, input, hx, lengths)
        return call_sequence(self._packed.get(self), input, hx, lengths)

    if TYPE_CHECKING:

        @typed_as(forward)
        def __call__(self) -> None: ...

    @property
    def num_layers(self) -> int:
        """How many layers there are, each of which reads the output of the one before."""
        return self._sequence.num_layers

    @property
    def batch_first(self) -> bool:
        """Whether inputs and outputs are (batch, time, ...)."""
        return self._sequence.batch_first

    @property
    def dropout(self) -> float:
        """Kept for `extra_repr`; inference has no dropout."""
        return self._spec.dropout

    @property
    def proj_size(self) -> int:
        """Size of the projected state of an LSTM; 0 without a projection."""
        return self._spec.proj_size

    @property
    def dtype(self) -> _dtype:
        """As `weight_dtype`."""
        return self._weight_type()

    @property
    def _sequence(self) -> SequenceSpec:
        assert self._spec.sequence is not None
        return self._spec.sequence
