"""Functions of ONNX, written in onnxscript's part of Python: the arithmetic of engines and the steps of layers."""

# mypy: ignore-errors
# which mypy cannot read.

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import onnxscript
from onnxscript import FLOAT
from onnxscript import opset18 as op

__all__ = ["ENGINES", "FUNCTIONS", "Engine", "functions_of"]


def _script_of(own: Any) -> Callable[[Any], Any]:
    """Makes a Python function one of the model, in the domain `own`; exporting writes it out where it is called."""
    return onnxscript.script(own, default_opset=op)


_script = _script_of(onnxscript.values.Opset("qrnn", 1))


@_script
def _product(v, codes, offset, sums, scale, bias) -> FLOAT[...]:
    """Equations (2) to (5) of csrc/README.md: a row's range, its codes, their product, float again."""
    zero = op.Constant(value_float=0.0)
    most = op.Constant(value_float=255.0)
    last = op.Constant(value_ints=[-1])
    part = op.Constant(value_float=0.003921568859368563)  # 1 / 255
    least = op.Constant(value_float=1.1754943508222875e-38)
    one = op.Constant(value_float=1.0)
    low = op.Min(zero, op.ReduceMin(v, last, keepdims=1))
    high = op.Max(zero, op.ReduceMax(v, last, keepdims=1))
    s = op.Sub(op.Mul(high, part), op.Mul(low, part))
    s = op.Where(op.Less(s, least), one, s)
    inverse = op.Div(one, s)
    zero_point = op.Clip(op.Round(op.Mul(op.Neg(low), inverse)), zero, most)
    q = op.Clip(op.Add(op.Round(op.Mul(v, inverse)), zero_point), zero, most)
    total = op.MatMulInteger(op.Cast(q, to=2), codes, None, offset)
    total = op.Sub(total, op.Mul(op.Cast(zero_point, to=6), sums))
    y = op.Mul(op.Cast(op.Cast(total, to=1), to=11), op.Cast(op.Mul(s, scale), to=11))
    return op.Cast(op.Add(y, op.Cast(bias, to=11)), to=1)


@_script
def _product13(v, codes, offset, sums, scale, bias) -> FLOAT[...]:
    """The same of engine qrnn13, whose codes are two planes of 7 bits: a sum of products needs more than 32."""
    last = op.Constant(value_ints=[-1])
    least = op.Constant(value_float=1.1754943508222875e-38)
    one = op.Constant(value_float=1.0)
    most = op.Constant(value_float=4095.0)
    part = op.Constant(value_float=0.00024420025874860585)  # 1 / 4095
    middle = op.Constant(value_float=4096.0)
    bits = op.Constant(value_float=128.0)
    s = op.Mul(op.ReduceMax(op.Abs(v), last, keepdims=1), part)
    s = op.Where(op.Less(s, least), one, s)
    q = op.Add(op.Clip(op.Round(op.Mul(v, op.Div(one, s))), op.Neg(most), most), middle)
    high = op.Floor(op.Div(q, bits))
    low = op.Sub(q, op.Mul(high, bits))
    high = op.Cast(op.MatMulInteger(op.Cast(high, to=2), codes, None, offset), to=11)
    low = op.Cast(op.MatMulInteger(op.Cast(low, to=2), codes, None, offset), to=11)
    total = op.Add(op.Mul(high, op.Cast(bits, to=11)), low)
    total = op.Sub(total, op.Mul(op.Cast(middle, to=11), op.Cast(sums, to=11)))
    y = op.Mul(op.Cast(op.Cast(total, to=1), to=11), op.Cast(op.Mul(s, scale), to=11))
    return op.Cast(op.Add(y, op.Cast(bias, to=11)), to=1)


@_script
def _rnn_tanh(y_ih, y_hh) -> FLOAT[...]:
    return op.Tanh(op.Add(y_hh, y_ih))


@_script
def _rnn_relu(y_ih, y_hh) -> FLOAT[...]:
    return op.Relu(op.Add(y_hh, y_ih))


@_script
def _gru(y_ih, y_hh, h) -> FLOAT[...]:
    xr, xz, xn = op.Split(y_ih, axis=-1, num_outputs=3)
    hr, hz, hn = op.Split(y_hh, axis=-1, num_outputs=3)
    r = op.Sigmoid(op.Add(hr, xr))
    z = op.Sigmoid(op.Add(hz, xz))
    n = op.Tanh(op.Add(op.Mul(r, hn), xn))
    return op.Add(op.Mul(z, op.Sub(h, n)), n)


@_script
def _lstm(y_ih, y_hh, c) -> tuple[FLOAT[...], FLOAT[...]]:
    i, f, g, o = op.Split(op.Add(y_hh, y_ih), axis=-1, num_outputs=4)
    kept = op.Mul(op.Sigmoid(f), c)
    c_new = op.Add(kept, op.Mul(op.Sigmoid(i), op.Tanh(g)))
    return op.Mul(op.Sigmoid(o), op.Tanh(c_new)), c_new


