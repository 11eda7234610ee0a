"""export_c: headers that C and C++ compile without a warning, and that give Python's bits frame by frame."""

from __future__ import annotations

import ctypes
import shutil

import numpy as np
import pytest
from support import HAVE_TORCH, ROOT
from support.c_library import COMPILER, needs_compiler, run
from support.precisions import QCONFIGS, drawn, weights_of

import qrnn
import qrnn.keras
import qrnn.onnx
from qrnn import nn
from qrnn import quantization as q
from qrnn._graph import Graph, Step

FLAGS = ("-pedantic-errors", "-Wall", "-Wextra", "-Werror", "-O1")
ENGINES = ("qrnn", "qrnn13", "fbgemm", "x86", "qnnpack", "onednn")
STEPS = 8


def flattened(model):
    """The modules that a frame goes through."""
    if isinstance(model, nn.Sequential):
        return [module for each in model for module in flattened(each)]
    return [model.layer if isinstance(model, (qrnn.onnx.RecurrentNode, qrnn.keras.RecurrentLayer)) else model]


class Chain(nn.Module):
    """What an exported model computes: modules one after the other, of which recurrent layers hand their output on."""

    def __init__(self, model):
        super().__init__()
        self.frames = nn.ModuleList(flattened(model))

    def forward(self, x):  # (1, features), or of an Embedding (1,)
        for module in self.frames:
            if isinstance(module, nn.Conv1d):
                x = module(x[..., None])[..., 0]
            elif getattr(module, "sequence", None) is not None:
                x = module(x[None])[0][0]
            else:
                x = module(x)
                x = x[0] if isinstance(x, tuple) else x
        return x


LAYERS = {
    "linear": lambda: nn.Linear(5, 4),
    "rnn_cell": lambda: nn.RNNCell(5, 4, nonlinearity="relu"),
    "lstm_cell": lambda: nn.LSTMCell(5, 4, bias=False),
    "gru_cell": lambda: nn.GRUCell(5, 4),
    "rnn": lambda: nn.RNN(5, 4, 2),
    "lstm": lambda: nn.LSTM(5, 4, 3),
    "gru": lambda: nn.GRU(5, 4, 2, bias=False),
}
#: Layers that PyTorch's engines have not.
OWN = {
    "projected": lambda: nn.LSTM(5, 4, 2, proj_size=3, proj_clip=0.2, cell_clip=0.5),
    "reset_before": lambda: nn.GRU(5, 4, 2, reset_after=False, clip=0.75),
    "reset_before_cell": lambda: nn.GRUCell(5, 4, reset_after=False),
    "peepholes": lambda: nn.LSTM(5, 4, 2, peepholes=True, input_forget=True, initial_states=True),
    "normalized": lambda: nn.LSTMCell(5, 4, layer_norm=0.01),
    "functions": lambda: nn.LSTM(5, 4, activations=("hard_sigmoid", ("elu", 0.5), "softsign")),
    "scaled": lambda: nn.GRU(5, 4, initial_states=True, activations=(("affine", 0.5, 0.25), ("scaled_tanh", 0.7, 1.5))),
}
#: Modules that compute no products, behind one that gives frames of 5.
SMALL = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softsign": nn.Softsign,
    "softplus": lambda: nn.Softplus(2.0, 1.5),
    "elu": lambda: nn.ELU(0.7),
    "leaky": lambda: nn.LeakyReLU(0.2),
    "hard": nn.Hardsigmoid,
    "clipped": lambda: nn.Hardtanh(-0.25, float("inf")),
    "softmax": lambda: nn.Softmax(dim=-1),
    "log_softmax": lambda: nn.LogSoftmax(dim=-1),
    "layer_norm": lambda: nn.LayerNorm(5, 1e-3),
    "layer_norm_alone": lambda: nn.LayerNorm(5, elementwise_affine=False),
    "batch_norm": lambda: nn.BatchNorm1d(5, 1e-3),
    "batch_norm_alone": lambda: nn.BatchNorm1d(5, affine=False),
    "conv": lambda: nn.Conv1d(5, 6, 3, padding="causal", dilation=2),
    "conv_of_groups": lambda: nn.Sequential(
        nn.Linear(5, 4), nn.Conv1d(4, 6, 2, padding="causal", groups=2, bias=False)
    ),
    "conv_of_one": lambda: nn.Conv1d(5, 2, 1),
}


def mixed(seed):
    layer = nn.Sequential(nn.LSTM(7, 8, 2), nn.Linear(8, 3))
    chosen = drawn(np.random.default_rng(seed), weights_of(layer))
    return qrnn.quantize_dynamic(
        layer, {"": q.engine_qconfig, **{name: QCONFIGS[each] for name, each in chosen.items()}}
    )


