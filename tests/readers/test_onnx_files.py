"""ONNX files: paths, bytes and protos, data in other files, and files that are bad."""

from __future__ import annotations

import os
import pathlib

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="ONNX IS NOT INSTALLED: the reader of its files was not tested")
pytest.importorskip("onnxruntime", reason="ONNXRUNTIME IS NOT INSTALLED: the reader of ONNX files was not tested")
from onnx import TensorProto, helper, numpy_helper
from support import onnx_models
from support.mutated_formats import run

import qrnn
import qrnn.onnx


def model():
    return next(iter(onnx_models.around(np.random.default_rng(0))))


def test_paths_bytes_and_protos(tmp_path):
    made, path = model(), tmp_path / "model.bin"  # the extension says nothing
    path.write_bytes(made.proto.SerializeToString())
    (x,) = made.inputs.values()
    wanted = qrnn.onnx.load(made.proto).module(x)
    for source in (path, str(path), os.fsencode(path).decode(), path.read_bytes(), bytearray(path.read_bytes())):
        for a, b in zip(qrnn.onnx.load(source).module(x), wanted):
            assert (a == b).all()
    for source in (None, 3, ["model"], made):
        with pytest.raises(TypeError, match="path: expected a path, bytes or an onnx.ModelProto, got"):
            qrnn.onnx.load(source)
    with pytest.raises(FileNotFoundError):
        qrnn.onnx.load(tmp_path / "absent.onnx")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "expected an ONNX model, got 0 bytes without a graph"),
        (b"\x1c\0\0\0TFL3" + bytes(50), "expected an ONNX model"),
        (b"PK\x03\x04" + bytes(50), "expected an ONNX model"),
        (b"\x89HDF\r\n\x1a\n", "expected an ONNX model"),
        (b"\x08\x08\x12\x04test", "expected an ONNX model, got 8 bytes without a graph"),
    ],
)
def test_other_files(content, text, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    for source, name in ((path, str(path)), (content, "model")):
        with pytest.raises(qrnn.FormatError, match=text) as info:
            qrnn.onnx.load(source)
        assert str(info.value).startswith(f"{name}: ")
        with pytest.raises(qrnn.FormatError, match=text):
            qrnn.onnx.summary(source)


# ---- data in other files


def external(tmp_path, location="weights.bin", **fields):
    """A model whose weight lies in another file, and the path of it."""
    made = onnx_models.without_layers(np.random.default_rng(0))
    tensor = next(each for each in made.proto.graph.initializer if each.name == "W")
    (tmp_path / "weights.bin").write_bytes(b"1234" + tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": "4", **fields}.items():
        tensor.external_data.add(key=key, value=value)
    path = tmp_path / "model.onnx"
    path.write_bytes(made.proto.SerializeToString())
    return made, path


def test_external_data(tmp_path):
    made, path = external(tmp_path)
    inside = onnx_models.without_layers(np.random.default_rng(0))
    (x,) = made.inputs.values()
    assert (qrnn.onnx.load(path).module(x) == qrnn.onnx.load(inside.proto).module(x)).all()
    with pytest.raises(qrnn.FormatError, match=r"'W': its data are in the file 'weights.bin': give the path"):
        qrnn.onnx.load(made.proto)


@pytest.mark.parametrize(
    ("location", "text"),
    [
        ("../weights.bin", "expected data in a file below the model's folder"),
        ("a/../weights.bin", "expected data in a file below the model's folder"),
        ("/etc/passwd", "expected data in a file below the model's folder"),
        ("..\\weights.bin", "expected data in a file below the model's folder"),
        ("", "expected data in a file below the model's folder"),
        (".", "expected data in a file below the model's folder"),
        ("weights\0.bin", "expected data in a file below the model's folder"),
        ("absent.bin", "No such file"),
        ("link.bin", "expected its data in a plain file, no link, got 'link.bin'"),
        ("linked/weights.bin", "expected its data in a plain file, no link, got 'linked/weights.bin'"),
        ("folder", "expected its data in a plain file"),
    ],
)
def test_external_data_stay_inside(location, text, tmp_path):
    _, path = external(tmp_path, location)
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.bin").symlink_to(tmp_path / "weights.bin")
    (tmp_path / "linked").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(qrnn.FormatError, match=text):
        qrnn.onnx.load(path)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"offset": "5"}, "expected 60 bytes at 5 of 'weights.bin', which has 64"),
        ({"offset": "-4"}, "external data: expected offset to be a number, got '-4'"),
        ({"offset": "9" * 30}, "external data: expected offset to be a number"),
        ({"length": "59"}, "expected 60 bytes in 'weights.bin', got length 59"),
    ],
)
def test_places_of_external_data(fields, text, tmp_path):
    _, path = external(tmp_path, **fields)
    with pytest.raises(qrnn.FormatError, match=text):
        qrnn.onnx.load(path)


