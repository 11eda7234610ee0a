"""Translates activations of Keras to the names and parameters of ``qrnn.nn``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._format_error import FormatError

__all__ = ["HARD_SIGMOID", "Activation", "activation", "expect_hard_sigmoid_version", "function_name", "major_version"]

Activation = str | tuple[str, float] | tuple[str, float, float]

#: Functions of Keras that ``qrnn.nn`` has. The slope of hard_sigmoid depends on the version.
_FUNCTIONS: Mapping[str, Activation] = {
    "celu": ("elu", 1.0),
    "elu": ("elu", 1.0),
    "leaky_relu": ("leaky_relu", 0.2),
    "linear": "linear",
    "relu": "relu",
    "sigmoid": "sigmoid",
    "softplus": "softplus",
    "softsign": "softsign",
    "sparse_sigmoid": ("hard_sigmoid", 0.5, 0.5),
    "tanh": "tanh",
}

#: Slope and offset by Keras' first number: 0.2 x + 0.5 in Keras 1 and 2, x / 6 + 0.5 in Keras 3.
HARD_SIGMOID: Mapping[int, tuple[float, float]] = {1: (0.2, 0.5), 2: (0.2, 0.5), 3: (1 / 6, 0.5)}

#: Layers that serve as activations: qrnn's name, and the names of alpha's entry in a config, that of Keras 3 first.
_LAYERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "ELU": ("elu", ("alpha",)),
    "LeakyReLU": ("leaky_relu", ("negative_slope", "alpha")),
    "ThresholdedReLU": ("thresholded_relu", ("theta",)),
}


def major_version(version: Any) -> int | None:
    """The first number of a version of Keras, as "2.15.0" or 3; None for None.

    Raises
    ------
    FormatError
        If it is not 1, 2 or 3.
    """
    if version is None:
        return None
    major = str(version).partition(".")[0]
    if major not in ("1", "2", "3"):
        raise FormatError(f"version: expected Keras 1, 2 or 3, got {version!r}")
    return int(major)


def activation(value: Any, version: int | None, where: str) -> Activation:
    """The activation in a config, in the form that ``qrnn.nn`` takes.

    Parameters
    ----------
    value : str, dict or None
        A name, a function or a layer as Keras serializes it, or None for linear.
    version : int, optional
        Keras' major version, which hard_sigmoid needs.
    where : str
        The beginning of error texts.

    Raises
    ------
    FormatError
        If qrnn has no such activation.

    Examples
    --------
    >>> activation("hard_sigmoid", 2, "lstm: activation")
    ('hard_sigmoid', 0.2, 0.5)
    """
    if value is None:
        return "linear"
    if isinstance(value, Mapping) and str(value.get("class_name")) in _LAYERS:
        return _of_layer(value, where)
    name = function_name(value, where)
    if name == "hard_sigmoid":
        return ("hard_sigmoid", *HARD_SIGMOID[expect_hard_sigmoid_version(version, where)])
    if not isinstance(name, str) or name not in _FUNCTIONS:
        expected = ", ".join(sorted([*_FUNCTIONS, "hard_sigmoid"]))
        raise FormatError(f"{where}: expected one of {expected}, got {name!r}")
    return _FUNCTIONS[name]


def function_name(value: Any, where: str) -> Any:
    """The name of a function in a config: a str, if it is Keras' own function.

    Raises
    ------
    FormatError
        If it is a user's own function.
    """
    if not isinstance(value, Mapping):
        return value
    name = value.get("config") if value.get("class_name") == "function" else value.get("class_name")
    registered = value.get("registered_name")
    if value.get("module") == "builtins" or ">" in str(registered):
        raise FormatError(f"{where}: expected a function of Keras, got one of a user's own, {registered or name!r}")
    return name


def expect_hard_sigmoid_version(version: int | None, where: str) -> int:
    """`version`; FormatError if it is unknown, because hard_sigmoid needs it."""
    if version is None:
        raise FormatError(f"{where}: hard_sigmoid: expected version=, as its slope differs between Keras 2 and 3")
    return version


def _of_layer(value: Mapping[str, Any], where: str) -> Activation:
    """A layer that serves as an activation, with its own alpha."""
    name, entries = _LAYERS[value["class_name"]]
    config = value.get("config")
    given = [config.get(entry) for entry in entries] if isinstance(config, Mapping) else []
    for number in given:
        if isinstance(number, (int, float)):
            return name, float(number)
    raise FormatError(f"{where}: {value['class_name']}: expected {entries[0]} to be a number, got {config!r:.80}")
