"""Observers turn the range of a weight into a scale, as ``torch.ao.quantization.observer``.

Only observers of weights act in dynamic quantization. The activation part of a QConfig says that
each call quantizes its inputs; its observer is a placeholder.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import _arrays, _quantize, _types
from ._module import Module
from ._public import public

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "MinMaxObserver",
    "NoopObserver",
    "ObserverBase",
    "PerChannelMinMaxObserver",
    "PlaceholderObserver",
    "default_dynamic_quant_observer",
    "default_per_channel_weight_observer",
    "default_placeholder_observer",
    "default_weight_observer",
    "per_channel_weight_observer_range_neg_127_to_127",
    "weight_observer_range_neg_127_to_127",
]


@public("qrnn.quantization.observer", "_Factory")
class Factory:
    """A class with some arguments of its constructor given; a call gives a new instance.

    Examples
    --------
    >>> import qrnn
    >>> factory = qrnn.quantization.default_weight_observer
    >>> factory(quant_min=-127, quant_max=127).quant_min  # a new observer, with other arguments
    -127
    """

    def __init__(self, cls: type, keywords: dict[str, Any]) -> None:
        self.cls = cls
        self.keywords = keywords

    def __call__(self, **keywords: Any) -> Any:
        return self.cls(**{**self.keywords, **keywords})

    def with_args(self, **keywords: Any) -> Factory:
        """The same factory with more arguments given."""
        return Factory(self.cls, {**self.keywords, **keywords})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Factory):
            return NotImplemented
        return self.cls is other.cls and self.keywords == other.keywords

    def __hash__(self) -> int:
        return hash((self.cls, tuple(self.keywords)))

    def __repr__(self) -> str:
        arguments = "".join(f", {name}={value!r}" for name, value in self.keywords.items())
        return f"functools.partial({self.cls!r}{arguments}){{}}"


@public("qrnn.quantization.observer")
class ObserverBase(Module):
    """Base class of observers.

    Parameters
    ----------
    dtype : dtype
        The type to which the observed values will be quantized.
    is_dynamic : bool
        Whether each call finds the range anew.

    Examples
    --------
    >>> import qrnn
    >>> isinstance(qrnn.quantization.MinMaxObserver(), qrnn.quantization.ObserverBase)
    True
    """

    def __init__(self, dtype: Any, is_dynamic: bool = False) -> None:
        super().__init__()
        self.dtype = dtype
        self.is_dynamic = is_dynamic

    def calculate_qparams(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Scale and zero point of what was observed."""
        raise NotImplementedError

    @classmethod
    def with_args(cls, **kwargs: Any) -> Callable[..., Any]:
        """A factory of this class with some arguments given, for a QConfig."""
        return Factory(cls, kwargs)


