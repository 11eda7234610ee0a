"""Calibration: what prepared modules observe, and what `convert` makes of it."""

from __future__ import annotations

import copy
import importlib
import pickle
import sys
import threading
import types

import numpy as np
import pytest
import reference as ref
from support import ROOT, assert_same_bits, needs_torch
from test_rounding import correlated

import qrnn
from qrnn import _core, nn
from qrnn.quantization import (
    calibration_report,
    default_dynamic_qconfig,
    disable_observer,
    enable_observer,
    merge_statistics,
    per_channel_dynamic_qconfig,
)

f32 = np.float32


def white_cell(rng, inputs, hidden, **options):
    cell = nn.RNNCell(inputs, hidden, **options)
    for name in cell.state_dict():
        shape = getattr(cell, name).shape
        setattr(cell, name, rng.uniform(-1, 1, shape).astype(f32) / f32(np.sqrt(hidden)))
    return cell


def states(cell, xs, h=None):
    seen = []
    for x in xs:
        h = cell(x, h)
        seen.append(h)
    return np.stack(seen)


# ---------------------------------------------------------------------------------------------------
# Prepared modules
# ---------------------------------------------------------------------------------------------------
def observed(module):
    """{(matrix, product): (count, second moment)} of a prepared module."""
    found = module._prepared.statistics.by_product()
    return {key: (m.count, m.second_moment()) for key, m in found.items()}


@pytest.mark.parametrize("engine", ("qrnn", "fbgemm"))
def test_a_prepared_call_is_the_float_call(engine):
    """The same bits, by every way of calling; inputs are seen as they were, also where out= is the state."""
    rng = np.random.default_rng(9)
    cell = white_cell(rng, 5, 4)
    prepared = qrnn.prepare(cell, engine=engine, qconfig={})
    x, h = rng.standard_normal((3, 5)).astype(f32), rng.standard_normal((3, 4)).astype(f32)
    expected = cell(x, h)
    assert_same_bits(prepared(x, h), expected)
    assert_same_bits(prepared(input=x, hx=h), expected)
    assert_same_bits(prepared(x.tolist(), hx=h.astype(np.float64)), expected)
    out = np.empty_like(h)
    assert prepared(x, h, out=out) is out
    assert_same_bits(out, expected)
    state = h.copy()
    assert prepared(x, state, out=state) is state
    assert_same_bits(state, expected)
    assert_same_bits(prepared(x), cell(x))
    assert_same_bits(prepared(x[0], h[0]), cell(x[0], h[0]))
    if engine == "qrnn":
        seen = np.concatenate([h] * 5 + [np.zeros((3, 4), f32), h[:1]])
        seen = _core._seen(engine, seen).astype(np.float64)
        count, second = observed(prepared)[1, 0]
        assert count == len(seen)
        np.testing.assert_allclose(second, seen.T @ seen / len(seen), rtol=1e-12)


def test_a_call_that_fails_is_not_observed():
    prepared = qrnn.prepare(nn.RNNCell(5, 4), qconfig={})
    for call in (
        lambda: prepared(np.zeros((2, 4), f32)),
        lambda: prepared(np.zeros((2, 5), f32), np.zeros((3, 4), f32)),
        lambda: prepared(np.zeros((2, 5), f32), out=np.zeros((2, 5), f32)),
        lambda: prepared("text", out=np.zeros((2, 4), f32)),
        lambda: prepared(None),
        lambda: prepared(),
    ):
        with pytest.raises((TypeError, ValueError, RuntimeError)):
            call()
    assert not observed(prepared)


def test_linear_and_empty_calls():
    layer = nn.Linear(5, 4)
    prepared = qrnn.prepare(layer, qconfig={})
    x = np.random.default_rng(10).standard_normal((2, 3, 5)).astype(f32)
    assert_same_bits(prepared(x), layer(x))
    assert prepared(x[:0]).shape == (0, 3, 4)
    assert_same_bits(prepared(x[0, 0]), layer(x[0, 0]))
    assert observed(prepared)[0, 0][0] == 7
    nothing = qrnn.prepare(nn.RNNCell(0, 4), qconfig={})
    assert nothing(np.zeros((3, 0), f32)).shape == (3, 4)
    assert type(qrnn.convert(nothing)) is qrnn.RNNCell


@needs_torch
def test_torch_tensors():
    import torch

    cell = nn.RNNCell(5, 4)
    prepared = qrnn.prepare(cell, qconfig={})
    x = torch.randn(3, 5, requires_grad=True)
    h = prepared(x, torch.zeros(3, 4), out=None)
    assert isinstance(h, torch.Tensor)
    assert_same_bits(h.numpy(), cell(x.detach().numpy()))
    assert observed(prepared)[0, 0][0] == 3


