"""Names, sizes and options of the recurrent layers, shared by float and quantized ones.

A layer is a kind (Elman, LSTM, GRU) of a form (a cell, a sequence), and float or quantized:
``class LSTM(LSTMLayer, SequenceLayer, FloatLayer)``.
"""

from __future__ import annotations

import math
import numbers
import operator
import warnings
from typing import TYPE_CHECKING, Any, ClassVar

from .layer import Form, Layer, LayerShape, size

__all__ = [
    "CellLayer",
    "ElmanLayer",
    "GRULayer",
    "LSTMLayer",
    "RNNCellLayer",
    "RecurrentLayer",
    "SequenceLayer",
]


class RecurrentLayer(Layer):
    """What cells and sequences share."""

    #: Rows of ih and hh over hidden_size.
    _gates: ClassVar[int]

    @property
    def bias(self) -> bool:
        """Whether there are biases."""
        return self._unpack(0, "bias") is not None


class CellLayer(RecurrentLayer):
    """A single cell: one time step a call."""

    @classmethod
    def _cell_shape(cls, kind: str, input_size: Any, hidden_size: Any, bias: Any) -> LayerShape:
        """Check a constructor's arguments."""
        columns, hidden = size(input_size, "input_size", 0), size(hidden_size, "hidden_size", 1)
        rows = cls._gates * hidden
        return LayerShape(Form(kind), ((rows, columns), (rows, hidden)), bool(bias), 1 / math.sqrt(hidden))

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class SequenceLayer(RecurrentLayer):
    """Whole sequences, through layers and directions."""

    dropout: float

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...  # weight_ih_l0, bias_hh_l1_reverse, ...

    @classmethod
    def _sequence_shape(
        cls,
        kind: str,
        input_size: Any,
        hidden_size: Any,
        num_layers: Any,
        bias: Any,
        batch_first: Any,
        dropout: Any,
        bidirectional: Any,
        proj_size: Any = 0,
    ) -> LayerShape:
        """Check a constructor's arguments."""
        dropout = _checked_dropout(dropout, num_layers)
        for name, value in (("bias", bias), ("batch_first", batch_first)):
            if not isinstance(value, bool):
                raise TypeError(f"{name} should be of type bool, got: {type(value).__name__}")
        columns, hidden = _positive(input_size, "input_size"), _positive(hidden_size, "hidden_size")
        layers, projected = _positive(num_layers, "num_layers"), _integer(proj_size, "proj_size")
        if layers > 65536:  # what packing allows: refused before anything is made for each of them
            raise ValueError(f"num_layers: expected at most 65536, got {layers}")
        if projected < 0:
            raise ValueError("proj_size should be a positive integer or zero to disable projections")
        if projected >= hidden:
            raise ValueError("proj_size has to be smaller than hidden_size")
        form = Form(kind, (layers, 2 if bidirectional else 1, batch_first), projected > 0)
        shapes = cls._unit_shapes(form, columns, hidden, projected)
        return LayerShape(form, shapes, bias, 1 / math.sqrt(hidden), dropout)

    @classmethod
    def _unit_shapes(cls, form: Form, columns: int, hidden: int, projected: int) -> tuple[tuple[int, int], ...]:
        """Shapes of ih, hh and hr for each layer and direction; layers read all directions before them."""
        assert form.sequence is not None
        num_layers, num_directions, _ = form.sequence
        rows, state = cls._gates * hidden, projected or hidden
        shapes: list[tuple[int, int]] = []
        for layer in range(num_layers):
            inputs = columns if layer == 0 else num_directions * state
            unit = [(rows, inputs), (rows, state)] + [(projected, hidden)] * form.projection
            shapes += unit * num_directions
        return tuple(shapes)

    @classmethod
    def _form_of(cls, module: Any) -> Form:
        directions = 2 if module.bidirectional else 1
        sequence = int(module.num_layers), directions, bool(module.batch_first)
        return Form(cls._kind_of(module), sequence, getattr(module, "proj_size", 0) > 0)

    def _adopt(self, module: Any) -> None:
        super()._adopt(module)
        self.dropout = float(module.dropout)

    @property
    def bidirectional(self) -> bool:
        """Whether there is a second direction, from the end of a sequence to its start."""
        return self.num_directions == 2

    @property
    def mode(self) -> str:
        """PyTorch's name of the kind: ``"RNN_TANH"``, ``"RNN_RELU"``, ``"LSTM"`` or ``"GRU"``."""
        return self.kind.upper().removesuffix("_RESET_BEFORE")

    def flatten_parameters(self) -> None:
        """Do nothing: models written for PyTorch call it."""

    def extra_repr(self) -> str:
        shown = f"{self.input_size}, {self.hidden_size}"
        for name, default in _SHOWN:
            value = getattr(self, name)
            if value != default:
                shown += f", {name}={value}"
        return shown


#: What the repr of a sequence shows where it differs from its default, in PyTorch's order.
_SHOWN = (
    ("proj_size", 0),
    ("num_layers", 1),
    ("bias", True),
    ("batch_first", False),
    ("dropout", 0),
    ("bidirectional", False),
)


def _integer(value: Any, name: str) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} should be of type int, got: {type(value).__name__}") from None


def _positive(value: Any, name: str) -> int:
    number = _integer(value, name)
    if number <= 0:
        raise ValueError(f"{name} must be greater than zero")
    return number


def _checked_dropout(dropout: Any, num_layers: Any) -> float:
    """`dropout` as a float; it acts in training alone, which these modules do not do."""
    number = isinstance(dropout, numbers.Real) and not isinstance(dropout, bool)
    if not number or not 0 <= float(dropout) <= 1:
        raise ValueError(
            "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
        )
    if float(dropout) > 0 and num_layers == 1:
        warnings.warn(
            "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
            f"num_layers greater than 1, but got dropout={dropout} and num_layers={num_layers}",
            UserWarning,
            stacklevel=4,  # past _sequence_shape and __init__
        )
    return float(dropout)


class ElmanLayer(RecurrentLayer):
    """The kind with one gate and a choice of non-linearity."""

    _gates = 1

    @staticmethod
    def _kind(nonlinearity: Any) -> str:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity: {nonlinearity}: expected 'tanh' or 'relu'")
        return f"rnn_{nonlinearity}"

    @classmethod
    def _kind_of(cls, module: Any) -> str:
        return cls._kind(module.nonlinearity)

    @property
    def nonlinearity(self) -> str:
        """``"tanh"`` or ``"relu"``."""
        return self.kind.removeprefix("rnn_")


class LSTMLayer(RecurrentLayer):
    """The kind with four gates and a cell state."""

    _gates = 4

    @classmethod
    def _kind_of(cls, module: Any) -> str:
        return "lstm"


class GRULayer(RecurrentLayer):
    """The kind with three gates, in both its published forms."""

    _gates = 3

    @staticmethod
    def _kind(reset_after: Any) -> str:
        return "gru" if reset_after else "gru_reset_before"

    @classmethod
    def _kind_of(cls, module: Any) -> str:
        return cls._kind(getattr(module, "reset_after", True))  # PyTorch has no other

    @property
    def reset_after(self) -> bool:
        """Whether the reset gate is applied after the recurrent product, as PyTorch does, or before it."""
        return self.kind == "gru"

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.reset_after else ", reset_after=False")


class RNNCellLayer(ElmanLayer, CellLayer):
    """An Elman cell; PyTorch shows its non-linearity, but not that of a sequence."""

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}")


def no_projection(proj_size: Any) -> None:
    """Refuse ``proj_size=`` where only an LSTM has it, as PyTorch does."""
    if proj_size is not None:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
