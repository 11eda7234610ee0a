"""The rules by which float weights become int8 codes and scales. No other file has such rules.

All arithmetic is float32 with one rounding for each operation, vectorized over a whole matrix:

* engine ``qrnn``'s own rule, one scale for each output row (`own_rule`);
* PyTorch's observers, per tensor or per row (`symmetric_scale` and `codes_of`), which the torch
  engines use, and engine ``qrnn`` where a QConfig asks for it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _arrays, _types
from ._spec import ENGINES

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "EPS",
    "affine_qparams",
    "codes_of",
    "dequantize",
    "own_rule",
    "quantize_weight",
    "symmetric_scale",
]

#: PyTorch's smallest scale: the epsilon of float32.
EPS = np.float32(np.finfo(np.float32).eps)
_TINY = np.finfo(np.float32).tiny


def own_rule(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Engine ``qrnn``'s rule: one scale for each row, codes in -127..127.

    ``m = max |w|``, ``scale = m / 127``, ``code = clamp(rint(w / scale), -127, 127)``. A row whose
    scale would be below the smallest normal float32 gets scale 1 and codes 0. The divisor is 127
    (PyTorch's is 127.5), so that the largest weight of a row is represented exactly.

    Parameters
    ----------
    weight : ndarray, float32, shape (rows, columns)
        Finite.

    Returns
    -------
    codes : ndarray, int8, shape (rows, columns)
    scale : ndarray, float32, shape (rows,)

    Examples
    --------
    >>> codes, scale = own_rule(np.float32([[0.5, -1.27], [0, 0]]))
    >>> codes.tolist(), scale.tolist()
    ([[50, -127], [0, 0]], [0.009999999776482582, 1.0])
    """
    scale = np.max(np.abs(weight), axis=1, initial=np.float32(0)) / np.float32(127)
    zero = scale < _TINY
    scale[zero] = 1
    codes = np.clip(np.rint(weight / scale[:, None]), -127, 127)
    codes[zero] = 0
    return codes.astype(np.int8), scale


def symmetric_scale(
    low: NDArray[np.float32] | np.float32,
    high: NDArray[np.float32] | np.float32,
    levels: int,
    eps: float = float(EPS),
) -> NDArray[np.float32]:
    """PyTorch's symmetric scale: the larger of ``-low`` and ``high`` over half of `levels`.

    `levels` is ``quant_max - quant_min``: 255 for int8, so the divisor is 127.5.
    """
    zero = np.float32(0)
    largest = np.maximum(-np.minimum(low, zero), np.maximum(high, zero))
    return np.asarray(np.maximum(largest / np.float32(levels / 2), np.float32(eps)), dtype=np.float32)


def affine_qparams(
    low: NDArray[np.float32], high: NDArray[np.float32], qmin: int, qmax: int, eps: float = float(EPS)
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """PyTorch's asymmetric scale and zero point of the range `low`..`high`, widened to hold 0."""
    low, high = np.minimum(low, np.float32(0)), np.maximum(high, np.float32(0))
    scale = np.maximum((high - low) / np.float32(qmax - qmin), np.float32(eps))
    zero_point = qmin - np.rint(low / scale).astype(np.int64)
    return np.asarray(scale, dtype=np.float32), np.clip(zero_point, qmin, qmax)


def codes_of(
    weight: NDArray[np.float32], scale: NDArray[np.float32], least: int = -128, most: int = 127
) -> NDArray[np.int8]:
    """PyTorch's codes: ``clamp(rint(w * (1 / scale)), least, most)``, with a reciprocal, not a division.

    Parameters
    ----------
    weight : ndarray, float32, shape (rows, columns)
    scale : ndarray, float32, shape () or (rows,)
    least, most : int
        See `code_range`.

    Returns
    -------
    ndarray, int8, shape (rows, columns)
    """
    inverse = np.float32(1) / scale
    product = weight * (inverse if inverse.ndim == 0 else inverse[:, None])
    return np.clip(np.rint(product), least, most).astype(np.int8)


def code_range(qconfig: Any) -> tuple[int, int]:
    """The least and the largest code that a weight's QConfig, if it has an observer, allows.

    The scale is the extent divided by half a number of codes, so the largest weight would round to one more.
    """
    factory = getattr(qconfig, "weight", None)
    observer = None if factory is None else factory()
    observer = getattr(observer, "activation_post_process", observer)  # the observer of a FakeQuantize
    least, most = (getattr(observer, name, None) for name in ("quant_min", "quant_max"))
    return -128 if least is None else max(-128, int(least)), 127 if most is None else min(127, int(most))


def dequantize(codes: NDArray[np.int8], scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """``code * scale`` in float32; `scale` of shape () or (rows,)."""
    return codes.astype(np.float32) * (scale if scale.ndim == 0 else scale[:, None])


def quantize_weight(
    weight: NDArray[np.float32], name: str, engine: str, qconfig: Any = None
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Codes and scale of one weight matrix, as its engine or its QConfig says.

    Parameters
    ----------
    weight : ndarray, float32, shape (rows, columns)
    name : str
        The parameter's name, for error texts.
    engine : str
        One of ``qrnn.backends.quantized.supported_engines``.
    qconfig : QConfig, optional
        Its ``weight`` is a factory of observers, of qrnn or PyTorch. None, or a QConfig without a
        ``weight``, means the engine's default: `own_rule` for ``qrnn`` and ``qrnn13``, PyTorch's
        default (per tensor, symmetric) for the others.

    Returns
    -------
    codes : ndarray, int8, shape (rows, columns)
    scale : ndarray, float32, shape () or (rows,)

    Raises
    ------
    ValueError
        If a weight is not finite, or the observer observes nothing or is not symmetric, with signed
        8 bits, per tensor or per output row.
    """
    _arrays.expect_finite(weight, name, "weights")
    factory = getattr(qconfig, "weight", None)
    if factory is None:
        if ENGINES[engine].scale_per_row:
            return own_rule(weight)
        low = np.min(weight, initial=np.float32(0))
        high = np.max(weight, initial=np.float32(0))
        scale = symmetric_scale(low, high, 255) if weight.size else np.ones((), np.float32)
    else:
        scale = _observed_scale(factory, weight, name)
    return codes_of(weight, scale, *code_range(qconfig)), scale


def _observed_scale(factory: Any, weight: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """The scale that an observer, of qrnn or PyTorch, gives `weight`."""
    observer = factory()
    _types.expect_qint8(getattr(observer, "dtype", None), f"{name}: the weight observer's dtype")
    per_row = str(getattr(observer, "qscheme", "")).rpartition(".")[2].startswith("per_channel")
    if not weight.size:
        return np.ones(len(weight) if per_row else (), np.float32)
    values: Any = weight
    if any(base.__module__.partition(".")[0] == "torch" for base in type(observer).__mro__):
        values = sys.modules["torch"].from_numpy(weight.copy())
    observer(values)
    kind = type(observer).__name__
    try:
        scale, zero_point = (np.asarray(value) for value in observer.calculate_qparams())
    except Exception as error:  # PyTorch's placeholders raise exactly this type
        raise ValueError(f"{name}: expected a weight observer that gives a scale, got {kind}: {error}") from error
    if np.any(zero_point != 0):
        raise ValueError(f"{name}: expected a symmetric weight observer, got {kind} with zero points other than 0")
    if per_row and observer.ch_axis != 0:
        raise ValueError(f"{name}: expected a weight observer over axis 0, got {kind} over {observer.ch_axis}")
    return np.asarray(scale, dtype=np.float32).reshape(-1 if per_row else ())
