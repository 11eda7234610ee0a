"""read_node: reads a recurrent node of an ONNX graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._foreign import Direction, float_layer, gates, weight
from .._format_error import FormatError
from ._attributes import OPERATORS, NodeOptions, Operator, node_options, read_attributes
from ._recurrent_node import RecurrentNode

if TYPE_CHECKING:
    from .._typing import Array

__all__ = ["read_node"]

_WEIGHTS = ("W", "R", "B", "P")
#: Constants that a call may replace.
_OF_CALLS = ("sequence_lens", "initial_h", "initial_c")


def read_node(node: Any, initializers: Mapping[str, Any]) -> RecurrentNode:
    """Make a float32 layer that computes what a node RNN, GRU or LSTM of an ONNX graph does.

    Parameters
    ----------
    node : onnx.NodeProto
        Or any object with its ``op_type``, ``domain``, ``name``, ``input``, ``output`` and ``attribute``.
    initializers : mapping of str to array_like or onnx.TensorProto
        The constants of the graph by name. They must include W, R, and B and P if the node has them; they may include
        sequence_lens and initial states.

    Returns
    -------
    RecurrentNode

    Raises
    ------
    TypeError
        If `initializers` is not a mapping.
    FormatError
        If the node is not valid in ONNX, or has a weight that is not constant or an option that ``qrnn.nn`` lacks.

    Examples
    --------
    >>> import types, numpy as np, qrnn.onnx
    >>> node = types.SimpleNamespace(op_type="LSTM", domain="", name="lstm", attribute=[])  # an onnx.NodeProto
    >>> node.input, node.output = ["frames", "w", "r"], ["", "last"]
    >>> lstm = qrnn.onnx.read_node(node, {"w": np.ones((1, 12, 4)), "r": np.ones((1, 12, 3))})
    >>> lstm
    RecurrentNode(
      (layer): LSTM(4, 3, bias=False)
    )
    >>> lstm.inputs, lstm.outputs
    ({'X': 'frames'}, {'Y_h': 'last'})
    >>> Y, Y_h, Y_c = lstm(np.ones((5, 2, 4)))
    >>> Y.shape, Y_h.shape
    ((5, 1, 2, 3), (1, 2, 3))
    """
    if not isinstance(initializers, Mapping):
        raise TypeError(f"initializers: expected a mapping, got {type(initializers).__name__}")
    where = f"{node.op_type} {node.name!r}" if node.name else str(node.op_type)
    if node.domain not in ("", "ai.onnx"):
        raise FormatError(f"{where}: domain: expected that of ONNX's own operators, got {node.domain!r}")
    operator = OPERATORS.get(node.op_type)
    if operator is None:
        raise FormatError(f"{where}: op_type: expected RNN, GRU or LSTM, got {node.op_type!r}")
    options = node_options(node.op_type, read_attributes(node, where), where)
    inputs = _names(node.input, operator.inputs, f"{where}: inputs")
    outputs = _names(node.output, operator.outputs, f"{where}: outputs")
    constants = {name: _array(initializers[inputs[name]]) for name in inputs if inputs[name] in initializers}
    for name in ("X", "W", "R"):
        if name not in inputs:
            raise FormatError(f"{where}: {name}: expected this input, got none")
    for name in _WEIGHTS:
        if name in inputs and name not in constants:
            raise FormatError(f"{where}: {name}: expected a constant, and {inputs[name]!r} is none")
    directions = _directions(operator, options, constants, where)
    own = dict(options.options)
    if directions[0].weight_ch is not None:
        own["peepholes"] = True
    layer = float_layer(where, node.op_type, directions, options.layout == 1, own)
    called = {name: constants[name] for name in _OF_CALLS if name in constants}
    shown = {name: graph for name, graph in inputs.items() if name not in _WEIGHTS}
    try:
        return RecurrentNode(layer, options.layout, shown, outputs, **called)
    except (TypeError, ValueError) as error:
        raise FormatError(f"{where}: {error}") from None


def _names(given: Any, known: tuple[str, ...], where: str) -> dict[str, str]:
    """The graph's names by ONNX's names; an empty name means that something is left out."""
    names = list(given)
    while names and not names[-1]:
        names.pop()
    if len(names) > len(known):
        raise FormatError(f"{where}: expected at most {len(known)}, got {len(names)}")
    return {name: graph for name, graph in zip(known, names) if graph}


def _array(value: Any) -> Any:
    """A constant as an array."""
    if not hasattr(value, "data_type"):
        return value
    # A TensorProto exists only if the package is installed.
    from onnx import numpy_helper

    return numpy_helper.to_array(value)


def _directions(operator: Operator, options: NodeOptions, constants: Mapping[str, Any], where: str) -> list[Direction]:
    """The weights of each direction, in PyTorch's shapes and order."""
    count, parts = options.num_directions, len(operator.order)
    recurrent = weight(constants["R"], f"{where}: R", (count, None, None))
    hidden = recurrent.shape[2]
    if options.hidden_size not in (None, hidden):
        raise FormatError(f"{where}: hidden_size: expected that of R, {hidden}, got {options.hidden_size}")
    shapes = {
        "W": (count, parts * hidden, None),
        "R": (count, parts * hidden, hidden),
        "B": (count, 2 * parts * hidden),
        "P": (count, 3 * hidden),
    }
    found: dict[str, Array] = {
        name: weight(constants[name], f"{where}: {name}", shapes[name]) for name in _WEIGHTS if name in constants
    }
    if found["W"].shape[2] == 0:
        raise FormatError(f"{where}: W: expected at least one column, got shape {found['W'].shape}")
    return [_direction(operator, {name: array[i] for name, array in found.items()}) for i in range(count)]


def _direction(operator: Operator, found: Mapping[str, Array]) -> Direction:
    """One direction: W, R, B = [Wb, Rb] and P = [i, o, f]."""
    order, parts = operator.order, len(operator.order)
    bias_ih = bias_hh = None
    if "B" in found:
        both = gates(found["B"], (*order, *(parts + each for each in order)))
        bias_ih, bias_hh = both[: both.size // 2], both[both.size // 2 :]
    peepholes = gates(found["P"].reshape(3, -1), (0, 2, 1)) if "P" in found else None
    return Direction(gates(found["W"], order), gates(found["R"], order), bias_ih, bias_hh, peepholes)
