"""The reference of cells and sequences of every kind, beside PyTorch. Nothing here runs the C core."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import support
from support import (
    HAVE_TORCH,
    assert_same_bits,
    needs_torch,
    random_rows,
    random_state,
    random_unit,
    reference_sequence,
)
from support import reference as ref

if HAVE_TORCH:
    import torch
    from support import torch_units

f32 = np.float32
EPS = float(np.finfo(f32).eps)

pytestmark = pytest.mark.filterwarnings("ignore")


def random_options(rng, number):
    """Options of a sequence module and its sizes: every combination within 144 numbers."""
    layers, directions = number % 3 + 1, number // 3 % 2 + 1
    bias, lengths, initial = number // 6 % 2 == 0, number // 12 % 2 == 1, number // 24 % 2 == 1
    name = ("RNN tanh", "RNN relu", "LSTM", "LSTM proj", "GRU")[number % 5]
    inputs, hidden = (int(n) for n in rng.integers(1, 20, 2))
    hidden += 1
    return name, layers, directions, bias, lengths, initial, inputs, hidden


def torch_layer(name, inputs, hidden, **options):
    if name.startswith("RNN"):
        options["nonlinearity"] = name.split()[1]
    if name == "LSTM proj":
        options["proj_size"] = (hidden + 1) // 2
    return getattr(torch.nn, name.split()[0])(inputs, hidden, **options)


def random_lengths(rng, steps, batch):
    lengths = rng.integers(1, steps + 1, batch)
    lengths[rng.integers(batch)] = steps
    return lengths.tolist()


# ---------------------------------------------------------------------------------------------------
# Float modules
# ---------------------------------------------------------------------------------------------------
@needs_torch
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_sequences_are_torchs(precision):
    """Every option of the sequence modules. Float64 leaves no room for another equation: 1e-12.

    Float32 modules sum in another order: within 1e-6 of the largest output.
    """
    rng = np.random.default_rng(60)
    torch.manual_seed(60)
    for number in range(288):
        name, layers, directions, bias, lengths, initial, inputs, hidden = random_options(rng, number)
        layer = torch_layer(name, inputs, hidden, num_layers=layers, bidirectional=directions == 2, bias=bias).to(
            getattr(torch, precision)
        )
        units = torch_units.units_of(layer, precision)
        steps, batch = (int(n) for n in rng.integers(1, 7, 2))
        x = random_rows(rng, steps * batch, inputs).reshape(steps, batch, inputs).astype(precision)
        state = tuple(v.astype(precision) for v in random_state(rng, units, batch)) if initial else None
        rows = random_lengths(rng, steps, batch) if lengths else None
        want = torch_units.run(layer, x, state, rows)
        got = reference_sequence.run(units, x, state, rows)
        for a, b in zip((got[0], *got[1]), (want[0], *want[1]), strict=True):
            assert a.shape == b.shape and a.dtype == b.dtype
            bound = 1e-12 if precision == "float64" else 1e-6
            assert np.abs(a - b).max() <= bound * np.abs(b).max(), (number, name)


# Kinds whose equations this file has once more. Those that are new are held to wider bounds.
BY_HAND = ("rnn_tanh", "rnn_relu", "lstm", "gru", "gru_reset_before")


def step_bound(unit, x, state):
    """What the h' of one float32 step may be off by.

    A sum of n products: n eps times their magnitudes. Sigmoid passes on a quarter of its argument's error
    at most, tanh all of it, and each adds 2 eps of its own at most; an elementwise operation adds half of one.
    """
    parts = (x, unit.ih, unit.bias_ih), (state[0], unit.hh, unit.bias_hh)
    size = sum(np.abs(v) @ np.abs(w).T + (0 if b is None else np.abs(b)) for v, w, b in parts)
    e = EPS * (unit.ih.shape[1] + unit.hh.shape[1] + 4) * size
    if unit.kind.startswith("rnn"):
        return e + 4 * EPS
    if unit.kind == "lstm":
        e_i, e_f, e_g, e_o = np.split(e, 4, 1)
        c = np.abs(state[1])
        e_c = c * (e_f / 4 + 2 * EPS) + e_i / 4 + e_g + 4 * EPS + EPS * (c + 1)
        e_m = e_o / 4 + e_c + 5 * EPS
        return e_m if unit.hr is None else (e_m + EPS * (unit.hr.shape[1] + 1)) @ np.abs(unit.hr).T
    if unit.kind not in BY_HAND:  # a gate's error reaches h' as it is, or times a product or a state
        return (1 + np.abs(state[0])) * sum(np.split((e + 4 * EPS) * (1 + size), ref.GATES[unit.kind], 1))
    e_r, e_z, e_n = np.split(e, 3, 1)
    e_n = e_n + np.split(size, 3, 1)[2] * (e_r / 4 + 2 * EPS) + 2 * EPS
    if unit.kind == "gru_reset_before":  # r * h under the product: its error reaches every n
        e_n = e_n + np.abs(state[0]) * (e_r / 4 + 3 * EPS) @ np.abs(np.split(unit.hh, 3)[2]).T
    change = np.abs(state[0]) + 1
    return change * (e_z / 4 + 2 * EPS) + e_n + 2 * EPS * change


KINDS_AND_PROJECTIONS = [*((kind, False) for kind in ref.KINDS), ("lstm", True)]


@pytest.mark.parametrize("kind, proj", KINDS_AND_PROJECTIONS)
def test_a_float32_step_is_within_its_rounding(kind, proj):
    rng = np.random.default_rng(61)
    for number in range(60):
        inputs, hidden = int(rng.integers(0, 60)), int(rng.integers(2, 60))
        options = {"proj": hidden // 2 if proj else 0, "bias": number % 2 == 1}
        unit = random_unit(rng, kind, "float32", inputs, hidden, **options)
        x = random_rows(rng, 5, inputs, 2.0)
        state = tuple(v[0] for v in random_state(rng, [[unit]], 5))
        exact = unit._replace(engine="float64").step(x, state)
        error = np.abs(unit.step(x, state)[0] - exact[0])
        assert (error <= step_bound(unit, x, state)).all(), number


@needs_torch
@pytest.mark.parametrize("name", ["RNNCell tanh", "RNNCell relu", "LSTMCell", "GRUCell"])
def test_cells_are_torchs(name):
    rng = np.random.default_rng(62)
    torch.manual_seed(62)
    for number in range(40):
        inputs, hidden = (int(n) for n in rng.integers(1, 60, 2))
        cell = torch_layer(name, inputs, hidden, bias=number % 2 == 1).double()
        unit = torch_units.unit_of(cell, "float64")
        x = rng.standard_normal((3, inputs))
        state = [v[0].astype(np.float64) for v in random_state(rng, [[unit]], 3)]
        state = None if number % 3 == 0 else tuple(state)
        want = torch_units.arrays(cell(torch.from_numpy(x), torch_units.tensors(state)))
        for a, b in zip(unit.step(x, state), want, strict=True):
            assert np.abs(a - b).max() <= 1e-12


def test_both_forms_of_the_gru_agree_where_they_must():
    """With a diagonal W_hn, W_hn (r h) = r (W_hn h): the forms differ only in where b_hn stands."""
    rng = np.random.default_rng(63)
    for _ in range(20):
        after = random_unit(rng, "gru", "float64", 9, 7)
        after.hh[14:] = np.diag(np.diag(after.hh[14:]))
        before = after._replace(kind="gru_reset_before")
        after = after._replace(bias_ih=after.bias_ih.copy(), bias_hh=after.bias_hh.copy())
        after.bias_ih[14:] += before.bias_hh[14:]
        after.bias_hh[14:] = 0
        x, h = rng.standard_normal((4, 9)), rng.standard_normal((4, 7))
        np.testing.assert_allclose(before.step(x, (h,))[0], after.step(x, (h,))[0], atol=1e-6)
        dense = before._replace(hh=before.hh + 0.1)
        assert np.abs(dense.step(x, (h,))[0] - dense._replace(kind="gru").step(x, (h,))[0]).max() > 1e-3


def test_the_reset_before_the_product_by_hand():
    """One unit: r = z = 1/2, so n = tanh(x + w h / 2), h' = (n + h) / 2."""
    w = np.array([[0], [0], [1]], f32)
    unit = ref.Unit("gru_reset_before", "float64", w, 3 * w)
    h = unit.step(np.array([[0.25]]), (np.array([[0.5]]),))[0]
    np.testing.assert_allclose(h, [[(np.tanh(0.25 + 3 * 0.5 / 2) + 0.5) / 2]], rtol=1e-15)


