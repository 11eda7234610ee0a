"""What several test files share: making cells, comparing bits, the caller's float environment."""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import importlib.util
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import reference as ref

ROOT = Path(__file__).resolve().parent.parent
f32 = np.float32

HAVE_TORCH = importlib.util.find_spec("torch") is not None
needs_torch = pytest.mark.skipif(
    not HAVE_TORCH, reason="PYTORCH IS NOT INSTALLED: comparisons with the live PyTorch did not run"
)

# Batches, inputs and rows round every tile that a kernel may use, and primes.
SIZES = (
    0,
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    13,
    15,
    16,
    17,
    23,
    31,
    32,
    33,
    47,
    48,
    49,
    61,
    63,
    64,
    65,
    97,
    127,
    128,
    129,
)

exercised: set[str] = set()  # instruction sets that computed something in this run
tables: dict[str, list[str]] = {}  # title: lines to print at the end of the run


# ---------------------------------------------------------------------------------------------------
# Bits
# ---------------------------------------------------------------------------------------------------
def bits(a):
    """The bit patterns of a float32 array."""
    a = np.ascontiguousarray(a)
    assert a.dtype == f32, a.dtype
    return a.view(np.uint32)


def same_bits(got, want):
    """Whether two float32 arrays agree in shape and in every bit."""
    return np.shape(got) == np.shape(want) and bool(np.array_equal(bits(got), bits(want)))


def assert_same_bits(got, want, what=""):
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, f"{what}: shape {got.shape}, expected {want.shape}"
    wrong = np.flatnonzero(bits(got).ravel() != bits(want).ravel())
    if len(wrong):
        i = wrong[0]
        g, w = got.ravel()[i], want.ravel()[i]
        pytest.fail(
            f"{what}: {len(wrong)} of {got.size} elements differ; element {i} is {g!r} "
            f"({bits(got).ravel()[i]:08x}), expected {w!r} ({bits(want).ravel()[i]:08x})"
        )


def leaves(result):
    """The arrays of a result in order."""
    return [leaf for part in result for leaf in leaves(part)] if isinstance(result, tuple) else [result]


def assert_same_results(got, want, what=""):
    for g, w in zip(leaves(got), leaves(want), strict=True):
        assert_same_bits(g, w, what)


def ulps(a, b):
    """Distance of float32 values in units of the last place: steps from one float to the other."""
    lines = []
    for v in (a, b):
        i = bits(v).astype(np.int64)
        lines.append(np.where(i >> 31, -(i & 0x7FFFFFFF), i))
    return np.abs(lines[0] - lines[1])


def step_ulps(v, steps):
    """The float32 values `steps` units of the last place away from v (away from zero for positive)."""
    return (np.asarray(v, f32).view(np.int32) + np.asarray(steps, np.int32)).view(f32)


def hexes(text, shape):
    """float32 array from hexadecimal bit patterns."""
    return np.array([int(word, 16) for word in text.split()], np.uint32).view(f32).reshape(shape)


# ---------------------------------------------------------------------------------------------------
# Modules
# ---------------------------------------------------------------------------------------------------
def random_weight(rng, rows, cols, per_channel=True, low=-128):
    """Random codes and scales; every code occurs, -128 included."""
    codes = rng.integers(low, 128, (rows, cols)).astype(np.int8)
    scale = rng.uniform(0.002, 0.02, rows if per_channel else ()).astype(f32)
    return ref.Weight(codes, np.asarray(scale, f32))


def random_bias(rng, rows, present=True):
    return rng.uniform(-1, 1, rows).astype(f32) if present else None


def random_cell(rng, engine, nonlinearity, inputs, hidden, *, per_channel=True, bias=True, low=-128):
    """A reference cell with random codes."""
    return ref.Cell(
        engine,
        nonlinearity,
        random_weight(rng, hidden, inputs, per_channel, low),
        random_weight(rng, hidden, hidden, per_channel, low),
        random_bias(rng, hidden, bias),
        random_bias(rng, hidden, bias),
    )