def test_hooks_run():
    prepared = qrnn.prepare(nn.Linear(3, 2), qconfig={})
    calls = []
    prepared.register_forward_hook(lambda module, args, result: calls.append(args[0].shape))
    prepared(np.zeros((4, 3), f32))
    assert calls == [(4, 3)]


def test_observers_can_be_switched_off():
    model = qrnn.prepare(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), qconfig={})
    x = np.ones((6, 3), f32)
    model.apply(disable_observer)
    model(x)
    assert not observed(model[0])
    model.apply(enable_observer)(x)
    assert observed(model[1])[0, 0][0] == 6


def test_many_threads_observe_one_module():
    layer = qrnn.prepare(nn.Linear(6, 3), qconfig={})
    rows = np.random.default_rng(11).standard_normal((40, 6)).astype(f32)
    threads = [threading.Thread(target=lambda: [layer(row[None]) for row in rows for _ in range(9)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = _core._seen("qrnn", rows).astype(np.float64)
    count, second = observed(layer)[0, 0]
    assert count == 40 * 9 * 4
    np.testing.assert_allclose(second, seen.T @ seen / len(seen), rtol=1e-11)


def test_merging_copies():
    """Data in parallel: copies, one of them in a pickle, give what one model gives that saw all."""
    rng = np.random.default_rng(12)
    xs = correlated(rng, 1200, 7).reshape(4, 300, 7)
    model = qrnn.prepare(nn.Sequential(white_cell(rng, 7, 12), nn.Linear(12, 3)), qconfig={}, inplace=False)
    parts = [copy.deepcopy(model), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)]
    for x in xs:
        model(x)
    parts[0](xs[0]), parts[1](xs[1]), parts[2](xs[2]), parts[2](xs[3])
    assert merge_statistics(*parts) is parts[0]
    for one, other in zip((model[0], model[1]), (parts[0][0], parts[0][1]), strict=True):
        for key, (count, second) in observed(one).items():
            assert observed(other)[key][0] == count
            np.testing.assert_allclose(observed(other)[key][1], second, rtol=1e-12)
    together, merged = qrnn.convert(model), qrnn.convert(parts[0])
    for name, array in together.state_dict().items():
        np.testing.assert_allclose(merged.state_dict()[name], array, atol=1e-6 if "int" not in str(array.dtype) else 0)


def test_merging_what_does_not_belong_together():
    model = qrnn.prepare(nn.Sequential(nn.Linear(3, 2)), qconfig={})
    for other, error in (
        (nn.Sequential(nn.Linear(3, 2)), ValueError),
        (qrnn.prepare(nn.Sequential(nn.Linear(3, 3)), qconfig={}), ValueError),
        (qrnn.prepare(nn.Sequential(nn.Linear(3, 2)), qconfig={}, engine="fbgemm"), ValueError),
        (qrnn.prepare(nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2)), qconfig={}), ValueError),
        (3, TypeError),
    ):
        with pytest.raises(error, match="others"):
            merge_statistics(model, other)
    with pytest.raises(ValueError, match="model"):
        merge_statistics(nn.Linear(3, 2))


# ---------------------------------------------------------------------------------------------------
# Sequences
# ---------------------------------------------------------------------------------------------------
def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def step(kind, state, name, x, h, c):
    """One step in float64: new h and c, r*h and o*tanh(c) where a product multiplies them."""
    y_ih = x @ state[f"weight_ih{name}"].T + state[f"bias_ih{name}"]
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


def multiplied(module, x, h0, c0, lengths):
    """{(matrix, product): batches of rows} that the products of a sequence multiply; x [steps, batch, n]."""
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
            found[unit * matrices, 0] = [x[valid]]
            for t in reversed(range(steps)) if direction else range(steps):
                on = valid[t]
                found.setdefault((unit * matrices + 1, 0), []).append(h[on])
                new_h, new_c, other = step(module.kind, state, name, x[t], h, c)
                if other is not None:
                    place = (unit * matrices + 2, 0) if module.proj_size else (unit * matrices + 1, 1)
                    found.setdefault(place, []).append(other[on])
                h, c = np.where(on[:, None], new_h, h), np.where(on[:, None], new_c, c)
                out[t] = np.where(on[:, None], h, 0)
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
        blocks = [_core._seen(engine, rows.astype(f32)) for rows in batches]
        rows = np.concatenate(blocks).astype(np.float64)
        count, second = seen[key]
        assert count == len(rows), key
        want = rows.T @ rows / len(rows)
        np.testing.assert_allclose(second, want, rtol=0, atol=2e-3 * want.max(), err_msg=str(key))


