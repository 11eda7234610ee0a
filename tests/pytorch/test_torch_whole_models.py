"""Torch models judged by their own outputs: as models of the other package are, by hooks at the root."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from support.calibration import correlated

torch = pytest.importorskip("torch")
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import qrnn.torch as qt
from qrnn import _model_guard, nn, prepare
from qrnn import convert as convert_arrays
from qrnn.quantization import calibration_report as report_of_arrays
from qrnn.torch.quantization import calibration_report, enable_observer, measure


class Tagger(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.head = torch.nn.GRU(6, 20, batch_first=True), torch.nn.Linear(20, 4)

    def forward(self, x, hx=None):
        output, h_n = self.rnn(x, hx)
        if isinstance(output, PackedSequence):
            return self.head(output.data)
        return self.head(output), h_n


class SameInArrays(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.GRU(6, 20, batch_first=True), nn.Linear(20, 4)

    def forward(self, x, hx=None):
        output, h_n = self.rnn(x, hx)
        return self.head(output), h_n


def data(count=12, batch=8, steps=30):
    rows = correlated(np.random.default_rng(0), count * batch * steps, 6, rank=2)
    return list(torch.from_numpy(rows.reshape(count, batch, steps, 6)))


def tagger():
    torch.manual_seed(0)
    model = Tagger().eval()
    return model, qt.prepare(model, qconfig={}, inplace=False)


def hooks_of(model):
    return [hook for name, hooks in vars(model).items() if name.startswith("_forward") for hook in hooks.values()]


def test_the_error_is_that_of_the_float_model():
    """Not of what a prepared torch model computes, which is quantized already. As the other package has it."""
    model, prepared = tagger()
    arrays = SameInArrays()
    arrays.load_state_dict(model.state_dict())
    same = prepare(arrays, qconfig={})
    for x in data():
        prepared(x)
        same(x.numpy())
    samples = prepared._model_calls.samples
    plain, new = qt.quantize_dynamic(model), qt.convert(prepared)
    (found,) = calibration_report(new).models
    given = [(*each.args, dict(each.kwargs)) for each in samples]
    assert found.sequences == len(given) == 16 and all(isinstance(each[0], torch.Tensor) for each in given)
    _, rough, fine = measure({"float": model, "plain": plain, "new": new}, given)
    assert found.plain == pytest.approx(rough.error, rel=1e-3)
    assert found.calibrated == pytest.approx(fine.error, rel=1e-3)
    assert found.weights < found.calibrated < 0.9 * found.plain
    (other,) = report_of_arrays(convert_arrays(same)).models
    assert (other.plain, other.calibrated) == pytest.approx((found.plain, found.calibrated), rel=0.05)
    assert not hooks_of(new) and "_model_calls" not in vars(new) and hooks_of(prepared)


def test_a_model_that_does_not_gain_stays_plain(monkeypatch):
    model, prepared = tagger()
    for x in data():
        prepared(x, torch.zeros(1, 8, 20))
    monkeypatch.setattr(_model_guard, "shows_gain", lambda *given: False)
    new = qt.convert(prepared)
    report, plain = calibration_report(new), qt.quantize_dynamic(model).state_dict()
    assert not any(each.taken for each in report) and not report.models[0].taken
    assert all(each.calibrated == each.plain for each in report.layers) and len(report) == 3
    assert plain.keys() == new.state_dict().keys()
    assert all(torch.equal(tensor, plain[name]) for name, tensor in new.state_dict().items())


def test_packed_sequences_are_held_back_as_a_whole():
    _, prepared = tagger()
    for x in data(24):
        prepared(pack_padded_sequence(x, torch.arange(30, 14, -2), batch_first=True))
    held = prepared._model_calls.samples
    assert len(held) == 6 and all(isinstance(each.args[0], PackedSequence) for each in held)
    new = qt.convert(prepared)
    (found,) = calibration_report(new).models
    assert not found.unmeasured and 0 < found.calibrated <= found.plain


def test_training_and_failing_calls_hold_nothing_back():
    _, prepared = tagger()
    prepared.train()
    prepared(data()[0])[0].sum().backward()
    prepared.eval()
    prepared(data()[0])
    calls = prepared._model_calls
    assert not calls.observed and not calls.samples and calls.now is None
    prepared.apply(enable_observer)
    with pytest.raises(RuntimeError):
        prepared(torch.zeros(2, 3, 5))
    assert not calls.observed and calls.now is None
    for x in data(2):
        prepared(x)
    assert calls.observed == 2 and len(calls.samples) == 4
    with torch.no_grad():
        prepared.rnn.weight_hh_l0.mul_(1.5)
        prepared.head.weight.mul_(1.5)
    prepared(data(3)[2])
    assert len(calls.samples) == 2, "those of other weights are dropped"


def test_copies_have_calls_of_their_own():
    _, prepared = tagger()
    prepared.register_forward_hook(print_nothing)
    for other in (copy.deepcopy(prepared), pickle.loads(pickle.dumps(prepared))):
        for x in data(2):
            other(x)
        assert other._model_calls.observed == 2 and prepared._model_calls.observed == 0
        assert [hook for hook in hooks_of(qt.convert(other)) if hook is not True] == [print_nothing]


def print_nothing(*given):
    """A hook of the user's."""


def test_inplace_and_compiled_models(monkeypatch):
    model, _ = tagger()
    qt.prepare(model, qconfig={})
    for x in data():
        model(x)
    assert qt.convert(model) is model and calibration_report(model).models[0].plain
    _, prepared = tagger()
    (before,) = prepared._forward_pre_hooks.values()
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    before(prepared, (data(1)[0],), {})
    assert prepared._model_calls.now is None