def pack(cell, isa=None):
    """The core's module of a reference cell."""
    from qrnn import _core

    module = _core.Module()
    module._pack(
        f"rnn_{cell.nonlinearity}",
        cell.engine,
        isa,
        (cell.ih.codes, cell.ih.scale, cell.bias_ih),
        (cell.hh.codes, cell.hh.scale, cell.bias_hh),
    )
    note(module)
    return module


def pack_linear(engine, weight, bias, isa=None):
    """The core's module of a quantized linear layer."""
    from qrnn import _core

    module = _core.Module()
    module._pack("linear", engine, isa, (weight.codes, weight.scale, bias))
    note(module)
    return module


def pack_float(kind, ih, hh=None, isa=None):
    """The core's float32 module; ih and hh are (weight, bias)."""
    from qrnn import _core

    module = _core.Module()
    pairs = [ih] if hh is None else [ih, hh]
    module._pack(kind, "float32", isa, *((weight, None, bias) for weight, bias in pairs))
    note(module)
    return module


def random_unit(rng, kind, engine, inputs, hidden, *, proj=0, per_channel=True, bias=True, low=-128):
    """A reference unit: a cell, or a layer in one direction. Its gates are seldom saturated."""
    gates = ref.GATES[kind]

    def weight(rows, columns):
        bound = 2 / np.sqrt(max(columns, 1))
        if engine in ref.ENGINES:
            w = random_weight(rng, rows, columns, per_channel, low)
            return w._replace(scale=np.asarray(w.scale * f32(bound), f32))
        return rng.uniform(-bound, bound, (rows, columns)).astype(f32)

    return ref.Unit(
        kind,
        engine,
        weight(gates * hidden, inputs),
        weight(gates * hidden, proj or hidden),
        random_bias(rng, gates * hidden, bias),
        random_bias(rng, gates * hidden, bias),
        weight(proj, hidden) if proj else None,
    )


def random_units(rng, kind, engine, inputs, hidden, layers=1, directions=1, *, proj=0, **options):
    """The reference units of a sequence module, [layers][directions]."""
    sizes = [inputs] + [directions * (proj or hidden)] * (layers - 1)
    return [[random_unit(rng, kind, engine, n, hidden, proj=proj, **options) for _ in range(directions)] for n in sizes]


def random_state(rng, units, batch, *, scale=0.7):
    """Initial states of all layers and directions: a tuple (h,) or (h, c) of [units, batch, size]."""
    flat = [unit for layer in units for unit in layer]
    sizes = flat[0].state_sizes
    return tuple((rng.standard_normal((len(flat), batch, n)) * scale).astype(f32) for n in sizes)


def _matrices(unit):
    for name in ("ih", "hh", "hr"):
        weight, bias = getattr(unit, name), getattr(unit, f"bias_{name}", None)
        if weight is not None:
            codes = isinstance(weight, ref.Weight)
            yield (weight.codes, weight.scale, bias) if codes else (weight, None, bias)


def pack_unit(unit, isa=None):
    """The core's cell of a reference unit."""
    from qrnn import _core

    module = _core.Module()
    module._pack(unit.kind, unit.engine, isa, *_matrices(unit))
    note(module)
    return module


def pack_units(units, isa=None, *, batch_first=False):
    """The core's sequence module of reference units."""
    from qrnn import _core

    module = _core.Module()
    flat = [unit for layer in units for unit in layer]
    matrices = [matrix for unit in flat for matrix in _matrices(unit)]
    shape = (len(units), len(units[0]), batch_first)
    module._pack(flat[0].kind, flat[0].engine, isa, *matrices, sequence=shape)
    note(module)
    return module


def as_hx(state):
    """A state tuple as PyTorch's calls take it: h alone, or the pair."""
    return None if state is None else state[0] if len(state) == 1 else tuple(state)


def as_tuple(state):
    """What a call returned, as a tuple of states."""
    return state if isinstance(state, tuple) else (state,)


def report(title, line):
    """Print a line under `title` at the end of the run."""
    tables.setdefault(title, []).append(line)


def note(module):
    """Count the instruction set that a module really runs on as exercised."""
    exercised.add(module.isa)


