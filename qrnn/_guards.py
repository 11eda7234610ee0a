"""Whether a layer should use codes by data: tested on data that the rounding did not see.

A smaller error of a product does not always mean a smaller error of the layer. If plain rounding costs much, errors are
not small, and if a few loud rows dominate the statistics, these tell nothing about the other rows. So codes are tried
out on the data that `Statistics` held back:

1. each matrix by itself: its decoded values in the float layer, against its plain codes;
2. all matrices that passed, together in their engine, against all plain codes.

Matrices that do not show a gain keep plain codes. docs/calibration.md has the rule.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ._comparison import Comparison, Rows, Scale
from ._matrices import Matrix, pack
from ._precision import dequantized
from ._recording import as_sequence
from ._reservoir import SEQUENCES, Piece

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._spec import LayerSpec

    Array = NDArray[Any]

__all__ = ["Held", "Tried", "shows_gain", "threshold"]

#: If the plain codes of a matrix cause a smaller error of h than this, codes by data have to gain anything; if they
#: cause a larger one, errors are not small, and codes by data have to gain much.
SMALL = 0.03
#: The thresholds of the mean log ratio: for a matrix with a larger error, and for all matrices together.
MUCH, TOGETHER = math.log(0.8), math.log(0.98)


class Tried(NamedTuple):
    """Errors of a layer on held-back data.

    Attributes
    ----------
    squares : ndarray, shape (pieces,)
        The sum of squared errors of each piece.
    error : float
        The rms of the error divided by the rms of the outputs about their mean in each column, over all pieces.
    """

    squares: Array
    error: float


class Held:
    """Inputs of a layer that its rounding did not see, as one call, and the float layer's outputs for them.

    Parameters
    ----------
    spec : LayerSpec
    isa : str or None
    matrices : list of Matrix
        The float matrices.
    pieces : list of Piece

    Attributes
    ----------
    count : int
        How many pieces there are; rows of a layer without a state form up to 16.
    """

    def __init__(self, spec: LayerSpec, isa: str | None, matrices: list[Matrix], pieces: list[Piece]) -> None:
        spec = as_sequence(spec)
        if spec.sequence is not None:
            spec = spec._replace(sequence=spec.sequence._replace(batch_first=False))
        self._spec, self._isa, self._floats = spec, isa, matrices
        self._pieces = [piece for piece in pieces if np.isfinite(piece.x).all()]
        self.count = len(self._pieces) if spec.sequence is not None else min(len(self._pieces), SEQUENCES)
        self._exact = self.run("float32", matrices) if self.count else []
        finite = [np.isfinite(each).all() for each in self._exact]
        if not all(finite):
            self.count = 0  # outputs that are not finite have no error
        self._rows = Rows(np.concatenate(self._exact), None) if self.count else None

    def run(self, engine: str, matrices: list[Matrix]) -> list[Array]:
        """The outputs of the layer with other `matrices`, (steps, columns) for each piece."""
        packed: Any = pack(self._spec, engine, self._isa, matrices)
        xs = [piece.x for piece in self._pieces]
        if self._spec.sequence is None:
            return np.array_split(packed(np.concatenate(xs)), self.count)
        lengths = [len(x) for x in xs]
        x = np.zeros((max(lengths), len(xs), xs[0].shape[1]), np.float32)
        for row, each in enumerate(xs):
            x[: len(each), row] = each
        states = [np.stack(each, axis=1) for each in zip(*(piece.states for piece in self._pieces), strict=True)]
        output = packed(x, tuple(states) if len(states) == 2 else states[0], lengths=lengths)[0]
        return [output[:length, row] for row, length in enumerate(lengths)]

    def tried(self, engine: str, matrices: list[Matrix]) -> Tried:
        """The errors of the layer with other `matrices`."""
        assert self._rows is not None
        outputs = self.run(engine, matrices)
        comparison = Comparison(Scale.of([self._rows]))
        comparison.add(self._rows, Rows(np.concatenate(outputs), None))
        squares = [
            float(np.square(output - exact, dtype=np.float64).sum())
            for output, exact in zip(outputs, self._exact, strict=True)
        ]
        return Tried(np.array(squares), comparison.error)

    def alone(self, index: int, matrix: Matrix) -> Tried:
        """The errors of the float layer with the values of one quantized matrix, the one at `index`."""
        matrices = list(self._floats)
        matrices[index] = dequantized(matrix)
        return self.tried("float32", matrices)

    def values(self, matrices: list[Matrix]) -> Tried:
        """The errors of the float layer with the values of all `matrices`, so without errors of activations."""
        return self.tried("float32", [dequantized(matrix) for matrix in matrices])


def threshold(cost: float) -> float:
    """The bound of `shows_gain` for a matrix whose plain codes by themselves cause the error `cost`."""
    return 0.0 if cost < SMALL else MUCH


def shows_gain(plain: Array, calibrated: Array, bound: float, errors: float = 2.0) -> bool:
    """Whether the squared errors of pieces show a gain of codes by data over plain codes.

    With ``d_b = log(calibrated_b / plain_b) / 2``, half the log of the ratio of the squared errors of piece b, ::

        max(mean d + errors * standard error, log(sum calibrated / sum plain) / 2) < bound

    Fewer than two pieces show nothing.

    Examples
    --------
    >>> import numpy as np
    >>> plain = np.array([1.0, 2.0, 1.5])
    >>> shows_gain(plain, 0.5 * plain, 0.0), shows_gain(plain, plain * [0.2, 0.9, 1.3], 0.0)
    (True, False)
    >>> shows_gain(plain[:1], 0.5 * plain[:1], 0.0)
    False
    """
    if len(plain) < 2 or not (np.isfinite(plain).all() and np.isfinite(calibrated).all()) or not plain.any():
        return False
    least = np.finfo(np.float64).tiny  # for a piece without an error
    ratios = 0.5 * np.log(np.maximum(calibrated, least) / np.maximum(plain, least))
    spread = errors * ratios.std(ddof=1) / math.sqrt(len(ratios))
    pooled = 0.5 * math.log(max(float(calibrated.sum()), least) / float(plain.sum()))
    return bool(max(float(ratios.mean()) + spread, pooled) < bound)
