"""TensorFlow Lite files as a whole: what surrounds recurrent layers, what is not read, and bad files."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from support.mutated_formats import run
from support.tflite_models import LSTMS, Writer, error, flatbuffers, lstm_case, of_litert, schema

import qrnn
import qrnn.tflite
from qrnn import nn
from qrnn.tflite._flatbuffer import Flatbuffer
from qrnn.tflite._operator_names import OPERATORS
from qrnn.tflite._schema import OPTIONS

X = np.random.default_rng(0).standard_normal((2, 5, 4)).astype(np.float32)
ACTIVATION = schema.ActivationFunctionType


@pytest.fixture
def load(tmp_path):
    def loaded(content):
        (tmp_path / "model.tflite").write_bytes(content)
        return qrnn.tflite.load(tmp_path / "model.tflite")

    return loaded


def ints(writer, *values, kind=np.int32):
    return writer.tensor("ints", array=np.array(values, kind))


def floats(writer, *shape, seed=0):
    return writer.tensor("floats", array=np.random.default_rng(seed).uniform(0.2, 1, shape).astype(np.float32))


def model_of(*steps, x=X):
    """A model whose operators follow one another: each a name, the result's shape, inputs before, after, options."""
    writer = Writer()
    value = first = writer.tensor("x", x.shape)
    for name, shape, before, after, options in steps:
        given = [*(make(writer) for make in before), value, *(make(writer) for make in after)]
        value = writer.tensor(f"{name}_y", shape)
        writer.operator(name, given, [value], **options)
    writer.ends([first], [value])
    return writer.content()


def one(name, shape=X.shape, before=(), after=(), **options):
    return [(name, shape, before, after, options)]


def dense(shape, **options):
    return one(
        "FULLY_CONNECTED",
        shape,
        after=(lambda w: floats(w, 3, 4), lambda w: floats(w, 3, seed=1)),
        **{"keepNumDims": True, **options},
    )


#: Chains of operators around recurrent layers.
CHAINS = {
    "dense": dense((2, 5, 3)),
    "dense, flat": dense((10, 3), keepNumDims=False, fusedActivationFunction=ACTIVATION.RELU),
    "dense, no bias": one(
        "FULLY_CONNECTED", (2, 5, 3), after=(lambda w: floats(w, 3, 4), lambda w: -1), keepNumDims=True
    ),
    "add": one("ADD", after=(lambda w: floats(w, 4),), fusedActivationFunction=ACTIVATION.RELU6),
    "sub": one("SUB", before=(lambda w: floats(w, 5, 4),), fusedActivationFunction=ACTIVATION.RELU_N1_TO_1),
    "mul": one("MUL", after=(lambda w: floats(w, 1),), fusedActivationFunction=ACTIVATION.RELU),
    "div": one("DIV", after=(lambda w: floats(w, 4),)),
    "maximum": one("MAXIMUM", after=(lambda w: floats(w, 4),)),
    "minimum": one("MINIMUM", after=(lambda w: floats(w, 4),)),
    "logistic": one("LOGISTIC"),
    "tanh": one("TANH"),
    "relu": one("RELU"),
    "relu6": one("RELU6"),
    "elu": one("ELU"),
    "exp": one("EXP"),
    "abs": one("ABS"),
    "neg": one("NEG"),
    "leaky relu": one("LEAKY_RELU", alpha=0.2),
    "softmax": one("SOFTMAX", beta=1.0),
    "log softmax": one("LOG_SOFTMAX"),
    "reshape": one("RESHAPE", (10, 4), after=(lambda w: ints(w, -1, 4),)),
    "transpose": one("TRANSPOSE", (5, 2, 4), after=(lambda w: ints(w, 1, 0, 2),)),
    "expand": one("EXPAND_DIMS", (2, 1, 5, 4), after=(lambda w: ints(w, 1),)),
    "squeeze": one("EXPAND_DIMS", (2, 1, 5, 4), after=(lambda w: ints(w, 1),)) + one("SQUEEZE", squeezeDims=[1]),
    "concatenation": one("CONCATENATION", (2, 5, 8), after=(lambda w: floats(w, 2, 5, 4),), axis=2),
    "pack": one("PACK", (2, 2, 5, 4), after=(lambda w: floats(w, 2, 5, 4),), valuesCount=2, axis=1),
    "slice": one("SLICE", (2, 2, 4), after=(lambda w: ints(w, 0, 1, 0), lambda w: ints(w, -1, 2, 4))),
    "last step": one(
        "STRIDED_SLICE",
        (2, 4),
        after=(lambda w: ints(w, 0, -1, 0), lambda w: ints(w, 0, 0, 0), lambda w: ints(w, 1, 1, 1)),
        beginMask=5,
        endMask=5,
        shrinkAxisMask=2,
    ),
    "every second step": one(
        "STRIDED_SLICE",
        (2, 2, 3),
        after=(lambda w: ints(w, 0, 1, 1), lambda w: ints(w, 2, 5, 4), lambda w: ints(w, 1, 2, 1)),
    ),
    "gather": one("GATHER", (2, 2, 4), after=(lambda w: ints(w, 3, 0),), axis=1),
    "reverse": one("REVERSE_V2", after=(lambda w: ints(w, 1),)),
    "mean": one("MEAN", (2, 4), after=(lambda w: ints(w, 1),)),
    "sum": one("SUM", (2, 1, 4), after=(lambda w: ints(w, 1),), keepDims=True),
    "max": one("REDUCE_MAX", (5, 4), after=(lambda w: ints(w, 0),)),
}


