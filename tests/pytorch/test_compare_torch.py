"""compare with models of PyTorch, of torch.ao and of ours side by side: inputs, errors and bytes."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PYTORCH IS NOT INSTALLED: its models were not compared")

import qrnn
import qrnn.torch
from qrnn import nn

f32 = np.float32


class Theirs(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.readout = torch.nn.LSTM(4, 6), torch.nn.Linear(6, 3)

    def forward(self, x):
        return self.readout(self.rnn(x)[0])


class Ours(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.readout = nn.LSTM(4, 6), nn.Linear(6, 3)
        self.got = None

    def forward(self, x):
        self.got = type(x)
        return self.readout(self.rnn(x)[0])


@pytest.fixture
def models(quiet):
    torch.manual_seed(0)
    theirs, ours = Theirs().train(), Ours()
    ours.load_state_dict(theirs.state_dict())
    kinds = {torch.nn.LSTM, torch.nn.Linear}
    return {
        "torch": theirs,
        "torch.ao": torch.ao.quantization.quantize_dynamic(theirs, kinds),
        "qrnn.torch": qrnn.torch.quantize_dynamic(theirs),
        "qrnn": ours,
        "qrnn int8": qrnn.quantize_dynamic(ours),
    }


@pytest.mark.parametrize("kind", (np.asarray, torch.tensor))
def test_all_of_them_at_once(models, kind):
    x = np.random.default_rng(0).standard_normal((7, 5, 4), dtype=f32)
    report = qrnn.compare(models, [kind(x)], rounds=2)
    assert [row.name for row in report] == list(models)
    assert report.row("qrnn").error < 1e-6 and models["qrnn"].got is np.ndarray
    for name in ("torch.ao", "qrnn.torch", "qrnn int8"):
        assert 0 < report.row(name).error < 0.1
        assert [layer.name for layer in report.row(name).layers] == ["rnn", "readout"]
    assert report.row("qrnn.torch").error == pytest.approx(report.row("qrnn int8").error, rel=1e-6)
    assert report.facts["steps"] == 35 and report.facts["threads"]["torch"] == torch.get_num_threads()
    assert models["torch"].training and all(row.microseconds.median > 0 for row in report)


def test_bytes_are_those_of_codes_scales_and_biases(models):
    """Of an LSTM(4, 6) and a Linear(6, 3): by hand."""
    found = {
        name: qrnn.compare({name: model}, [torch.zeros(1, 1, 4)], rounds=0)[0].nbytes for name, model in models.items()
    }
    weights, biases = 24 * 4 + 24 * 6 + 3 * 6, 24 + 24 + 3
    assert found["torch"] == 4 * (weights + biases)
    assert found["torch.ao"] == weights + 4 * biases + 3 * 4, "a scale for each matrix"
    assert found["qrnn.torch"] == weights + 4 * biases + 4 * (24 + 24 + 3), "a scale for each row"
    assert found["qrnn int8"] == models["qrnn int8"].nbytes


def test_weights_of_another_type_than_int8_have_no_bytes(quiet, monkeypatch):
    monkeypatch.setattr(torch.backends.quantized, "engine", "fbgemm")  # onednn has no float16
    model = torch.ao.quantization.quantize_dynamic(Theirs(), {torch.nn.LSTM}, dtype=torch.float16)
    assert qrnn.compare({"half": model}, [torch.zeros(2, 1, 4)], rounds=0)[0].nbytes is None
