"""The ONNX operators of modules of ``qrnn.nn``: one table, by class."""

# mypy: ignore-errors
# Onnxscript's operators have no types.

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .. import nn
from .._graph import Choice, Graph
from .._layer import Layer
from .._module import Module
from ._export_layers import cell, linear, recurrent
from ._functions import op
from ._recorder import Recorder, Traced, apply, traced_of
from ._recurrent_node import RecurrentNode
from ._translations import ints

__all__ = ["followed"]


def followed(recorder: Recorder, name: str, module: Module) -> Module:
    """`module` in a form that can be called with values: it records itself, or contains modules that do."""
    if isinstance(module, Choice):
        raise ValueError(f"{name or 'model'}: expected no If, which is not written")
    if isinstance(module, Graph):
        return _Steps(recorder, name, module)
    if isinstance(module, Layer) or type(module) in _PLAIN or isinstance(module, RecurrentNode):
        return _Written(recorder, name, module)
    new = object.__new__(type(module))
    new.__dict__.update(module.__dict__)
    for key, child in module._children():
        new.__dict__[key] = followed(recorder, f"{name}.{key}" if name else key, child)
    return new


class _Written(Module):
    """A module that, called with values, makes the recorder write what it computes."""

    def __init__(self, recorder: Recorder, name: str, module: Any) -> None:
        super().__init__()
        self.__dict__.update(_recorder=recorder, _name=name or "model", _module=module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_module"], name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        recorder, module = self._recorder, self._module
        values = _traced(recorder, args)
        named = {key: _traced(recorder, each) for key, each in kwargs.items() if each is not None}
        result = module(*_arrays(values), **{key: _arrays(each) for key, each in named.items()})
        if isinstance(module, RecurrentNode):
            return _wrapped(recorder, result, _node(recorder, self._name, module, *values, **named))
        if isinstance(module, Layer):
            return _wrapped(recorder, result, _layer(recorder, self._name, module, *values, **named))
        return _wrapped(recorder, result, _PLAIN[type(module)](recorder, self._name, module, *values))


class _Steps(Module):
    """The steps of a `Graph`, run with values."""

    def __init__(self, recorder: Recorder, name: str, graph: Graph) -> None:
        super().__init__()
        inner = {key: followed(recorder, f"{name}.{key}" if name else key, child) for key, child in graph._children()}
        self.__dict__.update(_recorder=recorder, _graph=graph, _inner=inner)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        graph, recorder = self._graph, self._recorder
        values: dict[str, Any] = {"": None, **dict(zip(graph.inputs, args)), **kwargs}
        values.update((key, traced_of(recorder, array)) for key, array in graph._kept_arrays())
        for each in graph.steps:
            taken = [values[i] if isinstance(i, str) else tuple(values[key] for key in i) for i in each.inputs]
            if each.module:
                results = _flat(self._inner[each.module](*taken, **(each.options or {})))
            else:
                made = apply(recorder, each.function, taken, dict(each.options or {}))
                results = made if isinstance(made, tuple) else (made,)
            values.update((key, result) for key, result in zip(each.outputs, results) if key)
        found = tuple(values[key] for key in graph.outputs)
        return found[0] if len(found) == 1 else found


def _traced(recorder: Recorder, value: Any) -> Any:
    if isinstance(value, (tuple, list)) and any(isinstance(each, Traced) for each in value):
        return tuple(_traced(recorder, each) for each in value)
    return value if value is None else traced_of(recorder, value)


def _arrays(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_arrays(each) for each in value)
    return value.array if isinstance(value, Traced) else value


def _flat(value: Any) -> tuple[Any, ...]:
    return tuple(part for each in value for part in _flat(each)) if isinstance(value, tuple) else (value,)


def _wrapped(recorder: Recorder, result: Any, values: Any) -> Any:
    """Arrays joined with the graph's values for them, in the same nesting."""
    left = list(values) if isinstance(values, (tuple, list)) else [values]

    def wrap(each: Any) -> Any:
        return tuple(map(wrap, each)) if isinstance(each, tuple) else Traced(recorder, each, left.pop(0))

    return wrap(result)


# ---- layers


def _layer(recorder: Recorder, name: str, layer: Any, input: Any, hx: Any = None, lengths: Any = None) -> Any:
    spec = layer._spec
    if not spec.row.states:
        return linear(recorder, name, layer, input.value)
    states = [each.value for each in _flat(hx)] if hx is not None else []
    if spec.sequence is None:
        return cell(recorder, name, layer, input.value, states, input.ndim == 2)
    taken = None if lengths is None else apply(recorder, "cast", [lengths], {"to": "int32"}).value
    output, ends = recurrent(recorder, name, layer, input.value, states, input.ndim == 3, taken)
    return [output, *ends]


def _node(
    recorder: Recorder,
    name: str,
    node: Any,
    X: Any,
    sequence_lens: Any = None,
    initial_h: Any = None,
    initial_c: Any = None,
) -> Any:
    """A node that came from a file: the layer's results with ONNX's axes."""
    layer = node.layer
    both = 2 if layer.bidirectional else 1
    kept = {"sequence_lens": sequence_lens, "initial_h": initial_h, "initial_c": initial_c}
    given = {}
    for key, value in kept.items():
        array = getattr(node, key)
        given[key] = traced_of(recorder, array) if value is None and array is not None else value
    states = _states(recorder, node, X, given, both)
    lengths = given["sequence_lens"]
    taken = None if lengths is None else apply(recorder, "cast", [lengths], {"to": "int32"}).value
    output, ends = recurrent(recorder, f"{name}.layer", layer, X.value, states, True, taken)
    split = op.Reshape(output, ints(0, 0, both, -1))
    y = split if node.layout else op.Transpose(split, perm=[0, 2, 1, 3])
    return [y, *(op.Transpose(each, perm=[1, 0, 2]) if node.layout else each for each in ends)]


def _states(recorder: Recorder, node: Any, X: Any, given: Mapping[str, Any], both: int) -> list[Any]:
    names = ["initial_h", "initial_c"] if node.layer.mode == "LSTM" else ["initial_h"]
    if all(given[key] is None for key in names):
        return []
    found = []
    for key in names:
        if given[key] is None:
            rows = op.Shape(X.value, start=1 - node.layout, end=2 - node.layout)
            sizes = op.Concat(ints(both), rows, ints(node.layer.hidden_size), axis=0)
            found.append(op.Expand(op.Constant(value_float=0.0), sizes))
        else:
            value = given[key].value
            found.append(op.Transpose(value, perm=[1, 0, 2]) if node.layout else value)
    return found


# ---- what NumPy computes

_Written_ = Callable[..., Any]


def _plain(operator: str, *names: str, **others: str) -> _Written_:
    """An operator of one value. `names` are attributes that the module has too, `others` those with other names."""

    def written(recorder: Recorder, name: str, module: Any, x: Any) -> Any:
        attributes = {key: getattr(module, own) for key, own in {**dict(zip(names, names)), **others}.items()}
        return recorder.node(operator, [x.value], attributes)

    return written


def _softplus(recorder: Recorder, name: str, module: Any, x: Any) -> Any:
    if module.beta != 1:
        raise ValueError(f"{name}: expected beta=1, as ONNX's Softplus has none, got {module.beta}")
    return op.Softplus(x.value)


def _hardtanh(recorder: Recorder, name: str, module: Any, x: Any) -> Any:
    return apply(recorder, "clip", [x], {"min": module.min_val, "max": module.max_val}).value


def _softmax(operator: str) -> _Written_:
    def written(recorder: Recorder, name: str, module: Any, x: Any) -> Any:
        if module.dim is None:
            raise ValueError(f"{name}: expected dim=, got None")
        return recorder.node(operator, [x.value], {"axis": module.dim})

    return written


def _flatten(recorder: Recorder, name: str, module: Any, x: Any) -> Any:
    start, end = module.start_dim % max(x.ndim, 1), module.end_dim % max(x.ndim, 1)
    sizes = [0] * start + [-1] + list(x.shape[end + 1 :])
    return op.Reshape(x.value, ints(*sizes))


def _embedding(recorder: Recorder, name: str, module: Any, x: Any) -> Any:
    return recorder.node("Gather", [recorder.constant(module.weight, f"{name}.weight"), x.value], {"axis": 0})


def _kept(recorder: Recorder, name: str, module: Any, *keys: str) -> list[Any]:
    found = [getattr(module, key) for key in keys]
    return [None if each is None else recorder.constant(each, f"{name}.{key}") for key, each in zip(keys, found)]


def _layer_norm(recorder: Recorder, name: str, module: Any, x: Any) -> Any:
    weight, bias = _kept(recorder, name, module, "weight", "bias")
    if weight is None:
        weight = recorder.constant(np.ones(module.normalized_shape, np.float32), f"{name}.ones")
    attributes = {"axis": -len(module.normalized_shape), "epsilon": float(module.eps)}
    return recorder.node("LayerNormalization", [x.value, weight, bias], attributes)


def _batch_norm(recorder: Recorder, name: str, module: Any, x: Any) -> Any:
    found = _kept(recorder, name, module, "weight", "bias", "running_mean", "running_var")
    for index, fill in ((0, np.ones), (1, np.zeros)):
        if found[index] is None:
            found[index] = recorder.constant(fill(module.num_features, np.float32), f"{name}.{fill.__name__}")
    return recorder.node("BatchNormalization", [x.value, *found], {"epsilon": float(module.eps)})


def _conv(recorder: Recorder, name: str, module: Any, x: Any) -> Any:
    weight, bias = _kept(recorder, name, module, "weight", "bias")
    attributes = {
        "kernel_shape": list(module.kernel_size),
        "strides": list(module.stride),
        "dilations": list(module.dilation),
        "group": module.groups,
        "pads": list(module._zeros()),
    }
    value = x.value if x.ndim == 3 else op.Unsqueeze(x.value, ints(0))
    made = recorder.node("Conv", [value, weight, bias], attributes)
    return made if x.ndim == 3 else op.Squeeze(made, ints(0))


def _unchanged(recorder: Recorder, name: str, module: Any, x: Any) -> Any:
    return x.value


_PLAIN: Mapping[type, _Written_] = {
    nn.BatchNorm1d: _batch_norm,
    nn.Conv1d: _conv,
    nn.Dropout: _unchanged,
    nn.ELU: _plain("Elu", "alpha"),
    nn.Embedding: _embedding,
    nn.Flatten: _flatten,
    nn.Hardsigmoid: lambda recorder, name, module, x: recorder.node("HardSigmoid", [x.value], {"alpha": 1 / 6}),
    nn.Hardtanh: _hardtanh,
    nn.Identity: _unchanged,
    nn.LayerNorm: _layer_norm,
    nn.LeakyReLU: _plain("LeakyRelu", alpha="negative_slope"),
    nn.LogSoftmax: _softmax("LogSoftmax"),
    nn.ReLU: _plain("Relu"),
    nn.Sigmoid: _plain("Sigmoid"),
    nn.Softmax: _softmax("Softmax"),
    nn.Softplus: _softplus,
    nn.Softsign: _plain("Softsign"),
    nn.Tanh: _plain("Tanh"),
}