@pytest.mark.parametrize("engine", ("qrnn", "fbgemm"))
@pytest.mark.parametrize("kind", SEQUENCES)
@pytest.mark.parametrize("layers, both", ((1, False), (1, True), (3, False), (2, True)))
@pytest.mark.parametrize("ragged", (False, True))
def test_sequences_are_observed_at_every_step(kind, layers, both, ragged, engine):
    """Every product of every layer and direction; under lengths, valid elements only; the same result."""
    if engine != "qrnn" and kind in ("projected", "before"):
        pytest.skip("PyTorch has no such module")
    rng = np.random.default_rng(21)
    module = SEQUENCES[kind](num_layers=layers, bidirectional=both, batch_first=ragged)
    prepared = qrnn.prepare(module, qconfig={}, engine=engine)
    x = rng.standard_normal((7, 4, 5)).astype(f32)
    h0, c0, hx = given_states(module, rng, 4)
    lengths = np.array([3, 7, 1, 5] if ragged else [7] * 4)
    options = {"lengths": lengths} if ragged else {}
    given = np.ascontiguousarray(x.swapaxes(0, 1)) if ragged else x
    for got, want in zip(flat(prepared(given, hx, **options)), flat(module(given, hx, **options)), strict=True):
        assert_same_bits(got, want)
    assert_observed(prepared, multiplied(module, x, h0, c0, lengths), engine)


def flat(result):
    return [array for each in result for array in (flat(each) if isinstance(each, tuple) else [each])]


@pytest.mark.parametrize("kind", SEQUENCES)
def test_other_ways_to_call_a_sequence(kind):
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
def test_cells_are_observed_as_sequences_are(make):
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


def test_a_scale_for_all_of_a_matrix_of_two_products():
    """weight_hh of a GRU that resets before, per tensor: the scale stays, both products are rounded."""
    rng = np.random.default_rng(25)
    prepared = qrnn.prepare(random_sequence("before", rng), qconfig=default_dynamic_qconfig)
    plain = qrnn.convert(prepared)
    prepared(correlated(rng, 2000, 5).reshape(50, 40, 5))
    before, after = (each.state_dict() for each in (plain, qrnn.convert(prepared)))
    assert after["weight_hh_l0_scale"] == before["weight_hh_l0_scale"]
    changed = (after["weight_hh_l0"] != before["weight_hh_l0"]).any(axis=1)
    assert changed[:12].any() and changed[12:].any()


