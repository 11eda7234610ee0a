"""Reads recurrent nodes as operations of a scope: ONNX's own, and ONNX Runtime's quantized LSTM."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from .._foreign import gates
from .._format_error import FormatError
from ..nn.quantized import dynamic
from ._attributes import OPERATORS
from ._nodes import Node, Unsupported
from ._read import read_node
from ._recurrent_node import RecurrentNode
from ._scope import Op

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DYNAMIC_QUANTIZE_LSTM", "MICROSOFT", "read_quantized_lstm", "read_recurrent"]

MICROSOFT = "com.microsoft"
DYNAMIC_QUANTIZE_LSTM = "DynamicQuantizeLSTM"


def read_recurrent(node: Node) -> None:
    """Read a node RNN, GRU or LSTM; raises Unsupported for what `read_node` refuses."""
    _add(node, _read(node.proto, node.scope, node))


def _read(proto: Any, constants: Mapping[str, Any], node: Node) -> RecurrentNode:
    try:
        return read_node(proto, constants)
    except FormatError as error:
        text = str(error)
        for start in (f"{proto.op_type} {proto.name!r}: ", f"{proto.op_type}: "):  # `node` adds this text itself
            text = text.removeprefix(start)
        raise Unsupported(text) from None


def _add(node: Node, layer: RecurrentNode, note: str = "") -> None:
    """Make the scope call a layer; initial states of zeros are left out."""
    scope, called = node.scope, list[str]()
    for name in ("X", "sequence_lens", "initial_h", "initial_c"):
        kept = getattr(layer, name, None)
        if kept is not None and name.startswith("initial") and not kept.any():
            layer.register_buffer(name, None)
        called.append("" if kept is not None else scope.named(layer.inputs.get(name, "")))
    while not called[-1]:
        called.pop()
    outputs = [layer.outputs.get(name, "") for name in OPERATORS[layer.layer.mode.partition("_")[0]].outputs]
    scope.add(Op("layer", called, outputs, {"module": layer, "note": note}, node.name))


# ---- DynamicQuantizeLSTM


def read_quantized_lstm(node: Node) -> None:
    """Read ONNX Runtime's 8-bit LSTM; its codes and scales go to a quantized layer, if they fit int8.

    Codes minus their zero points fit int8 if they are signed and symmetric, as ONNX Runtime's tools write them by
    default, and mostly also if they are unsigned. Otherwise the layer is float32, with the same weights.
    """
    names = [*node.proto.input, *[""] * (12 - len(node.proto.input))]
    if len(names) > 12:
        raise FormatError(f"{node.where}: expected at most 12 inputs, got {len(names)}")
    found = {name: _Codes(node, names[i], *names[j : j + 2]) for name, i, j in (("W", 1, 8), ("R", 2, 10))}
    proto = SimpleNamespace(
        op_type="LSTM", domain="", name=node.proto.name, attribute=node.proto.attribute,
        input=names[:8], output=node.proto.output,
    )  # fmt: skip
    floats = {names[1]: found["W"].floats, names[2]: found["R"].floats}
    others = {name: node.scope[name] for name in names[3:8] if name and name in node.scope}
    layer = _read(proto, {**others, **floats}, node)
    note = ""
    if all(each.codes is not None for each in found.values()):
        layer.layer = _quantized(node, layer.layer, found)
    else:
        note = "float32, as its codes less their zero points are beyond int8"
    _add(node, layer, note)


class _Codes:
    """The codes of a matrix, (directions, 4 * hidden_size, columns), and their values.

    Attributes
    ----------
    codes : ndarray, int8, or None
        Codes minus zero points; None if they do not fit int8.
    scale : ndarray, float32, shape (directions, 4 * hidden_size, 1)
    floats : ndarray, float32
    """

    def __init__(self, node: Node, name: str, scale_name: str, zero_name: str) -> None:
        codes, scale, zero = (node.scope.find(each) if each else None for each in (name, scale_name, zero_name))
        if codes is None or scale is None:
            raise Unsupported(f"{name!r}, its weights or their scales, is no constant")
        if codes.ndim != 3 or codes.dtype not in (np.int8, np.uint8):
            raise Unsupported(f"weights: expected int8 or uint8 of 3 dimensions, got {codes.dtype} of {codes.shape}")
        rows = np.ascontiguousarray(codes.swapaxes(1, 2)).astype(np.int16)
        self.scale = self._of_rows(node, scale, rows.shape).astype(np.float32)
        if zero is not None:
            rows = rows - self._of_rows(node, zero, rows.shape).astype(np.int16)
        narrow = not rows.size or (rows.min() >= -128 and rows.max() <= 127)
        self.codes: NDArray[np.int8] | None = rows.astype(np.int8) if narrow else None
        self.floats = (rows * self.scale).astype(np.float32)

    @staticmethod
    def _of_rows(node: Node, values: Any, shape: tuple[int, ...]) -> Any:
        """A value for each row, from values for each row or for each direction."""
        if values.shape == shape[:2]:
            return values[:, :, None]
        if values.size == shape[0]:
            return np.broadcast_to(values.reshape(-1, 1, 1), (*shape[:2], 1))
        raise Unsupported(f"scales: expected shape {shape[:1]} or {shape[:2]}, got {values.shape}")


def _quantized(node: Node, layer: Any, found: Mapping[str, _Codes]) -> Any:
    """The quantized layer for a float one, with the codes of the file."""
    quantized = dynamic.LSTM.from_float(layer)
    state, order = quantized.state_dict(), OPERATORS["LSTM"].order
    for i, suffix in enumerate(("", "_reverse")[: 2 if layer.bidirectional else 1]):
        for matrix, name in (("W", "weight_ih_l0"), ("R", "weight_hh_l0")):
            codes = found[matrix].codes
            assert codes is not None
            state[f"{name}{suffix}"] = gates(codes[i], order)
            state[f"{name}{suffix}_scale"] = gates(found[matrix].scale[i, :, 0], order)
    try:
        quantized.load_state_dict(state)
    except RuntimeError as error:
        raise FormatError(f"{node.where}: {error}") from None
    return quantized
