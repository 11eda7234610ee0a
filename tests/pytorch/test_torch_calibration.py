"""Data between qrnn.torch's prepare and convert: seen in eval mode they calibrate, training mode is training."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from support.calibration import correlated

import qrnn
import qrnn.torch as qt
from qrnn import nn
from qrnn.torch.quantization import (
    calibration_report,
    default_dynamic_qconfig,
    disable_observer,
    enable_observer,
    merge_statistics,
)

f32 = np.float32

LAYERS = {
    "rnn": (torch.nn.RNN, nn.RNN, {"nonlinearity": "relu"}),
    "lstm": (torch.nn.LSTM, nn.LSTM, {"num_layers": 2, "batch_first": True}),
    "projected": (torch.nn.LSTM, nn.LSTM, {"proj_size": 7}),
    "gru": (torch.nn.GRU, nn.GRU, {"bidirectional": True}),
}


def pair(kind):
    """A layer of torch.nn and ours with the same weights, in a model each."""
    torch_type, own_type, options = LAYERS[kind]
    torch.manual_seed(3)
    layer, own = torch_type(6, 20, **options), own_type(6, 20, **options)
    own.load_state_dict({name: value.numpy() for name, value in layer.state_dict().items()})
    return torch.nn.Sequential(layer).eval(), nn.Sequential(own)


def inputs(seed=4, count=60):
    return correlated(np.random.default_rng(seed), 80 * count, 6, rank=3).reshape(80, count, 6)


def same_state(one, other):
    """Whether quantized models, of either package, have the same weights and biases."""
    arrays = [{name: np.asarray(value) for name, value in model.state_dict().items()} for model in (one, other)]
    names = [name for name in arrays[0] if not name.endswith("format")]
    return set(names) <= set(arrays[1]) and all(arrays[0][n].tobytes() == arrays[1][n].tobytes() for n in names)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("engine", ("qrnn", "qnnpack"))
def test_eval_mode_calibrates_as_the_other_package_does(kind, engine):
    """The same codes, scales and biases, and not the plain ones."""
    if kind == "projected" and engine != "qrnn":
        pytest.skip("PyTorch has no such module")
    model, own = pair(kind)
    prepared = qt.prepare(model, qconfig={}, inplace=False, engine=engine)
    other = qrnn.prepare(own, qconfig={}, inplace=False, engine=engine)
    x = inputs()
    plain = qt.convert(prepared, inplace=False)
    with torch.no_grad():
        got = prepared[0](torch.from_numpy(x))[0]
        assert torch.equal(got, plain[0](torch.from_numpy(x))[0]), "eval mode computes with plain codes"
    other[0](x)
    new, want = qt.convert(prepared), qrnn.convert(other)
    assert same_state(new, want) and not same_state(new, plain)
    rows = calibration_report(new)
    assert [row[:3] for row in rows] == [row[:3] for row in qrnn.quantization.calibration_report(want)]
    assert rows.layers == qrnn.quantization.calibration_report(want).layers and rows.layers[0].name == "0"


@pytest.mark.parametrize("make", ("RNNCell", "LSTMCell", "GRUCell"))
def test_cells_are_observed(make):
    torch.manual_seed(5)
    cell, own = getattr(torch.nn, make)(6, 20).eval(), getattr(nn, make)(6, 20)
    own.load_state_dict({name: value.numpy() for name, value in cell.state_dict().items()})
    prepared, other = qt.prepare(cell, qconfig={}), qrnn.prepare(own, qconfig={})
    state = None
    for x in inputs():
        state = other(x, state)
    counts = {key: m.count for key, m in other._prepared.statistics.by_product().items()}
    state = None
    for x in inputs():  # with the states of the float cell, whose pieces the single steps are
        given = None if state is None else tuple(map(torch.from_numpy, state))
        hx = given if given is None or len(given) == 2 else given[0]
        prepared(torch.from_numpy(x), hx)
        state = own(x, None if state is None else state if len(state) == 2 else state[0])
        state = state if isinstance(state, tuple) else (state,)
    found = {key: m.count for key, m in prepared._prepared.statistics.by_product().items()}
    assert found == counts and same_state(qt.convert(prepared), qrnn.convert(other))


def test_packed_sequences_and_lengths_are_observed_alike():
    model, own = pair("gru")
    x, lengths = inputs(count=40), np.sort(np.random.default_rng(6).integers(20, 81, 40))[::-1].copy()
    other = qrnn.prepare(own, qconfig={}, inplace=False)
    other[0](x, lengths=lengths)
    want = qrnn.convert(other)
    packed = torch.nn.utils.rnn.pack_padded_sequence(torch.from_numpy(x), torch.from_numpy(lengths))
    for call in (
        lambda layer: layer(packed),
        lambda layer: layer(torch.from_numpy(x), lengths=torch.from_numpy(lengths)),
        lambda layer: layer(torch.from_numpy(x), lengths=iter(lengths.tolist())),
    ):
        prepared = qt.prepare(model, qconfig={}, inplace=False)
        call(prepared[0])
        new = qt.convert(prepared)
        seen = [row.samples for row in calibration_report(new)]
        assert seen == [row.samples for row in qrnn.quantization.calibration_report(want)]
        assert any(row.taken for row in calibration_report(new))


def test_without_a_call_it_is_plain_rounding():
    for qconfig in ({}, default_dynamic_qconfig):
        model, _ = pair("lstm")
        spec = None if not qconfig else {torch.nn.LSTM: qconfig}
        new = qt.convert(qt.prepare(model, qconfig=qconfig, inplace=False))
        assert same_state(new, qt.quantize_dynamic(model, spec)) and not calibration_report(new)


def test_training_drops_what_was_seen_and_ends_observation():
    model, _ = pair("lstm")
    prepared = qt.prepare(model, qconfig={}, inplace=False)
    x = torch.from_numpy(inputs().swapaxes(0, 1).copy())
    prepared[0](x)
    prepared.train()
    prepared[0](x[:2])[0].sum().backward()
    torch.optim.SGD(prepared.parameters(), 1e-3).step()
    prepared.eval()
    want = prepared[0](x)[0]
    new = qt.convert(prepared, inplace=False)
    assert torch.equal(new[0](x)[0], want), "as eval mode computed"
    assert not calibration_report(new)
    prepared.apply(enable_observer)[0](x)
    assert any(row.taken for row in calibration_report(qt.convert(prepared)))


@pytest.mark.parametrize("change", ("data", "load", "again"))
def test_statistics_of_other_weights_are_dropped(change):
    model, _ = pair("rnn")
    prepared = qt.prepare(model, qconfig={}, inplace=False)
    x = torch.from_numpy(inputs())
    prepared[0](x)
    with torch.no_grad():
        if change == "load":
            prepared.load_state_dict({name: 0.9 * value for name, value in prepared.state_dict().items()})
        else:
            prepared[0].weight_hh_l0.data *= 0.9
    if change == "again":  # what is seen from here on counts
        prepared[0](x[:, :10])
        assert prepared[0]._prepared.statistics._held.seen == 40, "four pieces of each sequence"
        assert calibration_report(qt.convert(prepared))
    else:
        new = qt.convert(prepared, inplace=False)
        assert not calibration_report(new) and torch.equal(new[0](x)[0], prepared[0](x)[0])


def test_switching_off_and_copies():
    model, _ = pair("gru")
    x = torch.from_numpy(inputs())
    prepared = qt.prepare(model, qconfig={}, inplace=False)
    prepared.apply(disable_observer)[0](x)
    assert not calibration_report(qt.convert(prepared, inplace=False))
    prepared.apply(enable_observer)
    parts = [copy.deepcopy(prepared), pickle.loads(pickle.dumps(prepared))]
    prepared[0](x)
    for part, rows in zip(parts, (slice(0, 30), slice(30, 60)), strict=True):
        part[0](x[:, rows])
    assert merge_statistics(*parts) is parts[0]
    kept = pickle.loads(pickle.dumps(copy.deepcopy(parts[0])))
    kept[0](x[:, :1])  # goes on with what it has, as its weights are the same
    counts = [each[0]._prepared.statistics._held.seen for each in (prepared, parts[0], kept)]
    assert counts[0] and counts[1] and counts[2] > counts[1]
    assert calibration_report(qt.convert(parts[0]))


def test_the_report_goes_with_the_weights():
    model, _ = pair("lstm")
    prepared = qt.prepare(model, qconfig={}, inplace=False)
    prepared[0](torch.from_numpy(inputs().swapaxes(0, 1).copy()))
    new = qt.convert(prepared)
    for other in (copy.deepcopy(new), pickle.loads(pickle.dumps(new))):
        assert str(calibration_report(other)) == str(calibration_report(new)) != ""
    assert not calibration_report(qt.convert(qt.prepare(new, qconfig={}, inplace=False)))
    new.load_state_dict(qt.quantize_dynamic(model).state_dict())
    assert not calibration_report(new)
    with pytest.raises(TypeError, match="model"):
        calibration_report(3)


def test_inputs_of_other_float_types_are_observed():
    linear = qt.prepare(torch.nn.Linear(6, 5).eval(), qconfig={})
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        linear(torch.from_numpy(inputs()[0]).to(dtype))
    assert linear._prepared.statistics._held_rows.seen == 180


def test_convert_warns_of_a_costly_weight_of_a_torch_model():
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.LSTM(6, 20)).eval()
    factor = torch.logspace(-2, 2, 6)
    with torch.no_grad():
        model[0].weight_ih_l0 *= 8 / factor
    prepared = qt.prepare(model, qconfig={}, inplace=False)
    prepared[0](torch.randn(60, 60, 6) * factor)
    with pytest.warns(UserWarning, match='0.weight_ih_l0: .*"0.weight_ih_l0": float_qconfig'):
        qt.convert(prepared)
