"""What recurrent layers share, float and quantized: sizes, options and their text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._layer import FloatLayer, Layer
from ._spec import packed_spec

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CellLayer", "FloatCell", "RecurrentLayer", "SequenceLayer", "no_projection"]


class RecurrentLayer(Layer):
    """What cells and sequences share."""

    @property
    def bias(self) -> bool:
        """Whether there are biases."""
        return self._unpack(0, "bias") is not None

    def extra_repr(self) -> str:
        return packed_spec(self).shown


class CellLayer(RecurrentLayer):
    """A single cell: one time step a call."""


class FloatCell(CellLayer, FloatLayer):
    """What float cells share: the types of their parameters."""

    weight_ih: NDArray[Any]
    weight_hh: NDArray[Any]
    bias_ih: NDArray[Any] | None
    bias_hh: NDArray[Any] | None


class SequenceLayer(RecurrentLayer):
    """Whole sequences, through layers and directions."""

    dropout: float

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...  # weight_ih_l0, bias_hh_l1_reverse, ...

    @property
    def bidirectional(self) -> bool:
        """Whether there is a second direction, from the end of a sequence to its start."""
        return self.num_directions == 2

    @property
    def mode(self) -> str:
        """PyTorch's name of the kind: ``"RNN_TANH"``, ``"RNN_RELU"``, ``"LSTM"`` or ``"GRU"``."""
        return packed_spec(self).mode

    def flatten_parameters(self) -> None:
        """Do nothing: models written for PyTorch call it."""


def no_projection(proj_size: Any) -> None:
    """Refuse ``proj_size=`` where only an LSTM has it, as PyTorch does."""
    if proj_size is not None:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
