"""Writes layers of ``qrnn.nn`` as ONNX operators: float ones as nodes RNN, GRU and LSTM, others by their arithmetic."""

# mypy: ignore-errors
# Onnxscript's operators have no types.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .._foreign import gates
from .._matrices import FLOAT
from .._options import ACTIVATIONS, Activation
from .._spec import ENGINES
from ._attributes import OPERATORS
from ._functions import op
from ._recorder import Recorder
from ._translations import Weight, ints, layers, product, step

__all__ = ["cell", "linear", "recurrent"]

#: Options of a step that ONNX's nodes support.
_IN_NODES = frozenset({"activations", "clip", "peepholes", "input_forget", "reverse"})


def linear(recorder: Recorder, name: str, layer: Any, x: Any) -> Any:
    """A Linear."""
    (matrix,) = _weights(recorder, name, layer)
    return product(x, matrix, layer.engine)


def cell(recorder: Recorder, name: str, layer: Any, x: Any, states: list[Any], batched: bool) -> list[Any]:
    """The next states of a cell. `states` are values, or None."""
    count = layer._spec.row.states
    states = states or [None] * count
    if not _quantized(layer):
        axis = ints(0) if batched else ints(0, 1)
        given = [None if each is None else op.Unsqueeze(each, axis) for each in states]
        _, ends = _node(recorder, name, layer, op.Unsqueeze(x, axis), given, "", 0)
        return [op.Squeeze(each, axis) for each in ends]
    _expect_plain(name, layer)
    ended = step(layer._spec.kind, layer.engine, x, tuple(states), _weights(recorder, name, layer))
    return list(ended) if isinstance(ended, tuple) else [ended]


def recurrent(
    recorder: Recorder, name: str, layer: Any, x: Any, states: list[Any], batched: bool, lengths: Any = None
) -> tuple[Any, list[Any]]:
    """The outputs of a layer over sequences, and the last states of all layers and directions."""
    spec, sequence = layer._spec, layer._spec.sequence
    if _quantized(layer) or spec.proj_size:
        _expect_plain(name, layer)
        if lengths is not None:
            raise ValueError(f"{name}: lengths of sequences do not become operators of a quantized layer")
        matrices = _weights(recorder, name, layer)
        each = len(matrices) // (sequence.num_layers * sequence.num_directions)
        own = [matrices[i : i + each] for i in range(0, len(matrices), each)]
        given = tuple(states or [None] * spec.row.states)
        output, *ends = layers(
            spec.kind, layer.engine, x, batched, given, own, sequence.num_directions, sequence.batch_first
        )
        return output, ends
    x = x if batched else op.Unsqueeze(x, ints(1))
    states = [each if batched else op.Unsqueeze(each, ints(1)) for each in states]
    x = op.Transpose(x, perm=[1, 0, 2]) if batched and sequence.batch_first else x
    last: list[list[Any]] = []
    for index in range(sequence.num_layers):
        where = [ints(index * sequence.num_directions), ints((index + 1) * sequence.num_directions), ints(0)]
        given = [op.Slice(each, *where) for each in states] or [None] * spec.row.states
        y, ends = _node(recorder, name, layer, x, given, f"_l{index}", sequence.num_directions, lengths)
        last.append(ends)
        if sequence.num_directions == 1:
            x = op.Squeeze(y, ints(1))
        else:
            x = op.Reshape(op.Transpose(y, perm=[0, 2, 1, 3]), ints(0, 0, -1))
    x = op.Transpose(x, perm=[1, 0, 2]) if batched and sequence.batch_first else x
    ends = [op.Concat(*each, axis=0) if len(each) > 1 else each[0] for each in zip(*last, strict=True)]
    return (x, ends) if batched else (op.Squeeze(x, ints(1)), [op.Squeeze(each, ints(1)) for each in ends])


def _quantized(layer: Any) -> bool:
    return ENGINES[layer.engine].quantized


def _expect_plain(name: str, layer: Any) -> None:
    """Raise ValueError if a layer has options that its operators lack."""
    options, spec = layer._spec.variant_options, layer._spec
    if options or spec.row.resets_before:
        what = next(iter(options), "reset_after")
        raise ValueError(f"{name}: a quantized layer, or one with a projection, with {what} does not become operators")


