"""Export to ONNX: our layers as standard operators that keep the arithmetic of engines ``qrnn`` and ``qrnn13``.

Needs onnxscript and onnx. Sums of products are exact in MatMulInteger, whose weights are
stored with an offset of 128: with signed ones ONNX Runtime saturates on CPUs without VNNI. The fused
multiply-add of the engine is a product and a sum in float64, rounded once. A weight that stays float is a MatMul, whose
sums have the order of whoever computes it.
"""

# mypy: ignore-errors
# Onnxscript's operators have no types.

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

try:
    import onnx_ir
    import onnx_ir.passes.common
    from onnxscript import opset18 as op
except ImportError as error:
    raise ImportError("qrnn.torch.onnx needs onnxscript and onnx: pip install onnxscript onnx") from error

from .._matrices import FLOAT
from .._spec import ENGINES, KINDS
from ._onnx_functions import DOMAIN, OWN_FUNCTIONS, functions_of
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
    """``torch.onnx.export`` of a model that holds modules of ``qrnn.torch``.

    Parameters
    ----------
    model : torch.nn.Module or torch.export.ExportedProgram
        Its quantized modules must be of engine ``qrnn`` or ``qrnn13``; single weights may stay float.
    args : tuple
        Example inputs.
    f : path, optional
        Where to write the file.
    external_data : bool
        Whether weights go to a file of their own beside it.
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
        program = torch.onnx.export(model, args, dynamo=True, custom_translation_table=table, **keywords)
    assert program is not None
    used = {node.domain for node in program.model.graph.all_nodes()}
    for function in OWN_FUNCTIONS:  # the exporter knows only those that are called outside of loops
        if function.opset.domain not in (*used, DOMAIN):
            continue
        known = onnx_ir.serde.deserialize_function(function.to_function_proto())
        known.opset_imports[""] = program.model.opset_imports[""]  # its operators have not changed since 18
        program.model.functions[known.identifier()] = known
    onnx_ir.passes.common.InlinePass()(program.model)
    onnx_ir.passes.common.RemoveUnusedNodesPass()(program.model)
    if f is not None:
        program.save(f, external_data=external_data)
    return program


def translations() -> dict[Any, Callable[..., Any]]:
    """What each operator of ``torch.ops.qrnn`` becomes: for ``custom_translation_table``."""
    ops = torch.ops.qrnn
    return {
        ops.linear.default: _in_float32(_linear, 0),
        ops.cell.default: _in_float32(_cell, 1),
        ops.lstm_cell.default: _in_float32(_lstm_cell, 2),
        ops.sequence.default: _in_float32(_sequence, 1),
        ops.lstm.default: _in_float32(_lstm_sequence, 2),
    }


def _in_float32(function: Callable[..., Any], states: int) -> Callable[..., Any]:
    """`function` of an input and `states` states of any type; its results have the input's, as `result_type` says."""

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


def _ints(*values: int) -> Any:
    return op.Constant(value_ints=list(values))


class _Matrix(NamedTuple):
    """A weight with what belongs to it, as an operator has them."""

    weight: Any
    scale: Any
    bias: Any
    format: str  # of what it multiplies


def _matrices(weights: Any, scales: Any, biases: Any, engine: str, activations: str) -> list[_Matrix]:
    """The matrices of an operator's arguments; a float weight has no scale."""
    own = activations.split(",") if activations else [""] * len(weights)
    formats = [each or ENGINES[engine].activations for each in own]
    return [_Matrix(*each) for each in zip(weights, scales, biases, formats, strict=True)]


def _weights(matrix: _Matrix) -> tuple[Any, ...]:
    """What a product takes of a matrix: columns of codes + 128, the 128, sums of rows, scales, bias."""
    codes, scale, bias, format = matrix
    bias = op.Constant(value_float=-0.0) if bias is None else bias  # -0 changes no float
    if format == FLOAT:
        nothing = op.Constant(value_float=0.0)
        return op.Transpose(codes, perm=[1, 0]), nothing, nothing, nothing, bias
    wide = op.Transpose(op.Cast(codes, to=6), perm=[1, 0])
    offset = op.Constant(value_int=128)
    shifted = op.Cast(op.Add(wide, op.Cast(offset, to=6)), to=2)
    sums = op.ReduceSum(wide, _ints(0), keepdims=0)
    return shifted, op.Cast(offset, to=2), sums, scale, bias


def _zeros(input: Any, columns: int) -> Any:
    """A state of zeros for each row of `input`."""
    rows = op.Shape(input, start=0, end=-1)
    return op.Expand(op.Constant(value_float=0.0), op.Concat(rows, _ints(columns), axis=0))


def _linear(input: Any, codes: Any, scale: Any, bias: Any, engine: str, activations: str = "") -> Any:
    return _product(input, _matrices([codes], [scale], [bias], engine, activations)[0], engine)


def _product(input: Any, matrix: _Matrix, engine: str) -> Any:
    """The product of `input` and a matrix, which may have no columns."""
    product = functions_of(matrix.format, engine).product
    if matrix.weight.shape[1] > 0:
        return product(input, *_weights(matrix))
    y = _zeros(input, matrix.weight.shape[0])  # onnxruntime's MatMulInteger returns memory here that nobody wrote
    return y if matrix.bias is None else op.Add(y, matrix.bias)


