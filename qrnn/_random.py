"""The random generator from which all new weights come."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["manual_seed", "normal", "other_generator", "uniform"]

_generator: np.random.Generator | None = None
_other: ContextVar[np.random.Generator | None] = ContextVar("qrnn_other_generator", default=None)


@contextlib.contextmanager
def other_generator() -> Iterator[None]:
    """Draw from another generator, for weights that are replaced at once, so that later draws do not change."""
    token = _other.set(np.random.default_rng(0))
    try:
        yield
    finally:
        _other.reset(token)


def manual_seed(seed: int) -> np.random.Generator:
    """Seed the generator that the weights of new modules are drawn from.

    Parameters
    ----------
    seed : int
        Not negative.

    Returns
    -------
    numpy.random.Generator
        The generator.

    Raises
    ------
    TypeError, ValueError
        If `seed` is not an integer or is negative.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> _ = qrnn.manual_seed(0)
    >>> first = qrnn.nn.RNNCell(4, 3)
    >>> _ = qrnn.manual_seed(0)
    >>> np.array_equal(qrnn.nn.RNNCell(4, 3).weight_ih, first.weight_ih)
    True
    """
    global _generator
    _generator = np.random.default_rng(np.random.SeedSequence(seed))
    return _generator


def _current() -> np.random.Generator:
    """The generator; the system seeds it unless `manual_seed` did."""
    global _generator
    other = _other.get()
    if other is not None:
        return other
    if _generator is None:
        _generator = np.random.default_rng()
    return _generator


def uniform(bound: float, *shape: int) -> NDArray[np.float32]:
    """Uniform float32 in +-`bound`."""
    return _current().uniform(-bound, bound, shape).astype(np.float32)


def normal(*shape: int) -> NDArray[np.float32]:
    """Float32 of mean 0 and variance 1, normally distributed."""
    return _current().standard_normal(shape, np.float32)
