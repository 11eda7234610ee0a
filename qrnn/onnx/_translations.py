"""Writes layers as ONNX operators with the arithmetic of engines ``qrnn`` and ``qrnn13``, for either package.

MatMulInteger computes sums of products exactly. Its weights are stored with an offset of 128, because with signed
weights ONNX Runtime saturates on CPUs without VNNI. The fused multiply-add of the engine is a product and a sum in
float64, rounded once. A weight that stays float is a MatMul; the order of its sums is the runtime's.
"""

# mypy: ignore-errors
# Onnxscript's operators have no types.

from __future__ import annotations

from typing import Any, NamedTuple

from .._matrices import FLOAT
from .._spec import KINDS
from ._functions import functions_of, op

__all__ = ["Weight", "ints", "layers", "product", "step"]


def ints(*values: int) -> Any:
    """A constant list of integers."""
    return op.Constant(value_ints=list(values))


class Weight(NamedTuple):
    """A weight with its scale, bias and format: values of the graph that is being written."""

    weight: Any
    scale: Any
    bias: Any
    format: str  # of what it multiplies


def _parts(matrix: Weight) -> tuple[Any, ...]:
    """The arguments of a product for a matrix: columns of codes + 128, the 128, sums of rows, scales, bias."""
    codes, scale, bias, format = matrix
    bias = op.Constant(value_float=-0.0) if bias is None else bias  # -0 changes no float
    if format == FLOAT:
        nothing = op.Constant(value_float=0.0)
        return op.Transpose(codes, perm=[1, 0]), nothing, nothing, nothing, bias
    wide = op.Transpose(op.Cast(codes, to=6), perm=[1, 0])
    offset = op.Constant(value_int=128)
    shifted = op.Cast(op.Add(wide, op.Cast(offset, to=6)), to=2)
    sums = op.ReduceSum(wide, ints(0), keepdims=0)
    return shifted, op.Cast(offset, to=2), sums, scale, bias


def _zeros(input: Any, columns: int) -> Any:
    """A state of zeros for each row of `input`."""
    rows = op.Shape(input, start=0, end=-1)
    return op.Expand(op.Constant(value_float=0.0), op.Concat(rows, ints(columns), axis=0))


def product(input: Any, matrix: Weight, engine: str) -> Any:
    """The product of `input` and a matrix, which may have no columns."""
    function = functions_of(matrix.format, engine).product
    if matrix.weight.shape[1] > 0:
        return function(input, *_parts(matrix))
    y = _zeros(input, matrix.weight.shape[0])  # onnxruntime's MatMulInteger returns uninitialized memory in this case
    return y if matrix.bias is None else op.Add(y, matrix.bias)


def step(kind: str, engine: str, input: Any, state: tuple[Any, ...], both: list[Weight]) -> Any:
    """The next state of a cell with the matrices of input and state; an element None of the state means zeros."""
    ih, hh = both
    if state[0] is None:
        state = (_zeros(input, hh.weight.shape[1]),) * len(state)
    functions = functions_of(hh.format, engine)
    return functions.kinds[kind].step(product(input, ih, engine), functions.product(state[0], *_parts(hh)), *state)


def layers(
    kind: str,
    engine: str,
    input: Any,
    batched: bool,
    state: tuple[Any, ...],
    matrices: list[list[Weight]],
    directions: int,
    batch_first: bool,
) -> tuple[Any, ...]:
    """The outputs and last states of all layers; `matrices` has a list for each direction."""
    x = input if batched else op.Unsqueeze(input, ints(1))
    x = op.Transpose(x, perm=[1, 0, 2]) if batched and batch_first else x
    last: list[tuple[Any, ...]] = []
    while len(last) < len(matrices):
        outputs = []
        for direction in range(directions):
            own, index = matrices[len(last)], len(last)
            first = _first_state(kind, x, state, own, index, batched)
            output, *end = _direction(kind, engine, x, first, own, direction == 1)
            outputs.append(output)
            last.append(tuple(end))
        x = op.Concat(*outputs, axis=-1) if directions == 2 else outputs[0]
    x = op.Transpose(x, perm=[1, 0, 2]) if batched and batch_first else x
    x = x if batched else op.Squeeze(x, ints(1))
    ends = [op.Concat(*(op.Unsqueeze(h, ints(0)) for h in each), axis=0) for each in zip(*last, strict=True)]
    return (x, *(end if batched else op.Squeeze(end, ints(1)) for end in ends))


def _first_state(kind: str, x: Any, state: Any, own: list[Weight], index: int, batched: bool) -> list[Any]:
    """The first state of a layer in one direction: (batch, n) each."""
    if state[0] is None:
        step = op.Gather(x, op.Constant(value_int=0), axis=0)
        sizes = [own[1].weight.shape[1], own[0].weight.shape[0] // KINDS[kind].gates]
        return [_zeros(step, n) for n in sizes[: len(state)]]
    picked = [op.Gather(each, op.Constant(value_int=index), axis=0) for each in state]
    return picked if batched else [op.Unsqueeze(each, ints(0)) for each in picked]


def _direction(kind: str, engine: str, x: Any, first: list[Any], matrices: list[Weight], reverse: bool) -> Any:
    """The outputs and the last state of a layer in one direction."""
    ih, hh, *projection = matrices
    y = functions_of(ih.format, engine).product(x, *_parts(ih))
    y = _reversed(y) if reverse else y
    becomes = functions_of(hh.format, engine).kinds[kind]
    if projection:
        functions_of(projection[0].format, engine)  # raises for a format without functions
    steps = becomes.projected[projection[0].format] if projection else becomes.steps
    output, *end = steps(y, *first, *(part for matrix in (hh, *projection) for part in _parts(matrix)))
    return (_reversed(output) if reverse else output, *end)


def _reversed(y: Any) -> Any:
    """`y` with its first axis backwards."""
    return op.Slice(y, ints(-1), ints(-(2**62)), ints(0), ints(-1))
