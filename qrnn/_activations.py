"""Layers without weights: ReLU, Tanh, Sigmoid, Dropout, Identity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, overload

from . import _arrays, _config, _core
from ._module import Module
from ._pointwise import InPlace
from ._public import public

if TYPE_CHECKING:
    from ._typing import Array, Input, T, Tensor, typed_as

__all__ = ["Dropout", "Identity", "ReLU", "Sigmoid", "Tanh"]


class _Function(Module):
    """A function of the core, element by element."""

    _function: ClassVar[str]

    @overload
    def forward(self, input: Tensor[T]) -> T: ...
    @overload
    def forward(self, input: Input) -> Array: ...
    def forward(self, input: Any) -> Any:
        """Apply the function to each element.

        Parameters
        ----------
        input : array_like, any shape

        Returns
        -------
        ndarray, float32, the shape of `input`
            A tensor if `input` is one.

        Raises
        ------
        TypeError
            If `input` is no array of real numbers.
        """
        return _arrays.like(_core.apply(self._function, input, isa=_config.resolve_isa()), input)

    if TYPE_CHECKING:

        @typed_as(forward)
        def __call__(self) -> None: ...  # type: ignore[override]


@public("qrnn.nn")
class ReLU(InPlace):
    """``max(0, x)``, as ``torch.nn.ReLU``.

    Parameters
    ----------
    inplace : bool
        Write the result over the input, which must then be a writable float32 C-contiguous array, or
        a float32 tensor that does not require gradients.

    Examples
    --------
    >>> import qrnn.nn as nn
    >>> nn.ReLU()([-1, 0, 2]).tolist()
    [0.0, 0.0, 2.0]
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def _compute(self, x: Array) -> Any:
        return _core.apply("relu", x, isa=_config.resolve_isa())


@public("qrnn.nn")
class Tanh(_Function):
    """tanh, within 2 ulp, as ``torch.nn.Tanh``.

    Examples
    --------
    >>> import qrnn.nn as nn
    >>> nn.Tanh()([0, 100]).tolist()
    [0.0, 1.0]
    """

    _function = "tanh"


@public("qrnn.nn")
class Sigmoid(_Function):
    """``1 / (1 + exp(-x))``, within 2 ulp, as ``torch.nn.Sigmoid``.

    Examples
    --------
    >>> import qrnn.nn as nn
    >>> nn.Sigmoid()([0, 100]).tolist()
    [0.5, 1.0]
    """

    _function = "sigmoid"


class _Unchanged(Module):
    """The base of modules that return their input."""

    @overload
    def forward(self, input: Array) -> Array: ...
    @overload
    def forward(self, input: T) -> T: ...
    def forward(self, input: Any) -> Any:
        """`input` itself."""
        return input

    if TYPE_CHECKING:

        @typed_as(forward)
        def __call__(self) -> None: ...


@public("qrnn.nn")
class Dropout(_Unchanged):
    """The identity in both modes: qrnn only computes inference, where dropout does nothing.

    Parameters
    ----------
    p : float
        Kept as an attribute.
    inplace : bool
        Kept as an attribute.

    Raises
    ------
    ValueError
        If `p` is not in 0..1.

    Examples
    --------
    >>> import qrnn.nn as nn
    >>> nn.Dropout(0.2)
    Dropout(p=0.2, inplace=False)
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


@public("qrnn.nn")
class Identity(_Unchanged):
    """Returns its argument, as ``torch.nn.Identity``; arguments of the constructor are ignored.

    Examples
    --------
    >>> import qrnn.nn as nn
    >>> nn.Identity(54)
    Identity()
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
