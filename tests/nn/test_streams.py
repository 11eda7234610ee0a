"""Models called frame by frame, for one stream and for many: the bits of the whole, and of each stream alone."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support import assert_same_bits, needs_torch
from support.custom_cells import GRU as OwnGRU
from support.custom_cells import LSTM as OwnLSTM

import qrnn
from qrnn import nn

f32 = np.float32
ENGINES = ["float32", "qrnn", "qrnn13"]


class Spotter(nn.Module):
    """A keyword spotter: a causal convolution, two GRU layers and a layer of its own, a readout of each frame."""

    inputs = 10

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(10, 12, 5, padding="causal", dilation=2, groups=2)
        self.norm = nn.BatchNorm1d(12)
        self.first = nn.GRU(12, 8, batch_first=True)
        self.then = nn.Sequential(nn.LayerNorm(8), nn.ELU())
        self.second = nn.GRU(8, 8, num_layers=2, batch_first=True)
        self.head = nn.Sequential(nn.Linear(8, 4), nn.LogSoftmax(-1))

    def forward(self, x):
        x = self.norm(self.conv(x.swapaxes(1, 2))).swapaxes(1, 2)
        x = self.then(self.first(x)[0])
        return self.head(self.second(x)[0])


class TwoLayers(nn.Module):
    """A two-layer LSTM with a projection."""

    inputs = 6

    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(6, 9, num_layers=2, batch_first=True, proj_size=5)
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        return self.head(self.rnn(x)[0])


class Own(nn.Module):
    """Cells in Python, as a sequence."""

    inputs = 5

    def __init__(self):
        super().__init__()
        self.gru = nn.Recurrent(OwnGRU(5, 6), num_layers=2, batch_first=True)
        self.lstm = nn.Recurrent(OwnLSTM(6, 4), batch_first=True)

    def forward(self, x):
        return self.lstm(self.gru(x)[0])[0]


class Tagger(nn.Module):
    """Words, by integers, through an Embedding and an RNN."""

    inputs = None

    def __init__(self):
        super().__init__()
        self.words, self.rnn = nn.Embedding(30, 8), nn.RNN(8, 7, batch_first=True)

    def forward(self, words):
        return self.rnn(self.words(words))[0]


class Cells(nn.Module):
    """Cells, called once a frame: frames have no axis of time."""

    def __init__(self):
        super().__init__()
        self.rnn, self.lstm, self.own = nn.RNNCell(5, 6), nn.LSTMCell(6, 6), OwnLSTM(6, 4)
        self.gru = nn.GRUCell(4, 4)

    def forward(self, x):
        return self.gru(self.own(self.lstm(self.rnn(x))[0])[0])


MODELS = [Spotter, TwoLayers, Own, Tagger]


def make(cls, engine):
    qrnn.manual_seed(0)
    model = cls()
    return model if engine == "float32" else qrnn.quantize_dynamic(model, engine=engine)


def frames(model, rows, steps, seed=0):
    rng = np.random.default_rng(seed)
    if model.inputs is None:
        return rng.integers(0, 30, (rows, steps))
    return rng.normal(0, 1, (rows, steps, model.inputs)).astype(f32)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cls", MODELS)
def test_frames_in_blocks_of_any_size(cls, engine):
    """One by one, seven by seven and all at once, and as the model itself computes the whole."""
    model = make(cls, engine)
    x = frames(model, 3, 40)
    want = model(x)
    for size in (1, 7, 40):
        s = qrnn.stream(model, rows=3)
        outputs = [s(x[:, at : at + size]) for at in range(0, 40, size)]
        assert_same_bits(np.concatenate(outputs, axis=1), want)
    alone = qrnn.stream(model)
    assert_same_bits(alone(x[1:2]), want[1:2])
    alone.reset()
    assert_same_bits(alone(x[1:2]), want[1:2])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cls", MODELS)
def test_a_thousand_streams_that_come_and_go(cls, engine):
    """Whichever have a block are stepped as one batch; each has the bits that it gives alone."""
    model, rng = make(cls, engine), np.random.default_rng(1)
    s = qrnn.stream(model, rows=0)
    alive, fed, told = {}, [], []  # row -> stream

    def begin(count):
        for row in s.add(count):
            alive[row] = len(fed)
            fed.append([])
            told.append([])

    begin(1000)
    for tick in range(6):
        left = rng.choice(sorted(alive), 150, replace=False)
        s.drop(left)
        for row in left.tolist():
            del alive[row]
        begin(150)
        assert s.rows == tuple(sorted(alive)) and len(s) == 1000
        ready = rng.permutation(sorted(alive))[: rng.integers(1, 1001)]
        x = frames(model, len(ready), int(rng.integers(1, 4)), seed=tick)
        y = s(x, rows=ready)
        for row, given, got in zip(ready.tolist(), x, y, strict=True):
            fed[alive[row]].append(given)
            told[alive[row]].append(got)
    assert len(fed) == 1000 + 6 * 150
    for given, got in zip(fed, told, strict=True):
        if given:
            assert_same_bits(model(np.concatenate(given)[None])[0], np.concatenate(got))


@pytest.mark.parametrize("engine", ENGINES)
def test_cells_called_once_a_frame(engine):
    model = make(Cells, engine)
    x, states, want = np.random.default_rng(0).normal(0, 1, (12, 3, 5)).astype(f32), [None] * 4, []
    for frame in x:
        states[0] = model.rnn(frame, states[0])
        states[1] = model.lstm(states[0], states[1])
        states[2] = model.own(states[1][0], states[2])
        states[3] = model.gru(states[2][0], states[3])
        want.append(states[3])
    s, one = qrnn.stream(model, rows=3), qrnn.stream(model)
    for frame, y in zip(x, want, strict=True):
        assert_same_bits(s(frame), y)
        assert_same_bits(one(frame[1]), y[1])  # unbatched
    assert list(s.state) == ["rnn.h", "lstm.h", "lstm.c", "own.h", "own.c", "gru.h"]
    assert_same_bits(s.state["lstm.c"], states[1][1])


def test_unbatched_sequences():
    for cls in (Own, TwoLayers):
        model = make(cls, "qrnn")
        x = frames(model, 1, 9)
        s = qrnn.stream(model)
        got = np.concatenate([s(x[0, :4]), s(x[0, 4:])])
        assert_same_bits(got, model(x)[0])
    conv = nn.Conv1d(2, 2, 3, padding="causal")
    s, x = qrnn.stream(conv), frames(Spotter, 2, 8)[0, :8, :2].T
    assert_same_bits(np.concatenate([s(x[:, :1]), s(x[:, 1:])], axis=1), conv(x))


def test_layers_by_themselves_and_steps_first():
    x = np.random.default_rng(0).normal(0, 1, (9, 2, 4)).astype(f32)
    for layer in (nn.LSTM(4, 3, num_layers=2), qrnn.GRU(4, 3), nn.RNNCell(4, 3), nn.Recurrent(OwnGRU(4, 3))):
        s = qrnn.stream(layer, rows=2)
        assert isinstance(s._model, type(layer)) and type(layer).__name__ in repr(s)
        if isinstance(layer, nn.RNNCell):
            assert_same_bits(s(x[1]), layer(x[1]))
            assert_same_bits(s(x[2]), layer(x[2], layer(x[1])))
            continue
        first, last = s(x[:4]), s(x[4:])
        output, states = layer(x)
        assert_same_bits(np.concatenate([first[0], last[0]]), output)
        h = states[0] if isinstance(states, tuple) else states
        assert_same_bits(s.state["h"], h.swapaxes(0, 1))


@needs_torch
def test_tensors():
    import torch

    model = make(TwoLayers, "qrnn")
    x, s = frames(model, 2, 6), qrnn.stream(model, rows=2)
    got = torch.cat([s(torch.from_numpy(x[:, :2])), s(torch.from_numpy(x[:, 2:]))], dim=1)
    assert_same_bits(got.numpy(), model(x))


def test_a_stream_keeps_the_weights_that_the_model_had():
    model = make(TwoLayers, "float32")
    x, s = frames(model, 1, 5), qrnn.stream(model)
    want = model(x)
    model.head.weight = np.zeros((3, 5))
    assert_same_bits(s(x), want)
    assert type(model.rnn) is nn.LSTM and model.rnn(x)[0].shape == (1, 5, 5), "the model itself has no state"


# ---------------------------------------------------------------------------------------------------
# State and rows
# ---------------------------------------------------------------------------------------------------
def test_state_is_saved_and_restored(tmp_path):
    model = make(Spotter, "qrnn")
    x, s = frames(model, 3, 20), qrnn.stream(model, rows=3)
    s(x[:, :9])
    np.savez(tmp_path / "state.npz", **s.state)
    want = s(x[:, 9:])
    other = qrnn.stream(model, rows=3)
    with np.load(tmp_path / "state.npz") as state:
        other.state = state
        assert_same_bits(other(x[:, 9:]), want)
        moved = {name: array[1:2] for name, array in state.items()}
    fresh = qrnn.stream(model, rows=1)
    row = fresh.add(state=moved)
    assert (row, fresh.rows) == (1, (0, 1))
    assert_same_bits(fresh(x[1:2, 9:], rows=row), want[1:2])
    assert list(s.state) == ["conv.frames", "first.h", "second.h"]
    assert [array.shape for array in s.state.values()] == [(3, 10, 8), (3, 1, 8), (3, 2, 8)]


def test_rows_come_and_go():
    model = make(TwoLayers, "qrnn")
    s, x = qrnn.stream(model, rows=4), frames(model, 4, 3)
    once = s(x)
    s.reset([1, 2])
    assert [row.any() for row in s.state["rnn.h"]] == [True, False, False, True]
    assert_same_bits(s(x[1:3], rows=np.array([1, 2])), once[1:3])
    s.drop([2, 0])
    assert s.rows == (1, 3) and s.state["rnn.c"].shape == (2, 2, 9)
    assert s.add(3) == [0, 2, 4] and s.add() == 5 and len(s) == 6
    assert_same_bits(s(x[[3, 0]], rows=(4, 0)), once[[3, 0]])  # from zeros, in the order of rows
    assert s(x[:0], rows=[]).shape == (0, 3, 3)
    s.drop(s.rows)
    assert s.rows == () and s.state["rnn.h"].shape == (0, 2, 5)


def test_a_call_that_fails_changes_nothing():
    model = make(Spotter, "float32")
    s, x = qrnn.stream(model), frames(model, 1, 4)
    s(x)
    before = s.state
    object.__setattr__(s._model.head, "forward", lambda x: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        s(x)
    for name, array in s.state.items():
        assert_same_bits(array, before[name])


def test_streams_in_many_threads():
    """Rows of one stream, each in a thread of its own, and streams of one model side by side."""
    model = make(Spotter, "qrnn")
    x = frames(model, 8, 40)
    want, s = model(x), qrnn.stream(model, rows=8)

    def serve(row):
        return np.concatenate([s(x[row : row + 1, at : at + 1], rows=row) for at in range(40)], axis=1)[0]

    with ThreadPoolExecutor(8) as pool:
        for row, got in enumerate(pool.map(serve, range(8))):
            assert_same_bits(got, want[row])


# ---------------------------------------------------------------------------------------------------
# Engines whose scale belongs to the whole batch
# ---------------------------------------------------------------------------------------------------
def test_a_torch_engine_depends_on_its_blocks():
    """It streams, with the state kept; blocks and neighbours change its scales, and so its bits."""
    model = qrnn.quantize_dynamic(nn.GRU(6, 9, num_layers=2), engine="fbgemm")
    x = np.random.default_rng(0).normal(0, 1, (40, 3, 6)).astype(f32)
    s, whole = qrnn.stream(model, rows=3), qrnn.stream(model, rows=3)
    pieces = np.concatenate([s(x[at : at + 7])[0] for at in range(0, 40, 7)])
    assert_same_bits(whole(x)[0], model(x)[0])
    assert 0 < np.abs(pieces - model(x)[0]).max() < 0.05


# ---------------------------------------------------------------------------------------------------
# Errors
# ---------------------------------------------------------------------------------------------------
class Calls(nn.Module):
    """A model that calls its layer as it is told."""

    def __init__(self, call):
        super().__init__()
        self.rnn, self.call = nn.GRU(4, 4, batch_first=True), call

    def forward(self, x):
        return self.call(self.rnn, x)


def in_a_thread(rnn, x):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(rnn, x).result()


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda rnn, x: rnn(rnn(x)[0]), "rnn: expected one call of it in a call of the stream, got a second"),
        (lambda rnn, x: rnn(x, np.zeros((1, 2, 4))), "rnn: expected a call without hx, .* got ndarray"),
        (lambda rnn, x: rnn(x, lengths=[1, 2]), "rnn: expected a call without lengths, .* got list"),
        (lambda rnn, x: rnn(x[:1]), "rnn: expected a batch of 2, .* got 1"),
        (lambda rnn, x: rnn(x[0]), "rnn: expected a batch of 2, .* got 1"),
        (in_a_thread, "rnn: expected to be called by its stream, in the same thread"),
        (lambda rnn, x: rnn(x[..., :3]), "input.size.-1. must be equal to input_size"),
        (lambda rnn, x: rnn(x[:, :0]), "Expected sequence length to be larger than 0"),
    ],
)
def test_errors_of_calls(call, text):
    s = qrnn.stream(Calls(call), rows=2)
    with pytest.raises(RuntimeError, match=text):
        s(np.ones((2, 3, 4), f32))
    assert not s.state["rnn.h"].any()
    with pytest.raises(ValueError, match="Expected input to be 2D or 3D"):
        qrnn.stream(nn.GRU(4, 4), rows=2)(np.ones((1, 2, 3, 4)))


class OwnForward(nn.GRU):
    def forward(self, x):
        return super().forward(x)[0]


class InAList(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 4))
        self.layers.kept = [nn.GRU(4, 4)]


def test_errors_of_models():
    for model, text in (
        (nn.Sequential(OwnForward(4, 4)), r"without a forward of their own, got 0 \(OwnForward\)"),
        (InAList(), "expected modules as attributes, .* got a list of them as layers.kept"),
        (nn.Sequential(nn.Linear(3, 4), nn.GRU(4, 4, bidirectional=True)), r"got 1 \(GRU\), which reads backwards too"),
        (qrnn.LSTM(4, 4, bidirectional=True), r"got the model \(.*LSTM\), which reads backwards too"),
        (nn.Recurrent(OwnGRU(4, 4), bidirectional=True), r"got the model \(Recurrent\), which reads backwards too"),
        (nn.Conv1d(4, 4, 3), r"the model \(Conv1d\): expected padding='causal' and stride=1, .* got padding=\(0,\)"),
        (nn.Conv1d(4, 4, 3, padding="same"), "expected padding='causal' and stride=1"),
        (nn.Sequential(nn.Conv1d(4, 4, 1, stride=2)), r"0 \(Conv1d\): .* got padding=\(0,\) and stride=2"),
        (nn.Conv1d(4, 4, 1, padding=1), "expected padding='causal'"),
        (
            qrnn.prepare(nn.Sequential(nn.GRU(4, 4)), qconfig={}),
            "expected one that is converted or float, got 0 prepared",
        ),
        (qrnn.prepare(nn.Recurrent(OwnGRU(4, 4)), qconfig={}), "got l0.x prepared"),
    ):
        with pytest.raises(ValueError, match=f"^model: .*{text}"):
            qrnn.stream(model)
    for wrong, kind in ((3, TypeError), (nn.GRU, TypeError)):
        with pytest.raises(kind, match="^model: expected a qrnn.nn.Module"):
            qrnn.stream(wrong)
    for wrong, kind in ((-1, ValueError), (1.5, TypeError)):
        with pytest.raises(kind, match="^rows: expected"):
            qrnn.stream(nn.GRU(4, 4), rows=wrong)
    model = nn.Sequential(nn.Linear(2, 2))
    model.append(model)
    with pytest.raises(ValueError, match="^model: expected modules that do not contain themselves"):
        qrnn.stream(model)


def test_errors_of_rows_and_states():
    s = qrnn.stream(nn.GRU(4, 4), rows=3)
    s.drop(1)
    x = np.zeros((1, 1, 4))
    for change in (lambda rows: s(x, rows=rows), s.drop, s.reset):
        for rows, kind, text in (
            (1, ValueError, "expected rows of this stream, got 1 at 0"),
            ([0, 7], ValueError, "expected rows of this stream, got 7 at 1"),
            ([0, 2, 0], ValueError, "expected each at most once, got 0 twice"),
            ("a", TypeError, "expected integers"),
            (0.5, TypeError, "expected integers"),
            ([True, False], TypeError, "expected integers"),
            (np.array([True, False]), TypeError, "expected integers"),
        ):
            with pytest.raises(kind, match=f"^rows: {text}"):
                change(rows)
    with pytest.raises(TypeError):
        s.drop()
    with pytest.raises(TypeError, match="^rows: expected integers, got None"):
        s.drop(None)
    for wrong, kind, text in (
        (3, TypeError, "state: expected a mapping of str to array, got int"),
        ({}, ValueError, r"state: expected \['h'\], got \[\]"),
        ({"h": 0, "c": 0}, ValueError, r"state: expected \['h'\], got \['c', 'h'\]"),
        ({"h": np.zeros((3, 1, 4))}, ValueError, r"state: h: expected shape \(2, 1, 4\), got \(3, 1, 4\)"),
        ({"h": "x"}, TypeError, "state: h: expected an array of real numbers, got str"),
    ):
        with pytest.raises(kind, match=f"^{text}"):
            s.state = wrong
        with pytest.raises(kind, match="^state: "):
            s.add(2, state=wrong)
    assert s.rows == (0, 2)
    for wrong, kind in ((-1, ValueError), ("a", TypeError)):
        with pytest.raises(kind, match="^count: expected"):
            s.add(wrong)
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="a Stream is neither copied nor pickled"):
            copied(s)
