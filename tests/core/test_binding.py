"""What the binding says to calls, and to modules around it, that the package itself never makes."""

from __future__ import annotations

import gc
import sys

import numpy as np
import pytest
from support import run_python

import qrnn
from qrnn import _core
from qrnn.nn.quantized import dynamic as qd

F32 = np.float32
CODES = np.ones((3, 4), np.int8)
ONE = np.ones((), F32)
IH, HH = (CODES, ONE, None), (np.ones((3, 3), np.int8), ONE, None)
X = np.linspace(-1, 1, 8, dtype=F32).reshape(2, 4)


def pack(*arguments, **keywords):
    module = _core.Module()
    module._pack(*arguments, **keywords)
    return module


def truth_fails():
    class Undecided:
        def __bool__(self):
            raise ArithmeticError("neither")

    return Undecided()


@pytest.mark.parametrize(
    ("arguments", "keywords", "error", "text"),
    [
        (("linear", "qrnn", None, None), {}, TypeError, "1 matrix for each"),
        (
            ("linear", "qrnn", None, (CODES.tolist(), ONE, None)),
            {},
            TypeError,
            "weight: expected a int8 array, got list",
        ),
        (
            ("linear", "float32", None, (np.ones((3, 4), ">f4"), None, None)),
            {},
            ValueError,
            "expected dtype float32",
        ),
        (
            ("linear", "float32", None, (np.ones((3, 4), F32), ONE, None)),
            {},
            ValueError,
            "expected None for float32",
        ),
        (
            ("linear", "qrnn", None, (CODES, None, None)),
            {},
            TypeError,
            "weight_scale: expected a float32 array",
        ),
        (
            ("linear", "qrnn", None, (CODES, np.ones((3, 1), F32), None)),
            {},
            ValueError,
            r"\(\) or \(3,\), got \(3, 1\)",
        ),
        (
            ("linear", "qrnn", None, (CODES, ONE, np.ones((3, 1), F32))),
            {},
            ValueError,
            r"bias: expected shape \(3,\)",
        ),
        (
            ("linear", "qrnn", None, (np.empty((2**53, 0), np.int8), ONE, None)),
            {},
            ValueError,
            "shape is out of range",
        ),
        (
            ("lstm", "qrnn", None, (np.ones((12, 4), np.int8), ONE, None), HH, 5),
            {},
            TypeError,
            "weight_hr: expected a tuple",
        ),
        (("rnn_tanh", "qrnn", None, IH, HH), {"sequence": (-1, 1, False)}, ValueError, "num_layers from 1"),
        (("rnn_tanh", "qrnn", None, IH, HH), {"sequence": (1, 1, truth_fails())}, ArithmeticError, "neither"),
        (("linear", "qrnn", None, IH), {"other": None}, TypeError, "only the keywords sequence"),
        (("linear", "qrnn", None, IH), {"sequence": None, "other": None}, TypeError, "only the keywords sequence"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_packing(arguments, keywords, error, text):
    with pytest.raises(error, match=text):
        pack(*arguments, **keywords)


def test_modules_without_weights():
    empty = _core.Module()
    for call in (
        lambda: empty.forward(X),
        lambda: empty(X),
        lambda: empty.kind,
        lambda: empty._unpack(0, "weight"),
        lambda: _core._gates(empty, X),
        lambda: _core.Module()._take_packed(empty),
    ):
        with pytest.raises(RuntimeError, match="Module is not initialised"):
            call()


@pytest.mark.parametrize(
    "kind, gates, cell, layer",
    [
        ("rnn_relu", 1, "RNNCell", "RNN"),
        ("lstm", 4, "LSTMCell", "LSTM"),
        ("gru_reset_before", 3, "GRUCell", "GRU"),
    ],
)
def test_texts_name_what_is_computed(kind, gates, cell, layer):
    """A bare Module has a name of its own for as long as it has no weights."""
    ih, hh = np.ones((3 * gates, 4), np.int8), np.ones((3 * gates, 3), np.int8)
    for sequence, name in ((None, cell), ((1, 1, False), layer)):
        module = pack(kind, "qrnn", None, (ih, ONE, None), (hh, ONE, None), sequence=sequence)
        with pytest.raises(ValueError, match=f"^{name}: Expected input to be"):
            module(np.zeros((2, 2, 2, 4), F32))

    class Mine(_core.Module):
        pass

    mine = Mine()
    mine._take_packed(module)
    with pytest.raises(ValueError, match="^Mine: Expected input to be"):
        mine(np.zeros(4, F32))


def test_wrong_sharing():
    linear = pack("linear", "qrnn", None, IH)
    with pytest.raises(TypeError, match="exactly one positional argument"):
        _core.Module()._take_packed(linear, linear)
    with pytest.raises(TypeError, match="exactly one positional argument"):
        _core.Module()._take_packed(linear, other=linear)
    with pytest.raises(TypeError, match="exactly one positional argument"):
        _core.Module()._take_packed(other=linear)


def test_wrong_functions():
    linear, cell = pack("linear", "qrnn", None, IH), pack("rnn_tanh", "qrnn", None, IH, HH)
    for call, error, text in (
        (lambda: _core.apply("tanh", X, 5), TypeError, "isa: expected a str, got int"),
        (lambda: _core.apply("tanh", "x"), TypeError, "x: "),
        (lambda: _core.quantize("qrnn", X, 5), TypeError, "isa: expected a str, got int"),
        (lambda: _core.quantize("qrnn", X[0]), ValueError, "v: expected a 2D array, got 1D"),
        (lambda: _core._gates(cell, "x"), TypeError, "x: "),
        (lambda: _core._gates(linear, X, X), TypeError, "hx: a linear takes none"),
        (
            lambda: linear(X, X),
            TypeError,
            r"Linear.forward\(\) takes 2 positional arguments but 3 were given",
        ),
    ):
        with pytest.raises(error, match=text):
            call()


def test_keywords_that_are_no_strings():
    """Python looks at them where it fills a vector, not where it passes a dict on."""
    linear = pack("linear", "qrnn", None, IH)
    with pytest.raises(TypeError, match="unexpected keyword argument '5'|keywords must be strings"):
        _core.Module.__call__(linear, X, **{5: X})
    assert np.array_equal(_core.Module.__call__(linear, input=X), linear(X))


def test_linears_that_fail():
    linear = qd.Linear(4, 3, engine="fbgemm")
    out = np.full((2, 3), 77, F32)
    for given in (np.full((2, 4), np.nan, F32), np.full((2, 4), np.nan).tolist()):
        with pytest.raises(ValueError, match="finite"):
            linear(given, out=out)
        with pytest.raises(ValueError, match="finite"):
            linear(given)
    assert (out == 77).all()
    assert linear(X.tolist(), out=out) is out and np.array_equal(out, linear(X))


class Pair(list):
    """A pair of states whose length, or whose item of that index, is not to be had."""

    def __init__(self, items, fails):
        super().__init__(items)
        self.fails = fails

    def __len__(self):
        if self.fails == "length":
            raise ArithmeticError(self.fails)
        return super().__len__()

    def __getitem__(self, index):
        if index == self.fails:
            raise ArithmeticError(index)
        return super().__getitem__(index)


@pytest.mark.parametrize("fails", ["length", 0, 1])
def test_pairs_that_fail(fails):
    cell = qd.LSTMCell(4, 3)
    states = np.zeros((2, 2, 3), F32)
    with pytest.raises(ArithmeticError, match=str(fails)):
        cell(X, Pair(states, fails))
    assert all(map(np.array_equal, cell(X, Pair(states, None)), cell(X, (*states,))))


def test_out_over_arguments():
    """`out` shares memory with an argument and begins elsewhere: the bits are those of a result of its own."""
    cell, memory = qd.RNNCell(4, 3), np.linspace(-1, 1, 9, dtype=F32)
    want = cell(X, memory[:6].reshape(2, 3).copy())
    assert np.array_equal(cell(X, memory[:6].reshape(2, 3), out=memory[3:].reshape(2, 3)), want)
    out = np.empty((2, 3), F32)
    assert cell(X, out=out) is out and np.array_equal(out, cell(X))
    memory = np.linspace(-1, 1, 9, dtype=F32)
    want = _core.apply("tanh", memory[:6].copy())
    out = memory[3:]
    assert _core.apply("tanh", memory[:6], out=out) is out and np.array_equal(out, want)


@pytest.mark.parametrize("pair", [("output", "h"), ("output", "c"), ("h", "c")], ids="+".join)
def test_outs_that_share_memory(pair):
    lstm, memory = qd.LSTM(4, 3), np.full(64, 77, F32)
    starts = {"output": 0, "h": 20, "c": 40, pair[0]: 8, pair[1]: 10}
    sizes = {"output": (1, 2, 3), "h": (1, 2, 3), "c": (1, 2, 3)}
    output, h, c = (memory[starts[name] :][:6].reshape(sizes[name]) for name in ("output", "h", "c"))
    with pytest.raises(ValueError, match="share no memory"):
        lstm(X[None], out=(output, (h, c)))
    assert (memory == 77).all()


@pytest.mark.parametrize(
    "lengths",
    [
        {1, 2},
        frozenset((1, 2)),
        {1: 1, 2: 2},
        type("Set", (set,), {})((1, 2)),
        type("Frozen", (frozenset,), {})((1, 2)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_lengths_without_an_order(lengths):
    with pytest.raises(TypeError, match=f"one for each batch row, got {type(lengths).__name__}"):
        qd.GRU(4, 3)(X[:, None].repeat(2, 1), lengths=lengths)


def test_a_call_that_comes_later():
    class Mine(qd.Linear):
        pass

    module = Mine(4, 3)
    want = module(X)
    Mine.__call__ = lambda self, x: "mine"
    assert module(X) == "mine"
    del Mine.__call__
    assert np.array_equal(module(X), want)


def test_garbage_collection_sees_what_is_held():
    if not gc.is_tracked(_core):
        pytest.skip("CPython 3.13 WITHOUT A GIL: modules are immortal once a thread has started")
    linear = pack("linear", "qrnn", None, IH)
    linear(X.tolist())
    assert any(linear is found for found in gc.get_referrers(_core.Module))
    assert any(_core is found for found in gc.get_referrers(_core.Module))
    assert any(_core is found for found in gc.get_referrers(qrnn._arrays.to_float32))
    assert any(_core is found for found in gc.get_referrers(qrnn._arrays.like))


def test_a_second_copy_of_the_extension():
    """It computes, by itself, and goes when nobody holds it; collections while it is made find nothing."""
    program = (
        "import gc, sys, weakref, importlib.util\n"
        "import numpy as np\n"
        "from qrnn import _core\n"
        "spec = importlib.util.spec_from_file_location('qrnn._core', _core.__file__)\n"
        "gc.set_threshold(1)\n"
        "second = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(second)\n"
        "gc.set_threshold(700)\n"
        "assert second is not _core and second.Module is not _core.Module\n"
        "weight = np.arange(12, dtype=np.int8).reshape(3, 4), np.ones((), np.float32), None\n"
        "results = []\n"
        "for core in _core, second:\n"
        "    module = core.Module()\n"
        "    module._pack('linear', 'qrnn', None, weight)\n"
        "    results.append(module([1.0, 2.0, 3.0, 4.0]).tobytes())\n"
        "gone = weakref.ref(second)\n"
        "del second, core, module, spec\n"
        "gc.collect()\n"
        "print(results[0] == results[1], gone())\n"
    )
    assert run_python(program) == "True None\n"


def test_helpers_that_are_not_there():
    """qrnn._arrays is imported by the first call that needs it: until that works, each says why it does not."""
    program = (
        "import sys, types\n"
        "import numpy as np\n"
        "from qrnn.nn.quantized import dynamic as qd\n"
        "linear, x = qd.Linear(4, 3), [1.0, 2.0, 3.0, 4.0]\n"
        "real = sys.modules['qrnn._arrays']\n"
        "def attempt():\n"
        "    try:\n"
        "        return type(linear(x)).__name__\n"
        "    except Exception as error:\n"
        "        return type(error).__name__\n"
        "sys.modules['qrnn._arrays'] = None\n"
        "print(attempt())\n"
        "sys.modules['qrnn._arrays'] = types.ModuleType('none')\n"
        "print(attempt())\n"
        "class Fake:\n"
        "    asked = 0\n"
        "    @property\n"
        "    def to_float32(self):\n"
        "        Fake.asked += 1\n"
        "        if Fake.asked == 1:\n"
        "            print(attempt())\n"
        "        return lambda object, name: np.ones(4)\n"
        "sys.modules['qrnn._arrays'] = Fake()\n"
        "print(attempt())\n"
        "print(Fake.asked)\n"
    )
    # The call inside the second question puts its own function in place first, and keeps it.
    assert run_python(program).split() == [
        "ModuleNotFoundError",
        "AttributeError",
        "SystemError",
        "SystemError",
        "2",
    ]
    program = (
        "import sys, types\n"
        "from qrnn.nn.quantized import dynamic as qd\n"
        "real = sys.modules['qrnn._arrays']\n"
        "half = sys.modules['qrnn._arrays'] = types.ModuleType('half')\n"
        "half.to_float32 = real.to_float32\n"
        "linear, x = qd.Linear(4, 3), [1.0, 2.0, 3.0, 4.0]\n"
        "try:\n"
        "    linear(x)\n"
        "except AttributeError as error:\n"
        "    print('like' in str(error))\n"
        "sys.modules['qrnn._arrays'] = real\n"
        "print(type(linear(x)).__name__)\n"
    )
    assert run_python(program).split() == ["True", "ndarray"]


LONG_CALL = (
    "import signal, sys, types\n"
    "import numpy as np\n"
    "import qrnn\n"
    "from qrnn.nn.quantized import dynamic as qd\n"
    "module, long, came = qd.GRU(64, 256), np.zeros((1500, 16, 64), np.float32), []\n"
    "def handler(*_):\n"
    "    came.append(computing)\n"
    "signal.signal(signal.SIGALRM, handler)\n"
    "signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)\n"
)
needs_alarm = pytest.mark.skipif(sys.platform == "win32", reason="NO SIGALRM HERE: it was not tried")


@needs_alarm
@pytest.mark.parametrize(
    "threading",
    ["None", "types.ModuleType('threading')", "Fake(object())"],
    ids=["no module", "no function", "no number"],
)
def test_signals_without_threading(threading):
    """Which thread is the main one cannot be asked: handlers run during calls all the same."""
    program = LONG_CALL + (
        "class Fake:\n"
        "    def __init__(self, thread):\n"
        "        self.main_thread = lambda: thread\n"
        f"sys.modules['threading'] = {threading}\n"
        "computing = True\n"
        "for _ in range(20):\n"
        "    module(long)\n"
        "    if sum(came) > 3:\n"
        "        break\n"
        "computing = False\n"
        "signal.setitimer(signal.ITIMER_REAL, 0)\n"
        "print(sum(came) > 3)\n"
    )
    assert run_python(program) == "True\n"
