"""Threads of a call beside other threads, processes and signals: nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import types

import numpy as np
import pytest
from support import ROOT, assert_same_results, run_python
from support.team_models import KINDS, TASKS, inputs_of, make, tasks

import qrnn


@pytest.fixture(autouse=True)
def one_thread_after():
    yield
    qrnn.set_num_threads(1)


COMPILER = os.environ.get("CC", "cc").split()[0]
COUNTS = (2, 3, 5)

needs_tasks = pytest.mark.skipif(not TASKS.exists(), reason=f"NO {TASKS} HERE: threads were not counted")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="NO fork HERE: it was not tried")


# ---------------------------------------------------------------------------------------------------
# Threads, processes, signals
# ---------------------------------------------------------------------------------------------------
@needs_tasks
@pytest.mark.parametrize("kind", ["lstm", "projection"])
@pytest.mark.parametrize("engine", ["float32", "qrnn"])
def test_threads_there_are(engine, kind):
    """As many as were asked for, while the call lasts and no longer; none for a small call."""
    name, options = KINDS[kind]
    module = make(name, engine, **options)
    x, hx = inputs_of(module, steps=200)
    with counting() as seen:
        alone = tasks()
        qrnn.set_num_threads(5)
        call_while_seen(seen, 300, lambda: module(x[:1], hx))
        assert seen.most == alone
        for count in (1, *COUNTS):
            qrnn.set_num_threads(count)
            for _ in range(100):  # until the observer, who needs a core too, has seen them
                module(x, hx)
                assert tasks(alone) == alone
                assert seen.most <= alone + count - 1, count
                if seen.most == alone + count - 1:
                    break
            assert seen.most == alone + count - 1, count


@needs_tasks
def test_threads_of_a_linear():
    """As many as were asked for and rows are enough for; none for a small call."""
    qrnn.manual_seed(97)
    module = qrnn.nn.Linear(512, 512)
    x = np.zeros((64, 512), np.float32), np.zeros((256, 512), np.float32)
    with counting() as seen:
        alone = tasks()
        qrnn.set_num_threads(3)
        call_while_seen(seen, 20, lambda: module(x[0]))
        assert seen.most == alone
        for _ in range(200):
            module(x[1])
            assert tasks(alone) == alone
            if seen.most == alone + 2:
                break
        assert seen.most == alone + 2


def call_while_seen(seen, times, call):
    """Call `times` times at least, and until the observer, which needs a core too, has looked once."""
    for _ in range(times):
        call()
    for _ in range(20_000):
        if seen.most:
            return
        call()


@contextlib.contextmanager
def counting():
    """An object whose `most` is raised to the most threads that are seen at once: by two listings that are the same,
    as one that takes long has threads of several calls."""
    seen, done = types.SimpleNamespace(most=0), threading.Event()
    last, since = None, time.monotonic()
    while time.monotonic() - since < 0.1:  # threads that Python has joined may still be on their way out
        now = set(os.listdir(TASKS))
        if now != last:
            last, since = now, time.monotonic()
        time.sleep(0.005)

    def count():
        while not done.is_set():
            first, second = os.listdir(TASKS), os.listdir(TASKS)
            if set(first) == set(second):
                seen.most = max(seen.most, len(first))

    thread = threading.Thread(target=count)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("engine", ["float32", "qrnn", "fbgemm"])
def test_many_callers(engine):
    """Threads of Python that call one module at once, each with a team of its own."""
    module = make("LSTM", engine)
    inputs = [inputs_of(module, seed=seed) for seed in range(4)]
    wanted = [module(x, hx) for x, hx in inputs]
    errors = []

    def work(number):
        try:
            for _ in range(2):
                assert_same_results(module(*inputs[number]), wanted[number])
        except BaseException as error:
            errors.append(error)

    qrnn.set_num_threads(3)
    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


PROGRAM = """
import multiprocessing, os, signal, sys, threading, time
import numpy as np
import qrnn

qrnn.manual_seed(93)
module = qrnn.GRU(64, 256)
x = np.random.default_rng(94).standard_normal((100, 8, 64)).astype(np.float32)
want = module(x)[0].tobytes()

def same(_=None):
    return module(x)[0].tobytes() == want

def fork():
    child = os.fork()
    if child == 0:
        os._exit(0 if same() else 3)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""