@pytest.mark.parametrize("name", CHAINS)
def test_operators(load, name):
    """A model without a recurrent layer has none."""
    content = model_of(*CHAINS[name])
    found = load(content)
    assert found.layers == {} and found.missing == []
    ours = found.module(X)
    assert error([ours], of_litert(content, X)) < 2e-6


@pytest.mark.parametrize("kind", ["SPLIT", "SPLIT_V", "UNPACK"])
def test_operators_with_several_results(load, kind):
    writer = Writer()
    x = writer.tensor("x", X.shape)
    shapes = {"SPLIT": [(2, 5, 2)] * 2, "SPLIT_V": [(2, 5, 1), (2, 5, 3)], "UNPACK": [(2, 4)] * 5}[kind]
    ends = [writer.tensor(f"y{i}", shape) for i, shape in enumerate(shapes)]
    if kind == "SPLIT":
        writer.operator(kind, [ints(writer, 2), x], ends, numSplits=2)
    elif kind == "SPLIT_V":
        writer.operator(kind, [x, ints(writer, 1, 3), ints(writer, 2)], ends, numSplits=2)
    else:
        writer.operator(kind, [x], ends, num=5, axis=1)
    writer.ends([x], ends)
    assert error(load(writer.content()).module(X), of_litert(writer.content(), X)) == 0


def speech_model(custom=None, int8=False):
    """Frames through a normalization, a dense layer, an LSTM, and a head for its last step."""
    rng, writer = np.random.default_rng(1), Writer()

    def matrix(*shape):
        array = rng.uniform(-0.5, 0.5, shape).astype(np.float32)
        if not int8:
            return writer.tensor("w", array=array)
        step = np.abs(array).max() / 127
        return writer.tensor("w", array=np.rint(array / step).astype(np.int8), scale=step)

    x = writer.tensor("frames", X.shape)
    scaled, inner, sequence = (
        writer.tensor(name, (2, 5, n)) for name, n in (("scaled", 4), ("in", 6), ("model/lstm", 3))
    )
    writer.operator("MUL", [x, floats(writer, 4)], [scaled])
    options = {"keepNumDims": True, "asymmetricQuantizeInputs": bool(int8)}
    writer.operator("FULLY_CONNECTED", [scaled, matrix(6, 4), floats(writer, 6)], [inner], 9 if int8 else 1, **options)
    given = [inner, *(matrix(3, 6) for _ in range(4)), *(matrix(3, 3) for _ in range(4)), -1, -1, -1]
    given += [floats(writer, 3, seed=k) for k in range(4)] + [-1, -1]
    given += [writer.tensor("state", (2, 3), variable=True) for _ in range(2)] + [-1] * 4
    options = {"timeMajor": False, "fusedActivationFunction": ACTIVATION.TANH, "asymmetricQuantizeInputs": bool(int8)}
    writer.operator("UNIDIRECTIONAL_SEQUENCE_LSTM", given, [sequence], 3 if int8 else 1, **options)
    last, scores = writer.tensor("last", (2, 3)), writer.tensor("scores", (2, 2))
    ends = [ints(writer, 0, -1, 0), ints(writer, 0, 0, 0), ints(writer, 1, 1, 1)]
    writer.operator("STRIDED_SLICE", [sequence, *ends], [last], beginMask=5, endMask=5, shrinkAxisMask=2)
    if custom:
        writer.operator("CUSTOM", [last], [scores], custom=custom)
    else:
        options = {"asymmetricQuantizeInputs": bool(int8)}
        writer.operator(
            "FULLY_CONNECTED", [last, matrix(2, 3), floats(writer, 2)], [scores], 9 if int8 else 1, **options
        )
    writer.ends([x], [scores])
    return writer.content()


