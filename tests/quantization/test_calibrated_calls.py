"""A prepared module computes as the float one does, and keeps statistics of what it saw."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest
from support import assert_same_bits, needs_torch
from support.calibration import nothing_held, observed, white_cell
from test_rounding import correlated

import qrnn
from qrnn import _core, nn
from qrnn.quantization import (
    disable_observer,
    enable_observer,
    merge_statistics,
)

f32 = np.float32
pytestmark = pytest.mark.usefixtures("nothing_held")
__all__ = ["nothing_held"]


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
        seen = _core.fake_quantize(engine, seen).astype(np.float64)
        after = np.concatenate([expected] * 5 + [cell(x), expected[:1]]).astype(np.float64)
        weights = ((1 - after**2) ** 2).mean(axis=1)
        count, second = observed(prepared)[1, 0]
        assert count == len(seen)
        np.testing.assert_allclose(second, (seen.T * weights) @ seen / weights.sum(), rtol=1e-5, atol=1e-6)


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
    seen = _core.fake_quantize("qrnn", rows).astype(np.float64)
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


def test_a_merge_that_fails_changes_nothing():
    """Also where the first of several would fit, and where a layer before the one that does not."""
    model = qrnn.prepare(nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2)), qconfig={})
    good = copy.deepcopy(model)
    bad = qrnn.prepare(nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 3)), qconfig={})
    x = np.random.default_rng(5).standard_normal((6, 3)).astype(f32)
    for each in (model, good, bad):
        each(x)
    before = [observed(layer) for layer in model]
    for others, place in (((good, bad), 1), ((bad, good), 0), ((good, 3), 1), ((good, nn.Linear(3, 2)), 1)):
        with pytest.raises((TypeError, ValueError), match=rf"others\[{place}\]"):
            merge_statistics(model, *others)
        for was, layer in zip(before, model, strict=True):
            now = observed(layer)
            assert {key: count for key, (count, _) in now.items()} == {key: count for key, (count, _) in was.items()}
            assert all(np.array_equal(now[key][1], second) for key, (_, second) in was.items())
    merge_statistics(model, good, good)
    assert observed(model[0])[0, 0][0] == 3 * before[0][0, 0][0]


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
