"""ONNX functions, written in onnxscript's subset of Python: the arithmetic of formats and the steps of layers."""

# mypy: ignore-errors
# which mypy cannot read.

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

try:
    import onnxscript
    from onnxscript import FLOAT
    from onnxscript import opset18 as op
except ImportError as error:
    raise ImportError("writing ONNX needs onnxscript and onnx: pip install onnxscript onnx") from error

from .._matrices import FLOAT as FLOAT32
from .._spec import ENGINES

__all__ = ["DOMAIN", "OWN_FUNCTIONS", "Format", "functions_of"]


def _script_of(own: Any) -> Callable[[Any], Any]:
    """Turn a Python function into a function of the model, in the domain `own`; exporting expands its calls."""
    return onnxscript.script(own, default_opset=op)


#: The domain of functions that others call inside loops.
DOMAIN = "qrnn"
_script = _script_of(onnxscript.values.Opset(DOMAIN, 1))


@_script
def _product(v, codes, offset, sums, scale, bias) -> FLOAT[...]:
    """Equations (2) to (5) of csrc/README.md: a row's range, its codes, their product, and back to float."""
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
    """The same for engine qrnn13. Its codes are two planes of 7 bits, because whole sums need more than 32 bits."""
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
def _product_float(v, weight, offset, sums, scale, bias) -> FLOAT[...]:
    """The product of a float32 weight, whose columns are passed as `weight`; the other arguments are not used."""
    return op.Add(op.MatMul(v, weight), bias)


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


# ---- functions for layers


class _Kind(NamedTuple):
    """The functions for layers of a kind."""

    step: Callable[..., Any]  # of both products, h and, where there is one, c: the next state
    steps: Callable[..., Any]  # a layer in one direction: outputs and the last state
    projected: dict[str, Callable[..., Any]] | None = None  # likewise, with a projection, by its format


class Format(NamedTuple):
    """The functions for matrices that multiply a format; standard operators have to have its arithmetic."""

    product: Callable[..., Any]
    kinds: dict[str, _Kind]  # by that of W_hh
    functions: tuple[Any, ...]


def _format(name: str, product: Any, products: dict[str, Any]) -> Format:
    """The functions that use `product` for h; the products of x, (time, batch, rows), are taken step by step.

    `products` are the products for projections, by the names of their formats.
    """
    script = _script_of(onnxscript.values.Opset(f"{DOMAIN}.{name}", 1))

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

    projected = {other: _projected(f"{name}.{other}", product, last) for other, last in products.items()}
    kinds = {
        "rnn_tanh": _Kind(lambda y_ih, y_hh, h: _rnn_tanh(y_ih, y_hh), rnn_tanh_steps),
        "rnn_relu": _Kind(lambda y_ih, y_hh, h: _rnn_relu(y_ih, y_hh), rnn_relu_steps),
        "lstm": _Kind(lambda y_ih, y_hh, h, c: _lstm(y_ih, y_hh, c), lstm_steps, projected),
        "gru": _Kind(_gru, gru_steps),
    }
    functions = (rnn_tanh_steps, rnn_relu_steps, gru_steps, lstm_steps, *projected.values())
    return Format(product, kinds, functions)


def _projected(name: str, product: Any, last: Any) -> Any:
    """The steps of an LSTM with `product` for h and the product `last` for a projection."""
    script = _script_of(onnxscript.values.Opset(f"{DOMAIN}.{name}", 1))

    @script
    def projected_steps(
        y, h, c, codes, offset, sums, scale, bias, p_codes, p_offset, p_sums, p_scale, p_bias
    ) -> tuple[FLOAT[...], FLOAT[...], FLOAT[...]]:
        @onnxscript.graph()
        def body(h_before, c_before, y_t):
            wide, c_after = _lstm(y_t, product(h_before, codes, offset, sums, scale, bias), c_before)
            h_after = last(wide, p_codes, p_offset, p_sums, p_scale, p_bias)
            output = op.Identity(h_after)
            return h_after, c_after, output

        h_n, c_n, outputs = op.Scan(h, c, y, body=body, num_scan_inputs=1)
        return outputs, h_n, c_n

    return projected_steps


_PRODUCTS = {"u8": _product, "s13": _product13, FLOAT32: _product_float}
_FORMATS = {name: _format(name, product, _PRODUCTS) for name, product in _PRODUCTS.items()}
#: All functions; a function comes before those that call it.
OWN_FUNCTIONS = (
    *(_rnn_tanh, _rnn_relu, _gru, _lstm, *_PRODUCTS.values()),
    *(function for format in _FORMATS.values() for function in format.functions),
)


def functions_of(format: str, engine: str) -> Format:
    """The functions of a matrix that multiplies `format`, in a layer of `engine`."""
    if format not in _FORMATS:
        known = ", ".join(repr(name) for name, row in ENGINES.items() if row.quantized and row.activations in _FORMATS)
        raise ValueError(f"engine: only modules of engine {known} become ONNX operators, got {engine!r}")
    return _FORMATS[format]