def _step(kind: str, engine: str, input: Any, state: tuple[Any, ...], weights: Any, activations: str) -> Any:
    """A cell: the next state."""
    weight_ih, scale_ih, weight_hh, scale_hh, bias_ih, bias_hh = weights
    ih, hh = _matrices((weight_ih, weight_hh), (scale_ih, scale_hh), (bias_ih, bias_hh), engine, activations)
    if state[0] is None:
        state = (_zeros(input, weight_hh.shape[1]),) * len(state)
    functions = functions_of(hh.format, engine)
    return functions.kinds[kind].step(_product(input, ih, engine), functions.product(state[0], *_weights(hh)), *state)


def _cell(input: Any, hx: Any, *rest: Any) -> Any:
    weights, (kind, engine, *own) = rest[:CELL_TENSORS], rest[CELL_TENSORS:]
    return _step(kind, engine, input, (hx,), weights, *own or ("",))


def _lstm_cell(input: Any, h: Any, c: Any, *rest: Any) -> Any:
    weights, (engine, *own) = rest[:CELL_TENSORS], rest[CELL_TENSORS:]
    return _step("lstm", engine, input, (h, c), weights, *own or ("",))


def _layers(
    kind: str, input: Any, state: tuple[Any, ...], options: tuple[Any, ...], activations: str = ""
) -> tuple[Any, ...]:
    """All layers: outputs, and the last states."""
    lengths, weights, scales, biases, engine, layers, directions, batch_first = options
    if lengths is not None:
        raise ValueError("lengths: sequences of different lengths do not become ONNX operators")
    batched, per_direction = len(input.shape) == 3, len(weights) // (layers * directions)
    scales, biases = beside_weights([weight.dtype == _FLOAT for weight in weights], scales, biases, per_direction)
    matrices = _matrices(weights, scales, biases, engine, activations)
    x = input if batched else op.Unsqueeze(input, _ints(1))
    x = op.Transpose(x, perm=[1, 0, 2]) if batched and batch_first else x
    last: list[tuple[Any, ...]] = []
    for _ in range(layers):
        outputs = []
        for direction in range(directions):
            index = len(last)
            own = matrices[index * per_direction : (index + 1) * per_direction]
            first = _first_state(kind, x, state, weights, index, batched)
            output, *end = _direction(kind, engine, x, first, own, direction == 1)
            outputs.append(output)
            last.append(tuple(end))
        x = op.Concat(*outputs, axis=-1) if directions == 2 else outputs[0]
    x = op.Transpose(x, perm=[1, 0, 2]) if batched and batch_first else x
    x = x if batched else op.Squeeze(x, _ints(1))
    ends = [op.Concat(*(op.Unsqueeze(h, _ints(0)) for h in each), axis=0) for each in zip(*last, strict=True)]
    return (x, *(end if batched else op.Squeeze(end, _ints(1)) for end in ends))


def _first_state(kind: str, x: Any, state: Any, weights: Any, index: int, batched: bool) -> list[Any]:
    """The first state of a layer in one direction: (batch, n) each."""
    if state[0] is None:
        step = op.Gather(x, op.Constant(value_int=0), axis=0)
        sizes = [weights[1].shape[1], weights[0].shape[0] // KINDS[kind].gates]
        return [_zeros(step, n) for n in sizes[: len(state)]]
    picked = [op.Gather(each, op.Constant(value_int=index), axis=0) for each in state]
    return picked if batched else [op.Unsqueeze(each, _ints(0)) for each in picked]


def _direction(kind: str, engine: str, x: Any, first: list[Any], matrices: list[_Matrix], reverse: bool) -> Any:
    """A layer in one direction: outputs and last state."""
    ih, hh, *projection = matrices
    y = functions_of(ih.format, engine).product(x, *_weights(ih))
    y = _reversed(y) if reverse else y
    becomes = functions_of(hh.format, engine).kinds[kind]
    if projection:
        functions_of(projection[0].format, engine)  # which says what is not there
    steps = becomes.projected[projection[0].format] if projection else becomes.steps
    output, *end = steps(y, *first, *(part for matrix in (hh, *projection) for part in _weights(matrix)))
    return (_reversed(output) if reverse else output, *end)


def _reversed(y: Any) -> Any:
    """`y` with its first axis backwards."""
    return op.Slice(y, _ints(-1), _ints(-(2**62)), _ints(0), _ints(-1))


def _sequence(input: Any, hx: Any, *rest: Any) -> Any:
    options, (kind, *own) = rest[:LAYER_ARGUMENTS], rest[LAYER_ARGUMENTS:]
    return _layers(kind, input, (hx,), options, *own)


def _lstm_sequence(input: Any, h: Any, c: Any, *rest: Any) -> Any:
    return _layers("lstm", input, (h, c), rest[:LAYER_ARGUMENTS], *rest[LAYER_ARGUMENTS:])
