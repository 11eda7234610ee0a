"""Helpers for the tests of calls with several threads: modules, inputs, counting threads."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

import qrnn
from qrnn import nn
from support import leaves, note

f32 = np.float32


TASKS = Path("/proc/self/task")
HIDDEN = 90  # six panels, the last one ragged: 5 threads take 1, 1, 1, 1 and 2


def make(name, engine, *, isa=None, seed=90, **options):
    """Make a random module so large that a call with the result of `inputs_of` uses several threads."""
    qrnn.manual_seed(seed)
    module = getattr(nn, name)(33, HIDDEN, isa=isa, **options)
    if engine != "float32":
        module = getattr(qrnn, name).from_float(module, engine=engine, isa=isa)
    note(module)
    return module


def inputs_of(module, batch=60, steps=None, seed=91):
    """Make an input and a state with the fewest steps for which several threads are used (qrnn_members, rows.c)."""
    rng = np.random.default_rng(seed)
    state = module.proj_size or HIDDEN
    gates = module._unpack(0, "weight").shape[0] // HIDDEN
    assert gates * HIDDEN * state * batch >= 2**17
    steps = steps or 2**24 // (gates * HIDDEN * state * batch) + 1

    def draw(*shape):
        return rng.standard_normal(shape).astype(f32)

    units = module.num_layers * module.num_directions
    h = draw(units, batch, state)
    hx = (h, draw(units, batch, HIDDEN)) if module.kind == "lstm" else h
    return draw(steps, batch, module.input_size), hx


KINDS = {
    "rnn": ("RNN", {}),
    "relu": ("RNN", {"nonlinearity": "relu"}),
    "lstm": ("LSTM", {}),
    "gru": ("GRU", {}),
    "gru before": ("GRU", {"reset_after": False}),
    "projection": ("LSTM", {"proj_size": 37}),
    "narrow projection": ("LSTM", {"proj_size": 7}),  # one panel, so most threads have none
    "bidirectional": ("GRU", {"bidirectional": True}),
    "layers": ("RNN", {"num_layers": 2}),
    "all": ("LSTM", {"num_layers": 2, "bidirectional": True, "proj_size": 37}),
    "batch first": ("GRU", {"num_layers": 2, "batch_first": True, "bidirectional": True}),
}


def tasks(expected=None):
    """Count the threads of this process; wait a while until they are as many as expected, since joined threads may
    still be ending. Five equal listings in a row are needed, as a listing stops early at a thread that ends."""
    right, end = 0, time.monotonic() + 10
    while expected is not None and right < 5 and time.monotonic() < end:
        right = right + 1 if len(os.listdir(TASKS)) == expected else 0
        time.sleep(0.001)
    return len(os.listdir(TASKS))


def digest(count):
    """Return the result's bytes, computed with `count` threads."""
    module = make("LSTM", "qrnn")
    qrnn.set_num_threads(count)
    return b"".join(leaf.tobytes() for leaf in leaves(module(*inputs_of(module))))
