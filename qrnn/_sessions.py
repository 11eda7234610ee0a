"""Sessions of ONNX Runtime as functions of arrays, like the models that they are compared with."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from . import _arrays

__all__ = ["Session", "as_callable"]

#: NumPy's names of types that ONNX Runtime calls "tensor(NAME)", where the names differ.
_TYPES = {"float": "float32", "double": "float64"}


class Session:
    """A session that is called with arrays: positional ones are its inputs in order, others its inputs by name.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
        Or any object with the same methods ``run``, ``get_inputs`` and ``get_outputs``.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self._types = {each.name: _type_of(each.type) for each in session.get_inputs()}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Its output, or a tuple of several."""
        given = list(_arrays_in(args))
        if len(given) > len(self._types):
            raise TypeError(f"session: expected at most {len(self._types)} inputs, got {len(given)}: {self._names()}")
        feeds = dict(zip(self._types, given, strict=False))
        feeds.update({name: value for name, value in kwargs.items() if value is not None})
        for wrong in (name for name in feeds if name not in self._types):
            raise TypeError(f"session: expected inputs named {self._names()}, got {wrong}")
        for missing in (name for name in self._types if name not in feeds):
            raise TypeError(f"session: expected a value for its input {missing}, got none")
        arrays = {name: _arrays.to_numpy(value, name) for name, value in feeds.items()}
        results = self._session.run(None, {n: np.ascontiguousarray(a, self._types[n]) for n, a in arrays.items()})
        return results[0] if len(results) == 1 else tuple(results)

    def _names(self) -> str:
        return ", ".join(self._types)

    @property
    def nbytes(self) -> int | None:
        """The bytes of the session's model, graph and weights; None if the session does not tell."""
        data, path = (getattr(self._session, name, None) for name in ("_model_bytes", "_model_path"))
        if isinstance(data, bytes):
            return len(data)
        return os.path.getsize(path) if isinstance(path, str) and os.path.exists(path) else None


def _type_of(name: str) -> Any:
    """The NumPy type of an input; None, which accepts any type, if NumPy lacks it."""
    inner = name.removeprefix("tensor(").removesuffix(")")
    try:
        return np.dtype(_TYPES.get(inner, inner))
    except TypeError:
        return None


def _arrays_in(args: Any) -> Iterator[Any]:
    """The values in nested tuples and lists of arrays, in order, without None."""
    for each in args:
        if isinstance(each, (tuple, list)):
            yield from _arrays_in(each)
        elif each is not None:
            yield each


def as_callable(model: Any) -> Callable[..., Any]:
    """`model`; a session becomes a `Session`, anything else is returned unchanged."""
    session = all(callable(getattr(model, name, None)) for name in ("run", "get_inputs", "get_outputs"))
    return Session(model) if session and not callable(model) else model
