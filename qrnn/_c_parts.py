"""The C code of each module of a model: constants, modules of the core, states, and statements of a step.

A part computes an output frame from an input frame, both float32. In its statements ``{x}`` and ``{y}`` are pointers
to these, which do not overlap; ``before`` and ``after`` point to the states of the stream before and after the step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from . import nn
from ._c_text import float_text
from ._conv import Conv1d
from ._linear import LinearLayer
from ._matrices import FLOAT, Matrix, packed_matrices
from ._module import Module
from ._options import Options
from ._rows import ROWS
from ._spec import LayerSpec, packed_spec

__all__ = ["MADE_IN_C", "Making", "Part", "State"]


class State(NamedTuple):
    """Numbers that a stream keeps: how many, and their values at its start, None for zeros."""

    size: int
    start: Any = None


class Making(NamedTuple):
    """A module of the core: its specification, and the names of the arrays of its weights."""

    spec: LayerSpec
    engine: str
    weights: tuple[tuple[str, Matrix], ...]


class Part(NamedTuple):
    """A module in C.

    Attributes
    ----------
    takes, gives : int or None
        The sizes of input and output frames; None if any size fits, or if the output has the size of the input.
    lines : tuple of str
        C statements with ``{x}``, ``{y}``, ``{n}`` for the size of its frame, ``{module[i]}`` for the index of its
        i-th module of the core, ``{state[i]}`` for the place of its i-th state, and ``{name}`` for the beginning of
        the names of its arrays.
    modules : tuple of Making
    states : tuple of State
    arrays : mapping of str to ndarray
        Constants, besides those of `modules`.
    result : str or None
        An expression that points to the result, if that is not ``{y}``.
    by_index : bool
        Whether it takes an int32 instead of a frame.
    """

    takes: int | None
    gives: int | None
    lines: tuple[str, ...]
    modules: tuple[Making, ...] = ()
    states: tuple[State, ...] = ()
    arrays: Mapping[str, Any] = {}
    result: str | None = None
    by_index: bool = False


def _checked(call: str) -> tuple[str, str]:
    return f"status = {call};", "if (status != QRNN_OK) return status;"


# ---- layers of the core: a module for each layer, whose single steps allocate nothing


def _linear(layer: Any) -> Part:
    spec, matrices = packed_spec(layer), packed_matrices(layer)
    making = Making(spec, layer.engine, (("weight", matrices[0]),))
    call = _checked("qrnn_linear(net->modules[{module[0]}], 1, {x}, {y})")
    return Part(spec.input_size, spec.hidden_size, call, (making,))


def _recurrent(layer: Any) -> Part:
    """A step of each layer. Its states are h and, after it, an LSTM's c."""
    spec, matrices = packed_spec(layer), packed_matrices(layer)
    own, learned = matrices[: len(matrices) - len(spec.learned)], matrices[len(matrices) - len(spec.learned) :]
    each = len(own) // len(spec.directions)
    sizes = (spec.state_size, spec.hidden_size)[: spec.row.states]
    states, makings, lines, x, place = [], [], list[str](), "{x}", 0
    for index, direction in enumerate(spec.directions):
        made = own[index * each : (index + 1) * each]
        names = (matrix.weight for matrix in direction)
        makings.append(Making(_cell_of(spec, index), layer.engine, tuple(zip(names, made, strict=True))))
        starts = [matrix.weight[index] for matrix in learned] or [None] * len(sizes)
        states += [State(size, start) for size, start in zip(sizes, starts, strict=True)]
        h, c = f"{{state[{place}]}}", f"{{state[{place + sizes[0]}]}}"
        place += sum(sizes)
        old, new = (f"{bank} + {h}, {f'{bank} + {c}' if len(sizes) == 2 else 'NULL'}" for bank in ("before", "after"))
        lines += _checked(f"qrnn_step(net->modules[{{module[{index}]}}], 1, {x}, {old}, {new})")
        x = f"(after + {h})"
    return Part(spec.input_size, spec.state_size, tuple(lines), tuple(makings), tuple(states), result=x)


