"""The signatures of layers' calls, for type checkers, because the core has one signature for all layers.

Each layer has one of these classes as a base.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._layer import Layer

if TYPE_CHECKING:
    from typing import overload

    from ._typing import Array, Input, Lengths, Pair, PairInput, T, Tensor, typed_as

__all__ = ["CalledAsCell", "CalledAsLSTM", "CalledAsLSTMCell", "CalledAsLinear", "CalledAsSequence"]


class CalledAsLinear(Layer):
    """A layer that is called as a Linear is."""

    if TYPE_CHECKING:

        @overload  # type: ignore[override]
        def forward(self, input: Tensor[T]) -> T: ...
        @overload
        def forward(self, input: Input, *, out: Array | None = None) -> Array: ...
        def forward(self, input: Any, *, out: Any = None) -> Any: ...

        @typed_as(forward)
        def __call__(self) -> None: ...  # type: ignore[override]


class CalledAsCell(Layer):
    """A layer that is called as a cell whose state is one array."""

    if TYPE_CHECKING:

        @overload  # type: ignore[override]
        def forward(self, input: Tensor[T], hx: Input | None = None) -> T: ...
        @overload
        def forward(self, input: Input, hx: Input | None = None, *, out: Array | None = None) -> Array: ...
        def forward(self, input: Any, hx: Any = None, *, out: Any = None) -> Any: ...

        @typed_as(forward)
        def __call__(self) -> None: ...  # type: ignore[override]


class CalledAsLSTMCell(Layer):
    """A layer that is called as a cell with two states."""

    if TYPE_CHECKING:

        @overload  # type: ignore[override]
        def forward(self, input: Tensor[T], hx: PairInput | None = None) -> tuple[T, T]: ...
        @overload
        def forward(self, input: Input, hx: PairInput | None = None, *, out: Pair | None = None) -> Pair: ...
        def forward(self, input: Any, hx: Any = None, *, out: Any = None) -> Any: ...

        @typed_as(forward)
        def __call__(self) -> None: ...  # type: ignore[override]


class CalledAsSequence(Layer):
    """A layer that is called as one over sequences whose state is one array."""

    if TYPE_CHECKING:

        @overload
        def forward(
            self, input: Tensor[T], hx: Input | None = None, *, lengths: Lengths | None = None
        ) -> tuple[T, T]: ...
        @overload
        def forward(
            self,
            input: Input,
            hx: Input | None = None,
            *,
            lengths: Lengths | None = None,
            out: Array | Pair | None = None,
        ) -> Pair: ...
        def forward(self, input: Any, hx: Any = None, *, lengths: Any = None, out: Any = None) -> Any: ...

        @typed_as(forward)
        def __call__(self) -> None: ...  # type: ignore[override]


class CalledAsLSTM(Layer):
    """A layer that is called as one over sequences with two states."""

    if TYPE_CHECKING:

        @overload
        def forward(
            self, input: Tensor[T], hx: PairInput | None = None, *, lengths: Lengths | None = None
        ) -> tuple[T, tuple[T, T]]: ...
        @overload
        def forward(
            self,
            input: Input,
            hx: PairInput | None = None,
            *,
            lengths: Lengths | None = None,
            out: Array | tuple[Array, Pair] | None = None,
        ) -> tuple[Array, Pair]: ...
        def forward(self, input: Any, hx: Any = None, *, lengths: Any = None, out: Any = None) -> Any: ...

        @typed_as(forward)
        def __call__(self) -> None: ...  # type: ignore[override]