@needs_fork
def test_fork_after_a_call():
    program = PROGRAM + (
        "qrnn.set_num_threads(3)\n"
        "assert same()\n"
        "print([fork() for _ in range(3)], same())\n"
        "with multiprocessing.get_context('fork').Pool(2) as pool:\n"
        "    print(all(pool.map(same, range(8))))\n"
    )
    assert run_python(program).split("\n") == ["[0, 0, 0] True", "True", ""]


@needs_fork
def test_fork_during_a_call():
    """The child has the thread that forked alone: what another was computing is none of its business."""
    program = PROGRAM + (
        "qrnn.set_num_threads(3)\n"
        "stop, right = threading.Event(), []\n"
        "def work():\n"
        "    while not stop.is_set():\n"
        "        right.append(same())\n"
        "thread = threading.Thread(target=work)\n"
        "thread.start()\n"
        "print([fork() for _ in range(20)] == [0] * 20)\n"
        "stop.set()\n"
        "thread.join()\n"
        "print(all(right))\n"
    )
    assert run_python(program, PYTHONWARNINGS="ignore").split() == ["True", "True"]


def test_spawned_pool():
    program = (
        "from concurrent.futures import ProcessPoolExecutor\n"
        "import multiprocessing\n"
        "from support import team_models\n"
        "with ProcessPoolExecutor(2, multiprocessing.get_context('spawn')) as pool:\n"
        "    print(len(set(pool.map(team_models.digest, (1, 2, 3, 5)))))\n"
    )
    assert run_python(program) == "1\n"


@needs_tasks
@pytest.mark.parametrize("count", (1, 3))
def test_interrupt(count):
    """Ctrl-C ends a long call soon; no thread of it goes on, and states that were to be replaced stay."""
    program = PROGRAM + (
        f"qrnn.set_num_threads({count})\n"
        "long = np.zeros((20000, 8, 64), np.float32)\n"
        "h = np.ones((1, 8, 256), np.float32)\n"
        "out = np.empty((20000, 8, 256), np.float32), h\n"
        "from support.team_models import tasks\n"
        "before = tasks()\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it\n"
        "sent = []\n"
        "def interrupt():\n"
        "    time.sleep(0.1)\n"
        "    sent.append(time.perf_counter())\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "thread = threading.Thread(target=interrupt)\n"
        "thread.start()\n"
        "try:\n"
        "    while True:\n"
        "        module(long, h.copy(), out=out)\n"
        "        h[:] = 1\n"
        "except KeyboardInterrupt:\n"
        "    took = time.perf_counter() - sent[0]\n"
        "thread.join()\n"
        "assert took < 1, took\n"
        "print(tasks(before) - before, bool((h == 1).all()), same())\n"
    )
    assert run_python(program) == "0 True True\n"


HANDLER = """
other = qrnn.LSTM(200, 200, 2)
y = np.random.default_rng(95).standard_normal((20, 3, 200)).astype(np.float32)
wanted = other(y)[0].tobytes()
long = np.tile(x, (40, 1, 1))
want_long = module(long)[0].tobytes()
right = []
def handler(*_):
    right.append(other(y)[0].tobytes() == wanted)
    if len(right) < 20:  # not before: on a slow machine handlers would interrupt each other
        signal.setitimer(signal.ITIMER_REAL, 0.01)
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.01)
while len(right) < 20:
    assert module(long)[0].tobytes() == want_long
print(all(right))
"""


@pytest.mark.parametrize("count", (1, 3))
def test_a_handler_that_calls_modules(count):
    """A signal's handler runs within a call: calls of its own leave that one's memory alone."""
    assert run_python(PROGRAM + f"qrnn.set_num_threads({count})\n" + HANDLER) == "True\n"


