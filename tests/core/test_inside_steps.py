"""What `_forward_layers` hands out beside a result: the outputs of all layers, what is multiplied inside the steps."""

from __future__ import annotations

import numpy as np
import pytest
from support import assert_same_results, note

import qrnn
from qrnn import _core, nn

f32 = np.float32
BOTH = pytest.mark.parametrize("kind", ("before", "projected"))
FORMS = pytest.mark.parametrize(
    "options",
    ({}, {"num_layers": 3}, {"bidirectional": True}, {"num_layers": 2, "bidirectional": True, "batch_first": True}),
    ids=("plain", "layers", "directions", "both, batch first"),
)
HIDDEN = 90  # six panels, of which 3 threads take 2 each


@pytest.fixture(autouse=True)
def one_thread_after():
    yield
    qrnn.set_num_threads(1)


def make(kind, options):
    qrnn.manual_seed(7)
    more = {"reset_after": False} if kind == "before" else {"proj_size": 40}
    return (nn.GRU if kind == "before" else nn.LSTM)(30, HIDDEN, **more, **options)


def by_time(array, module):
    """As (steps, batch, columns)."""
    return array.swapaxes(0, 1) if module.batch_first else array


def parts(module, values):
    """Of each layer and direction: its matrices, what it took and what it gave, and where in time that stands."""
    result, below, inner, _ = values
    layers = [by_time(y, module) for y in (*below, result[0])]
    size = module.proj_size or module.hidden_size
    for layer, y in enumerate(layers):
        for reverse in range(module.num_directions):
            place = layer * module.num_directions + reverse
            x = layers[layer - 1] if layer else None
            h = y[..., reverse * size : (reverse + 1) * size]
            yield f"_l{layer}{'_reverse' * reverse}", reverse, x, h, by_time(inner[place], module)


def lengths_of(batch, steps):
    return np.random.default_rng(3).integers(1, steps + 1, batch)


@FORMS
@pytest.mark.parametrize("padded", (False, True))
def test_a_projection_of_what_is_inside_is_the_output(padded, options):
    module, steps, batch = make("projected", options), 11, 70  # two groups of rows
    x = np.random.default_rng(0).standard_normal((steps, batch, 30)).astype(f32)
    x = x.swapaxes(0, 1).copy() if module.batch_first else x
    lengths = lengths_of(batch, steps) if padded else None
    valid = np.arange(steps)[:, None] < (np.full(batch, steps) if lengths is None else lengths)
    values = module._forward_layers(x, lengths=lengths)
    assert_same_results(values[0], module(x, lengths=lengths), "the result is that of a call")
    for name, _, _, h, inner in parts(module, values):
        project = nn.Linear(HIDDEN, module.proj_size, bias=False)
        project.weight = getattr(module, f"weight_hr{name}")
        np.testing.assert_array_equal(project(inner[valid]), h[valid])
        assert inner[valid].any()


@FORMS
@pytest.mark.parametrize("padded", (False, True))
def test_what_is_inside_is_h_behind_the_reset_gate(padded, options):
    module, steps, batch = make("before", options), 11, 70
    x = np.random.default_rng(1).standard_normal((steps, batch, 30)).astype(f32)
    lengths = lengths_of(batch, steps) if padded else None
    ends = np.full(batch, steps) if lengths is None else lengths
    values = module._forward_layers(x.swapaxes(0, 1).copy() if module.batch_first else x, lengths=lengths)
    for name, reverse, below, h, inner in parts(module, values):
        given = x if below is None else below
        cell = nn.GRUCell(given.shape[-1], HIDDEN, reset_after=False)
        for each in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            setattr(cell, each, getattr(module, each + name))
        for t in range(steps):
            before = np.zeros((batch, HIDDEN), f32)
            if reverse and t < steps - 1:
                before = np.where((t + 1 < ends)[:, None], h[t + 1], before)
            elif not reverse and t:
                before = h[t - 1]
            r = _core.apply("sigmoid", _core._gates(cell, given[t], before)[2][:, :HIDDEN])
            np.testing.assert_array_equal(inner[t][t < ends], (r * before)[t < ends])


