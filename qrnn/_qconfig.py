"""QConfig: which observers a module gets, as ``torch.ao.quantization.qconfig``."""

from __future__ import annotations

from typing import Any, NamedTuple

from . import _types
from ._observers import (
    PlaceholderObserver,
    default_dynamic_quant_observer,
    default_per_channel_weight_observer,
    default_weight_observer,
)
from ._public import public

__all__ = [
    "MOST_13",
    "LayerQConfig",
    "QConfig",
    "default_dynamic_qconfig",
    "engine_qconfig",
    "float_qconfig",
    "int13_dynamic_qconfig",
    "per_channel_dynamic_qconfig",
]


class _QConfig(NamedTuple):
    activation: Any
    weight: Any


@public("qrnn.quantization.qconfig")
class QConfig(_QConfig):
    """Observer classes, or factories of them, for activations and for weights.

    Parameters
    ----------
    activation : callable
        Dynamic quantization does not use it, except for the range -4095..4095, as in `int13_dynamic_qconfig`, which
        means 13 bits.
    weight : callable or None
        Makes the observer that gives a weight its scale. None: the engine's own rule. A PlaceholderObserver of
        float32, as in `float_qconfig`: the weight and its activations stay float32.

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
#: Weights by the rule of the module's engine, as without a qconfig.
engine_qconfig = QConfig(activation=default_dynamic_quant_observer, weight=None)

_float_observer = PlaceholderObserver.with_args(dtype=_types.float32)
#: The weight and the activations that it multiplies stay float32.
float_qconfig = QConfig(activation=_float_observer, weight=_float_observer)

#: Codes of 13 bits are symmetric, from minus this to this.
MOST_13 = 4095
#: Weights by the rule of the module's engine; their activations are quantized to 13 bits, as by engine ``qrnn13``.
int13_dynamic_qconfig = QConfig(
    activation=PlaceholderObserver.with_args(
        dtype=_types.int16, quant_min=-MOST_13, quant_max=MOST_13, is_dynamic=True
    ),
    weight=None,
)


class _LayerQConfig(NamedTuple):
    base: Any
    matrices: tuple[tuple[str, Any], ...]


@public("qrnn.quantization.qconfig")
class LayerQConfig(_LayerQConfig):
    """The QConfigs of a layer whose weight matrices have different ones, as from a spec with names of parameters.

    Parameters
    ----------
    base : QConfig
        The QConfig of weights that `matrices` does not name.
    matrices : mapping of str to QConfig, or pairs of them
        Names of weights within the layer, and their QConfigs.

    Raises
    ------
    TypeError
        If `base` is not a QConfig, or `matrices` is something else.

    Examples
    --------
    >>> import qrnn
    >>> from qrnn.quantization import LayerQConfig, engine_qconfig, float_qconfig
    >>> layer = qrnn.nn.LSTM(4, 3)
    >>> layer.qconfig = LayerQConfig(engine_qconfig, {"weight_ih_l0": float_qconfig})
    >>> qrnn.LSTM.from_float(layer)
    DynamicQuantizedLSTM(4, 3, weight_ih_l0=float32)
    """

    __slots__ = ()

    def __new__(cls, base: Any, matrices: Any = ()) -> LayerQConfig:
        try:
            pairs = tuple(dict(matrices).items())
        except (TypeError, ValueError):
            raise TypeError(f"matrices: expected names of weights with QConfigs, got {matrices!r:.80}") from None
        for name, each in (("base", base), *pairs):
            if not isinstance(name, str):
                raise TypeError(f"matrices: expected names of weights, got {name!r:.80}")
            if not (hasattr(each, "activation") and hasattr(each, "weight")) or isinstance(each, LayerQConfig):
                raise TypeError(f"{name}: expected a QConfig, got {type(each).__name__}")
        return super().__new__(cls, base, pairs)

    @property
    def activation(self) -> Any:
        """The activation part of `base`."""
        return self.base.activation

    @property
    def weight(self) -> Any:
        """The weight part of `base`."""
        return self.base.weight
