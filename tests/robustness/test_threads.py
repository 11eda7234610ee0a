"""Any number of threads may call one module, and weights may be replaced under them."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from support import assert_same_bits, same_bits

import qrnn
from qrnn import nn
from qrnn.nn.quantized import dynamic as qd

f32 = np.float32
THREADS = 8


@pytest.fixture(autouse=True)
def busy_switching():
    """Threads change places as often as Python can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_threads(work, count=THREADS):
    """Run work(number) in `count` threads that start together; the first exception is raised here."""
    errors, start = [], threading.Barrier(count)

    def body(number):
        try:
            start.wait()
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=body, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("engine", ["float32", "qrnn", "fbgemm", "qnnpack", "onednn"])
def test_one_module_many_threads(engine):
    """Small calls, and large ones that release the GIL and need scratch memory of their own thread."""
    for inputs, hidden, batches, repeats in ((16, 16, (1, 3), 150), (200, 300, (1, 40, 150), 6)):
        cell = nn.RNNCell(inputs, hidden) if engine == "float32" else qd.RNNCell(inputs, hidden, engine=engine)
        rng = np.random.default_rng(70)
        inputs_of = [
            [
                (rng.standard_normal((b, inputs)).astype(f32), rng.standard_normal((b, hidden)).astype(f32))
                for b in batches
            ]
            for _ in range(THREADS)
        ]
        wanted = [[cell(x, h) for x, h in pairs] for pairs in inputs_of]

        def work(number, cell=cell, inputs_of=inputs_of, wanted=wanted, repeats=repeats):
            for _ in range(repeats):
                for (x, h), want in zip(inputs_of[number], wanted[number]):
                    assert_same_bits(cell(x, h), want)

        in_threads(work)


@pytest.mark.parametrize("engine", ["qrnn", "fbgemm"])
def test_weights_replaced_under_calls(engine):
    """Every result is that of the old weights or that of the new, never a mixture."""
    a, b = (qd.RNNCell(120, 130, engine=engine) for _ in range(2))
    cell = qd.RNNCell(120, 130, engine=engine)
    x, h = np.linspace(-1, 1, 5 * 120, dtype=f32).reshape(5, 120), np.zeros((5, 130), f32)
    states = a._weight_bias(), b._weight_bias()
    wanted = a(x, h), b(x, h)
    cell.set_weight_bias(states[0])
    stop, seen = threading.Event(), [0, 0]

    def work(number):
        if number == 0:
            for turn in range(300):
                cell.set_weight_bias(states[turn % 2])
            stop.set()
            return
        while not stop.is_set():
            got = cell(x, h)
            which = [same_bits(got, want) for want in wanted]
            assert any(which), "a result of no weights that were ever set"
            seen[which.index(True)] += 1

    try:
        in_threads(work, 4)
    finally:
        stop.set()
    assert sum(seen) > 0


def test_float_weights_assigned_under_calls():
    """Assignments of whole parameters: a call sees each parameter as it was before or after."""
    cell = nn.RNNCell(8, 8, nonlinearity="relu")
    cell.weight_ih, cell.weight_hh = np.zeros((8, 8)), np.zeros((8, 8))
    cell.bias_ih, cell.bias_hh = np.zeros(8), np.zeros(8)
    x = np.ones((2, 8), f32)

    def work(number):
        for turn in range(200):
            if number == 0:
                cell.bias_ih = np.full(8, turn % 2, f32)
            else:
                got = cell(x)
                assert (got == got[0, 0]).all() and got[0, 0] in (0, 1)

    in_threads(work, 4)


def test_modules_made_and_dropped_in_threads():
    """Reference counts of shared packed weights: copies made and dropped everywhere at once."""
    from copy import copy, deepcopy

    cell = qd.RNNCell(20, 30)
    x = np.ones((2, 20), f32)
    want = cell(x)

    def work(number):
        for _ in range(100):
            for new in (copy(cell), deepcopy(cell)):
                assert_same_bits(new(x), want)

    in_threads(work)


def test_functions_in_threads():
    from qrnn import _core

    x = np.linspace(-5, 5, 5000, dtype=f32)
    want = {name: _core.apply(name, x) for name in ("tanh", "tanh_exact", "sigmoid", "relu")}

    def work(number):
        for _ in range(30):
            for name, values in want.items():
                assert_same_bits(_core.apply(name, x), values)

    in_threads(work)


LONG_CALLS = {
    "cell": lambda: (qd.RNNCell(1000, 1000, isa="scalar"), np.ones((300, 1000), f32)),
    "float cell": lambda: (nn.RNNCell(700, 700, isa="scalar"), np.ones((100, 700), f32)),
    "linear": lambda: (qd.Linear(1000, 1000, isa="scalar"), np.ones((600, 1000), f32)),
    "function": lambda: (lambda x: qrnn._core.apply("sigmoid", x, "scalar"), np.ones(20_000_000, f32)),
}


@pytest.mark.parametrize("name", LONG_CALLS)
def test_other_threads_run_during_long_calls(name):
    """The GIL is given up: this thread wakes again and again while another one is inside one call."""
    call, x = LONG_CALLS[name]()
    inside = threading.Event()
    state = {"done": False}

    def work():
        inside.set()
        call(x)
        state["done"] = True

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    wakes = 0
    while not state["done"]:
        time.sleep(0.001)
        wakes += 1
    thread.join()
    assert wakes > 20, f"woke {wakes} times during a call of some tenths of a second"


def test_engine_blocks_belong_to_their_thread():
    """`with qrnn.engine` in one thread is not seen in another."""
    engines = ("qrnn", "fbgemm", "qnnpack", "onednn")

    def work(number):
        name = engines[number % 4]
        for _ in range(30):
            with qrnn.engine(name):
                assert qd.RNNCell(2, 2).engine == name
            assert qd.RNNCell(2, 2).engine == "qrnn"

    in_threads(work)


def test_many_short_threads():
    """Scratch memory of a thread goes with it: 400 threads that need some leave none behind."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip(f"NO {statm} HERE: memory of finished threads was not measured")

    def pages():
        return int(statm.read_text().split()[1])

    cell = qd.RNNCell(2000, 64)
    x = np.zeros((64, 2000), f32)

    def one():
        thread = threading.Thread(target=cell, args=(x,))
        thread.start()
        thread.join()

    for _ in range(20):
        one()
    before = pages()
    for _ in range(400):
        one()  # each needs at least the 128,000 codes of x, 51 MB in all
    assert (pages() - before) * 4096 < 25e6  # the rest of a long test run grows by some 10 MB meanwhile
