"""Rounding of weights by data: finds the codes and scales with the least error of products on the inputs seen.

For a row w of a matrix, with codes q and scale s, the error ``e = w - s q`` changes the product ``w v``
by ``e v``. Over inputs v with second moment S and mean m, a bias raised by ``k e m`` leaves ::

    E (e v - k e m)^2 = e (S - k (2 - k) m m^T) e^T

with k = 0 where there is no bias. The measure of this file is ``e A e^T`` with ::

    C = S - k (2 - k) m m^T
    A = C + d I,   d = (DAMPING + columns / samples) * mean diag C + FLOOR * mean diag S

where d covers what so few samples cannot show. docs/calibration.md derives and measures all of this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Codes", "Inputs", "Rounded", "damped", "rounded", "trust"]

#: From 0.001 to 0.03 the models of docs/calibration.md give about equal results; slow memory is better with less.
DAMPING = 0.003
FLOOR = 1e-6
#: How often the scale is fitted to the codes and the codes are then improved.
REFINEMENTS = 2
#: Columns in a block: their errors are fed back to later blocks by one matrix product, within the block one by one.
COLUMNS = 64
#: Rows that are rounded together, so that a block stays in the cache.
ROWS = 512

_TINY = float(np.finfo(np.float32).tiny)


class Codes(NamedTuple):
    """Codes of a matrix, int8 (rows, columns), and their scale, float32, () or (rows,)."""

    codes: NDArray[np.int8]
    scale: NDArray[np.float32]

    def values(self) -> Array:
        """The values of the codes, exactly."""
        return np.asarray(self.codes * np.asarray(self.scale, np.float64).reshape(-1, 1))


class Inputs(NamedTuple):
    """The inputs of a product: second moment (columns, columns), mean (columns,), number of rows of equal weight."""

    second_moment: Array
    mean: Array
    samples: float


class Rounded(NamedTuple):
    """The result of rounding; errors are sums over the rows of the matrix."""

    codes: Codes
    by_data: NDArray[np.bool_]  # (rows,): whether codes or scale differ from those without data
    bias_change: Array  # (rows,): k e m
    power: float  # E |W v|^2
    plain_error: float  # E |e v|^2 of the codes without data
    error: float  # E |e v - bias_change|^2


def trust(inputs: Inputs) -> float:
    """The factor k of the mean: the part of it that is not an accident of the samples.

    James and Stein's: ``1 - (trace of the covariance / samples) / |m|^2``, at least 0.
    """
    second, mean, samples = inputs
    power = float(mean @ mean)
    if samples < 2 or power == 0:
        return 0.0
    variance = float(np.trace(second)) - power
    return max(0.0, 1 - max(0.0, variance) / ((samples - 1) * power))


def damped(inputs: Inputs, trusted: float) -> Array:
    """The matrix A of the measure; `trusted`: the factor k of the mean."""
    second, mean, samples = inputs
    matrix = second - trusted * (2 - trusted) * np.outer(mean, mean)
    diagonal = np.einsum("ii->i", matrix)  # a view
    np.maximum(diagonal, 0, out=diagonal)
    damping = (DAMPING + len(mean) / samples) * diagonal.mean()
    diagonal += damping + FLOOR * np.einsum("ii->i", second).mean()
    return matrix


def rounded(
    weight: NDArray[np.float32],
    plain: Codes,
    inputs: Inputs,
    centred: bool,
    fixed: bool = False,
    tick: Callable[[int], object] = lambda rows: None,
    allowed: tuple[int, int] = (-128, 127),
) -> Rounded:
    """Round the rows of `weight` by data.

    Parameters
    ----------
    weight : ndarray, float32, shape (rows, columns)
    plain : Codes
        The codes without data. A row with its own scale, or a matrix with one scale, keeps them unless
        others are better by the measure. -128 is used only if it is among them.
    inputs : Inputs
    centred : bool
        Whether there is a bias that can absorb the mean of the error.
    fixed : bool
        Whether the scale must not change.
    tick : callable
        Called after each pass over some rows, with their number; there are `PASSES` passes over each row.
    allowed : tuple of int
        The least and the largest code.

    Returns
    -------
    Rounded

    Examples
    --------
    Two inputs are always equal, so the error of one weight can be compensated by the other.

    >>> weight = np.float32([[1.27, 0.004, 0.004]])
    >>> plain = Codes(np.int8([[127, 0, 0]]), np.float32([0.01]))
    >>> inputs = Inputs(np.array([[1.0, 0, 0], [0, 1, 1], [0, 1, 1]]), np.zeros(3), 1000)
    >>> new = rounded(weight, plain, inputs, centred=True)
    >>> new.codes.codes.tolist(), bool(new.error < new.plain_error)
    ([[127, 0, 1]], True)
    """
    exact = weight.astype(np.float64)
    trusted = trust(inputs) if centred else 0.0
    matrix = damped(inputs, trusted)
    codes = _search(exact, plain, matrix, fixed, tick, allowed) if matrix.any() else plain
    before, after = (_measure(exact - each.values(), matrix) for each in (plain, codes))
    if plain.scale.ndim:
        by_data = after < before
        codes = Codes(np.where(by_data[:, None], codes.codes, plain.codes), np.where(by_data, codes.scale, plain.scale))
    else:
        by_data = np.full(len(weight), after.sum() < before.sum())
        codes = codes if by_data.any() else plain
    error = exact - codes.values()
    second, mean = inputs.second_moment, error @ inputs.mean
    change = trusted * mean
    return Rounded(
        codes,
        by_data,
        change,
        float(_measure(exact, second).sum()),
        float(_measure(exact - plain.values(), second).sum()),
        float(max(_measure(error, second).sum() + change @ (change - 2 * mean), 0)),
    )


#: Passes over each row that `rounded` ticks for.
PASSES = 1 + REFINEMENTS


def _measure(error: Array, matrix: Array) -> Array:
    """``e A e^T`` of each row."""
    return np.asarray(np.einsum("ij,ij->i", error @ matrix, error))


def _search(
    exact: Array,
    plain: Codes,
    matrix: Array,
    fixed: bool,
    tick: Callable[[int], object],
    allowed: tuple[int, int],
) -> Codes:
    """Codes by error feedback; then, in turn, the scales that fit them best and better codes."""
    within = max(allowed[0], min(-127, int(plain.codes.min()))), allowed[1]
    blocks = [slice(start, min(start + ROWS, len(exact))) for start in range(0, len(exact), ROWS)]
    codes, scale = np.empty(exact.shape, np.int8), plain.scale
    feedback = _Feedback(matrix)
    for turn in range(PASSES):
        if turn and not fixed:
            scale = _fitted(exact, codes, scale, matrix)
        for rows in blocks:
            own = scale[rows] if scale.ndim else scale
            if turn:
                _descend(exact[rows], codes[rows], own, matrix, within)
            else:
                codes[rows] = feedback.codes(exact[rows], own, within)
            tick(rows.stop - rows.start)
    return Codes(codes, scale)


class _Feedback:
    """Error feedback, column by column.

    With A = U D U^T, U unit upper triangular, ``e A e^T`` is the sum of ``D_k r_k^2`` where ``r = e U``:
    r_k is column k's own error plus errors of the columns before it. So each column, in turn, is rounded
    to make r_k small: ``s q_k = w_k + sum over i < k of e_i U_ik``. These are the codes that GPTQ finds
    by the Cholesky factor of the inverse of A, but without the inverse. Columns with large A_kk go first,
    while most other columns are left to compensate their errors.
    """

    def __init__(self, matrix: Array) -> None:
        self._order = np.argsort(-np.einsum("ii->i", matrix), kind="stable")
        ordered = matrix[np.ix_(self._order, self._order)]
        factor = np.linalg.cholesky(ordered[::-1, ::-1])[::-1, ::-1]  # U D^1/2
        self._upper = np.ascontiguousarray((factor / np.einsum("ii->i", factor)).T)  # row k: column k of U

    def codes(self, exact: Array, scale: NDArray[np.float32], within: tuple[int, int]) -> NDArray[np.int8]:
        """Codes of the rows `exact`."""
        s = scale.astype(np.float64)
        weight = np.ascontiguousarray(exact.T[self._order])
        error, codes = np.empty_like(weight), np.empty(weight.shape, np.int8)
        for start in range(0, len(weight), COLUMNS):
            stop = min(start + COLUMNS, len(weight))
            target = weight[start:stop] + self._upper[start:stop, :start] @ error[:start]
            for k in range(start, stop):
                wanted = target[k - start] + self._upper[k, start:k] @ error[start:k]
                codes[k] = np.clip(np.rint(wanted / s), *within)
                error[k] = weight[k] - codes[k] * s
        back = np.empty(exact.shape, np.int8)
        back[:, self._order] = codes.T
        return back


def _fitted(exact: Array, codes: NDArray[np.int8], scale: NDArray[np.float32], matrix: Array) -> NDArray[np.float32]:
    """The scales that make the measure least for these codes: ``s = w A q^T / q A q^T``."""
    share, norm = np.empty(len(exact)), np.empty(len(exact))
    for start in range(0, len(exact), ROWS):
        rows = slice(start, start + ROWS)
        product = codes[rows] @ matrix
        share[rows] = np.einsum("ij,ij->i", product, exact[rows])
        norm[rows] = np.einsum("ij,ij->i", product, codes[rows])
    if not scale.ndim:
        share, norm = share.sum(), norm.sum()
    good = (norm > 0) & (share > _TINY * norm)
    fitted = np.divide(share, norm, out=np.ones_like(norm), where=good)
    return np.where(good, fitted, scale).astype(np.float32)


def _descend(
    exact: Array,
    codes: NDArray[np.int8],
    scale: NDArray[np.float32],
    matrix: Array,
    within: tuple[int, int],
) -> None:
    """Replace each code, in place, by the one that minimizes the measure while all others stay.

    With ``g = e A``, raising code k by d changes the measure by ``d s (d s A_kk - 2 g_k)``.
    """
    s = scale.astype(np.float64)
    error = np.ascontiguousarray((exact - codes * s.reshape(-1, 1)).T)
    for start in range(0, len(matrix), COLUMNS):
        part = slice(start, min(start + COLUMNS, len(matrix)))
        slope = matrix[part] @ error
        for k in range(start, part.stop):
            old = codes[:, k]
            new = np.clip(np.rint(old + slope[k - start] / (s * matrix[k, k])), *within)
            change = (new - old) * s
            if not change.any():
                continue
            codes[:, k] = new
            error[k] -= change
            slope -= np.multiply.outer(matrix[part, k], change)
