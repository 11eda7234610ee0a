"""The torch operators ``qrnn::linear, cell, lstm_cell, sequence, lstm``.

Their arguments are plain weight, scale and bias tensors and the name of an engine, so that a compiled or
exported program holds nothing but tensors. They have no gradient. Eager calls of modules don't come here.
"""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

import torch

from ..nn.modules.layer import Matrix
from ._calls import array_of, call, call_linear, pack, state_of, to_tensors, version_of
from ._shape import Shape

__all__ = ["call_cell", "call_sequence", "register"]

_CELL_WEIGHTS = (
    "Tensor weight_ih, Tensor weight_ih_scale, Tensor weight_hh, Tensor weight_hh_scale, "
    "Tensor? bias_ih, Tensor? bias_hh"
)
_LAYER_WEIGHTS = (
    "Tensor? lengths, Tensor[] weights, Tensor[] scales, Tensor[] biases, str engine, "
    "int num_layers, int num_directions, bool batch_first"
)
_SCHEMAS = (
    "linear(Tensor input, Tensor weight, Tensor weight_scale, Tensor? bias, str engine) -> Tensor",
    f"cell(Tensor input, Tensor? hx, {_CELL_WEIGHTS}, str kind, str engine) -> Tensor",
    f"lstm_cell(Tensor input, Tensor? h, Tensor? c, {_CELL_WEIGHTS}, str engine) -> (Tensor, Tensor)",
    f"sequence(Tensor input, Tensor? hx, {_LAYER_WEIGHTS}, str kind) -> (Tensor, Tensor)",
    f"lstm(Tensor input, Tensor? h, Tensor? c, {_LAYER_WEIGHTS}) -> (Tensor, Tensor, Tensor)",
)


# ---- the core's module of a list of tensors, made once


class _Packed(NamedTuple):
    """A packed module and what it was made of."""

    what: tuple[Any, ...]
    tensors: list[tuple[Any, int | None]]  # a weak reference and the version of each
    module: Any


_known: dict[int, _Packed] = {}  # by the identity of the first tensor


def _is_of(entry: _Packed, what: tuple[Any, ...], tensors: list[Any]) -> bool:
    """Whether `entry` was made of these very tensors, unchanged since."""
    if entry.what != what or len(entry.tensors) != len(tensors):
        return False
    for (reference, version), tensor in zip(entry.tensors, tensors):
        if reference() is not tensor or (version is not None and tensor._version != version):
            return False
    return True


def _module_of(
    kind: str,
    engine: str,
    weights: list[Any],
    scales: list[Any],
    biases: list[Any],
    sequence: tuple[int, int, bool] | None = None,
) -> Any:
    """The packed module of these tensors, kept as long as the first of them lives."""
    tensors = [tensor for tensor in (*weights, *scales, *biases) if tensor is not None]
    what = (kind, engine, sequence, [bias is None for bias in biases])
    place = id(weights[0])
    entry = _known.get(place)
    if entry is not None and _is_of(entry, what, tensors):
        return entry.module
    versions = [version_of(tensor) for tensor in tensors]
    arrays = [[None if t is None else array_of(t, "weight") for t in each] for each in (weights, scales, biases)]
    module = pack(kind, engine, None, [Matrix(*each) for each in zip(*arrays, strict=True)], sequence)
    references = [weakref.ref(tensors[0], lambda _: _known.pop(place, None))]
    references += [weakref.ref(tensor) for tensor in tensors[1:]]
    _known[place] = _Packed(what, list(zip(references, versions, strict=True)), module)
    return module


# ---- what they compute


def _linear(input: Any, weight: Any, weight_scale: Any, bias: Any, engine: str) -> Any:
    module = _module_of("linear", engine, [weight], [weight_scale], [bias])
    return call_linear(module, input)


def _cell_module(kind: str, engine: str, weights: tuple[Any, ...]) -> Any:
    weight_ih, scale_ih, weight_hh, scale_hh, bias_ih, bias_hh = weights
    return _module_of(kind, engine, [weight_ih, weight_hh], [scale_ih, scale_hh], [bias_ih, bias_hh])


