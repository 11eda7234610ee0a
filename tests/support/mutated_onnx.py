"""Load randomly mutated ONNX files: a load must raise FormatError or return layers with finite weights."""

from __future__ import annotations

import time
import tracemalloc
import warnings

import numpy as np
import onnx

import qrnn
import qrnn.onnx
from support import mutated_files as bytes_of
from support import onnx_models

#: Memory allowed beyond 8 times the file's size: twice the constants that its graph may compute.
SLACK = 70_000_000
LIMIT = 5.0

_INTS = (0, 1, -1, 2, 3, 7, 64, 65_536, 2**31, 2**40, 2**62, -(2**63), 4194305, 211106198978564)
_FLOATS = (0.0, -1.0, 1e30, float("inf"), float("nan"))
_TEXTS = ("", "x", "W", "reverse", "bidirectional", "LSTM", "GRU", "If", "Loop", "com.microsoft", "../x", "Expand")
_OPERATORS = (
    "LSTM",
    "GRU",
    "RNN",
    "Identity",
    "Add",
    "Gather",
    "Expand",
    "Tile",
    "Reshape",
    "Slice",
    "Split",
    "If",
    "?",
)


def seeds():
    """List models of all kinds, as bytes."""
    rng = np.random.default_rng(0)
    kinds = (onnx_models.computed, onnx_models.branches, onnx_models.unrolled, onnx_models.scans, onnx_models.loops)
    models = [*onnx_models.nodes(rng, 6), *onnx_models.around(rng), *onnx_models.functions(rng)]
    models += [model for kind in kinds for model in list(kind(rng))[:3]]
    return [model.proto.SerializeToString() for model in models]


BEGIN = {".onnx": lambda: [(content,) for content in seeds()]}


# ---- mutations: each changes the bytes of a file


def _graphs(graph):
    """Yield a graph and the graphs in attributes of its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _graphs(attribute.g)


def _edited(edit):
    """Make a mutation that applies `edit(rng, graph)` to one graph of the file, and has the function's name."""

    def mutation(rng, content):
        model = onnx.load_model_from_string(content)
        for _ in range(rng.choice((1, 1, 2))):
            edit(rng, rng.choice(list(_graphs(model.graph))))
        return model.SerializeToString()

    mutation.__name__ = edit.__name__
    return mutation


@_edited
def names(rng, graph):
    """Replace an input or an output of a node by another value, or by none."""
    if graph.node:
        node = rng.choice(list(graph.node))
        known = [*(each.name for each in graph.initializer), *(name for each in graph.node for name in each.output), ""]
        field = rng.choice((node.input, node.output))
        if field:
            field[rng.randrange(len(field))] = rng.choice([*known, "absent"])


@_edited
def operators(rng, graph):
    if graph.node:
        node = rng.choice(list(graph.node))
        node.op_type = rng.choice(_OPERATORS)
        node.domain = rng.choice(("", "", "com.microsoft", "mine"))


@_edited
def attributes(rng, graph):
    """Change, remove or add an attribute of a node."""
    nodes = [node for node in graph.node if node.attribute]
    if not nodes:
        return
    node = rng.choice(nodes)
    attribute = rng.choice(list(node.attribute))
    how = rng.randrange(6)
    if how == 0:
        node.attribute.remove(attribute)
    elif how == 1:
        attribute.type = rng.randrange(15)
    elif how == 2:
        attribute.name = rng.choice(("axis", "to", "perm", "clip", "hidden_size", "direction", "body", "value"))
    else:
        value = rng.choice((rng.choice(_INTS), rng.choice(_FLOATS), rng.choice(_TEXTS), rng.choices(_INTS, k=3)))
        attribute.CopyFrom(onnx.helper.make_attribute(attribute.name, value))


@_edited
def tensors(rng, graph):
    """Change a constant's shape, type or elements, or remove elements."""
    if not graph.initializer:
        return
    tensor = rng.choice(list(graph.initializer))
    how = rng.randrange(6)
    if how == 0 and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(_INTS)
    elif how == 1:
        tensor.data_type = rng.randrange(25)
    elif how == 2:
        tensor.raw_data = tensor.raw_data[: rng.randrange(len(tensor.raw_data) + 1)]
    elif how == 3:
        tensor.dims[:] = [4194305, 4194305, 211106198978564]
    elif how == 4:
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(
            key="location", value=rng.choice(("../x", "/etc/passwd", "mutated.onnx", "", "a/../b"))
        )
    else:
        kind, values = rng.choice((("<i8", _INTS), ("<f4", _FLOATS)))
        array = np.array([rng.choice(values) for _ in range(len(tensor.raw_data) // np.dtype(kind).itemsize)], kind)
        tensor.raw_data = array.tobytes().ljust(len(tensor.raw_data), b"\0")


@_edited
def nodes(rng, graph):
    """Remove, double or move a node."""
    if not graph.node:
        return
    index = rng.randrange(len(graph.node))
    node = onnx.NodeProto()
    node.CopyFrom(graph.node[index])
    if rng.random() < 0.7:
        del graph.node[index]
    if rng.random() < 0.7:
        rest = list(graph.node)
        rest.insert(rng.randrange(len(rest) + 1), node)
        del graph.node[:]
        graph.node.extend(rest)


@_edited
def ends(rng, graph):
    """Remove an input or an output of a graph, or change its name or type."""
    field = rng.choice((graph.input, graph.output))
    if field:
        index = rng.randrange(len(field))
        how = rng.randrange(3)
        if how == 0:
            del field[index]
        elif how == 1:
            field[index].name = rng.choice(("", "W", "x", "absent"))
        else:
            field[index].type.tensor_type.elem_type = rng.randrange(25)


def versions(rng, content):
    model = onnx.load_model_from_string(content)
    model.opset_import[0].version = rng.choice((0, 1, 6, 8, 12, 13, 22, 1000, 2**62))
    return model.SerializeToString()


MUTATIONS = (
    *(bytes_of.flip_bits, bytes_of.flip_bits, bytes_of.cut, bytes_of.extend, bytes_of.move_bytes, bytes_of.move_bytes),
    *(names, operators, attributes, attributes, tensors, tensors, nodes, ends, versions),
)


# ---- loads of mutated files


def read(path):
    return qrnn.onnx.load(path)


def load(path, content):
    """Load a file that holds `content`; return "refused" or "loaded"; AssertionError for any other outcome."""
    path.write_bytes(content)
    tracemalloc.start()
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = read(path)
    except qrnn.FormatError:
        loaded = None
    finally:
        seconds, peak = time.perf_counter() - start, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert seconds < LIMIT, f"{seconds} seconds"
    assert peak < 8 * len(content) + SLACK, f"{peak} bytes of memory for a file of {len(content)}"
    if loaded is None:
        return "refused"
    assert (loaded.module is None) == bool(loaded.missing) and repr(loaded)
    for layer in loaded.layers.values():
        assert all(np.isfinite(array).all() for array in layer.state_dict().values() if array.dtype == np.float32)
    assert len(str(qrnn.onnx.summary(path))) > 0
    return "loaded"