def calibrated():
    prepared = qrnn.prepare(nn.Sequential(nn.GRUCell(5, 4), nn.Linear(4, 3)), qconfig={}, inplace=False)
    prepared(np.random.default_rng(0).standard_normal((50, 5)).astype(np.float32))
    return qrnn.convert(prepared)


def tagger():
    inner = nn.Sequential(nn.GRU(4, 6, 2), nn.Dropout(0.1), nn.Linear(6, 5), nn.Softmax(dim=-1))
    return qrnn.quantize_dynamic(nn.Sequential({"words": nn.Embedding(9, 4), "rest": inner}))


def graph(options=None, extra=()):
    """A chain with what exporters of ONNX put between modules: other axes, states of zeros, sizes computed."""
    steps = [
        Step(("x",), ("shape",), function="shape"),
        Step(("shape",), ("batch",), function="slice", options={"starts": [1], "ends": [2]}),
        Step(("one", "batch", "size"), ("of_states",), function="concat", options={"axis": 0}),
        Step(("of_states",), ("zeros",), function="constant_of_shape", options=options),
        Step(("x", "", "zeros", "zeros"), ("y", "last", ""), module="lstm"),
        Step(("y",), ("squeezed",), function="squeeze", options={"axes": [1]}),
        Step(("squeezed",), ("turned",), function="transpose", options={"perm": [1, 0, 2]}),
        Step(("turned",), ("positive",), module="relu"),
        *extra,
        Step(("positive",), ("scores",), module="head"),
    ]
    modules = {"lstm": qrnn.onnx.RecurrentNode(nn.LSTM(5, 4)), "relu": nn.ReLU(), "head": nn.Linear(4, 2)}
    return Graph(["x"], ["scores"], steps, modules, {"one": np.array([1]), "size": np.array([4])})


def models():
    """Name and model of each case, and how it is stepped."""
    for name, make in LAYERS.items():
        yield name, make()
        yield from ((f"{name}_{engine}", qrnn.quantize_dynamic(make(), engine=engine)) for engine in ENGINES)
    for name, make in OWN.items():
        layer = make()
        for key, value in layer.named_parameters():
            if key[0] in "hc":  # learned states are zeros at first
                setattr(layer, key, np.linspace(-1, 1, value.size, dtype=np.float32).reshape(value.shape))
        yield name, layer
        yield from ((f"{name}_{engine}", qrnn.quantize_dynamic(layer, engine=engine)) for engine in ENGINES[:2])
    for name, make in SMALL.items():
        model = nn.Sequential(nn.Dropout(), nn.Linear(5, 5), make())
        for key, value in dict(model[2].named_parameters()).items():
            if key in ("weight", "bias"):
                setattr(model[2], key, np.random.default_rng(1).uniform(-1, 1, value.shape).astype(np.float32))
        yield name, model
    yield from ((f"mixed{seed}", mixed(seed)) for seed in range(3))
    yield "calibrated", calibrated()
    yield "tagger", tagger()
    yield "words", nn.Embedding(9, 4)
    yield "graph", graph()
    yield "graph_int8", qrnn.quantize_dynamic(graph())
    yield "of_onnx", nn.Sequential(qrnn.onnx.RecurrentNode(nn.LSTM(5, 4)), nn.Linear(4, 2))
    yield "of_keras", qrnn.quantize_dynamic(qrnn.keras.RecurrentLayer(nn.GRU(5, 4, batch_first=True)))


def sized(model):
    """The model, the size of what goes into it, and whether that is an index."""
    first = next(each for each in model.modules() if hasattr(each, "_spec") or isinstance(each, nn.Embedding))
    if isinstance(first, nn.Embedding):
        return first.num_embeddings, True
    return first._spec.input_size, False


@pytest.fixture(scope="module")
def exported(c_library, tmp_path_factory):
    """One library of all headers, and the models by name."""
    folder, texts, found = tmp_path_factory.mktemp("exported"), [], {}
    qrnn.manual_seed(5)
    for name, model in models():
        qrnn.export_c(model, folder / f"{name}.h")
        found[name] = model
        texts += [f"#define {name.upper()}_IMPLEMENTATION", f'#include "{name}.h"']
        texts += [
            f"const size_t {name}_sizes[3] = {{sizeof({name}_net), sizeof({name}_state), {name.upper()}_OUTPUT}};"
        ]
    (folder / "all.c").write_text("\n".join(texts))
    source = ("-shared", "-fPIC", f"-I{c_library}", folder / "all.c", c_library / "libqrnn.a")
    run(COMPILER, "-std=c99", *FLAGS, *source, "-lm", "-lpthread", "-o", folder / "all.so")
    return ctypes.CDLL(str(folder / "all.so")), found


