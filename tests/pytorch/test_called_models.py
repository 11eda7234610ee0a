"""Models that were called before they are quantized, and keep what the call computed: it is copied, detached."""

from __future__ import annotations

import warnings

import pytest
from support.torch_models import difference, torch, torch_ao

import qrnn
import qrnn.torch as qt

nn = torch.nn

STEPS = torch.randn(4, 2, 6, generator=torch.Generator().manual_seed(0))


class Keeping(nn.Module):
    """Keeps its last state where `keep` puts it."""

    def __init__(self, keep):
        super().__init__()
        self.cell, self.head, self.keep = nn.LSTMCell(6, 8), nn.Linear(8, 3), keep

    def forward(self, x):
        state = None
        for step in x:
            state = self.cell(step, state)
        self.keep(self, *state)
        return self.head(state[0])


def in_an_attribute(model, h, c):
    model.h = h


def in_a_pair(model, h, c):
    model.state = (h, c)


def in_a_buffer(model, h, c):
    model.register_buffer("h", h)


def in_a_child(model, h, c):
    model.head.seen = {"last": [h]}


def packed(model, h, c):
    model.packed = torch.nn.utils.rnn.pack_padded_sequence(h[None], [1, 1])


def a_view_and_its_base(model, h, c):
    model.both = [h, h[:1], h]


KEEPERS = (in_an_attribute, in_a_pair, in_a_buffer, in_a_child, packed, a_view_and_its_base)


def quantized_by(how, model):
    """What a way of quantizing that copies makes of `model`."""
    if how == "quantize_dynamic":
        return qt.quantize_dynamic(model)
    if how == "of qrnn":
        return qrnn.quantize_dynamic(model)
    if how == "convert":
        for each in (model.cell, model.head):
            each.qconfig = qt.default_dynamic_qconfig
        return qt.convert(model)
    prepared = qt.prepare(model, inplace=False, qconfig={})
    prepared(STEPS)  # which keeps a state again
    return qt.convert(prepared)


@pytest.mark.parametrize("keep", KEEPERS)
@pytest.mark.parametrize("how", ["quantize_dynamic", "of qrnn", "convert", "prepare and convert"])
def test_a_kept_state(keep, how):
    model = Keeping(keep)
    want = model(STEPS)
    new = quantized_by(how, model)
    assert type(new.cell) is qt.LSTMCell and type(new.head) is qt.Linear and type(model.cell) is nn.LSTMCell
    assert difference(new(STEPS), want) < 0.05


def test_the_copy_has_the_values_without_their_history():
    model = Keeping(in_a_pair)
    model(STEPS)
    new = qt.quantize_dynamic(model)
    for ours, theirs in zip(new.state, model.state, strict=True):
        assert torch.equal(ours, theirs) and ours.data_ptr() != theirs.data_ptr()
        assert ours.is_leaf and not ours.requires_grad and theirs.requires_grad, "the model keeps its own"


def test_what_is_there_twice_is_copied_once():
    model = Keeping(a_view_and_its_base)
    model(STEPS)
    first, _, last = qt.quantize_dynamic(model).both
    assert first is last


def test_a_leaf_stays_what_it_is():
    model = Keeping(in_an_attribute)
    model.leaf = torch.ones(2, requires_grad=True)
    new = qt.quantize_dynamic(model)
    assert new.leaf.requires_grad and new.leaf is not model.leaf


def test_a_model_of_torch_ao_that_was_called():
    import torch.ao.quantization as tq

    model = Keeping(in_an_attribute)
    torch_ao(model, STEPS)
    model.h = model.head.weight * 2
    quantized = torch_ao(tq.quantize_dynamic, model, {nn.LSTMCell}, inplace=True)
    assert type(qt.from_torch_ao(quantized).cell) is qt.LSTMCell


@pytest.mark.parametrize("how", ["quantize_dynamic", "prepare"])
def test_weights_that_hooks_compute_elsewhere_in_the_model(how):
    """An old weight_norm keeps the last weight of its Conv1d, a parametrized LSTM one in _flat_weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        conv = nn.utils.weight_norm(nn.Conv1d(4, 6, 1))
    lstm = nn.utils.parametrizations.weight_norm(nn.LSTM(6, 8), "weight_hh_l0")
    model = nn.ModuleDict({"conv": conv, "lstm": lstm, "head": nn.Linear(8, 2)})
    x = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(1))

    def run(m):
        return m["head"](m["lstm"](m["conv"](x).permute(2, 0, 1))[0])

    want = run(model)
    if how == "prepare":
        new = qt.convert(qt.prepare(model, inplace=False, qconfig={}))
    else:
        new = qt.quantize_dynamic(model)
    assert type(new["head"]) is qt.Linear and difference(run(new), want) < 0.05
    with torch.no_grad():
        conv.weight_g.mul_(2)
        new["conv"].weight_g.mul_(2)
    assert torch.equal(new["conv"](x), conv(x)), "its weight is computed anew"
