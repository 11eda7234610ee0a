"""Export to ONNX: our layers as standard operators that keep the arithmetic of engine ``qrnn``.

Needs the extra ``[onnx]``: onnxscript and onnx. Sums of products are exact in MatMulInteger, whose weights are
stored with an offset of 128: with signed ones ONNX Runtime saturates on CPUs without VNNI. The fused
multiply-add of the engine is a product and a sum in float64, rounded once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

try:
    import onnxscript
    from onnxscript import opset18 as op
except ImportError as error:
    raise ImportError(
        "qrnn.torch.onnx needs onnxscript and onnx: pip install 'quantized-rnn[onnx]'"
    ) from error

__all__ = ["export", "translations"]

_FLOAT, _DOUBLE, _UINT8, _INT32 = 1, 11, 2, 6  # ONNX's numbers of element types
_TINY = float(np.finfo(np.float32).tiny)
_STEP = float(np.float32(1) / np.float32(255))


def export(model: torch.nn.Module, args: tuple[Any, ...] = (), f: Any = None, **keywords: Any) -> Any:
    """``torch.onnx.export`` of a model that holds modules of ``qrnn.torch``.

    Parameters
    ----------
    model : torch.nn.Module or torch.export.ExportedProgram
        Its quantised modules must be of engine ``qrnn``.
    args : tuple
        Example inputs.
    f : path, optional
        Where to write the file.
    **keywords
        Those of ``torch.onnx.export``: ``dynamic_shapes``, ``input_names``, ``kwargs`` and so on.

    Returns
    -------
    torch.onnx.ONNXProgram

    Raises
    ------
    ImportError
        If onnxscript is not installed (when this module is imported).
    torch.onnx.OnnxExporterError
        If a module is of another engine, among others.

    Examples
    --------
    >>> import torch, qrnn.torch, qrnn.torch.onnx
    >>> model = qrnn.torch.quantize_dynamic(torch.nn.Sequential(torch.nn.RNNCell(4, 3)))
    >>> program = qrnn.torch.onnx.export(model, (torch.ones(2, 4),))
    >>> "MatMulInteger" in {node.op_type for node in program.model.graph.all_nodes()}
    True
    """
    table = {**translations(), **keywords.pop("custom_translation_table", {})}
    keywords.setdefault("verbose", False)
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning):  # of PyTorch's exporter, about itself
            warnings.simplefilter("ignore", category)
        return torch.onnx.export(model, args, f, dynamo=True, custom_translation_table=table, **keywords)


def translations() -> dict[Any, Callable[..., Any]]:
    """What each operator of ``torch.ops.qrnn`` becomes: for ``custom_translation_table``."""
    ops = torch.ops.qrnn
    return {
        ops.linear.default: _linear,
        ops.cell.default: _cell,
        ops.lstm_cell.default: _lstm_cell,
        ops.sequence.default: _sequence,
        ops.lstm.default: _lstm,
    }


# ---- constants


def _f(value: float) -> Any:
    return op.Constant(value_float=value)


def _i(*values: int) -> Any:
    return op.Constant(value_ints=list(values))


# ---- one product


def _expect_engine(engine: str) -> None:
    if engine != "qrnn":
        raise ValueError(f"engine: only modules of engine 'qrnn' become ONNX operators, got {engine!r}")


def _quantise(v: Any) -> tuple[Any, Any, Any]:
    """Codes, scale and zero point of each row: equations (2) and (3) of csrc/README.md."""
    last, zero = _i(-1), _f(0.0)
    low = op.Min(zero, op.ReduceMin(v, last, keepdims=1))
    high = op.Max(zero, op.ReduceMax(v, last, keepdims=1))
    scale = op.Sub(op.Mul(high, _f(_STEP)), op.Mul(low, _f(_STEP)))
    scale = op.Where(op.Less(scale, _f(_TINY)), _f(1.0), scale)
    inverse = op.Div(_f(1.0), scale)
    zero_point = op.Clip(op.Round(op.Mul(op.Neg(low), inverse)), zero, _f(255.0))
    codes = op.Clip(op.Add(op.Round(op.Mul(v, inverse)), zero_point), zero, _f(255.0))
    return op.Cast(codes, to=_UINT8), scale, op.Cast(zero_point, to=_INT32)


class _Weights:
    """One matrix of codes, ready to be multiplied with."""

    def __init__(self, codes: Any, scale: Any, bias: Any) -> None:
        wide = op.Transpose(op.Cast(codes, to=_INT32), perm=[1, 0])
        offset = op.Cast(_f(128.0), to=_INT32)
        self.codes = op.Cast(op.Add(wide, offset), to=_UINT8)
        self.offset = op.Cast(offset, to=_UINT8)
        self.sums = op.ReduceSum(wide, _i(0), keepdims=1)
        self.scale, self.bias = scale, bias

    def product(self, v: Any) -> Any:
        """Equations (4) and (5)."""
        codes, scale, zero_point = _quantise(v)
        total = op.MatMulInteger(codes, self.codes, None, self.offset)
        total = op.Sub(total, op.Mul(zero_point, self.sums))
        step = op.Mul(scale, self.scale)
        y = op.Mul(op.Cast(op.Cast(total, to=_FLOAT), to=_DOUBLE), op.Cast(step, to=_DOUBLE))
        if self.bias is not None:
            y = op.Add(y, op.Cast(self.bias, to=_DOUBLE))
        return op.Cast(y, to=_FLOAT)


def _linear(input: Any, weight: Any, weight_scale: Any, bias: Any, engine: str) -> Any:
    _expect_engine(engine)
    return _Weights(weight, weight_scale, bias).product(input)


# ---- one step


def _step(kind: str, y_ih: Any, y_hh: Any, h: Any, c: Any = None) -> tuple[Any, ...]:
    """Equations (6) and (7), and those of the gates."""
    if kind in ("rnn_tanh", "rnn_relu"):
        total = op.Add(y_ih, y_hh)
        return (op.Tanh(total) if kind == "rnn_tanh" else op.Relu(total),)
    if kind == "lstm":
        i, f, g, o = op.Split(op.Add(y_hh, y_ih), axis=-1, num_outputs=4)
        c = op.Add(op.Mul(op.Sigmoid(f), c), op.Mul(op.Sigmoid(i), op.Tanh(g)))
        return op.Mul(op.Sigmoid(o), op.Tanh(c)), c
    ir, iz, i_n = op.Split(y_ih, axis=-1, num_outputs=3)
    hr, hz, h_n = op.Split(y_hh, axis=-1, num_outputs=3)
    r, z = op.Sigmoid(op.Add(hr, ir)), op.Sigmoid(op.Add(hz, iz))
    n = op.Tanh(op.Add(op.Mul(r, h_n), i_n))
    return (op.Add(op.Mul(z, op.Sub(h, n)), n),)


def _zeros(input: Any, columns: int) -> Any:
    """A state of zeros for a batch of inputs."""
    rows = op.Shape(input, start=0, end=-1)
    return op.Expand(_f(0.0), op.Concat(rows, _i(columns), axis=0))


def _one_step(kind: str, input: Any, state: Any, weights: tuple[Any, ...]) -> tuple[Any, ...]:
    weight_ih, scale_ih, weight_hh, scale_hh, bias_ih, bias_hh = weights
    if state[0] is None:
        zeros = _zeros(input, weight_hh.shape[1])
        state = tuple(zeros for _ in state)
    y_ih = _Weights(weight_ih, scale_ih, bias_ih).product(input)
    y_hh = _Weights(weight_hh, scale_hh, bias_hh).product(state[0])
    return _step(kind, y_ih, y_hh, *state)


def _cell(input: Any, hx: Any, *rest: Any) -> Any:
    *weights, kind, engine = rest
    _expect_engine(engine)
    return _one_step(kind, input, (hx,), tuple(weights))[0]


def _lstm_cell(input: Any, h: Any, c: Any, *rest: Any) -> Any:
    *weights, engine = rest
    _expect_engine(engine)
    return _one_step("lstm", input, (h, c), tuple(weights))


def _sequence(*args: Any) -> Any:
    raise NotImplementedError


def _lstm(*args: Any) -> Any:
    raise NotImplementedError
