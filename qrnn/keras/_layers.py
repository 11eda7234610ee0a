"""Makes layers of Keras that are not recurrent from their configs and weights: a table with a row for each class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._activations import Dropout, Identity
from .._containers import Sequential
from .._conv import Conv1d
from .._embedding import Embedding as Table
from .._flatten import Flatten
from .._foreign import weight
from .._format_error import FormatError
from .._linear import Linear
from .._module import Module
from .._normalization import BatchNorm1d, LayerNorm
from .._pointwise import ELU, LeakyReLU
from ._config import IDLE, expect_known, flag, integer, number
from ._functions import Activation, MaskedSoftmax, function
from ._modules import Convolution, Embedding, Masking, Normalization
from ._shapes import GlobalPooling, Permute, Pooling, Repeat, Reshape
from ._stores import Weights

if TYPE_CHECKING:
    from .._typing import Array

__all__ = ["ROWS", "LayerRow", "expect_plain"]

Config = Mapping[str, Any]
Reader = Callable[[Config, Weights, "int | None", str], Module]


class LayerRow(NamedTuple):
    """A class of layers.

    Attributes
    ----------
    read : callable
        Makes the module from config, weights, Keras' major version and the beginning of error texts.
    known : tuple of str
        Entries of the config that `read` knows, besides those that do not change results.
    weighted : callable
        Whether a layer with this config has weights.
    """

    read: Reader
    known: tuple[str, ...] = ()
    weighted: Callable[[Config], bool] = lambda config: False


def expect_plain(config: Config, where: str) -> None:
    """Refuse layers whose weights Keras has quantized, or stores in two parts.

    Raises
    ------
    FormatError
        If it is such a layer.
    """
    for name in ("lora_rank", "quantization_config"):
        if config.get(name) is not None:
            raise FormatError(f"{where}: {name}: expected None, got {config[name]!r:.80}")
    dtype = str(config.get("dtype"))
    if "int8" in dtype or "int4" in dtype or "float8" in dtype:
        raise FormatError(f"{where}: dtype: expected that of floats, got {dtype:.80}")


def _new(make: Callable[[], Module], where: str, **parameters: Array | None) -> Any:
    """A module with these weights; FormatError if a class refuses a size."""
    try:
        module = make()
        for name, array in parameters.items():
            if array is not None:
                setattr(module, name, array)
    except (TypeError, ValueError) as error:
        raise FormatError(f"{where}: {error}") from error
    return module


def _with_activation(module: Module, config: Config, version: int | None, where: str, name: str) -> Module:
    """The module, followed by its activation."""
    value = config.get("activation")
    if isinstance(value, Mapping) and str(value.get("class_name")) in ROWS:
        inner = value.get("config")
        place = f"{where}: activation: {value['class_name']}"
        if not isinstance(inner, Mapping):
            raise FormatError(f"{place}: expected a config, got {inner!r:.80}")
        row = ROWS[value["class_name"]]
        if row.read not in _FUNCTION_LAYERS:
            raise FormatError(f"{place}: expected a layer that is a function")
        expect_known(inner, {*IDLE, *row.known}, place)
        behind: Module | None = row.read(inner, Weights(), version, place)
    else:
        behind = function(value, version, f"{where}: activation")
    return module if behind is None else Sequential({name: module, "activation": behind})


# ---- layers with weights


def _dense(config: Config, weights: Weights, version: int | None, where: str) -> Module:
    bias, units = flag(config, "use_bias", True, where), integer(config, "units", None, where)
    arrays = weights.take(("kernel", "bias") if bias else ("kernel",), where)
    kernel = weight(arrays[0], f"{where}: kernel", (None, units))
    own = weight(arrays[1], f"{where}: bias", (units,)) if bias else None
    linear = _new(lambda: Linear(kernel.shape[0], units, bias), where, weight=kernel.T, bias=own)
    return _with_activation(linear, config, version, where, "linear")


def _embedding(config: Config, weights: Weights, version: int | None, where: str) -> Module:
    shape = (integer(config, "input_dim", None, where), integer(config, "output_dim", None, where))
    table = weight(weights.take(("embeddings",), where)[0], f"{where}: embeddings", shape)
    own = _new(lambda: Table.from_pretrained(table), where)
    return Embedding(own, flag(config, "mask_zero", False, where))


def _conv(config: Config, weights: Weights, version: int | None, where: str) -> Module:
    names = (("filters", None), ("kernel_size", None), ("strides", 1), ("dilation_rate", 1), ("groups", 1))
    filters, size, stride, dilation, groups = (integer(config, name, default, where) for name, default in names)
    padding, bias = config.get("padding", "valid"), flag(config, "use_bias", True, where)
    if padding not in ("valid", "same", "causal"):
        raise FormatError(f"{where}: padding: expected valid, same or causal, got {padding!r:.80}")
    _expect_channels_last(config, where)
    arrays = weights.take(("kernel", "bias") if bias else ("kernel",), where)
    kernel = weight(arrays[0], f"{where}: kernel", (size, None, filters))
    own = weight(arrays[1], f"{where}: bias", (filters,)) if bias else None
    zeros: Any = padding if stride == 1 and padding != "valid" else 0
    conv = _new(
        lambda: Conv1d(kernel.shape[1] * groups, filters, size, stride, zeros, dilation, groups, bias),
        where,
        weight=np.ascontiguousarray(kernel.transpose(2, 1, 0)),
        bias=own,
    )
    return _with_activation(Convolution(conv, padding), config, version, where, "convolution")


def _expect_channels_last(config: Config, where: str) -> None:
    if config.get("data_format") not in (None, "channels_last"):
        raise FormatError(f"{where}: data_format: expected channels_last, got {config['data_format']!r:.80}")


def _axes(config: Config, where: str) -> tuple[int, ...]:
    value = config.get("axis", -1)
    found = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    if not found or not all(type(each) is int and -8 <= each <= 8 and each for each in found):
        raise FormatError(f"{where}: axis: expected numbers of dimensions after the batch's, got {value!r:.80}")
    return found


def _layer_norm(config: Config, weights: Weights, version: int | None, where: str) -> Module:
    for name in ("rms_scaling",):
        if flag(config, name, False, where):
            raise FormatError(f"{where}: {name}: expected False, got True")
    axes, eps = _axes(config, where), number(config, "epsilon", 1e-3, where)
    center, scale = flag(config, "center", True, where), flag(config, "scale", True, where)
    if not (center or scale):
        raise FormatError(f"{where}: center, scale: expected one of them, to know the size, got none")
    names = [name for name, there in (("gamma", scale), ("beta", center)) if there]
    dims = (None,) * len(axes)
    found = {name: weight(array, f"{where}: {name}", dims) for name, array in zip(names, weights.take(names, where))}
    shape = found[names[0]].shape
    norm = _new(lambda: LayerNorm(shape, eps, bias=center), where, weight=found.get("gamma"), bias=found.get("beta"))
    return Normalization(norm, axes)


def _batch_norm(config: Config, weights: Weights, version: int | None, where: str) -> Module:
    if flag(config, "renorm", False, where):
        raise FormatError(f"{where}: renorm: expected False, got True")
    center, scale = flag(config, "center", True, where), flag(config, "scale", True, where)
    names = ["gamma"] * scale + ["beta"] * center + ["moving_mean", "moving_variance"]
    arrays = {
        name: weight(array, f"{where}: {name}", (None,)) for name, array in zip(names, weights.take(names, where))
    }
    size = len(arrays["moving_mean"])
    if (arrays["moving_variance"] < 0).any():
        raise FormatError(f"{where}: moving_variance: expected no negative numbers")
    norm = _new(
        lambda: BatchNorm1d(size, number(config, "epsilon", 1e-3, where), affine=center or scale, bias=center),
        where,
        weight=arrays.get("gamma"),
        bias=arrays.get("beta"),
        running_mean=arrays["moving_mean"],
        running_var=arrays["moving_variance"],
    )
    axes = _axes(config, where)
    if len(axes) != 1:
        raise FormatError(f"{where}: axis: expected one number, got {axes}")
    return Normalization(norm, axes)


# ---- layers without weights


def _activation(config: Config, weights: Weights, version: int | None, where: str) -> Module:
    return _with_activation(Identity(), config, version, where, "input")


def _relu(config: Config, weights: Weights, version: int | None, where: str) -> Module:
    highest = None if config.get("max_value") is None else number(config, "max_value", 0, where)
    slope, threshold = (
        0.0 if config.get(name) is None else number(config, name, 0.0, where)
        for name in ("negative_slope", "threshold")
    )
    if (highest, slope, threshold) == (None, 0, 0):
        return function("relu", version, where) or Identity()
    return Activation("relu", (highest, slope, threshold))


def _leaky_relu(config: Config, weights: Weights, version: int | None, where: str) -> Module:
    name = "negative_slope" if "negative_slope" in config else "alpha"
    return LeakyReLU(number(config, name, 0.3, where))


def _elu(config: Config, weights: Weights, version: int | None, where: str) -> Module:
    return ELU(number(config, "alpha", 1.0, where))


def _thresholded_relu(config: Config, weights: Weights, version: int | None, where: str) -> Module:
    return Activation("thresholded_relu", (number(config, "theta", 1.0, where),))


def _softmax(config: Config, weights: Weights, version: int | None, where: str) -> Module:
    axes = _axes(config, where)
    if len(axes) != 1:
        raise FormatError(f"{where}: axis: expected one number, got {axes}")
    return MaskedSoftmax(axes[0])


def _dropout(config: Config, weights: Weights, version: int | None, where: str) -> Module:
    rate = number(config, "rate", 0.0, where)
    return Dropout(rate) if 0 <= rate <= 1 else Identity()


def _identity(config: Config, weights: Weights, version: int | None, where: str) -> Module:
    return Identity()


def _masking(config: Config, weights: Weights, version: int | None, where: str) -> Module:
    return Masking(number(config, "mask_value", 0.0, where))


def _flatten(config: Config, weights: Weights, version: int | None, where: str) -> Module:
    _expect_channels_last(config, where)
    return Flatten()


def _global(name: str) -> Reader:
    def read(config: Config, weights: Weights, version: int | None, where: str) -> Module:
        _expect_channels_last(config, where)
        return GlobalPooling(name, flag(config, "keepdims", False, where))

    return read


def _pooling(name: str) -> Reader:
    def read(config: Config, weights: Weights, version: int | None, where: str) -> Module:
        _expect_channels_last(config, where)
        size = integer(config, "pool_size", 2, where)
        strides = size if config.get("strides") is None else integer(config, "strides", size, where)
        make = lambda: Pooling(name, size, strides, str(config.get("padding", "valid")))  # noqa: E731
        return _new(make, where)  # type: ignore[no-any-return]

    return read


def _repeat(config: Config, weights: Weights, version: int | None, where: str) -> Module:
    return Repeat(integer(config, "n", None, where))


def _integers(config: Config, name: str, where: str) -> Sequence[int]:
    value = config.get(name)
    if not isinstance(value, (list, tuple)) or not all(type(each) is int for each in value) or len(value) > 8:
        raise FormatError(f"{where}: {name}: expected at most 8 integers, got {value!r:.80}")
    return value


def _reshape(config: Config, weights: Weights, version: int | None, where: str) -> Module:
    return Reshape(_integers(config, "target_shape", where))


def _permute(config: Config, weights: Weights, version: int | None, where: str) -> Module:
    return _new(lambda: Permute(_integers(config, "dims", where)), where)  # type: ignore[no-any-return]


#: Layers that may be the activation of another layer.
_FUNCTION_LAYERS = (_relu, _leaky_relu, _elu, _thresholded_relu, _softmax)

_PLAIN = ("lora_rank", "lora_alpha", "quantization_config", "quantization_mode")
_CONV = ("filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate", "groups", "activation")
_BATCH_NORM = (
    "momentum",
    "renorm_clipping",
    "renorm_momentum",
    "synchronized",
    "fused",
    "virtual_batch_size",
    "renorm",
)


def _always(config: Config) -> bool:
    return True


#: The rows by the names of classes.
ROWS: Mapping[str, LayerRow] = {
    "Activation": LayerRow(_activation, ("activation",)),
    "ActivityRegularization": LayerRow(_identity, ("l1", "l2")),
    "AlphaDropout": LayerRow(_identity, ("rate", "noise_shape")),
    "AveragePooling1D": LayerRow(_pooling("average"), ("pool_size", "strides", "padding", "data_format")),
    "BatchNormalization": LayerRow(_batch_norm, ("axis", "epsilon", "center", "scale", *_BATCH_NORM), _always),
    "Conv1D": LayerRow(_conv, (*_CONV, "use_bias", "rank", *_PLAIN), _always),
    "Dense": LayerRow(_dense, ("units", "activation", "use_bias", *_PLAIN), _always),
    "Dropout": LayerRow(_dropout, ("rate", "noise_shape")),
    "ELU": LayerRow(_elu, ("alpha",)),
    "Embedding": LayerRow(_embedding, ("output_dim", "mask_zero", "sparse", *_PLAIN), _always),
    "Flatten": LayerRow(_flatten, ("data_format",)),
    "GaussianDropout": LayerRow(_identity, ("rate",)),
    "GaussianNoise": LayerRow(_identity, ("stddev",)),
    "GlobalAveragePooling1D": LayerRow(_global("average"), ("data_format", "keepdims")),
    "GlobalMaxPooling1D": LayerRow(_global("max"), ("data_format", "keepdims")),
    "Identity": LayerRow(_identity),
    "LayerNormalization": LayerRow(_layer_norm, ("axis", "epsilon", "center", "scale", "rms_scaling"), _always),
    "LeakyReLU": LayerRow(_leaky_relu, ("negative_slope", "alpha")),
    "Masking": LayerRow(_masking, ("mask_value",)),
    "MaxPooling1D": LayerRow(_pooling("max"), ("pool_size", "strides", "padding", "data_format")),
    "Permute": LayerRow(_permute, ("dims",)),
    "ReLU": LayerRow(_relu, ("max_value", "negative_slope", "threshold")),
    "RepeatVector": LayerRow(_repeat, ("n",)),
    "Reshape": LayerRow(_reshape, ("target_shape",)),
    "Softmax": LayerRow(_softmax, ("axis",)),
    "SpatialDropout1D": LayerRow(_dropout, ("rate", "noise_shape", "data_format")),
    "ThresholdedReLU": LayerRow(_thresholded_relu, ("theta",)),
}
