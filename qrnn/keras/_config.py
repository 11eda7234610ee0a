"""Configs of Keras' recurrent layers: which entries they may have, and the layer that they describe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .._format_error import FormatError
from ._activations import Activation, activation

__all__ = ["IDLE", "LayerConfig", "expect_known", "flag", "integer", "layer_config", "number", "serialized"]

#: The classes and their families.
_FAMILIES: Mapping[str, str] = {
    "SimpleRNN": "RNN",
    "GRU": "GRU",
    "LSTM": "LSTM",
    "CuDNNGRU": "GRU",
    "CuDNNLSTM": "LSTM",
}
_CELLS: Mapping[str, str] = {"SimpleRNNCell": "SimpleRNN", "GRUCell": "GRU", "LSTMCell": "LSTM"}

#: Entries that act only in training, or do not change results.
IDLE = frozenset(
    {
        *("autocast", "batch_input_shape", "batch_shape", "build_config", "dropout", "dtype", "implementation"),
        *("input_dim", "input_length", "input_shape", "name", "recurrent_dropout", "seed", "trainable"),
        *("unit_forget_bias", "unroll", "use_cudnn"),
    }
)

#: The largest float32 number.
_LARGEST = 3.4028235e38

#: The endings of names of further such entries.
_ENDINGS = ("_initializer", "_regularizer", "_constraint")

#: Flags of a layer, and their values if a config lacks them.
_FLAGS: Mapping[str, bool] = {
    "go_backwards": False,
    "return_sequences": False,
    "return_state": False,
    "stateful": False,
    "use_bias": True,
    "zero_output_for_mask": False,
}

#: Entries that must have these values.
_FIXED: Mapping[str, Any] = {"time_major": False, "num_constants": None}


class LayerConfig(NamedTuple):
    """A recurrent layer in one direction.

    Attributes
    ----------
    family : {"RNN", "GRU", "LSTM"}
    units : int
    flags : dict
        go_backwards, return_sequences, return_state, stateful, use_bias, zero_output_for_mask.
    activations : tuple
        Activations of gates and candidate, in the order of ``qrnn.nn``.
    reset_after : bool
    cudnn : bool
        Whether the weights of this class are in cuDNN's order.
    """

    family: str
    units: int
    flags: dict[str, bool]
    activations: tuple[Activation, ...]
    reset_after: bool
    cudnn: bool


def serialized(value: Any, where: str) -> tuple[str, Mapping[str, Any]]:
    """Class name and config of a layer or cell inside a config.

    Raises
    ------
    FormatError
        If `value` is not a layer or cell.
    """
    if isinstance(value, Mapping) and isinstance(value.get("class_name"), str):
        config = value.get("config")
        if isinstance(config, Mapping):
            return value["class_name"], config
    raise FormatError(f"{where}: expected a dict with class_name and config, got {value!r:.80}")


def flag(config: Mapping[str, Any], name: str, default: bool, where: str) -> bool:
    """The entry `name` of a config, a bool.

    Raises
    ------
    FormatError
        If it is none.
    """
    value = config.get(name, default)
    if not isinstance(value, (bool, int)) or value not in (0, 1):
        raise FormatError(f"{where}: {name}: expected True or False, got {value!r:.80}")
    return bool(value)


def integer(config: Mapping[str, Any], name: str, default: Any, where: str, least: int = 1) -> int:
    """The entry `name` of a config, an integer, perhaps as a list of one.

    Raises
    ------
    FormatError
        If it is none, or below `least`.
    """
    value = config.get(name, default)
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        expected = "a positive integer" if least == 1 else f"an integer of at least {least}"
        raise FormatError(f"{where}: {name}: expected {expected}, got {value!r:.80}")
    return value


def number(config: Mapping[str, Any], name: str, default: float, where: str) -> float:
    """The entry `name` of a config, a finite number.

    Raises
    ------
    FormatError
        If it is none.
    """
    value = config.get(name, default)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not abs(value) <= _LARGEST:
        raise FormatError(f"{where}: {name}: expected a number, got {value!r:.80}")
    return float(value)


def layer_config(class_name: str, config: Mapping[str, Any], version: int | None, where: str) -> LayerConfig:
    """The description of a layer SimpleRNN, GRU, LSTM, CuDNNGRU, CuDNNLSTM or RNN.

    Raises
    ------
    FormatError
        If the class is another one, or an entry of the config has a value that is not supported.
    """
    if class_name == "RNN":
        return _of_cell(config, version, where)
    family = _FAMILIES.get(str(class_name))
    if family is None:
        expected = ", ".join([*_FAMILIES, "RNN", "Bidirectional"])
        raise FormatError(f"{where}: class_name: expected one of {expected}, got {class_name!r}")
    cudnn = class_name.startswith("CuDNN")
    known = {*IDLE, *_FLAGS, *_FIXED, "units"}
    if not cudnn:
        known |= {"activation"} | ({"recurrent_activation"} if family != "RNN" else set())
        known |= {"reset_after"} if family == "GRU" else set()
    expect_known(config, known, where)
    units = integer(config, "units", None, where)
    flags = {name: flag(config, name, default, where) for name, default in _FLAGS.items()}
    activations = _activations(family, config, cudnn, version, where)
    reset_after = cudnn or flag(config, "reset_after", False, where)
    return LayerConfig(family, units, flags, activations, reset_after, cudnn)


def expect_known(config: Mapping[str, Any], known: set[str], where: str) -> None:
    """Refuse unknown entries, because they may change results.

    Raises
    ------
    FormatError
        If an entry is not among `known`, or does not have its required value.
    """
    for name, value in config.items():
        if name not in known and not name.endswith(_ENDINGS):
            raise FormatError(f"{where}: {name}: the class has no such entry, got {value!r:.80}")
        if name in _FIXED and value != _FIXED[name]:
            raise FormatError(f"{where}: {name}: expected {_FIXED[name]}, got {value!r:.80}")


def _activations(
    family: str, config: Mapping[str, Any], cudnn: bool, version: int | None, where: str
) -> tuple[Activation, ...]:
    """The activations in the order of ``qrnn.nn``: (f,), (f, g) or (f, g, h)."""
    names = ("activation",) if family == "RNN" else ("recurrent_activation", "activation")
    found: list[Activation] = ["sigmoid", "tanh"]
    if not cudnn:
        for name in names:
            if name not in config:
                raise FormatError(f"{where}: {name}: expected this entry, whose default depends on Keras' version")
        found = [activation(config[name], version, f"{where}: {name}") for name in names]
    return (*found, found[-1]) if family == "LSTM" else tuple(found)


def _of_cell(config: Mapping[str, Any], version: int | None, where: str) -> LayerConfig:
    """A layer RNN with one of Keras' own cells: options of the layer, and of its cell."""
    name, inner = serialized(config.get("cell"), f"{where}: cell")
    if name not in _CELLS:
        raise FormatError(f"{where}: cell: expected one of {', '.join(_CELLS)}, got {name!r}")
    of_layer = {key: value for key, value in config.items() if key != "cell"}
    expect_known(of_layer, {*IDLE, *_FLAGS, *_FIXED} - {"use_bias"}, where)
    return layer_config(_CELLS[name], {**inner, **of_layer}, version, f"{where}: {name}")
