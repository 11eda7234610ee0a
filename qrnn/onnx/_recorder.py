"""Records what a forward does: each array of an example has a value of the graph that is being written."""

# mypy: ignore-errors
# Onnxscript's operators have no types.

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import onnx
import onnx_ir
import onnx_ir.passes.common
from onnxscript import evaluator

from .._graph_functions import FUNCTIONS
from ._functions import DOMAIN, OWN_FUNCTIONS, op
from ._translations import ints

__all__ = ["Recorder", "Traced", "apply", "traced_of"]


class Recorder(evaluator.Evaluator):
    """Writes a node for each call of onnxscript's operators and functions, while it is the default evaluator."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {}

    def eval_op(self, operator: Any, args: Any, kwargs: Any) -> Any:
        return self.node(operator.name, args, kwargs)

    def eval(self, schema: Any, args: Any, kwargs: Any) -> Any:
        """The method that onnxscript before 0.6 calls."""
        return self.node(schema.name, args, kwargs)

    def eval_function(self, function: Any, args: Any, kwargs: Any) -> Any:
        own = function.function_ir
        return self.node(function.name, args, kwargs, len(own.outputs), own.domain)

    def node(self, name: str, args: Any, kwargs: Any, count: int = 1, domain: str = "") -> Any:
        """Add a node; returns its result, or its `count` results as a tuple."""
        inputs = list(args)
        while inputs and inputs[-1] is None:
            inputs.pop()
        new = onnx_ir.node(name, inputs, kwargs, domain=domain, num_outputs=count)
        self.nodes.append(new)
        return new.outputs[0] if count == 1 else tuple(new.outputs)

    def constant(self, array: Any, name: str = "") -> Any:
        """Add a constant to the graph, under `name` or a similar free name."""
        base, number = name or "constant", 0
        while (free := base if not number and name else f"{base}_{number}") in self.initializers:
            number += 1
        tensor = onnx_ir.tensor(np.ascontiguousarray(array).reshape(np.shape(array)), name=free)
        value = onnx_ir.Value(
            name=free, shape=onnx_ir.Shape(np.shape(array)), type=onnx_ir.TensorType(tensor.dtype), const_value=tensor
        )
        self.initializers[free] = value
        return value

    def model(self, inputs: list[Any], outputs: list[Any]) -> Any:
        """The recorded model without functions: each call is expanded to its nodes."""
        graph = onnx_ir.Graph(
            inputs, outputs, nodes=self.nodes, initializers=list(self.initializers.values()), name="model",
            opset_imports={"": op.version},
        )  # fmt: skip
        domains = {node.domain for node in self.nodes} - {""}
        functions = []
        for own, content in _functions() if domains else ():
            if own in (*domains, DOMAIN):
                functions.append(onnx_ir.serde.deserialize_function(onnx.FunctionProto.FromString(content)))
                graph.opset_imports[own] = 1
        made = onnx_ir.Model(graph, ir_version=8, producer_name="qrnn", functions=functions)
        onnx_ir.passes.common.InlinePass()(made)
        onnx_ir.passes.common.RemoveUnusedNodesPass()(made)
        made.functions.clear()
        for own in set(graph.opset_imports) - {""}:
            del graph.opset_imports[own]
        return made


@functools.cache
def _functions() -> list[tuple[str, bytes]]:
    """Each function with its domain, as a FunctionProto in bytes."""
    return [(each.opset.domain, each.to_function_proto().SerializeToString()) for each in OWN_FUNCTIONS]


class Traced:
    """An array of an example, with the graph's value for it.

    It supports what forwards do with arrays: arithmetic, indices, shapes, and NumPy's functions of the same names.
    """

    def __init__(self, recorder: Recorder, array: Any, value: Any) -> None:
        self.recorder, self.array, self.value = recorder, np.asarray(array), value

    shape = property(lambda self: self.array.shape)
    ndim = property(lambda self: self.array.ndim)
    size = property(lambda self: self.array.size)
    dtype = property(lambda self: self.array.dtype)
    T = property(lambda self: self.transpose())

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("a value of a model that is being exported is no array: qrnn.onnx.export follows modules of "
                        "qrnn.nn, arithmetic, indices and a few functions of NumPy")  # fmt: skip

    def __bool__(self) -> bool:
        raise TypeError("a value of a model that is being exported decides nothing: ONNX would keep one answer")

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        name = _UFUNCS.get(ufunc.__name__)
        if method != "__call__" or kwargs or name is None:
            return NotImplemented
        return apply(self.recorder, name, list(args), {})

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        name = function.__name__
        if name in ("concatenate", "stack"):
            axis = kwargs.get("axis", args[1] if len(args) > 1 else 0)
            return apply(self.recorder, {"concatenate": "concat"}.get(name, name), list(args[0]), {"axis": axis})
        if name in ("squeeze", "expand_dims"):
            axis = kwargs.get("axis", args[1] if len(args) > 1 else None)
            axes = {} if axis is None else {"axes": np.ravel(axis).tolist()}
            return apply(self.recorder, {"expand_dims": "unsqueeze"}.get(name, name), [args[0]], axes)
        if name in ("reshape", "transpose", "swapaxes", "mean", "sum", "max", "min"):
            return getattr(args[0], name)(*args[1:], **kwargs)
        return NotImplemented

    def __getitem__(self, index: Any) -> Any:
        return _indexed(self, index if isinstance(index, tuple) else (index,))

    def reshape(self, *shape: Any) -> Any:
        """Leading sizes that do not change stay free: each call has its own."""
        sizes = [int(size) for size in (shape[0] if len(shape) == 1 and np.ndim(shape[0]) else shape)]
        kept = 0
        while kept < min(len(sizes), self.ndim) and sizes[kept] == self.shape[kept] != 0:
            sizes[kept] = 0
            kept += 1
        return apply(self.recorder, "reshape", [self], {"shape": sizes})

    def transpose(self, *axes: Any) -> Any:
        perm = list(axes[0] if len(axes) == 1 and np.ndim(axes[0]) else axes) or list(range(self.ndim))[::-1]
        return apply(self.recorder, "transpose", [self], {"perm": [int(axis) % self.ndim for axis in perm]})

    def swapaxes(self, a: int, b: int) -> Any:
        perm = list(range(self.ndim))
        perm[a], perm[b] = perm[b], perm[a]
        return self.transpose(perm)

    def _reduced(self, name: str, axis: Any, keepdims: bool) -> Any:
        axes = {} if axis is None else {"axes": np.ravel(axis).tolist()}
        return apply(self.recorder, name, [self], {**axes, "keepdims": int(keepdims)})

    def mean(self, axis: Any = None, keepdims: bool = False) -> Any:
        return self._reduced("reduce_mean", axis, keepdims)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Any:
        return self._reduced("reduce_sum", axis, keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Any:
        return self._reduced("reduce_max", axis, keepdims)

    def min(self, axis: Any = None, keepdims: bool = False) -> Any:
        return self._reduced("reduce_min", axis, keepdims)


#: NumPy's element-wise functions, and qrnn's.
_UFUNCS = {
    **{"add": "add", "subtract": "sub", "multiply": "mul", "divide": "div", "negative": "neg", "maximum": "max"},
    **{"minimum": "min", "exp": "exp", "log": "log", "sqrt": "sqrt", "tanh": "tanh", "absolute": "abs", "power": "pow"},
}


def _binary(name: str, backwards: bool = False) -> Any:
    def called(self: Traced, other: Any) -> Any:
        return apply(self.recorder, name, [other, self] if backwards else [self, other], {})

    return called


for _name, _function in (("add", "add"), ("sub", "sub"), ("mul", "mul"), ("truediv", "div"), ("pow", "pow")):
    setattr(Traced, f"__{_name}__", _binary(_function))
    setattr(Traced, f"__r{_name}__", _binary(_function, backwards=True))
Traced.__neg__ = lambda self: apply(self.recorder, "neg", [self], {})


def traced_of(recorder: Recorder, value: Any, like: Any = None) -> Traced:
    """A value, or a constant, as a value; numbers take the type of `like`."""
    if isinstance(value, Traced):
        return value
    array = np.asarray(value)
    kind = like.dtype if like is not None and isinstance(value, (int, float)) else array.dtype
    kind = np.float32 if np.dtype(kind) == np.float64 else kind
    return Traced(recorder, array.astype(kind), recorder.constant(array.astype(kind)))


#: The operators of functions, with the parameters that are inputs: "" for values.
_OPERATORS = {
    **{name: (name.capitalize(), ("",)) for name in ("abs", "ceil", "cos", "erf", "exp", "floor", "identity", "log")},
    **{name: (name.capitalize(), ("",)) for name in ("neg", "not", "reciprocal", "round", "shape", "sign", "sin")},
    **{name: (name.capitalize(), ("",)) for name in ("size", "sqrt", "tanh", "selu", "transpose", "flatten")},
    **{name: (name.capitalize(), ("", "")) for name in ("add", "and", "div", "equal", "greater", "less", "mul", "or")},
    **{name: (name.capitalize(), ("", "")) for name in ("pow", "sub", "xor", "mod")},
    **{name: (name.capitalize(), ()) for name in ("concat", "max", "min", "sum")},
    "argmax": ("ArgMax", ("",)),
    "argmin": ("ArgMin", ("",)),
    "clip": ("Clip", ("", "min", "max")),
    "cumsum": ("CumSum", ("", "axis")),
    "expand": ("Expand", ("", "shape")),
    "gather": ("Gather", ("", "indices")),
    "gather_elements": ("GatherElements", ("", "")),
    "gather_nd": ("GatherND", ("", "")),
    "greater_or_equal": ("GreaterOrEqual", ("", "")),
    "hard_sigmoid": ("HardSigmoid", ("",)),
    "less_or_equal": ("LessOrEqual", ("", "")),
    "matmul": ("MatMul", ("", "")),
    "pad": ("Pad", ("", "pads", "value", "axes")),
    "prelu": ("PRelu", ("", "")),
    **{
        f"reduce_{name}": (f"Reduce{name.capitalize()}", ("", "axes")) for name in ("max", "mean", "min", "prod", "sum")
    },
    "reduce_l2": ("ReduceL2", ("", "axes")),
    "reduce_sum_square": ("ReduceSumSquare", ("", "axes")),
    "reshape": ("Reshape", ("", "shape")),
    "reverse_sequence": ("ReverseSequence", ("", "")),
    "slice": ("Slice", ("", "starts", "ends", "axes", "steps")),
    "squeeze": ("Squeeze", ("", "axes")),
    "tile": ("Tile", ("", "repeats")),
    "unsqueeze": ("Unsqueeze", ("", "axes")),
    "where": ("Where", ("", "", "")),
}


def apply(recorder: Recorder, function: str, args: list[Any], options: dict[str, Any]) -> Any:
    """Apply a function of ``_graph_functions``, or tanh, to values, and record it."""
    like = next((each for each in args if isinstance(each, Traced)), None)
    values = [None if each is None else traced_of(recorder, each, like) for each in args]
    arrays = [None if each is None else each.array for each in values]
    with np.errstate(all="ignore"):
        result = np.tanh(arrays[0]) if function == "tanh" else FUNCTIONS[function](*arrays, **options)
    nodes = [None if each is None else each.value for each in values]
    if function == "stack":
        nodes = [op.Unsqueeze(each, ints(options["axis"])) for each in nodes]
        return Traced(recorder, result, recorder.node("Concat", nodes, options))
    if function == "cast":
        kind = onnx_ir.DataType.from_numpy(np.dtype(options["to"]))
        return Traced(recorder, result, recorder.node("Cast", nodes, {"to": int(kind)}))
    if function == "split":
        sizes = [each.shape[options.get("axis", 0)] for each in result]
        given = [*nodes[:1], ints(*sizes)]
        outputs = recorder.node("Split", given, {"axis": options.get("axis", 0)}, len(result))
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return tuple(Traced(recorder, *each) for each in zip(result, outputs))
    if function not in _OPERATORS:
        raise ValueError(
            f"model: expected functions that ONNX has as operators of version {op.version}, got {function}"
        )
    name, parameters = _OPERATORS[function]
    attributes = dict(options)
    for index, parameter in enumerate(parameters):
        if parameter in attributes:
            nodes += [None] * (index - len(nodes))
            number = attributes.pop(parameter)
            kind = arrays[0].dtype if parameter in ("min", "max", "value") else np.int64
            nodes.append(None if number is None else recorder.constant(np.asarray(number, kind)))
    return Traced(recorder, result, recorder.node(name, nodes, attributes))


def _indexed(x: Traced, index: tuple[Any, ...]) -> Traced:
    """An element of `x`, or some of them: integers, slices, None and Ellipsis."""
    taken = sum(each is not None and each is not Ellipsis for each in index)
    at = next((i for i, each in enumerate(index) if each is Ellipsis), len(index))
    full = (*index[:at], *[slice(None)] * (x.ndim - taken), *index[at + 1 :])
    result, axis = x, 0
    for each in full:
        if each is None:
            result = apply(x.recorder, "unsqueeze", [result], {"axes": [axis]})
            axis += 1
        elif isinstance(each, slice):
            if each != slice(None):
                result = _sliced(result, each, axis)
            axis += 1
        elif isinstance(each, (int, np.integer)) and not isinstance(each, bool):
            result = apply(x.recorder, "gather", [result], {"indices": int(each), "axis": axis})
        else:
            raise TypeError(
                f"index: expected integers, slices, None and Ellipsis in an export, got {type(each).__name__}"
            )
    return result


def _sliced(x: Traced, part: slice, axis: int) -> Traced:
    step = 1 if part.step is None else int(part.step)
    far = 2**62
    start = (0 if step > 0 else far) if part.start is None else int(part.start)
    stop = (far if step > 0 else -far) if part.stop is None else int(part.stop)
    options = {"starts": [start], "ends": [stop], "axes": [axis], "steps": [step]}
    return apply(x.recorder, "slice", [x], options)
