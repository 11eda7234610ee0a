"""Memory: what packed weights take, and what a sequence takes while it runs."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

import qrnn
from qrnn import nn

GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}


def up(n, unit):
    return -(-n // unit) * unit


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("form", ["cell", "layer", "two layers", "two directions"])
def test_packed_weights(kind, form):
    """Codes padded to 16 units, gate by gate, and to 4 inputs; at most 16 bytes an output row beside them, and
    what a module takes, not growing with its sizes: 2 KiB for each pair of matrices."""
    gates = GATES[kind]
    for inputs, hidden in ((1, 1), (12, 64), (100, 100), (513, 300)):
        layers, directions = 1 + (form == "two layers"), 1 + (form == "two directions")
        if form == "cell":
            module = getattr(qrnn, f"{kind}Cell")(inputs, hidden)
        else:
            module = getattr(qrnn, kind)(inputs, hidden, layers, bidirectional=directions == 2)
        rows = gates * up(hidden, 16)
        columns = [inputs] + [hidden * directions] * (layers - 1)
        codes = sum(directions * rows * (up(n, 4) + up(hidden, 4)) for n in columns)
        pairs = layers * directions
        assert codes < module.nbytes <= codes + pairs * (2 * 16 * rows + 2048), (inputs, hidden)


def test_float_weights():
    for inputs, hidden in ((12, 64), (100, 100)):
        floats = 4 * 4 * up(hidden, 16) * (up(inputs, 4) + up(hidden, 4))
        assert floats <= nn.LSTM(inputs, hidden).nbytes <= floats + 2 * 16 * 4 * up(hidden, 16) + 2048


SEQUENCE = """
import numpy as np
import qrnn

def status(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name + ":"))

qrnn.set_num_threads({threads})
layer = qrnn.{kind}({inputs}, {hidden})
x, out = (np.full(({steps}, {batch}, n), 0.5, np.float32) for n in ({inputs}, {hidden}))
state = [np.zeros((1, {batch}, {hidden}), np.float32) for _ in range(2)]
with open("/proc/self/clear_refs", "w") as peak:
    peak.write("5")
before = status("VmRSS")
layer(x, out=(out, tuple(state) if "{kind}" == "LSTM" else state[0]))
print(status("VmHWM") - before)
"""


def peak(**sizes):
    """Bytes by which a call raises what a fresh process holds; blocks of 16 KiB and more come from the system
    each, so that none hides in what was freed before."""
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "16384", "MALLOC_TRIM_THRESHOLD_": "16384"}
    command = [sys.executable, "-c", SEQUENCE.format(**sizes)]
    return int(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def bound(kind, inputs, hidden, batch, threads):
    """csrc/README.md, "Working memory": a chunk of 256 KiB of input products or 64 rows of them, at most 128 Ki inputs,
    but at least 16 rows and a step's; a step; half as much again. A thread more has codes of its own."""
    products = GATES[kind] * up(hidden, 16) * 4
    group = min(batch, 64)
    chunk = max(min(max((256 << 10) // products, 64), (128 << 10) // inputs), 16, group)
    codes = chunk * (up(inputs, 64) + 64) + group * (up(hidden, 64) + 128)
    return 1.5 * (chunk * products + group * (products + 4 * hidden) + threads * codes + 24 * batch)


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or not os.access("/proc/self/clear_refs", os.W_OK),
    reason="NO glibc OR NO /proc/self/clear_refs HERE: the peak memory of sequences was not measured",
)
@pytest.mark.parametrize(
    ("kind", "inputs", "hidden", "batch", "threads"),
    [("RNN", 64, 64, 1, 1), ("LSTM", 64, 64, 4, 1), ("GRU", 200, 128, 80, 1), ("LSTM", 64, 512, 2, 2)],
)
def test_a_sequence_takes_no_more_the_longer_it_is(kind, inputs, hidden, batch, threads):
    """Into arrays that are there already. What all input products would take at once is 20 times the bound."""
    sizes = {"kind": kind, "inputs": inputs, "hidden": hidden, "batch": batch, "threads": threads}
    most = bound(**sizes)
    steps = int(20 * most / (GATES[kind] * hidden * 4 * batch))
    slack = 768 << 10  # the kernel counts pages in batches, a thread has a stack
    short, long = (peak(**sizes, steps=n) for n in (steps // 10, steps))
    assert 0 < short <= most + slack and long <= most + slack
    assert abs(long - short) <= slack