def _cell_of(spec: LayerSpec, index: int) -> LayerSpec:
    """Layer `index` as a single cell; the stream keeps its states."""
    variant = None if spec.variant is None else spec.variant._replace(reverse=False, initial_states=False)
    size = spec.input_size if index == 0 else spec.state_size
    return spec._replace(input_size=size, sequence=None, dropout=0.0, variant=None if variant == Options() else variant)


def _convolution(conv: Conv1d) -> Part:
    """A causal convolution. It keeps the frames before; its product's input is gathered from them by channel."""
    reach, groups, channels = conv._reach(), conv.groups, conv.in_channels
    taps, step = conv.kernel_size[0], conv.dilation[0]
    rows, columns = conv.out_channels // groups, conv._columns
    weights = [packed_matrices(each)[0] for each in conv._packed]
    makings = [Making(packed_spec(each), FLOAT, (("weight", weight),)) for each, weight in zip(conv._packed, weights)]
    lines = [
        "{{",
        f"    float window[{channels * taps}];",
        f"    for (size_t i = 0; i < {channels}; i++) {{{{",
        f"        for (size_t k = 0; k < {taps - 1}; k++) "
        f"window[i * {taps} + k] = before[{{state[0]}} + i * {reach} + k * {step}];",
        f"        window[i * {taps} + {taps - 1}] = {{x}}[i];",
        f"        for (size_t k = 0; k + 1 < {reach}; k++) "
        f"after[{{state[0]}} + i * {reach} + k] = before[{{state[0]}} + i * {reach} + k + 1];",
        f"        after[{{state[0]}} + i * {reach} + {reach - 1}] = {{x}}[i];",
        "    }}",
    ]
    if not reach:
        lines = ["{{", "    const float *const window = {x};"]
    for group in range(groups):
        call = f"qrnn_linear(net->modules[{{module[{group}]}}], 1, window + {group * columns}, {{y}} + {group * rows})"
        lines += [f"    {line}" for line in _checked(call)]
    states = (State(channels * reach),) if reach else ()
    return Part(channels, conv.out_channels, (*lines, "}}"), tuple(makings), states)


# ---- modules that NumPy computes, element by element or over the whole frame


def _each(expression: str) -> Part:
    """An element of the result from an element of the input, ``x``."""
    line = f"for (size_t i = 0; i < {{n}}; i++) {{{{ const float x_i = {{x}}[i]; {{y}}[i] = {expression}; }}}}"
    return Part(None, None, (line,))


def _double(value: float) -> str:
    return "HUGE_VAL" if value == math.inf else "-HUGE_VAL" if value == -math.inf else repr(float(value))


def _hardtanh(module: Any) -> Part:
    low, high = (float_text(float(np.float32(each))) for each in (module.min_val, module.max_val))
    return _each(f"x_i < {low} ? {low} : x_i > {high} ? {high} : x_i")


def _softplus(module: Any) -> Part:
    beta, threshold = _double(module.beta), _double(module.threshold)
    scaled = f"(double)x_i * {beta}"
    return _each(f"{scaled} > {threshold} ? x_i : (float)(log1p(exp({scaled})) / {beta})")


def _elu(module: Any) -> Part:
    return _each(f"x_i > 0 ? x_i : (float)({_double(module.alpha)} * expm1((double)x_i))")


def _leaky(module: Any) -> Part:
    return _each(f"x_i > 0 ? x_i : {float_text(float(np.float32(module.negative_slope)))} * x_i")


def _applied(function: str) -> Part:
    return Part(None, None, _checked(f"qrnn_apply({function}, net->isa, {{n}}, {{x}}, {{y}})"))


def _softmax(module: Any) -> Part:
    lines = [
        "{{",
        "    double sum = 0, most = {x}[0];",
        "    for (size_t i = 1; i < {n}; i++) if ({x}[i] > most) most = {x}[i];",
    ]
    lines += ["    for (size_t i = 0; i < {n}; i++) sum += exp({x}[i] - most);"]
    of_one = "exp({x}[i] - most) / sum" if isinstance(module, nn.Softmax) else "{x}[i] - most - log(sum)"
    return Part(None, None, (*lines, f"    for (size_t i = 0; i < {{n}}; i++) {{y}}[i] = (float)({of_one});", "}}"))