def _cell(input: Any, hx: Any, *rest: Any) -> Any:
    *weights, kind, engine = rest
    return call(_cell_module(kind, engine, tuple(weights)), input, hx)


def _lstm_cell(input: Any, h: Any, c: Any, *rest: Any) -> Any:
    *weights, engine = rest
    return call(_cell_module("lstm", engine, tuple(weights)), input, None if h is None else (h, c))


def _layers(kind: str, input: Any, hx: Any, options: tuple[Any, ...]) -> Any:
    lengths, weights, scales, biases, engine, layers, directions, batch_first = options
    given, per_unit = iter(biases), len(weights) // (layers * directions)
    # The list leaves out what is not there: all biases, or those of projections.
    biases = [next(given, None) if index % per_unit < 2 else None for index in range(len(weights))]
    module = _module_of(kind, engine, weights, scales, biases, (layers, directions, batch_first))
    keywords = {} if lengths is None else {"lengths": array_of(lengths, "lengths")}
    return module(array_of(input, "input"), state_of(hx), **keywords)


def _sequence(input: Any, hx: Any, *rest: Any) -> Any:
    *options, kind = rest
    return to_tensors(_layers(kind, input, hx, tuple(options)))


def _lstm(input: Any, h: Any, c: Any, *rest: Any) -> Any:
    output, state = _layers("lstm", input, None if h is None else (h, c), rest)
    return to_tensors((output, *state))


# ---- the shapes of their results


def _new(input: Any, *shape: Any) -> Any:
    return input.new_empty(shape, dtype=torch.float32)


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


def _fake_layers(input: Any, options: tuple[Any, ...], gates: int) -> tuple[Any, Any, Any]:
    _, weights, _, _, _, layers, directions, batch_first = options
    _fake_linear(input, weights[0])
    hidden, state = weights[0].shape[0] // gates, weights[1].shape[1]
    batch = () if input.dim() == 2 else (input.shape[0 if batch_first else 1],)
    output = _new(input, *input.shape[:-1], directions * state)
    h_n = _new(input, layers * directions, *batch, state)
    return output, h_n, _new(input, layers * directions, *batch, hidden)


def _fake_sequence(input: Any, hx: Any, *rest: Any) -> Any:
    *options, kind = rest
    return _fake_layers(input, tuple(options), 3 if kind == "gru" else 1)[:2]


def _fake_lstm(input: Any, h: Any, c: Any, *rest: Any) -> Any:
    return _fake_layers(input, rest, 4)


# ---- calling them


def call_cell(kind: str, engine: str, tensors: tuple[list[Any], ...], input: Any, hx: Any) -> Any:
    """A cell by its operator."""
    (weight_ih, weight_hh), (scale_ih, scale_hh), (bias_ih, bias_hh) = tensors
    rest = (weight_ih, scale_ih, weight_hh, scale_hh, bias_ih, bias_hh)
    if kind == "lstm":
        h, c = (None, None) if hx is None else hx
        return torch.ops.qrnn.lstm_cell(input, h, c, *rest, engine)
    return torch.ops.qrnn.cell(input, hx, *rest, kind, engine)


def call_sequence(shape: Shape, engine: str, tensors: tuple[list[Any], ...], input: Any, hx: Any, lengths: Any) -> Any:
    """A layer over a sequence by its operator."""
    weights, scales, biases = tensors
    if lengths is not None and not isinstance(lengths, torch.Tensor):
        lengths = torch.tensor(lengths)
    given = [bias for bias in biases if bias is not None]
    assert shape.sequence is not None
    layers, directions, batch_first = shape.sequence
    rest = (lengths, weights, scales, given, engine, layers, directions, batch_first)
    if shape.kind == "lstm":
        h, c = (None, None) if hx is None else hx
        output, h_n, c_n = torch.ops.qrnn.lstm(input, h, c, *rest)
        return output, (h_n, c_n)
    return torch.ops.qrnn.sequence(input, hx, *rest, shape.kind)


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