# ---- sizes


def of_tensor(tensor):
    """A model that adds a tensor to its input."""
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", info[:1], info[1:], [tensor])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_sizes_of_tensors():
    """Products that wrap around in 64 bits among them: those of the third shape are 4 there."""
    for dims, text in (
        ([3], r"'w': expected 12 bytes for FLOAT of shape \[3\], got 16"),
        ([-1, -4], "expected at most 32 sizes, none negative"),
        ([4194305, 4194305, 211106198978564], "expected 14855280471424563298789490688000 bytes|expected [0-9]* bytes"),
        ([2**62, 4, 4], "expected [0-9]* bytes"),
        ([1] * 40, "expected at most 32 sizes"),
    ):
        tensor = TensorProto(data_type=1, dims=dims, name="w", raw_data=bytes(16))
        with pytest.raises(qrnn.FormatError, match=text):
            qrnn.onnx.load(of_tensor(tensor))
        fields = TensorProto(data_type=1, dims=dims, name="w", float_data=[0.0] * 4)
        with pytest.raises(qrnn.FormatError, match="'w': expected"):
            qrnn.onnx.load(of_tensor(fields))


def test_types_of_tensors():
    """Every type that NumPy has, in bytes and in fields of numbers, and bfloat16; others are named."""
    values = np.array([[0, 1, 2], [3, 100, 1]])
    for number in (1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 16):
        kind = helper.tensor_dtype_to_np_dtype(number)
        array = values.astype(kind)
        for tensor in (
            numpy_helper.from_array(array, "w"),
            helper.make_tensor("w", number, array.shape, array.ravel().tolist()),
        ):
            read = qrnn.onnx.load(of_tensor(tensor)).module(np.zeros(3, np.float32))
            assert (np.asarray(read) == values.astype(bool) if number == 9 else read == values).all(), number
    for number in (8, 14, 17, 22, 99):
        with pytest.raises(qrnn.FormatError, match="'w': expected elements of FLOAT, .*, got type"):
            qrnn.onnx.load(of_tensor(TensorProto(data_type=number, dims=[1], name="w", raw_data=b"1")))


def grown(*nodes):
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    graph = helper.make_graph([*nodes, helper.make_node("Add", ["x", "big"], ["y"])], "g", info[:1], info[1:])
    graph.initializer.append(numpy_helper.from_array(np.array([2**20, 2**20]), "sizes"))
    graph.initializer.append(numpy_helper.from_array(np.ones((1, 1), np.float32), "one"))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_constants_that_would_take_all_memory():
    doubled = [
        helper.make_node("Concat", [name, name], [f"{name}1"], axis=0) for name in ("one" + "1" * i for i in range(40))
    ]
    doubled.append(helper.make_node("Identity", ["one" + "1" * 40], ["big"]))
    for nodes in (
        [helper.make_node("ConstantOfShape", ["sizes"], ["big"])],
        [helper.make_node("Expand", ["one", "sizes"], ["big"])],
        [helper.make_node("Tile", ["one", "sizes"], ["big"])],
        doubled,
    ):
        with pytest.raises(qrnn.FormatError, match="its constants take .* bytes, many times those of the file"):
            qrnn.onnx.load(grown(*nodes))


def test_values_that_nothing_gives():
    with pytest.raises(qrnn.FormatError, match="model: 'big' is taken, and nothing before it gives it"):
        qrnn.onnx.load(grown())
    twice = [helper.make_node("Neg", ["x"], ["big"]), helper.make_node("Abs", ["x"], ["big"])]
    with pytest.raises(qrnn.FormatError, match="gives 'big', which is given already"):
        qrnn.onnx.load(grown(*twice))


def test_mutated_files(tmp_path):
    """A sample; `make check` loads 10,000."""
    outcomes = run(".onnx", 150, 1, tmp_path)
    assert {outcome for _, outcome in outcomes} == {"loaded", "refused"}
    assert pathlib.Path(tmp_path / "mutated.onnx").exists()


# ---- streams

