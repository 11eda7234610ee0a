"""Ctrl-C and other threads during a whole sequence."""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from support import run_python
from support.calls import EVERY, TORCH_ENGINES, assert_same_results, f32, flat, full, make, randoms, zeros

from qrnn import _core


@contextlib.contextmanager
def threads(n):
    before = _core.get_num_threads()
    _core.set_num_threads(n)
    try:
        yield
    finally:
        _core.set_num_threads(before)


def long_running():
    """A module and an input that take many seconds by the slowest kernels."""
    module = make("lstm", "float32", (1, 1, False), inputs=1, hidden=384, isa="scalar")
    return module, np.zeros((20_000, 1, 1), f32)


def begun_but_not_ended(output):
    """Whether a sequence that writes to an output of 77 is on its way through the steps."""
    return output[0, 0, 0] != 77 and output[-1, 0, -1] == 77


needs_timer = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="NO setitimer HERE: it was not tried what handlers do in a call"
)
main_thread_only = pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="SIGNALS ARE FOR THE MAIN THREAD"
)


@pytest.fixture
def sigint():
    """Python's handler, also in a run that a shell started in the background, where SIGINT is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@main_thread_only
@pytest.mark.usefixtures("sigint")
@pytest.mark.parametrize("n", [1, 2])
def test_ctrl_c(n):
    """SIGINT raises KeyboardInterrupt in good time, and the state that was given is still there."""
    rnn, x = long_running()
    h, c = randoms(1, 1, 384), randoms(1, 1, 384, seed=2)
    state = h.copy(), c.copy()
    out = full(20_000, 1, 384), state
    sent = []

    def send():
        sent.append(time.monotonic())
        if sys.platform == "win32":  # where os.kill ends the process
            _thread.interrupt_main()
        else:
            os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.3, send)
    with threads(n):
        timer.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                rnn(x, state, out=out)
            late = time.monotonic() - sent[0]
        finally:
            timer.join()
    assert late < 2
    assert_same_results(state, (h, c))
    small = randoms(3, 2, 4)
    assert_same_results(make("gru", sequence=(1, 1, False))(small), make("gru", sequence=(1, 1, False))(small))


@needs_timer
@main_thread_only
def test_handlers_run_during_a_call():
    """A handler that returns interrupts nothing; one that calls modules itself disturbs nothing."""
    rnn = make("lstm", "float32", (1, 1, False), inputs=1, hidden=384, isa="scalar")
    other, big = make("gru", sequence=(2, 2, False), hidden=700), randoms(1, 200, 4)
    x = randoms(300, 1, 1)
    want, want_other = rnn(x), other(big)
    output, state = full(300, 1, 384), (full(1, 1, 384), full(1, 1, 384))
    seen, during = [], []

    def handler(number, frame):
        during.append(begun_but_not_ended(output))
        seen.append(all(np.array_equal(a, b) for a, b in zip(flat(other(big)), flat(want_other), strict=True)))

    before = signal.signal(signal.SIGALRM, handler)
    try:
        for _ in range(20):
            output.fill(77)
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            got = rnn(x, out=(output, state))
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert_same_results(got, want)
            if any(during):
                break
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert any(during), f"{len(during)} signals, none handled before the call's end"
    assert all(seen)


@needs_timer
def test_a_signal_before_the_first_question():
    """A process's first long call asks who the main thread is: what a handler raises then is not lost."""
    program = """
        import signal
        import numpy as np
        from qrnn import nn

        class Enough(Exception):
            pass

        def handler(number, frame):
            raise Enough

        lstm, x = nn.LSTM(1, 384), np.zeros((20_000, 1, 1), np.float32)
        out, state = np.full((20_000, 1, 384), 77, np.float32), np.zeros((2, 1, 1, 384), np.float32)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.004)
        try:
            lstm(x, out=(out, tuple(state)))
        except Enough:
            if out[-1, 0, -1] != 77:
                raise SystemExit("the handler ran after the call's end")
        else:
            raise SystemExit("the call ended without the handler's exception")
    """
    run_python(textwrap.dedent(program))


@needs_timer
@main_thread_only
def test_an_exception_of_a_handler_leaves_a_call():
    rnn, x = long_running()

    class Enough(Exception):
        pass

    def handler(number, frame):
        raise Enough

    output, state = full(20_000, 1, 384), (full(1, 1, 384), full(1, 1, 384))
    before = signal.signal(signal.SIGALRM, handler)
    try:
        start = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(Enough):
            rnn(x, out=(output, state))
        late = time.monotonic() - start
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert begun_but_not_ended(output)
    assert late < 3


