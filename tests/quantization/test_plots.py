"""qrnn.plots: what is drawn of codes, errors and states, against the same written anew."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="MATPLOTLIB IS NOT INSTALLED: no picture was drawn")

import qrnn
from qrnn import nn

f32 = np.float32


class Steps(nn.Module):
    """A cell step by step, and a layer over the steps, batch first."""

    def __init__(self):
        super().__init__()
        self.cell, self.rnn, self.readout = nn.LSTMCell(4, 6), nn.GRU(6, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, x):
        state, outputs = None, []
        for step in x.swapaxes(0, 1):
            state = self.cell(step, state)
            outputs.append(state[0])
        return self.readout(self.rnn(np.stack(outputs, axis=1))[0])


def image(axes):
    return axes.images[0].get_array()


def test_codes_and_their_errors():
    qrnn.manual_seed(0)
    layer = nn.Linear(60, 40)
    weight = qrnn.quantize_dynamic(layer).get_weight()["weight"]
    codes, errors = qrnn.plots.codes(weight, layer.weight).axes
    heights = [bar.get_height() for bar in codes.patches]
    np.testing.assert_array_equal(heights, [(weight.int_repr() == code).sum() for code in range(-128, 128)])
    steps = weight.int_repr() - layer.weight.astype(float) / weight.q_per_channel_scales()[:, None]
    assert f"rms {np.sqrt((steps**2).mean()):.3f} of a step" in errors.get_title()
    assert sum(bar.get_height() for bar in errors.patches) == 2400
    assert len(qrnn.plots.codes(qrnn.QTensor(np.int8([[1]]), f32(0.5)), [[0.6]], dark=True).axes) == 2
    assert len(qrnn.plots.codes(weight).axes) == 1


@pytest.mark.parametrize("row", (0, 2))
def test_states_over_time(row):
    qrnn.manual_seed(0)
    model, x = Steps(), np.random.default_rng(0).standard_normal((3, 7, 4), dtype=f32)
    quantized = qrnn.quantize_dynamic(model)
    page = qrnn.plots.states(model, x, beside=quantized, row=row)
    found = [axes for axes in page.axes if axes.images and axes.get_title()]
    assert [axes.get_title() for axes in found] == [
        "cell: output of each unit", "cell: difference", "rnn: output of each unit", "rnn: difference",
    ]  # fmt: skip

    def outputs(model):
        state, steps = None, []
        for step in x.swapaxes(0, 1):
            state = model.cell(step, state)
            steps.append(state[0])
        return np.array(steps)[:, row], model.rnn(np.stack(steps, axis=1))[0][row]

    for place, (exact, rough) in enumerate(zip(outputs(model), outputs(quantized), strict=True)):
        np.testing.assert_allclose(image(found[2 * place]), exact.T)
        np.testing.assert_allclose(image(found[2 * place + 1]), (rough.astype(float) - exact).T, atol=1e-12)


def test_an_input_without_a_batch():
    layer, x = nn.GRU(4, 6), np.ones((7, 4), f32)
    np.testing.assert_allclose(image(qrnn.plots.states(layer, x).axes[0]), layer(x)[0].T)


@pytest.mark.parametrize(
    "call, error, text",
    [
        (lambda: qrnn.plots.codes(np.ones((2, 2))), TypeError, "weight: expected a QTensor, got ndarray"),
        (
            lambda: qrnn.plots.codes(qrnn.QTensor(np.int8([[1]]), 1.0), np.ones((2, 2))),
            ValueError,
            "original: expected s",
        ),
        (lambda: qrnn.plots.states(np.sin, np.ones((2, 2))), TypeError, "model: expected a qrnn.nn.Module or"),
        (lambda: qrnn.plots.states(nn.Linear(2, 2), np.ones((2, 2))), ValueError, "model: expected recurrent layers"),
        (lambda: qrnn.plots.states(nn.GRU(2, 2), np.ones((3, 1, 2)), row=1), ValueError, "row: expected less than 1"),
        (
            lambda: qrnn.plots.states(nn.GRU(2, 2), np.ones((3, 1, 2)), beside=nn.GRU(2, 4)),
            ValueError,
            r"beside: expected a layer '' that gives \(3, 2\)",
        ),
    ],
)
def test_mistakes(call, error, text):
    with pytest.raises(error, match=text):
        call()