#: What exporters of torch.nn write for states that a caller left out: zeros for the batch of the input.
STREAMED = """<ir_version: 8, opset_import: ["" : 17]>
frames (float[steps, batch, 4] x) => (float[steps, batch, 2] y) {
    shape = Shape(x)
    batch = Slice(shape, one, two)
    sizes = Concat <axis = 0> (one, batch, hidden)
    h0 = ConstantOfShape(sizes)
    c0 = Expand(start, sizes)
    all = LSTM <hidden_size = 3> (x, W, R, , , h0, c0)
    flat = Squeeze(all, one)
    y = MatMul(flat, head)
}"""


def streamed(start=0.0):
    rng, model = np.random.default_rng(0), onnx.parser.parse_model(STREAMED)
    arrays = {"one": np.array([1]), "two": np.array([2]), "hidden": np.array([3]), "start": np.float32([[[start]]])}
    for name, shape in (("W", (1, 12, 4)), ("R", (1, 12, 3)), ("head", (3, 2))):
        arrays[name] = rng.standard_normal(shape, np.float32)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in arrays.items())
    return model


def test_streams_of_graphs_with_states_of_zeros():
    """Frame by frame and in blocks, for several streams, the bits of the whole; the model itself is as it was."""
    module = qrnn.onnx.load(streamed()).module
    x, steps = np.random.default_rng(1).standard_normal((9, 3, 4), np.float32), module.steps
    for model in (module, qrnn.quantize_dynamic(module)):
        want, s = model(x), qrnn.stream(model, rows=3)
        got = np.concatenate([s(each) for each in (x[:1], x[1:2], x[2:])])
        np.testing.assert_array_equal(got, want)
        alone = qrnn.stream(model)
        np.testing.assert_array_equal(np.concatenate([alone(each[None, 1:2]) for each in x]), want[:, 1:2])
    assert module.steps is steps and any("h0" in step.inputs for step in steps)


def test_streams_refuse_states_that_are_none_of_theirs():
    """What a call takes as a state, or begins with, is no state that a stream keeps."""
    s = qrnn.stream(qrnn.onnx.load(streamed(0.5)).module)
    with pytest.raises(RuntimeError, match="layer: expected a call without hx, as the stream keeps the state"):
        s(np.ones((1, 1, 4), np.float32))
    made = next(each for each in onnx_models.around(np.random.default_rng(0)) if each.name == "stacked states")
    with pytest.raises(RuntimeError, match="expected a call without hx"):
        qrnn.stream(qrnn.onnx.load(made.proto).module)(*made.inputs.values())


# ---- small files that ask for much


def test_many_nodes_with_the_same_weights():
    """A few bytes each for as many copies of a weight as nodes name it."""
    for node in (
        "h{0} = Gemm <alpha = 2.0, transB = 1> (x, R)",
        "y{0}, h{0} = GRU <hidden_size = 200> (f, W, S)",
        "g{0} = Conv (f, K)",
        "y{0} = com.microsoft.DynamicQuantizeMatMul(x, Q, s)",
    ):
        nodes = " ".join(node.format(index) for index in range(2_000))
        model = onnx.parser.parse_model(
            '<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>'
            f"m (float[b, 200] x, float[t, b, 200] f) => (float[b, 200] y) {{ {nodes} y = Identity(x) }}"
        )
        ones = np.ones((1, 600, 200), np.float32)
        arrays = {"R": ones[0, :200], "W": ones, "S": ones, "Q": np.ones((200, 200), np.int8), "s": np.float32([1])}
        arrays["K"] = np.ones((200, 200, 1), np.float32)
        used = {name: each for name, each in arrays.items() if f"{name}," in node or f"{name})" in node}
        model.graph.initializer.extend(numpy_helper.from_array(each, name) for name, each in used.items())
        with pytest.raises(qrnn.FormatError, match="its layers take .* bytes, many times those of the file"):
            qrnn.onnx.load(model)


def test_functions_that_multiply():
    """Twenty functions of two calls each are a million nodes."""
    functions = [
        helper.make_function(
            "f", f"F{i}", ["x"], ["y"],
            [helper.make_node(f"F{i - 1}" if i else "Neg", [a], [b], domain="f" if i else "") for a, b in ("xt", "ty")],
            [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)],
        )
        for i in range(20)
    ]  # fmt: skip
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("F19", ["x"], ["y"], domain="f")], "g", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]
    with pytest.raises(qrnn.FormatError, match="expected at most [0-9]+ nodes, those of functions at each call"):
        qrnn.onnx.load(helper.make_model(graph, opset_imports=opsets, functions=functions))
