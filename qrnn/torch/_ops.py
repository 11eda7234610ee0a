"""The torch operators ``qrnn::linear, cell, lstm_cell, sequence, lstm``.

Their arguments are plain weight, scale and bias tensors and the name of an engine, so a compiled or exported program
holds nothing but tensors; a float weight has no scale. They have no gradient. Eager calls of modules do not use them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .. import _config, _core
from .._matrices import FLOAT, Matrix, pack
from .._spec import KINDS, LayerSpec
from .._spec import Sequence as Layers
from ._calls import array_of, call, call_linear, call_sequence, result_type
from ._packed import OperatorCache

__all__ = [
    "CELL_TENSORS",
    "LAYER_ARGUMENTS",
    "beside_weights",
    "call_cell_operator",
    "call_linear_operator",
    "call_sequence_operator",
    "register",
]

_CELL_WEIGHTS = (
    "Tensor weight_ih, Tensor? weight_ih_scale, Tensor weight_hh, Tensor? weight_hh_scale, "
    "Tensor? bias_ih, Tensor? bias_hh"
)
_LAYER_WEIGHTS = (
    "Tensor? lengths, Tensor[] weights, Tensor[] scales, Tensor[] biases, str engine, "
    "int num_layers, int num_directions, bool batch_first"
)
#: The formats that matrices multiply, separated by commas, if some are not the engine's; "" means the engine's.
_FORMATS = 'str activations=""'
_SCHEMAS = (
    f"linear(Tensor input, Tensor weight, Tensor? weight_scale, Tensor? bias, str engine, {_FORMATS}) -> Tensor",
    f"cell(Tensor input, Tensor? hx, {_CELL_WEIGHTS}, str kind, str engine, {_FORMATS}) -> Tensor",
    f"lstm_cell(Tensor input, Tensor? h, Tensor? c, {_CELL_WEIGHTS}, str engine, {_FORMATS}) -> (Tensor, Tensor)",
    f"sequence(Tensor input, Tensor? hx, {_LAYER_WEIGHTS}, str kind, {_FORMATS}) -> (Tensor, Tensor)",
    f"lstm(Tensor input, Tensor? h, Tensor? c, {_LAYER_WEIGHTS}, {_FORMATS}) -> (Tensor, Tensor, Tensor)",
)


CELL_TENSORS, LAYER_ARGUMENTS = _CELL_WEIGHTS.count("Tensor"), _LAYER_WEIGHTS.count(",") + 1


# ---- the core's module of a list of tensors, made once

_known: OperatorCache[_core.Module] = OperatorCache()


def _packed(
    kind: str,
    engine: str,
    weights: Sequence[Any],
    scales: Sequence[Any],
    biases: Sequence[Any],
    activations: str,
    sequence: Layers | None = None,
) -> _core.Module:
    """The packed module for these tensors, kept as long as the first of them exists."""

    def make() -> _core.Module:
        arrays = [[None if t is None else array_of(t, "weight") for t in each] for each in (weights, scales, biases)]
        formats = activations.split(",") if activations else [""] * len(weights)
        own = [format if format not in ("", FLOAT) else None for format in formats]
        projected = sequence is not None and len(weights) == 3 * sequence.num_layers * sequence.num_directions
        sizes = weights[0].shape[1], weights[0].shape[0] // KINDS[kind].gates
        spec = LayerSpec(kind, *sizes, weights[2].shape[0] if projected else 0, sequence)
        return pack(spec, engine, _config.resolve_isa(), map(Matrix, *arrays, own))

    return _known.get((id(weights[0]), kind, engine, sequence, activations), (*weights, *scales, *biases), make)


# ---- what they compute


def _linear(input: Any, weight: Any, weight_scale: Any, bias: Any, engine: str, activations: str = "") -> Any:
    return call_linear(_packed("linear", engine, [weight], [weight_scale], [bias], activations), input)


def _packed_cell(kind: str, engine: str, weights: Sequence[Any], activations: str) -> _core.Module:
    weight_ih, scale_ih, weight_hh, scale_hh, bias_ih, bias_hh = weights
    return _packed(kind, engine, [weight_ih, weight_hh], [scale_ih, scale_hh], [bias_ih, bias_hh], activations)


def _cell(input: Any, hx: Any, *rest: Any) -> Any:
    weights, (kind, engine, *own) = rest[:CELL_TENSORS], rest[CELL_TENSORS:]
    return call(_packed_cell(kind, engine, weights, *own or ("",)), input, hx)


def _lstm_cell(input: Any, h: Any, c: Any, *rest: Any) -> Any:
    weights, (engine, *own) = rest[:CELL_TENSORS], rest[CELL_TENSORS:]
    return call(_packed_cell("lstm", engine, weights, *own or ("",)), input, None if h is None else (h, c))


def _layers(kind: str, input: Any, hx: Any, options: Sequence[Any], activations: str = "") -> Any:
    _, weights, scales, biases, engine, layers, directions, batch_first = options
    each = len(weights) // (layers * directions)
    scales, biases = beside_weights([w.dtype.is_floating_point for w in weights], scales, biases, each)
    module = _packed(kind, engine, weights, scales, biases, activations, Layers(layers, directions, batch_first))
    return call_sequence(module, input, hx, options[0])


def beside_weights(floats: Sequence[bool], scales: Any, biases: Any, each: int) -> tuple[list[Any], list[Any]]:
    """Scale and bias, or None, of every weight; a direction has `each` weights.

    The given lists leave out what does not exist: scales of weights in `floats`, all biases, or biases of projections.
    """
    scales, biases = iter(scales), iter(biases)
    return (
        [None if is_float else next(scales) for is_float in floats],
        [next(biases, None) if index % each < 2 else None for index in range(len(floats))],
    )


def _sequence(input: Any, hx: Any, *rest: Any) -> Any:
    options, (kind, *own) = rest[:LAYER_ARGUMENTS], rest[LAYER_ARGUMENTS:]
    return _layers(kind, input, hx, options, *own)


def _lstm(input: Any, h: Any, c: Any, *rest: Any) -> Any:
    options, own = rest[:LAYER_ARGUMENTS], rest[LAYER_ARGUMENTS:]
    output, state = _layers("lstm", input, None if h is None else (h, c), options, *own)
    return (output, *state)


# ---- the shapes of their results


def _new(input: Any, *shape: Any) -> Any:
    return input.new_empty(shape, dtype=result_type(input))


def _fake_linear(input: Any, weight: Any, *rest: Any) -> Any:
    torch._check(
        input.shape[-1] == weight.shape[1],
        lambda: f"input has inconsistent input_size: got {input.shape[-1]}, expected {weight.shape[1]}",
    )
    return _new(input, *input.shape[:-1], weight.shape[0])


def _fake_cell(input: Any, hx: Any, weight_ih: Any, scale: Any, weight_hh: Any, *rest: Any) -> Any:
    _fake_linear(input, weight_ih)
    return _new(input, *input.shape[:-1], weight_hh.shape[1])


def _fake_lstm_cell(input: Any, h: Any, c: Any, weight_ih: Any, scale: Any, weight_hh: Any, *rest: Any) -> Any:
    state = _fake_cell(input, h, weight_ih, scale, weight_hh)
    return state, _new(input, *state.shape)


def _fake_layers(kind: str, input: Any, options: tuple[Any, ...]) -> tuple[Any, Any, Any]:
    _, weights, _, _, _, layers, directions, batch_first = options[:LAYER_ARGUMENTS]
    _fake_linear(input, weights[0])
    hidden, state = weights[0].shape[0] // KINDS[kind].gates, weights[1].shape[1]
    batch = () if input.dim() == 2 else (input.shape[0 if batch_first else 1],)
    output = _new(input, *input.shape[:-1], directions * state)
    h_n = _new(input, layers * directions, *batch, state)
    return output, h_n, _new(input, layers * directions, *batch, hidden)


def _fake_sequence(input: Any, hx: Any, *rest: Any) -> Any:
    return _fake_layers(rest[LAYER_ARGUMENTS], input, rest)[:2]


def _fake_lstm(input: Any, h: Any, c: Any, *rest: Any) -> Any:
    return _fake_layers("lstm", input, rest)


# ---- calling them


def call_linear_operator(layer: Any, input: Any) -> Any:
    """Call a linear layer by its operator."""
    (weight,), (scale,), (bias,) = layer._tensors()
    return torch.ops.qrnn.linear(input, weight, scale, bias, layer.engine, _formats_of(layer))


def _formats_of(layer: Any) -> str:
    """The argument ``activations`` for a layer."""
    own = layer._precisions
    return ",".join([own.get(weight, "") for weight, _, _ in layer._names]) if own else ""


def call_cell_operator(layer: Any, input: Any, hx: Any) -> Any:
    """Call a cell by its operator."""
    (weight_ih, weight_hh), (scale_ih, scale_hh), (bias_ih, bias_hh) = layer._tensors()
    spec, engine, activations = layer._spec, layer.engine, _formats_of(layer)
    rest = (weight_ih, scale_ih, weight_hh, scale_hh, bias_ih, bias_hh)
    if spec.row.states == 2:
        h, c = (None, None) if hx is None else hx
        return torch.ops.qrnn.lstm_cell(input, h, c, *rest, engine, activations)
    return torch.ops.qrnn.cell(input, hx, *rest, spec.kind, engine, activations)


def call_sequence_operator(layer: Any, input: Any, hx: Any, lengths: Any) -> Any:
    """Call a layer over sequences by its operator."""
    spec, engine, activations = layer._spec, layer.engine, _formats_of(layer)
    weights, scales, biases = layer._tensors()
    if lengths is not None and not isinstance(lengths, torch.Tensor):
        lengths = torch.tensor(lengths, device="cpu")
    scales, biases = ([each for each in given if each is not None] for given in (scales, biases))
    assert spec.sequence is not None
    layers, directions, batch_first = spec.sequence
    rest = (lengths, weights, scales, biases, engine, layers, directions, batch_first)
    if spec.row.states == 2:
        h, c = (None, None) if hx is None else hx
        output, h_n, c_n = torch.ops.qrnn.lstm(input, h, c, *rest, activations)
        return output, (h_n, c_n)
    return torch.ops.qrnn.sequence(input, hx, *rest, spec.kind, activations)


_library: Any = None


def register() -> None:
    """Define the operators, once in a process."""
    global _library
    if _library is not None:
        return
    _library = torch.library.Library("qrnn", "DEF")
    for schema in _SCHEMAS:
        name = schema.partition("(")[0]
        _library.define(schema)
        _library.impl(name, globals()[f"_{name}"], "CPU")
        _library.impl(name, torch.library.fallthrough_kernel, "Autograd")
        torch.library.register_fake(f"qrnn::{name}", globals()[f"_fake_{name}"], lib=_library)
