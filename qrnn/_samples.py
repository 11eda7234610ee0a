"""A user's data for calls of models: a list of inputs, and the layout of their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Layout", "Sample", "is_packed", "read_samples"]

_EXPECTED = (
    "expected a list of inputs, each an array, a tuple of positional arguments, of which the last may be a dict of "
    "keyword arguments, or such a dict"
)


class Sample(NamedTuple):
    """The arguments of one call."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def lengths(self, function: Callable[..., Any]) -> Any:
        """The argument ``lengths`` that `function` gets; None if it gets none."""
        if "lengths" in self.kwargs:
            return self.kwargs["lengths"]
        import inspect  # here, because only measuring needs it

        try:
            bound = inspect.signature(function).bind(*self.args, **self.kwargs)
        except (TypeError, ValueError):
            return None  # a call in C has no signature; a call that does not fit raises its own error
        return bound.arguments.get("lengths")


class Layout(NamedTuple):
    """The layout of the rows of a call."""

    steps: int
    batch: int
    batch_first: bool
    lengths: NDArray[np.intp] | None

    def valid(self) -> NDArray[np.bool_] | None:
        """Which steps of each row are not padding, (batch, steps); None: all."""
        return None if self.lengths is None else np.arange(self.steps) < self.lengths[:, None]


def read_samples(data: Any, argument: str) -> list[Sample]:
    """The inputs in `data`; error texts call it `argument`.

    Raises
    ------
    TypeError
        If `data` is a single array, or not iterable.
    ValueError
        If there is no input.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.zeros((5, 2, 3))
    >>> [(len(each.args), sorted(each.kwargs)) for each in read_samples([x, (x, {"lengths": [5, 2]}), {"x": x}], "")]
    [(1, []), (1, ['lengths']), (0, ['x'])]
    """
    single = isinstance(data, (str, bytes, Mapping)) or hasattr(data, "__array__") or is_packed(data)
    if single or _arrays.is_tensor(data) or not isinstance(data, Iterable):
        raise TypeError(f"{argument}: {_EXPECTED}; got {type(data).__name__}: put it into a list if it is one input")
    samples = [_sample(each, f"{argument}[{place}]") for place, each in enumerate(data)]
    if not samples:
        raise ValueError(f"{argument}: expected at least one input, got none")
    return samples


def is_packed(value: Any) -> bool:
    """Whether `value` is a PackedSequence of PyTorch."""
    return isinstance(value, tuple) and hasattr(value, "batch_sizes")


def _sample(each: Any, argument: str) -> Sample:
    if isinstance(each, Mapping):
        return Sample((), _keywords(each, argument))
    if not isinstance(each, tuple) or is_packed(each):
        return Sample((each,), {})
    if each and isinstance(each[-1], Mapping):
        return Sample(each[:-1], _keywords(each[-1], argument))
    if not each:
        raise ValueError(f"{argument}: expected an input, got an empty tuple")
    return Sample(each, {})


def _keywords(given: Mapping[Any, Any], argument: str) -> dict[str, Any]:
    for key in given:
        if not isinstance(key, str):
            raise TypeError(f"{argument}: expected names of arguments as keys, got {key!r}")
    return dict(given)
