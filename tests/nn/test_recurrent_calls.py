"""Calls of the recurrent layers of every kind beside torch.nn's."""

from __future__ import annotations

import numpy as np
import pytest
from support import leaves, needs_torch
from support.layers import (
    CELLS,
    SEQUENCES,
    a_few,
    every,
    inputs_of,
    make,
    twin,
)

from qrnn import nn

pytestmark = pytest.mark.filterwarnings("error", "ignore:LSTM with projections:UserWarning")  # PyTorch's own


f32 = np.float32


# ---------------------------------------------------------------------------------------------------
# Calls
# ---------------------------------------------------------------------------------------------------
def assert_close(got, want):
    for g, w in zip(leaves(got), leaves(want), strict=True):
        w = w.detach().numpy()
        assert g.shape == w.shape and np.abs(g - w).max(initial=0) <= 1e-6 * max(1, np.abs(w).max(initial=0))


def as_torch(torch, hx):
    return tuple(map(torch.from_numpy, hx)) if isinstance(hx, tuple) else torch.from_numpy(hx)


@needs_torch
@every
def test_results_are_torchs(name, options):
    """With a state and without; whole batches, and one row unbatched."""
    import torch

    ours = make(name, options)
    theirs = twin(ours, torch)
    x, hx = inputs_of(ours)
    assert_close(ours(x), theirs(torch.from_numpy(x)))
    assert_close(ours(x, hx), theirs(torch.from_numpy(x), as_torch(torch, hx)))
    row = 0 if name in CELLS or options["batch_first"] else (slice(None), 0)
    x = np.ascontiguousarray(x[row])
    states = tuple(np.ascontiguousarray(h[0 if name in CELLS else (slice(None), 0)]) for h in leaves(hx))
    hx = states if len(states) > 1 else states[0]
    assert_close(ours(x), theirs(torch.from_numpy(x)))
    assert_close(ours(x, hx), theirs(torch.from_numpy(x), as_torch(torch, hx)))


@needs_torch
@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_lengths_are_packed_sequences(name, batch_first, bidirectional):
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    ours = getattr(nn, name)(5, 4, 2, batch_first=batch_first, bidirectional=bidirectional)
    theirs, lengths = twin(ours, torch), [2, 6, 1, 4]
    x, hx = inputs_of(ours, batch=4)
    packed = pack_padded_sequence(torch.from_numpy(x), lengths, batch_first, enforce_sorted=False)
    output, state = theirs(packed, as_torch(torch, hx))
    output = pad_packed_sequence(output, batch_first, total_length=6)[0]
    assert_close(ours(x, hx, lengths=lengths), (output, state))


@a_few
def test_a_subclass_with_forward_is_called(name, options):
    calls = []

    class Mine(getattr(nn, name)):
        def forward(self, input, hx=None):
            calls.append(1)
            return super().forward(input, hx)

    module = Mine(5, 4, **options)
    x, hx = inputs_of(module)
    result = module(x, hx)
    assert calls == [1] and leaves(result)[0].dtype == f32


def test_flatten_parameters():
    """Models written for PyTorch call it."""
    assert nn.LSTM(4, 3).flatten_parameters() is None


def test_tensors_in_tensors_out():
    torch = pytest.importorskip("torch")
    lstm = nn.LSTM(4, 3)
    output, (h_n, c_n) = lstm(torch.ones(5, 2, 4))
    assert all(isinstance(t, torch.Tensor) for t in (output, h_n, c_n))
    assert output.shape == (5, 2, 3) and c_n.shape == (1, 2, 3)
