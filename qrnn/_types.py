"""Constants that correspond to PyTorch's dtypes and quantization schemes.

A constant has a name, compares by identity, survives copy and pickle, and does nothing else.
PyTorch's own objects (``torch.qint8``, ``torch.per_tensor_symmetric``) are recognized by their names,
so PyTorch need not be imported.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

__all__ = [
    "as_dtype",
    "as_qscheme",
    "dtype",
    "expect_float32",
    "expect_qint8",
    "float16",
    "float32",
    "int16",
    "per_channel_affine",
    "per_channel_symmetric",
    "per_tensor_affine",
    "per_tensor_symmetric",
    "qint8",
    "qscheme",
    "quint8",
]


class _Constant:
    """A named constant. There is one object for a name and class, also after copying and unpickling."""

    __slots__ = ("_name",)
    _known: ClassVar[dict[tuple[type, str], Any]] = {}
    _name: str

    def __new__(cls, name: str) -> Any:
        self = cls._known.get((cls, name))
        if self is None:
            self = object.__new__(cls)
            self._name = name
            cls._known[cls, name] = self
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._name,)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self

    def __repr__(self) -> str:
        return f"qrnn.{self._name}"


class dtype(_Constant):
    """An element type, as PyTorch's ``torch.dtype``: ``qrnn.qint8``, ``qrnn.quint8``, ...

    Examples
    --------
    >>> import qrnn
    >>> qrnn.qint8
    qrnn.qint8
    """

    __slots__ = ()


class qscheme(_Constant):
    """A quantization scheme, as PyTorch's ``torch.qscheme``.

    Examples
    --------
    >>> import qrnn
    >>> qrnn.per_channel_symmetric
    qrnn.per_channel_symmetric
    """

    __slots__ = ()


qint8: dtype = dtype("qint8")
quint8: dtype = dtype("quint8")
float16: dtype = dtype("float16")
float32: dtype = dtype("float32")
int16: dtype = dtype("int16")

per_tensor_affine: qscheme = qscheme("per_tensor_affine")
per_tensor_symmetric: qscheme = qscheme("per_tensor_symmetric")
per_channel_affine: qscheme = qscheme("per_channel_affine")
per_channel_symmetric: qscheme = qscheme("per_channel_symmetric")

_DTYPES = {d._name: d for d in (qint8, quint8, float16, float32, int16)}
_QSCHEMES = {s._name: s for s in (per_tensor_affine, per_tensor_symmetric, per_channel_affine, per_channel_symmetric)}


def _torch_name(value: Any) -> str:
    """The name in PyTorch, such as ``"qint8"`` for ``torch.qint8``; empty if `value` does not come from torch."""
    return str(value).partition(".")[2] if type(value).__module__.partition(".")[0] == "torch" else ""


def as_dtype(value: Any) -> dtype | None:
    """The constant for `value`, which is one of qrnn's or PyTorch's or a NumPy float type; else None."""
    if isinstance(value, dtype):
        return value
    name = _torch_name(value)
    if not name:
        try:
            name = np.dtype(value).name
        except TypeError:
            return None
    return _DTYPES.get(name)


def as_qscheme(value: Any) -> qscheme | None:
    """The scheme for `value`, which is one of qrnn's constants or of PyTorch's; else None."""
    return value if isinstance(value, qscheme) else _QSCHEMES.get(_torch_name(value))


def expect_qint8(value: Any, name: str = "dtype") -> None:
    """Raise ValueError unless `value` is qint8, the only type of quantized weights."""
    got = as_dtype(value)
    if got is qint8:
        return
    if got is float16:
        raise ValueError(f"{name}: there are no float16 modules: expected qrnn.qint8, got {value!r}")
    raise ValueError(f"{name}: expected qrnn.qint8, got {value!r}")


def expect_float32(device: Any, value: Any) -> None:
    """Check ``device=`` and ``dtype=`` of a float module's constructor."""
    if device is not None and str(device) != "cpu":
        raise ValueError(f"device: expected None or 'cpu', got {device!r}")
    if value is not None and as_dtype(value) is not float32:
        raise ValueError(f"dtype: float modules compute in float32: expected None or float32, got {value!r}")
