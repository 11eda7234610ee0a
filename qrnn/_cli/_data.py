"""Inputs of models: from files, or random."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .._conv import Conv1d
from .._embedding import Embedding
from .._layer import Layer
from .._module import Module
from ._results import NO_FILE, NOT_POSSIBLE, CommandError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["drawn", "read_data", "steps_of"]

#: The arguments of a call: positional ones, or a dict of named ones.
Call = Any


def read_data(path: str) -> list[Call]:
    """The inputs in a NumPy file, one for each call.

    In a ``.npy`` each entry along the first axis is the input of a call. In an ``.npz`` with the default names of
    ``np.savez``, ``arr_0`` and so on, each array is the input of a call. With other names the arrays are the arguments
    of these names, and each entry along their first axes is a call.

    Raises
    ------
    CommandError
        If it is not such a file.
    """
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return _entries(path, found)
        with found:
            arrays = {name: found[name] for name in found.files}
    except OSError as error:
        raise CommandError(NO_FILE, f"{path}: {error.strerror or error}") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise CommandError(NO_FILE, f"{path}: expected a file that np.save or np.savez wrote: {error}") from error
    if all(name == f"arr_{i}" for i, name in enumerate(arrays)):
        return list(arrays.values())
    lists = {name: _entries(f"{path}: {name}", array) for name, array in arrays.items()}
    counts = {name: len(each) for name, each in lists.items()}
    if len(set(counts.values())) > 1:
        raise CommandError(
            NO_FILE, f"{path}: expected as many entries along the first axis of all arrays, got {counts}"
        )
    return [dict(zip(lists, values)) for values in zip(*lists.values())]


def _entries(where: str, array: NDArray[Any]) -> list[Any]:
    if array.ndim < 2 or not len(array):
        raise CommandError(
            NO_FILE, f"{where}: expected an input for each entry of the first axis, got shape {array.shape}"
        )
    return list(array)


def drawn(model: Module, rows: int = 2, steps: int = 16, seed: int = 0) -> Call:
    """A random input that `model` takes, for `rows` rows and `steps` steps.

    Raises
    ------
    CommandError
        If the model takes none of the inputs that its first layer suggests.
    """
    tried: dict[tuple[int, ...], str] = {}
    for x in _candidates(model, rows, steps, np.random.default_rng(seed)):
        try:
            model(x)
        except (TypeError, ValueError, RuntimeError, LookupError) as error:
            tried[x.shape] = str(error).partition("\n")[0]
        else:
            return x
    shapes = ", ".join(map(str, tried)) or "none"
    last = f" (the last: {list(tried.values())[-1]})" if tried else ""
    raise CommandError(NOT_POSSIBLE, f"cannot guess an input of the model; tried shapes: {shapes}{last}")


def _candidates(model: Module, rows: int, steps: int, rng: np.random.Generator) -> Iterator[NDArray[Any]]:
    """Inputs to try, by the first layer that tells how long its rows are."""
    for _, module in model.named_modules():
        if isinstance(module, Embedding):
            yield rng.integers(0, max(module.num_embeddings, 1), (rows, steps))
            yield rng.integers(0, max(module.num_embeddings, 1), (steps, rows))
            return
        if isinstance(module, Conv1d):
            size, first = module.in_channels, 3
        elif isinstance(module, Layer):
            size = module._spec.input_size
            first = 2 if module.sequence is None else int(module.sequence[2])
        else:
            continue
        shapes = [(steps, rows, size), (rows, steps, size), (rows, size), (rows, size, steps), (size,)]
        for shape in [shapes[first], *(each for i, each in enumerate(shapes) if i != first)]:
            yield rng.standard_normal(shape).astype(np.float32)
        return


def steps_of(x: Call, steps: int) -> int:
    """How many steps a call with a random input computes: 1 if no axis has `steps` entries."""
    return steps if steps in x.shape else 1
