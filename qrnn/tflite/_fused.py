"""Reads fused recurrent operators as layers of ``qrnn.nn``, or of ``qrnn`` if their weights are int8."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._foreign import Direction, float_layer, quantized_layer
from .._format_error import FormatError
from .._qtensor import QTensor
from .._types import per_channel_affine
from ._constants import Constants, Weight
from ._schema import Graph, Operator

__all__ = ["FUSED", "Read", "read_fused"]


class Read(NamedTuple):
    """A recurrent layer that was read, and the type of its weights."""

    layer: Any
    weights: str  # float32, int8 or integer


#: The functions of fused activations; errors name any other.
_FUNCTIONS = {"NONE": "linear", "RELU": "relu", "TANH": "tanh"}
#: The gates of an LSTM; the order is also PyTorch's. After x, the operator takes matrices of x for each gate, matrices
#: of h, peepholes of i, f and o, biases, the projection and its bias.
_GATES = ("input", "forget", "cell", "output")


def read_fused(constants: Constants, graph: Graph, operator: Operator, where: str) -> Read:
    """Read the layer that an operator computes.

    Parameters
    ----------
    constants : Constants
        The constants of `graph`.
    graph : Graph
    operator : Operator
        One of `FUSED`.
    where : str
        The beginning of error texts.

    Raises
    ------
    FormatError
        If an input is missing or has another shape, or ``qrnn.nn`` lacks what the operator does.
    """
    return FUSED[operator.name](_Reader(constants, graph, operator, where))


class _Reader:
    """The inputs and options of an operator."""

    def __init__(self, constants: Constants, graph: Graph, operator: Operator, where: str) -> None:
        self.constants, self.graph, self.operator, self.where = constants, graph, operator, where

    def has(self, index: int) -> bool:
        return index < len(self.operator.inputs) and self.operator.inputs[index] >= 0

    def weight(self, index: int, name: str, shape: tuple[int | None, ...]) -> Weight:
        where = f"{self.where}: {name}"
        if not self.has(index):
            raise FormatError(f"{where}: expected this input, got none")
        return self.constants.weight(self.operator.inputs[index], where, shape)

    def vector(self, index: int, name: str, size: int) -> Any:
        return self.weight(index, name, (size,)).array

    def expect_none(self, indices: Sequence[int], what: str) -> None:
        if any(self.has(index) for index in indices):
            raise FormatError(f"{self.where}: {what}: expected none, as layers of qrnn have none")

    def function(self) -> str:
        name = self.operator.options["activation"]
        if name not in _FUNCTIONS:
            raise FormatError(f"{self.where}: activation: expected one of {', '.join(_FUNCTIONS)}, got {name}")
        return _FUNCTIONS[name]

    @property
    def batch_first(self) -> bool:
        return not self.operator.options["time_major"]

    def made(
        self, family: str, directions: Sequence[Direction], codes: Sequence[Mapping[str, QTensor]], options: Any
    ) -> Read:
        """The layer: with the file's codes if x is float, in float32 if everything is integer."""
        if not self.has(0):
            raise FormatError(f"{self.where}: expected an input, got none")
        layer = float_layer(self.where, family, directions, self.batch_first, options)
        given = self.graph.tensors[self.operator.inputs[0]].type
        if given != "float32":
            return Read(layer, "integer")
        if not any(codes):
            return Read(layer, "float32")
        named = {
            name + suffix: tensor
            for suffix, each in zip(("_l0", "_l0_reverse"), codes)
            for name, tensor in each.items()
        }
        return Read(quantized_layer(self.where, layer, named), "int8")


def _rnn(read: _Reader) -> Read:
    """UNIDIRECTIONAL_SEQUENCE_RNN: x, W, R, b, h."""
    direction, codes = _rnn_direction(read, 1, "")
    return read.made("RNN", [direction], [codes], _rnn_options(read))


def _rnn_pair(read: _Reader) -> Read:
    """BIDIRECTIONAL_SEQUENCE_RNN: x, W, R, b and h forwards, the same backwards, an auxiliary x and its weights."""
    read.expect_none((9, 10, 11), "auxiliary input")
    both = [_rnn_direction(read, base, name) for base, name in ((1, "forward "), (5, "backward "))]
    return read.made("RNN", [each for each, _ in both], [codes for _, codes in both], _rnn_options(read))


