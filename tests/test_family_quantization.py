"""The quantized recurrent layers: PyTorch's interface; prepare, convert and quantize_dynamic of all kinds."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
import warnings

import numpy as np
import pytest
import reference as ref
from support import assert_same_bits, needs_torch
from test_family_nn import (
    ALL,
    BAD,
    CELLS,
    OURS,
    SEQUENCES,
    arguments,
    assert_same_results,
    ids,
    inputs_of,
    leaves,
    twin,
)

import qrnn
from qrnn import nn
from qrnn import quantization as q
from qrnn.nn.quantized import dynamic as qd

f32 = np.float32
ENGINES = ("qrnn", "fbgemm", "x86", "qnnpack", "onednn")
NAMES = (*CELLS, *SEQUENCES)
TENSOR, CHANNEL = q.default_dynamic_qconfig, q.per_channel_dynamic_qconfig

pytestmark = pytest.mark.filterwarnings("error", "ignore:LSTM with projections:UserWarning")  # PyTorch's own

#: Every kind with options of its own.
MIXED = [*ALL[::5], *ALL[-1:], *OURS]
mixed = pytest.mark.parametrize("name, options", MIXED, ids=ids)


@pytest.fixture
def quiet():
    """For PyTorch's own deprecation warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def only_ours(options):
    """Whether PyTorch quantizes nothing of the kind, so that its engines refuse it."""
    return bool(options.get("proj_size")) or options.get("reset_after") is False


def engine_for(options, engine="fbgemm"):
    return "qrnn" if only_ours(options) else engine


def make(name, options, sizes=(5, 4), **kwargs):
    return getattr(qd, name)(*sizes, **options, **kwargs)


# ---------------------------------------------------------------------------------------------------
# Constructors
# ---------------------------------------------------------------------------------------------------
def test_names():
    for name in (*NAMES, "Linear"):
        cls = getattr(qd, name)
        assert cls is getattr(qrnn, name) is getattr(qrnn.quantized.dynamic, name)
        assert cls is not getattr(nn, name) and name in qrnn.__all__ and name in qd.__all__
        assert name in nn.__all__


def test_signatures():
    rest, sequence = ["dtype", "engine", "isa"], ["bias", "batch_first", "dropout", "bidirectional", "dtype"]
    want = {
        "RNNCell": ["bias", "nonlinearity", *rest],
        "LSTMCell": ["bias", *rest],
        "GRUCell": ["bias", "dtype", "reset_after", "engine", "isa"],
        "RNN": ["num_layers", "nonlinearity", *sequence, "proj_size", "engine", "isa"],
        "LSTM": ["num_layers", *sequence, "proj_size", "engine", "isa"],
        "GRU": ["num_layers", *sequence, "reset_after", "proj_size", "engine", "isa"],
    }
    for name, names in want.items():
        parameters = inspect.signature(getattr(qd, name)).parameters
        assert list(parameters) == ["input_size", "hidden_size", *names]
        after = names[names.index("dtype") + 1 :]
        assert [p.name for p in parameters.values() if p.kind is p.KEYWORD_ONLY] == after


@pytest.mark.parametrize("name, options", ALL + OURS, ids=ids)
def test_constructor(name, options):
    module, model = make(name, options), getattr(nn, name)(5, 4, **options)
    assert repr(module) == f"DynamicQuantized{model!r}"
    assert module.engine == "qrnn" and module.training is True and module.weight_dtype is qrnn.qint8
    for each in ("input_size", "hidden_size", "bias", "kind", "sequence", "proj_size"):
        assert getattr(module, each) == getattr(model, each)
    if name in SEQUENCES:
        for each in ("num_layers", "batch_first", "bidirectional", "dropout", "mode"):
            assert getattr(module, each) == getattr(model, each)
        assert module.dtype is qrnn.qint8
    x, hx = inputs_of(module)
    assert [leaf.shape for leaf in leaves(module(x, hx))] == [leaf.shape for leaf in leaves(model(x, hx))]


