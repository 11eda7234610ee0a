"""Constructors of the recurrent layers of every kind: PyTorch's names, defaults and texts."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest
from support import assert_same_bits, assert_same_results, leaves, needs_torch
from support.layers import (
    BAD,
    CELLS,
    SEQUENCES,
    arguments,
    every,
    ids,
    inputs_of,
    make,
)

import qrnn
from qrnn import nn

pytestmark = pytest.mark.filterwarnings("error", "ignore:LSTM with projections:UserWarning")  # PyTorch's own


f32 = np.float32
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}


# ---------------------------------------------------------------------------------------------------
# Constructors
# ---------------------------------------------------------------------------------------------------
def test_signatures():
    """PyTorch's names in PyTorch's order, and after them, by keyword alone, ours."""
    rest = ["device", "dtype", "isa"]
    sequence = ["bias", "batch_first", "dropout", "bidirectional"]
    want = {
        "RNNCell": ["bias", "nonlinearity", *rest],
        "LSTMCell": ["bias", *rest],
        "GRUCell": ["bias", "device", "dtype", "reset_after", "isa"],
        "RNN": ["num_layers", "nonlinearity", *sequence, "device", "dtype", "proj_size", "isa"],
        "LSTM": ["num_layers", *sequence, "proj_size", *rest],
        "GRU": ["num_layers", *sequence, "device", "dtype", "reset_after", "proj_size", "isa"],
    }
    for name, names in want.items():
        parameters = inspect.signature(getattr(nn, name)).parameters
        assert list(parameters) == ["input_size", "hidden_size", *names, "options"]
        assert parameters["options"].kind is inspect.Parameter.VAR_KEYWORD
        keywords = [p.name for p in parameters.values() if p.kind is p.KEYWORD_ONLY]
        ours = {"isa", "reset_after"} | ({"proj_size"} if name in ("RNN", "GRU") else set())
        assert set(keywords) == ours & set(names)


@needs_torch
@pytest.mark.parametrize("name", CELLS)
def test_signatures_of_cells_are_torchs(name):
    import torch

    theirs = inspect.signature(getattr(torch.nn, name)).parameters
    ours = inspect.signature(getattr(nn, name)).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    for key, parameter in theirs.items():
        assert ours[key].default == parameter.default


@needs_torch
@pytest.mark.parametrize(
    "name, arguments",
    [
        ("RNN", (4, 3, 2, "relu", False, True, 0.25, True)),
        ("LSTM", (4, 3, 2, False, True, 0.25, True, 2)),
        ("GRU", (4, 3, 2, False, True, 0.25, True)),
    ],
)
def test_positional_arguments_are_torchs(name, arguments):
    import torch

    for count in range(2, len(arguments) + 1):
        ours, theirs = getattr(nn, name)(*arguments[:count]), getattr(torch.nn, name)(*arguments[:count])
        assert repr(ours) == repr(theirs)
        assert [(k, v.shape) for k, v in ours.state_dict().items()] == [
            (k, tuple(v.shape)) for k, v in theirs.state_dict().items()
        ]


@every
def test_parameters(name, options):
    module = make(name, options)
    state = module.state_dict()
    kind, hidden, inputs = name.removesuffix("Cell"), 4, 5
    rows, state_size = GATES[kind] * hidden, options.get("proj_size") or hidden
    want = {}
    ways = ("", "_reverse")[: 1 + options.get("bidirectional", False)]
    for layer in range(options.get("num_layers", 1)):
        for way in ways:
            end = "" if name in CELLS else f"_l{layer}{way}"
            want[f"weight_ih{end}"] = (rows, len(ways) * state_size if layer else inputs)
            want[f"weight_hh{end}"] = (rows, state_size)
            if options["bias"]:
                want[f"bias_ih{end}"] = want[f"bias_hh{end}"] = (rows,)
            if options.get("proj_size"):
                want[f"weight_hr{end}"] = (state_size, hidden)
    assert [(k, v.shape) for k, v in state.items()] == list(want.items())
    for key, value in state.items():
        assert value.dtype == f32 and np.abs(value).max() <= 0.5
        got = getattr(module, key)
        assert_same_bits(got, value)
        assert not got.flags.writeable and key in dir(module)
    assert module.nbytes >= sum(value.nbytes for value in state.values())


@needs_torch
@every
def test_it_looks_like_torchs(name, options):
    """The repr, the parameters in their order, and the attributes."""
    import torch

    for dropout in (0.0, 0.5) if name in SEQUENCES and options["num_layers"] > 1 else (None,):
        kwargs = options if dropout is None else {**options, "dropout": dropout}
        ours, theirs = make(name, kwargs), getattr(torch.nn, name)(5, 4, **kwargs)
        assert repr(ours) == repr(theirs)
        assert [(k, v.shape) for k, v in ours.state_dict().items()] == [
            (k, tuple(v.shape)) for k, v in theirs.state_dict().items()
        ]
        names = ["input_size", "hidden_size", "bias", "training"]
        if name in SEQUENCES:
            names += ["num_layers", "batch_first", "dropout", "bidirectional", "proj_size", "mode"]
        if name.startswith("RNN"):
            names.append("nonlinearity")
        for each in names:
            got, want = getattr(ours, each), getattr(theirs, each)
            assert got == want and type(got) is type(want), each


def test_reprs():
    for text in (
        "RNNCell(4, 3, bias=False, nonlinearity=relu)",
        "LSTMCell(4, 3)",
        "LSTMCell(4, 3, bias=False)",
        "GRUCell(4, 3)",
        "GRUCell(4, 3, bias=False, reset_after=False)",
        "RNN(4, 3)",
        "RNN(4, 3, num_layers=2, bidirectional=True)",
        "LSTM(4, 3, num_layers=2, batch_first=True)",
        "LSTM(4, 3, proj_size=2, num_layers=2, bias=False, batch_first=True, dropout=0.5)",
        "GRU(4, 3)",
        "GRU(4, 3, num_layers=3, reset_after=False)",
    ):
        assert repr(eval(f"nn.{text.replace('=relu', chr(61) + repr('relu'))}")) == text
    assert repr(nn.RNN(4, 3, nonlinearity="relu")) == "RNN(4, 3)", "as PyTorch"


def test_reset_after():
    for cls in (nn.GRU, nn.GRUCell):
        assert cls(4, 3).reset_after is True and cls(4, 3).kind == "gru"
        module = cls(4, 3, reset_after=False)
        assert module.reset_after is False and module.kind == "gru_reset_before"
    assert nn.GRU(4, 3, reset_after=False).mode == "GRU"
    with pytest.raises(AttributeError):
        module.reset_after = True


@pytest.mark.parametrize("name, changes, kind, text", BAD, ids=ids)
def test_bad_arguments(name, changes, kind, text):
    with pytest.raises(kind) as caught:
        getattr(nn, name)(**arguments(changes))
    assert str(caught.value).startswith(text)


@needs_torch
@pytest.mark.parametrize("name, changes, kind, text", BAD, ids=ids)
def test_bad_arguments_are_torchs(name, changes, kind, text):
    import torch

    with pytest.raises(kind) as caught:
        getattr(torch.nn, name)(**arguments(changes))
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize("name", CELLS + SEQUENCES)
def test_other_bad_arguments(name):
    cls = getattr(nn, name)
    for kwargs, kind, text in (
        ({"device": "cuda"}, ValueError, "device"),
        ({"dtype": np.float64}, ValueError, "dtype"),
        ({"isa": "no"}, ValueError, "isa"),
        ({"isa": 3}, TypeError, "isa"),
        ({"hidden_size": -1}, ValueError, "hidden_size"),
        ({"input_size": -1}, ValueError, "input_size"),
        ({"hidden_size": 3.5}, TypeError, "hidden_size"),
        ({"input_size": None}, TypeError, "input_size"),
        ({"num_layers": 1.0}, TypeError, "num_layers"),
        ({"nothing": 1}, TypeError, "nothing"),
    ):
        with pytest.raises(kind, match=text):
            cls(**arguments(kwargs))
    for dtype in (None, np.float32, qrnn.float32, "float32"):
        cls(5, 4, device="cpu", dtype=dtype)
    assert cls(np.int64(5), np.int32(4)).input_size == 5


def test_cells_without_input():
    for name in CELLS:
        module = make(name, {}, (0, 3))
        x, hx = inputs_of(module)
        assert leaves(module(x, hx))[0].shape == (3, 3)


@pytest.mark.parametrize("name", SEQUENCES)
def test_dropout_with_one_layer_warns(name):
    """As in PyTorch, and the warning names the caller's line."""
    text = "dropout option adds dropout after all but last recurrent layer.*dropout=0.5 and num_layers=1"
    with pytest.warns(UserWarning, match=text) as caught:
        module = getattr(nn, name)(4, 3, dropout=0.5)
    assert caught[0].filename == __file__ and len(caught) == 1
    assert module.dropout == 0.5
    assert getattr(nn, name)(4, 3, num_layers=2, dropout=1).dropout == 1.0
    module.dropout = 0.25
    assert repr(module) == f"{name}(4, 3, dropout=0.25)"
    x, hx = inputs_of(module)
    want = module(x, hx)
    assert_same_results(module.eval()(x, hx), want, "dropout acts in no inference")


