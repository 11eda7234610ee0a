"""Cell: the base of a user's own recurrent cell, which defines one step in Python."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from . import _arrays, _core
from ._module import Module
from ._public import public
from ._spec import checked_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._typing import Array

__all__ = ["Cell", "check_shapes"]

C = TypeVar("C", bound="Cell")

#: The kind of the core by which the shapes of a cell's calls are checked: each state is checked as its h.
_KIND = "rnn_tanh"


def check_shapes(
    owner: Module,
    sizes: tuple[int, int],
    sequence: tuple[int, int, bool] | None,
    input: Array,
    states: dict[str, Array],
    lengths: Any = None,
) -> list[int] | None:
    """Raise PyTorch's errors, naming `owner` and the state, for shapes that do not fit; returns the lengths."""
    found = None
    for name, state in states.items() or {"": None}.items():
        shapes = None if state is None else (state.shape,)
        try:
            found = _core.check_call(_KIND, *sizes, 0, sequence, input.shape, shapes, lengths)
        except (ValueError, RuntimeError) as error:
            text = str(error).removeprefix("RNNCell: ").removeprefix("RNN: ")
            of_state = f"{name}: " if "hidden" in text or "hx" in text else ""
            raise type(error)(f"{type(owner).__name__}: {of_state}{text}") from None
    return found


