"""Every allocation of a Python call fails once: MemoryError or the right result, nothing kept, usable afterwards.

    python tests/check/starve.py [calls whose name contains this]

A small library, compiled here and preloaded, makes one malloc, calloc, realloc or aligned_alloc of the process
fail; with PYTHONMALLOC=malloc that is every allocation of Python, NumPy, the binding and the core. What NumPy
does by itself is left out (making, loading and quantizing weights): its own functions do not survive this.
"""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
import tempfile
from pathlib import Path

# Calls with Python code in them, of NumPy's too: np.errstate keeps memory where a context variable has none
# to be set (in CPython 3.11), so what stays is not looked at.
CONVERTED = ("converted", "LSTM cell of lists", "linear of lists")

LIBRARY = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);
static long left = -1, live, failed;
static int fails(void) { if (left < 0 || left-- > 0) return 0; failed++; errno = ENOMEM; return 1; }
void starve_in(long n) { left = n; }
int sched_yield(void) { left = -1; return 0; } /* os.sched_yield, which allocates nothing, ends it */
long starve_live(void) { return __atomic_load_n(&live, __ATOMIC_RELAXED); }
long starve_failed(void) { return failed; }
static void *count(void *p) { if (p) __atomic_fetch_add(&live, 1, __ATOMIC_RELAXED); return p; }
void *malloc(size_t n) { return fails() ? NULL : count(__libc_malloc(n)); }
void *calloc(size_t n, size_t m) { return fails() ? NULL : count(__libc_calloc(n, m)); }
void *realloc(void *p, size_t n) { if (fails()) return NULL; void *q = __libc_realloc(p, n); return p ? q : count(q); }
void *aligned_alloc(size_t a, size_t n) { return fails() ? NULL : count(__libc_memalign(a, n)); }
void free(void *p) { if (p) __atomic_fetch_sub(&live, 1, __ATOMIC_RELAXED); __libc_free(p); }
"""


def preload():
    """Start again with the library preloaded."""
    folder = tempfile.mkdtemp()
    source, library = Path(folder, "starve.c"), Path(folder, "starve.so")
    source.write_text(LIBRARY)
    command = [os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", str(source), "-o", str(library)]
    subprocess.run(command, check=True)
    environment = {**os.environ, "STARVED": "1", "LD_PRELOAD": str(library), "PYTHONMALLOC": "malloc"}
    command = [sys.executable, "-X", "faulthandler", __file__, *sys.argv[1:]]
    sys.exit(subprocess.run(command, env=environment, check=False).returncode)


def calls():
    import numpy as np

    from qrnn import _core, nn
    from qrnn.nn.quantized import dynamic as qd

    f32 = np.float32
    x, h, c = (np.linspace(-1, 1, 2 * n, dtype=f32).reshape(2, n) for n in (4, 3, 3))
    rows, wide = np.linspace(-1, 1, 40, dtype=f32).reshape(5, 2, 4), np.ones((90, 200), f32)
    cell, lstm, gru = qd.RNNCell(4, 3), qd.LSTMCell(4, 3, engine="fbgemm"), nn.GRUCell(4, 3)
    sequence = qd.LSTM(4, 3, num_layers=2, bidirectional=True)
    floats, large = nn.GRU(4, 3, bidirectional=True), qd.RNNCell(200, 90)
    many = qd.GRU(4, 3, engine="fbgemm")
    linear = qd.Linear(4, 3)
    projected = nn.LSTM(4, 3, proj_size=2)
    codes = (
        (np.ones((3, 4), np.int8), np.ones((), f32), None),
        (np.ones((3, 3), np.int8), np.ones((), f32), None),
    )

    clipped = nn.LSTMCell(4, 3, activations=("hard_sigmoid", "tanh", "elu"), clip=2.0)
    options, lstm_sizes = clipped.options, ("lstm", 4, 3, 0, (1, 1, False))

    def pack():
        module = _core.Module()
        module._pack("rnn_tanh", "qrnn", None, *codes)
        return module(x)

    return {
        "cell": lambda: cell(x, h),
        "cell by keywords": lambda: cell(input=x, hx=h),
        "converted": lambda: cell(x.astype(float), h.tolist()),
        "LSTM cell": lambda: lstm(x, (h, c)),
        "LSTM cell of lists": lambda: lstm(x.tolist(), [h, c.tolist()]),
        "GRU cell": lambda: gru(x, h),
        "out": lambda: cell(x, h, out=np.empty((2, 3), f32)),
        "large": lambda: large(wide),
        "linear": lambda: linear(x),
        "sequence": lambda: sequence(rows),
        "sequence with lengths": lambda: sequence(rows, lengths=[3, 5]),
        "float sequence": lambda: floats(rows, None, lengths=np.array([5, 1])),
        "batch of a torch engine": lambda: many(rows.repeat(50, 1)),
        "gates": lambda: _core._gates(cell, x, h),
        "apply": lambda: _core.apply("tanh", x),
        "quantize": lambda: _core.quantize("qrnn", x)[0],
        "pack": pack,
        "linear of lists": lambda: linear(x.tolist()),
        "unpack": lambda: [cell._unpack(0, what) for what in ("weight", "scale", "bias")],
        "names": lambda: [_core.isas(), _core.engines()],
        "properties": lambda: [cell.engine, cell.isa, cell.nbytes, cell.kind, sequence.sequence],
        "options": lambda: clipped.options,
        "tables": lambda: [_core.kinds(), _core.activations(), _core.engine_table()],
        "matrices": lambda: _core.matrices(*lstm_sizes, options),
        "layers of a sequence": lambda: [_core.Module._forward_layers(each, rows) for each in (sequence, projected)],
        "checked lengths": lambda: _core.check_call(*lstm_sizes, (5, 2, 4), None, [3, 5]),
        "fake quantize": lambda: _core.fake_quantize("qrnn", x),
        "wrong size": lambda: refused(lambda: cell(rows), ValueError),
        "wrong columns": lambda: refused(lambda: cell(h), RuntimeError),
        "wrong engine": lambda: refused(lambda: _core.Module()._pack("linear", "no", None, codes[0]), ValueError),
        "wrong isa": lambda: refused(lambda: _core.Module()._pack("linear", "qrnn", "no", codes[0]), ValueError),
        "wrong scale": lambda: refused(
            lambda: _core.Module()._pack("linear", "qrnn", None, (codes[0][0], np.zeros((), f32), None)),
            ValueError,
        ),
        "too many arguments": lambda: refused(lambda: cell(x, h, x), TypeError),
        "too few arguments": lambda: refused(lambda: cell(), TypeError),
        "wrong out": lambda: refused(lambda: cell(x, h, out=x), ValueError),
        "wrong shape": lambda: refused(
            lambda: _core.Module()._pack("rnn_tanh", "qrnn", None, codes[0], codes[0]), ValueError
        ),
        "wrong options": lambda: refused(lambda: _core.matrices(*lstm_sizes, options[1:]), TypeError),
        "wrong activation": lambda: refused(
            lambda: _core.matrices(*lstm_sizes, ((*options[0][:2], ("no", 0.0, 0.0)), *options[1:])), ValueError
        ),
        "wrong keyword": lambda: refused(lambda: cell(x, nope=1), TypeError),
        "nan": lambda: refused(lambda: many(np.full((2, 1, 4), np.nan, f32)), ValueError),
    }


def refused(call, kind):
    try:
        call()
    except kind:
        return
    raise AssertionError("expected to be refused")


def flat(result):
    """The bytes of all arrays of a result."""
    if isinstance(result, (tuple, list)):
        return b"".join(flat(item) for item in result)
    return result.tobytes() if hasattr(result, "tobytes") else repr(result).encode()


class Starver:
    def __init__(self):
        library = ctypes.CDLL(None)
        self.start, self.live, self.failed = library.starve_in, library.starve_live, library.starve_failed
        self.start.argtypes, self.live.restype, self.failed.restype = (
            [ctypes.c_long],
            ctypes.c_long,
            ctypes.c_long,
        )

    def run(self, call, at):
        """(outcome, whether an allocation failed): what happens when allocation `at` fails."""
        before, outcome, stop = self.failed(), None, os.sched_yield
        try:
            try:
                self.start(at)
                result = call()
            finally:
                stop()
            outcome = flat(result)
        except MemoryError:
            outcome = MemoryError
        except BaseException as error:
            outcome = error
        return outcome, self.failed() > before


def starve(starver, name, call):
    """(allocations that failed, findings) of one call, which is over when three in turn were not reached."""
    for _ in range(3):
        want = flat(call())
    findings, at, tried, idle, unraised = [], 0, 0, 0, 0
    while idle < 3 and at < 5000:
        outcome, failed = starver.run(call, at)
        tried += failed
        idle = 0 if failed else idle + 1
        # CPython loses an exception for whose traceback it has no memory: one allocation of each that is raised.
        by_python = isinstance(outcome, SystemError) and str(outcome) == "error return without exception set"
        if by_python:
            unraised += 1
        elif outcome is not MemoryError and outcome != want:
            findings.append(f"{name}, allocation {at}: {type(outcome).__name__}: {outcome!r}"[:300])
        if flat(call()) != want:
            findings.append(f"{name}, allocation {at}: other bits afterwards")
        at += 1 if at < 400 else 7
    if unraised > 1:
        findings.append(f"{name}: {unraised} errors without an exception, where Python itself makes one")
    if name not in CONVERTED:
        findings += kept(starver, name, call, at)
    return tried, findings


def kept(starver, name, call, count):
    """Blocks that stay when allocations fail: more with each failure is a leak. Lists of free objects, which
    gc.collect() empties, refill with the first."""
    findings, rounds = [], 30
    for at in range(min(count, 400)):
        least = rounds
        for _ in range(3):
            gc.collect()
            before = starver.live()
            for _ in range(rounds):
                starver.run(call, at)
            gc.collect()
            least = min(least, starver.live() - before)
            if least < rounds:
                break
        if least >= rounds:
            findings.append(f"{name}, allocation {at}: {least} blocks stay after {rounds} failures")
    return findings


def main():
    if "STARVED" not in os.environ:
        preload()
    import warnings

    warnings.simplefilter("ignore")
    pattern = sys.argv[1] if len(sys.argv) > 1 else ""
    starver, total, passed, findings = Starver(), 0, 0, []
    for name, call in calls().items():
        if pattern not in name:
            continue
        count, found = starve(starver, name, call)
        total += count
        passed += not found
        findings += found
        print(f"{name}: {count} allocations failed in turn{'' if not found else ': FAILED'}", flush=True)
    print(*findings, sep="\n")
    failed = len({f.split(",")[0] for f in findings})
    print(f"{total} allocations failed\n{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
