"""Memory: allocated blocks, references and process size before and after many calls, good and failing."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import weakref

import numpy as np
import pytest

import qrnn
from qrnn import _core, nn
from qrnn.nn.quantized import dynamic as qd

f32 = np.float32
CALLS = 2000
ALLOWED = 50  # blocks that come and go by themselves


@pytest.fixture(scope="module", autouse=True)
def nothing_else_to_collect():
    """Else each collection visits all objects of the run, which takes longer than the calls."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def growth(work, calls=CALLS):
    """How many blocks Python's allocator holds more after `calls` calls of work().

    The least of three rounds, for caches that settle in the first: a leak shows in each.
    """
    least = calls
    for _ in range(3):
        for _ in range(50):
            work()
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(calls):
            work()
        gc.collect()
        least = min(least, sys.getallocatedblocks() - before)
        if least < ALLOWED:
            break
    return least


def fails(call, *kinds):
    def work():
        try:
            call()
        except kinds:
            return
        raise AssertionError("this call was expected to fail")

    return work


def zeros(*shape):
    return np.zeros(shape, f32)


CELL = qd.RNNCell(4, 3)
FLOAT = nn.RNNCell(4, 3)
TORCH = qd.RNNCell(4, 3, engine="fbgemm")
X, H, OUT = zeros(2, 4), zeros(2, 3), zeros(2, 3)
NAN_X = np.full((2, 4), np.nan, f32)
SUMS = np.zeros(1, np.int64), np.zeros(2), np.zeros(4), np.zeros((4, 4))
STATE, WEIGHTS = CELL.state_dict(), CELL._weight_bias()
BAD_STATE = {**STATE, "bias_ih": zeros(7)}
ISA = _core.isas()[0]

GOOD = {
    "call": lambda: CELL(X, H),
    "call without a state": lambda: CELL(X),
    "call by keyword": lambda: CELL(input=X, hx=H, out=OUT),
    "call with out": lambda: CELL(X, H, out=OUT),
    "call in place": lambda: CELL(X, OUT, out=OUT),
    "float call": lambda: FLOAT(X, H),
    "converted input": lambda: CELL(X.astype(float), H.tolist()),
    "unbatched": lambda: CELL(X[0], H[0]),
    "linear": lambda: qd.Linear.__call__(LINEAR, X),
    "forward": lambda: CELL.forward(X, H),
    "gates": lambda: _core._gates(CELL, X, H),
    "quantize": lambda: _core.quantize("qrnn", X),
    "apply": lambda: _core.apply("tanh", X, ISA),
    "module": lambda: qd.RNNCell(4, 3),
    "from_float": lambda: qd.RNNCell.from_float(FLOAT),
    "weights": lambda: CELL.get_weight()["weight_ih"].dequantize(),
    "set weights": lambda: CELL.set_weight_bias(WEIGHTS),
    "assign": lambda: setattr(FLOAT, "bias_ih", H[0]),
    "properties": lambda: (
        CELL.engine,
        CELL.isa,
        CELL.nbytes,
        CELL.kind,
        CELL.input_size,
        CELL.bias_ih,
        repr(CELL),
    ),
    "state": lambda: CELL.load_state_dict(CELL.state_dict()),
    "deepcopy": lambda: copy.deepcopy(CELL),
    "pickle": lambda: pickle.loads(pickle.dumps(CELL)),
}
LINEAR, TORCH_LINEAR = qd.Linear(4, 3), qd.Linear(4, 3, engine="fbgemm")


def packed(kind, gates, engine="qrnn", sequence=None):
    """A module of the core: a cell, or a sequence."""
    layers, directions, _ = sequence or (1, 1, False)
    module = _core.Module()
    matrices = []
    for unit in range(layers * directions):
        columns = 4 if unit < directions else 3 * directions
        for n in (columns, 3):
            matrices.append((np.ones((3 * gates, n), np.int8), np.full((), 0.01, f32), zeros(3 * gates)))
    module._pack(kind, engine, None, *matrices, sequence=sequence)
    return module