@needs_torch
def test_warning_of_dropout_is_torchs():
    import torch

    texts = []
    for cls in (nn.LSTM, torch.nn.LSTM):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            cls(4, 3, dropout=0.5)
        texts += [(str(w.message), w.category) for w in caught]
    assert texts[0] == texts[1] and len(texts) == 2


def test_new_weights_come_from_the_one_generator():
    """In the order of PyTorch's parameters, uniform in +-1/sqrt(hidden_size)."""
    module = None
    for name, options in (
        ("GRUCell", {}),
        ("LSTM", {"num_layers": 2, "bidirectional": True, "proj_size": 9}),
    ):
        generator = qrnn.manual_seed(7)
        module = make(name, options, (20, 16))
        drawn = module.state_dict()
        assert max(np.abs(v).max() for v in drawn.values()) > 0.24
        for value in drawn.values():
            assert np.abs(value).max() <= 0.25
        generator = np.random.default_rng(np.random.SeedSequence(7))
        for key, value in drawn.items():
            assert_same_bits(value, generator.uniform(-0.25, 0.25, value.shape).astype(f32), key)
        qrnn.manual_seed(7)
        assert_same_bits(make(name, {**options, "bias": False}, (20, 16)).weight_ih_l0
                         if name == "LSTM" else make(name, {"bias": False}, (20, 16)).weight_ih,
                         next(iter(drawn.values())))  # fmt: skip