@needs_fork
@pytest.mark.parametrize("count", (1, 3, 8))
def test_a_handler_that_forks(count):
    """The child has no threads but its own: it ends a call that has more by an error, and can go on after it."""
    program = PROGRAM + (
        f"qrnn.set_num_threads({count})\n"
        "long, parent, forked, inside = np.tile(x, (100, 1, 1)), os.getpid(), [], False\n"
        "out = module(long)[0]\n"
        "want_long = out.tobytes()\n"
        "def handler(*_):\n"
        "    if inside:\n"
        "        forked.append(os.fork())\n"
        "    else:\n"
        "        signal.setitimer(signal.ITIMER_REAL, 0.001)\n"
        "signal.signal(signal.SIGALRM, handler)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.02)\n"
        "try:\n"
        "    while not forked:\n"
        "        out[:] = 0\n"
        "        inside = True  # but for an instruction or two\n"
        "        module(long, out=out)\n"
        "        inside = False\n"
        "    right = out.tobytes() == want_long\n"
        "except RuntimeError as error:\n"
        "    assert os.getpid() != parent and 'forked' in str(error)\n"
        "    right = 'error'\n"
        "if os.getpid() != parent:\n"
        "    raise SystemExit((40 if right == 'error' else 30 if right else 20) + same())\n"
        "print(right, os.waitstatus_to_exitcode(os.waitpid(forked[0], 0)[1]), same())\n"
    )
    assert run_python(program, PYTHONWARNINGS="ignore") == f"True {31 if count == 1 else 41} True\n"


def test_waiting_threads_sleep():
    """While the calling thread is held up, in a handler or for want of the GIL, the others cost nothing."""
    program = PROGRAM + (
        "qrnn.set_num_threads(8)\n"
        "long, spent = np.tile(x, (200, 1, 1)), []\n"
        "def handler(*_):\n"
        "    before = time.process_time()\n"
        "    time.sleep(0.5)\n"
        "    spent.append(time.process_time() - before)\n"
        "    raise KeyboardInterrupt\n"
        "signal.signal(signal.SIGALRM, handler)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.05)\n"
        "try:\n"
        "    while True:\n"
        "        module(long)\n"
        "except KeyboardInterrupt:\n"
        "    print(spent[0] < 0.1 or spent, same())\n"
    )
    assert run_python(program) == "True True\n"


TEAM = ["csrc/core/team.c", "csrc/core/system_posix.c", "tests/c/team.c"]


@pytest.mark.core
@pytest.mark.skipif(
    shutil.which(COMPILER) is None or sys.platform != "linux",
    reason=f"NO C COMPILER ({COMPILER}) WITH --wrap: teams were not tried",
)
@pytest.mark.parametrize("limits", [[], ["-DQRNN_SMALL_LIMITS"]], ids=["as they are", "small"])
def test_teams(limits, tmp_path):
    """tests/c/team.c: with small limits members sleep at nearly every meeting."""
    command = [COMPILER, "-std=c11", "-D_GNU_SOURCE", "-O2", f"-I{ROOT / 'csrc/core'}", *limits]
    command += [str(ROOT / source) for source in TEAM]
    wrapped = ["sched_yield", "pthread_cond_wait", "pthread_create", "pthread_mutex_init", "pthread_cond_init"]
    wrapped += ["pthread_attr_init", "sched_getcpu", "sched_getaffinity"]
    command += [f"-Wl,--wrap={name}" for name in wrapped] + ["-lpthread"]
    subprocess.run([*command, "-o", str(tmp_path / "team")], check=True)
    done = subprocess.run([str(tmp_path / "team"), "20"], capture_output=True, text=True, check=False)
    assert re.search(r"^\d\d+ passed, 0 failed$", done.stdout, re.MULTILINE), done.stdout + done.stderr


def test_interrupt_of_small_modules():
    """However little a step is, thousands of them are not run without a question."""
    program = PROGRAM + (
        "for isa in 'scalar', None:\n"
        "    tiny = qrnn.LSTM(1, 1, isa=isa)\n"
        "    long = np.zeros((10_000_000, 1, 1), np.float32)\n"
        "    times = []\n"
        "    def handler(*_):\n"
        "        times.append(time.perf_counter())\n"
        "        if len(times) == 10:\n"
        "            raise KeyboardInterrupt\n"
        "    signal.signal(signal.SIGALRM, handler)\n"
        "    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)\n"
        "    try:\n"
        "        tiny(long)\n"
        "        print('not stopped')\n"
        "    except KeyboardInterrupt:\n"
        "        print(np.median(np.diff(times)) < 0.1)\n"
        "    signal.setitimer(signal.ITIMER_REAL, 0)\n"
    )
    assert run_python(program) == "True\nTrue\n"
