"""The quantized recurrent layers of every kind: PyTorch's constructors, sizes, texts."""

from __future__ import annotations

import inspect

import pytest
from support import leaves, needs_torch
from support.layers import ALL, BAD, CELLS, OURS, SEQUENCES, arguments, ids, inputs_of
from support.quantized_layers import make, only_ours
from support.reference import TORCH_ENGINES

import qrnn
from qrnn import nn
from qrnn.nn.quantized import dynamic as qd

pytestmark = pytest.mark.filterwarnings("error", "ignore:LSTM with projections:UserWarning")  # PyTorch's own

NAMES = (*CELLS, *SEQUENCES)


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
        assert list(parameters) == ["input_size", "hidden_size", *names, "options"]
        assert parameters["options"].kind is inspect.Parameter.VAR_KEYWORD
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
    """Codes padded to 16 x 4 a gate, and at most 16 bytes a row beside them. A module has a head of some 400
    bytes and the laid-out block of a step of one row, some 500 (csrc/core/block.h), each unit 568."""

    def padded(n, to):
        return -(-n // to) * to

    module, packed = make(name, options, (37, 33)), 0
    for weight, matrix in module.get_weight().items():
        rows, cols = matrix.shape
        gates = 1 if "_hr" in weight else rows // 33
        packed += gates * padded(rows // gates, 16) * (padded(cols, 4) + 16)
    units = module.num_layers * module.num_directions if name in SEQUENCES else 1
    assert packed <= module.nbytes + 64 * 4 * units  # one scale a matrix may take less
    assert module.nbytes <= packed + 1120 + 568 * units


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
        ({"hidden_size": -1}, ValueError, "hidden_size"),
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


@pytest.mark.parametrize("engine", TORCH_ENGINES)
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
