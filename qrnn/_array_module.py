"""ArrayModule: the base of modules that compute a float32 array from one array with NumPy."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from . import _arrays
from ._module import Module

if TYPE_CHECKING:
    from ._typing import Array, Input, T, Tensor, typed_as

__all__ = ["ArrayModule", "write_over"]


class ArrayModule(Module):
    """The base of modules that compute a float32 array from one array.

    Subclasses define `_compute`. No bit of a row's result may depend on the number of rows. So sums run over
    contiguous float64 rows, and no matrix product is NumPy's, whose BLAS chooses its method by the shape.
    """

    @overload
    def forward(self, input: Tensor[T]) -> T: ...
    @overload
    def forward(self, input: Input) -> Array: ...
    def forward(self, input: Any) -> Any:
        """Compute the result for an array.

        Parameters
        ----------
        input : array_like

        Returns
        -------
        ndarray, float32
            A tensor if `input` is one.

        Raises
        ------
        TypeError
            If `input` is no array of real numbers.
        """
        return self._result(input)

    if TYPE_CHECKING:

        @typed_as(forward)
        def __call__(self) -> None: ...  # type: ignore[override]

    def _result(self, input: Any) -> Any:
        with np.errstate(all="ignore"):  # numbers beyond the range, and NaN, follow float arithmetic
            result = self._compute(_arrays.to_float32(input, "input"))
        return _arrays.like(np.asarray(result, np.float32), input)

    def _compute(self, x: Array) -> Any:
        """The result for a contiguous array, of any float type."""
        raise NotImplementedError


def write_over(input: Any, result: Any) -> Any:
    """Write `result`, an array, over the array or tensor `input`, and return it, as ``inplace=True`` does.

    Raises TypeError or ValueError naming `input` if that is impossible.
    """
    if _arrays.is_tensor(input):
        return _write_over_tensor(input, result)
    what = "a writable float32 C-contiguous array (inplace=True writes over it)"
    if not isinstance(input, np.ndarray):
        raise TypeError(f"input: expected {what}, got {type(input).__name__}")
    flags = input.flags
    if input.dtype != np.float32 or not (flags.c_contiguous and flags.aligned and flags.writeable):
        kind = "read-only" if not flags.writeable else "such an array of other memory"
        raise ValueError(f"input: expected {what}, got {input.dtype if input.dtype != np.float32 else kind}")
    input[...] = result
    return input


def _write_over_tensor(input: Any, result: Any) -> Any:
    if str(input.dtype) != "torch.float32" or input.requires_grad:
        grad = " that requires a gradient" if input.requires_grad else ""
        raise ValueError(
            "input: expected a float32 tensor that requires no gradient (inplace=True writes over it), "
            f"got one of {input.dtype}{grad}"
        )
    try:
        return input.copy_(sys.modules["torch"].from_numpy(result))  # which tells PyTorch of the change
    except RuntimeError as error:
        raise ValueError(f"input: expected a tensor that can be written over (inplace=True): {error}") from error
