"""Peephole and normalized LSTM beside PyTorch scripts of them, in float and, by their error, in int8."""

from __future__ import annotations

import numpy as np
import pytest
from support.reference_options import units_of
from support.reference_sequence import run

import qrnn
from qrnn import nn

torch = pytest.importorskip("torch")
f32 = np.float32


@torch.jit.script
def lstm_steps(x, w_ih, w_hh, bias, peepholes, gain, shift, normalized: bool, epsilon: float):
    """All steps of an LSTM: with peepholes, or with each gate normalized over its units."""
    hidden = w_hh.shape[1]
    h, c = torch.zeros(x.shape[1], hidden, dtype=x.dtype), torch.zeros(x.shape[1], hidden, dtype=x.dtype)
    outputs = []
    for t in range(x.shape[0]):
        i, f, g, o = (x[t] @ w_ih.t() + h @ w_hh.t() + bias).chunk(4, 1)
        if normalized:
            i = torch.nn.functional.layer_norm(i, (hidden,), gain[0], shift[0], epsilon)
            f = torch.nn.functional.layer_norm(f, (hidden,), gain[1], shift[1], epsilon)
            g = torch.nn.functional.layer_norm(g, (hidden,), gain[2], shift[2], epsilon)
            o = torch.nn.functional.layer_norm(o, (hidden,), gain[3], shift[3], epsilon)
        i, f = torch.sigmoid(i + peepholes[0] * c), torch.sigmoid(f + peepholes[1] * c)
        c = f * c + i * torch.tanh(g)
        h = torch.sigmoid(o + peepholes[2] * c) * torch.tanh(c)
        outputs.append(h)
    return torch.stack(outputs)


def made(**options):
    qrnn.manual_seed(4)
    layer, rng = nn.LSTM(12, 32, **options), np.random.default_rng(9)
    for each in layer._spec.matrices:
        if not each.multiplies:
            setattr(layer, each.weight, rng.uniform(0.2, 1.1, each.shape))
    return layer


@pytest.mark.parametrize("options", ({"peepholes": True}, {"layer_norm": True}), ids=("peepholes", "normalized"))
def test_a_script_of_it_and_float64(options):
    layer = made(**options)
    x = np.random.default_rng(3).standard_normal((25, 4, 12)).astype(f32)
    exact, _ = run(units_of(layer, "float64"), x)
    normalized = "layer_norm" in options
    peepholes = np.zeros((3, 32), f32) if normalized else layer.weight_ch_l0
    gain, shift = (layer.weight_ln_l0, layer.bias_ln_l0) if normalized else (np.ones((4, 32), f32),) * 2
    arrays = x, layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0 + layer.bias_hh_l0, peepholes, gain, shift
    scripted = lstm_steps(*(torch.tensor(np.array(each)) for each in arrays), normalized, 1e-5).numpy()
    output = layer(x)[0]
    np.testing.assert_allclose(output, exact, rtol=0, atol=2e-6)
    np.testing.assert_allclose(output, scripted, rtol=0, atol=4e-6)


@pytest.mark.parametrize(
    "options",
    (
        {"peepholes": True},
        {"layer_norm": True},
        {"input_forget": True},
        {"clip": 1.0, "cell_clip": 1.0},
        {"activations": (("hard_sigmoid", 0.2, 0.5), "tanh", "tanh")},
        {"activations": ("sigmoid", "softsign", "softsign")},
    ),
    ids=str,
)
def test_the_error_of_int8_is_near_that_of_the_plain_kind(options):
    x = np.random.default_rng(5).standard_normal((40, 16, 12)).astype(f32)

    def error(layer):
        exact, _ = run(units_of(layer, "float64"), x)
        return np.sqrt(np.mean((qrnn.quantize_dynamic(layer)(x)[0] - exact) ** 2) / np.mean(exact**2))

    assert error(made(**options)) < 2.5 * error(made())
