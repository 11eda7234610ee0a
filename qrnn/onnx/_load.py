"""load: reads the recurrent layers of an ONNX model, and the whole model as a module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._format_error import FormatError
from .._graph import Graph
from .._module import Module, indented
from .._public import public
from .._random import other_generator
from ._build import layers_of, module_of
from ._file import open_model
from ._reader import read_model
from ._scope import Scope

__all__ = ["LoadedModel", "load", "scope_of"]


@public("qrnn.onnx")
class LoadedModel:
    """The result of `load`.

    Attributes
    ----------
    layers : dict of str to Module
        The recurrent layers by the names of their nodes, also those inside If, Loop and Scan. A node, or a Loop or
        Scan that is a layer, is a `RecurrentNode`; an unrolled cell is an ``LSTMCell``, ``GRUCell`` or ``RNNCell``, one
        for all its steps. A node without a name gets the name of its operator, with a number from the second on.
    module : Graph or None
        The whole model, called with its inputs in order or by name; it shares the layers in `layers`.
    missing : list of str
        The reasons why there is no `module`, by node.

    Examples
    --------
    >>> import numpy as np, onnx, qrnn.onnx
    >>> W, R = np.zeros((1, 9, 4), np.float32), np.zeros((1, 9, 3), np.float32)
    >>> graph = onnx.parser.parse_model('''<ir_version: 8, opset_import: ["" : 17]>
    ... g (float[t, b, 4] x) => (float[t, 1, b, 3] y) { y = GRU <hidden_size = 3> (x, W, R) }''')
    >>> graph.graph.initializer.extend([onnx.numpy_helper.from_array(W, "W"), onnx.numpy_helper.from_array(R, "R")])
    >>> list(qrnn.onnx.load(graph).layers), qrnn.onnx.load(graph).missing
    (['GRU'], [])
    """

    def __init__(self, layers: Mapping[str, Module], module: Graph | None, missing: Sequence[str]) -> None:
        self.layers = dict(layers)
        self.module = module
        self.missing = list(missing)

    def __repr__(self) -> str:
        lines = [f"({name}): {layer!r}" for name, layer in self.layers.items()]
        lines += [f"missing: {text}" for text in self.missing]
        return "LoadedModel(" + "".join(f"\n  {indented(line)}" for line in lines) + ("\n)" if lines else ")")


def load(path: Any) -> LoadedModel:
    """Read an ONNX model: its recurrent layers, and the whole model if qrnn has all that it needs.

    Parameters
    ----------
    path : path, bytes or onnx.ModelProto
        External data are read if they are in the folder of the path or below.

    Returns
    -------
    LoadedModel

    Raises
    ------
    ImportError
        If the package `onnx` is not installed.
    TypeError
        If `path` is something else.
    FormatError
        If it is not an ONNX model, or is damaged.
    OSError
        If the file cannot be read.

    Notes
    -----
    All floats become float32. Nothing in the file is executed, except its graph when the module is called.

    Examples
    --------
    A GRU and a head for its last state, in the text form of ONNX:

    >>> import numpy as np, onnx, qrnn, qrnn.onnx
    >>> text = '''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... model (float[steps, batch, 4] frames) => (float[1, batch, 2] scores) {
    ...     , last = GRU <hidden_size = 3, linear_before_reset = 1> (frames, W, R)
    ...     scores = MatMul(last, head)
    ... }'''
    >>> model = onnx.parser.parse_model(text)
    >>> shapes = {"W": (1, 9, 4), "R": (1, 9, 3), "head": (3, 2)}
    >>> weights = [onnx.numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in shapes.items()]
    >>> model.graph.initializer.extend(weights)
    >>> read = qrnn.onnx.load(model)
    >>> read.layers
    {'GRU': RecurrentNode(
      (layer): GRU(4, 3, bias=False)
    )}
    >>> read.module(np.zeros((5, 1, 4))).shape
    (1, 1, 2)
    >>> quantized = qrnn.quantize_dynamic(read.module)
    """
    scope = scope_of(path)
    with other_generator():  # temporary random weights do not change the user's generator
        try:
            layers = layers_of(scope)
            module, missing = module_of(scope)
        except (TypeError, ValueError, RuntimeError) as error:
            if isinstance(error, FormatError):
                raise
            raise FormatError(f"{scope.file.source.name}: {error}") from error
    return LoadedModel(layers, module, missing)


def scope_of(path: Any) -> Scope:
    """The graph of a file."""
    source = open_model(path)
    try:
        with other_generator():
            return read_model(source)
    except FormatError as error:
        text = str(error)
        raise FormatError(text if text.startswith(source.name) else f"{source.name}: {text}") from None
    except (UnicodeError, RecursionError) as error:
        raise FormatError(f"{source.name}: {error}") from None
