"""Any object as any argument: a result or a documented exception, never a crash."""

from __future__ import annotations

import faulthandler
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import assert_same_bits, custom_cells
from support.hostile_objects import (
    Frees,
    OwnError,
    Text,
    f32,
    mostly_arrays,
    objects,
)

import qrnn
from qrnn import _core, nn
from qrnn import quantization as qz
from qrnn.nn.quantized import dynamic as qd


@pytest.fixture(autouse=True)
def no_hang():
    """A test that takes ten minutes is a hang: all stacks are printed and the run ends."""
    faulthandler.dump_traceback_later(600, file=sys.__stderr__, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()
    _core.set_num_threads(1)


DOCUMENTED = (TypeError, ValueError, RuntimeError, LookupError, MemoryError, OwnError)


# ---------------------------------------------------------------------------------------------------
# Calls
# ---------------------------------------------------------------------------------------------------
CELLS = {
    "RNNCell": qd.RNNCell(4, 3),
    "LSTMCell": qd.LSTMCell(4, 3, engine="fbgemm"),
    "GRUCell": nn.GRUCell(4, 3),
    "Linear": qd.Linear(4, 3),
    "RNN": qd.RNN(4, 3, num_layers=2, bidirectional=True, engine="qnnpack"),
    "LSTM": qd.LSTM(4, 3, batch_first=True),
    "GRU": nn.GRU(4, 3, bidirectional=True),
    "float LSTM": nn.LSTM(4, 3, proj_size=2),
    "Conv1d": nn.Conv1d(2, 3, 2, padding="causal"),
    "LayerNorm": nn.LayerNorm(4),
    "BatchNorm1d": nn.BatchNorm1d(4),
    "Embedding": nn.Embedding(4, 3),
    "Softmax": nn.Softmax(0),
    "Hardtanh": nn.Hardtanh(inplace=True),
    "Flatten": nn.Flatten(),
    "Cell": custom_cells.LSTM(4, 3),
    "Recurrent": nn.Recurrent(custom_cells.GRU(4, 3), num_layers=2, bidirectional=True),
}
STATES = {name: cell.state_dict() for name, cell in CELLS.items()}
CLASSES = {
    f"{home.__name__.rsplit('.', 1)[-1]}.{name}": getattr(home, name)
    for home in (nn, qd)
    for name in ("Linear", "RNNCell", "LSTMCell", "GRUCell", "RNN", "LSTM", "GRU")
}
CLASSES |= {
    f"nn.{name}": getattr(nn, name)
    for name in (
        "Conv1d",
        "LayerNorm",
        "BatchNorm1d",
        "Embedding",
        "Softmax",
        "Hardtanh",
        "Flatten",
        "Cell",
        "Recurrent",
    )
}
STREAM = qrnn.stream(nn.GRU(4, 3, batch_first=True), rows=2)
FUNCTIONS = {
    "apply": (_core.apply, ("name", "x", "isa", "out")),
    "_gates": (_core._gates, ("module", "x", "hx")),
    "quantize": (_core.quantize, ("engine", "v", "isa")),
    "_take_packed": (lambda *a, **k: _core.Module()._take_packed(*a, **k), ("other",)),
    "_unpack": (lambda *a, **k: CELLS["LSTM"]._unpack(*a, **k), ()),
    "_pack": (lambda *a, **k: _core.Module()._pack(*a, **k), ("sequence",)),
    "_pack of a cell": (
        lambda *a, **k: _core.Module()._pack("rnn_tanh", "qrnn", None, *a, **k),
        ("sequence",),
    ),
    "prepare": (qrnn.prepare, ("model", "inplace", "qconfig", "engine", "isa")),
    "convert": (qrnn.convert, ("model", "mapping", "inplace", "engine", "isa")),
    "quantize_dynamic": (qrnn.quantize_dynamic, ("model", "qconfig_spec", "dtype", "mapping", "inplace")),
    "engine": (qrnn.engine, ("name",)),
    "QTensor": (qrnn.QTensor, ("codes", "scale")),
    "QConfig": (qz.QConfig, ("activation", "weight")),
    "MinMaxObserver": (qz.MinMaxObserver, ("dtype", "qscheme", "reduce_range")),
    "observer": (lambda *a, **k: qz.MinMaxObserver()(*a, **k), ("x",)),
    "per-channel observer": (lambda *a, **k: qz.PerChannelMinMaxObserver()(*a, **k), ("x",)),
    "Sequential": (nn.Sequential, ()),
    "ModuleList": (nn.ModuleList, ("modules",)),
    "ModuleDict": (nn.ModuleDict, ("modules",)),
    "Parameter": (nn.Parameter, ("data",)),
    "register_buffer": (lambda *a, **k: nn.Module().register_buffer(*a, **k), ("name", "tensor")),
    "assign a parameter": (lambda value: setattr(nn.Conv1d(2, 3, 1), "bias", value), ()),
    "stream": (qrnn.stream, ("model", "rows")),
    "calls of a stream": (STREAM, ("input", "rows")),
    "add": (lambda *a, **k: qrnn.stream(nn.GRU(4, 3)).add(*a, **k), ("count", "state")),
    "drop": (lambda *a, **k: qrnn.stream(nn.GRU(4, 3)).drop(*a, **k), ("rows",)),
    "reset": (lambda *a, **k: qrnn.stream(nn.GRU(4, 3)).reset(*a, **k), ("rows",)),
    "state of a stream": (lambda value: setattr(STREAM, "state", value), ()),
    "from_float": (qd.RNNCell.from_float, ("mod", "engine", "isa")),
    "LSTM.from_float": (qd.LSTM.from_float, ("mod", "engine", "isa")),
    "set_weight_bias": (lambda *a, **k: qd.LSTMCell(4, 3).set_weight_bias(*a, **k), ("weight_bias_dict",)),
    "Linear.set_weight_bias": (lambda *a, **k: qd.Linear(4, 3).set_weight_bias(*a, **k), ("w", "b")),
    "load_state_dict": (lambda *a, **k: qd.GRUCell(4, 3).load_state_dict(*a, **k), ("state_dict", "strict")),
    "assign": (lambda value: setattr(nn.RNNCell(4, 3), "weight_ih", value), ()),
    "assign a bias": (lambda value: setattr(qd.LSTM(4, 3), "bias_ih_l0", value), ()),
    "num_threads": (lambda value: _core.set_num_threads(value), ())
    if hasattr(_core, "set_num_threads")
    else (lambda value: None, ()),
}


def survive(call, args, keywords):
    """A result or a documented exception."""
    try:
        return call(*args, **keywords)
    except DOCUMENTED:
        return None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CELLS)
