"""Bad states, settings and tensors: each a row with its exception and text, and nothing changed."""

from __future__ import annotations

import numpy as np
import pytest
from support import assert_same_bits, needs_torch
from support.errors import HX, INPUT, make_cell, refused, zeros

import qrnn
from qrnn import nn
from qrnn.nn.quantized import dynamic as qd

f32 = np.float32


# ---------------------------------------------------------------------------------------------------
# load_state_dict
# ---------------------------------------------------------------------------------------------------
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = qd.RNNCell(4, 3)
        self.readout = nn.Linear(3, 2)

    def forward(self, x):
        return self.readout(self.cell(x))


BAD_STATES = {
    "missing": ({"cell.bias_ih": None}, ["cell.bias_ih", "Missing"]),
    "unexpected": ({"other": zeros(2)}, ["other", "Unexpected"]),
    "shape": ({"readout.weight": zeros(3, 3)}, ["readout.weight", "(3, 3)", "(2, 3)"]),
    "all at once": (
        {
            "cell.bias_hh": None,
            "other": zeros(2),
            "readout.bias": zeros(3),
            "cell.weight_ih": np.zeros((1, 1), np.int8),
        },
        ["cell.bias_hh", "other", "readout.bias", "cell.weight_ih"],
    ),
    "scale NaN": ({"cell.weight_ih_scale": np.full(3, np.nan, f32)}, ["cell.weight_ih_scale"]),
    "scale 0": ({"cell.weight_hh_scale": np.zeros(3, f32)}, ["cell.weight_hh_scale"]),
    "scale negative": ({"cell.weight_hh_scale": np.full((), -1, f32)}, ["cell.weight_hh_scale"]),
    "scale infinite": ({"cell.weight_hh_scale": np.full(3, np.inf, f32)}, ["cell.weight_hh_scale"]),
    "scale shape": ({"cell.weight_hh_scale": np.ones(4, f32)}, ["cell.weight_hh_scale"]),
    "codes too large": ({"cell.weight_ih": np.full((3, 4), 200)}, ["cell.weight_ih"]),
    "codes float": ({"cell.weight_ih": zeros(3, 4)}, ["cell.weight_ih"]),
    "bias NaN": ({"cell.bias_ih": np.full(3, np.nan, f32)}, ["bias_ih"]),
    "complex": ({"readout.bias": np.zeros(2, complex)}, ["readout.bias"]),
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("row", BAD_STATES)
def test_bad_states_change_nothing(row, strict):
    """The first layer's new values are good, a later one's are not: neither is taken over."""
    changes, words = BAD_STATES[row]
    model, x = Model(), np.ones((2, 4), f32)
    state = Model().state_dict()
    for key, value in changes.items():
        state[key] = value
        if value is None:
            del state[key]
    want = model(x)
    if not strict and row in ("missing", "unexpected"):
        result = model.load_state_dict(state, strict=False)
        assert words[0] in result.missing_keys + result.unexpected_keys
        return
    with pytest.raises(RuntimeError) as caught:
        model.load_state_dict(state, strict=strict)
    if strict or row != "all at once":
        for word in words:
            assert word in str(caught.value)
    assert_same_bits(model(x), want)


def test_load_state_dict_takes_mappings_only():
    for value in (None, [("a", 1)], 3):
        with pytest.raises(TypeError, match="state_dict"):
            Model().load_state_dict(value)


# ---------------------------------------------------------------------------------------------------
# Settings
# ---------------------------------------------------------------------------------------------------
def test_bad_engine_settings():
    before = qrnn.backends.quantized.engine
    with pytest.raises(ValueError, match="nope"):
        qrnn.backends.quantized.engine = "nope"
    with pytest.raises(TypeError, match="engine"):
        qrnn.backends.quantized.engine = 3
    with pytest.raises(ValueError, match="nope"):
        qrnn.engine("nope")
    with pytest.raises(TypeError):
        qrnn.engine(None)
    assert qrnn.backends.quantized.engine == before


@pytest.mark.parametrize("seed", [-1, "text", 1.5])
def test_bad_seeds(seed):
    with pytest.raises((TypeError, ValueError)):
        qrnn.manual_seed(seed)


# ---------------------------------------------------------------------------------------------------
# Torch tensors
# ---------------------------------------------------------------------------------------------------
@needs_torch
@pytest.mark.filterwarnings("ignore")
def test_tensors_that_are_refused():
    import torch

    cell, x = make_cell("qrnn"), torch.zeros(2, 4)
    want = cell(x)
    for bad in (
        torch.zeros(2, 4, device="meta"),
        torch.zeros(2, 4, dtype=torch.complex64),
        torch.zeros(2, 4, dtype=torch.complex32),  # which NumPy lacks, as bfloat16
        torch.quantize_per_tensor(x, 0.1, 0, torch.qint8),
        x.to_sparse(),
    ):
        refused(lambda bad=bad: cell(bad), TypeError, INPUT)
        refused(lambda bad=bad: cell(x, bad), TypeError, HX)
    refused(lambda: cell(torch.zeros(2, 5)), RuntimeError, "input has inconsistent input_size: got 5, expected 4")
    assert torch.equal(cell(x), want)
