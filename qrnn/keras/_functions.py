"""Activations of Keras as modules: modules of ``qrnn.nn``, and one module for all others."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _arrays
from .._activations import ReLU, Sigmoid, Tanh
from .._array_module import ArrayModule
from .._format_error import FormatError
from .._module import Module
from .._pointwise import ELU, Hardsigmoid, Hardtanh, LeakyReLU, Softplus, Softsign
from .._public import public
from .._softmax import LogSoftmax, Softmax
from ._activations import HARD_SIGMOID, expect_hard_sigmoid_version, function_name
from ._modules import Masked

if TYPE_CHECKING:
    from .._typing import Array

__all__ = ["Activation", "MaskedSoftmax", "function"]

Function = Callable[..., Any]


def _relu(x: Array, max_value: float | None, negative_slope: float, threshold: float) -> Any:
    y = np.where(x > threshold, x, negative_slope * (x - threshold) if negative_slope else 0)
    if max_value is not None:
        y = np.where(x > threshold, np.minimum(x, max_value), y)
    return y


def _selu(x: Array) -> Any:
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    return scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _erf(x: Array) -> Any:
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x), np.float64)


def _log_sigmoid(x: Array) -> Any:
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


def _softplus(x: Array) -> Any:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _silu(x: Array) -> Any:
    return x * np.exp(_log_sigmoid(x))


#: The functions, of float64 arrays and of their parameters.
_FUNCTIONS: Mapping[str, Function] = {
    "exponential": np.exp,
    "gelu": lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2))),
    "hard_shrink": lambda x: np.where(np.abs(x) > 0.5, x, 0),
    "hard_sigmoid": lambda x, slope, offset: np.clip(slope * x + offset, 0, 1),
    "hard_silu": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "log_sigmoid": _log_sigmoid,
    "mish": lambda x: x * np.tanh(_softplus(x)),
    "relu": _relu,
    "selu": _selu,
    "silu": _silu,
    "soft_shrink": lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0),
    "sparse_plus": lambda x: np.where(x <= -1, 0, np.where(x < 1, 0.25 * (x + 1) ** 2, x)),
    "squareplus": lambda x: (x + np.sqrt(x * x + 4)) / 2,
    "tanh_shrink": lambda x: x - np.tanh(x),
    "thresholded_relu": lambda x, theta: np.where(x > theta, x, 0),
}

#: How many parameters a function takes, if any.
_COUNTS = {"hard_sigmoid": 2, "relu": 3, "thresholded_relu": 1}

#: The modules of qrnn.nn by Keras' names.
_MODULES: Mapping[str, Callable[[], Module]] = {
    "celu": ELU,
    "elu": ELU,
    "hard_tanh": Hardtanh,
    "leaky_relu": lambda: LeakyReLU(0.2),
    "log_softmax": lambda: LogSoftmax(-1),
    "relu": ReLU,
    "relu6": lambda: Hardtanh(0.0, 6.0),
    "sigmoid": Sigmoid,
    "softmax": lambda: Softmax(-1),
    "softplus": Softplus,
    "softsign": Softsign,
    "sparse_sigmoid": lambda: Activation("hard_sigmoid", (0.5, 0.5)),
    "tanh": Tanh,
}
_ALIASES = {"swish": "silu", "hard_swish": "hard_silu"}


@public("qrnn.keras")
class Activation(ArrayModule):
    """A function of each element that ``qrnn.nn`` lacks, computed in float64.

    Parameters
    ----------
    function : str
        exponential, gelu, hard_shrink, hard_sigmoid, hard_silu, log_sigmoid, mish, relu, selu, silu, soft_shrink,
        sparse_plus, squareplus, tanh_shrink or thresholded_relu, as Keras has them.
    numbers : sequence of float or None
        Slope and offset for hard_sigmoid; max_value, which may be None, negative_slope and threshold for relu; theta
        for thresholded_relu.

    Raises
    ------
    ValueError
        If there is no such function, or it takes other numbers.

    Examples
    --------
    >>> import qrnn.keras
    >>> qrnn.keras.Activation("relu", (6.0, 0.0, 0.0))([-1, 2, 8]).tolist()
    [0.0, 2.0, 6.0]
    """

    def __init__(self, function: str, numbers: Sequence[float | None] = ()) -> None:
        super().__init__()
        if function not in _FUNCTIONS:
            raise ValueError(f"function: expected one of {', '.join(_FUNCTIONS)}, got {function!r}")
        self.function, self.numbers = function, tuple(None if each is None else float(each) for each in numbers)
        may_lack = self.numbers[1:] if function == "relu" else self.numbers
        if len(self.numbers) != _COUNTS.get(function, 0) or None in may_lack:
            raise ValueError(f"numbers: expected {_COUNTS.get(function, 0)} of {function}, got {self.numbers}")

    def _compute(self, x: Array) -> Any:
        return _FUNCTIONS[self.function](x.astype(np.float64), *self.numbers)

    def extra_repr(self) -> str:
        return ", ".join([repr(self.function), *map(str, self.numbers)])


@public("qrnn.keras")
class MaskedSoftmax(Masked):
    """Softmax along a dimension, without the elements that a mask leaves out, as Keras' layer Softmax.

    Parameters
    ----------
    axis : int

    Examples
    --------
    >>> import qrnn.keras
    >>> qrnn.keras.MaskedSoftmax()([[0, 5, 0]], mask=[[True, False, True]]).tolist()
    [[0.5, 0.0, 0.5]]
    """

    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        self.axis = int(axis)

    def forward(self, input: Any, mask: Any = None) -> Any:
        """The softmax of `input`; with a `mask`, elements that it leaves out count as -1e9.

        Raises
        ------
        ValueError
            If the last dimensions of `input` are not those of `mask`.
        """
        x = _arrays.to_float32(input, "input")
        if mask is not None:
            keep = _arrays.to_numpy(mask, "mask").astype(bool)
            if keep.ndim > x.ndim or any(a not in (1, b) for a, b in zip(keep.shape[::-1], x.shape[::-1])):
                raise ValueError(f"mask: expected the last dimensions of {x.shape}, got {keep.shape}")
            x = np.where(keep, x, np.float32(-1e9))
        return _arrays.like(Softmax(self.axis)(x), input)

    def extra_repr(self) -> str:
        return f"axis={self.axis}"


def function(value: Any, version: int | None, where: str) -> Module | None:
    """The module for the activation in a config; None for linear.

    Raises
    ------
    FormatError
        If there is none.
    """
    if value is None:
        return None
    name = str(function_name(value, where))
    name = _ALIASES.get(name, name)
    if name == "linear":
        return None
    if name == "hard_sigmoid":
        numbers = HARD_SIGMOID[expect_hard_sigmoid_version(version, where)]
        return Hardsigmoid() if version == 3 else Activation("hard_sigmoid", numbers)
    if name in _MODULES:
        return _MODULES[name]()
    if name in _FUNCTIONS and name not in _COUNTS:
        return Activation(name)
    expected = ", ".join(sorted({*_MODULES, *_FUNCTIONS, *_ALIASES, "linear"} - {"thresholded_relu"}))
    raise FormatError(f"{where}: expected one of {expected}, got {name!r}")