@settings(max_examples=300)
@given(data=st.data())
def test_calls(name, data):
    """A module called with anything computes the same afterwards."""
    cell = CELLS[name]
    args = data.draw(st.lists(mostly_arrays, max_size=3))
    keywords = data.draw(
        st.dictionaries(st.sampled_from(["input", "hx", "lengths", "out", "nope"]), mostly_arrays, max_size=3)
    )
    survive(cell, args, keywords)
    survive(cell.forward, args, keywords)
    state = cell.state_dict()
    assert all(np.array_equal(state[key], value) for key, value in STATES[name].items())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "LSTM"])
@settings(max_examples=200)
@given(data=st.data())
def test_pairs(name, data):
    """States and results in pairs, lists, and what looks like them."""
    pair = st.one_of(objects, st.tuples(mostly_arrays, mostly_arrays), st.lists(mostly_arrays, max_size=3))
    out = st.one_of(pair, st.tuples(mostly_arrays, pair))
    x = np.zeros((2, 4), f32) if name != "LSTM" else np.zeros((2, 5, 4), f32)
    survive(CELLS[name], (x, data.draw(pair)), {"out": data.draw(out)})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CLASSES)
@settings(max_examples=150)
@given(data=st.data())
def test_constructors(name, data):
    args = data.draw(st.lists(objects, max_size=4))
    keywords = data.draw(
        st.dictionaries(
            st.sampled_from(
                [
                    "bias",
                    "nonlinearity",
                    "engine",
                    "isa",
                    "num_layers",
                    "bidirectional",
                    "dropout",
                    "proj_size",
                    "batch_first",
                    "device",
                    "dtype",
                    "reset_after",
                ]
            ),
            objects,
            max_size=3,
        )
    )
    survive(CLASSES[name], args, keywords)
    survive(CLASSES[name], (4, 3), keywords)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=150)
@given(data=st.data())
def test_functions(name, data):
    call, names = FUNCTIONS[name]
    args = data.draw(st.lists(objects, max_size=len(names) + 1 if names else 4))
    keywords = data.draw(st.dictionaries(st.sampled_from(names), objects, max_size=2)) if names else {}
    survive(call, args, keywords)


@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "LSTM"])
def test_arguments_that_change_while_others_are_converted(name):
    """`__array__` of one argument shrinks and drops the others: no freed memory is read or written."""
    for turn in range(50):
        x = np.zeros((2, 4), f32) if name != "LSTM" else np.zeros((2, 5, 4), f32)
        states = [np.zeros((2, 3), f32) if name != "LSTM" else np.zeros((1, 2, 3), f32) for _ in range(2)]
        outs = [np.zeros_like(v) for v in states]
        hx = states[0] if name == "RNNCell" else states
        evil = Frees([x, *states, *outs] if turn % 2 else [x])
        survive(CELLS[name], (evil, hx), {"out": outs[0] if name == "RNNCell" else outs})
        survive(CELLS[name], (x, evil if name == "RNNCell" else [evil, states[1]]), {})
        survive(CELLS[name], (x, hx), {"out": evil})


@pytest.mark.parametrize("engine", ["float32", "qrnn", "fbgemm"])
def test_inputs_written_by_another_thread(engine, isa):
    """Numbers, NaN and infinities come into the arrays of a call while it runs: it ends, in some result."""
    keywords = {"isa": isa} if engine == "float32" else {"isa": isa, "engine": engine}
    home = nn if engine == "float32" else qd
    cell, layer = home.LSTMCell(64, 96, **keywords), home.GRU(64, 96, **keywords)
    x, h, c = np.zeros((70, 64), f32), np.zeros((70, 96), f32), np.zeros((70, 96), f32)
    stop = threading.Event()

    def write():
        turn = 0
        while not stop.is_set():
            turn += 1
            for array_ in (x, h, c):
                array_[...] = (0.5, np.nan, 3e38, -np.inf, 1e-40)[turn % 5]

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(30):
            survive(cell, (x, (h, c)), {})
            survive(layer, (x.reshape(10, 7, 64),), {})
    finally:
        stop.set()
        thread.join()
    x[...] = h[...] = c[...] = 0
    assert_same_bits(cell(x, (h, c))[0], cell(x)[0])


def test_names_that_are_no_text():
    """Keywords reach C as they are: a str subclass, a surrogate."""
    cell = CELLS["RNNCell"]
    for key in (Text("input"), "\ud800", "a\0b", ""):
        survive(cell, (np.zeros((2, 4), f32),), {key: 1})
        survive(_core.apply, ("tanh", np.zeros(3, f32)), {key: 1})
