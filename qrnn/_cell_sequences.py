"""Recurrent: runs a user's own cell over whole sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _arrays
from ._belongs import belongs
from ._cell import Cell, check_shapes
from ._module import Module
from ._public import public
from ._spec import sequence_spec

if TYPE_CHECKING:
    from ._typing import Array

__all__ = ["Recurrent"]


@public("qrnn.nn")
class Recurrent(Module):
    """A `Cell` over whole sequences: layers, both directions, initial states and lengths, as in `GRU`.

    Parameters
    ----------
    cell : Cell
        The cell of the first layer, forwards. Its `Cell.another` makes the others.
    num_layers : int
        Layers, each of which reads the output of the one before.
    batch_first : bool
        Whether input and output are (batch, steps, ...) instead of (steps, batch, ...); states are not.
    dropout : float
        Kept as an attribute; it acts only in training, which qrnn does not do.
    bidirectional : bool
        Whether each layer also runs from the end of a sequence to its start.

    Attributes
    ----------
    l0, l0_reverse, l1, ... : Cell
        The cells, by layer and direction; their weights are in the state dict under these names.
    input_size, hidden_size, num_layers : int
    batch_first, bidirectional : bool
    dropout : float
    states : tuple of str

    Raises
    ------
    TypeError
        If `cell` is no Cell, a size no integer, or an option no bool.
    ValueError
        If a size or `dropout` is out of range.

    Notes
    -----
    ``recurrent(input, hx=None, *, lengths=None)`` has the shapes of a call of `GRU`, or of `LSTM` if the cell has
    several states: ``output, h_n`` or ``output, (h_n, c_n, ...)``. Steps run in Python and take a microsecond or more
    for each layer that the cell calls. With engine ``qrnn`` and in float32 a sequence has the bits of its steps.

    Examples
    --------
    >>> import numpy as np, qrnn.nn as nn
    >>> tanh = nn.Tanh()
    >>> class IndRNN(nn.Cell):  # Li et al., 2018: each unit sees only itself
    ...     def __init__(self, input_size, hidden_size):
    ...         super().__init__(input_size, hidden_size)
    ...         self.x, self.u = nn.Linear(input_size, hidden_size), nn.Parameter(np.ones(hidden_size))
    ...     def inputs(self, x):
    ...         return self.x(x)
    ...     def step(self, x, h):
    ...         return tanh(x + self.u * h)
    >>> rnn = nn.Recurrent(IndRNN(4, 3), num_layers=2)
    >>> output, h_n = rnn(np.ones((5, 2, 4)))
    >>> output.shape, h_n.shape, list(rnn.state_dict())[:3]
    ((5, 2, 3), (2, 2, 3), ['l0.u', 'l0.x.weight', 'l0.x.bias'])
    """

    def __init__(
        self,
        cell: Cell,
        num_layers: int = 1,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(cell, Cell):
            raise TypeError(f"cell: expected a qrnn.nn.Cell, got {type(cell).__name__}{belongs(cell)}")
        # Options follow the rules of any layer over sequences, sizes those of a layer with inputs.
        options = True, batch_first, dropout, bidirectional
        spec = sequence_spec("rnn_tanh", cell.input_size, cell.hidden_size, num_layers, *options)
        assert spec.sequence is not None
        self.num_layers, self.batch_first = spec.sequence.num_layers, bool(batch_first)
        self.dropout, self.bidirectional = spec.dropout, bool(bidirectional)
        self.input_size, self.hidden_size, self.states = cell.input_size, cell.hidden_size, cell.states
        for layer in range(self.num_layers):
            size = self.input_size if layer == 0 else self._directions * self.hidden_size
            for name in self._names(layer):
                self.add_module(name, cell if name == "l0" else cell.another(size))

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _names(self, layer: int) -> list[str]:
        """The names of the cells of a layer."""
        return [f"l{layer}{suffix}" for suffix in ("", "_reverse")[: self._directions]]

    def forward(self, input: Any, hx: Any = None, *, lengths: Any = None) -> Any:
        """All steps, layers and directions.

        Parameters
        ----------
        input : array_like, shape (steps, batch, input_size), or (steps, input_size)
            With `batch_first` (batch, steps, input_size).
        hx : array_like, or tuple of them if there are several states
            Of shape (layers * directions, batch, hidden_size), or (layers * directions, hidden_size). None: zeros.
        lengths : iterable of int, optional
            The steps of each row of the batch, in any order. Past a row's end the output is zeros. A row's final state
            is that of its last step, where the reverse direction begins.

        Returns
        -------
        output : ndarray, float32, shape (steps, batch, directions * hidden_size)
            Of the last layer.
        h_n : ndarray, float32, the shape of `hx`; or tuple of them
            The states at the end.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As `Cell.forward`.
        """
        x = np.array(_arrays.to_float32(input, "input"))  # a copy, which steps may write over
        first: Cell = self.get_submodule("l0")  # type: ignore[assignment]
        given = first._split(hx)
        sequence = self.num_layers, self._directions, self.batch_first
        lengths = check_shapes(self, (self.input_size, self.hidden_size), sequence, x, given, lengths)
        unbatched = x.ndim == 2
        if unbatched:
            x, given = x[:, None], {name: state[:, None] for name, state in given.items()}
        elif self.batch_first:
            x = np.ascontiguousarray(x.swapaxes(0, 1))
        shape = self.num_layers * self._directions, x.shape[1], self.hidden_size
        states = list(given.values()) or [np.zeros(shape, np.float32) for _ in self.states]
        output, finals = self._layers(x, states, None if lengths is None else np.array(lengths))
        if unbatched:
            output, finals = output[:, 0], [final[:, 0] for final in finals]
        elif self.batch_first:
            output = np.ascontiguousarray(output.swapaxes(0, 1))
        return _arrays.like((output, first._joined(finals)), input)

    def _layers(self, x: Array, states: list[Array], lengths: Any) -> tuple[Array, list[Array]]:
        """Output and final states of a batch, steps first."""
        finals, place = [np.empty_like(state) for state in states], 0
        for layer in range(self.num_layers):
            outputs = []
            for name in self._names(layer):
                run = _Run(self.get_submodule(name), name, x, lengths)  # type: ignore[arg-type]
                output, after = run.steps([state[place] for state in states], reverse=name.endswith("_reverse"))
                outputs.append(output)
                for final, state in zip(finals, after, strict=True):
                    final[place] = state
                place += 1
            x = outputs[0] if len(outputs) == 1 else np.concatenate(outputs, axis=-1)
        return x, finals

    def extra_repr(self) -> str:
        shown = [f"num_layers={self.num_layers}"] if self.num_layers != 1 else []
        shown += [f"{name}=True" for name in ("batch_first", "bidirectional") if getattr(self, name)]
        return ", ".join(shown + ([f"dropout={self.dropout}"] if self.dropout else []))


class _Run:
    """A cell over the steps of a sequence in one direction.

    Parameters
    ----------
    cell : Cell
    name : str
        The cell's name.
    x : ndarray, float32, shape (steps, batch, input_size)
    lengths : ndarray of int, or None
    """

    def __init__(self, cell: Cell, name: str, x: Array, lengths: Any) -> None:
        if any(cell.__dict__.get(hooks) for hooks in ("_forward_hooks", "_forward_pre_hooks")):
            raise RuntimeError(
                f"{name}: a sequence calls the step of {type(cell).__name__}, and so runs none of its hooks"
            )
        self._cell, self._lengths = cell, lengths
        self._steps, self._batch = x.shape[:2]
        valid = None if lengths is None or (lengths == self._steps).all() else np.arange(self._steps)[:, None] < lengths
        self._valid = valid
        # Rows that have ended are not computed: an engine with one scale for all rows would see their padding.
        rows = x.reshape(-1, x.shape[-1]) if valid is None else x[valid]
        self._several, arrays = cell._of_inputs(rows)
        self._inputs = [self._by_step(array) for array in arrays]

    def _by_step(self, rows: Array) -> Array:
        """What `Cell.inputs` returned, in shape (steps, batch, ...)."""
        shape = self._steps, self._batch, *rows.shape[1:]
        if self._valid is None:
            return rows.reshape(shape)
        array = np.zeros(shape, np.float32)
        array[self._valid] = rows
        return array

    def _rows(self, step: int) -> Any:
        """The rows that take part in a step; None: all."""
        if self._valid is None or self._valid[step].all():
            return None
        return np.flatnonzero(self._valid[step])

    def steps(self, states: list[Array], reverse: bool) -> tuple[Array, list[Array]]:
        """Output, of shape (steps, batch, hidden_size), and the states at the end."""
        output = np.zeros((self._steps, self._batch, self._cell.hidden_size), np.float32)
        for step in reversed(range(self._steps)) if reverse else range(self._steps):
            rows, x = self._rows(step), [array[step] for array in self._inputs]
            if rows is None:
                states = self._cell._stepped((self._several, x), states)
                output[step] = states[0]
            elif len(rows):
                before = [state[rows] for state in states]
                after = self._cell._stepped((self._several, [each[rows] for each in x]), before)
                states = [state.copy() for state in states]
                for state, new in zip(states, after, strict=True):
                    state[rows] = new
                output[step, rows] = after[0]
        return output, states
