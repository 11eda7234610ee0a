"""Prepared modules of qrnn.torch, a loss of their results, and the same training forward by plain autograd."""

from __future__ import annotations

import numpy as np

from qrnn import _core
from support.torch_models import (
    flat,
    make,
    qt,
    torch,
)

NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def prepared(kind, engine="qrnn", seed=0, **keywords):
    return qt.prepare(make(kind, seed, **keywords), engine=engine, qconfig={})


def loss_of(result):
    return sum(tensor.square().sum() for tensor in flat(result))


def pair(*shape):
    return (torch.zeros(shape),) * 2


# ---- a second training forward: plain autograd, one step after the other


def on_grid(v, engine):
    """Round `v`, of shape (rows, n), to the values of its codes; the gradient passes as if nothing were rounded."""
    codes, scale, zero_point = _core.quantize(engine, v.detach().numpy())
    value = torch.from_numpy((codes.astype(np.int32) - zero_point[:, None]).astype(np.float32) * scale[:, None])
    return v + (value - v).detach()


def next_state(cell, y_ih, y_hh, state):
    """Compute the next h, or h and c, by PyTorch's equations; `cell` is "RNN", "LSTM" or "GRU"."""
    if cell == "RNN":
        return (torch.tanh(y_ih + y_hh),)
    if cell == "LSTM":
        i, f, g, o = (y_ih + y_hh).chunk(4, -1)
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c
    (ir, iz, i_n), (hr, hz, hn) = y_ih.chunk(3, -1), y_hh.chunk(3, -1)
    r, z = (ir + hr).sigmoid(), (iz + hz).sigmoid()
    n = torch.tanh(i_n + r * hn)
    return ((1 - z) * n + z * state[0],)


def straight_through(twin, cell, engine, x, states):
    """Output and final states of `twin`, a float layer, whose weights are on the grid, over x, (time, batch, inputs).

    x (all steps together if the engine has one scale for them) and h of each step are rounded to codes.
    """
    ends = [[] for _ in states]
    for layer in range(twin.num_layers):
        outputs = []
        rows = on_grid(x.flatten(0, 1), engine).unflatten(0, x.shape[:2])
        for suffix in [f"l{layer}", f"l{layer}_reverse"][: 1 + twin.bidirectional]:
            w_ih, w_hh, b_ih, b_hh = (getattr(twin, f"{name}_{suffix}") for name in NAMES)
            state = tuple(each[len(ends[0])] for each in states)
            order = range(len(x))[:: -1 if "reverse" in suffix else 1]
            steps = {}
            for t in order:
                y_hh = on_grid(state[0], engine) @ w_hh.T + b_hh
                h, *rest = next_state(cell, rows[t] @ w_ih.T + b_ih, y_hh, state)
                if twin.proj_size:
                    h = on_grid(h, engine) @ getattr(twin, f"weight_hr_{suffix}").T
                state = (h, *rest)
                steps[t] = h
            for kept, last in zip(ends, state, strict=True):
                kept.append(last)
            outputs.append(torch.stack([steps[t] for t in range(len(x))]))
        x = torch.cat(outputs, -1)
    return x, *(torch.stack(each) for each in ends)
