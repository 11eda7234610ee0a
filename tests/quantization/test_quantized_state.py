"""The state of quantized modules: state_dict, files, copies, pickles."""

from __future__ import annotations

import copy
import io
import pickle
import warnings

import numpy as np
import pytest
import support
from support import assert_same_bits, needs_torch
from support.quantized_cells import inputs_of
from support.reference import ENGINES

import qrnn
from qrnn import nn
from qrnn.nn.quantized import dynamic as qd

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning:torch")


f32 = np.float32
PER_CHANNEL = qrnn.quantization.per_channel_dynamic_qconfig
PER_TENSOR = qrnn.quantization.default_dynamic_qconfig


# ---------------------------------------------------------------------------------------------------
# Saving and copying
# ---------------------------------------------------------------------------------------------------
def variants():
    for engine in ENGINES:
        for qconfig in (PER_TENSOR, PER_CHANNEL):
            for bias in (True, False):
                cell = nn.RNNCell(9, 6, bias=bias, nonlinearity="relu" if bias else "tanh")
                cell.qconfig = qconfig
                yield qd.RNNCell.from_float(cell, engine=engine)


def test_state_dict_is_plain():
    cell = qd.RNNCell(4, 3)
    state = cell.state_dict()
    assert {k: (v.dtype.name, v.shape) for k, v in state.items()} == {
        "weight_ih": ("int8", (3, 4)),
        "weight_ih_scale": ("float32", (3,)),
        "weight_hh": ("int8", (3, 3)),
        "weight_hh_scale": ("float32", (3,)),
        "bias_ih": ("float32", (3,)),
        "bias_hh": ("float32", (3,)),
        "format": ("uint8", state["format"].shape),
    }
    assert qd.RNNCell(4, 3, engine="fbgemm").state_dict()["weight_ih_scale"].shape == ()
    assert set(qd.Linear(4, 3).state_dict()) == {"weight", "weight_scale", "bias", "format"}
    state["weight_ih"][:] = 0
    assert (cell.state_dict()["weight_ih"] != 0).any()


def test_state_dict_through_npz():
    """Also from per tensor to a module that was per channel and back: the scale's shape comes along.

    Without the format, which names it, the codes go into a layer of another engine.
    """
    for cell in variants():
        x, h = inputs_of(cell)
        file = io.BytesIO()
        np.savez(file, **cell.state_dict())
        file.seek(0)
        for engine in {cell.engine, "qrnn"}:
            new = qd.RNNCell(9, 6, cell.bias, cell.nonlinearity, engine=engine)
            with np.load(file) as stored, warnings.catch_warnings():
                warnings.simplefilter("error" if engine == cell.engine else "ignore")
                skipped = () if engine == cell.engine else ("format",)
                new.load_state_dict({name: stored[name] for name in stored if name not in skipped})
            file.seek(0)
            for name, value in cell.state_dict().items():
                if name == "format":
                    continue
                got = new.state_dict()[name]
                assert got.dtype == value.dtype and got.shape == value.shape
                np.testing.assert_array_equal(got, value)
            if engine == cell.engine:
                assert_same_bits(new(x, h), cell(x, h))


def test_one_row_keeps_the_scales_shape():
    """With one output row per tensor and per channel are one number, but not one shape."""
    for shape in ((), (1,)):
        cell = qd.RNNCell(4, 1)
        state = cell.state_dict()
        state["weight_ih_scale"] = np.full(shape, 0.5, f32)
        cell.load_state_dict(state)
        assert cell.state_dict()["weight_ih_scale"].shape == shape
        for new in (copy.deepcopy(cell), pickle.loads(pickle.dumps(cell)), copy.copy(cell)):
            assert new.state_dict()["weight_ih_scale"].shape == shape


@pytest.mark.parametrize(
    "duplicate",
    [
        copy.copy,
        copy.deepcopy,
        lambda m: pickle.loads(pickle.dumps(m)),
        lambda m: pickle.loads(pickle.dumps(m, 2)),
    ],
)
def test_copies_have_the_same_bits(duplicate):
    for cell in variants():
        cell.eval()
        cell.note = ["kept"]
        new = duplicate(cell)
        x, h = inputs_of(cell)
        assert_same_bits(new(x, h), cell(x, h))
        assert new.engine == cell.engine and new.training is False and new.note == ["kept"]
        assert repr(new) == repr(cell)


def test_pickle_keeps_no_instruction_set():
    """A pickle may travel to another CPU."""
    scalar = qd.RNNCell(4, 3, isa="scalar")
    text = pickle.dumps(scalar)
    assert b"scalar" not in text
    new = pickle.loads(text)
    assert new.isa == qd.RNNCell(4, 3).isa
    x, h = inputs_of(scalar)
    assert_same_bits(new(x, h), scalar(x, h))


def test_copies_share_what_is_packed_but_not_what_comes_later():
    cell = qd.RNNCell(4, 3)
    new = copy.deepcopy(cell)
    x, h = inputs_of(cell)
    want = cell(x, h)
    cell.bias_ih = np.full(3, 9, f32)
    assert_same_bits(new(x, h), want)
    assert not support.same_bits(cell(x, h), want)


@needs_torch
def test_state_dict_takes_torch_values():
    import torch

    cell, new = qd.RNNCell(4, 3), qd.RNNCell(4, 3)
    new.load_state_dict({k: torch.from_numpy(v) for k, v in cell.state_dict().items()})
    x, h = inputs_of(cell)
    assert_same_bits(new(x, h), cell(x, h))
