"""Graph: a module that runs a graph of named values. Readers of other frameworks' files build it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _arrays
from ._graph_functions import FUNCTIONS, TYPES
from ._module import Module

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Choice", "Graph", "Step"]

#: The type of an input that may have any type: integers stay integers, and all floats become float32.
ANY = "any"


class Step(NamedTuple):
    """A step of a `Graph`: a call of one of its modules, or of a function of ``_graph_functions``.

    Attributes
    ----------
    inputs : tuple of str
        Names of the values that it takes. ``""`` passes None, for an argument that is left out; a tuple of names
        passes a tuple of values, as for an LSTM's states.
    outputs : tuple of str
        Names for its results, in order, including those of nested tuples; ``""`` drops a result.
    module, function : str
        The name of the child to call, or of the function; the other is empty.
    options : dict
        Keyword arguments: numbers, texts and lists of them.
    """

    inputs: tuple[str | tuple[str, ...], ...]
    outputs: tuple[str, ...]
    module: str = ""
    function: str = ""
    options: Mapping[str, Any] | None = None


class Graph(Module):
    """Steps over named values, run in order: the form of files of other frameworks that are not a chain of modules.

    Parameters
    ----------
    inputs : mapping of str to str, or iterable of str
        Names of the arguments of a call, with their types; without types all are float32. ``"any"`` takes a value of
        any type, floats as float32.
    outputs : iterable of str
        Names of the values that a call returns: a single value, or a tuple of several.
    steps : iterable of Step
        Each takes inputs, constants or results of earlier steps. A tuple or list of the same five entries is accepted.
    modules : mapping of str to Module, optional
        The children, by the names under which steps call them; several steps may call one. They may also be added
        later, by `add_module`.
    constants : mapping of str to array_like, optional
        Values that exist from the start, kept as buffers of these names.

    Attributes
    ----------
    inputs : dict of str to str
    outputs : tuple of str
    steps : tuple of Step

    Raises
    ------
    ValueError
        If a step takes a value that nothing before it makes or calls an unknown function, if a name is given twice, or
        if a type is unknown.

    Notes
    -----
    All arguments of the constructor, except modules and arrays, are plain data. The functions are ONNX's operators of
    the same names. Names of modules and constants contain no dot.

    Examples
    --------
    A GRU over sequences, a head for its last state, and its results times a constant:

    >>> import numpy as np, qrnn, qrnn.nn as nn
    >>> from qrnn._graph import Graph, Step
    >>> graph = Graph(
    ...     ["frames"],
    ...     ["scaled", "head"],
    ...     [
    ...         Step(("frames",), ("", "states"), module="gru"),
    ...         Step(("states",), ("last",), function="gather", options={"indices": -1, "axis": 0}),
    ...         Step(("last",), ("head",), module="fc"),
    ...         Step(("head", "gain"), ("scaled",), function="mul"),
    ...     ],
    ...     {"gru": nn.GRU(4, 3), "fc": nn.Linear(3, 2)},
    ...     {"gain": np.float32([2, 2])},
    ... )
    >>> scaled, head = graph(np.ones((5, 1, 4)))
    >>> bool((scaled == 2 * head).all()), [name for name, _ in graph.named_modules()]
    (True, ['', 'gru', 'fc'])
    >>> qrnn.quantize_dynamic(graph).gru
    DynamicQuantizedGRU(4, 3)
    """

    def __init__(
        self,
        inputs: Mapping[str, str] | Iterable[str],
        outputs: Iterable[str],
        steps: Iterable[Step | Sequence[Any]],
        modules: Mapping[str, Module] | None = None,
        constants: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.inputs = dict(inputs) if isinstance(inputs, Mapping) else dict.fromkeys(inputs, "float32")
        self.outputs = tuple(outputs)
        self.steps = tuple(_checked(step) for step in steps)
        for name, kind in self.inputs.items():
            if kind not in (*TYPES, ANY):
                raise ValueError(f"inputs: {name!r}: expected a type of {', '.join(TYPES)}, got {kind!r}")
        for name, array in (constants or {}).items():
            if not isinstance(name, str) or not name or "." in name or hasattr(self, name):
                raise ValueError(f"constants: expected a name without dots that is no attribute yet, got {name!r}")
            self.register_buffer(name, array)
        for name, module in (modules or {}).items():
            self.add_module(name, module)
        self._expect_order(set(constants or ()))

    @classmethod
    def _from_parts(
        cls, options: Mapping[str, Any], children: Mapping[str, Module], arrays: Mapping[str, Any]
    ) -> Graph:
        """The graph that a file describes; TypeError or ValueError if the description is not valid."""
        inputs, outputs, steps = options["inputs"], options["outputs"], options["steps"]
        if not isinstance(inputs, dict) or not isinstance(outputs, list) or not isinstance(steps, list):
            raise TypeError("expected inputs, a dict, and lists of outputs and of steps")
        graph = cls(inputs, outputs, steps, children, arrays)
        given = (name for step in graph.steps for name in (*_names(step), *step.outputs, step.module, step.function))
        for name in (*graph.outputs, *given):
            if not isinstance(name, str):
                raise TypeError(f"expected names that are str, got {name!r:.80}")
        for step in graph.steps:
            if step.module and step.module not in children:
                raise ValueError(f"steps: no module is named {step.module!r}")
        return graph

    def _frame_modules(self) -> list[tuple[str, Module]]:
        """The names and modules that a frame of a stream goes through."""
        from ._graph_frames import frame_modules  # here, because nothing else needs it

        return frame_modules(self)

    def _begin_stream(self) -> None:
        """Drop states of zeros, which are the default of layers; called on the copy of a model in a stream."""
        from ._graph_frames import without_states_of_zeros

        self.steps = without_states_of_zeros(self)
        self.__dict__.pop("_done", None)

    def _expect_order(self, known: set[str]) -> None:
        for name in self.inputs:
            if not name or name in known:
                raise ValueError(f"inputs: expected names that are not empty and no constant's, got {name!r}")
        known |= set(self.inputs)
        for index, step in enumerate(self.steps):
            for name in _names(step):
                if name not in known:
                    raise ValueError(f"steps: step {index} takes {name!r}, which nothing before it gives")
            for name in filter(None, step.outputs):
                if name in known:
                    raise ValueError(f"steps: step {index} gives {name!r}, which is given already")
                known.add(name)
        for name in self.outputs:
            if name not in known:
                raise ValueError(f"outputs: no step gives {name!r}")

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run all steps.

        Parameters
        ----------
        *args : array_like
            The inputs, in order.
        **kwargs : array_like
            The inputs by name.

        Returns
        -------
        ndarray or tuple of ndarray
            The outputs; tensors if the first input is one.

        Raises
        ------
        TypeError
            If an input is missing, unknown, given twice or not an array of real numbers.
        ValueError, RuntimeError
            If values do not fit a step.
        """
        given = self._given(args, kwargs)
        values: dict[str, Any] = {"": None}
        for name, value in given.items():
            values[name] = _typed(value, name, self.inputs[name])
        values.update(self._kept_arrays())
        with np.errstate(all="ignore"):  # numbers beyond the range, and NaN, follow float arithmetic
            for step, done in zip(self.steps, self._done_after()):
                results = self._run(step, [_of(name, values) for name in step.inputs])
                values.update((name, result) for name, result in zip(step.outputs, results) if name)
                for name in done:
                    del values[name]
        first = next(iter(given.values()), None)
        found = tuple(_arrays.like(values[name], first) for name in self.outputs)
        return found[0] if len(found) == 1 else found

    def _given(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        names = list(self.inputs)
        if len(args) > len(names):
            raise TypeError(f"Graph: expected {len(names)} inputs at most, got {len(args)}")
        given = dict(zip(names, args))
        for name, value in kwargs.items():
            if name not in self.inputs or name in given:
                problem = "given twice" if name in given else f"none of {', '.join(map(repr, names))}"
                raise TypeError(f"Graph: input {name!r} is {problem}")
            given[name] = value
        missing = [name for name in names if name not in given]
        if missing:
            raise TypeError(f"Graph: expected the inputs {', '.join(map(repr, missing))}, got none")
        return {name: given[name] for name in names}

    def _run(self, step: Step, values: list[Any]) -> tuple[Any, ...]:
        """The results of a step."""
        options = step.options or {}
        if step.module:
            result = self._child(step.module)(*values, **options)
            results = _flat(result)
        else:
            try:
                result = FUNCTIONS[step.function](*values, **options)
            except (TypeError, ValueError, IndexError, AttributeError) as error:
                of = ", ".join(f"{name} {getattr(value, 'shape', '')}" for name, value in zip(step.inputs, values))
                raise ValueError(f"{step.function} of {of}: {error}") from error
            results = result if isinstance(result, tuple) else (np.asarray(result),)
        if len(results) < len(step.outputs):
            what = step.module or step.function
            raise ValueError(f"{what}: expected {len(step.outputs)} results, got {len(results)}")
        return results

    def _child(self, name: str) -> Any:
        child = self.__dict__.get(name)
        if not isinstance(child, Module):
            raise ValueError(f"steps: no module is named {name!r}")
        return child

    def _done_after(self) -> list[list[str]]:
        """For each step, the values that no later step takes; their memory can be freed."""
        done = self.__dict__.get("_done")
        if done is None:
            last = dict.fromkeys(self.outputs, len(self.steps))
            done = [list[str]() for _ in self.steps]
            for index in reversed(range(len(self.steps))):
                for name in {*_names(self.steps[index]), *self.steps[index].outputs} - {""}:
                    if name not in last:
                        last[name] = index
                        done[index].append(name)
            self.__dict__["_done"] = done
        return done

    def extra_repr(self) -> str:
        shown = ", ".join(name if kind == "float32" else f"{name}: {kind}" for name, kind in self.inputs.items())
        return f"{shown} -> {', '.join(self.outputs)}, {len(self.steps)} steps"


class Choice(Module):
    """A branch: an argument of the call chooses one of two graphs.

    Parameters
    ----------
    then_branch, else_branch : Graph, optional
        They may also be added later, by `add_module`.

    Examples
    --------
    >>> import numpy as np
    >>> from qrnn._graph import Choice, Graph, Step
    >>> double = Graph(["x"], ["y"], [Step(("x", "x"), ("y",), function="add")])
    >>> choice = Choice(double, Graph(["z"], ["z"], []))
    >>> [float(choice(np.array(flag), np.float32(2), np.float32(5))) for flag in (True, False)]
    [4.0, 5.0]
    """

    then_branch: Graph
    else_branch: Graph

    def __init__(self, then_branch: Graph | None = None, else_branch: Graph | None = None) -> None:
        super().__init__()
        for name, graph in (("then_branch", then_branch), ("else_branch", else_branch)):
            if graph is not None:
                self.add_module(name, graph)

    def forward(self, condition: Any, *values: Any) -> Any:
        """The result of the chosen branch. `values` are first those of `then_branch`, then the others.

        Raises
        ------
        ValueError
            If `condition` is not one element.
        """
        flag, count = _arrays.to_numpy(condition, "condition"), len(self.then_branch.inputs)
        if flag.size != 1:
            raise ValueError(f"condition: expected one element, got shape {flag.shape}")
        return self.then_branch(*values[:count]) if flag.item() else self.else_branch(*values[count:])


def _checked(given: Step | Sequence[Any]) -> Step:
    """A step with tuples of names."""
    inputs, outputs, module, function, options = Step(*given)
    taken = tuple(each if isinstance(each, str) else tuple(each) for each in inputs)
    step = Step(taken, tuple(outputs), module, function, dict(options or {}))
    if bool(module) == bool(function) or (function and function not in FUNCTIONS):
        raise ValueError(f"steps: expected a module or a function of this version, got {module!r} and {function!r}")
    return step


def _names(step: Step) -> list[str]:
    """Names of the values that a step takes."""
    names = (name for each in step.inputs for name in ((each,) if isinstance(each, str) else each))
    return [name for name in names if name]


def _of(name: str | tuple[str, ...], values: Mapping[str, Any]) -> Any:
    return values[name] if isinstance(name, str) else tuple(values[each] for each in name)


def _typed(value: Any, name: str, kind: str) -> NDArray[Any]:
    if kind == "float32":
        return _arrays.to_float32(value, name)
    array = _arrays.to_numpy(value, name)
    if kind == ANY:
        return _arrays.to_float32(array, name) if array.dtype.kind == "f" else array
    if array.dtype.kind == "f":
        raise TypeError(f"{name}: expected {kind}, got {array.dtype}")
    return array.astype(kind, copy=False)


def _flat(result: Any) -> tuple[Any, ...]:
    """The results of a module with nested tuples flattened: output, h and c for an LSTM."""
    if not isinstance(result, tuple):
        return (result,)
    return tuple(part for each in result for part in _flat(each))
