"""The types that calls take and return, for type checkers. Nothing here exists when a program runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, ParamSpec, Protocol, SupportsIndex, TypeAlias

    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from typing_extensions import TypeVar

    P = ParamSpec("P")
    R = TypeVar("R", default=Any)  # what a Sequential returns for an array, or what a ModuleList holds
    T = TypeVar("T")
    T_co = TypeVar("T_co", covariant=True)

    class Tensor(Protocol[T_co]):
        """A tensor of PyTorch, recognized by a method that arrays lack. T_co is torch.Tensor, also for a Parameter."""

        def resolve_neg(self) -> T_co: ...

    class DLPack(Protocol):
        """Any object with ``__dlpack__``."""

        def __dlpack__(self) -> Any: ...

    class HasForward(Protocol[P, T_co]):
        """A module, described by what its ``forward`` takes and returns."""

        def forward(self, *args: P.args, **kwargs: P.kwargs) -> T_co: ...

    Array: TypeAlias = NDArray[np.float32]
    Pair: TypeAlias = tuple[Array, Array]
    Input: TypeAlias = ArrayLike | DLPack
    PairInput: TypeAlias = tuple[Input, Input] | list[Any]
    Lengths: TypeAlias = Iterable[SupportsIndex]

    def typed_as(function: T) -> Callable[[object], T]:
        """Give the decorated function the type of another."""
