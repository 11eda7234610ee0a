"""read_layer: makes a recurrent layer from a config and weights of Keras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._foreign import SequenceLayer, float_layer
from .._format_error import FormatError
from ._activations import major_version
from ._config import IDLE, LayerConfig, expect_known, layer_config, serialized
from ._recurrent_layer import MERGE_MODES, RecurrentLayer
from ._weights import array_count, direction

__all__ = ["read_layer"]

#: Options that both layers of a Bidirectional must share. It sets itself whether masked outputs are zero.
_SHARED = ("return_sequences", "return_state", "stateful")


def read_layer(
    class_name: str, config: Mapping[str, Any], weights: Sequence[Any], *, version: Any = None
) -> RecurrentLayer:
    """Make a float32 layer that computes what a recurrent layer of Keras does at inference.

    Parameters
    ----------
    class_name : str
        SimpleRNN, GRU, LSTM, CuDNNGRU, CuDNNLSTM, RNN with one of Keras' own cells, or Bidirectional with any of
        these.
    config : mapping
        The result of ``layer.get_config()``.
    weights : sequence of array_like
        The result of ``layer.get_weights()``: kernel, recurrent kernel and bias, if there is one; for a
        Bidirectional, those of the forward layer and then those of the backward layer.
    version : str or int, optional
        Keras' version, as "2.15.0" or 3; the activation hard_sigmoid needs it.

    Returns
    -------
    RecurrentLayer

    Raises
    ------
    TypeError
        If `config` is not a mapping or `weights` not a sequence.
    FormatError
        If an entry of the config or an array is not as in Keras, or ``qrnn.nn`` lacks an option.

    Notes
    -----
    Options that do not change results at inference are ignored: dropout, initializers, regularizers and constraints
    act only in training, and ``unroll`` and ``implementation`` choose the method. ``dtype`` is ignored too: weights
    become float32.

    Examples
    --------
    >>> import numpy as np, qrnn.keras
    >>> config = {"name": "gru", "units": 3, "activation": "tanh", "recurrent_activation": "sigmoid"}
    >>> config.update(reset_after=True, return_sequences=True)
    >>> weights = [np.ones((4, 9)), np.ones((3, 9)), np.ones((2, 9))]
    >>> gru = qrnn.keras.read_layer("GRU", config, weights, version=3)
    >>> gru
    RecurrentLayer(
      return_sequences=True
      (layer): GRU(4, 3, batch_first=True)
    )
    >>> gru(np.ones((2, 5, 4))).shape
    (2, 5, 3)
    """
    if not isinstance(config, Mapping):
        raise TypeError(f"config: expected a mapping, got {type(config).__name__}")
    weights = list(weights)
    where = f"{class_name} {config['name']!r}" if config.get("name") else str(class_name)
    major = major_version(version)
    if class_name == "Bidirectional":
        return _bidirectional(config, weights, major, where)
    own = layer_config(class_name, config, major, where)
    options: dict[str, Any] = {name: own.flags[name] for name in (*_SHARED, "zero_output_for_mask")}
    return RecurrentLayer(_layer([own], [weights], where), **options)


def _layer(configs: Sequence[LayerConfig], weights: Sequence[Sequence[Any]], where: str) -> SequenceLayer:
    """The layer of ``qrnn.nn`` with one direction or two."""
    first = configs[0]
    directions = [direction(own, arrays, where) for own, arrays in zip(configs, weights)]
    activations = [own.activations for own in configs]
    options: dict[str, Any] = {"activations": activations[0] if len(configs) == 1 else tuple(activations)}
    if len(configs) == 1 and first.flags["go_backwards"]:
        options["reverse"] = True
    if first.family == "GRU" and not first.reset_after:
        options["reset_after"] = False
    return float_layer(where, first.family, directions, True, options)


def _bidirectional(
    config: Mapping[str, Any], weights: Sequence[Any], version: int | None, where: str
) -> RecurrentLayer:
    """A Bidirectional: its layer forwards, and a similar one backwards."""
    expect_known(config, {*IDLE, "layer", "backward_layer", "merge_mode", "num_constants"}, where)
    merge_mode = config.get("merge_mode", "concat")
    if merge_mode not in MERGE_MODES:
        raise FormatError(f"{where}: merge_mode: expected one of {MERGE_MODES}, got {merge_mode!r}")
    name, inner = serialized(config.get("layer"), f"{where}: layer")
    forward = layer_config(name, inner, version, f"{where}: layer")
    backward = forward._replace(flags={**forward.flags, "go_backwards": True})
    if config.get("backward_layer") is not None:
        name, inner = serialized(config["backward_layer"], f"{where}: backward_layer")
        backward = layer_config(name, inner, version, f"{where}: backward_layer")
    _expect_alike(forward, backward, where)
    first = array_count(forward)
    layer = _layer([forward, backward], [weights[:first], weights[first:]], where)
    options: dict[str, Any] = {name: forward.flags[name] for name in _SHARED}
    return RecurrentLayer(layer, **options, merge_mode=merge_mode)


def _expect_alike(forward: LayerConfig, backward: LayerConfig, where: str) -> None:
    """Refuse directions that one layer of ``qrnn.nn`` cannot combine."""
    for name, layer, wanted in (("layer", forward, False), ("backward_layer", backward, True)):
        if layer.flags["go_backwards"] is not wanted:
            raise FormatError(f"{where}: {name}: go_backwards: expected {wanted}, got {not wanted}")
    shared = [
        {"class_name": each.family, "units": each.units, "reset_after": each.reset_after, **each.flags}
        for each in (forward, backward)
    ]
    for name in ("class_name", "units", "reset_after", *_SHARED):
        one, other = (each[name] for each in shared)
        if one != other:
            raise FormatError(f"{where}: backward_layer: {name}: expected that of layer, {one!r}, got {other!r}")
