"""The base of recurrent layers of both packages: options and texts, taken from their spec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._described import Described
from ._layer import FloatLayer
from ._options import PLAIN

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FloatCell", "FloatSequence", "LSTMLayer", "RecurrentLayer", "SequenceLayer", "no_projection"]


class RecurrentLayer(Described):
    """The base of cells and sequences."""

    @property
    def bias(self) -> bool:
        """Whether there are biases."""
        return self._spec.bias

    def extra_repr(self) -> str:
        return ", ".join([self._spec.shown, *self._options_shown()])

    def _option(self, name: str) -> Any:
        """An option as the constructor takes it."""
        spec = self._spec
        return (spec.variant or PLAIN).argument(name, len(spec.row.activations))

    @property
    def activations(self) -> tuple[Any, ...]:
        """The activations: (f,), (f, g) of a GRU, (f, g, h) of an LSTM; for each direction if they differ."""
        row, given = self._spec.row, self._option("activations")
        return row.activations if given is None else given

    @property
    def clip(self) -> float | None:
        """The limit to which the inputs of gates and candidate are clipped; None: no limit."""
        return self._option("clip")  # type: ignore[no-any-return]


class SequenceLayer(RecurrentLayer):
    """The base of layers over whole sequences, with several layers and directions."""

    @property
    def bidirectional(self) -> bool:
        """Whether there is a second direction, from the end of a sequence to its start."""
        return self._spec.sequence is not None and self._spec.sequence.num_directions == 2

    @property
    def reverse(self) -> bool:
        """Whether the one direction reads from the end of a sequence to its start."""
        return bool(self._option("reverse"))

    @property
    def initial_states(self) -> bool:
        """Whether there are learned states, `h_0` and for an LSTM `c_0`, for calls that give none."""
        return bool(self._option("initial_states"))

    @property
    def mode(self) -> str:
        """PyTorch's name of the kind: ``"RNN_TANH"``, ``"RNN_RELU"``, ``"LSTM"`` or ``"GRU"``."""
        return self._spec.mode

    def flatten_parameters(self) -> None:
        """Do nothing. It exists because models written for PyTorch call it."""


class FloatCell(RecurrentLayer, FloatLayer):
    """The base of float cells: the types of their parameters."""

    weight_ih: NDArray[Any]
    weight_hh: NDArray[Any]
    bias_ih: NDArray[Any] | None
    bias_hh: NDArray[Any] | None


class FloatSequence(SequenceLayer, FloatLayer):
    """The base of float sequences: the types of their parameters and options."""

    dropout: float

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...  # weight_ih_l0, bias_hh_l1_reverse, ...


class LSTMLayer(RecurrentLayer):
    """The options that only LSTM cells and sequences have."""

    @property
    def peepholes(self) -> bool:
        """Whether gates see c, through the weights `weight_ch`."""
        return bool(self._option("peepholes"))

    @property
    def input_forget(self) -> bool:
        """Whether the forget gate is 1 - i."""
        return bool(self._option("input_forget"))

    @property
    def cell_clip(self) -> float | None:
        """The limit to which the next c is clipped; None: no limit."""
        return self._option("cell_clip")  # type: ignore[no-any-return]

    @property
    def proj_clip(self) -> float | None:
        """The limit to which h is clipped after a projection; None: no limit."""
        return self._option("proj_clip")  # type: ignore[no-any-return]

    @property
    def layer_norm(self) -> bool | float:
        """Whether the inputs of gates are normalized: False, True for an epsilon of 1e-5, or another epsilon."""
        return self._option("layer_norm") or False


def no_projection(proj_size: Any) -> None:
    """Refuse ``proj_size=`` for a layer that is not an LSTM, as PyTorch does."""
    if proj_size is not None:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
