"""Whole sequences in NumPy: layers, directions, lengths. The cells are in ``reference.py``.

Arrays are time-major: x and the output [steps, batch, features], states [layers * directions, batch,
features]. A row of the batch is active at time t if t is less than its length, in both directions:
backwards it joins, with its initial state, at its own last step. PyTorch computes a PackedSequence in
this way. For the engines with one scale for all rows it matters which rows are active together:

    x   one scale for all valid elements of the layer's whole input
    h   at every time one scale for the rows active then
"""

from __future__ import annotations

import numpy as np


def run_unit(unit, x, state, valid, backwards):
    """Run one layer in one direction: its output [steps, batch, state size] and its final state.

    valid[t, row] says whether the row is active at time t.
    """
    y = unit.product(x[valid], "ih")[1]  # of all steps at once
    y_ih = np.zeros((*valid.shape, y.shape[1]), unit.dtype)
    y_ih[valid] = y
    state = [np.array(v, unit.dtype) for v in state]
    out = np.zeros((*valid.shape, state[0].shape[1]), unit.dtype)
    times = range(len(x))
    for t in reversed(times) if backwards else times:
        active = valid[t]
        after = unit.advance(y_ih[t, active], *(v[active] for v in state))
        for v, new in zip(state, after):
            v[active] = new
        out[t, active] = after[0]
    return out, state


def run(units, x, state=None, lengths=None):
    """Run all layers: the output and the final states, a tuple (h,) or (h, c).

    units is [layers][directions]; a state of None is zeros; without lengths all rows have all steps.
    """
    steps, batch = x.shape[:2]
    valid = np.arange(steps)[:, None] < (np.full(batch, steps) if lengths is None else np.asarray(lengths))
    finals, place = [], 0
    for layer in units:
        outputs = []
        for backwards, unit in enumerate(layer):
            first = unit.zeros(batch) if state is None else [v[place] for v in state]
            out, final = run_unit(unit, x, first, valid, bool(backwards))
            outputs.append(out)
            finals.append(final)
            place += 1
        x = np.concatenate(outputs, axis=2)
    return x, tuple(np.stack(v) for v in zip(*finals))
