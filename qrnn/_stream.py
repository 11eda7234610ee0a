"""stream: calls a model frame by frame and keeps its states, for one stream or for many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, overload

from ._framework import Framework, framework_of
from ._numpy_framework import NUMPY
from ._public import public
from ._spec import checked_size
from ._stream_table import CURRENT, Call, Form, Place, Table
from ._streamed import place_in

if TYPE_CHECKING:
    from ._typing import Array

__all__ = ["Stream", "stream"]


@public("qrnn")
class Stream:
    """A model with its states, as `stream` makes it.

    ``s(*args, rows=None, **kwargs)`` calls the model with all arguments but `rows`. These are the numbers of the
    streams to which the rows of the batch belong, in this order; None means all streams, in the order of `s.rows`. Each
    layer with a state begins with the states of these streams. If the call succeeds, the streams get the states with
    which it ended; if it fails, they keep theirs.

    Attributes
    ----------
    rows : tuple of int
        The numbers of the streams, ascending.
    state : dict of str to ndarray
        The states of all streams, by layer and name: float32, a row for each of `rows`. Can be assigned.

    Raises
    ------
    RuntimeError
        When called: if a layer with a state is called twice, with an explicit state or lengths, in another thread
        than the stream, or with a batch of another size than `rows`.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> s = qrnn.stream(qrnn.GRU(4, 3, batch_first=True), rows=2)
    >>> isinstance(s, qrnn.Stream), s.rows
    (True, (0, 1))
    >>> output, h_n = s(np.ones((1, 5, 4), np.float32), rows=[1])
    >>> {name: state.shape for name, state in s.state.items()}
    {'h': (2, 1, 3)}
    """

    def __init__(self, model: Any, rows: int, framework: Framework) -> None:
        count = checked_size(rows, "rows", 0)
        framework.expect(model, "model")
        framework.expect_no_loop(model, "model")
        self._model = framework.copied(model).eval()
        shapes: dict[str, tuple[int, ...]] = {}
        starts: dict[str, Any] = {}
        found = list(_stateful(framework, "", self._model, set()))
        for name, _, form in found:
            shapes.update({_key(name, state): shape for state, shape in form.shapes.items()})
            starts.update({_key(name, state): value for state, value in form.starts.items()})
        self._table = Table(shapes, starts)
        for name, module, form in found:
            keys = tuple(_key(name, state) for state in form.shapes)
            place_in(module, form, Place(self._table, name, keys, form.batch_axis))
        self._table.add(count, None)

    def __call__(self, *args: Any, rows: Any = None, **kwargs: Any) -> Any:
        call = Call(self._table, self._table.checked(rows))
        token = CURRENT.set(call)
        try:
            result = self._model(*args, **kwargs)
        finally:
            CURRENT.reset(token)
        call.finish()
        return result

    @property
    def rows(self) -> tuple[int, ...]:
        """The numbers of the streams, ascending."""
        return tuple(self._table.rows.tolist())

    def __len__(self) -> int:
        return len(self._table)

    @overload
    def add(self, count: None = None, state: Mapping[str, Any] | None = None) -> int: ...
    @overload
    def add(self, count: int, state: Mapping[str, Any] | None = None) -> list[int]: ...
    def add(self, count: int | None = None, state: Mapping[str, Any] | None = None) -> int | list[int]:
        """Begin streams.

        Parameters
        ----------
        count : int, optional
            None: one.
        state : mapping of str to array_like, optional
            The states that they begin with, in the form of `state`, a row for each. None: zeros, or the layers'
            learned states.

        Returns
        -------
        int, or with `count` list of int
            Their numbers: the smallest free ones.

        Raises
        ------
        TypeError, ValueError
            If an argument is wrong; then nothing has changed.
        """
        rows = self._table.add(1 if count is None else checked_size(count, "count", 0), state)
        return rows[0] if count is None else rows

    def drop(self, rows: Any) -> None:
        """End streams; their numbers are free afterwards.

        Parameters
        ----------
        rows : int or iterable of int

        Raises
        ------
        TypeError, ValueError
            If a number is not that of a stream, or comes twice; then nothing has changed.
        """
        self._table.drop(rows)

    def reset(self, rows: Any = None) -> None:
        """Restart streams, with zeros or the layers' learned states.

        Parameters
        ----------
        rows : int or iterable of int, optional
            None: all.

        Raises
        ------
        TypeError, ValueError
            As `drop`.
        """
        self._table.reset(rows)

    @property
    def state(self) -> dict[str, Array]:
        """Copies of the states of all streams, with a row for each of `rows`."""
        return self._table.state()

    @state.setter
    def state(self, state: Mapping[str, Any]) -> None:
        self._table.set_state(state)

    def __repr__(self) -> str:
        text = repr(self._model).replace("\n", "\n  ")
        return f"Stream(\n  rows={len(self)}\n  {text}\n)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Stream is neither copied nor pickled: keep its model and its state, and make another")


def stream(model: Any, rows: int = 1) -> Stream:
    """Call a model frame by frame, and keep the states of its layers between the calls.

    Frames one by one, in blocks or all at once give the same bits, and a stream has the same bits whether it is stepped
    alone or with others. This holds with the engines ``qrnn`` and ``qrnn13`` and in float32, if layers read forwards
    and the model computes each frame, and each row, by itself between them. See docs/streams.md.

    Parameters
    ----------
    model : Module
        The model is copied, with its current weights; these take no additional memory.
    rows : int
        How many streams there are at first.

    Returns
    -------
    Stream

    Raises
    ------
    TypeError
        If `model` is not a Module.
    ValueError
        If a layer is bidirectional or prepared, or is a convolution whose padding is not "causal" or whose stride is
        not 1.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> from qrnn import nn
    >>> class Spotter(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.conv = nn.Conv1d(40, 32, 3, padding="causal")
    ...         self.rnn = nn.GRU(32, 32, num_layers=2, batch_first=True)
    ...         self.head = nn.Linear(32, 5)
    ...     def forward(self, x):  # (batch, frames, 40)
    ...         x = self.conv(x.swapaxes(1, 2)).swapaxes(1, 2)
    ...         return self.head(self.rnn(x)[0])
    >>> model = qrnn.quantize_dynamic(Spotter())
    >>> x = np.random.default_rng(0).standard_normal((1, 50, 40), dtype=np.float32)
    >>> s = qrnn.stream(model)
    >>> first = s(x[:, :1])
    >>> rest = s(x[:, 1:])
    >>> bool((np.concatenate([first, rest], axis=1) == model(x)).all())
    True
    >>> s.reset()
    >>> {name: array.shape for name, array in s.state.items()}
    {'conv.frames': (1, 40, 2), 'rnn.h': (1, 2, 32)}

    Many streams, of which any are stepped as one batch:

    >>> s = qrnn.stream(model, rows=3)
    >>> s.drop(1)
    >>> s.add(2), s.rows
    ([1, 3], (0, 1, 2, 3))
    >>> s(x[[0, 0], :1], rows=[3, 0]).shape
    (2, 1, 5)
    """
    return Stream(model, rows, framework_of(model, NUMPY))


def _key(name: str, state: str) -> str:
    return f"{name}.{state}" if name else state


def _stateful(framework: Framework, name: str, module: Any, seen: set[int]) -> Iterator[tuple[str, Any, Form]]:
    """Name, module and form of every module with a state. Modules below one of these are not looked at."""
    if id(module) in seen:
        return
    seen.add(id(module))
    if framework.prepared_engine(module) is not None:
        raise ValueError(f"model: expected one that is converted or float, got {name or 'the model'} prepared")
    begin = getattr(type(module), "_begin_stream", None)
    if begin is not None:
        begin(module)
    form = framework.form(name, module)
    _expect_no_lists(framework, name, module)
    if form is not None:
        yield name, module, form
    for child_name, child in framework.children(module):
        below = _stateful(framework, f"{name}.{child_name}" if name else child_name, child, seen)
        if form is None:
            yield from below
        else:
            list(below)  # raises if a module is prepared


def _expect_no_lists(framework: Framework, name: str, module: Any) -> None:
    """Raise ValueError if `module` keeps modules in a plain list, because their states would not be found."""
    for attribute, value in vars(module).items():
        items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple, set)) else ()
        if attribute != "_modules" and any(isinstance(item, framework.module_type) for item in items):
            where = f"{name}.{attribute}" if name else attribute
            raise ValueError(
                f"model: expected modules as attributes, in a ModuleList or a ModuleDict, got a "
                f"{type(value).__name__} of them as {where}"
            )