class InC:
    """A model of the library."""

    def __init__(self, library, name, isa=None):
        self._library, self._name = library, name
        net, state, outputs = (ctypes.c_size_t * 3).in_dll(library, f"{name}_sizes")
        self._net, self._state = ctypes.create_string_buffer(net), ctypes.create_string_buffer(state)
        self._isa = None if isa is None else isa.encode()  # which has to live as long
        self._outputs = outputs
        assert self.call("init", self._net, self._isa) == 0
        self.call("reset", self._state)

    def call(self, what, *arguments):
        return getattr(self._library, f"{self._name}_{what}")(*arguments)

    def step(self, x):
        y = np.full(self._outputs, 77, np.float32)
        given = ctypes.c_int32(x) if isinstance(x, int) else x.ctypes.data_as(ctypes.c_void_p)
        return self.call("step", self._net, self._state, given, y.ctypes.data_as(ctypes.c_void_p)), y

    def steps(self, frames):
        found = []
        for frame in frames:
            status, y = self.step(frame)
            assert status == 0
            found.append(y)
        return np.array(found)


def frames_of(model, seed=3):
    size, index = sized(model)
    rng = np.random.default_rng(seed)
    return rng.integers(0, size, STEPS).tolist() if index else list(rng.standard_normal((STEPS, size), np.float32))


def in_python(model, frames):
    if isinstance(model, Graph):  # which has an axis of time
        stream = qrnn.stream(model)
        return np.array([stream(frame[None, None]).ravel() for frame in frames])
    stream = qrnn.stream(Chain(model))
    return np.array([stream(np.array([frame]))[0] for frame in frames])


@needs_compiler
def test_bits(exported):
    """Of every kind of layer and module, every engine, and matrices of every precision; one stream after another."""
    library, found = exported
    for name, model in found.items():
        frames = frames_of(model)
        compiled, want = InC(library, name), in_python(model, frames)
        for _ in range(2):
            np.testing.assert_array_equal(compiled.steps(frames), want, err_msg=name)
            compiled.call("reset", compiled._state)
        compiled.call("free", compiled._net)
    assert len(found) > 90


@needs_compiler
def test_instruction_sets(exported, isa):
    library, found = exported
    for name in ("lstm_qrnn", "gru", "peepholes_qrnn13", "tagger"):
        frames = frames_of(found[name])
        np.testing.assert_array_equal(
            InC(library, name, isa).steps(frames), in_python(found[name], frames), err_msg=name
        )


@needs_compiler
def test_what_fails_changes_nothing(exported):
    """A frame that an engine of PyTorch refuses, an index of no row, an instruction set that there is not."""
    library, found = exported
    for name, bad in (("lstm_fbgemm", np.full(5, np.nan, np.float32)), ("tagger", 9), ("tagger", -1)):
        frames = frames_of(found[name])
        compiled, want = InC(library, name), in_python(found[name], frames)
        begun = compiled.steps(frames[:3])
        status, y = compiled.step(bad)
        assert status != 0 and (y == 77).all()
        np.testing.assert_array_equal([*begun, *compiled.steps(frames[3:])], want)
    net = ctypes.create_string_buffer((ctypes.c_size_t * 3).in_dll(library, "lstm_sizes")[0])
    assert library.lstm_init(net, b"none") != 0
    assert not any(net.raw[: ctypes.sizeof(ctypes.c_void_p)])
    library.lstm_free(net)


@needs_compiler
@pytest.mark.parametrize("standard", ["c99", "c11", "c++17"])
def test_the_example(c_library, tmp_path, standard):
    """examples/c/exported.c, the program of docs/embedding.md."""
    compiler = COMPILER if standard != "c++17" else shutil.which("c++")
    if compiler is None:
        pytest.skip("NO C++ COMPILER: the example was compiled as C only")
    model = qrnn.quantize_dynamic(nn.Sequential(nn.LSTM(5, 8, 2), nn.Linear(8, 3), nn.Softmax(dim=-1)))
    qrnn.export_c(model, tmp_path / "model.h")
    source = ["-x", "c++" if standard == "c++17" else "c", ROOT / "examples/c/exported.c", "-x", "none"]
    flags = (f"-std={standard}", *FLAGS, f"-I{c_library}", f"-I{tmp_path}")
    run(compiler, *flags, *source, c_library / "libqrnn.a", "-lm", "-lpthread", "-o", tmp_path / "exported")
    frames = frames_of(model)
    printed = run(tmp_path / "exported", input="\n".join(" ".join(map(str, frame)) for frame in frames))
    got = np.array([line.split() for line in printed.splitlines()], np.float32)
    np.testing.assert_array_equal(got, in_python(model, frames))