@pytest.mark.parametrize("name, options", ALL + OURS, ids=ids)
def test_size(name, options):
    """Codes padded to 16 x 4 a gate, and at most 16 bytes a row beside them. A module has a head of some 250
    bytes and the laid-out block of a step of one row, some 500 (csrc/core/block.h), each unit 480."""

    def padded(n, to):
        return -(-n // to) * to

    module, packed = make(name, options, (37, 33)), 0
    for weight, _, matrix in module._named_matrices():
        rows, cols = matrix.weight.shape
        gates = 1 if "_hr" in weight else rows // 33
        packed += gates * padded(rows // gates, 16) * (padded(cols, 4) + 16)
    units = module.num_layers * module.num_directions if name in SEQUENCES else 1
    assert packed <= module.nbytes + 64 * 4 * units  # one scale a matrix may take less
    assert module.nbytes <= packed + 1024 + 480 * units


@pytest.mark.parametrize("name, changes, kind, text", BAD, ids=ids)
def test_bad_arguments(name, changes, kind, text):
    with pytest.raises(kind) as caught:
        getattr(qd, name)(**arguments(changes))
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize("name", NAMES)
def test_other_bad_arguments(name):
    cls = getattr(qd, name)
    for kwargs, kind, text in (
        ({"dtype": qrnn.float16}, ValueError, "dtype: there are no float16 modules"),
        ({"dtype": qrnn.quint8}, ValueError, "dtype"),
        ({"engine": "no"}, ValueError, "engine"),
        ({"isa": "no"}, ValueError, "isa"),
        ({"hidden_size": 0}, ValueError, "hidden_size"),
        ({"device": "cpu"}, TypeError, "device"),
    ):
        with pytest.raises(kind, match=text):
            cls(**arguments(kwargs))


def test_dropout_with_one_layer_warns():
    with pytest.warns(UserWarning, match="dropout option adds dropout") as caught:
        module = qd.LSTM(4, 3, dropout=0.5)
    assert caught[0].filename == __file__ and module.dropout == 0.5
    assert repr(module) == "DynamicQuantizedLSTM(4, 3, dropout=0.5)"


@needs_torch
@pytest.mark.parametrize("name", [name for name in NAMES if name != "RNN"])
def test_reprs_are_torchs(name, quiet):
    """Of what PyTorch has: no projection, and sequences with biases alone."""
    import torch.ao.nn.quantized.dynamic as tqd

    for options in [options for other, options in ALL if other == name and not only_ours(options)]:
        options = {key: value for key, value in options.items() if key != "proj_size"}
        if name in CELLS or options["bias"]:
            assert repr(make(name, options)) == repr(getattr(tqd, name)(5, 4, **options))


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_what_torchs_engines_lack(engine):
    """An error when the module is made or prepared, and it names the option."""
    cases = (
        ("LSTM", {"proj_size": 2}, "proj_size: expected 0"),
        ("GRU", {"reset_after": False}, "reset_after: expected True"),
        ("GRUCell", {"reset_after": False}, "reset_after: expected True"),
    )
    for name, options, expected in cases:
        text = f"{expected} with engine '{engine}'"
        with pytest.raises(ValueError, match=f"^{text}"):
            make(name, options, engine=engine)
        float_module = getattr(nn, name)(5, 4, **options)
        with pytest.raises(ValueError, match=f"^{text}"):
            getattr(qd, name).from_float(float_module, engine=engine)
        model = nn.Sequential(nn.Linear(3, 5), float_module)
        for call in (
            lambda model: qrnn.quantize_dynamic(model, engine=engine, inplace=True),
            lambda model: qrnn.prepare(model, qconfig={}, engine=engine),
        ):
            with pytest.raises(ValueError, match=f"^1: {text}"):
                call(model)
            assert type(model[0]) is nn.Linear and model[1] is float_module, "nothing has changed"


# ---------------------------------------------------------------------------------------------------
# from_float
# ---------------------------------------------------------------------------------------------------
@mixed
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("qconfig", [None, TENSOR, CHANNEL], ids=["none", "tensor", "channel"])
def test_from_float(name, options, engine, qconfig):
    model = getattr(nn, name)(5, 4, **options).eval()
    engine = engine_for(options, engine)
    if name in SEQUENCES:
        model.dropout = 0.5
    model.qconfig = qconfig
    module = getattr(qd, name).from_float(model, engine=engine)
    assert repr(module) == f"DynamicQuantized{model!r}"
    assert module.engine == engine and module.training is False and not hasattr(module, "qconfig")
    weights, biases = module.get_weight(), module.get_bias()
    assert [*weights] == [key for key in own_order(module) if key.startswith("weight")]
    for key, value in model.state_dict().items():
        if key.startswith("bias"):
            assert_same_bits(biases[key], value)
            assert_same_bits(getattr(module, key), value)
            continue
        if qconfig is None and engine == "qrnn":
            want = ref.weight_qrnn(value)
        else:
            want = ref.weight_torch(value, qconfig is CHANNEL)
        got = weights[key]
        np.testing.assert_array_equal(got.int_repr(), want.codes)
        assert_same_bits(got.q_per_channel_scales() if want.scale.ndim else f32(got.q_scale()), want.scale)
    x, hx = inputs_of(module)
    for got, want in zip(leaves(module(x, hx)), leaves(model(x, hx)), strict=True):
        assert got.shape == want.shape and np.abs(got - want).max() < 0.2


def own_order(module):
    """Names of weights and biases, in the order of state_dict."""
    return [key for key in module.state_dict() if not key.endswith("_scale")]


@needs_torch
@pytest.mark.parametrize("name, options", ALL, ids=ids)
def test_from_float_of_torchs_modules(name, options):
    import torch

    ours = getattr(nn, name)(5, 4, **options)
    theirs = twin(ours, torch).eval()
    if name in SEQUENCES:
        ours.dropout = theirs.dropout = 0.5
    a, b = (getattr(qd, name).from_float(module) for module in (ours, theirs))
    assert repr(a) == repr(b) and b.training is False
    for key, value in a.state_dict().items():
        np.testing.assert_array_equal(b.state_dict()[key], value)
    x, hx = inputs_of(a)
    assert_same_results(a(x, hx), b(x, hx))
    half = getattr(qd, name).from_float(theirs.double())
    assert_same_results(half(x, hx), a(x, hx))


@needs_torch
@pytest.mark.parametrize("qconfig", ["default_dynamic_qconfig", "per_channel_dynamic_qconfig"])
@pytest.mark.parametrize("name", ["LSTMCell", "GRUCell", "LSTM", "GRU"])
def test_weights_are_torch_aos(name, qconfig, quiet):
    """The same codes and scales under the same names, in both directions of the interface."""
    import torch

    options = {"num_layers": 2, "bidirectional": True} if name in SEQUENCES else {}
    model = getattr(torch.nn, name)(5, 4, **options)
    model.qconfig = getattr(torch.ao.quantization, qconfig)
    theirs = getattr(torch.ao.nn.quantized.dynamic, name).from_float(model)
    ours = getattr(qd, name).from_float(model, engine="fbgemm")
    for key, value in theirs.get_weight().items():
        got = ours.get_weight()[key]
        np.testing.assert_array_equal(got.int_repr(), value.int_repr().numpy())
        assert_same_bits(got.dequantize(), value.dequantize().numpy())
    assert set(ours.get_weight()) == set(theirs.get_weight())
    assert set(ours.get_bias()) == set(theirs.get_bias())
    assert {k: set(v) for k, v in ours._weight_bias().items()} == {k: set(v) for k, v in theirs._weight_bias().items()}
    other = make(name, options, engine="fbgemm")
    if name in SEQUENCES:
        other.set_weight_bias({**theirs.get_weight(), **theirs.get_bias()})
    else:
        other.set_weight_bias(theirs._weight_bias())
    x, hx = inputs_of(ours)
    assert_same_results(other(x, hx), ours(x, hx))


@pytest.mark.parametrize("name", NAMES)
def test_from_float_refuses(name):
    cls, float_type = getattr(qd, name), getattr(nn, name)

    class Changed(float_type):
        def forward(self, *args):
            return None

    class Same(float_type):
        pass

    others = [getattr(nn, other)(4, 3) for other in NAMES if other != name]
    for mod in (*others, cls(4, 3), None, Changed(4, 3)):
        with pytest.raises(TypeError, match=rf"mod: {name}\.from_float takes a qrnn\.nn\.{name} or"):
            cls.from_float(mod)
    assert type(cls.from_float(Same(4, 3))) is cls


@pytest.mark.parametrize("engine", ENGINES)
def test_biases_that_are_not_finite(engine):
    for model in (nn.LSTM(4, 3, 2, bidirectional=True), nn.GRUCell(4, 3)):
        for key, value in model.state_dict().items():
            if key.startswith("bias"):
                bad = copy.copy(model)
                setattr(bad, key, np.full(value.shape, np.nan))
                with pytest.raises(ValueError, match=rf"^{key}: .*nan"):
                    getattr(qd, type(model).__name__).from_float(bad, engine=engine)


@pytest.mark.parametrize("name", NAMES)
def test_weights_that_are_not_finite(name):
    model = getattr(nn, name)(4, 3)
    key = next(iter(model.state_dict()))
    value = np.zeros(getattr(model, key).shape)
    value[1, 2] = np.inf
    setattr(model, key, value)
    with pytest.raises(ValueError, match=rf"^{key}: expected finite weights, got inf at \(1, 2\)"):
        getattr(qd, name).from_float(model)
    with pytest.raises(ValueError, match=rf"^lstms\.0: {key}: expected finite"):
        outer = nn.Module()
        outer.lstms = nn.ModuleList([model])
        qrnn.quantize_dynamic(outer)


# ---------------------------------------------------------------------------------------------------
# Weights, state, copies
# ---------------------------------------------------------------------------------------------------
def set_all(module, weights, biases):
    if module.sequence:
        module.set_weight_bias({**weights, **biases})
    else:
        module.set_weight_bias({"weight": weights, "bias": biases})


@mixed
def test_weight_bias_api(name, options):
    first, second = make(name, options), make(name, options)
    both = first._weight_bias()
    assert list(both) == ["weight", "bias"]
    assert list(both["weight"]) == list(first.get_weight()) and list(both["bias"]) == list(first.get_bias())
    assert not any(key.startswith("bias_hr") for key in both["bias"])
    set_all(second, **{"weights": both["weight"], "biases": both["bias"]})
    x, hx = inputs_of(first)
    want = first(x, hx)
    assert_same_results(second(x, hx), want)
    key = list(both["weight"])[-1]
    for bad, kind in (
        ({key: qrnn.QTensor(np.ones((2, 2), np.int8), f32(1))}, ValueError),
        ({key: np.ones(first.get_weight()[key].shape)}, TypeError),
    ):
        with pytest.raises(kind, match=key):
            set_all(second, {**both["weight"], **bad}, both["bias"])
    with pytest.raises(KeyError, match=key):
        set_all(second, {k: v for k, v in both["weight"].items() if k != key}, both["bias"])
    if first.bias:
        key = list(both["bias"])[-1]
        with pytest.raises(ValueError, match="all given or all None"):
            set_all(second, both["weight"], {**both["bias"], key: None})
        with pytest.raises(ValueError, match=key):
            set_all(second, both["weight"], {**both["bias"], key: np.ones(99)})
        with pytest.raises(KeyError, match=key):
            set_all(second, both["weight"], {k: v for k, v in both["bias"].items() if k != key})
    assert_same_results(second(x, hx), want, "nothing has changed")
    without = dict.fromkeys(both["bias"])
    set_all(second, both["weight"], without)
    assert second.bias is False and second.get_bias() == without


@mixed
def test_attributes(name, options):
    module = make(name, options)
    for key, value in module.get_bias().items():
        if value is None:
            assert getattr(module, key) is None
            with pytest.raises(AttributeError, match=key):
                setattr(module, key, np.ones(4))
            continue
        setattr(module, key, np.full(value.shape, 0.5))
        assert (getattr(module, key) == 0.5).all() and not getattr(module, key).flags.writeable
        with pytest.raises(ValueError, match=key):
            setattr(module, key, np.ones(99))
    for key in module.get_weight():
        with pytest.raises(AttributeError, match=key):
            getattr(module, key)
        with pytest.raises(AttributeError, match=key):
            setattr(module, key, np.ones(4))
    for key in ("bias_ih_l9", "bias_hr_l0", "_all_weight_values"):
        with pytest.raises(AttributeError, match=key):
            getattr(module, key)


@mixed
@pytest.mark.parametrize("engine", ["qrnn", "fbgemm"])
def test_state_dict(name, options, engine):
    """Plain arrays under PyTorch's names; through a file into a module of either scheme."""
    engine = engine_for(options, engine)
    module, model = make(name, options, engine=engine), getattr(nn, name)(5, 4, **options)
    want = {}
    for key, value in model.state_dict().items():
        if key.startswith("bias"):
            want[key] = ("float32", value.shape)
        else:
            want[key] = ("int8", value.shape)
            want[f"{key}_scale"] = ("float32", value.shape[:1] if engine == "qrnn" else ())
    state = module.state_dict()
    assert [(k, (v.dtype.name, v.shape)) for k, v in state.items()] == list(want.items())
    assert all(type(v) is np.ndarray for v in state.values())
    file = io.BytesIO()
    np.savez(file, **state)
    for other_engine in {engine, engine_for(options, "qnnpack"), "qrnn"}:
        file.seek(0)
        other = make(name, options, engine=other_engine)
        with np.load(file) as stored:
            result = other.load_state_dict(stored)
        assert result.missing_keys == result.unexpected_keys == []
        for key, value in other.state_dict().items():
            assert value.shape == state[key].shape and (value == state[key]).all()
        if other_engine == engine:
            x, hx = inputs_of(module)
            assert_same_results(other(x, hx), module(x, hx))


def lstm_and_gru():
    return nn.Sequential(qd.LSTM(4, 3, 2, bidirectional=True, proj_size=2), qd.GRUCell(4, 3))


def test_loads_name_everything_at_once():
    model = lstm_and_gru()
    good = model.state_dict()
    bad = dict(good)
    del bad["0.weight_hr_l1_reverse"], bad["0.weight_hr_l1_reverse_scale"], bad["0.bias_hh_l0"]
    bad["1.weight_hr"] = np.zeros(1)
    bad["0.weight_ih_l1"] = np.zeros((12, 3), np.int8)
    bad["0.weight_hh_l1_scale"] = np.zeros((), f32)
    bad["0.weight_hr_l0_scale"] = np.full(2, np.nan, f32)
    bad["0.weight_hr_l0"] = np.full((2, 3), 0.5)
    bad["1.bias_ih"] = np.zeros(3)
    for strict in (True, False):
        with pytest.raises(RuntimeError) as caught:
            model.load_state_dict(bad, strict=strict)
        lines = str(caught.value).split("\n\t")
        assert lines.pop(0) == "Error(s) in loading state_dict for Sequential:"
        if strict:
            assert lines.pop(0) == (
                'Missing key(s) in state_dict: "0.bias_hh_l0", "0.weight_hr_l1_reverse", '
                '"0.weight_hr_l1_reverse_scale".'
            )
            assert lines.pop(0) == 'Unexpected key(s) in state_dict: "1.weight_hr".'
        assert lines == [
            "0.weight_hr_l0: expected int8 codes, got float64",
            "0.weight_hr_l0_scale: expected finite, positive scales",
            "size mismatch for 0.weight_ih_l1: copying a param with shape (12, 3) from checkpoint, "
            "the shape in current model is (12, 4).",
            "0.weight_hh_l1_scale: expected finite, positive scales",
            "size mismatch for 1.bias_ih: copying a param with shape (3,) from checkpoint, "
            "the shape in current model is (9,).",
        ]
        for key, value in model.state_dict().items():
            np.testing.assert_array_equal(value, good[key], "a failed load changes nothing")


def test_loads_that_are_not_strict():
    model = lstm_and_gru()
    good = model.state_dict()
    part = {"0.weight_hr_l0": np.full((2, 3), 7), "0.weight_hr_l0_scale": 0.5, "0.bias_ih_l1": np.ones(12)}
    part["nothing"] = 1
    result = model.load_state_dict(part, strict=False)
    assert result.unexpected_keys == ["nothing"]
    assert set(result.missing_keys) == set(good) - set(part)
    state = model.state_dict()
    assert (state["0.weight_hr_l0"] == 7).all() and state["0.weight_hr_l0_scale"] == f32(0.5)
    assert (state["0.bias_ih_l1"] == 1).all()
    for key in set(good) - set(part):
        np.testing.assert_array_equal(state[key], good[key])
    for one in ("0.weight_hh_l1_reverse", "0.weight_hh_l1_reverse_scale"):
        with pytest.raises(RuntimeError, match="weight_hh_l1_reverse_scale go together: got only one of them"):
            model.load_state_dict({one: good[one]}, strict=False)


def test_a_float_state_does_not_load():
    with pytest.raises(RuntimeError, match='Missing.*"weight_ih_l0_scale"'):
        qd.LSTM(4, 3).load_state_dict(nn.LSTM(4, 3).state_dict())


@pytest.mark.parametrize(
    "duplicate",
    [
        copy.copy,
        copy.deepcopy,
        lambda m: pickle.loads(pickle.dumps(m)),
        lambda m: pickle.loads(pickle.dumps(m, 2)),
    ],
)
def test_copies_keep_everything(duplicate):
    for name, options in MIXED:
        for engine in {engine_for(options), "qrnn"}:
            module = make(name, options, engine=engine).eval()
            if name in SEQUENCES:
                module.dropout = 0.25
            module.note = ["kept"]
            new = duplicate(module)
            x, hx = inputs_of(module)
            assert_same_results(new(x, hx), module(x, hx))
            assert type(new) is type(module) and repr(new) == repr(module) and new.note == ["kept"]
            assert (new.kind, new.sequence, new.proj_size) == (module.kind, module.sequence, module.proj_size)
            assert new.engine == engine and new.training is False
            for key, value in module.state_dict().items():
                assert new.state_dict()[key].shape == value.shape


def test_pickles_keep_no_instruction_set():
    for cls in (qd.LSTM, qd.GRUCell):
        scalar = cls(4, 3, isa="scalar")
        assert copy.deepcopy(scalar).isa == "scalar"
        assert pickle.loads(pickle.dumps(scalar)).isa == cls(4, 3).isa


# ---------------------------------------------------------------------------------------------------
# prepare, convert, quantize_dynamic
# ---------------------------------------------------------------------------------------------------
class Everything(nn.Module):
    """A module of each kind, and a few of their options."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(4, 5)
        self.rnn = nn.RNN(5, 4, 2, "relu", bias=False)
        self.lstm = nn.LSTM(4, 6, 2, bidirectional=True, dropout=0.25)
        self.gru = nn.GRU(12, 4)
        self.cells = nn.ModuleList([nn.RNNCell(4, 4), nn.LSTMCell(4, 4, bias=False), nn.GRUCell(4, 4)])

    def forward(self, x, lengths=None):
        y, _ = self.rnn(self.embed(x), lengths=lengths)
        y, (_, c) = self.lstm(y, lengths=lengths)
        y, h = self.gru(y, lengths=lengths)
        h = self.cells[0](y[-1], h[0])
        h, c = self.cells[1](h, (h, c[0, :, :4]))
        return self.cells[2](h, c)


LEAVES = ("embed", "rnn", "lstm", "gru", "cells.0", "cells.1", "cells.2")
X = np.random.default_rng(120).standard_normal((6, 3, 4)).astype(f32)


def named(model, *kinds):
    return {name for name, module in model.named_modules() if isinstance(module, kinds)}


def quantized(model):
    return named(model, *(getattr(qd, name) for name in (*NAMES, "Linear")))


@pytest.mark.parametrize("engine", ENGINES)
def test_quantize_dynamic(engine):
    model = Everything()
    new = qrnn.quantize_dynamic(model, engine=engine, isa="scalar")
    assert quantized(new) == set(LEAVES) and quantized(model) == set() and not new.training
    leaves_ = [module for name, module in new.named_modules() if name in LEAVES]
    assert {(module.engine, module.isa) for module in leaves_} == {(engine, "scalar")}
    assert repr(new) == (
        "Everything(\n"
        "  (embed): DynamicQuantizedLinear(in_features=4, out_features=5, dtype=qrnn.qint8, "
        f"qscheme=qrnn.per_{'channel' if engine == 'qrnn' else 'tensor'}_affine)\n"
        "  (rnn): DynamicQuantizedRNN(5, 4, num_layers=2, bias=False)\n"
        "  (lstm): DynamicQuantizedLSTM(4, 6, num_layers=2, dropout=0.25, bidirectional=True)\n"
        "  (gru): DynamicQuantizedGRU(12, 4)\n"
        "  (cells): ModuleList(\n"
        "    (0): DynamicQuantizedRNNCell(4, 4)\n"
        "    (1): DynamicQuantizedLSTMCell(4, 4, bias=False)\n"
        "    (2): DynamicQuantizedGRUCell(4, 4)\n"
        "  )\n"
        ")"
    )
    assert np.abs(new(X) - model(X)).max() < 0.2
    assert np.abs(new(X, lengths=[6, 2, 4]) - model(X, lengths=[6, 2, 4])).max() < 0.2


@pytest.mark.parametrize(
    "spec, expected",
    [
        ({nn.LSTM}, {"lstm"}),
        ({nn.GRU, nn.RNN}, {"gru", "rnn"}),
        ({nn.GRUCell, "lstm"}, {"cells.2", "lstm"}),
        ({nn.LSTMCell: TENSOR, nn.RNN: CHANNEL, "rnn": None}, {"cells.1"}),
        ({"cells": TENSOR}, {"cells.0", "cells.1", "cells.2"}),
        (None, set(LEAVES)),
    ],
    ids=str,
)
def test_spec(spec, expected):
    assert quantized(qrnn.quantize_dynamic(Everything(), spec)) == expected


@needs_torch
def test_spec_by_torchs_types():
    import torch

    spec = {torch.nn.LSTM, torch.nn.GRUCell, torch.nn.RNN}
    assert quantized(qrnn.quantize_dynamic(Everything(), spec)) == {"lstm", "cells.2", "rnn"}


def test_prepare_and_convert_in_place():
    model = Everything()
    want = model(X)
    assert qrnn.prepare(model, qconfig={}) is model
    assert [type(module).__name__ for name, module in model.named_modules() if name in LEAVES] == [
        f"Prepared{name}" for name in ("Linear", *SEQUENCES, *CELLS)
    ]
    assert repr(model.lstm) == ("PreparedLSTM(4, 6, num_layers=2, dropout=0.25, bidirectional=True, engine=qrnn)")
    assert repr(model.rnn) == "PreparedRNN(5, 4, num_layers=2, bias=False, engine=qrnn)"
    model.apply(qrnn.quantization.disable_observer)  # else convert rounds by X
    assert_same_bits(model(X), want, "a prepared model computes in float")
    plain = qrnn.quantize_dynamic(pickle.loads(pickle.dumps(model)))
    assert qrnn.convert(model) is model and quantized(model) == set(LEAVES)
    assert_same_bits(model(X), plain(X))
    assert model.lstm.dropout == 0.25


def test_prepare_copies():
    model = Everything()
    prepared = qrnn.prepare(model, qconfig={}, inplace=False)
    assert prepared is not model and quantized(prepared) == set()
    new = qrnn.convert(prepared)
    assert new is not prepared and quantized(new) == set(LEAVES) and type(prepared.gru).__name__ == "PreparedGRU"
    assert_same_bits(new(X), qrnn.quantize_dynamic(model)(X))


@mixed
@pytest.mark.parametrize("engine", ["qrnn", "fbgemm"])
def test_quantized_modules_get_their_codes_back(name, options, engine):
    """Those of weights that did not change; a changed one is quantized anew, and alone."""
    engine = engine_for(options, engine)
    model = nn.Sequential(make(name, options, engine=engine))
    before, weights = model.state_dict(), model[0].get_weight()
    x, hx = inputs_of(model[0])
    want = model[0](x, hx)
    qrnn.prepare(model, qconfig={})
    assert repr(model[0]).startswith(f"Prepared{name}(5, 4") and model[0]._prepared.engine == engine
    for key, value in weights.items():
        assert_same_bits(getattr(model[0], key), value.dequantize())
    kept = copy.deepcopy(model)
    qrnn.convert(model)
    assert_same_results(model[0](x, hx), want)
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[key])
    changed = next(iter(weights))
    weight = getattr(kept[0], changed) * 2
    setattr(kept[0], changed, weight)
    new = qrnn.convert(kept).state_dict()
    assert (new.pop(f"0.{changed}_scale") != before.pop(f"0.{changed}_scale")).any()
    anew = ref.weight_qrnn(weight) if engine == "qrnn" else ref.weight_torch(weight, False)
    before[f"0.{changed}"] = anew.codes
    for key, value in new.items():
        np.testing.assert_array_equal(value, before[key])


@mixed
def test_the_root_itself(name, options):
    model = getattr(nn, name)(5, 4, **options)
    new = qrnn.quantize_dynamic(model)
    assert type(new) is getattr(qd, name) and not new.training and model.training
    with pytest.raises(ValueError, match="inplace"):
        qrnn.quantize_dynamic(model, inplace=True)
    prepared = qrnn.prepare(model, qconfig={})
    assert prepared is not model and type(prepared).__name__ == f"Prepared{name}"
    back = qrnn.convert(prepared)
    x, hx = inputs_of(model)
    assert_same_results(prepared(x, hx), model(x, hx))
    assert_same_results(back(x, hx), new(x, hx))
    assert type(getattr(qd, name).from_float(prepared)) is getattr(qd, name)


def test_shared_submodules_stay_one():
    lstm, cell = nn.LSTM(4, 4, proj_size=3), nn.GRUCell(4, 4, reset_after=False)
    model = nn.Module()
    model.first, model.second, model.cells = lstm, lstm, nn.ModuleList([cell, cell])
    new = qrnn.quantize_dynamic(model)
    assert new.first is new.second and new.cells[0] is new.cells[1]
    assert type(new.first) is qd.LSTM and type(new.cells[0]) is qd.GRUCell
    qrnn.prepare(model, qconfig={})
    assert model.first is model.second and model.cells[0] is model.cells[1]
    qrnn.convert(model)
    assert model.first is model.second and type(model.first) is qd.LSTM


def test_engines_mix():
    """The engine is fixed at prepare; a quantized module keeps its own."""
    model = nn.Sequential(nn.LSTM(4, 3), qd.GRU(3, 3, engine="qnnpack"))
    with qrnn.engine("fbgemm"):
        qrnn.prepare(model, qconfig={})
    qrnn.convert(model)
    assert [module.engine for module in model] == ["fbgemm", "qnnpack"]
    model = qrnn.prepare(nn.Sequential(nn.LSTM(4, 3)), qconfig={}, engine="onednn")
    with pytest.raises(ValueError, match="0: engine: this module was prepared for 'onednn', got 'qrnn'"):
        qrnn.convert(model, engine="qrnn")


def test_a_subclass_that_overrides_forward_stays_float():
    class Mine(nn.LSTM):
        def forward(self, input, hx=None):
            return super().forward(input, hx)[0]

    model = nn.Sequential(Mine(4, 3), nn.GRU(3, 2))
    with pytest.warns(UserWarning, match=r"^0: .*Mine overrides forward or __call__ and is left float"):
        new = qrnn.quantize_dynamic(model)
    assert type(new[0]) is Mine and type(new[1]) is qd.GRU


def test_prepared_modules_keep_everything():
    for name, options in MIXED:
        prepared = qrnn.prepare(getattr(nn, name)(5, 4, **options), qconfig=CHANNEL, engine=engine_for(options))
        prepared.apply(qrnn.quantization.disable_observer)
        x, hx = inputs_of(prepared)
        for new in (copy.deepcopy(prepared), pickle.loads(pickle.dumps(prepared)), copy.copy(prepared)):
            assert repr(new) == repr(prepared) and new.qconfig.weight is not None
            assert_same_results(new(x, hx), prepared(x, hx))
            assert_same_results(qrnn.convert(new)(x, hx), qrnn.convert(prepared)(x, hx))


@needs_torch
def test_torchs_float_state_loads_and_converts():
    import torch

    theirs = torch.nn.LSTM(5, 4, 2, bidirectional=True, proj_size=3)
    ours = nn.LSTM(5, 4, 2, bidirectional=True, proj_size=3)
    ours.load_state_dict(theirs.state_dict())
    x, hx = inputs_of(ours)
    assert_same_results(qrnn.quantize_dynamic(ours)(x, hx), qd.LSTM.from_float(theirs)(x, hx))