def test_other_threads_run_during_a_sequence():
    rnn = make("lstm", "float32", (1, 1, False), inputs=1, hidden=384, isa="scalar")
    x = zeros(300, 1, 1)
    counts, done = [0], threading.Event()

    def count():
        while not done.is_set():
            counts[0] += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    try:
        before, start = counts[0], time.monotonic()
        rnn(x)
        took, counted = time.monotonic() - start, counts[0] - before
    finally:
        done.set()
        thread.join()
    assert counted > 10 * took, f"{counted} steps of another thread in {took:.2f} s"


@main_thread_only
def test_only_the_main_thread_waits_for_the_gil():
    """No other thread runs handlers: a call there goes on while this one does not let go of the GIL."""
    rnn = make("lstm", "float32", (1, 1, False), inputs=1, hidden=384, isa="scalar")
    x, out = randoms(300, 1, 1), full(300, 1, 384)
    want = rnn(x)
    got = []
    worker = threading.Thread(target=lambda: got.append(rnn(x, out=out)))
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        worker.start()
        first, last, end = out[0, 0], out[-1, 0], time.monotonic() + 20
        while first[-1] == 77 and time.monotonic() < end:
            time.sleep(0.001)  # until the worker computes; from then on this thread keeps the GIL
        while last[-1] == 77 and time.monotonic() < end:
            pass
        ended = last[-1] != 77
    finally:
        sys.setswitchinterval(before)
        worker.join()
    assert_same_results(got[0], want)
    assert ended


FORK = """
import os, signal, threading, time, warnings
import numpy as np
import qrnn

warnings.simplefilter("ignore")
module, x = qrnn.LSTM(1, 384, isa="scalar"), np.zeros((20_000, 1, 1), np.float32)
out, state = np.full((20_000, 1, 384), 77, np.float32), np.zeros((2, 1, 1, 384), np.float32)

class Enough(Exception):
    pass

def handler(*_):
    raise Enough

def interrupted():
    start = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        module(x, out=(out, tuple(state)))
    except Enough:
        late = time.monotonic() - start
        return True if out[-1, 0, -1] == 77 and late < 5 else f"{late:.1f} s late"
    return False

def fork():
    child = os.fork()
    if child == 0:
        os._exit(0 if interrupted() is True else 3)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

signal.signal(signal.SIGALRM, handler)
print(interrupted())
thread = threading.Thread(target=fork)
thread.start()
thread.join()
fork()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="NO fork HERE: it was not tried")
def test_handlers_run_in_a_child():
    """In good time. Its main thread is the one that forked, whichever that was."""
    assert run_python(FORK) == "True\n0\n0\n"


def test_many_threads_call_one_sequence():
    rnn, x = make("lstm", sequence=(2, 2, False), hidden=40), randoms(30, 8, 4)
    want = rnn(x, lengths=range(23, 31))
    wrong = []

    def work():
        for _ in range(20):
            got = rnn(x, lengths=range(23, 31))
            wrong.extend(1 for g, w in zip(flat(got), flat(want), strict=True) if not np.array_equal(g, w))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_num_threads():
    assert _core.get_num_threads() == 1
    with threads(3):
        assert _core.get_num_threads() == 3
        for bad, error in ((0, ValueError), (-1, ValueError), (1 << 70, ValueError), (1.0, TypeError)):
            with pytest.raises(error, match="n"):
                _core.set_num_threads(bad)
        for bad in (None, "2", True):
            with pytest.raises(TypeError, match="n: expected an int"):
                _core.set_num_threads(bad)
        assert _core.get_num_threads() == 3
        _core.set_num_threads(np.int64(2))
        assert _core.get_num_threads() == 2


# A relu of this size grows beyond every range, which engines with one scale for the batch refuse.
@pytest.mark.parametrize("kind, engine", [e for e in EVERY if e[0] != "rnn_relu" or e[1] not in TORCH_ENGINES])
def test_threads_change_no_bit(kind, engine):
    rnn, x = make(kind, engine, (2, 2, False), inputs=8, hidden=130), randoms(60, 9, 8)
    want = rnn(x, lengths=range(52, 61))
    for n in (2, 3, 100):
        with threads(n):
            assert_same_results(rnn(x, lengths=range(52, 61)), want)
