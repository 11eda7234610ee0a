"""QConfig: which observers a module gets, as ``torch.ao.quantization.qconfig``."""

from __future__ import annotations

from typing import Any, NamedTuple

from ._observers import (
    default_dynamic_quant_observer,
    default_per_channel_weight_observer,
    default_weight_observer,
)
from ._public import public

__all__ = ["QConfig", "default_dynamic_qconfig", "engine_qconfig", "per_channel_dynamic_qconfig"]


class _QConfig(NamedTuple):
    activation: Any
    weight: Any


@public("qrnn.quantization.qconfig")
class QConfig(_QConfig):
    """Observer classes, or factories of them, for activations and for weights.

    Parameters
    ----------
    activation : callable
        Not used by dynamic quantization.
    weight : callable or None
        Makes the observer that gives a weight its scale. None: the engine's own rule.

    Raises
    ------
    ValueError
        If one is an observer instead of a class or factory.

    Examples
    --------
    >>> import qrnn
    >>> from qrnn.quantization import MinMaxObserver, PlaceholderObserver, QConfig
    >>> weight = MinMaxObserver.with_args(dtype=qrnn.qint8, qscheme=qrnn.per_tensor_symmetric)
    >>> qconfig = QConfig(activation=PlaceholderObserver, weight=weight)
    >>> qconfig.weight()
    MinMaxObserver(min_val=inf, max_val=-inf)
    """

    __slots__ = ()

    def __new__(cls, activation: Any, weight: Any) -> QConfig:
        if hasattr(activation, "calculate_qparams") and not isinstance(activation, type):
            raise ValueError(f"activation: {_INSTANCE}")
        if hasattr(weight, "calculate_qparams") and not isinstance(weight, type):
            raise ValueError(f"weight: {_INSTANCE}")
        return super().__new__(cls, activation, weight)


_INSTANCE = (
    "QConfig received observer instance, please pass observer class instead. "
    "Use MyObserver.with_args(x=1) to override arguments to constructor if needed"
)

#: PyTorch's default: weights per tensor, symmetric, codes -128..127.
default_dynamic_qconfig = QConfig(activation=default_dynamic_quant_observer, weight=default_weight_observer)
#: Weights per output row, symmetric, codes -128..127.
per_channel_dynamic_qconfig = QConfig(
    activation=default_dynamic_quant_observer, weight=default_per_channel_weight_observer
)
#: Weights by the rule of the module's engine: what a missing qconfig means.
engine_qconfig = QConfig(activation=default_dynamic_quant_observer, weight=None)
