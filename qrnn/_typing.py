"""What calls take and return, as type checkers see it. Nothing here exists when a program runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, ParamSpec, Protocol, SupportsIndex, TypeAlias

    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from typing_extensions import TypeVar

    P = ParamSpec("P")
    R = TypeVar("R", default=Any)  # of a Sequential: what it returns for an array; of a ModuleList: what it holds
    T = TypeVar("T")
    T_co = TypeVar("T_co", covariant=True)

    class Tensor(Protocol[T_co]):
        """A tensor of PyTorch, by a method that arrays have not. T_co is torch.Tensor, also of a Parameter."""

        def resolve_neg(self) -> T_co: ...

    class DLPack(Protocol):
        """What has ``__dlpack__``, perhaps alone."""

        def __dlpack__(self) -> Any: ...

    class HasForward(Protocol[P, T_co]):
        """A module, by what its ``forward`` takes and returns."""

        def forward(self, *args: P.args, **kwargs: P.kwargs) -> T_co: ...

    Array: TypeAlias = NDArray[np.float32]
    Pair: TypeAlias = tuple[Array, Array]
    Input: TypeAlias = ArrayLike | DLPack
    PairInput: TypeAlias = tuple[Input, Input] | list[Any]
    Lengths: TypeAlias = Iterable[SupportsIndex]

    def typed_as(function: T) -> Callable[[object], T]:
        """Give the function that is decorated the type of another."""