def _rnn_options(read: _Reader) -> dict[str, Any]:
    function = read.function()
    if function in ("tanh", "relu"):
        return {"nonlinearity": function}
    return {"activations": (function,)}


def _rnn_direction(read: _Reader, base: int, name: str) -> tuple[Direction, dict[str, QTensor]]:
    hidden = read.weight(base + 1, f"{name}recurrent weights", (None, None)).array.shape[0]
    recurrent = read.weight(base + 1, f"{name}recurrent weights", (hidden, hidden))
    weights = read.weight(base, f"{name}weights", (hidden, None))
    bias = read.vector(base + 2, f"{name}bias", hidden)
    codes = _codes(read, {"weight_ih": [weights], "weight_hh": [recurrent]})
    return Direction(weights.array, recurrent.array, bias, np.zeros_like(bias)), codes


def _lstm(read: _Reader) -> Read:
    """UNIDIRECTIONAL_SEQUENCE_LSTM: x, 17 weights, h and c, and the gains of normalized gates."""
    if read.operator.options["diagonal_recurrent_tensors"]:
        raise FormatError(f"{read.where}: diagonal_recurrent_tensors: expected False, got True")
    direction, codes = _lstm_direction(read, 1, "", 20)
    return read.made("LSTM", [direction], [codes], _lstm_options(read, direction, 1))


def _lstm_pair(read: _Reader) -> Read:
    """BIDIRECTIONAL_SEQUENCE_LSTM: x, 17 weights forwards and backwards, four states, an auxiliary x, its weights."""
    read.expect_none(range(39, 48), "auxiliary input")
    bases = (1, 18)
    both = [_lstm_direction(read, base, name, None) for base, name in zip(bases, ("forward ", "backward "))]
    directions, codes = [each for each, _ in both], [each for _, each in both]
    first, other = (_lstm_options(read, each, base) for each, base in zip(directions, bases))
    if first != other:
        raise FormatError(f"{read.where}: expected the same options in both directions, got {first} and {other}")
    return read.made("LSTM", directions, codes, first)


def _lstm_options(read: _Reader, direction: Direction, base: int) -> dict[str, Any]:
    given, function = read.operator.options, read.function()
    options: dict[str, Any] = {}
    if function != "tanh":
        options["activations"] = ("sigmoid", function, function)
    if given["cell_clip"]:
        options["cell_clip"] = given["cell_clip"]
    if given["proj_clip"] and direction.weight_hr is not None:
        options["proj_clip"] = given["proj_clip"]
    if direction.weight_ch is not None:
        options["peepholes"] = True
    if direction.weight_ln is not None:
        options["layer_norm"] = 1e-8
    if not read.has(base):
        options["input_forget"] = True
    return options


def _lstm_direction(read: _Reader, base: int, name: str, norms: int | None) -> tuple[Direction, dict[str, QTensor]]:
    """The weights from input `base` on; the gains of normalized gates are at `norms`, if the operator has them.

    Without an input gate, i is 1 - f. As f = sigmoid(a) = 1 - sigmoid(-a), the layer has i = sigmoid(-a) and f = 1 - i.
    """
    coupled = not read.has(base)
    hidden = read.weight(base + 1, f"{name}input to forget weights", (None, None)).array.shape[0]
    inputs = _gate_weights(read, base, f"{name}input to", (hidden, None), coupled)
    columns = read.weight(base + 5, f"{name}recurrent to forget weights", (hidden, None)).array.shape[1]
    recurrent = _gate_weights(read, base + 4, f"{name}recurrent to", (hidden, columns), coupled)
    biases = [read.vector(base + 11 + gate, f"{name}{_GATES[gate]} bias", hidden) for gate in _present(coupled)]
    if coupled:
        biases.insert(0, -biases[0])
    parts: dict[str, Any] = {"weight_ih": inputs, "weight_hh": recurrent}
    own: dict[str, Any] = {}
    if norms is not None and read.has(norms + 1):
        gains = [read.vector(norms + gate, f"{_GATES[gate]} layer norm", hidden) for gate in _present(coupled)]
        own["weight_ln"] = np.stack([gains[0], *gains] if coupled else gains)
        own["bias_ln"] = np.stack(biases)
    else:
        own["bias_ih"] = np.concatenate(biases)
        own["bias_hh"] = np.zeros_like(own["bias_ih"])
    if read.has(base + 9) or read.has(base + 10):
        own["weight_ch"] = _peepholes(read, base + 8, name, hidden, coupled)
    if read.has(base + 15):
        projection = read.weight(base + 15, f"{name}projection weights", (columns, hidden))
        own["weight_hr"] = projection.array
        parts["weight_hr"] = [projection]
        if read.has(base + 16) and read.vector(base + 16, f"{name}projection bias", columns).any():
            raise FormatError(f"{read.where}: {name}projection bias: expected zeros, as layers of qrnn have none")
    elif columns != hidden:
        raise FormatError(f"{read.where}: {name}projection weights: expected them, as h has {columns} units, got none")
    weights = {key: np.concatenate([each.array for each in parts[key]]) for key in ("weight_ih", "weight_hh")}
    return Direction(**weights, **own), _codes(read, parts)


