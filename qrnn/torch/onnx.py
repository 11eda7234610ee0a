"""Export to ONNX: qrnn's layers become standard operators with the arithmetic of engines ``qrnn`` and ``qrnn13``.

It needs onnxscript and onnx. The operators of layers are defined in ``qrnn.onnx``, which exports models for NumPy.
"""

# mypy: ignore-errors
# Onnxscript's operators have no types.

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch

try:
    import onnx_ir
    import onnx_ir.passes.common
    from onnxscript import opset18 as op
except ImportError as error:
    raise ImportError("qrnn.torch.onnx needs onnxscript and onnx: pip install onnxscript onnx") from error

from .._spec import ENGINES
from ..onnx._functions import DOMAIN, OWN_FUNCTIONS
from ..onnx._translations import Weight, layers, product, step
from ._ops import CELL_TENSORS, LAYER_ARGUMENTS, beside_weights

__all__ = ["export", "translations"]

_FLOAT = onnx_ir.DataType.FLOAT
_KEPT_TYPES = (onnx_ir.DataType.DOUBLE, onnx_ir.DataType.FLOAT16, onnx_ir.DataType.BFLOAT16)


def export(
    model: torch.nn.Module,
    args: tuple[Any, ...] = (),
    f: Any = None,
    external_data: bool = True,
    **keywords: Any,
) -> Any:
    """Call ``torch.onnx.export`` for a model that holds modules of ``qrnn.torch``.

    Parameters
    ----------
    model : torch.nn.Module or torch.export.ExportedProgram
        Its quantized modules must be of engine ``qrnn`` or ``qrnn13``; single weights may stay float.
    args : tuple
        Example inputs.
    f : path, optional
        The file to write.
    external_data : bool
        Whether weights are written to a separate file beside it.
    **keywords
        Other arguments of ``torch.onnx.export``: ``dynamic_shapes``, ``input_names``, ``kwargs`` and so on.

    Returns
    -------
    torch.onnx.ONNXProgram

    Raises
    ------
    ImportError
        If onnxscript is not installed (when this module is imported).
    torch.onnx.OnnxExporterError
        If a module has another engine, or for other reasons of PyTorch's exporter.

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
        for category in (DeprecationWarning, FutureWarning):  # PyTorch's exporter warns about itself
            warnings.simplefilter("ignore", category)
        program = torch.onnx.export(model, args, dynamo=True, custom_translation_table=table, **keywords)
    assert program is not None
    used = {node.domain for node in program.model.graph.all_nodes()}
    for function in OWN_FUNCTIONS:  # the exporter finds only those that are called outside of loops
        if function.opset.domain not in (*used, DOMAIN):
            continue
        known = onnx_ir.serde.deserialize_function(function.to_function_proto())
        known.opset_imports[""] = program.model.opset_imports[""]  # the operators have not changed since version 18
        program.model.functions[known.identifier()] = known
    onnx_ir.passes.common.InlinePass()(program.model)
    onnx_ir.passes.common.RemoveUnusedNodesPass()(program.model)
    if f is not None:
        program.save(f, external_data=external_data)
    return program


def translations() -> dict[Any, Callable[..., Any]]:
    """The functions that translate each operator of ``torch.ops.qrnn``, for ``custom_translation_table``.

    Examples
    --------
    >>> import torch, qrnn.torch.onnx
    >>> torch.ops.qrnn.lstm.default in qrnn.torch.onnx.translations()
    True
    """
    ops = torch.ops.qrnn
    return {
        ops.linear.default: _in_float32(_linear, 0),
        ops.cell.default: _in_float32(_cell, 1),
        ops.lstm_cell.default: _in_float32(_lstm_cell, 2),
        ops.sequence.default: _in_float32(_sequence, 1),
        ops.lstm.default: _in_float32(_lstm_sequence, 2),
    }


def _in_float32(function: Callable[..., Any], states: int) -> Callable[..., Any]:
    """`function` for an input and `states` states of any type; results have the input's type, see `result_type`."""

    def translated(input: Any, *rest: Any) -> Any:
        results = function(*(_in_type(each, _FLOAT) for each in (input, *rest[:states])), *rest[states:])
        if input.dtype not in _KEPT_TYPES:
            return results
        many = isinstance(results, tuple)
        cast = tuple(op.Cast(each, to=input.dtype) for each in (results if many else (results,)))
        return cast if many else cast[0]

    return translated


def _in_type(value: Any, dtype: Any) -> Any:
    if value is None or value.dtype == dtype:
        return value
    cast = op.Cast(value, to=dtype)
    cast.shape = value.shape
    return cast


def _weights(weights: Any, scales: Any, biases: Any, engine: str, activations: str) -> list[Weight]:
    """The matrices in an operator's arguments; a float weight has no scale."""
    own = activations.split(",") if activations else [""] * len(weights)
    formats = [each or ENGINES[engine].activations for each in own]
    return [Weight(*each) for each in zip(weights, scales, biases, formats, strict=True)]


def _linear(input: Any, codes: Any, scale: Any, bias: Any, engine: str, activations: str = "") -> Any:
    return product(input, _weights([codes], [scale], [bias], engine, activations)[0], engine)


def _step(kind: str, engine: str, input: Any, state: tuple[Any, ...], weights: Any, activations: str) -> Any:
    """The next state of a cell."""
    weight_ih, scale_ih, weight_hh, scale_hh, bias_ih, bias_hh = weights
    both = _weights((weight_ih, weight_hh), (scale_ih, scale_hh), (bias_ih, bias_hh), engine, activations)
    return step(kind, engine, input, state, both)


def _cell(input: Any, hx: Any, *rest: Any) -> Any:
    weights, (kind, engine, *own) = rest[:CELL_TENSORS], rest[CELL_TENSORS:]
    return _step(kind, engine, input, (hx,), weights, *own or ("",))


def _lstm_cell(input: Any, h: Any, c: Any, *rest: Any) -> Any:
    weights, (engine, *own) = rest[:CELL_TENSORS], rest[CELL_TENSORS:]
    return _step("lstm", engine, input, (h, c), weights, *own or ("",))


def _layers(
    kind: str, input: Any, state: tuple[Any, ...], options: tuple[Any, ...], activations: str = ""
) -> tuple[Any, ...]:
    """The outputs and last states of all layers."""
    lengths, weights, scales, biases, engine, count, directions, batch_first = options
    if lengths is not None:
        raise ValueError("lengths: sequences of different lengths do not become ONNX operators")
    each = len(weights) // (count * directions)
    scales, biases = beside_weights([weight.dtype == _FLOAT for weight in weights], scales, biases, each)
    matrices = _weights(weights, scales, biases, engine, activations)
    by_direction = [matrices[i : i + each] for i in range(0, len(matrices), each)]
    return layers(kind, engine, input, len(input.shape) == 3, state, by_direction, directions, batch_first)


def _sequence(input: Any, hx: Any, *rest: Any) -> Any:
    options, (kind, *own) = rest[:LAYER_ARGUMENTS], rest[LAYER_ARGUMENTS:]
    return _layers(kind, input, (hx,), options, *own)


def _lstm_sequence(input: Any, h: Any, c: Any, *rest: Any) -> Any:
    return _layers("lstm", input, (h, c), rest[:LAYER_ARGUMENTS], *rest[LAYER_ARGUMENTS:])
