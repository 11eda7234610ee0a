"""The number of threads: the setting, and the same bits with every number."""

from __future__ import annotations

import re

import numpy as np
import pytest
from support import assert_same_results
from support.team_models import KINDS, inputs_of, make

import qrnn
from qrnn import nn


@pytest.fixture(autouse=True)
def one_thread_after():
    yield
    qrnn.set_num_threads(1)


f32 = np.float32
COUNTS = (2, 3, 5)
ENGINES = ("float32", "qrnn", "fbgemm", "qnnpack", "onednn")
HIDDEN = 90  # six panels, the last one ragged: 5 threads take 1, 1, 1, 1 and 2


def assert_counts_agree(module, x, hx=None, **kwargs):
    arguments = (x,) if hx is None else (x, hx)
    qrnn.set_num_threads(1)
    want = module(*arguments, **kwargs)
    for count in COUNTS:
        qrnn.set_num_threads(count)
        assert_same_results(module(*arguments, **kwargs), want, f"{module.isa}, {count} threads")


# ---------------------------------------------------------------------------------------------------
# The setting
# ---------------------------------------------------------------------------------------------------
def test_setting():
    assert qrnn.get_num_threads() == 1
    qrnn.set_num_threads(np.int64(3))
    assert qrnn.get_num_threads() == 3
    for wrong in (0, -1, -(2**70), 2**70):
        expected = "at least 1 thread" if wrong < 1 else "fewer threads"
        with pytest.raises(ValueError, match=f"n: expected {expected}, got {wrong}"):
            qrnn.set_num_threads(wrong)
    for wrong in (1.0, "2", None, True):
        with pytest.raises(TypeError, match=f"n: expected an int, got {type(wrong).__name__}"):
            qrnn.set_num_threads(wrong)
    assert qrnn.get_num_threads() == 3


def is_torchs(kind):
    """Whether PyTorch's engines have this kind."""
    return kind not in ("gru before", "projection", "narrow projection", "all")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("engine", ENGINES)
def test_same_bits(engine, kind):
    if engine not in ("float32", "qrnn") and not is_torchs(kind):
        pytest.skip("PyTorch has none")
    name, options = KINDS[kind]
    module = make(name, engine, **options)
    x, hx = inputs_of(module)
    if module.batch_first:
        x = np.ascontiguousarray(x.swapaxes(0, 1))
    steps = x.shape[1 if module.batch_first else 0]
    least = 0 if engine in ("float32", "qrnn") else 1
    assert_counts_agree(module, x)
    assert_counts_agree(module, x, hx, lengths=np.random.default_rng(92).integers(least, steps + 1, 60))


@pytest.mark.parametrize("kind", ["lstm", "gru before", "all"])
@pytest.mark.parametrize("engine", ["float32", "qrnn"])
def test_same_bits_of_every_instruction_set(isa, engine, kind):
    name, options = KINDS[kind]
    module = make(name, engine, isa=isa, **options)
    x, hx = inputs_of(module, 15)
    assert_counts_agree(module, x, hx, lengths=np.linspace(len(x), 0, 15).astype(int))


def test_same_bits_in_groups_of_rows():
    """More rows than are worked on at once, and results in arrays that are given."""
    module = make("GRU", "qrnn")
    x, hx = inputs_of(module, batch=150)
    want = module(x, hx)
    for count in COUNTS:
        qrnn.set_num_threads(count)
        out = np.full_like(want[0], np.nan), hx.copy()
        got = module(x, out[1], out=out)
        assert got[0] is out[0]
        assert_same_results(got, want)


SINGLE = {
    "linear": ("Linear", (900, 800)),
    "rnn": ("RNNCell", (64, 840)),
    "lstm": ("LSTMCell", (64, 400)),
    "gru": ("GRUCell", (64, 460)),
}


def make_single(kind, engine, isa=None):
    """A linear or a cell, and arguments of as many rows as are worth several threads: above 2^27 multiply-adds."""
    name, (inputs, hidden) = SINGLE[kind]
    qrnn.manual_seed(95)
    module = getattr(nn, name)(inputs, hidden, isa=isa)
    if engine != "float32":
        module = getattr(qrnn, name).from_float(module, engine=engine, isa=isa)
    rng = np.random.default_rng(96)
    x, h, c = (rng.standard_normal((190, n)).astype(f32) for n in (inputs, hidden, hidden))
    return module, {"linear": (x,), "lstm": (x, (h, c))}.get(kind, (x, h))


@pytest.mark.parametrize("kind", SINGLE)
@pytest.mark.parametrize("engine", ENGINES)
def test_same_bits_of_single_calls(engine, kind):
    module, (x, *state) = make_single(kind, engine)
    assert_counts_agree(module, x, *state)
    if engine in ("float32", "qrnn"):
        x[7, 3] = np.nan
        assert_counts_agree(module, x, *state)
        return
    x[189, 3], out = np.inf, np.full_like(x, 7, shape=(190, SINGLE[kind][1][1]))
    with pytest.raises(ValueError, match="input: "):
        module(x, *state, **({} if kind == "lstm" else {"out": out}))
    assert (out == 7).all()


@pytest.mark.parametrize("kind", SINGLE)
def test_same_bits_of_single_calls_of_every_instruction_set(isa, kind):
    module, arguments = make_single(kind, "qrnn", isa)
    assert_counts_agree(module, *arguments)


def test_not_finite_rows():
    """Engine qrnn: with threads too a NaN stays in its row, and an infinite state."""
    module = make("LSTM", "qrnn")
    x, (h, c) = inputs_of(module)
    x[5, 3], h[0, 4, 7], c[0, 5, 11] = np.nan, np.inf, -np.inf
    assert_counts_agree(module, x, (h, c))


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("engine", ["fbgemm", "qnnpack", "onednn"])
def test_range_errors(engine, count):
    """Every thread learns of the step that cannot be quantized, and the next call is as good as ever."""
    module = make("RNN", engine, nonlinearity="relu")
    x, h = inputs_of(module)
    want = module(x, h)
    bad = x.copy()
    bad[17, 5, 1] = np.inf
    with pytest.raises(ValueError, match=r"^hx: .*at time step 2\d$") as late:
        growing(engine)(x)
    qrnn.set_num_threads(count)
    with pytest.raises(ValueError, match=r"^input: .*at time step 17$"):
        module(bad, h)
    with pytest.raises(ValueError, match=r"hx: .*at time step 0$"):
        module(x, np.full_like(h, np.nan))
    with pytest.raises(ValueError, match=f"^{re.escape(str(late.value))}$"):
        growing(engine)(x)
    assert_same_results(module(x, h), want)


def growing(engine):
    """A module whose state grows by some 50 a step until it is infinite."""
    module = nn.RNN(33, HIDDEN, nonlinearity="relu")
    module.weight_hh_l0 = np.eye(HIDDEN, dtype=f32) * 50
    module.bias_hh_l0 = np.ones(HIDDEN)
    return qrnn.RNN.from_float(module, engine=engine)