def _weights(recorder: Recorder, name: str, layer: Any) -> list[Weight]:
    """The matrices of a layer as constants of the graph."""
    found, default = [], ENGINES[layer.engine].activations
    for spec, matrix in zip(layer._spec.matrices, layer._matrices(), strict=True):
        own = [f"{name}.{spec.weight}", f"{name}.{spec.weight}_scale", f"{name}.{spec.bias}"]
        parts = [
            None if array is None else recorder.constant(array, own)
            for array, own in zip((matrix.weight, matrix.scale, matrix.bias), own)
        ]
        format = FLOAT if matrix.scale is None else (matrix.activations or default)
        found.append(Weight(*parts, format))
    return found


# ---- float layers as nodes


def _node(
    recorder: Recorder,
    name: str,
    layer: Any,
    x: Any,
    states: list[Any],
    suffix: str,
    directions: int,
    lengths: Any = None,
) -> tuple[Any, list[Any]]:
    """Write one layer, or a cell if `directions` is 0, as a node; returns Y and the last states."""
    spec = layer._spec
    unknown = [each for each in spec.variant_options if each not in _IN_NODES]
    if unknown:
        raise ValueError(f"{name}: {unknown[0]} is no option of ONNX's {spec.row.family}")
    arrays = _arrays(layer, suffix, max(directions, 1))
    given = {key: recorder.constant(array, f"{name}.{key}{suffix}") for key, array in arrays.items()}
    inputs = [x, given["W"], given["R"], given.get("B"), lengths, *states]
    if "P" in given:
        inputs += [*[None] * (7 - len(inputs)), given["P"]]
    outputs = OPERATORS[spec.row.family].outputs
    results = recorder.node(spec.row.family, inputs, _attributes(spec, max(directions, 1)), len(outputs))
    return results[0], list(results[1:])


def _arrays(layer: Any, suffix: str, directions: int) -> dict[str, Any]:
    """W, R, B and P of a node."""
    state, family = layer.state_dict(), layer._spec.row.family
    order = OPERATORS[family].order
    back = [order.index(part) for part in range(len(order))]
    found: dict[str, list[Any]] = {}
    for end in ("", "_reverse")[:directions]:
        own = {
            key: state.get(f"{key}{suffix}{end}")
            for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_ch")
        }
        found.setdefault("W", []).append(gates(own["weight_ih"], back))
        found.setdefault("R", []).append(gates(own["weight_hh"], back))
        if own["bias_ih"] is not None:
            found.setdefault("B", []).append(np.concatenate([gates(own[key], back) for key in ("bias_ih", "bias_hh")]))
        if own["weight_ch"] is not None:
            found.setdefault("P", []).append(gates(own["weight_ch"].reshape(3, -1), (0, 2, 1)).ravel())
    return {key: np.stack(arrays) for key, arrays in found.items()}


def _attributes(spec: Any, directions: int) -> dict[str, Any]:
    options: Mapping[str, Any] = spec.variant_options
    found: dict[str, Any] = {"hidden_size": spec.hidden_size}
    if directions == 2 or spec.reverse:
        found["direction"] = "bidirectional" if directions == 2 else "reverse"
    if spec.row.family == "GRU" and not spec.row.resets_before:
        found["linear_before_reset"] = 1
    if "clip" in options:
        found["clip"] = float(options["clip"])
    if options.get("input_forget"):
        found["input_forget"] = 1
    chosen = None if spec.variant is None else spec.variant.activations
    if chosen is None and spec.kind == "rnn_relu":
        chosen = (Activation("relu"),) * directions
    if chosen is not None:
        found.update(_activations(chosen))
    return found


def _activations(chosen: tuple[Activation, ...]) -> dict[str, Any]:
    """The attributes for activations. ONNX has no linear one, but ``alpha x + beta``."""
    known = [Activation("affine", 1.0, 0.0) if each.name == "linear" else each for each in chosen]
    values = {
        "activation_alpha": [each.alpha for each in known if len(ACTIVATIONS[each.name]) > 0],
        "activation_beta": [each.beta for each in known if len(ACTIVATIONS[each.name]) > 1],
    }
    names = [_ONNX_NAMES[each.name] for each in known]
    return {"activations": names, **{name: given for name, given in values.items() if given}}


_ONNX_NAMES = {name: "".join(part.capitalize() for part in name.split("_")) for name in ACTIVATIONS}
