"""What recurrent layers of both packages share: options and text, from their spec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._described import Described
from ._layer import FloatLayer

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FloatCell", "FloatSequence", "RecurrentLayer", "SequenceLayer", "no_projection"]


class RecurrentLayer(Described):
    """What cells and sequences share."""

    @property
    def bias(self) -> bool:
        """Whether there are biases."""
        return self._spec.bias

    def extra_repr(self) -> str:
        return ", ".join([self._spec.shown, *self._options_shown()])


class SequenceLayer(RecurrentLayer):
    """Whole sequences, through layers and directions."""

    @property
    def bidirectional(self) -> bool:
        """Whether there is a second direction, from the end of a sequence to its start."""
        return self._spec.sequence is not None and self._spec.sequence.num_directions == 2

    @property
    def mode(self) -> str:
        """PyTorch's name of the kind: ``"RNN_TANH"``, ``"RNN_RELU"``, ``"LSTM"`` or ``"GRU"``."""
        return self._spec.mode

    def flatten_parameters(self) -> None:
        """Do nothing: models written for PyTorch call it."""


class FloatCell(RecurrentLayer, FloatLayer):
    """What float cells share: the types of their parameters."""

    weight_ih: NDArray[Any]
    weight_hh: NDArray[Any]
    bias_ih: NDArray[Any] | None
    bias_hh: NDArray[Any] | None


class FloatSequence(SequenceLayer, FloatLayer):
    """What float sequences share: the types of their parameters and options."""

    dropout: float

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...  # weight_ih_l0, bias_hh_l1_reverse, ...


def no_projection(proj_size: Any) -> None:
    """Refuse ``proj_size=`` where only an LSTM has it, as PyTorch does."""
    if proj_size is not None:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
