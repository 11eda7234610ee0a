"""Statistics of a sequence: what every layer, direction and step saw."""

from __future__ import annotations

import pickle
import types

import numpy as np
import pytest
from support import assert_same_bits
from support.calibration import all_taken, nothing_held, observed
from test_rounding import correlated

import qrnn
from qrnn import _core, nn
from qrnn.quantization import (
    calibration_report,
    default_dynamic_qconfig,
)

f32 = np.float32
__all__ = ["all_taken", "nothing_held"]


# ---------------------------------------------------------------------------------------------------
# Sequences
# ---------------------------------------------------------------------------------------------------
def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def step(kind, state, name, x, h, c, shift=0.0):
    """One step in float64, `shift` added to W_ih x: new h and c, r*h and o*tanh(c) where a product multiplies them."""
    y_ih = x @ state[f"weight_ih{name}"].T + state[f"bias_ih{name}"] + shift
    w_hh, b_hh = state[f"weight_hh{name}"], state[f"bias_hh{name}"]
    y_hh = h @ w_hh.T + b_hh
    if kind.startswith("rnn"):
        pre = y_ih + y_hh
        return np.tanh(pre) if kind == "rnn_tanh" else np.maximum(pre, 0), c, None
    n = len(b_hh) // (4 if kind == "lstm" else 3)
    if kind == "lstm":
        i, f, g, o = np.split(y_ih + y_hh, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        projection = state.get(f"weight_hr{name}")
        return (h, c, None) if projection is None else (h @ projection.T, c, h)
    r, z = np.split(sigmoid((y_ih + y_hh)[:, : 2 * n]), 2, axis=1)
    if kind == "gru":
        new, reset = np.tanh(y_ih[:, 2 * n :] + r * y_hh[:, 2 * n :]), None
    else:
        reset = r * h
        new = np.tanh(y_ih[:, 2 * n :] + reset @ w_hh[2 * n :].T + b_hh[2 * n :])
    return new + z * (h - new), c, reset


def weights_of(kind, state, name, x, h, c, hidden):
    """Of each row the mean over gates and units of (dh'_u / da_u)^2, by central differences, up to a factor."""
    gates, squares = len(state[f"bias_ih{name}"]) // hidden, 0
    for gate in range(gates):
        if kind == "gru_reset_before" and gate == 0:
            continue  # r acts on all units, by way of W_hn
        shift = np.zeros(gates * hidden)
        shift[gate * hidden : (gate + 1) * hidden] = 1e-5  # a unit of a gate acts on its unit alone
        ends = []
        for sign in (1, -1):
            new, _, inner = step(kind, state, name, x, h, c, sign * shift)
            ends.append(inner if f"weight_hr{name}" in state else new)
        squares = squares + (((ends[0] - ends[1]) / 2e-5) ** 2).mean(axis=1)
    return squares


def multiplied(module, x, h0, c0, lengths, hidden=6):
    """{(matrix, product): batches of (rows, weights)} that the products of a sequence multiply; x [steps, batch, n]."""
    state = {name: array.astype(np.float64) for name, array in module.state_dict().items()}
    steps, batch, _ = x.shape
    directions, found = module.num_directions, {}
    matrices = 3 if module.proj_size else 2
    for layer in range(module.num_layers):
        outputs = []
        for direction in range(directions):
            unit = layer * directions + direction
            name = f"_l{layer}" + ("_reverse" if direction else "")
            h, c = h0[unit].astype(np.float64), c0[unit].astype(np.float64)
            out = np.zeros((steps, batch, h.shape[1]))
            valid = np.arange(steps)[:, None] < lengths
            weights = np.zeros((steps, batch))
            for t in reversed(range(steps)) if direction else range(steps):
                on = valid[t]
                weights[t] = weights_of(module.kind, state, name, x[t], h, c, hidden)
                found.setdefault((unit * matrices + 1, 0), []).append((h[on], weights[t, on]))
                new_h, new_c, other = step(module.kind, state, name, x[t], h, c)
                if other is not None:
                    place = (unit * matrices + 2, 0) if module.proj_size else (unit * matrices + 1, 1)
                    found.setdefault(place, []).append((other[on], weights[t, on]))
                h, c = np.where(on[:, None], new_h, h), np.where(on[:, None], new_c, c)
                out[t] = np.where(on[:, None], h, 0)
            found[unit * matrices, 0] = [(x[valid], weights[valid])]
            outputs.append(out)
        x = np.concatenate(outputs, axis=2)
    return found


SEQUENCES = {
    "rnn": lambda **options: nn.RNN(5, 6, **options),
    "relu": lambda **options: nn.RNN(5, 6, nonlinearity="relu", **options),
    "lstm": lambda **options: nn.LSTM(5, 6, **options),
    "projected": lambda **options: nn.LSTM(5, 6, proj_size=4, **options),
    "gru": lambda **options: nn.GRU(5, 6, **options),
    "before": lambda **options: nn.GRU(5, 6, reset_after=False, **options),
}


def given_states(module, rng, batch):
    units, size = module.num_layers * module.num_directions, module.proj_size or module.hidden_size
    h0 = rng.standard_normal((units, batch, size)).astype(f32)
    c0 = rng.standard_normal((units, batch, module.hidden_size)).astype(f32)
    return h0, c0, (h0, c0) if module.kind == "lstm" else h0


def assert_observed(prepared, expected, engine):
    seen = observed(prepared)
    assert seen.keys() == expected.keys()
    for key, batches in expected.items():
        blocks = [_core.fake_quantize(engine, rows.astype(f32)) for rows, _ in batches]
        rows = np.concatenate(blocks).astype(np.float64)
        weights = np.concatenate([each for _, each in batches])
        count, second = seen[key]
        assert count == len(rows), key
        want = (rows.T * weights) @ rows / weights.sum()
        np.testing.assert_allclose(second, want, rtol=0, atol=2e-3 * want.max(), err_msg=str(key))


@pytest.mark.parametrize("engine", ("qrnn", "fbgemm"))
@pytest.mark.parametrize("kind", SEQUENCES)
@pytest.mark.parametrize("layers, both", ((1, False), (1, True), (3, False), (2, True)))
@pytest.mark.parametrize("ragged", (False, True))
def test_sequences_are_observed_at_every_step(kind, layers, both, ragged, engine, nothing_held):
    """Every product of every layer and direction; under lengths, valid elements only; the same result."""
    if engine != "qrnn" and kind in ("projected", "before"):
        pytest.skip("PyTorch has no such module")
    rng = np.random.default_rng(21)
    qrnn.manual_seed(21)  # of other weights a last bit may tip a code
    module = SEQUENCES[kind](num_layers=layers, bidirectional=both, batch_first=ragged)
    prepared = qrnn.prepare(module, qconfig={}, engine=engine)
    x = rng.standard_normal((7, 4, 5)).astype(f32)
    h0, c0, hx = given_states(module, rng, 4)
    lengths = np.array([3, 7, engine != "qrnn", 5] if ragged else [7] * 4)
    options = {"lengths": lengths} if ragged else {}
    given = np.ascontiguousarray(x.swapaxes(0, 1)) if ragged else x
    for got, want in zip(flat(prepared(given, hx, **options)), flat(module(given, hx, **options)), strict=True):
        assert_same_bits(got, want)
    assert_observed(prepared, multiplied(module, x, h0, c0, lengths), engine)


def flat(result):
    return [array for each in result for array in (flat(each) if isinstance(each, tuple) else [each])]


@pytest.mark.parametrize("kind", SEQUENCES)
def test_other_ways_to_call_a_sequence(kind, nothing_held):
    """Unbatched, without a state, no steps, and into the arrays that it was given."""
    rng = np.random.default_rng(22)
    module = SEQUENCES[kind]()
    x = rng.standard_normal((7, 1, 5)).astype(f32)
    h0, c0, hx = given_states(module, rng, 1)
    zeros = np.zeros_like(h0), np.zeros_like(c0)
    prepared = qrnn.prepare(module, qconfig={})
    for got, want in zip(flat(prepared(x[:, 0])), flat(module(x[:, 0])), strict=True):
        assert_same_bits(got, want)
    assert_observed(prepared, multiplied(module, x, *zeros, np.array([7])), "qrnn")

    prepared = qrnn.prepare(module, qconfig={})
    want = flat(module(x, hx))
    output = np.empty_like(want[0])
    kept = (h0.copy(), c0.copy())
    prepared(x, hx, out=(output, hx))
    for got, each in zip(flat((output, hx)), want, strict=True):
        assert_same_bits(got, each)
    assert_observed(prepared, multiplied(module, x, *kept, np.array([7])), "qrnn")


@pytest.mark.parametrize("make", (nn.RNNCell, nn.LSTMCell, nn.GRUCell, lambda *n: nn.GRUCell(*n, reset_after=False)))
def test_cells_are_observed_as_sequences_are(make, nothing_held):
    rng = np.random.default_rng(23)
    cell = make(5, 6)
    prepared = qrnn.prepare(cell, qconfig={})
    x = rng.standard_normal((7, 4, 5)).astype(f32)
    h, c = rng.standard_normal((2, 1, 4, 6)).astype(f32)
    hx = (h[0], c[0]) if cell.kind == "lstm" else h[0]
    for each in x:
        hx = prepared(each, hx)
    sequence = types.SimpleNamespace(
        kind=cell.kind,
        num_layers=1,
        num_directions=1,
        proj_size=0,
        state_dict=lambda: {f"{name}_l0": array for name, array in cell.state_dict().items()},
    )
    assert_observed(prepared, multiplied(sequence, x, h, c, np.full(4, 7)), "qrnn")


def random_sequence(kind, rng):
    """One with memory, of correlated states, as training makes them."""
    module = SEQUENCES[kind]()
    for name, array in module.state_dict().items():
        low = rng.standard_normal((array.shape[0], 2)) @ rng.standard_normal((2, *array.shape[1:]))
        setattr(module, name, (0.4 * low + 0.3 * rng.standard_normal(array.shape)).astype(f32))
    return module


@pytest.mark.parametrize("kind", SEQUENCES)
def test_data_help_every_kind(kind):
    rng = np.random.default_rng(24)
    module = random_sequence(kind, rng)
    if kind == "relu":
        module.weight_hh_l0 = (0.9 * np.eye(6) + 0.05 * rng.standard_normal((6, 6))).astype(f32)
    prepared = qrnn.prepare(module, qconfig={})
    plain = qrnn.convert(prepared)
    x = correlated(rng, 6000, 5, rank=2).reshape(60, 100, 5)
    prepared(x[:, :70])
    new = qrnn.convert(prepared)
    exact, rough, fine = (each(x[:, 70:])[0] for each in (module, plain, new))
    assert ((fine - exact) ** 2).mean() < ((rough - exact) ** 2).mean()
    names = [name for name in module.state_dict() if "weight" in name]
    assert sorted(each.name for each in calibration_report(new)) == sorted(names)
    assert type(pickle.loads(pickle.dumps(new))) is type(new)


@pytest.mark.parametrize("engine", ("qrnn", "qnnpack"))
@pytest.mark.parametrize("kind", SEQUENCES)
def test_white_sequences_are_no_worse(kind, engine):
    """Random weights of PyTorch's size, white inputs, both directions and two layers."""
    if engine != "qrnn" and kind in ("projected", "before"):
        pytest.skip("PyTorch has no such module")
    ratios = []
    for seed in range(3):
        qrnn.manual_seed(seed)
        rng, small = np.random.default_rng([26, seed]), SEQUENCES[kind]()
        options = {"proj_size": 24} if small.proj_size else {}
        options |= {"nonlinearity": "relu"} if kind == "relu" else {}
        options |= {"reset_after": False} if kind == "before" else {}
        module = type(small)(16, 40, num_layers=2, bidirectional=True, **options)
        prepared = qrnn.prepare(module, qconfig={}, engine=engine)
        plain = qrnn.convert(prepared)
        prepared(rng.standard_normal((40, 10, 16)).astype(f32))
        x = rng.standard_normal((30, 20, 16)).astype(f32)
        exact, rough, fine = (each(x)[0] for each in (module, plain, qrnn.convert(prepared)))
        ratios.append(np.sqrt(((fine - exact) ** 2).mean() / ((rough - exact) ** 2).mean()))
    assert max(ratios) < 1.05, ratios


def test_a_scale_for_all_of_a_matrix_of_two_products(all_taken):
    """weight_hh of a GRU that resets before, per tensor: the scale stays, both products are rounded."""
    rng = np.random.default_rng(26)
    prepared = qrnn.prepare(random_sequence("before", rng), qconfig=default_dynamic_qconfig)
    plain = qrnn.convert(prepared)
    prepared(correlated(rng, 2000, 5).reshape(50, 40, 5))
    before, after = (each.state_dict() for each in (plain, qrnn.convert(prepared)))
    assert after["weight_hh_l0_scale"] == before["weight_hh_l0_scale"]
    changed = (after["weight_hh_l0"] != before["weight_hh_l0"]).any(axis=1)
    assert changed[:12].any() and changed[12:].any()
