"""What a caller may pass as an array, and how it becomes one.

The core computes on arrays that are exactly float32, C-contiguous and aligned. Those never come here;
everything else does. PyTorch is recognized through ``sys.modules`` and never imported.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ._warn import warn

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "TRANSFORMED",
    "expect_finite",
    "expect_no_mask",
    "fitting",
    "is_tensor",
    "like",
    "read_only",
    "to_codes",
    "to_float32",
    "to_floats",
    "to_numpy",
    "to_scale",
    "to_weight",
]


#: The error text about the tensors of torch.func, which stand for other tensors.
TRANSFORMED = (
    "expected a tensor with its own memory, which tensors inside torch.func.vmap, grad and jvp lack: "
    "call with the whole batch, outside of these"
)


def is_tensor(obj: Any) -> bool:
    """Whether `obj` is a PyTorch tensor, without importing PyTorch."""
    tensor = getattr(sys.modules.get("torch"), "Tensor", None)
    return tensor is not None and isinstance(obj, tensor)


def _tensor_to_numpy(tensor: Any) -> NDArray[Any]:
    """The memory of a tensor as an array; TypeError if it has no memory or does not hold plain numbers."""
    if tensor.device.type != "cpu":
        raise TypeError(f"expected a tensor on the CPU, got one on {tensor.device}")
    if tensor.is_quantized or str(tensor.layout) != "torch.strided":
        raise TypeError(f"expected a dense tensor, got one of {tensor.dtype if tensor.is_quantized else tensor.layout}")
    if tensor.is_complex():  # also complex32, which NumPy lacks: converted, it would lose its imaginary part
        raise TypeError(f"expected real numbers, not {tensor.dtype}")
    tensor = tensor.detach().resolve_neg()
    try:
        return np.asarray(tensor.numpy())
    except TypeError:  # NumPy lacks the type: bfloat16 and the float8 family
        return _tensor_to_numpy(tensor.float())
    except RuntimeError as error:
        raise TypeError(TRANSFORMED) from error


def to_numpy(obj: Any, name: str) -> NDArray[Any]:
    """`obj` as an array of real numbers, of its own type.

    Parameters
    ----------
    obj : object
        An array, also of the small float types of ml_dtypes, as JAX gives; a number, nested lists,
        anything with ``__array__`` or ``__dlpack__``, a PyTorch tensor on the CPU.
    name : str
        The argument's name, for error texts.

    Returns
    -------
    numpy.ndarray
        It has a boolean, integer or floating type, and may share memory with `obj`.

    Raises
    ------
    TypeError
        If `obj` is not a real array (complex, object, text, None, ragged lists, another device), or
        if some of it is masked, because nothing here computes with masks.
    """
    try:
        if is_tensor(obj):
            array = _tensor_to_numpy(obj)
        elif hasattr(obj, "__dlpack__") and not hasattr(obj, "__array__"):
            array = np.from_dlpack(obj)
        else:
            array = np.asanyarray(obj)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        raise TypeError(f"{name}: expected an array of real numbers, got {_describe(obj)}: {error}") from error
    if type(array) is not np.ndarray:
        expect_no_mask(array, name)
        array = np.asarray(array)
    if isinstance(obj, (list, tuple)):
        _expect_no_masks(obj, name, array.ndim)
    if array.dtype.type.__module__ == "ml_dtypes" and "float" in array.dtype.name:
        return array.astype(np.float32)  # bfloat16 and smaller floats, which have no kind in NumPy
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name}: expected an array of real numbers, got {_describe(obj, array)}")
    return array


def expect_no_mask(obj: Any, name: str) -> None:
    """Raise TypeError naming `obj` if it is an array with masked elements."""
    ma = sys.modules.get("numpy.ma")
    if ma is not None and isinstance(obj, ma.MaskedArray) and ma.is_masked(obj):
        raise TypeError(f"{name}: expected an array without a mask, got {type(obj).__name__}: fill it, as by filled(0)")


def _expect_no_masks(items: Iterable[Any], name: str, depth: int) -> None:
    """Refuse masked arrays and masked elements in lists nested `depth` deep."""
    for item in items:
        if isinstance(item, (list, tuple)) and depth > 1:
            _expect_no_masks(item, name, depth - 1)
        elif isinstance(item, np.ndarray):
            expect_no_mask(item, name)


def _describe(obj: Any, array: NDArray[Any] | None = None) -> str:
    """A description of `obj` for an error text: its type, and the element type where that tells more."""
    kind = "None" if obj is None else type(obj).__name__
    plain = obj is None or isinstance(obj, (str, bytes, dict, set))
    return kind if array is None or plain else f"{kind} of {array.dtype}"


def to_float32(obj: Any, name: str) -> NDArray[np.float32]:
    """`obj` as the core takes it: exactly an ndarray, float32, C-contiguous, aligned, in native order.

    The core calls this for every argument that is not such an array yet. Numbers beyond the
    range of float32 become infinities, with a RuntimeWarning. For parameters and errors see
    `to_numpy`.

    Examples
    --------
    >>> import numpy as np
    >>> to_float32([[True, 2], [3.5, 4]], "input").dtype
    dtype('float32')
    >>> to_float32(np.ones(2, complex), "input")
    Traceback (most recent call last):
    TypeError: input: expected an array of real numbers, got ndarray of complex128
    """
    if type(obj) is np.ndarray and obj.dtype == np.float32 and obj.flags.c_contiguous and obj.flags.aligned:
        return obj  # at once
    array = to_numpy(obj, name)
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = np.asarray(array, dtype=np.float32, order="C")
    if array.dtype.itemsize > narrow.itemsize and array.dtype.kind == "f":
        _warn_of_infinities(array, narrow, name)
    return narrow if narrow.flags.aligned else narrow.copy()


def _warn_of_infinities(wide: NDArray[Any], narrow: NDArray[np.float32], name: str) -> None:
    """Warn of numbers in `wide` that have become infinite in `narrow`, and name the first."""
    # By count_nonzero, because NumPy's reductions end without an exception when memory runs out.
    if np.count_nonzero(np.isfinite(narrow)) == narrow.size:
        return
    lost = np.isinf(narrow) & np.isfinite(wide)
    if lost.any():
        where = tuple(int(i) for i in np.argwhere(lost)[0])
        count = f"{int(lost.sum())} values" if lost.sum() > 1 else "1 value"
        warn(
            f"{name}: {count} beyond the range of float32 become infinite: the first is {wide[where]:g} at {where}",
            RuntimeWarning,
        )


def to_floats(obj: Any, name: str) -> NDArray[np.float32]:
    """`obj`, the float values of a parameter, as `to_float32` makes them; TypeError for arrays of integers.

    Arrays of integers are refused because they may be codes. Lists of Python integers are taken as values.
    """
    dtype = getattr(obj, "dtype", None)
    if dtype is not None and dtype != np.float32:
        obj = to_numpy(obj, name)
        if obj.dtype.kind != "f":
            raise TypeError(f"{name}: expected floating-point values, got {obj.dtype}, as codes are")
    return to_float32(obj, name)


def expect_finite(array: NDArray[np.float32], name: str, what: str = "values") -> None:
    """Raise ValueError naming `array` and the first of its values that is not finite."""
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{name}: expected finite {what}, got {array[where]} at {where}")


def to_weight(obj: Any, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """`obj` as float32 values of exactly `shape`; otherwise raise TypeError or ValueError naming it."""
    array = to_floats(obj, name)
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
    return array


def fitting(obj: Any, name: str, old: NDArray[Any]) -> NDArray[Any]:
    """A read-only copy of `obj` that can replace `old`; otherwise raise TypeError or ValueError naming it."""
    if old.dtype == np.float32:
        array = to_weight(obj, name, old.shape)
        expect_finite(array, name)
        return read_only(array.copy())
    array = to_numpy(obj, name)
    if array.dtype.kind != old.dtype.kind or array.shape != old.shape:
        expected = f"{old.dtype} of shape {old.shape}"
        raise ValueError(f"{name}: expected {expected}, got {array.dtype} of shape {array.shape}")
    return read_only(array.astype(old.dtype))


def to_codes(obj: Any, name: str, shape: tuple[int, ...] | None = None) -> NDArray[np.int8]:
    """`obj`, integers in -128..127, as int8 of exactly `shape`."""
    array = to_numpy(obj, name)
    if array.dtype != np.int8:
        if array.dtype.kind not in "iu":
            raise TypeError(f"{name}: expected int8 codes, got {array.dtype}")
        if array.size and not -128 <= int(array.min()) <= int(array.max()) <= 127:
            raise ValueError(f"{name}: expected int8 codes, got {array.min()}..{array.max()} of {array.dtype}")
    if array.ndim != 2 or (shape is not None and array.shape != shape):
        expected = "2 dimensions" if shape is None else f"shape {shape}"
        raise ValueError(f"{name}: expected {expected}, got shape {array.shape}")
    return np.asarray(array, dtype=np.int8, order="C")


def to_scale(obj: Any, name: str, rows: int) -> NDArray[np.float32]:
    """`obj` as weight scales: float32 of shape () or (rows,), finite and positive."""
    array = to_float32(obj, name)
    if array.shape not in ((), (rows,)):
        raise ValueError(f"{name}: expected shape () or ({rows},), got {array.shape}")
    if not np.all(np.isfinite(array) & (array > 0)):
        raise ValueError(f"{name}: expected finite, positive scales")
    return array


def like(result: Any, obj: Any) -> Any:
    """`result`, or tensors over its memory if `obj`, a call's first argument, is a tensor."""
    if not is_tensor(obj):
        return result
    if isinstance(result, tuple):
        return tuple(like(item, obj) for item in result)
    return sys.modules["torch"].from_numpy(result) if isinstance(result, np.ndarray) else result


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """`array`, made read-only."""
    array.flags.writeable = False
    return array
