"""The modules that a frame of a stream goes through in a graph of named values, if they form a chain.

A graph does not tell shapes, so it is run once for a single frame. What the steps between modules do to this frame they
do to every frame. `without_states_of_zeros` gives the steps of a graph as a stream runs them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ._conv import Conv1d
from ._layer import Layer
from ._module import Module

__all__ = ["frame_modules", "without_states_of_zeros"]

#: Functions that return a single frame unchanged, perhaps with other axes.
_SHAPES = frozenset({"flatten", "gather", "identity", "reshape", "slice", "squeeze", "transpose", "unsqueeze"})
#: Functions whose results hold only elements of their first argument.
_PARTS = _SHAPES | {"expand", "split", "tile"}


def frame_modules(graph: Any) -> list[tuple[str, Module]]:
    """Names and modules that a frame goes through in a ``Graph``.

    Raises
    ------
    ValueError
        If it is not a chain of modules from one input to one output.
    """
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise ValueError(
            f"model: expected a graph of one input and one output, got {len(graph.inputs)} and {len(graph.outputs)}"
        )
    error: Exception | None = None
    for x in _frames(graph):
        chain = _Chain(graph, x)
        try:
            for step in graph.steps:
                chain.run(step)
        except (TypeError, RuntimeError, LookupError) as wrong:
            error = wrong
            continue
        except ValueError as wrong:
            if str(wrong).startswith("model: "):
                raise
            error = wrong
            continue
        if graph.outputs[0] not in chain.now:
            raise ValueError(f"model: expected a chain of modules, got {graph.outputs[0]!r} beside it")
        return chain.found
    raise ValueError(f"model: expected a graph that computes a single frame: {error}")


def _frames(graph: Module) -> Iterator[Any]:
    """A frame in each shape in which a graph may take it."""
    for module in graph.modules():
        if isinstance(module, (Layer, Conv1d)):
            size = module.in_channels if isinstance(module, Conv1d) else module._spec.input_size
            frame = np.random.default_rng(0).standard_normal(size).astype(np.float32)
            yield from (frame.reshape(shape) for shape in ((1, 1, size), (1, size), (size,), (1, size, 1)))
            return


class _Chain:
    """The values of a graph for a frame, and the modules that it went through."""

    def __init__(self, graph: Any, x: Any) -> None:
        self._graph = graph
        (name,) = graph.inputs
        self._values: dict[str, Any] = {"": None, name: x, **dict(graph._kept_arrays())}
        self._all = {name}  # all names that were the frame at some time
        #: Names of the values that are the current frame.
        self.now = {name}
        self.found: list[tuple[str, Module]] = []

    def _of(self, name: Any) -> Any:
        return self._values[name] if isinstance(name, str) else tuple(map(self._of, name))

    def run(self, step: Any) -> None:
        """Run a step; ValueError beginning with "model: " if it uses a frame in a way that a chain does not."""
        given = [self._of(name) for name in step.inputs]
        results = dict(zip(step.outputs, self._graph._run(step, given)))
        self._values.update({name: value for name, value in results.items() if name})
        names = {each for name in step.inputs for each in ((name,) if isinstance(name, str) else name)}
        if not names & self._all:
            return  # the step uses only constants
        if step.function in ("shape", "size"):
            return
        if step.inputs[0] not in self.now or names & self._all != {step.inputs[0]}:
            raise ValueError(f"model: expected steps one after the other, got {_shown(step)}, which takes other values")
        if step.module:
            self._called(step, given, results)
            return
        frame = self._values[step.inputs[0]]
        same = [name for name, value in results.items() if _is_same(value, frame)]
        if step.function not in _SHAPES or not same:
            raise ValueError(f"model: expected modules, got {_shown(step)}, which computes with a frame outside them")
        self.now.update(same)
        self._all.update(same)

    def _called(self, step: Any, given: list[Any], results: Mapping[str, Any]) -> None:
        for value in given[1:]:
            if not _is_default(value):
                raise ValueError(f"model: expected modules that take a frame alone, got {_shown(step)} with more")
        output = self._graph._run(step, given)[0]
        self.now = {name for name, value in results.items() if name and _is_same(value, output)}
        self._all.update(name for name in results if name)
        self.found.append((step.module, self._graph._child(step.module)))


def _shown(step: Any) -> str:
    return str(step.module or step.function)


def _is_same(value: Any, frame: Any) -> bool:
    """Whether a value has the numbers of a frame, in whatever shape."""
    return bool(isinstance(value, np.ndarray) and np.array_equal(value.ravel(), frame.ravel()))


def _is_default(value: Any) -> bool:
    """Whether an argument has the value of a call without it: states of zeros, lengths of the one step."""
    if value is None:
        return True
    if isinstance(value, tuple):
        return all(map(_is_default, value))
    return bool(np.all(value == (1 if value.dtype.kind in "iu" else 0)))


# ---- states of zeros


def without_states_of_zeros(graph: Any) -> tuple[Any, ...]:
    """The steps of a ``Graph`` without the states of zeros that it passes to layers, which are the layers' default.

    Frameworks write such zeros into files: as a constant, or computed for the batch of an input.
    """
    zeros = {name for name, value in graph._kept_arrays() if value.dtype.kind == "f" and not value.any()}
    steps = []
    for step in graph.steps:
        if _gives_zeros(step, zeros):
            zeros.update(step.outputs)
        first = _first_state(graph, step)
        inputs = [
            "" if first is not None and i >= first and _are_in(name, zeros) else name
            for i, name in enumerate(step.inputs)
        ]
        steps.append(step._replace(inputs=tuple(inputs)))
    return tuple(steps)


def _are_in(name: str | tuple[str, ...], names: set[str]) -> bool:
    return name in names if isinstance(name, str) else bool(name) and all(each in names for each in name)


def _gives_zeros(step: Any, zeros: set[str]) -> bool:
    """Whether a step always returns zeros of float32, whatever the graph's inputs are."""
    if step.function == "constant_of_shape":
        options = step.options or {}
        return bool(options.get("value", 0.0) == 0 and options.get("to", "float32") == "float32")
    if step.function in ("concat", "stack"):
        return _are_in(step.inputs, zeros)
    return step.function in _PARTS and _are_in(step.inputs[0], zeros)


def _first_state(graph: Any, step: Any) -> int | None:
    """The place of the first state among the arguments of a layer; None if the step is no layer."""
    module = graph._child(step.module) if step.module else None
    if isinstance(module, Layer):
        return 1
    return 2 if isinstance(getattr(module, "layer", None), Layer) else None  # after the lengths of a `RecurrentNode`
