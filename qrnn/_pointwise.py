"""Activations that NumPy computes, element by element."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy as np

from . import _arrays
from ._array_module import ArrayModule, write_over
from ._public import public

if TYPE_CHECKING:
    from ._typing import Array, Input, T, Tensor, typed_as

__all__ = ["ELU", "Hardsigmoid", "Hardtanh", "InPlace", "LeakyReLU", "Softplus", "Softsign"]


class InPlace(ArrayModule):
    """The base of activations that may write their result over their input."""

    inplace: bool

    @overload
    def forward(self, input: Tensor[T]) -> T: ...
    @overload
    def forward(self, input: Input) -> Array: ...
    def forward(self, input: Any) -> Any:
        """Apply the function to each element; see `ArrayModule.forward`.

        Raises
        ------
        TypeError, ValueError
            If `inplace` is True and `input` cannot be written over.
        """
        if not self.inplace:
            return self._result(input)
        _arrays.to_numpy(input, "input")  # raises TypeError if it is not an array at all
        result = self._result(input)
        return write_over(input, _arrays.to_float32(result, "input"))

    if TYPE_CHECKING:

        @typed_as(forward)
        def __call__(self) -> None: ...  # type: ignore[override]

    def _shown(self) -> list[str]:
        return ["inplace=True"] if self.inplace else []

    def extra_repr(self) -> str:
        return ", ".join(self._shown())


@public("qrnn.nn")
class Hardsigmoid(InPlace):
    """``clip(x / 6 + 1 / 2, 0, 1)``, as ``torch.nn.Hardsigmoid``.

    Parameters
    ----------
    inplace : bool
        Write the result over the input, see `ReLU`.

    Examples
    --------
    >>> import qrnn.nn as nn
    >>> nn.Hardsigmoid()([-3, 0, 3]).tolist()
    [0.0, 0.5, 1.0]
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def _compute(self, x: Array) -> Any:
        return np.clip(x.astype(np.float64) / 6 + 0.5, 0, 1)


@public("qrnn.nn")
class Hardtanh(InPlace):
    """``clip(x, min_val, max_val)``, as ``torch.nn.Hardtanh``.

    Parameters
    ----------
    min_val, max_val : float
    inplace : bool
        Write the result over the input, see `ReLU`.

    Raises
    ------
    ValueError
        If `max_val` is not above `min_val`.

    Examples
    --------
    >>> import qrnn.nn as nn
    >>> nn.Hardtanh(0, 6)([-1, 2, 8]).tolist()
    [0.0, 2.0, 6.0]
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        if not max_val > min_val:
            raise ValueError(f"max_val ({max_val}) must be greater than min_val ({min_val})")
        self.min_val, self.max_val, self.inplace = min_val, max_val, inplace

    def _compute(self, x: Array) -> Any:
        return np.clip(x, np.float32(self.min_val), np.float32(self.max_val))

    def _shown(self) -> list[str]:
        return [f"min_val={self.min_val}", f"max_val={self.max_val}", *super()._shown()]


@public("qrnn.nn")
class ELU(InPlace):
    """``x`` above 0, ``alpha * (exp(x) - 1)`` below, as ``torch.nn.ELU``.

    Parameters
    ----------
    alpha : float
    inplace : bool
        Write the result over the input, see `ReLU`.

    Examples
    --------
    >>> import qrnn.nn as nn
    >>> nn.ELU(alpha=2.0)([-1000, 0, 3]).tolist()
    [-2.0, 0.0, 3.0]
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha, self.inplace = alpha, inplace

    def _compute(self, x: Array) -> Any:
        return np.where(x > 0, x, self.alpha * np.expm1(np.minimum(x, 0, dtype=np.float64)))

    def _shown(self) -> list[str]:
        return [f"alpha={self.alpha}", *super()._shown()]


@public("qrnn.nn")
class LeakyReLU(InPlace):
    """``x`` above 0, ``negative_slope * x`` below, as ``torch.nn.LeakyReLU``.

    Parameters
    ----------
    negative_slope : float
    inplace : bool
        Write the result over the input, see `ReLU`.

    Examples
    --------
    >>> import qrnn.nn as nn
    >>> nn.LeakyReLU(0.5)([-1, 2]).tolist()
    [-0.5, 2.0]
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope, self.inplace = negative_slope, inplace

    def _compute(self, x: Array) -> Any:
        return np.where(x > 0, x, np.float32(self.negative_slope) * x)

    def _shown(self) -> list[str]:
        return [f"negative_slope={self.negative_slope}", *super()._shown()]


@public("qrnn.nn")
class Softplus(ArrayModule):
    """``log(1 + exp(beta * x)) / beta``, or ``x`` if ``beta * x`` is above the threshold, as ``torch.nn.Softplus``.

    Parameters
    ----------
    beta, threshold : float

    Examples
    --------
    >>> import qrnn.nn as nn
    >>> nn.Softplus()([0, 30]).round(4).tolist()
    [0.6930999755859375, 30.0]
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def _compute(self, x: Array) -> Any:
        scaled = x.astype(np.float64) * self.beta
        return np.where(scaled > self.threshold, x, np.log1p(np.exp(scaled)) / self.beta)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


@public("qrnn.nn")
class Softsign(ArrayModule):
    """``x / (1 + |x|)``, as ``torch.nn.Softsign``.

    Examples
    --------
    >>> import qrnn.nn as nn
    >>> nn.Softsign()([-1, 0, 3]).tolist()
    [-0.5, 0.0, 0.75]
    """

    def _compute(self, x: Array) -> Any:
        return x / (1 + np.abs(x))