LSTM, GRU = packed("lstm", 4), packed("gru", 3)
SEQUENCE = {
    kind: packed(kind, gates, sequence=(2, 2, False)) for kind, gates in (("lstm", 4), ("gru", 3), ("rnn_tanh", 1))
}
TORCH_LSTM, TORCH_CELL = packed("lstm", 4, "fbgemm", (1, 1, False)), packed("lstm", 4, "fbgemm")
S, S_STATE, S_OUT = zeros(5, 2, 4), zeros(4, 2, 3), zeros(5, 2, 6)
C, C_OUT, S_CELL, S_STATE_OUT, S_CELL_OUT = (
    zeros(2, 3),
    zeros(2, 3),
    zeros(4, 2, 3),
    zeros(4, 2, 3),
    zeros(4, 2, 3),
)
NAN_S = np.full((5, 2, 4), np.nan, f32)
S_OUTS = (S_OUT, (S_STATE_OUT, S_CELL_OUT))

GOOD |= {
    "lstm": lambda: LSTM(X, (H, C)),
    "lstm without a state": lambda: LSTM(X),
    "lstm with out": lambda: LSTM(X, (H, C), out=(OUT, C_OUT)),
    "lstm with lists": lambda: LSTM(X, [H, C], out=[OUT, C_OUT]),
    "lstm in place": lambda: LSTM(X, (OUT, C_OUT), out=(OUT, C_OUT)),
    "lstm crosswise": lambda: LSTM(X, (OUT, C_OUT), out=(C_OUT, OUT)),
    "lstm converted": lambda: LSTM(X.tolist(), (H.tolist(), C.astype(float))),
    "lstm gates": lambda: _core._gates(LSTM, X, (H, C)),
    "gru": lambda: GRU(X, H),
    "gru with out": lambda: GRU(X, H, out=OUT),
    "gru gates": lambda: _core._gates(GRU, X, H),
    "lstm sequence": lambda: SEQUENCE["lstm"](S, (S_STATE, S_CELL)),
    "gru sequence": lambda: SEQUENCE["gru"](S, S_STATE),
    "rnn sequence": lambda: SEQUENCE["rnn_tanh"](S),
    "unbatched sequence": lambda: SEQUENCE["lstm"](S[:, 0], (S_STATE[:, 0], S_CELL[:, 0])),
    "sequence with lengths": lambda: SEQUENCE["gru"](S, lengths=[5, 3]),
    "sequence with an array of lengths": lambda: SEQUENCE["gru"](S, lengths=np.array([5, 3])),
    "sequence with out": lambda: SEQUENCE["lstm"](S, (S_STATE, S_CELL), out=S_OUTS),
    "sequence with the output as out": lambda: SEQUENCE["gru"](S, out=S_OUT),
    "sequence with lists as out": lambda: SEQUENCE["lstm"](S, out=[S_OUT, [S_STATE_OUT, S_CELL_OUT]]),
    "sequence in place": lambda: SEQUENCE["lstm"](S, S_OUTS[1], out=S_OUTS),
    "torch sequence with out": lambda: TORCH_LSTM(S, out=zeros(5, 2, 3)),
    "pack a sequence": lambda: packed("gru", 3, sequence=(2, 2, True)),
    "pack again": lambda: GRU._take_packed(packed("gru", 3)),
    "sequence properties": lambda: (SEQUENCE["gru"].sequence, SEQUENCE["gru"].batch_first, GRU.proj_size),
    "unpack": lambda: [SEQUENCE["gru"]._unpack(5, what) for what in ("weight", "scale", "bias")],
    "threads": lambda: _core.set_num_threads(_core.get_num_threads()),
}