@BOTH
def test_threads_and_instruction_sets_change_nothing_inside(isa, kind):
    x = np.random.default_rng(2).standard_normal((70, 20, 30)).astype(f32)  # worth threads
    options = {"num_layers": 2, "bidirectional": True}
    want, module = make(kind, options)._forward_layers(x), make(kind, {"isa": isa, **options})
    note(module)
    for threads in (1, 2, 3):
        qrnn.set_num_threads(threads)
        got = module._forward_layers(x)
        assert_same_results(got[0], want[0], f"{threads} threads")
        np.testing.assert_array_equal(got[1], want[1])
        np.testing.assert_array_equal(got[2], want[2])
        np.testing.assert_array_equal(got[3], want[3])


def test_nothing_is_inside_where_one_product_follows_another():
    x = np.ones((3, 2, 4), f32)
    for module in (nn.RNN(4, 5, num_layers=2), nn.GRU(4, 5, num_layers=2), nn.LSTM(4, 5, num_layers=2)):
        _, below, inner, _ = module._forward_layers(x)
        assert below.shape == (1, 3, 2, 5) and inner is None
    result, below, inner, _ = nn.LSTM(4, 5, proj_size=2, batch_first=True)._forward_layers(x)
    assert result[0].shape == (3, 2, 2) and below.shape == (0, 3, 2, 2) and inner.shape == (1, 3, 2, 5)
    assert nn.LSTM(4, 5, proj_size=2)._forward_layers(x[:, 0])[2].shape == (1, 3, 5)
    assert nn.GRU(4, 5, reset_after=False)._forward_layers(x[:, :0])[2].shape == (1, 3, 0, 5)


KINDS = {
    "rnn": lambda **options: nn.RNN(7, 37, **options),
    "relu": lambda **options: nn.RNN(7, 37, nonlinearity="relu", **options),
    "lstm": lambda **options: nn.LSTM(7, 37, **options),
    "gru": lambda **options: nn.GRU(7, 37, **options),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("padded", (False, True))
def test_slopes_have_one_value_on_every_set_and_thread(isa, kind, padded):
    """Also of the engines with the correctly rounded tanh, and of one row, whose products and ends take turns."""
    for batch, engine in ((1, None), (19, None), (3, "qrnn"), (3, "fbgemm")):
        x = np.random.default_rng([5, batch]).standard_normal((9, batch, 7)).astype(f32)
        lengths = lengths_of(batch, 9) if padded else None
        valid = np.arange(9)[:, None] < (np.full(batch, 9) if lengths is None else lengths)
        found = []
        for name in ("scalar", isa):
            qrnn.manual_seed(3)
            module = KINDS[kind](num_layers=2, bidirectional=True, isa=name)
            if engine is not None:
                module = getattr(qrnn, type(module).__name__).from_float(module, engine=engine, isa=name)
            slopes = module._forward_layers(x, lengths=lengths)[3]
            assert slopes.shape == (4, 9, batch) and slopes.dtype == f32
            assert np.isnan(slopes[:, ~valid]).all()
            found.append(slopes[:, valid])
        assert (found[0] >= 0).all() and found[0].any()
        np.testing.assert_array_equal(*found)


def test_slopes_by_differences(isa):
    """Of an LSTM's step by its four gates, in float64: their mean over units that fill no vector."""
    n = 37
    cell = nn.LSTM(4, n, isa=isa)
    x, h, c = (
        np.random.default_rng(7).standard_normal(shape).astype(f32) for shape in ((1, 6, 4), (1, 6, n), (1, 6, n))
    )
    slopes = cell._forward_layers(x, (h, c))[3][0, 0]
    w, u, b = (getattr(cell, f"{name}_l0").astype(np.float64) for name in ("weight_ih", "weight_hh", "bias_ih"))
    sums = x[0].astype(np.float64) @ w.T + h[0].astype(np.float64) @ u.T + b + cell.bias_hh_l0

    def out(sums):
        i, f, o = (1 / (1 + np.exp(-sums[:, at : at + n])) for at in (0, n, 3 * n))
        return o * np.tanh(f * c[0] + i * np.tanh(sums[:, 2 * n : 3 * n]))

    want = 0
    for gate in range(4):
        shift = np.zeros(4 * n)
        shift[gate * n : (gate + 1) * n] = 1e-5
        want = want + ((out(sums + shift) - out(sums - shift)) / 2e-5) ** 2
    np.testing.assert_allclose(slopes, want.mean(axis=-1), rtol=2e-5)