@needs_compiler
@pytest.mark.skipif(not HAVE_TORCH, reason="NO PyTorch HERE: no model of it was exported")
def test_a_model_of_pytorch(tmp_path):
    import torch

    torch_model = torch.nn.Sequential(torch.nn.GRUCell(5, 4), torch.nn.Linear(4, 2))
    ours = nn.Sequential(nn.GRUCell(5, 4), nn.Linear(4, 2))
    ours.load_state_dict(torch_model.state_dict())
    qrnn.export_c(torch_model, tmp_path / "a.h", name="same")
    qrnn.export_c(ours, tmp_path / "b.h", name="same")
    texts = [(tmp_path / f"{each}.h").read_text().replace(f"{each}.h", "") for each in "ab"]
    assert texts[0] == texts[1]


class Mine(nn.Module):
    pass


REFUSED = {
    "both directions": (
        lambda: nn.LSTM(4, 3, bidirectional=True),
        "model: expected layers that read forwards, got the",
    ),
    "backwards": (lambda: nn.Sequential(nn.GRU(4, 3, reverse=True)), r"got 0 \(GRU\), which reads backwards"),
    "a class of a user": (lambda: nn.Sequential(Mine()), r"expected a Sequential of .*, got 0 \(Mine\)"),
    "prepared": (
        lambda: qrnn.prepare(nn.Sequential(nn.GRU(4, 3)), qconfig={}),
        "expected one that is converted or float",
    ),
    "sizes": (
        lambda: nn.Sequential(nn.Linear(4, 3), nn.Linear(4, 3)),
        r"expected frames of 4 for 1 \(Linear\), got .* 3",
    ),
    "another axis": (lambda: nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1)), "expected dim=-1 of 1"),
    "several axes": (lambda: nn.LayerNorm((4, 3)), "expected one dimension of the model"),
    "steps": (lambda: nn.Sequential(nn.Linear(4, 3), nn.Flatten()), r"got 1 \(Flatten\)"),
    "a stride": (lambda: nn.Conv1d(4, 3, 2, stride=2), "expected padding='causal' and stride=1"),
    "an index of a frame": (
        lambda: nn.Sequential(nn.Linear(4, 3), nn.Embedding(4, 3)),
        "expected an Embedding at the beg",
    ),
    "no size": (lambda: nn.Sequential(nn.Tanh()), "expected a layer that says how long frames are"),
    "nothing": (lambda: nn.Sequential(), "expected one with a layer in it"),
    "a graph with a state": (lambda: graph({"value": 0.5}), "modules that take a frame alone, got lstm with more"),
    "a graph that computes": (
        lambda: graph(extra=[Step(("positive",), ("more",), function="neg")]),
        "expected modules, got neg, which computes with a frame outside them",
    ),
    "a graph that goes back": (
        lambda: graph(extra=[Step(("squeezed", "positive"), ("more",), function="add")]),
        "expected steps one after the other, got add",
    ),
    "a graph of two inputs": (lambda: Graph(["a", "b"], ["b"], []), "a graph of one input and one output, got 2 and 1"),
    "constants": (lambda: qrnn.onnx.RecurrentNode(nn.GRU(4, 3), sequence_lens=[1]), "without a constant sequence_lens"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(tmp_path, case):
    make, text = REFUSED[case]
    with pytest.raises(ValueError, match=text):
        qrnn.export_c(make(), tmp_path / "model.h")
    assert not list(tmp_path.iterdir())


def test_hooks_are_refused(tmp_path):
    model = nn.Sequential(nn.Linear(4, 3))
    model.register_forward_hook(lambda module, given, result: -result)
    with pytest.raises(ValueError, match="expected modules without hooks"):
        qrnn.export_c(model, tmp_path / "model.h")


@pytest.mark.parametrize(
    "arguments, error, text",
    [
        (({}, "model.h"), TypeError, "model: expected a qrnn.nn.Module"),
        ((nn.Linear(4, 3), 5), TypeError, "path: expected a str or a PathLike, got int"),
        ((nn.Linear(4, 3), "model.h", 5), TypeError, "name: expected a str, got int"),
        ((nn.Linear(4, 3), "model.h", "1st"), ValueError, "name: expected a name of C, got '1st'"),
        ((nn.Linear(4, 3), "model.h", "static"), ValueError, "name: expected a name of C, got 'static'"),
    ],
)
def test_bad_arguments(arguments, error, text):
    with pytest.raises(error, match=text):
        qrnn.export_c(*arguments)


def test_names_of_files(tmp_path):
    for file, name in (("key word-2.h", "key_word_2"), ("2.h", "model_2"), ("class.h", "model_class"), ("x", "x")):
        qrnn.export_c(nn.Linear(4, 3), tmp_path / file)
        assert f"qrnn_status {name}_init(" in (tmp_path / file).read_text()
