"""Float32 modules of every kind beside torch.nn's."""

from __future__ import annotations

import numpy as np
import pytest
import support
from support import (
    HAVE_TORCH,
    as_hx,
    as_tuple,
    needs_torch,
    pack_unit,
    pack_units,
    random_rows,
    random_state,
)

from qrnn import _core

if HAVE_TORCH:
    import torch
    from support import torch_units

from support import random_lengths

pytestmark = pytest.mark.core


f32 = np.float32


# ---------------------------------------------------------------------------------------------------
# Float32 beside torch.nn
# ---------------------------------------------------------------------------------------------------
@needs_torch
@pytest.mark.parametrize("name", ["RNN tanh", "RNN relu", "LSTM", "LSTM proj", "GRU"])
@pytest.mark.parametrize("batched", ["batch first", "time first", "unbatched"])
def test_float_sequences_are_torchs(name, batched):
    """Layers 1-3, both directions, lengths, projection, bias, states: within 1e-6 of the largest output.

    Of 8 hidden units or more: the largest of two or three outputs can be what cancellation left, and then
    PyTorch's own is further than that from float64. Small sizes have the reference's bits
    (``test_sequences.py``), and the reference is held to rounding's bound.
    """
    rng = np.random.default_rng(96)
    torch.manual_seed(96)
    isas, worst = _core.isas(), 0.0
    for number in range(96):
        layers, directions = number % 3 + 1, number // 3 % 2 + 1
        bias, lengths, initial = (number // n % 2 == 0 for n in (6, 12, 24))
        inputs, hidden = int(rng.integers(1, 70)), int(rng.integers(8, 70))
        options = {"nonlinearity": name.split()[1]} if name.startswith("RNN") else {}
        options |= {"proj_size": int(rng.integers(4, hidden))} if name == "LSTM proj" else {}
        options |= {"num_layers": layers, "bidirectional": directions == 2, "bias": bias}
        layer = getattr(torch.nn, name.split()[0])(inputs, hidden, **options)
        units = torch_units.units_of(layer, "float32")
        batch_first = batched == "batch first" or (number % 5 == 0 and batched == "unbatched")
        module = pack_units(units, isas[number % len(isas)], batch_first=batch_first)
        steps, batch = (int(n) for n in rng.integers(1, 9, 2))
        batch = 1 if batched == "unbatched" else batch
        x = random_rows(rng, steps * batch, inputs).reshape(steps, batch, inputs)
        state = random_state(rng, units, batch) if initial else None
        rows = random_lengths(rng, steps, batch) if lengths and batched != "unbatched" else None
        if rows is not None:
            rows[int(rng.integers(batch))] = steps
        want = torch_units.run(layer, x, state, rows)
        if batched == "unbatched":
            alone = None if state is None else tuple(np.ascontiguousarray(v[:, 0]) for v in state)
            got = module(np.ascontiguousarray(x[:, 0]), as_hx(alone))
            want = want[0][:, 0], tuple(v[:, 0] for v in want[1])
        elif batch_first:
            got = module(np.ascontiguousarray(x.swapaxes(0, 1)), as_hx(state), lengths=rows)
            want = want[0].swapaxes(0, 1), want[1]
        else:
            got = module(x, as_hx(state), lengths=rows)
        for a, b in zip((got[0], *as_tuple(got[1])), (want[0], *want[1]), strict=True):
            assert a.shape == b.shape
            error = np.abs(a - b).max() / np.abs(b).max()
            assert error <= 1e-6, number
            worst = max(worst, error)
    support.report("float32 beside torch.nn", f"{name}, {batched}: worst {worst:.1e} of the largest output")


@needs_torch
@pytest.mark.parametrize("name", ["RNNCell tanh", "RNNCell relu", "LSTMCell", "GRUCell"])
def test_float_cells_are_torchs(name):
    rng = np.random.default_rng(97)
    torch.manual_seed(97)
    isas = _core.isas()
    for number in range(60):
        inputs, hidden = (int(n) for n in rng.integers(1, 100, 2))
        options = {"nonlinearity": name.split()[1]} if name.startswith("RNN") else {}
        cell = getattr(torch.nn, name.split()[0])(inputs, hidden, bias=number % 3 > 0, **options)
        unit = torch_units.unit_of(cell, "float32")
        module = pack_unit(unit, isas[number % len(isas)])
        shape = (int(rng.integers(1, 9)),) if number % 4 else ()
        x = rng.standard_normal((*shape, inputs)).astype(f32)
        state = tuple(rng.standard_normal((*shape, hidden)).astype(f32) for _ in unit.state_sizes)
        state = None if number % 5 == 0 else state
        want = torch_units.arrays(cell(torch.from_numpy(x), torch_units.tensors(state)))
        for a, b in zip(as_tuple(module(x, as_hx(state))), want, strict=True):
            assert a.shape == b.shape
            assert np.abs(a - b).max() <= 1e-6 * np.abs(b).max()
