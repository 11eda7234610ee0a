"""Rounding by data judged by the outputs of the whole model, on sequences that no statistics have seen."""

from __future__ import annotations

import copy
import math
import pickle
import threading

import numpy as np
import pytest
from support import assert_same_bits
from support.calibration import correlated

import qrnn
from qrnn import _model_calls, _model_guard, nn
from qrnn._reservoir import SEQUENCES, Reservoir
from qrnn.quantization import calibration_report, enable_observer, measure, merge_statistics

f32 = np.float32


class Tagger(nn.Module):
    """A Linear before the recurrent layer, one behind it, and several results."""

    def __init__(self, batch_first=True):
        super().__init__()
        self.first, self.head = nn.Linear(6, 8), nn.Linear(20, 4)
        self.rnn = nn.LSTM(8, 20, batch_first=batch_first)

    def forward(self, x, hx=None, *, lengths=None):
        output, states = self.rnn(np.tanh(self.first(x)), hx, lengths=lengths)
        return {"scores": self.head(output), "states": states}


def data(count, batch=8, steps=30, seed=0):
    rng = np.random.default_rng(seed)
    return list(correlated(rng, count * batch * steps, 6, rank=2).reshape(count, batch, steps, 6))


def prepared_tagger(**options):
    qrnn.manual_seed(0)
    model = Tagger(**options)
    return model, qrnn.prepare(model, qconfig={}, inplace=False)


def as_data(samples):
    return [(*each.args, dict(each.kwargs)) for each in samples]


def test_the_report_has_the_errors_that_a_user_measures():
    model, prepared = prepared_tagger()
    plain, lengths = qrnn.convert(prepared, inplace=False), np.array([30, 12, 30, 25, 5, 30, 9, 17])
    *seen, one, other = data(14)
    for x in seen:
        prepared(x, lengths=lengths)
    samples = prepared._model_calls.samples
    new = qrnn.convert(prepared)
    (found,) = calibration_report(new).models
    assert found.sequences == len(samples) == SEQUENCES and found.taken and not found.unmeasured
    _, rough, fine = measure({"float": model, "plain": plain, "new": new}, as_data(samples))
    assert (found.plain, found.calibrated) == pytest.approx((rough.error, fine.error), rel=1e-6)
    assert found.changed == (rough.outputs[0].changed, fine.outputs[0].changed)
    assert 0 < found.weights < found.calibrated < 0.9 * found.plain
    assert found.activations == pytest.approx(1 - (found.weights / found.calibrated) ** 2)
    report = calibration_report(new)
    assert report.to_dict()["models"] == [
        {**found._asdict(), "changed": list(found.changed), "activations": found.activations}
    ]
    (line,) = [each for each in str(report).splitlines() if each.startswith("the model ")]
    assert line.split()[2:] == [
        "16", f"{100 * found.plain:.2f}%", f"{100 * found.calibrated:.2f}%",
        f"{found.calibrated / found.plain:.3f}", f"{found.activations:.0%}",
    ]  # fmt: skip
    assert "the model</th>" in report._repr_html_()
    _, rough, fine = measure({"float": model, "plain": plain, "new": new}, [one, other])
    assert fine.error < 0.9 * rough.error