# ---------------------------------------------------------------------------------------------------
# Quantized units
# ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind, proj", KINDS_AND_PROJECTIONS)
def test_engine_qrnn_computes_the_dequantized_cell(kind, proj):
    """With weights as they are after rounding, activations are what is left: a few of their steps."""
    rng = np.random.default_rng(64)
    for _ in range(20):
        unit = random_unit(rng, kind, "qrnn", 20, 9, proj=4 if proj else 0)
        x = random_rows(rng, 6, 20)
        state = tuple(v[0] for v in random_state(rng, [[unit]], 6))
        plain = {n: w.dequantize() for n, w in (("ih", unit.ih), ("hh", unit.hh))}
        if proj:
            plain["hr"] = unit.hr.dequantize()
        exact = unit._replace(engine="float64", **plain).step(x, state)
        got = unit.step(x, state)
        bound = 0.0
        for v, name in ((x, "ih"), (state[0], "hh")):
            step = ref.activation("qrnn", v).scale[:, None]
            bound = bound + step.max() * np.abs(plain[name]).sum(1).max()
        if proj:  # the last rounding comes after the gates: its range is at most 2
            bound = bound * 3 * np.abs(plain["hr"]).sum(1).max() + 2 / 255 * np.abs(plain["hr"]).sum(1).max()
        assert 1e-6 < np.abs(got[0] - exact[0]).max() <= 3 * bound