def test_a_whole_model(load, tmp_path):
    content = speech_model()
    found = load(content)
    assert list(found.layers) == ["model/lstm"] and found.missing == []
    assert error([found.module(frames=X)], of_litert(content, X)) < 2e-6
    assert found.module.get_submodule("model/lstm") is found.layers["model/lstm"]
    quantized = qrnn.quantize_dynamic(found.module)
    assert error([quantized(X)], of_litert(content, X)) < 0.02
    text = str(qrnn.tflite.summary(tmp_path / "model.tflite"))
    assert text.splitlines()[0].startswith("model/lstm: UNIDIRECTIONAL_SEQUENCE_LSTM, float32 LSTM, input_size=6, ")
    assert text.splitlines()[1] == "others: 1 MUL, 2 FULLY_CONNECTED, 1 STRIDED_SLICE"


def test_a_whole_hybrid_model(load):
    found = load(speech_model(int8=True))
    assert type(found.layers["model/lstm"]) is qrnn.LSTM
    assert [type(each) for each in found.module.modules()].count(qrnn.Linear) == 2
    assert error([found.module(X)], of_litert(speech_model(int8=True), X)) < 1e-4


def test_no_random_number_is_drawn(load):
    drawn = []
    for read in (lambda: None, lambda: load(speech_model())):
        qrnn.manual_seed(0)
        read()
        drawn.append(nn.Linear(3, 2).weight)
    np.testing.assert_array_equal(*drawn)


def test_what_is_not_read_is_named(load, tmp_path):
    found = load(speech_model("FlexErf"))
    assert list(found.layers) == ["model/lstm"] and found.module is None
    assert found.missing == ["scores: CUSTOM FlexErf: no such operator is read"]
    assert "not read: scores: CUSTOM FlexErf" in str(qrnn.tflite.summary(tmp_path / "model.tflite"))
    rng = np.random.default_rng(0)
    refused = {
        "RELU6": {"activation": "RELU6"},
        "layer_norm: expected False with peepholes=True": {"peepholes": True, "layer_norm": True},
    }
    for text, options in refused.items():
        found = load(lstm_case(rng, options).content)
        assert found.layers == {} and found.module is None and text in found.missing[0]
        assert f"y0: {qrnn.tflite.summary(tmp_path / 'model.tflite').recurrent[0].problem}" == found.missing[0]


def test_fused_activations_that_have_no_effect_are_named(load):
    found = load(model_of(*one("MUL", after=(lambda w: floats(w, 1),), fusedActivationFunction=ACTIVATION.TANH)))
    assert found.missing == ["MUL_y: MUL: activation: expected NONE, RELU or one with bounds, got TANH"]


def test_operators_without_their_inputs_are_named(load):
    for name in ("ADD", "SPLIT", "FULLY_CONNECTED", "STRIDED_SLICE"):
        writer = Writer()
        x, y = writer.tensor("x", (2, 4)), writer.tensor("y", (2, 4))
        writer.operator(name, [x], [y])
        writer.ends([x], [y])
        assert load(writer.content()).missing == [f"y: {name}: expected an input 1, got none"]