def _present(coupled: bool) -> range:
    """The gates that have weights."""
    return range(1 if coupled else 0, 4)


def _gate_weights(read: _Reader, base: int, name: str, shape: tuple[int | None, ...], coupled: bool) -> list[Weight]:
    """The matrices of the four gates, i f g o; a coupled input gate gets the negated matrices of the forget gate."""
    found = [read.weight(base + gate, f"{name} {_GATES[gate]} weights", shape) for gate in _present(coupled)]
    sizes = {each.array.shape for each in found}
    if len(sizes) > 1:
        raise FormatError(f"{read.where}: {name} weights: expected one shape for all gates, got {sorted(sizes)}")
    return [_negative(found[0], read.where), *found] if coupled else found


def _negative(weight: Weight, where: str) -> Weight:
    codes = weight.codes
    if codes is None:
        return Weight(-weight.array)
    integers = codes.int_repr()
    if (integers == -128).any():
        raise FormatError(f"{where}: input to forget weights: expected codes in -127..127, got -128")
    scale = codes.q_per_channel_scales() if codes.qscheme() is per_channel_affine else codes.q_scale()
    return Weight(-weight.array, QTensor(-integers, scale))


def _peepholes(read: _Reader, base: int, name: str, hidden: int, coupled: bool) -> Any:
    """The peephole weights of i, f and o."""
    f, o = (read.vector(base + gate, f"{name}cell to {_GATES[2 * gate - 1]}", hidden) for gate in (1, 2))
    i = -f if coupled else read.vector(base, f"{name}cell to input", hidden)
    return np.stack([i, f, o])


def _codes(read: _Reader, parts: Mapping[str, Sequence[Weight]]) -> dict[str, QTensor]:
    """The codes of the matrices; empty if no part of them has codes.

    Raises
    ------
    FormatError
        If some parts have codes and others do not.
    """
    having = [each.codes is not None for weights in parts.values() for each in weights]
    if not any(having):
        return {}
    if not all(having):
        raise FormatError(f"{read.where}: weights: expected int8 with scales for all matrices or for none")
    return {name: _stacked([each.codes for each in weights if each.codes]) for name, weights in parts.items()}


def _stacked(tensors: Sequence[QTensor]) -> QTensor:
    """The rows of several matrices, each with its scale."""
    scales = [
        each.q_per_channel_scales()
        if each.qscheme() is per_channel_affine
        else np.full(each.shape[0], each.q_scale(), np.float32)
        for each in tensors
    ]
    return QTensor(np.concatenate([each.int_repr() for each in tensors]), np.concatenate(scales))


#: The function that reads each fused operator.
FUSED: Mapping[str, Callable[[_Reader], Read]] = {
    "UNIDIRECTIONAL_SEQUENCE_RNN": _rnn,
    "BIDIRECTIONAL_SEQUENCE_RNN": _rnn_pair,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm,
    "BIDIRECTIONAL_SEQUENCE_LSTM": _lstm_pair,
}