@pytest.mark.parametrize("engine", [*ref.ENGINES, "float32"])
@pytest.mark.parametrize("kind", BY_HAND)
def test_gates_lead_to_the_step(kind, engine):
    """The gate probe: finishing what it shows gives the next state, bit for bit."""
    rng = np.random.default_rng(65)
    unit = random_unit(rng, kind, engine, 11, 6)
    x, state = random_rows(rng, 4, 11), tuple(v[0] for v in random_state(rng, [[unit]], 4))
    acc_ih, acc_hh, pre = unit.gates(x, state)
    tanh, sigmoid, fma = unit.functions
    y_ih = unit.product(x, "ih")[1]
    assert (acc_ih is None) == (acc_hh is None) == (engine == "float32")
    if kind.startswith("rnn"):
        want = (ref.relu(pre) if kind == "rnn_relu" else tanh(pre),)
    elif kind == "lstm":
        i, f, g, o = np.split(pre, 4, 1)
        c = fma(sigmoid(f), state[1], sigmoid(i) * tanh(g))
        want = sigmoid(o) * tanh(c), c
    else:
        part_ih, part = np.split(y_ih, 3, 1), np.split(pre, 3, 1)
        if kind == "gru":
            r, z = (sigmoid(a + b) for a, b in zip(part_ih[:2], part[:2]))
            n = tanh(fma(r, part[2], part_ih[2]))
        else:
            z, n = sigmoid(part[1]), tanh(part_ih[2] + part[2])
        want = (fma(z, state[0] - n, n),)
    for a, b in zip(unit.step(x, state), want, strict=True):
        assert_same_bits(a, b)


@pytest.mark.parametrize("kind", ref.KINDS)
def test_rows_that_are_not_finite(kind):
    """Engine qrnn: all h' of the row are NaN, c' follows float arithmetic, other rows do not change."""
    rng = np.random.default_rng(66)
    unit = random_unit(rng, kind, "qrnn", 5, 4)
    x, state = random_rows(rng, 3, 5), tuple(v[0] for v in random_state(rng, [[unit]], 3))
    want = unit.step(x, state)
    for v, bad in itertools.product((x, *state), (np.nan, np.inf)):
        kept, v[1, 2] = v[1, 2], bad
        got = unit.step(x, state)
        v[1, 2] = kept
        for a, b in zip(got, want):
            assert_same_bits(a[[0, 2]], b[[0, 2]])
        if v is x or v is state[0]:
            assert (support.bits(got[0][1]) == 0x7FC00000).all()
        else:
            assert np.isnan(got[1][1]).tolist() == [False, False, np.isnan(bad), False]


