"""The one generator that new weights come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["manual_seed", "normal", "uniform"]

_generator: np.random.Generator | None = None


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
        If `seed` is no integer or negative.

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
    """The generator, seeded by the system where nobody seeded it."""
    global _generator
    if _generator is None:
        _generator = np.random.default_rng()
    return _generator


def uniform(bound: float, *shape: int) -> NDArray[np.float32]:
    """Uniform float32 in +-`bound`."""
    return _current().uniform(-bound, bound, shape).astype(np.float32)


def normal(*shape: int) -> NDArray[np.float32]:
    """Float32 of mean 0 and variance 1, normally distributed."""
    return _current().standard_normal(shape, np.float32)