@public("qrnn.nn")
class Cell(Module):
    """Your own recurrent cell: a subclass with layers and a method ``step``, which computes one step in NumPy.

    Its products are `Linear` layers, so the cell can be prepared, calibrated, converted, saved and described like any
    model. `Recurrent` runs it over whole sequences: layers, directions, lengths.

    Parameters
    ----------
    input_size : int
        Size of an input row, not negative.
    hidden_size : int
        Size of a row of each state, at least 1.
    states : iterable of str
        Names of the states; the first is also the output.

    Attributes
    ----------
    input_size, hidden_size : int
    states : tuple of str

    Raises
    ------
    TypeError
        If a size is not an integer or `states` are not names.
    ValueError
        If a size is out of range, or `states` is empty or has a name twice.

    Notes
    -----
    ``cell(input, hx=None)`` is one step, as with PyTorch's cells. `hx` and the result are the state, or a tuple if
    there are several states; `hx` None means zeros.

    A step must compute each row by itself, so that no row depends on others. Compute element by element, and by
    layers of ``qrnn.nn``; the order of sums in NumPy's ``@`` depends on the number of rows.

    Examples
    --------
    >>> import numpy as np, qrnn, qrnn.nn as nn
    >>> sigmoid, tanh = nn.Sigmoid(), nn.Tanh()
    >>> class MinimalGRU(nn.Cell):
    ...     def __init__(self, input_size, hidden_size):
    ...         super().__init__(input_size, hidden_size, states=("h",))
    ...         self.x = nn.Linear(input_size, 2 * hidden_size)
    ...         self.f = nn.Linear(hidden_size, hidden_size, bias=False)
    ...         self.n = nn.Linear(hidden_size, hidden_size, bias=False)
    ...     def inputs(self, x):  # of the input alone: called once for all steps
    ...         return np.split(self.x(x), 2, axis=-1)
    ...     def step(self, x, h):
    ...         of_f, of_n = x
    ...         f = sigmoid(of_f + self.f(h))
    ...         n = tanh(of_n + self.n(f * h))
    ...         return h + f * (n - h)
    >>> cell = MinimalGRU(4, 3)
    >>> cell(np.ones((2, 4)), cell(np.ones((2, 4)))).shape
    (2, 3)
    >>> rnn = nn.Recurrent(cell, num_layers=2, bidirectional=True)
    >>> output, h_n = qrnn.quantize_dynamic(rnn)(np.ones((5, 2, 4)), lengths=[5, 3])
    >>> output.shape, h_n.shape
    ((5, 2, 6), (4, 2, 3))
    """

    if not TYPE_CHECKING:

        def __new__(cls, *args, **kwargs):
            self = super().__new__(cls)
            self.__dict__["_arguments"] = args, kwargs  # for `another`
            return self

    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __init__(self, input_size: int, hidden_size: int, states: Iterable[str] = ("h",)) -> None:
        super().__init__()
        self.input_size = checked_size(input_size, "input_size", 0)
        self.hidden_size = checked_size(hidden_size, "hidden_size", 1)
        names = None if isinstance(states, str) or not isinstance(states, Iterable) else tuple(states)
        if names is None or not all(isinstance(name, str) for name in names):
            raise TypeError(f"states: expected names such as ('h', 'c'), got {states!r}")
        if not names or len(set(names)) < len(names):
            raise ValueError(f"states: expected at least one name and each once, got {names!r}")
        self.states = names

    # ---- what a user defines

    def inputs(self, x: Array) -> Any:
        """What depends only on the input; here `x` itself. A sequence calls it once for all its steps.

        Parameters
        ----------
        x : ndarray, float32, shape (rows, input_size)

        Returns
        -------
        array_like or tuple of them, each of shape (rows, ...)
            Each step gets its own rows of them.
        """
        return x

    def step(self, *args: Any, **kwargs: Any) -> Any:  # so that subclasses may take any number of states
        """The states after one step, ``step(x, *states)``; subclasses define it.

        Parameters
        ----------
        x : ndarray, float32, shape (batch, ...), or tuple of them
            The rows of this step in what `inputs` returned.
        *states : ndarray, float32, shape (batch, hidden_size)

        Returns
        -------
        array_like, or a tuple of them if there are several states, with the shapes of `states`

        Raises
        ------
        NotImplementedError
            In this base class.
        """
        raise NotImplementedError(f'Cell [{type(self).__name__}] is missing the required "step" method')

    def another(self: C, input_size: int) -> C:
        """A new cell, made with the arguments of this one except the input size.

        Parameters
        ----------
        input_size : int

        Raises
        ------
        TypeError
            If the class takes `input_size` neither as its first argument nor by name: override this method then.
        """
        args, kwargs = self._arguments
        if "input_size" in kwargs:
            new = type(self)(*args, **{**kwargs, "input_size": input_size})
        else:
            new = type(self)(*(input_size, *args[1:]), **kwargs)
        if (new.input_size, new.hidden_size, new.states) != (input_size, self.hidden_size, self.states):
            name = type(self).__name__
            raise TypeError(
                f"{name}: expected input_size as its first argument; otherwise define {name}.another(input_size)"
            )
        return new

    # ---- calls

    def forward(self, input: Any, hx: Any = None) -> Any:
        """One step.

        Parameters
        ----------
        input : array_like, shape (batch, input_size) or (input_size,)
        hx : array_like, or tuple of them if there are several states, shape (batch, hidden_size) or (hidden_size,)
            None: zeros.

        Returns
        -------
        ndarray, float32, the shape of `hx`; or tuple of them
            Tensors if `input` is one.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            If a shape does not fit, with PyTorch's text; or if what `inputs` or `step` returned does not.
        """
        x, states = np.array(_arrays.to_float32(input, "input")), self._split(hx)
        check_shapes(self, (self.input_size, self.hidden_size), None, x, states)
        rows = np.atleast_2d(x)
        shape = len(rows), self.hidden_size
        before = [state.reshape(shape) for state in states.values()] or [
            np.zeros(shape, np.float32) for _ in self.states
        ]
        after = self._stepped(self._of_inputs(rows), before)
        return _arrays.like(self._joined([state.reshape(*x.shape[:-1], self.hidden_size) for state in after]), input)

    def _split(self, hx: Any) -> dict[str, Array]:
        """Copies of the states in `hx` by name, which a step may write over; empty if it is None."""
        if hx is None:
            return {}
        names = self.states
        if len(names) == 1:
            return {names[0]: np.array(_arrays.to_float32(hx, f"{type(self).__name__}: hx"))}
        expected = f"{type(self).__name__}: hx: expected a tuple ({', '.join(names)})"
        if not isinstance(hx, (tuple, list)):
            raise TypeError(f"{expected}, got {type(hx).__name__}")
        if len(hx) != len(names):
            raise ValueError(f"{expected}, got {len(hx)} items")
        arrays = (_arrays.to_float32(each, f"{type(self).__name__}: {name}") for name, each in zip(names, hx))
        return {name: np.array(array) for name, array in zip(names, arrays)}

    def _joined(self, states: list[Array]) -> Any:
        """States as calls return them: a single one, or a tuple."""
        return states[0] if len(self.states) == 1 else tuple(states)

    def _of_inputs(self, rows: Array) -> tuple[bool, list[Array]]:
        """Whether `inputs` returns a tuple for `rows`, and the arrays."""
        given = self.inputs(rows)
        several = isinstance(given, (tuple, list))
        name = f"{type(self).__name__}.inputs"
        arrays = [_arrays.to_float32(each, name) for each in (given if several else [given])]
        for array in arrays:
            if array.shape[:1] != (len(rows),):
                raise ValueError(f"{name}: expected arrays of {len(rows)} rows, got shape {array.shape}")
        return several, arrays

    def _stepped(self, x: tuple[bool, list[NDArray[Any]]], states: list[Array]) -> list[Array]:
        """The states after the step whose part of the result of `_of_inputs` is `x`."""
        several, arrays = x
        given = self.step(tuple(arrays) if several else arrays[0], *states)
        name, names = type(self).__name__, self.states
        expected = f"{name}.step: expected {'the array ' if len(names) == 1 else 'arrays '}{', '.join(names)}"
        items = given if isinstance(given, (tuple, list)) else [given]
        if len(items) != len(names):
            got = f"{type(given).__name__} of {len(items)}" if items is given else type(given).__name__
            raise ValueError(f"{expected}, got {got}")
        after = []
        for each, array, before in zip(names, items, states):
            new = _arrays.to_float32(array, f"{name}.step: {each}")
            if new.shape != before.shape:
                raise ValueError(f"{name}.step: {each}: expected shape {before.shape}, got {new.shape}")
            after.append(new)
        return after

    def extra_repr(self) -> str:
        shown = "" if self.states == ("h",) else f", states={self.states}"
        return f"{self.input_size}, {self.hidden_size}{shown}"