@pytest.mark.parametrize("batch", (1, 2, 8, 40))
@pytest.mark.parametrize("batch_first", (False, True))
def test_what_is_held_back_is_in_no_statistics(batch, batch_first):
    """Each number of rows that a layer summed is that of all rows less those held back; pieces are of these."""
    model, prepared = prepared_tagger(batch_first=batch_first)
    calls = data(24, batch, steps=11)
    for x in calls:
        given = x if batch_first else np.ascontiguousarray(x.swapaxes(0, 1))
        assert_same_bits(prepared(given)["scores"], model(given)["scores"])
    samples = prepared._model_calls.samples
    held = [each.args[0].reshape(11, 6) for each in samples]
    rows = np.concatenate(calls)
    assert all(any(np.array_equal(each, row) for row in rows) for each in held)
    assert len(held) == min(SEQUENCES, 24 * batch // 4)
    total = 24 * batch * 11
    for layer in (prepared.first, prepared.rnn, prepared.head):
        statistics = layer._prepared.statistics
        (count,) = {moments.count for moments in statistics.by_product().values()}
        kept_back = total - count
        assert kept_back >= len(held) * 11 and kept_back <= 0.55 * total
        if batch > 4:  # from the first call on nothing else is held back
            assert kept_back % 11 == 0 and (batch > 8 or kept_back < 0.3 * total)
    if batch > 4:
        inputs = np.tanh(model.first(rows)).reshape(-1, 8)
        place = {row.tobytes(): each for each, row in enumerate(inputs)}
        summed = prepared.rnn._prepared.statistics.by_product()[0, 0].count
        assert len(place) == total and summed < total
        pieces = prepared.rnn._prepared.statistics.held()
        assert len(pieces) == SEQUENCES
        sequences = {place[row.tobytes()] // 11 for piece in pieces for row in piece.x}
        assert len(sequences) * 11 <= total - summed


def test_a_model_that_does_not_gain_stays_plain(monkeypatch):
    """Whatever its layers gain. The test gets the squared errors of each sequence."""
    model, prepared = prepared_tagger()
    plain = qrnn.convert(prepared, inplace=False)
    for x in data(12):
        prepared(x)
    given, want = [], []
    monkeypatch.setattr(_model_guard, "shows_gain", lambda *args: given.append(args))
    new = qrnn.convert(prepared, inplace=False)
    report = calibration_report(new)
    assert not any(each.taken for each in report) and len(report) == 4
    (found,) = report.models
    assert not found.taken and found.calibrated == found.plain > found.weights > 0
    assert all(each.calibrated == each.plain > each.weights for each in report.layers) and len(report.layers) == 3
    assert "As a whole, the model showed no gain by data: all of its codes are plain." in str(report)
    for name, array in plain.state_dict().items():
        assert np.array_equal(new.state_dict()[name], array)
    monkeypatch.undo()
    fine = qrnn.convert(prepared, inplace=False)
    for quantized in (plain, fine):
        rows = []
        for sample in prepared._model_calls.samples:
            exact, got = (each(*sample.args) for each in (model, quantized))
            pairs = [(exact["scores"], got["scores"]), *zip(exact["states"], got["states"], strict=True)]
            rows.append([((one.astype(np.float64) - other) ** 2).sum() for one, other in pairs])
        want.append(np.array(rows))
    weights = 1 / want[0].sum(0)
    ((one, other, bound, errors),) = given
    np.testing.assert_allclose(one, want[0] @ weights, rtol=1e-9)
    np.testing.assert_allclose(other, want[1] @ weights, rtol=1e-9)
    assert (bound, errors) == (math.log(0.98), 1.0)


class Loop(nn.Module):
    """Cells, a step at a time."""

    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.GRUCell(6, 12), nn.Linear(12, 3)

    def forward(self, x, h=None):  # (steps, batch, 6)
        scores = []
        for each in x:
            h = self.cell(each, h)
            scores.append(self.head(h))
        return np.stack(scores), h


class Flat(Loop):
    """A layer that sees the rows of the batch in pairs."""

    def forward(self, x, h=None):
        h = self.cell(x.reshape(-1, 6), h)
        return self.head(h).reshape(len(x), -1)


class Mixed(Loop):
    """First the rows of the batch, then twice as many."""

    def forward(self, x):
        h = self.cell(x)
        return self.head(np.concatenate([h, h]))


class Remembers(Loop):
    """A state of its own, which does not fit another batch."""

    def forward(self, x):
        self.h = self.cell(x, vars(self).get("h"))
        return self.head(self.h)


class Decides(Loop):
    def forward(self, x):
        return self.head(self.cell(x)).argmax(axis=-1)


class Perceptron(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(6, 16), nn.Linear(16, 3)

    def forward(self, x):
        return self.other(np.tanh(self.one(x)))


WAYS = {
    "cells": (Loop, lambda x: ((x.swapaxes(0, 1).copy(),), {}), ""),
    "cells from a state": (Loop, lambda x: ((x.swapaxes(0, 1).copy(), np.ones((len(x), 12), f32)), {}), ""),
    "one sequence": (Loop, lambda x: ((x[0],), {}), ""),
    "as many steps as rows": (Loop, lambda x: ((x[:, :8].copy(),), {}), ""),
    "Linear alone": (Perceptron, lambda x: ((x,), {}), ""),
    "Linear, rows": (Perceptron, lambda x: ((x.reshape(-1, 6),), {}), ""),
    "Linear, one row": (Perceptron, lambda x: ((x[0, 0],), {}), ""),
    "keywords": (Tagger, lambda x: ((), {"x": x, "lengths": [30] * 7 + [0]}), ""),
    "a pair of states": (Tagger, lambda x: ((x, [np.ones((1, 8, 20), f32)] * 2), {}), ""),
    "float64": (Tagger, lambda x: ((x.astype(np.float64),), {}), ""),
    "a list": (Tagger, lambda x: ((x.tolist(),), {}), ""),
    "pairs of rows": (Flat, lambda x: ((x[:, :2].copy(),), {}), ""),
    "more rows": (Mixed, lambda x: ((x[:, 0].copy(),), {}), ""),
    "read once": (Tagger, lambda x: ((x,), {"lengths": iter([30] * 8)}), "its sequences are too few"),
    "a state of its own": (Remembers, lambda x: ((x[:, 0].copy(),), {}), "calling it again failed with RuntimeError: "),
    "decisions": (Decides, lambda x: ((x[:, 0].copy(),), {}), "calling it again failed with TypeError: "),
    "nothing": (Tagger, lambda x: ((x[:0],), {}), None),
}


@pytest.mark.parametrize("way", WAYS)
def test_ways_to_call_a_model(way):
    """Calls stay what they were; what can be measured is, and what not says why."""
    make, arguments, unmeasured = WAYS[way]
    qrnn.manual_seed(2)
    model = make()
    prepared = qrnn.prepare(model, qconfig={}, inplace=False)
    for x in data(30):
        args, kwargs = arguments(x)
        got = prepared(*args, **kwargs)
        if way != "read once":
            same_result(got, model(*args, **kwargs))
    held = prepared._model_calls.samples
    assert len(held) <= SEQUENCES
    new = qrnn.convert(prepared)
    report = calibration_report(new)
    if unmeasured is None:
        assert not report and not report.models
        return
    (found,) = report.models
    assert found.unmeasured.startswith(unmeasured) and bool(found.unmeasured) == bool(unmeasured)
    if unmeasured:
        assert found.plain is found.calibrated is found.activations is None
        assert f"No error of the model as a whole: {found.unmeasured}." in str(report).replace("\n", " ")
    else:
        assert 0 < found.calibrated <= found.plain and found.sequences == len(held) >= 7
        error = measure({"float": model, "new": new}, as_data(held))[1].error
        assert found.calibrated == pytest.approx(error, rel=1e-6)
    copied = vars(new).keys() | vars(prepared).keys()
    assert "_model_calls" not in vars(new) and "_model_calls" in copied


def same_result(one, other):
    if isinstance(one, dict):
        one, other = tuple(one.values()), tuple(other.values())
    if isinstance(one, tuple):
        for each in zip(one, other, strict=True):
            same_result(*each)
    else:
        assert np.array_equal(one, other)


def test_layers_called_by_themselves_say_so():
    _, prepared = prepared_tagger()
    for x in data(12):
        prepared.head(prepared.rnn(np.tanh(prepared.first(x)))[0])
    assert not prepared._model_calls.samples
    report = calibration_report(qrnn.convert(prepared))
    assert [each.taken for each in report].count(True) >= 3 and len(report.layers) == 3
    assert report.models[0].unmeasured == "it was not called as a whole after prepare, only its layers"
    assert "No error of the model as a whole: it was not called as a whole after prepare" in str(report)


def test_a_layer_alone_is_its_own_model():
    prepared = qrnn.prepare(nn.GRU(6, 12), qconfig={})
    for x in data(12):
        prepared(x)
    report = calibration_report(qrnn.convert(prepared))
    assert not report.models and [each.name for each in report.layers] == [""] and "the model " in str(report)


def test_calls_that_fail_hold_nothing_back():
    _, prepared = prepared_tagger()
    for x in data(12):
        with pytest.raises(RuntimeError, match="input_size"):
            prepared(np.concatenate([x, x], axis=2))
    assert not prepared._model_calls.seen and _model_calls.model_call() is None
    prepared.head = nn.Linear(3, 3)
    with pytest.raises(RuntimeError):
        prepared(data(1)[0])
    assert prepared._model_calls.seen == 8 and not prepared._model_calls.samples


def test_long_sequences_are_not_kept(monkeypatch):
    monkeypatch.setattr(_model_calls, "MOST", 30 * 6 - 1)
    _, prepared = prepared_tagger()
    for x in data(12):
        prepared(x)
    assert not prepared._model_calls.samples
    (found,) = calibration_report(qrnn.convert(prepared)).models
    assert found.unmeasured == "its sequences are too few, or too long, to hold some back" and found.plain is None


def test_copies_pickles_and_merges():
    _, prepared = prepared_tagger()
    others = [copy.deepcopy(prepared) for _ in range(2)]
    for model, seed in zip((prepared, *others), range(3), strict=True):
        for x in data(4, seed=seed):
            model(x)
    others[1] = pickle.loads(pickle.dumps(others[1]))
    assert [len(each._model_calls.samples) for each in others] == [8, 8]
    merge_statistics(prepared, *others)
    calls = prepared._model_calls
    assert calls.seen == 96 and len(calls.samples) == SEQUENCES
    again = pickle.loads(pickle.dumps(prepared))
    state, want = qrnn.convert(again).state_dict(), qrnn.convert(prepared).state_dict()
    assert all(np.array_equal(state[name], array) for name, array in want.items())


def test_other_weights_begin_anew():
    _, prepared = prepared_tagger()
    for x in data(4):
        prepared(x)
    before = {each.args[0].tobytes() for each in prepared._model_calls.samples}
    for name, array in prepared.state_dict().items():
        layer, _, own = name.rpartition(".")
        setattr(prepared.get_submodule(layer), own, array * f32(1.1))
    for x in data(4, seed=1):
        prepared(x)
    after = {each.args[0].tobytes() for each in prepared._model_calls.samples}
    assert len(after) == 8 and not before & after


def test_the_report_goes_with_the_codes(tmp_path):
    _, prepared = prepared_tagger()
    for x in data(12):
        prepared(x)
    new = qrnn.convert(prepared)
    report = calibration_report(new)
    for other in (copy.deepcopy(new), pickle.loads(pickle.dumps(new))):
        assert str(calibration_report(other)) == str(report)
    qrnn.save(new, tmp_path / "model.safetensors")
    into = qrnn.quantize_dynamic(Tagger())
    qrnn.load(tmp_path / "model.safetensors", into=into)
    assert calibration_report(into).to_dict() == report.to_dict()
    outer = nn.Sequential(nn.Identity(), into)
    assert [each.name for each in calibration_report(outer).models] == ["1"]
    into.head.set_weight_bias(new.head.weight(), np.zeros(4, f32))
    assert not calibration_report(into).models and len(calibration_report(into)) == 3
    assert not calibration_report(qrnn.convert(qrnn.prepare(new, qconfig={}, inplace=False))).models


def test_a_sequential_comes_back_with_its_report(tmp_path):
    qrnn.manual_seed(3)
    prepared = qrnn.prepare(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.RNNCell(8, 5)), qconfig={})
    for x in data(30):
        prepared(x[:, 0].copy())
    new = qrnn.convert(prepared)
    assert calibration_report(new).models[0].plain
    qrnn.save(new, tmp_path / "model.safetensors")
    assert calibration_report(qrnn.load(tmp_path / "model.safetensors")).to_dict() == calibration_report(new).to_dict()


def test_nothing_is_left_of_the_trials():
    _, prepared = prepared_tagger()
    for x in data(12):
        prepared(x)
    single = qrnn.LSTM.from_float(prepared.rnn)
    new = qrnn.convert(prepared)
    for module in (single, *new.modules()):
        assert not {"_trial", "_model_calls"} & vars(module).keys()
    inner = qrnn.prepare(prepared, qconfig={}, inplace=False)
    assert inner._model_calls.seen == prepared._model_calls.seen
    outer = qrnn.prepare(nn.Sequential(inner), qconfig={})
    assert outer._model_calls.seen == 0 and "_model_calls" not in vars(outer[0])


def test_threads_have_calls_of_their_own():
    _, prepared = prepared_tagger()
    calls = data(24)

    def run(part):
        for x in part:
            prepared(x)

    threads = [threading.Thread(target=run, args=(calls[first::4],)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert prepared._model_calls.seen == 24 * 8 and len(prepared._model_calls.samples) == SEQUENCES
    (found,) = calibration_report(qrnn.convert(prepared.apply(enable_observer))).models
    assert found.calibrated <= found.plain


def test_pieces_of_one_call_come_into_places_of_their_own():
    """So that all of the data are as likely to be in the sample."""
    reservoir = Reservoir(16)
    for each in reservoir.offer(20_000):
        reservoir.put(each)
    late = [each for each in reservoir.pieces if each >= 64]
    assert len(late) >= 10
    again = Reservoir(16)
    for each in again.offer_held(20_000):
        again.put(each)
    assert len(again.pieces) == 16 and np.mean(again.pieces) > 5000