class _RangeObserver(ObserverBase):
    """Keeps the least and the greatest value, of all values or of each channel."""

    _granularity: ClassVar[str]

    def __init__(
        self,
        dtype: Any = _types.quint8,
        qscheme: Any = _types.per_tensor_affine,
        reduce_range: bool = False,
        quant_min: int | None = None,
        quant_max: int | None = None,
        eps: float = float(_quantize.EPS),
        is_dynamic: bool = False,
    ) -> None:
        scheme = _types.as_qscheme(qscheme)
        if scheme not in _SCHEMES[self._granularity]:
            raise ValueError(f"qscheme: expected a {self._granularity} scheme, got {qscheme!r}")
        if reduce_range and scheme is _types.per_tensor_symmetric and _types.as_dtype(dtype) is _types.quint8:
            raise NotImplementedError("reduce_range: Cannot reduce range for symmetric quantization for quint8")
        super().__init__(dtype, is_dynamic)
        known = _types.as_dtype(dtype)
        if known not in (_types.qint8, _types.quint8):
            raise ValueError(f"dtype: expected qrnn.qint8 or qrnn.quint8, got {dtype!r}")
        if (quant_min is None) != (quant_max is None):
            raise ValueError("quant_min and quant_max: expected both or none of them")
        if quant_min is not None and quant_max is not None:
            if not quant_min <= 0 <= quant_max or quant_min == quant_max:
                raise ValueError(
                    f"quant_min and quant_max: expected a range that holds 0, got {quant_min}..{quant_max}"
                )
            if quant_max - quant_min > 255:
                raise ValueError(
                    f"quant_min and quant_max: expected a range of at most 256 codes, got {quant_min}..{quant_max}"
                )
            low, high = quant_min, quant_max
        else:
            low, high = (-128, 127) if known is _types.qint8 else (0, 255)
        if reduce_range:
            low, high = low // 2, high // 2
        self.qscheme = qscheme
        self.reduce_range = reduce_range
        self.quant_min, self.quant_max, self.eps = low, high, eps
        self._ranged = quant_min is not None
        self.reset_min_max_vals()

    def reset_min_max_vals(self) -> None:
        """Forget what was observed."""
        self.min_val: NDArray[np.float32] = np.float32(np.inf)  # type: ignore[assignment]
        self.max_val: NDArray[np.float32] = np.float32(-np.inf)  # type: ignore[assignment]

    def _observe(self, rows: NDArray[np.float32]) -> None:
        """Widen the range by the values of each row."""
        if rows.size:
            self.min_val = np.minimum(self.min_val, rows.min(axis=-1))
            self.max_val = np.maximum(self.max_val, rows.max(axis=-1))

    def calculate_qparams(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Scale and zero point of the range observed so far, in PyTorch's float32 arithmetic.

        Symmetric: ``scale = max(-min, max) / ((quant_max - quant_min) / 2)``, at least ``eps``. The zero point is 0,
        128 for quint8, or the middle of a range that was given.

        Returns
        -------
        scale : ndarray, float32
        zero_point : ndarray, int64
            One element, or one for each channel.

        Raises
        ------
        RuntimeError
            If nothing was observed.
        ValueError
            If a NaN was observed.
        """
        low, high = np.atleast_1d(self.min_val), np.atleast_1d(self.max_val)
        if np.isnan(low).any():
            raise ValueError(f"{type(self).__name__}: expected numbers, but a NaN was observed")
        if not np.all(low <= high):
            raise RuntimeError(f"{type(self).__name__}: nothing was observed: call it with an array first")
        scheme = _types.as_qscheme(self.qscheme)
        if scheme in (_types.per_tensor_symmetric, _types.per_channel_symmetric):
            scale = _quantize.symmetric_scale(low, high, self.quant_max - self.quant_min, self.eps)
            middle = 0
            if _types.as_dtype(self.dtype) is _types.quint8:
                middle = (self.quant_min + self.quant_max) // 2 if self._ranged else 128
            return scale, np.full(scale.shape, middle, np.int64)
        return _quantize.affine_qparams(low, high, self.quant_min, self.quant_max, self.eps)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}"


_SCHEMES = {
    "per_tensor": (_types.per_tensor_affine, _types.per_tensor_symmetric),
    "per_channel": (_types.per_channel_affine, _types.per_channel_symmetric),
}


@public("qrnn.quantization.observer")
class MinMaxObserver(_RangeObserver):
    """The range of a whole array, as PyTorch's.

    Parameters
    ----------
    dtype : qint8 or quint8
    qscheme : per_tensor_affine or per_tensor_symmetric
    reduce_range : bool
        Halve the range of codes.
    quant_min, quant_max : int, optional
        The range of codes. Default: that of `dtype`.
    eps : float
        The smallest scale.
    is_dynamic : bool

    Raises
    ------
    ValueError
        If an argument is out of range.
    NotImplementedError
        For a reduced range of symmetric quint8.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> qrnn.quantization.MinMaxObserver.with_args(dtype=qrnn.qint8, qscheme=qrnn.per_tensor_symmetric)()
    MinMaxObserver(min_val=inf, max_val=-inf)
    >>> observer = qrnn.quantization.default_weight_observer()
    >>> _ = observer(np.float32([[1, -2], [0.5, 0]]))
    >>> observer
    MinMaxObserver(min_val=-2.0, max_val=1.0)
    >>> scale, zero_point = observer.calculate_qparams()
    >>> print(scale * 127.5, zero_point)
    [2.] [0]
    """

    _granularity = "per_tensor"

    def forward(self, x: Any) -> Any:
        """Observe the values of `x`, an array of any shape; returns `x`."""
        self._observe(_arrays.to_float32(x, "x").ravel())
        return x


@public("qrnn.quantization.observer")
class PerChannelMinMaxObserver(_RangeObserver):
    """The range of each slice along one axis, as PyTorch's.

    Parameters
    ----------
    ch_axis : int
        The axis; 0 are the output rows of a weight.
    dtype : qint8 or quint8
    qscheme : per_channel_affine or per_channel_symmetric
    reduce_range : bool
        Halve the range of codes.
    quant_min, quant_max : int, optional
        The range of codes. Default: that of `dtype`.
    eps : float
        The smallest scale.
    is_dynamic : bool

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> observer = qrnn.quantization.default_per_channel_weight_observer()
    >>> _ = observer(np.float32([[1, -2], [0.5, 0]]))
    >>> print(observer.calculate_qparams()[0] * 127.5)
    [2.  0.5]
    """

    _granularity = "per_channel"

    def __init__(
        self,
        ch_axis: int = 0,
        dtype: Any = _types.quint8,
        qscheme: Any = _types.per_channel_affine,
        reduce_range: bool = False,
        quant_min: int | None = None,
        quant_max: int | None = None,
        eps: float = float(_quantize.EPS),
        is_dynamic: bool = False,
    ) -> None:
        super().__init__(dtype, qscheme, reduce_range, quant_min, quant_max, eps, is_dynamic)
        self.ch_axis = ch_axis

    def forward(self, x: Any) -> Any:
        """Observe the values of `x`, whose number of channels has to stay the same; returns `x`."""
        array = np.moveaxis(_arrays.to_float32(x, "x"), self.ch_axis, 0)
        self._observe(array.reshape(len(array), -1))
        return x


@public("qrnn.quantization.observer")
class PlaceholderObserver(ObserverBase):
    """Observes nothing. It says that each call quantizes the value.

    Parameters
    ----------
    dtype : dtype
    custom_op_name : str
    compute_dtype : dtype, optional
    quant_min, quant_max : int, optional
    qscheme : qscheme, optional
    eps : float, optional
    is_dynamic : bool
        All arguments are kept, and none is used.

    Examples
    --------
    >>> import qrnn
    >>> qrnn.quantization.default_dynamic_qconfig.activation()
    PlaceholderObserver(dtype=qrnn.quint8, is_dynamic=True)
    """

    def __init__(
        self,
        dtype: Any = _types.float32,
        custom_op_name: str = "",
        compute_dtype: Any = None,
        quant_min: int | None = None,
        quant_max: int | None = None,
        qscheme: Any = None,
        eps: float | None = None,
        is_dynamic: bool = False,
    ) -> None:
        super().__init__(dtype, is_dynamic)
        self.qscheme = _types.per_tensor_affine if qscheme is None else qscheme
        self.quant_min, self.quant_max = quant_min, quant_max
        self.eps = float(_quantize.EPS) if eps is None else eps
        self.custom_op = custom_op_name
        self.compute_dtype = compute_dtype

    def forward(self, x: Any) -> Any:
        """`x` itself."""
        return x

    def calculate_qparams(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Raise RuntimeError: there is no range."""
        raise RuntimeError("calculate_qparams should not be called for PlaceholderObserver")

    def extra_repr(self) -> str:
        return f"dtype={self.dtype}, is_dynamic={self.is_dynamic}"


@public("qrnn.quantization.observer")
class NoopObserver(ObserverBase):
    """Observes nothing and asks for nothing.

    Parameters
    ----------
    dtype : dtype
    custom_op_name : str
        Kept, but not used.

    Examples
    --------
    >>> import qrnn
    >>> qrnn.quantization.NoopObserver()(3.0)
    3.0
    """

    def __init__(self, dtype: Any = _types.float16, custom_op_name: str = "") -> None:
        super().__init__(dtype)
        self.custom_op = custom_op_name

    def forward(self, x: Any) -> Any:
        """`x` itself."""
        return x

    def calculate_qparams(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Raise RuntimeError: there is no range."""
        raise RuntimeError("calculate_qparams should not be called for NoopObserver")


default_placeholder_observer = PlaceholderObserver
default_dynamic_quant_observer = PlaceholderObserver.with_args(
    dtype=_types.quint8, quant_min=0, quant_max=255, is_dynamic=True
)
default_weight_observer = MinMaxObserver.with_args(dtype=_types.qint8, qscheme=_types.per_tensor_symmetric)
default_per_channel_weight_observer = PerChannelMinMaxObserver.with_args(
    dtype=_types.qint8, qscheme=_types.per_channel_symmetric
)
weight_observer_range_neg_127_to_127 = MinMaxObserver.with_args(
    dtype=_types.qint8, qscheme=_types.per_tensor_symmetric, quant_min=-127, quant_max=127, eps=2**-12
)
per_channel_weight_observer_range_neg_127_to_127 = PerChannelMinMaxObserver.with_args(
    dtype=_types.qint8, qscheme=_types.per_channel_symmetric, quant_min=-127, quant_max=127, eps=2**-12
)
