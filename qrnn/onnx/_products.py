"""Products of 8-bit codes, as ONNX Runtime's tools write them: each becomes a linear layer with the file's codes.

``DynamicQuantizeLinear`` makes codes of a value for ``MatMulInteger``, whose result is cast and multiplied by both
scales, or for ``MatMulIntegerToFloat``. ``DynamicQuantizeMatMul`` does all of this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._format_error import FormatError
from .._qtensor import QTensor
from ._nodes import Node, Unsupported
from ._scope import Op, Scope, flat

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MICROSOFT_PRODUCTS", "PRODUCTS", "with_products"]

#: Kinds of operations that are parts of a product; outside a product they count as missing.
_CODES, _SUM = "codes", "sum of codes"


# ---- the nodes


def _codes_of_value(node: Node) -> None:
    """DynamicQuantizeLinear: codes, their scale and their zero point."""
    outputs = [*node.outputs, "", ""][:3]
    node.scope.ops.append(Op(_CODES, node.inputs[:1], outputs, {"what": f"{node.where}: operator"}, node.name))


def _integers(node: Node) -> None:
    """MatMulInteger: its inputs are codes, codes of a weight, and both zero points."""
    codes = _weight(node, 1, 3)
    zero = node.inputs[2] if node.given(2) else ""
    options = {"integers": codes, "what": f"{node.where}: operator"}
    node.scope.ops.append(Op(_SUM, [node.inputs[0], zero], node.outputs[:1], options, node.name))


def _to_floats(node: Node) -> None:
    """MatMulIntegerToFloat: the inputs are codes of both, scales of both, zero points of both, and a bias."""
    codes = _weight(node, 1, 5)
    made = _made_by(node.scope.ops, _CODES).get(node.inputs[0])
    taken = [node.inputs[i] if node.given(i) else "" for i in (0, 2, 4)]
    if made is None or taken != made.outputs or "" in taken:
        raise Unsupported("codes that are not those of DynamicQuantizeLinear")
    node.scope.ops.append(_linear(node, made.inputs[0], codes, node.constant(3), 6))


def _whole(node: Node) -> None:
    """DynamicQuantizeMatMul: the inputs are a value, codes of a weight, its scale, its zero point, and a bias."""
    node.scope.ops.append(_linear(node, node.inputs[0], _weight(node, 1, 3), node.constant(2), 4))


PRODUCTS = {"DynamicQuantizeLinear": _codes_of_value, "MatMulInteger": _integers}
#: Operators of the domain com.microsoft.
MICROSOFT_PRODUCTS = {"DynamicQuantizeMatMul": _whole, "MatMulIntegerToFloat": _to_floats}


def _weight(node: Node, index: int, zero: int) -> NDArray[np.int16]:
    """The codes of a constant weight, less their zero points: (outputs, inputs)."""
    codes, zero_point = node.constant(index), node.constant(zero)
    if codes is None or (node.given(zero) and zero_point is None):
        raise Unsupported("a weight, or its zero point, that is no constant")
    if codes.ndim != 2 or codes.dtype not in (np.int8, np.uint8) or not codes.size:
        raise Unsupported(f"a weight of {codes.dtype} and shape {codes.shape}")
    node.scope.file.make(8 * codes.size)
    rows = np.ascontiguousarray(codes.T).astype(np.int16)
    if zero_point is not None:
        rows -= _of_rows(node, zero_point, len(rows)).astype(np.int16)[:, None]
    return rows


def _of_rows(node: Node, values: NDArray[Any], rows: int) -> NDArray[Any]:
    """Values for each row of a weight, from one value for all rows or one for each."""
    if values.shape not in ((), (1,), (rows,)):
        raise Unsupported(f"scales or zero points of shape {values.shape} for {rows} rows")
    return np.broadcast_to(values.reshape(-1), (rows,))


def _linear(node: Node, x: str, codes: NDArray[np.int16], scale: NDArray[Any] | None, bias_at: int) -> Op:
    bias = node.constant(bias_at)
    if scale is None or (node.given(bias_at) and bias is None):
        raise Unsupported("scales or a bias that are no constants")
    if bias is not None and (bias.shape != codes.shape[:1] or not np.isfinite(bias).all()):
        raise FormatError(f"{node.where}: expected a finite bias of shape {codes.shape[:1]}, got {bias.shape}")
    options = _options(node.where, codes, _of_rows(node, scale, len(codes)))
    return Op("linear", [x], node.outputs[:1], {**options, "bias": bias}, node.name)


def _options(where: str, codes: NDArray[np.int16], scale: NDArray[Any]) -> dict[str, Any]:
    """The weight of a linear operation, and its codes if they fit into int8 and no scale is subnormal."""
    if not np.isfinite(scale).all():
        raise FormatError(f"{where}: expected finite scales")
    scale = scale.astype(np.float32)
    with np.errstate(over="ignore"):
        weight = (codes * scale[:, None]).astype(np.float32)
    if not np.isfinite(weight).all():
        raise FormatError(f"{where}: expected scales whose products with codes are finite")
    narrow = codes.min() >= -128 and codes.max() <= 127 and scale.min() >= np.finfo(np.float32).tiny
    return {"weight": weight, "codes": QTensor(codes.astype(np.int8), scale) if narrow else None}


# ---- MatMulInteger, a cast and the scales as one


def with_products(scope: Scope) -> list[Op]:
    """The operations of a scope, with products of codes replaced by linear ones; other uses of codes are missing."""
    if not any(op.kind in (_CODES, _SUM) for op in scope.ops):
        return scope.ops
    made = _made_by(scope.ops)
    ops = [_as_linear(scope, op, made) or op for op in scope.ops]
    wanted, kept = set(scope.outputs()), list[Op]()
    for op in reversed(ops):
        parts = op.kind in (_CODES, _SUM) or (op.kind in ("cast", "mul") and _takes_codes(op, made))
        if parts and not wanted.intersection(op.outputs):
            continue
        wanted.update(flat(op.inputs))
        if op.kind in (_CODES, _SUM):
            op = Op("missing", [name for name in op.inputs if name], op.outputs, {"what": op.options["what"]}, op.name)
        kept.append(op)
    return kept[::-1]


def _made_by(ops: Sequence[Op], kind: str = "") -> dict[str, Op]:
    """The operation that computes each value."""
    return {name: op for op in ops if not kind or op.kind == kind for name in op.outputs if name}


def _takes_codes(op: Op, made: Mapping[str, Op]) -> bool:
    """Whether an operation takes codes, their scale or a sum of them."""
    return any(name in made and made[name].kind in (_CODES, _SUM) for name in flat(op.inputs))


def _as_linear(scope: Scope, op: Op, made: Mapping[str, Op]) -> Op | None:
    """Make a linear operation of the product of a sum of codes with both scales; None for other operations."""
    if op.kind != "mul" or len(op.inputs) != 2:
        return None
    for total, scales in ((op.inputs[0], op.inputs[1]), (op.inputs[1], op.inputs[0])):
        cast, both = made.get(total), made.get(scales)
        if cast is None or cast.kind != "cast" or cast.options["to"] != "float32":
            continue
        product = made.get(cast.inputs[0])
        codes = None if product is None or product.kind != _SUM else made.get(product.inputs[0])
        if product is None or codes is None or codes.kind != _CODES or both is None or both.kind != "mul":
            continue
        if product.inputs != [codes.outputs[0], codes.outputs[2]] or not codes.outputs[2]:
            continue
        of_weight = [scope.find(name) for name in both.inputs if name != codes.outputs[1]]
        integers = product.options["integers"]
        if len(of_weight) != 1 or of_weight[0] is None or of_weight[0].shape not in ((), (1,), integers.shape[:1]):
            continue
        scale = np.broadcast_to(of_weight[0].reshape(-1), integers.shape[:1])
        options = _options(product.name, integers, scale)
        return Op("linear", codes.inputs, op.outputs, {**options, "bias": None}, product.name)
    return None
