"""The types of models that are prepared, converted and quantized: a layer becomes another, a model keeps its own.

For type checkers: nothing here is imported when a program runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from ._elman import RNN, QuantizedRNN, QuantizedRNNCell, RNNCell
from ._gru import GRU, GRUCell, QuantizedGRU, QuantizedGRUCell
from ._linear import Linear, QuantizedLinear
from ._lstm import LSTM, LSTMCell, QuantizedLSTM, QuantizedLSTMCell


class AnyModule(Protocol):
    """A module of qrnn, or of PyTorch, which goes to ``qrnn.torch``."""

    def named_modules(self) -> Any: ...


P = ParamSpec("P")
M = TypeVar("M", bound=AnyModule)


class Quantizing(Protocol[P]):
    """`quantize_dynamic`."""

    @overload
    def __call__(self, model: LSTM, *args: P.args, **kwargs: P.kwargs) -> QuantizedLSTM: ...
    @overload
    def __call__(self, model: GRU, *args: P.args, **kwargs: P.kwargs) -> QuantizedGRU: ...
    @overload
    def __call__(self, model: RNN, *args: P.args, **kwargs: P.kwargs) -> QuantizedRNN: ...
    @overload
    def __call__(self, model: LSTMCell, *args: P.args, **kwargs: P.kwargs) -> QuantizedLSTMCell: ...
    @overload
    def __call__(self, model: GRUCell, *args: P.args, **kwargs: P.kwargs) -> QuantizedGRUCell: ...
    @overload
    def __call__(self, model: RNNCell, *args: P.args, **kwargs: P.kwargs) -> QuantizedRNNCell: ...
    @overload
    def __call__(self, model: Linear, *args: P.args, **kwargs: P.kwargs) -> QuantizedLinear: ...
    @overload
    def __call__(self, model: M, *args: P.args, **kwargs: P.kwargs) -> M: ...


class Converting(Protocol[P]):
    """`convert`."""

    @overload
    def __call__(self, module: LSTM, *args: P.args, **kwargs: P.kwargs) -> QuantizedLSTM: ...
    @overload
    def __call__(self, module: GRU, *args: P.args, **kwargs: P.kwargs) -> QuantizedGRU: ...
    @overload
    def __call__(self, module: RNN, *args: P.args, **kwargs: P.kwargs) -> QuantizedRNN: ...
    @overload
    def __call__(self, module: LSTMCell, *args: P.args, **kwargs: P.kwargs) -> QuantizedLSTMCell: ...
    @overload
    def __call__(self, module: GRUCell, *args: P.args, **kwargs: P.kwargs) -> QuantizedGRUCell: ...
    @overload
    def __call__(self, module: RNNCell, *args: P.args, **kwargs: P.kwargs) -> QuantizedRNNCell: ...
    @overload
    def __call__(self, module: Linear, *args: P.args, **kwargs: P.kwargs) -> QuantizedLinear: ...
    @overload
    def __call__(self, module: M, *args: P.args, **kwargs: P.kwargs) -> M: ...


class Preparing(Protocol[P]):
    """`prepare`: a prepared layer is a float one."""

    @overload
    def __call__(self, model: QuantizedLSTM, *args: P.args, **kwargs: P.kwargs) -> LSTM: ...
    @overload
    def __call__(self, model: QuantizedGRU, *args: P.args, **kwargs: P.kwargs) -> GRU: ...
    @overload
    def __call__(self, model: QuantizedRNN, *args: P.args, **kwargs: P.kwargs) -> RNN: ...
    @overload
    def __call__(self, model: QuantizedLSTMCell, *args: P.args, **kwargs: P.kwargs) -> LSTMCell: ...
    @overload
    def __call__(self, model: QuantizedGRUCell, *args: P.args, **kwargs: P.kwargs) -> GRUCell: ...
    @overload
    def __call__(self, model: QuantizedRNNCell, *args: P.args, **kwargs: P.kwargs) -> RNNCell: ...
    @overload
    def __call__(self, model: QuantizedLinear, *args: P.args, **kwargs: P.kwargs) -> Linear: ...
    @overload
    def __call__(self, model: M, *args: P.args, **kwargs: P.kwargs) -> M: ...


if TYPE_CHECKING:

    def quantizing(function: Callable[Concatenate[Any, P], Any]) -> Quantizing[P]: ...
    def converting(function: Callable[Concatenate[Any, P], Any]) -> Converting[P]: ...
    def preparing(function: Callable[Concatenate[Any, P], Any]) -> Preparing[P]: ...
