"""export: writes a model of ``qrnn.nn`` as an ONNX file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _arrays
from .._graph import Graph
from .._module import Module
from .._whole_file import written_whole

__all__ = ["export"]


def export(
    model: Module,
    args: Any,
    path: Any = None,
    *,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> Any:
    """Write a model as ONNX: float layers as nodes RNN, GRU and LSTM, quantized ones in standard operators.

    Parameters
    ----------
    model : Module
        A model of ``qrnn.nn``, of a user's own class, or read from a file. Its quantized layers must have engine
        ``qrnn`` or ``qrnn13``.
    args : array_like or tuple of array_like
        Example inputs. The model is called with them, and its operations are recorded. An LSTM's state is a pair.
    path : path, optional
        The file to write.
    input_names, output_names : sequence of str, optional
        Names of the graph's inputs and outputs; by default those of a `Graph`, else ``input``, ``input_1`` and so on.

    Returns
    -------
    onnx.ModelProto

    Raises
    ------
    ImportError
        If onnxscript or onnx is not installed.
    TypeError
        If `model` is not a module of qrnn, or its forward does something that cannot be recorded.
    ValueError
        If a layer, an option or a function has no operators, or the number of names does not fit.

    Notes
    -----
    Your own forward is recorded, as by tracing in PyTorch: modules, arithmetic, indices and NumPy's ``concatenate``,
    ``stack``, ``reshape``, ``transpose`` and similar functions. Values that Python computes from shapes are those of
    the example; otherwise the sizes of all inputs stay free. `lengths` work only with float layers. Sums and products
    of quantized layers have the bits of qrnn; tanh and sigmoid are the runtime's.

    Examples
    --------
    >>> import numpy as np, qrnn, qrnn.nn as nn, qrnn.onnx
    >>> model = qrnn.quantize_dynamic(nn.Sequential(nn.Linear(4, 3), nn.Tanh()))
    >>> proto = qrnn.onnx.export(model, np.ones((2, 4)))
    >>> "MatMulInteger" in {node.op_type for node in proto.graph.node}
    True
    """
    if not isinstance(model, Module):
        raise TypeError(
            f"model: expected a Module of qrnn, got {type(model).__name__}: qrnn.torch.onnx writes PyTorch's"
        )
    try:
        import onnx_ir

        from ._export_modules import followed
        from ._recorder import Recorder
    except ImportError as error:
        raise ImportError("qrnn.onnx.export needs onnxscript and onnx: pip install onnxscript onnx") from error
    from onnxscript import evaluator

    given = tuple(_example(each) for each in (args if isinstance(args, tuple) else (args,)))
    recorder = Recorder()
    names = _names(input_names, list(model.inputs) if isinstance(model, Graph) else None, "input", _count(given))
    inputs = _inputs(recorder, given, iter(names))
    with evaluator.default_as(recorder):
        results = _flat(followed(recorder, "", model)(*inputs))
        ends = _names(output_names, list(model.outputs) if isinstance(model, Graph) else None, "output", len(results))
        outputs = [_output(recorder, each, name) for each, name in zip(results, ends, strict=True)]
    made = recorder.model([each.value for each in _flat(inputs)], outputs)
    proto = onnx_ir.serde.serialize_model(made)
    if path is not None:
        with written_whole(os.fspath(path)) as file:
            file.write(proto.SerializeToString())
    return proto


def _example(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_example(each) for each in value)
    array = _arrays.to_numpy(value, "args")
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _count(value: Any) -> int:
    return sum(map(_count, value)) if isinstance(value, tuple) else 1


def _flat(value: Any) -> list[Any]:
    return [part for each in value for part in _flat(each)] if isinstance(value, (tuple, list)) else [value]


def _names(given: Sequence[str] | None, own: list[str] | None, stem: str, count: int) -> list[str]:
    names = list(given) if given is not None else own or [stem if not i else f"{stem}_{i}" for i in range(count)]
    if len(names) != count or len(set(names)) != count:
        raise ValueError(f"{stem}_names: expected {count} names, got {names!r:.200}")
    return names


def _inputs(recorder: Any, given: Any, names: Any) -> Any:
    """Values that stand for the examples; the sizes of their dimensions are free."""
    import onnx_ir

    from ._recorder import Traced

    if isinstance(given, tuple):
        return tuple(_inputs(recorder, each, names) for each in given)
    name = next(names)
    kind = onnx_ir.TensorType(onnx_ir.DataType.from_numpy(given.dtype))
    shape = onnx_ir.Shape([f"{name}_{axis}" for axis in range(given.ndim)])
    return Traced(recorder, given, onnx_ir.Value(name=name, shape=shape, type=kind))


def _output(recorder: Any, result: Any, name: str) -> Any:
    """The value of a result under the name of the output."""
    import onnx_ir

    from ._recorder import traced_of

    traced = traced_of(recorder, result)
    value = recorder.node("Identity", [traced.value], {})
    value.name = name
    value.type = onnx_ir.TensorType(onnx_ir.DataType.from_numpy(traced.dtype))
    value.shape = onnx_ir.Shape([f"{name}_{axis}" for axis in range(traced.ndim)])
    return value
