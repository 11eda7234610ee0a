"""The text is written once: whoever refuses what an engine lacks says the same."""

import pytest

import qrnn
from qrnn import nn

TEXT = "proj_size: expected 0 with engine 'fbgemm': PyTorch does without it, but engine 'qrnn' has it$"


@pytest.mark.parametrize(
    "way",
    [
        lambda: qrnn.LSTM(4, 3, proj_size=2, engine="fbgemm"),
        lambda: qrnn.LSTM.from_float(nn.LSTM(4, 3, proj_size=2), engine="fbgemm"),
        lambda: qrnn.quantize_dynamic(nn.Sequential(nn.LSTM(4, 3, proj_size=2)), engine="fbgemm"),
        lambda: qrnn.prepare(nn.Sequential(nn.LSTM(4, 3, proj_size=2)), qconfig={}, engine="fbgemm"),
    ],
)
def test_every_way_says_it(way):
    with pytest.raises(ValueError, match=TEXT):
        way()


def test_layers_of_torch_say_it():
    torch = pytest.importorskip("torch", reason="PYTORCH IS NOT INSTALLED: its layers were not asked")
    import qrnn.torch

    with pytest.raises(ValueError, match=TEXT):
        qrnn.torch.quantize_dynamic(torch.nn.Sequential(torch.nn.LSTM(4, 3, proj_size=2)), engine="fbgemm")