FUNCTIONS = (_rnn_tanh, _rnn_relu, _gru, _lstm)


# ---- what the operators become


class _Kind(NamedTuple):
    """The functions that layers of a kind become."""

    step: Callable[..., Any]  # of both products, h and, where there is one, c: the next state
    steps: Callable[..., Any]  # a layer in one direction: outputs and the last state
    projected: Callable[..., Any] | None = None  # likewise, with a projection


class Engine(NamedTuple):
    """The functions that layers of an engine become, where standard operators have its arithmetic."""

    product: Callable[..., Any]
    kinds: dict[str, _Kind]
    functions: tuple[Any, ...]


def _engine(name: str, product: Any) -> Engine:
    """Those around a product: the products of x, (time, batch, rows), go in step by step."""
    script = _script_of(onnxscript.values.Opset(name, 1))

    @script
    def rnn_tanh_steps(y, h, codes, offset, sums, scale, bias) -> tuple[FLOAT[...], FLOAT[...]]:
        @onnxscript.graph()
        def body(before, y_t):
            after = _rnn_tanh(y_t, product(before, codes, offset, sums, scale, bias))
            output = op.Identity(after)
            return after, output

        h_n, outputs = op.Scan(h, y, body=body, num_scan_inputs=1)
        return outputs, h_n

    @script
    def rnn_relu_steps(y, h, codes, offset, sums, scale, bias) -> tuple[FLOAT[...], FLOAT[...]]:
        @onnxscript.graph()
        def body(before, y_t):
            after = _rnn_relu(y_t, product(before, codes, offset, sums, scale, bias))
            output = op.Identity(after)
            return after, output

        h_n, outputs = op.Scan(h, y, body=body, num_scan_inputs=1)
        return outputs, h_n

    @script
    def gru_steps(y, h, codes, offset, sums, scale, bias) -> tuple[FLOAT[...], FLOAT[...]]:
        @onnxscript.graph()
        def body(before, y_t):
            after = _gru(y_t, product(before, codes, offset, sums, scale, bias), before)
            output = op.Identity(after)
            return after, output

        h_n, outputs = op.Scan(h, y, body=body, num_scan_inputs=1)
        return outputs, h_n

    @script
    def lstm_steps(y, h, c, codes, offset, sums, scale, bias) -> tuple[FLOAT[...], FLOAT[...], FLOAT[...]]:
        @onnxscript.graph()
        def body(h_before, c_before, y_t):
            h_after, c_after = _lstm(y_t, product(h_before, codes, offset, sums, scale, bias), c_before)
            output = op.Identity(h_after)
            return h_after, c_after, output

        h_n, c_n, outputs = op.Scan(h, c, y, body=body, num_scan_inputs=1)
        return outputs, h_n, c_n

    @script
    def projected_steps(
        y, h, c, codes, offset, sums, scale, bias, p_codes, p_offset, p_sums, p_scale, p_bias
    ) -> tuple[FLOAT[...], FLOAT[...], FLOAT[...]]:
        @onnxscript.graph()
        def body(h_before, c_before, y_t):
            wide, c_after = _lstm(y_t, product(h_before, codes, offset, sums, scale, bias), c_before)
            h_after = product(wide, p_codes, p_offset, p_sums, p_scale, p_bias)
            output = op.Identity(h_after)
            return h_after, c_after, output

        h_n, c_n, outputs = op.Scan(h, c, y, body=body, num_scan_inputs=1)
        return outputs, h_n, c_n

    kinds = {
        "rnn_tanh": _Kind(lambda y_ih, y_hh, h: _rnn_tanh(y_ih, y_hh), rnn_tanh_steps),
        "rnn_relu": _Kind(lambda y_ih, y_hh, h: _rnn_relu(y_ih, y_hh), rnn_relu_steps),
        "lstm": _Kind(lambda y_ih, y_hh, h, c: _lstm(y_ih, y_hh, c), lstm_steps, projected_steps),
        "gru": _Kind(_gru, gru_steps),
    }
    functions = (product, rnn_tanh_steps, rnn_relu_steps, gru_steps, lstm_steps, projected_steps)
    return Engine(product, kinds, functions)


ENGINES = {"qrnn": _engine("qrnn", _product), "qrnn13": _engine("qrnn13", _product13)}


def functions_of(engine: str) -> Engine:
    if engine not in ENGINES:
        known = ", ".join(map(repr, ENGINES))
        raise ValueError(f"engine: only modules of engine {known} become ONNX operators, got {engine!r}")
    return ENGINES[engine]