# ---------------------------------------------------------------------------------------------------
# Trained models
# ---------------------------------------------------------------------------------------------------
@pytest.fixture
def examples(monkeypatch):
    """Import a file of examples/; skip where its data are not installed."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))

    def load(name):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            pytest.skip(f"NOT INSTALLED: {error}")

    return load


def log_probabilities(scores):
    scores = scores.astype(np.float64) - scores.max(axis=-1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("name", ("text_rnn", "text_lstm", "text_gru"))
def test_language_models_diverge_less(examples, name):
    """Divergence of the next character's distribution on text held back: at most 0.7 of plain rounding's."""
    text, model = examples("text_data"), examples("trained").load(name)
    seen, held = (text.one_hot(text.streams(codes, 32)[:500]) for codes in text.load())
    prepared = qrnn.prepare(model, qconfig={}, inplace=False)
    plain = qrnn.convert(prepared, inplace=False)
    prepared(seen)
    p, *others = (log_probabilities(each(held)[0]) for each in (model, plain, qrnn.convert(prepared)))
    rough, fine = ((np.exp(p) * (p - q)).sum(-1).mean() for q in others)
    assert fine < 0.7 * rough


def test_slow_memory_drifts_less(examples):
    """Rms error of h of a relu cell whose W_hh is near the identity, 64 steps: at most half."""
    seen, _, held, _ = examples("digits_data").load()
    model = examples("trained").load("irnn")
    prepared = qrnn.prepare(model, qconfig={}, inplace=False)
    plain = qrnn.convert(prepared, inplace=False)
    prepared(seen.reshape(len(seen), 64, 1)[:300])
    steps = held.reshape(len(held), 64, 1).swapaxes(0, 1)
    exact, rough, fine = (states(each.rnn_cell, steps) for each in (model, plain, qrnn.convert(prepared)))
    assert ((fine - exact) ** 2).mean() < 0.5**2 * ((rough - exact) ** 2).mean()


# ---------------------------------------------------------------------------------------------------
# Converted models
# ---------------------------------------------------------------------------------------------------
QCONFIGS = {"own": {}, "tensor": default_dynamic_qconfig, "channel": per_channel_dynamic_qconfig}


def same_state(one, other):
    one, other = one.state_dict(), other.state_dict()
    assert list(one) == list(other)
    return all(one[name].tobytes() == other[name].tobytes() for name in one)


@pytest.mark.parametrize("engine", ref.ENGINES)
@pytest.mark.parametrize("qconfig", QCONFIGS)
def test_without_data_it_is_plain_rounding(engine, qconfig):
    rng = np.random.default_rng(13)
    model = nn.Sequential(white_cell(rng, 6, 9), nn.Linear(9, 4))
    prepared = qrnn.prepare(model, qconfig=QCONFIGS[qconfig], inplace=False, engine=engine)
    for module in prepared.children():
        module(np.zeros((0, module.input_size), f32))
    new = qrnn.convert(prepared, inplace=False)
    spec = None if qconfig == "own" else {nn.RNNCell: QCONFIGS[qconfig], nn.Linear: QCONFIGS[qconfig]}
    assert same_state(new, qrnn.quantize_dynamic(model, spec, engine=engine))
    assert len(calibration_report(new)) == 0 and "no weight" in str(calibration_report(new))


@pytest.mark.parametrize("engine", ref.ENGINES)
@pytest.mark.parametrize("qconfig", QCONFIGS)
def test_data_help_with_every_engine(engine, qconfig):
    """The rms error of h on other data falls, weights keep their scheme, and only biases change beside."""
    rng = np.random.default_rng(14)
    cell = white_cell(rng, 10, 48)
    cell.weight_hh = (0.9 * np.linalg.qr(rng.standard_normal((48, 48)))[0]).astype(f32)
    xs = correlated(rng, 4000, 10, rank=2).reshape(200, 20, 10)
    prepared = qrnn.prepare(cell, qconfig=QCONFIGS[qconfig], engine=engine)
    plain = qrnn.convert(prepared)
    states(prepared, xs[:150])
    new = qrnn.convert(prepared)
    assert not same_state(new, plain)
    exact, rough, fine = (states(each, xs[150:]) for each in (cell, plain, new))
    bound = 0.8 if engine in ("qrnn", "qnnpack") else 0.95  # with 7 bits, activations make most of it
    assert ((fine - exact) ** 2).mean() < bound**2 * ((rough - exact) ** 2).mean()
    for name, weight in new.get_weight().items():
        assert weight.qscheme() == plain.get_weight()[name].qscheme()
    assert new.nbytes == plain.nbytes
    assert same_state(qrnn.quantize_dynamic(prepared), plain), "quantize_dynamic stays plain"


@pytest.mark.parametrize("hidden", (8, 32, 96))
@pytest.mark.parametrize("samples", (1, 10, 100, 2000))
def test_white_inputs_are_no_worse(hidden, samples):
    """Where there is nothing to gain, and few samples invite to fit them, nothing is lost."""
    rng = np.random.default_rng([hidden, samples])
    ratios = []
    for _ in range(3):
        cell = white_cell(rng, hidden, hidden)
        prepared = qrnn.prepare(cell, qconfig={})
        plain = qrnn.convert(prepared)
        states(prepared, rng.standard_normal((samples, 1, hidden)).astype(f32))
        xs = rng.standard_normal((60, 20, hidden)).astype(f32)
        exact, rough, fine = (states(each, xs) for each in (cell, plain, qrnn.convert(prepared)))
        ratios.append(np.sqrt(((fine - exact) ** 2).mean() / ((rough - exact) ** 2).mean()))
    assert max(ratios) < 1.05, ratios


def test_weights_that_did_not_change_keep_their_codes():
    """A quantized module that was prepared has no rounding error: data cannot better its codes."""
    cell = qrnn.RNNCell(5, 4)
    prepared = qrnn.prepare(cell, qconfig={})
    states(prepared, np.random.default_rng(15).standard_normal((30, 8, 5)).astype(f32))
    assert same_state(qrnn.convert(prepared), cell)


def test_modules_without_biases():
    rng = np.random.default_rng(16)
    cell = white_cell(rng, 6, 24, bias=False)
    prepared = qrnn.prepare(cell, qconfig={})
    xs = correlated(rng, 1000, 6, rank=2).reshape(50, 20, 6)
    plain = qrnn.convert(prepared)
    states(prepared, xs)
    new = qrnn.convert(prepared)
    assert new.bias_ih is None and not new.bias
    exact, rough, fine = (states(each, xs) for each in (cell, plain, new))
    assert ((fine - exact) ** 2).mean() < ((rough - exact) ** 2).mean()


def test_every_instruction_set_gives_the_same():
    rng = np.random.default_rng(17)
    prepared = qrnn.prepare(white_cell(rng, 6, 24), qconfig={})
    xs = correlated(rng, 400, 6).reshape(20, 20, 6)
    states(prepared, xs)
    results = [states(qrnn.convert(prepared, isa=isa), xs) for isa in qrnn.isas()]
    for result in results[1:]:
        assert_same_bits(result, results[0])


def test_report():
    rng = np.random.default_rng(18)
    model = nn.Sequential(white_cell(rng, 6, 24), nn.Tanh(), nn.Linear(24, 3))
    prepared = qrnn.prepare(model, qconfig={}, inplace=False)
    prepared[2](states(prepared[0], correlated(rng, 400, 6).reshape(20, 20, 6)))
    new = qrnn.convert(prepared)
    report = calibration_report(new)
    assert [each.name for each in report] == ["0.weight_ih", "0.weight_hh", "2.weight"]
    assert [each.samples for each in report] == [400] * 3
    for each in report:
        assert 0 < each.calibrated <= each.plain < 0.1 and each.seconds > 0
        assert each.scale[0] <= each.scale[1] <= each.scale[2]
    for other in (copy.deepcopy(new), pickle.loads(pickle.dumps(new))):
        assert str(calibration_report(other)) == str(report)
    assert len(report[:2]) == 2 and repr(report[:2]).count("\n") == 2
    page = report._repr_html_()
    assert page.count("<tr>") == 4 and "0.weight_hh" in page and "%" in str(report)
    with pytest.raises(TypeError, match="model"):
        calibration_report(3)


@pytest.mark.parametrize("change", ["load", "bias", "set_weight_bias"])
def test_the_report_is_of_the_weights_that_are_there(change):
    model = qrnn.prepare(nn.Sequential(nn.RNNCell(3, 2), nn.Linear(2, 2)), qconfig={})
    model(np.random.default_rng(0).standard_normal((50, 3), dtype=f32))
    new = qrnn.convert(model)
    new.load_state_dict({}, strict=False)
    assert [each.name for each in calibration_report(new)] == ["0.weight_ih", "0.weight_hh", "1.weight"]
    if change == "load":
        new.load_state_dict(qrnn.quantize_dynamic(nn.Sequential(nn.RNNCell(3, 2))).state_dict(), strict=False)
    elif change == "bias":
        new[0].bias_ih = np.zeros(2)
    else:
        new[0].set_weight_bias(new[0]._weight_bias())
    assert [each.name for each in calibration_report(new)] == ["1.weight"]


def test_progress_of_long_work(monkeypatch):
    """tqdm, where it is installed, counts the passes over all rows; without it nothing is shown."""
    bars = []

    class Bar:
        def __init__(self, total, **options):
            self.total, self.done = total, 0
            bars.append(self)

        def __enter__(self):
            return self

        def __exit__(self, *exc):
            pass

        def update(self, rows):
            self.done += rows

    auto = types.ModuleType("tqdm.auto")
    auto.tqdm = Bar
    monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))
    monkeypatch.setitem(sys.modules, "tqdm.auto", auto)
    layer = qrnn.prepare(nn.Linear(9, 700), qconfig={})
    layer(np.random.default_rng(19).standard_normal((50, 9)))
    qrnn.convert(layer)
    assert not bars, "short work shows none"
    monkeypatch.setattr("qrnn._layer_rounding.LONG", 0)
    new = qrnn.convert(layer)
    assert len(bars) == 1 and bars[0].done == bars[0].total
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    assert same_state(qrnn.convert(layer), new)


@pytest.mark.parametrize(
    "make", [list, iter, lambda v: (n for n in v), lambda v: {n: n for n in v}.values(), lambda v: np.array(v, object)]
)
def test_lengths_of_any_kind_are_observed(make):
    """As the float layer takes them, also those that can be read but once."""
    module = nn.LSTM(4, 3, 2, batch_first=True)
    prepared = qrnn.prepare(module, qconfig={}, inplace=False)
    x = np.ones((2, 5, 4), np.float32)
    assert_same_bits(prepared(x, lengths=make([5, 2]))[0], module(x, lengths=[5, 2])[0])
    assert prepared._prepared.statistics.of(0, 0).count == 7


def test_infinite_rows_are_left_out_without_a_warning():
    gru = qrnn.prepare(nn.GRU(4, 3, reset_after=False), qconfig={}, inplace=False)
    x = np.ones((3, 2, 4), np.float32)
    x[1, 0, 0] = np.inf
    with np.errstate(all="raise"):
        gru(x)