# ---------------------------------------------------------------------------------------------------
# Inputs
# ---------------------------------------------------------------------------------------------------
def random_rows(rng, rows, n, scale=1.0, kind=0):
    """A batch of one of seven kinds: zero, constant, positive, negative, and three of general rows."""
    v = (rng.standard_normal((rows, n)) * scale).astype(f32)
    kind %= 7
    if kind == 1:
        v[:] = 0
    elif kind == 2:
        v[:] = f32(scale)
    elif kind == 3:
        v = np.abs(v)
    elif kind == 4:
        v = -np.abs(v)
    return v


def ties(rng, rows, n, qmax):
    """A batch whose elements lie within 2 ulp of (k + 1/2 - zp) * scale, and its range's two ends."""
    low = f32(0) if rng.random() < 0.2 else f32(-(10.0 ** rng.uniform(-6, 5)) * rng.random())
    high = f32(10.0 ** rng.uniform(-6, 5))
    scale, zero_point = ref.choose_qparams(low, high, qmax)
    k = rng.integers(0, qmax, (rows, n))
    v = step_ulps(((k + 0.5 - zero_point) * scale).astype(f32), rng.integers(-2, 3, (rows, n)))
    v = np.clip(v, low, high)
    ends = rng.choice(v.size, min(2, v.size), replace=False)
    v.flat[ends[-1]] = low
    v.flat[ends[0]] = high
    return v


# ---------------------------------------------------------------------------------------------------
# The caller's float environment
# ---------------------------------------------------------------------------------------------------
class _Environment:
    """Reads and sets the control word of the floating-point unit by the C library's fenv."""

    # machine: bytes of fenv_t, offset of the control word, flush-to-zero bits, rounding bits by name
    LAYOUTS: ClassVar = {
        "x86_64": (32, 28, 0x8040, {"nearest": 0, "down": 0x2000, "up": 0x4000, "zero": 0x6000}),
        "aarch64": (8, 0, 1 << 24, {"nearest": 0, "up": 1 << 22, "down": 2 << 22, "zero": 3 << 22}),
    }

    def __init__(self):
        size, offset, self.flush, self.rounding = self.LAYOUTS[platform.machine()]
        self.lib = ctypes.CDLL(ctypes.util.find_library("m") or "libm.so.6")
        self.buffer = ctypes.create_string_buffer(size)
        self.word = ctypes.c_uint32.from_buffer(self.buffer, offset)
        self.all_rounding = self.rounding["zero"]

    def get(self):
        self.lib.fegetenv(self.buffer)
        return self.word.value

    def set(self, value):
        self.lib.fegetenv(self.buffer)
        self.word.value = value
        self.lib.fesetenv(self.buffer)


@contextlib.contextmanager
def float_environment(*, flush=False, rounding="nearest"):
    """Run a block as a caller who has set flush-to-zero or another rounding mode.

    The block must leave the settings as it found them; that is checked too.
    """
    if sys.platform != "linux" or platform.machine() not in _Environment.LAYOUTS:
        pytest.skip(f"NO WAY KNOWN to set the float environment on {sys.platform} {platform.machine()}")
    env = _Environment()
    before = env.get()
    status = 0x3F if platform.machine() == "x86_64" else 0  # sticky exception flags, not settings
    wanted = (before & ~(env.flush | env.all_rounding)) | env.rounding[rounding] | (env.flush if flush else 0)
    env.set(wanted)
    try:
        yield
        after = env.get()
    finally:
        env.set(before)
    assert after & ~status == wanted & ~status, f"settings were changed: {wanted:#x} before, {after:#x} after"


# ---------------------------------------------------------------------------------------------------
# Other processes
# ---------------------------------------------------------------------------------------------------
def environment(**changes):
    """This process's environment, in which Python finds the qrnn of this run and the modules of tests/."""
    import qrnn

    home = str(Path(qrnn.__file__).resolve().parent.parent)
    path = os.pathsep.join([home, str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, **changes}


def run_python(code, **changes):
    """Run a Python program that finds the qrnn of this run, and return its output."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment(**changes),
        cwd=ROOT / "tests",  # not the root, whose folder qrnn/ may be another than the installed one
        check=False,
    )
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