def _layer_norm(norm: Any) -> Part:
    size = norm.normalized_shape[0]
    lines = [
        "{{",
        "    double mean = 0, variance = 0, root;",
        "    for (size_t i = 0; i < {n}; i++) mean += {x}[i];",
        "    mean /= {n};",
        "    for (size_t i = 0; i < {n}; i++) variance += ({x}[i] - mean) * ({x}[i] - mean);",
        f"    root = sqrt(variance / {{n}} + {_double(norm.eps)});",
    ]
    arrays, value = _scaled({"weight": norm.weight, "bias": norm.bias}, "({x}[i] - mean) / root")
    return Part(
        size,
        size,
        (*lines, f"    for (size_t i = 0; i < {{n}}; i++) {{y}}[i] = (float)({value});", "}}"),
        arrays=arrays,
    )


def _batch_norm(norm: Any) -> Part:
    arrays, value = _scaled({"weight": norm.weight, "bias": norm.bias}, "({x}[i] - (double){name}_mean[i]) / root")
    arrays = {"mean": norm.running_mean, "var": norm.running_var, **arrays}
    lines = (
        "for (size_t i = 0; i < {n}; i++) {{",
        f"    const double root = sqrt((double){{name}}_var[i] + {_double(norm.eps)});",
        f"    {{y}}[i] = (float)({value});",
        "}}",
    )
    return Part(norm.num_features, norm.num_features, lines, arrays=arrays)


def _scaled(given: Mapping[str, Any], value: str) -> tuple[dict[str, Any], str]:
    """Return the arrays that exist, and `value` with these applied."""
    arrays = {name: array for name, array in given.items() if array is not None}
    value = f"({value}) * {{name}}_weight[i]" if "weight" in arrays else value
    return arrays, f"{value} + {{name}}_bias[i]" if "bias" in arrays else value


def _embedding(table: Any) -> Part:
    rows, size = table.weight.shape
    lines = (
        f"if (x < 0 || x >= {rows}) return QRNN_ERR_SIZE;",
        f"memcpy({{y}}, {{name}}_weight + (size_t)x * {size}, {size} * sizeof(float));",
    )
    return Part(rows, size, lines, arrays={"weight": table.weight}, by_index=True)


_PASSED_ON = Part(None, None, (), result="{x}")

#: The functions that make the part of a module, by its class. Other classes are containers or have no C code.
MADE_IN_C: Mapping[type[Module], Callable[[Any], Part]] = {
    **{cls: _linear if issubclass(cls, LinearLayer) else _recurrent for row in ROWS for cls in row[:2]},
    nn.Conv1d: _convolution,
    nn.Identity: lambda module: _PASSED_ON,
    nn.Dropout: lambda module: _PASSED_ON,
    nn.ReLU: lambda module: _applied("QRNN_RELU"),
    nn.Tanh: lambda module: _applied("QRNN_TANH"),
    nn.Sigmoid: lambda module: _applied("QRNN_SIGMOID"),
    nn.Hardsigmoid: lambda module: _each(
        "(float)((double)x_i / 6 + 0.5 < 0 ? 0 : (double)x_i / 6 + 0.5 > 1 ? 1 : (double)x_i / 6 + 0.5)"
    ),
    nn.Hardtanh: _hardtanh,
    nn.ELU: _elu,
    nn.LeakyReLU: _leaky,
    nn.Softplus: _softplus,
    nn.Softsign: lambda module: _each("x_i / (1 + (x_i < 0 ? -x_i : x_i))"),
    nn.Softmax: _softmax,
    nn.LogSoftmax: _softmax,
    nn.LayerNorm: _layer_norm,
    nn.BatchNorm1d: _batch_norm,
    nn.Embedding: _embedding,
}