BAD = {
    "input size": fails(lambda: CELL(zeros(2, 5)), RuntimeError),
    "batch": fails(lambda: CELL(X, zeros(3, 3)), RuntimeError),
    "rank": fails(lambda: CELL(zeros(1, 2, 4)), ValueError),
    "no argument": fails(lambda: CELL(), TypeError),
    "keyword": fails(lambda: CELL(X, nope=1), TypeError),
    "complex": fails(lambda: CELL(X.astype(complex)), TypeError),
    "text state": fails(lambda: CELL(X, "text"), TypeError),
    "out shape": fails(lambda: CELL(X, H, out=zeros(3, 3)), ValueError),
    "out type": fails(lambda: CELL(X, H, out=np.zeros((2, 3))), ValueError),
    "nan": fails(lambda: TORCH(NAN_X), ValueError),
    "engine": fails(lambda: qd.RNNCell(4, 3, engine="no"), ValueError),
    "isa": fails(lambda: qd.RNNCell(4, 3, isa="no"), ValueError),
    "size": fails(lambda: qd.RNNCell(4, -1), ValueError),
    "depth": fails(
        lambda: _core.Module()._pack("linear", "qrnn", None, (np.zeros((1, 65794), np.int8), np.ones((), f32), None)),
        ValueError,
    ),
    "pack scale": fails(
        lambda: _core.Module()._pack("linear", "qrnn", None, (np.zeros((1, 4), np.int8), zeros(1), None)),
        ValueError,
    ),
    "pack tuple": fails(lambda: _core.Module()._pack("linear", "qrnn", None, (1, 2)), TypeError, ValueError),
    "not packed": fails(lambda: _core.Module()(X), RuntimeError),
    "unpack": fails(lambda: CELL._unpack(5, "weight"), ValueError, IndexError),
    "unpack what": fails(lambda: CELL._unpack(0, "no"), ValueError),
    "set weights": fails(lambda: CELL.set_weight_bias({"weight": {}, "bias": {}}), KeyError),
    "state": fails(lambda: CELL.load_state_dict(BAD_STATE), RuntimeError),
    "apply name": fails(lambda: _core.apply("no", X), ValueError),
    "apply out": fails(lambda: _core.apply("tanh", X, out=zeros(1)), ValueError),
    "quantize nan": fails(lambda: _core.quantize("fbgemm", NAN_X), ValueError),
    "gates shape": fails(lambda: _core._gates(CELL, zeros(2, 5)), RuntimeError),
    "share": fails(lambda: CELL._take_packed(3), TypeError),
    "lstm state": fails(lambda: LSTM(X, H), TypeError),
    "lstm three states": fails(lambda: LSTM(X, [H, C, C]), ValueError),
    "lstm cell state": fails(lambda: LSTM(X, (H, zeros(2, 5))), RuntimeError),
    "lstm text": fails(lambda: LSTM(X, (H.tolist(), "no")), TypeError),
    "lstm out": fails(lambda: LSTM(X, (H, C), out=(OUT, zeros(2, 5))), ValueError),
    "lstm out twice": fails(lambda: LSTM(X, (H, C), out=[OUT, OUT]), ValueError),
    "sequence size": fails(lambda: SEQUENCE["gru"](zeros(5, 2, 5)), RuntimeError),
    "sequence rank": fails(lambda: SEQUENCE["gru"](X[0]), ValueError),
    "sequence state": fails(lambda: SEQUENCE["lstm"](S, (S_STATE, S_OUT)), RuntimeError),
    "sequence of no steps": fails(lambda: SEQUENCE["gru"](S[:0]), RuntimeError),
    "lengths": fails(lambda: SEQUENCE["gru"](S, lengths=[5, 6]), ValueError),
    "lengths of floats": fails(lambda: SEQUENCE["gru"](S, lengths=[5, 5.0]), TypeError),
    "no lengths": fails(lambda: SEQUENCE["gru"](S, lengths=5), TypeError),
    "sequence out": fails(lambda: SEQUENCE["lstm"](S, out=[S_OUT, [S_STATE_OUT, S_STATE_OUT]]), ValueError),
    "sequence out of one": fails(lambda: SEQUENCE["gru"](S, out=(S_OUT,)), ValueError),
    "sequence nan": fails(lambda: TORCH_LSTM(NAN_S, out=zeros(5, 2, 3)), ValueError),
    "sequence nan without out": fails(lambda: TORCH_LSTM(NAN_S), ValueError),
    "sequence nan state": fails(lambda: TORCH_LSTM(S, (NAN_S[:1, :, :3], C[None])), ValueError),
    "sequence nan with lengths": fails(lambda: TORCH_LSTM(NAN_S, lengths=[5, 3]), ValueError),
    "layers nan": fails(lambda: TORCH_LSTM._forward_layers(NAN_S), ValueError),
    "lstm nan": fails(lambda: TORCH_CELL(NAN_X), ValueError),
    "lstm nan state": fails(lambda: TORCH_CELL(X, (NAN_X[:, :3], C)), ValueError),
    "lstm nan with out": fails(lambda: TORCH_CELL(NAN_X, (H, C), out=(OUT, C_OUT)), ValueError),
    "lstm nan beside out": fails(lambda: TORCH_CELL(NAN_X, (OUT, C_OUT), out=(C_OUT, OUT)), ValueError),
    "linear nan": fails(lambda: TORCH_LINEAR(NAN_X), ValueError),
    "gates nan": fails(lambda: _core._gates(TORCH_CELL, NAN_X), ValueError),
    "apply isa": fails(lambda: _core.apply("tanh", X, "no"), ValueError),
    "apply isa's type": fails(lambda: _core.apply("tanh", X, 3), TypeError),
    "quantize isa": fails(lambda: _core.quantize("qrnn", X, "no"), ValueError),
    "quantize engine": fails(lambda: _core.quantize("no", X), ValueError),
    "seen nan": fails(lambda: _core.fake_quantize("fbgemm", NAN_X), ValueError),
    "moments engine": fails(lambda: _core.add_moments("fbgemm", X, SUMS), ValueError),
    "pack without matrices": fails(lambda: packed("gru", 3, sequence=(0, 1, False)), TypeError, ValueError),
    "pack the wrong rows": fails(lambda: packed("gru", 4), ValueError),
    "unpack a sequence": fails(lambda: SEQUENCE["gru"]._unpack(8, "weight"), ValueError),
    "gates of a sequence": fails(lambda: _core._gates(SEQUENCE["gru"], S), ValueError),
    "no threads": fails(lambda: _core.set_num_threads(0), ValueError),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_calls(name):
    assert growth(GOOD[name], 500 if name == "pickle" else CALLS) < ALLOWED


@pytest.mark.parametrize("name", BAD)
def test_failing_calls(name):
    assert growth(BAD[name]) < ALLOWED


def test_this_file_sees_a_leak():
    kept = []
    assert growth(lambda: kept.append(object())) >= CALLS


def test_references():
    """A call keeps no reference to what it was given."""
    x, h, out = zeros(2, 4), zeros(2, 3), zeros(2, 3)
    s, state, s_out, rnn = zeros(5, 2, 4), (zeros(4, 2, 3), zeros(4, 2, 3)), zeros(5, 2, 6), SEQUENCE["lstm"]
    before = [sys.getrefcount(v) for v in (x, h, out, CELL, LSTM, s, *state, state, s_out, rnn)]
    for _ in range(100):
        CELL(x, h, out=out)
        CELL(x, h)
        fails(lambda: CELL(x, h, out=x), ValueError)()
        LSTM(x, (h, h), out=(out, h))
        fails(lambda: LSTM(x, [h, h], out=(out, out)), ValueError)()
        rnn(s, state, lengths=[5, 4], out=(s_out, state))
        fails(lambda: rnn(s, state, lengths=[5, 4], out=(s_out, (out, out))), ValueError)()
    assert [sys.getrefcount(v) for v in (x, h, out, CELL, LSTM, s, *state, state, s_out, rnn)] == before


def test_modules_can_be_collected():
    """Also from a cycle through an attribute, and a subclass's class with its module, where classes are mortal: in
    CPython 3.13 without a GIL they are not once a thread has started."""

    class Mine(qd.RNNCell):
        pass

    cell = Mine(4, 3)
    cell.me = [cell]
    watch, watch_class = weakref.ref(cell), weakref.ref(Mine)
    mortal = gc.is_tracked(Mine)
    del cell, Mine
    gc.collect()
    assert watch() is None
    assert watch_class() is None or not mortal


def test_packed_weights_are_freed():
    """Modules of 4 MB, made, copied, replaced and dropped: the process does not grow."""
    try:
        with open("/proc/self/statm"):
            pass
    except OSError:
        pytest.skip("NO /proc/self/statm HERE: the process's size was not measured")

    def resident():
        gc.collect()
        with open("/proc/self/statm") as f:
            return int(f.read().split()[1]) * 4096

    def once():
        weight = np.ones((1000, 1000), f32)
        module = _core.Module()
        module._pack("linear", "float32", None, (weight, None, None))
        other = _core.Module()
        other._take_packed(module)
        other._pack("linear", "float32", None, (weight, None, None))
        module._take_packed(other)
        fails(lambda: module._pack("linear", "float32", "no", (weight, None, None)), ValueError)()
        assert module.nbytes >= 4_000_000

    for _ in range(5):
        once()
    before = resident()
    for _ in range(60):
        once()
    assert resident() - before < 40e6


def test_scratch_is_kept_not_grown():
    """Calls of growing size reuse one buffer a thread."""
    cell = qrnn.RNNCell(500, 10)
    try:
        with open("/proc/self/statm") as f:
            f.read()
    except OSError:
        pytest.skip("NO /proc/self/statm HERE: the process's size was not measured")
    x = zeros(70, 500)
    for _ in range(20):
        cell(x)
    with open("/proc/self/statm") as f:
        before = int(f.read().split()[1])
    for _ in range(1000):
        cell(x)
    with open("/proc/self/statm") as f:
        assert (int(f.read().split()[1]) - before) * 4096 < 5e6