@pytest.mark.parametrize("engine", ["qrnn", "float32"])
@pytest.mark.parametrize("kind", ref.KINDS)
def test_a_sequence_is_its_steps_and_a_padded_row_the_short_one(kind, engine):
    rng = np.random.default_rng(67)
    units = support.random_units(rng, kind, engine, 6, 5, 2, 2)
    x = random_rows(rng, 7 * 4, 6).reshape(7, 4, 6)
    state = random_state(rng, units, 4)
    lengths = [7, 2, 5, 1]
    out, final = reference_sequence.run(units, x, state, lengths)
    for row, length in enumerate(lengths):
        alone = tuple(v[:, row : row + 1] for v in state)
        got = reference_sequence.run(units, x[:length, row : row + 1], alone)
        assert_same_bits(got[0], out[:length, row : row + 1])
        for a, b in zip(got[1], final):
            assert_same_bits(a, b[:, row : row + 1])
        assert (support.bits(out[length:, row]) == 0).all()
    step = tuple(v[0] for v in state)
    single, last = reference_sequence.run([[units[0][0]]], x, tuple(v[:1] for v in state))
    for t in range(7):
        step = units[0][0].step(x[t], step)
        assert_same_bits(single[t], step[0])
    for a, b in zip(step, last):
        assert_same_bits(a, b[0])


# ---------------------------------------------------------------------------------------------------
# torch.ao
# ---------------------------------------------------------------------------------------------------
def assert_products(engine, float_units, packed, v, state_rows):
    """Both products of every unit on inputs that fit, in PyTorch's bits."""
    for unit, matrices in zip(float_units, packed, strict=True):
        for name, matrix in zip(("ih", "hh"), matrices):
            x = v if name == "ih" else state_rows
            weight, bias = getattr(unit, name), getattr(unit, f"bias_{name}")
            if x.shape[1] != weight.codes.shape[1]:
                continue
            acc, y = unit.product(x, name)
            torch_units.assert_torch_product(engine, matrix, x, weight, bias, acc, y, name)


@needs_torch
@pytest.mark.parametrize("engine", ["fbgemm", "x86", "qnnpack", "onednn"])
@pytest.mark.parametrize("name", ["RNNCell tanh", "RNNCell relu", "LSTMCell", "GRUCell"])
def test_quantized_cells_are_torch_aos(engine, name):
    """The products bit for bit; a step within 1e-6, which the roundings of sigmoid and tanh take."""
    rng = np.random.default_rng(68)
    torch.manual_seed(68)
    for number in range(40):
        inputs, hidden = (int(n) for n in rng.integers(1, 70, 2))
        cell = torch_layer(name, inputs, hidden)
        unit = torch_units.unit_of(cell, engine, number % 2 == 1)
        theirs = torch_units.quantized(cell, engine, number % 2 == 1)
        x = random_rows(rng, 6, inputs, 10.0 ** rng.uniform(-4, 1), number)
        state = tuple(v[0].clip(-1, 1) for v in random_state(rng, [[unit]], 6))
        assert_products(engine, [unit], torch_units.packed_matrices(theirs), x, state[0])
        want = torch_units.arrays(theirs(torch.from_numpy(x), torch_units.tensors(state)))
        for a, b in zip(unit.step(x, state), want, strict=True):
            assert np.abs(a - b).max() <= 1e-6, number


@needs_torch
@pytest.mark.parametrize("engine", ["fbgemm", "x86", "qnnpack", "onednn"])
@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_quantized_sequences_are_torch_aos(engine, name):
    """Where no code flips: 1e-6. A code that sigmoid's last bits flip is at most a few steps of h."""
    rng = np.random.default_rng(69)
    torch.manual_seed(69)
    far = 0
    for number in range(48):
        _, layers, directions, _, lengths, initial, inputs, hidden = random_options(rng, number)
        layer = torch_layer(name, inputs, hidden, num_layers=layers, bidirectional=directions == 2)
        units = torch_units.units_of(layer, engine, number % 2 == 1)
        theirs = torch_units.quantized(layer, engine, number % 2 == 1)
        steps, batch = (int(n) for n in rng.integers(1, 7, 2))
        x = random_rows(rng, steps * batch, inputs).reshape(steps, batch, inputs)
        state = random_state(rng, units, batch) if initial else None
        rows = random_lengths(rng, steps, batch) if lengths else None
        packed = torch_units.packed_matrices(theirs)
        h = random_rows(rng, 3, hidden)
        assert_products(engine, [u for layer in units for u in layer], packed, x[0], h)
        want = torch_units.run(theirs, x, state, rows)
        got = reference_sequence.run(units, x, state, rows)
        worst = max(np.abs(a - b).max() for a, b in zip((got[0], *got[1]), (want[0], *want[1])))
        far += worst > 1e-6
        assert worst <= 0.02, (number, worst)
    assert far <= 3, "more than rare codes"