def test_names_and_options_are_those_of_the_schema():
    known = {name: code for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    assert dict(zip(OPERATORS, range(len(OPERATORS)))) == known
    codes = {each: name for name, each in vars(schema.BuiltinOptions).items() if not name.startswith("_")}
    for name, (code, slots) in OPTIONS.items():
        made = getattr(schema, codes[code] + "T")()
        fields = [each for each in vars(made) if not each.startswith("_")]
        assert len(slots) <= len(fields), name
        values = [{"?": not default, "f": 0.5, "*": (1, 2), "i": 3, "b": 1}[kind] for _, kind, default in slots]
        for field, value in zip(fields, values):
            setattr(made, field, value)
        builder = flatbuffers.Builder(64)
        builder.Finish(made.Pack(builder), b"TFL3")
        table = Flatbuffer(bytes(builder.Output()), b"TFL3").root()
        for slot, (option, kind, default) in enumerate(slots):
            read = tuple(table.numbers(slot, "i4")) if kind == "*" else table.number(slot, kind, default)
            assert read == values[slot], (name, option)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("rows", [1, 3])
def test_scales_by_rows_and_by_columns(load, axis, rows):
    """A layer with codes has scales by rows; by columns they are multiplied out."""
    writer, rng = Writer(), np.random.default_rng(0)
    x, y = writer.tensor("x", (2, 4)), writer.tensor("y", (2, rows))
    codes, scales = rng.integers(-127, 128, (rows, 4)).astype(np.int8), rng.uniform(0.01, 0.1, (rows, 4)[axis])
    weight = writer.tensor("w", array=codes, scale=scales.astype(np.float32), axis=axis)
    writer.operator("FULLY_CONNECTED", [x, weight, -1], [y])
    writer.ends([x], [y])
    module = load(writer.content()).module
    assert type(module.y) is (qrnn.Linear if axis == 0 else nn.Linear)
    exact = X[0, :2].astype(np.float64) @ (codes * (scales[:, None] if axis == 0 else scales)).T
    assert error([module(X[0, :2])], [exact]) < 0.02


def test_single_steps_are_named(load):
    writer = Writer()
    x, y = writer.tensor("x", (1, 4)), writer.tensor("y", (1, 3))
    writer.operator("RNN", [x, floats(writer, 3, 4), floats(writer, 3, 3), floats(writer, 3), -1], [y])
    writer.ends([x], [y])
    assert load(writer.content()).missing == ["y: RNN: no such operator is read"]


# ---- bad files


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\x1c\0\0\0TFL3", b"\x08\0\0\0TFL3" + bytes(8), b"\xff" * 100])
def test_no_tflite_files(load, content):
    with pytest.raises(qrnn.FormatError, match=r"model.tflite: expected "):
        load(content)


def test_paths(tmp_path):
    for wrong in (None, 3, ["a"]):
        with pytest.raises(TypeError, match=r"path: expected a str or a PathLike, got "):
            qrnn.tflite.load(wrong)
    with pytest.raises(FileNotFoundError):
        qrnn.tflite.summary(tmp_path / "none.tflite")


def test_parts_that_come_again_and_again_are_refused(load):
    """A vector of many distances to one table with long vectors: quadratic work in a file of some kilobytes."""
    count = 10_000
    table, vector = 16, 4 * (count + 1)
    operator = bytes.fromhex("0800 0800 0000 0400".replace(" ", ""))  # a vtable whose second slot is at 4
    content = bytearray(lstm_case(np.random.default_rng(0), LSTMS["plain"]).content)
    graph = schema.Model.GetRootAs(content).Subgraphs(0)
    place = graph._tab.Offset(10) + graph._tab.Pos  # the operators
    start = len(content) + -len(content) % 4
    content += bytes(start - len(content))
    content[place : place + 4] = (start - place).to_bytes(4, "little")
    at = start + vector + 8
    content += count.to_bytes(4, "little")
    content += b"".join((at - (start + 4 + 4 * i)).to_bytes(4, "little") for i in range(count))
    content += operator + (8).to_bytes(4, "little") + (4).to_bytes(4, "little")
    content += count.to_bytes(4, "little") + bytes(4 * count)
    assert len(content) > table
    with pytest.raises(qrnn.FormatError, match="one that repeats them without end"):
        load(bytes(content))


def test_names_take_linear_time(load):
    """Thousands of values of one name; and an input that comes twice, which could be as many names."""
    writer = Writer()
    inputs = [writer.tensor("x", (1, 4)) for _ in range(5_000)]
    values = [inputs[0], *(writer.tensor("y", (1, 4)) for _ in range(5_000))]
    for x, y in itertools.pairwise(values):
        writer.operator("TANH", [x], [y])
    writer.ends(inputs, values[-1:])
    found = load(writer.content())
    assert list(found.module.inputs)[:3] == ["x", "x_2", "x_3"] and len(found.module.steps) == 5_000
    writer.ends(inputs[:1] * 2, values[-1:])
    with pytest.raises(qrnn.FormatError, match="expected each input once, got tensor 0 again"):
        load(writer.content())


def test_a_constant_of_too_many_dimensions(load):
    writer = Writer()
    x, y = writer.tensor("x", (1, 4)), writer.tensor("y", (1, 4))
    writer.operator("ADD", [x, writer.tensor("c", (1,) * 100, np.ones(1, np.float32))], [y])
    writer.ends([x], [y])
    with pytest.raises(qrnn.FormatError, match="tensor 'c': expected at most 32 sizes of 0 or more"):
        load(writer.content())


def test_many_layers_of_the_same_weights(load):
    """An operator of a hundred bytes is a copy of its weights."""
    writer, rng = Writer(), np.random.default_rng(0)
    x, weight = writer.tensor("x", (1, 300)), floats(writer, 300, 300)
    outputs = []
    for index in range(400):
        bias = writer.tensor("b", None, rng.standard_normal(300, np.float32))
        outputs.append(writer.tensor(f"y{index}", (1, 300)))
        writer.operator("FULLY_CONNECTED", [x, weight, bias], outputs[-1:])
    writer.ends([x], outputs)
    found = load(writer.content())
    assert found.module is None and "whose parts are used a few times" in found.missing[-1]


def test_mutated_files(tmp_path):
    """More of them: ``tests/check/files``."""
    outcomes = run(".tflite", 60, 0, tmp_path)
    assert len({outcome for _, outcome in outcomes}) == 2
