"""RecurrentLayer: a layer of ``qrnn.nn`` that is called like one of Keras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _arrays
from .._foreign import expect_flag, expect_one_layer
from .._module import Module
from .._public import public

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._foreign import SequenceLayer
    from .._typing import Array

__all__ = ["MERGE_MODES", "RecurrentLayer"]

#: How the outputs of two directions are combined.
MERGE_MODES = ("concat", "sum", "mul", "ave", None)


@public("qrnn.keras")
class RecurrentLayer(Module):
    """A recurrent layer with the arguments and results of Keras' layers, or of a Bidirectional.

    Parameters
    ----------
    layer : RNN, GRU or LSTM
        It has one layer and ``batch_first=True``, and two directions for a Bidirectional. With ``reverse=True`` it is
        called like Keras' ``go_backwards=True``: its outputs are in the order in which it reads.
    return_sequences : bool
        Whether to return the output of each step, or of the last one.
    return_state : bool
        Whether to return the last states too.
    stateful : bool
        Whether a call begins with the states at the end of the previous call; see `reset_state`. Such a layer must
        not be called by several threads at once.
    zero_output_for_mask : bool
        Whether the output of a step that the mask leaves out is zero, or the output of the step before.
    merge_mode : {"concat", "sum", "mul", "ave", None}
        How a Bidirectional combines the outputs of its directions; None: both are returned.

    Attributes
    ----------
    layer : module
        `convert` and `quantize_dynamic` replace it by the quantized layer.
    return_sequences, return_state, stateful, zero_output_for_mask : bool
    merge_mode : str or None

    Examples
    --------
    >>> import numpy as np, qrnn.nn as nn, qrnn.keras
    >>> gru = qrnn.keras.RecurrentLayer(nn.GRU(4, 3, batch_first=True), return_sequences=True)
    >>> mask = [[True, True, False], [False, True, True]]
    >>> output = gru(np.ones((2, 3, 4)), mask=mask)
    >>> output.shape, bool((output[1, 1:] == output[0, :2]).all()), output[1, 0].tolist()
    ((2, 3, 3), True, [0.0, 0.0, 0.0])
    """

    def __init__(
        self,
        layer: SequenceLayer,
        *,
        return_sequences: bool = False,
        return_state: bool = False,
        stateful: bool = False,
        zero_output_for_mask: bool = False,
        merge_mode: str | None = "concat",
    ) -> None:
        super().__init__()
        expect_one_layer(layer)
        if not layer.batch_first:
            raise ValueError("layer: expected batch_first=True, got False")
        flags = {"return_sequences": return_sequences, "return_state": return_state, "stateful": stateful}
        for name, value in {**flags, "zero_output_for_mask": zero_output_for_mask}.items():
            expect_flag(value, name)
        if merge_mode not in MERGE_MODES:
            raise ValueError(f"merge_mode: expected one of {MERGE_MODES}, got {merge_mode!r}")
        self.layer = layer
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.stateful = stateful
        self.zero_output_for_mask = zero_output_for_mask
        self.merge_mode = merge_mode
        self._states: tuple[Array, ...] | None = None

    def reset_state(self) -> None:
        """Make the next call begin with zeros."""
        self._states = None

    def compute_mask(self, sequences: Any, mask: Any = None) -> Any:
        """The mask of the output: that of the input if each step has an output, else None."""
        return mask if self.return_sequences else None

    def forward(self, sequences: Any, initial_state: Any = None, mask: Any = None) -> Any:
        """Compute the layer.

        Parameters
        ----------
        sequences : array_like, shape (batch, steps, features)
        initial_state : list of array_like, each of shape (batch, units), optional
            h, and for an LSTM c; for a Bidirectional, those of the forward direction and then of the backward one. A
            single array if there is one state.
        mask : array_like of bool, shape (batch, steps), optional
            False for steps to leave out; they may be anywhere.

        Returns
        -------
        ndarray, float32
            Of shape (batch, steps, units) or (batch, units); two for ``merge_mode=None``. With ``return_state=True``
            a tuple of output and states. Tensors if `sequences` is one.

        Raises
        ------
        TypeError
            If an argument is not an array of real numbers.
        ValueError, RuntimeError
            If a shape does not fit.
        """
        x = _arrays.to_float32(sequences, "sequences")
        if x.ndim != 3:
            raise ValueError(f"sequences: expected 3 dimensions, (batch, steps, features), got shape {x.shape}")
        keep = _to_mask(mask, x.shape[:2])
        lengths = None
        if keep is not None:  # move the kept steps to the front of their row
            first = np.argsort(~keep, axis=1, kind="stable")
            x, lengths = np.take_along_axis(x, first[..., None], axis=1), keep.sum(axis=1)
        y, states = self.layer(x, self._first_states(initial_state), lengths=lengths)
        pair = states if isinstance(states, tuple) else (states,)
        if self.stateful:
            self._states = tuple(each.copy() for each in pair)  # the caller may change the returned arrays
        merged = self._merged(self._outputs(y, pair[0], keep))
        if not self.return_state:
            return _arrays.like(tuple(merged) if len(merged) > 1 else merged[0], sequences)
        return _arrays.like((*merged, *(each[d] for d in range(len(pair[0])) for each in pair)), sequences)

    def _frame_modules(self) -> list[tuple[str, Module]]:
        """The names and modules that a frame of a stream goes through."""
        return [("layer", self.layer)]

    def _first_states(self, given: Any) -> Any:
        """The argument ``hx`` of the layer."""
        lstm, directions = self.layer.mode == "LSTM", 2 if self.layer.bidirectional else 1
        if given is None:
            if self._states is None or not self.stateful:
                return None
            return self._states if lstm else self._states[0]
        kinds = 2 if lstm else 1
        single = isinstance(given, np.ndarray) or _arrays.is_tensor(given)
        states = [given] if single else list(given)
        if len(states) != kinds * directions:
            raise ValueError(f"initial_state: expected {kinds * directions} arrays, got {len(states)}")
        arrays = [_arrays.to_float32(each, f"initial_state[{i}]") for i, each in enumerate(states)]
        for i, each in enumerate(arrays):
            if each.ndim != 2 or each.shape != arrays[0].shape:
                raise ValueError(f"initial_state[{i}]: expected shape (batch, units) of all, got {each.shape}")
        hx = tuple(np.stack(arrays[kind::kinds]) for kind in range(kinds))
        return hx if lstm else hx[0]

    def _outputs(self, y: Array, last: Array, keep: NDArray[Any] | None) -> list[Array]:
        """The output of each direction, from the outputs of the kept steps and the last states."""
        count, backwards = len(last), self.layer.reverse
        if keep is not None and backwards:
            keep = keep[:, ::-1]  # in the order in which steps are read, as Keras' outputs are
        if not self.return_sequences:
            if keep is None:
                return [each.copy() for each in last]
            shown = keep[:, -1:] if self.zero_output_for_mask else keep.any(axis=1, keepdims=True)
            return [np.where(shown, each, np.float32(0)) for each in last]
        if keep is None:
            return np.split(y[:, ::-1] if backwards else y, count, axis=2)
        read = np.cumsum(keep, axis=1)  # how many kept steps there were so far
        place = read[:, -1:] - read if backwards else read - 1  # the place of the last kept step among the kept ones
        shown = keep if self.zero_output_for_mask or count == 2 else read > 0
        spread = np.take_along_axis(y, np.clip(place, 0, y.shape[1] - 1)[..., None], axis=1)
        return np.split(np.where(shown[..., None], spread, np.float32(0)), count, axis=2)

    def _merged(self, outputs: list[Array]) -> list[Array]:
        if len(outputs) == 1 or self.merge_mode is None:
            return outputs
        one, other = outputs
        if self.merge_mode == "concat":
            return [np.concatenate(outputs, axis=-1)]
        if self.merge_mode == "mul":
            return [one * other]
        both = one + other
        return [both / np.float32(2) if self.merge_mode == "ave" else both]

    def extra_repr(self) -> str:
        flags = ("return_sequences", "return_state", "stateful", "zero_output_for_mask")
        shown = [f"{name}=True" for name in flags if getattr(self, name)]
        return ", ".join(shown + ([f"merge_mode={self.merge_mode!r}"] if self.layer.bidirectional else []))


def _to_mask(mask: Any, shape: tuple[int, ...]) -> NDArray[Any] | None:
    """A mask as a bool array; None if it leaves nothing out."""
    if mask is None:
        return None
    array = _arrays.to_numpy(mask, "mask")
    if array.shape != shape:
        raise ValueError(f"mask: expected shape {tuple(shape)}, got {array.shape}")
    keep = array.astype(bool)
    return None if keep.all() else keep
