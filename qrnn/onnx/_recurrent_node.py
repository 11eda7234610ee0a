"""RecurrentNode: a layer of ``qrnn.nn`` that is called like a node of ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _arrays
from .._foreign import expect_one_layer
from .._module import Module
from .._public import public

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._foreign import SequenceLayer
    from .._typing import Array

__all__ = ["RecurrentNode"]


@public("qrnn.onnx")
class RecurrentNode(Module):
    """A recurrent layer with the inputs and outputs of ONNX's operator.

    Parameters
    ----------
    layer : RNN, GRU or LSTM
        It has one layer, and ``batch_first`` if `layout` is 1.
    layout : int
        0: X is (steps, batch, input_size), Y (steps, directions, batch, hidden_size) and states (directions, batch,
        hidden_size). 1: (batch, steps, input_size), (batch, steps, directions, hidden_size) and (batch, directions,
        hidden_size).
    inputs, outputs : mapping of str to str
        The graph's names of the node's inputs and outputs, by ONNX's names for the operator: X, sequence_lens,
        initial_h, initial_c; Y, Y_h, Y_c. Those that the node leaves out, and inputs that are weights, are missing.
    sequence_lens, initial_h, initial_c : array_like, optional
        Constants of the graph for these inputs, used if a call does not give them.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another type or form.

    Attributes
    ----------
    layer : module
        `convert` and `quantize_dynamic` replace it by the quantized layer.
    layout : int
    inputs, outputs : dict of str to str
    sequence_lens, initial_h, initial_c : ndarray or None

    Examples
    --------
    >>> import numpy as np, qrnn.nn as nn, qrnn.onnx
    >>> node = qrnn.onnx.RecurrentNode(nn.GRU(4, 3, bidirectional=True))
    >>> Y, Y_h = node(np.ones((5, 2, 4)))
    >>> Y.shape, Y_h.shape
    ((5, 2, 2, 3), (2, 2, 3))
    """

    sequence_lens: NDArray[Any] | None
    initial_h: NDArray[Any] | None
    initial_c: NDArray[Any] | None

    def __init__(
        self,
        layer: SequenceLayer,
        layout: int = 0,
        inputs: Mapping[str, str] | None = None,
        outputs: Mapping[str, str] | None = None,
        *,
        sequence_lens: Any = None,
        initial_h: Any = None,
        initial_c: Any = None,
    ) -> None:
        super().__init__()
        expect_one_layer(layer)
        if type(layout) is not int or layout not in (0, 1):
            raise ValueError(f"layout: expected 0 or 1, got {layout!r}")
        if layer.batch_first is not bool(layout):
            raise ValueError(f"layer: expected batch_first={bool(layout)} for layout={layout}, got {layer.batch_first}")
        self.layer = layer
        self.layout = layout
        self.inputs = _names(inputs, "inputs")
        self.outputs = _names(outputs, "outputs")
        self.register_buffer("sequence_lens", _constant(sequence_lens, "sequence_lens", "iu", 1))
        self.register_buffer("initial_h", _constant(initial_h, "initial_h", "fiu", 3))
        self.register_buffer("initial_c", _constant(initial_c, "initial_c", "fiu", 3))

    def forward(self, X: Any, sequence_lens: Any = None, initial_h: Any = None, initial_c: Any = None) -> Any:
        """Compute the node.

        Parameters
        ----------
        X : array_like
            See `layout`.
        sequence_lens : array_like of int, shape (batch,), optional
            Steps of each row; Y is zero after them.
        initial_h, initial_c : array_like, optional
            Zeros by default; `initial_c` is only for an LSTM.

        Returns
        -------
        tuple of ndarray, float32
            Y and Y_h, and for an LSTM Y_c; tensors if X is one.

        Raises
        ------
        TypeError
            If an argument is not an array of real numbers, or the layer has no such state.
        ValueError, RuntimeError
            If a shape does not fit.
        """
        x = _arrays.to_float32(X, "X")
        if x.ndim != 3:
            raise ValueError(f"X: expected 3 dimensions, got shape {x.shape}")
        lengths = self.sequence_lens if sequence_lens is None else sequence_lens
        hx = self._states(x.shape[1 - self.layout], initial_h, initial_c)
        y, states = self.layer(x, hx, lengths=lengths)
        pair = states if isinstance(states, tuple) else (states,)
        y = y.reshape(*y.shape[:2], self._directions, -1)
        if not self.layout:
            y = y.swapaxes(1, 2)
        return _arrays.like((y, *(self._outer(each) for each in pair)), X)

    def _frame_modules(self) -> list[tuple[str, Module]]:
        """The names and modules that a frame of a stream goes through."""
        for name in ("sequence_lens", "initial_h", "initial_c"):
            constant = getattr(self, name)
            if constant is not None and (name == "sequence_lens" or constant.any()):
                raise ValueError(f"model: expected a node without a constant {name}, got one")
        return [("layer", self.layer)]

    @property
    def _directions(self) -> int:
        return 2 if self.layer.bidirectional else 1

    def _outer(self, state: Array) -> Array:
        """A state with its axes changed to those of `layout`, or back."""
        return np.ascontiguousarray(state.swapaxes(0, 1)) if self.layout else state

    def _states(self, batch: int, initial_h: Any, initial_c: Any) -> Any:
        """The argument ``hx`` of the layer."""
        lstm = self.layer.mode == "LSTM"
        if initial_c is not None and not lstm:
            raise TypeError(f"initial_c: {self.layer.mode} has no such state")
        given = {"initial_h": initial_h, **({"initial_c": initial_c} if lstm else {})}
        states = {name: getattr(self, name) if value is None else value for name, value in given.items()}
        if all(value is None for value in states.values()):
            return None
        zeros = np.zeros((self._directions, batch, self.layer.hidden_size), np.float32)
        hx = tuple(
            zeros if value is None else self._outer(_three(_arrays.to_float32(value, name), name))
            for name, value in states.items()
        )
        return hx if lstm else hx[0]


def _names(given: Mapping[str, str] | None, name: str) -> dict[str, str]:
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(f"{name}: expected a mapping of str to str, got {type(given).__name__}")
    for each in (*given, *given.values()) if given else ():
        if not isinstance(each, str):
            raise TypeError(f"{name}: expected a mapping of str to str, got {each!r:.80} in it")
    return dict(given or {})


def _constant(value: Any, name: str, kinds: str, dims: int) -> NDArray[Any] | None:
    if value is None:
        return None
    array = _arrays.to_numpy(value, name)
    if array.dtype.kind not in kinds or array.ndim != dims:
        what = "integers" if kinds == "iu" else "numbers"
        raise ValueError(f"{name}: expected {what} in {dims} dimensions, got {array.dtype} of shape {array.shape}")
    return array


def _three(state: Array, name: str) -> Array:
    if state.ndim != 3:
        raise ValueError(f"{name}: expected 3 dimensions, got shape {state.shape}")
    return state
