"""from_float of single torch.nn modules, and ideas of PyTorch's own tests."""

from __future__ import annotations

import numpy as np
import pytest
import support
from support import assert_same_bits, needs_torch, random_rows
from support import reference as ref
from support.quantized_cells import inputs_of
from support.reference import ENGINES

from qrnn import nn
from qrnn.nn.quantized import dynamic as qd

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning:torch")


f32 = np.float32


# ---------------------------------------------------------------------------------------------------
# Single torch.nn modules
# ---------------------------------------------------------------------------------------------------
@needs_torch
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_from_float_of_torch_modules(engine, dtype):
    """As from the qrnn.nn module with the same weights."""
    import torch

    dtype = getattr(torch, dtype)
    for bias in (True, False):
        theirs = torch.nn.RNNCell(6, 5, bias=bias, nonlinearity="relu").to(dtype).eval()
        ours = nn.RNNCell(6, 5, bias=bias, nonlinearity="relu")
        ours.load_state_dict(theirs.state_dict())
        a, b = qd.RNNCell.from_float(theirs, engine=engine), qd.RNNCell.from_float(ours, engine=engine)
        assert repr(a) == repr(b) and a.training is False
        x, h = inputs_of(a)
        assert_same_bits(a(x, h), b(x, h))
    linear = torch.nn.Linear(6, 5).to(dtype)
    ours = nn.Linear(6, 5)
    ours.load_state_dict(linear.state_dict())
    x = np.ones((2, 6), f32)
    assert_same_bits(qd.Linear.from_float(linear, engine=engine)(x), qd.Linear.from_float(ours, engine=engine)(x))


@needs_torch
def test_from_float_of_other_torch_modules():
    import torch

    class Plain(torch.nn.RNNCell):
        pass

    class Own(torch.nn.RNNCell):
        def forward(self, *args):
            return super().forward(*args)

    assert type(qd.RNNCell.from_float(Plain(4, 3))) is qd.RNNCell
    for bad in (
        Own(4, 3),
        torch.nn.LSTMCell(4, 3),
        torch.nn.Linear(4, 3),
        torch.nn.Sequential(torch.nn.RNNCell(4, 3)),
    ):
        with pytest.raises(TypeError, match="mod"):
            qd.RNNCell.from_float(bad)
    cell = torch.nn.RNNCell(4, 3)
    with torch.no_grad():
        cell.weight_hh[0, 0] = float("nan")
    with pytest.raises(ValueError, match="weight_hh"):
        qd.RNNCell.from_float(cell)


@needs_torch
def test_from_float_with_torchs_qconfigs():
    """torch.ao's own QConfigs and observers: its codes and scales."""
    import torch
    import torch.ao.quantization as tq

    for qconfig, per_channel in ((tq.default_dynamic_qconfig, False), (tq.per_channel_dynamic_qconfig, True)):
        cell = torch.nn.RNNCell(6, 5)
        cell.qconfig = qconfig
        for engine in ENGINES:
            got = qd.RNNCell.from_float(cell, engine=engine).get_weight()["weight_ih"]
            want = ref.weight_torch(cell.weight_ih.detach().numpy(), per_channel)
            np.testing.assert_array_equal(got.int_repr(), want.codes)


@needs_torch
def test_from_float_does_not_alias_torchs_parameters():
    """PyTorch's onednn does: editing the float bias there changes the quantized module."""
    import torch

    cell = torch.nn.RNNCell(4, 3)
    q = qd.RNNCell.from_float(cell, engine="onednn")
    x, h = inputs_of(q)
    want = q(x, h)
    with torch.no_grad():
        cell.bias_ih.add_(100)
        cell.weight_ih.zero_()
    assert_same_bits(q(x, h), want)


# ---------------------------------------------------------------------------------------------------
# Ideas of PyTorch's own tests
# ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("per_channel", [False, True])
def test_inputs_on_the_grid_are_lossless(engine, per_channel):
    """Inputs that already lie on the activation's grid: the cell equals the float cell of its weights."""
    rng = np.random.default_rng(92)
    for batch, inputs, hidden, nonlinearity in ((1, 16, 4, "relu"), (4, 32, 8, "tanh"), (3, 20, 5, "relu")):
        cell = support.random_cell(rng, engine, nonlinearity, inputs, hidden, per_channel=per_channel)
        grid = []
        for n in (inputs, hidden):
            act = ref.activation(engine, random_rows(rng, batch, n))
            v = (act.codes.astype(f32) - act.zero_point[:, None]) * act.scale[:, None]
            grid.append(v)
        got = support.pack(cell)(*grid)
        want = ref.cell_float64(
            nonlinearity, *grid, cell.ih.dequantize(), cell.hh.dequantize(), cell.bias_ih, cell.bias_hh
        )
        np.testing.assert_allclose(got, want, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_ranges_of_exactly_255(engine):
    """Weights and inputs between -155 and 100: nothing is rounded with 8 bits, and nearly nothing with 7.

    Powers of two make scales exact, so the quantized cell must give the float cell's values.
    """
    cell = nn.RNNCell(2, 2, nonlinearity="relu")
    cell.weight_ih = np.array([[127, -64], [-32, 127]], f32) / 128
    cell.weight_hh = np.array([[127, 1], [2, -127]], f32) / 128
    cell.bias_ih, cell.bias_hh = [0.5, -0.5], [0.25, 0.125]
    q = qd.RNNCell.from_float(cell, engine=engine)
    x = np.array([[100, -155], [-155, 100], [100, -155]], f32)
    tolerance = {"qrnn": 1e-3, "qnnpack": 1.5}.get(engine, 3)
    np.testing.assert_allclose(q(x), cell(x), atol=tolerance)


def test_sequential_calls_do_not_remember():
    """State belongs to the caller: the same call gives the same bits, whatever came between."""
    cell = qd.RNNCell(5, 4)
    x, h = inputs_of(cell)
    want = cell(x, h)
    for batch in (1, 70, 3):
        cell(*inputs_of(cell, batch, batch))
    assert_same_bits(cell(x, h), want)
