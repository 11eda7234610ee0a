"""Conv1d."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _config, _core
from ._array_module import ArrayModule
from ._matrices import Matrix, pack
from ._parameters import Parameter
from ._public import public
from ._random import uniform
from ._spec import checked_size, linear_spec
from ._types import expect_float32

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._typing import Array

__all__ = ["Conv1d"]

_PADDINGS = ("same", "valid", "causal")


@public("qrnn.nn")
class Conv1d(ArrayModule):
    """A convolution over time in float32, as ``torch.nn.Conv1d``.

    Parameters
    ----------
    in_channels, out_channels : int
        At least 1, and multiples of `groups`.
    kernel_size, stride, dilation : int or tuple of one
        At least 1.
    padding : int, tuple of one, "valid", "same" or "causal"
        Zeros before and after the input. An integer: as many on each side. "valid": none. "same": as many in all as
        make the output as long as the input. "causal", which PyTorch lacks: as many as with "same", but all before
        the input, so that no step depends on a later one; `qrnn.stream` needs this form.
    groups : int
        Groups of channels; each group of the output is computed from its own group of the input.
    bias : bool
    padding_mode : "zeros"
    device : None or "cpu"
    dtype : None or float32

    Attributes
    ----------
    weight : ndarray, float32, shape (out_channels, in_channels / groups, kernel_size)
        Read-only; assign a whole array to change it. New: uniform in +-1/sqrt(in_channels / groups * kernel_size).
    bias : ndarray, float32, shape (out_channels,), or None
        Likewise.

    Raises
    ------
    TypeError
        If a size is no integer.
    ValueError
        If a size, `padding`, `groups`, `padding_mode`, `device` or `dtype` is out of range.

    Notes
    -----
    Calls take `input` of shape (batch, in_channels, steps) or (in_channels, steps). Products are those of `Linear`,
    so the bits of a batch row and of an output step do not depend on how many others there are.

    Examples
    --------
    >>> import numpy as np, qrnn.nn as nn
    >>> conv = nn.Conv1d(1, 1, 2, padding="causal", bias=False)
    >>> conv.weight = [[[10, 1]]]
    >>> conv(np.float32([[1, 2, 3]])).tolist()
    [[1.0, 12.0, 23.0]]
    """

    weight: Array
    bias: Array | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] = 1,
        padding: int | tuple[int] | str = 0,
        dilation: int | tuple[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        expect_float32(device, dtype)
        self.groups = checked_size(groups, "groups", 1)
        self.in_channels = checked_size(in_channels, "in_channels", 1)
        self.out_channels = checked_size(out_channels, "out_channels", 1)
        for name, channels in ("in_channels", self.in_channels), ("out_channels", self.out_channels):
            if channels % self.groups:
                raise ValueError(f"{name} must be divisible by groups, got {channels} and {self.groups}")
        self.kernel_size = (_single(kernel_size, "kernel_size", 1),)
        self.stride = (_single(stride, "stride", 1),)
        self.dilation = (_single(dilation, "dilation", 1),)
        if isinstance(padding, str) and padding not in _PADDINGS:
            raise ValueError(f"Invalid padding string {padding!r}, should be one of {', '.join(_PADDINGS)}")
        self.padding = padding if isinstance(padding, str) else (_single(padding, "padding", 0),)
        if self.padding in ("same", "causal") and self.stride != (1,):
            raise ValueError(f"padding={padding!r} is not supported for strided convolutions")
        if padding_mode != "zeros":
            raise ValueError(f"padding_mode: expected 'zeros', got {padding_mode!r}")
        self.padding_mode = padding_mode
        shape = self.out_channels, self.in_channels // self.groups, self.kernel_size[0]
        bound = 1 / math.sqrt(self._columns)
        self.weight = Parameter(uniform(bound, *shape))
        self.bias = Parameter(uniform(bound, self.out_channels)) if bias else None
        self._pack()

    # ---- weights: as arrays, and as a Linear of the core for each group

    @property
    def _columns(self) -> int:
        """How many numbers a step of the output of one group is computed from."""
        return self.in_channels // self.groups * self.kernel_size[0]

    def _pack(self) -> None:
        columns, rows = self._columns, self.out_channels // self.groups
        weights = self.weight.reshape(self.groups, rows, columns)
        biases = [None] * self.groups if self.bias is None else list(self.bias.reshape(self.groups, rows))
        spec, isa = linear_spec(columns, rows, self.bias is not None), _config.resolve_isa()
        groups = zip(weights, biases, strict=True)
        self._packed = tuple(pack(spec, "float32", isa, [Matrix(each, None, bias)]) for each, bias in groups)

    def _put(self, name: str, array: NDArray[Any]) -> None:
        super()._put(name, array)
        self._pack()

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles keep: weights as arrays."""
        return {name: value for name, value in self.__dict__.items() if name != "_packed"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._pack()

    def _own_nbytes(self) -> int:
        return super()._own_nbytes() + sum(each.nbytes for each in self._packed)

    # ---- calls

    def _reach(self) -> int:
        """How many earlier steps of the input a step of the output depends on."""
        return self.dilation[0] * (self.kernel_size[0] - 1)

    def _zeros(self) -> tuple[int, int]:
        """Zeros before and after the input."""
        if self.padding == "causal":
            return self._reach(), 0
        if self.padding == "same":
            return self._reach() // 2, self._reach() - self._reach() // 2
        return (0, 0) if isinstance(self.padding, str) else (self.padding[0], self.padding[0])

    def _compute(self, x: Array) -> Any:
        if x.ndim not in (2, 3):
            raise RuntimeError(
                f"Expected 2D (unbatched) or 3D (batched) input to conv1d, but got input of size: {list(x.shape)}"
            )
        if x.shape[-2] != self.in_channels:
            raise RuntimeError(
                f"Given groups={self.groups}, weight of size {list(self.weight.shape)}, expected input{list(x.shape)} "
                f"to have {self.in_channels} channels, but got {x.shape[-2]} channels instead"
            )
        return self._convolved(self._padded(x))

    def _padded(self, x: Array) -> Array:
        """`x` with its zeros."""
        return np.pad(x, [*[(0, 0)] * (x.ndim - 1), self._zeros()])

    def _convolved(self, x: Array) -> Any:
        """The convolution of an input that is padded already."""
        steps, reach = x.shape[-1], self._reach()
        if steps <= reach:
            raise RuntimeError(
                f"Calculated padded input size per channel: ({steps}). Kernel size: ({reach + 1}). Kernel size can't "
                "be greater than actual input size"
            )
        windows = np.lib.stride_tricks.sliding_window_view(x, reach + 1, axis=-1)
        windows = windows[..., :: self.stride[0], :: self.dilation[0]]  # (..., channels, steps, kernel)
        rows = np.moveaxis(windows, -2, -3)  # (..., steps, channels, kernel)
        rows = rows.reshape(*rows.shape[:-2], self.groups, self._columns)
        results = [
            _core.Module.__call__(packed, np.ascontiguousarray(rows[..., group, :]))
            for group, packed in enumerate(self._packed)
        ]
        return np.ascontiguousarray(np.swapaxes(np.concatenate(results, axis=-1), -1, -2))

    def extra_repr(self) -> str:
        shown = [str(self.in_channels), str(self.out_channels)]
        shown += [f"kernel_size={self.kernel_size}", f"stride={self.stride}"]
        shown += [f"padding={self.padding}"] if self.padding != (0,) else []
        shown += [f"dilation={self.dilation}"] if self.dilation != (1,) else []
        shown += [f"groups={self.groups}"] if self.groups != 1 else []
        return ", ".join(shown + ([] if self.bias is not None else ["bias=False"]))


def _single(value: Any, name: str, least: int) -> int:
    """The value of an option that PyTorch takes as an int or as a tuple of one int."""
    if isinstance(value, tuple):
        if len(value) != 1:
            raise ValueError(f"{name}: expected an int or a tuple of one, got {value!r}")
        value = value[0]
    return checked_size(value, name, least)
