"""Helpers for the tests of ``qrnn.torch``: float modules of every kind, their inputs, comparisons of results."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from support import assert_same_bits
from support.reference import ENGINES, ROW_ENGINES

torch = pytest.importorskip("torch", reason="PYTORCH IS NOT INSTALLED: qrnn.torch was not tested")

if torch.backends.quantized.engine == "none":  # as on macOS, where torch.ao would fail to make a module
    torch.backends.quantized.engine = "qnnpack"

import qrnn.torch as qt  # noqa: F401 - others have it from here, where PyTorch was asked for first

I, H, P = 5, 8, 3

#: A float module of each kind, and whether it takes sequences.
KINDS = {
    "RNNCell": lambda **k: torch.nn.RNNCell(I, H, **k),
    "RNNCell-relu": lambda **k: torch.nn.RNNCell(I, H, nonlinearity="relu", **k),
    "LSTMCell": lambda **k: torch.nn.LSTMCell(I, H, **k),
    "GRUCell": lambda **k: torch.nn.GRUCell(I, H, **k),
    "Linear": lambda **k: torch.nn.Linear(I, H, **k),
    "RNN": lambda **k: torch.nn.RNN(I, H, **k),
    "RNN-relu": lambda **k: torch.nn.RNN(I, H, nonlinearity="relu", **k),
    "LSTM": lambda **k: torch.nn.LSTM(I, H, **k),
    "GRU": lambda **k: torch.nn.GRU(I, H, **k),
    "RNN-2": lambda **k: torch.nn.RNN(I, H, 2, bidirectional=True, **k),
    "LSTM-2": lambda **k: torch.nn.LSTM(I, H, 2, bidirectional=True, batch_first=True, **k),
    "GRU-2": lambda **k: torch.nn.GRU(I, H, 2, bidirectional=True, batch_first=True, **k),
    "LSTM-projected": lambda **k: torch.nn.LSTM(I, H, proj_size=P, **k),
    "LSTM-projected-2": lambda **k: torch.nn.LSTM(I, H, 2, proj_size=P, bidirectional=True, batch_first=True, **k),
}
CELLS = [name for name in KINDS if "Cell" in name]
LAYERS = [name for name in KINDS if "Cell" not in name and name != "Linear"]
#: The kinds that torch.ao quantizes too.
SHARED = [name for name in KINDS if not name.startswith("RNN-") and name != "RNN" and "projected" not in name]

each_kind = pytest.mark.parametrize("kind", KINDS)
each_cell = pytest.mark.parametrize("kind", CELLS)
each_layer = pytest.mark.parametrize("kind", LAYERS)
each_engine = pytest.mark.parametrize("engine", ENGINES)


def with_engines(kinds):
    """Pair each of `kinds` with each engine that supports it: PyTorch's engines have no projections."""
    pairs = [(kind, engine) for kind in kinds for engine in ENGINES if engine in ROW_ENGINES or "projected" not in kind]
    return pytest.mark.parametrize(("kind", "engine"), pairs)


each_kind_and_engine, each_layer_and_engine = with_engines(KINDS), with_engines(LAYERS)


def takes_batch_first(kind):
    return kind.endswith("-2") and not kind.startswith("RNN")


def make(kind, seed=0, **keywords):
    """A float module of `kind` in eval mode."""
    torch.manual_seed(seed)
    return KINDS[kind](**keywords).eval()


def inputs(kind, seed=1, batch=3, time=4):
    """(input, state) for a module of `kind`; Linear has no state."""
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape):
        return torch.randn(shape, generator=generator)

    if kind == "Linear":
        return (randn(batch, I),)
    if kind in CELLS:
        x, states = randn(batch, I), [randn(batch, H), randn(batch, H)]
    else:
        count = 4 if kind.endswith("-2") else 1
        x = randn(batch, time, I) if takes_batch_first(kind) else randn(time, batch, I)
        states = [randn(count, batch, P if "projected" in kind else H), randn(count, batch, H)]
    return x, tuple(states) if kind.startswith("LSTM") else states[0]


def flat(result):
    """The tensors of a result, in one list."""
    if isinstance(result, (tuple, list)):
        return [tensor for each in result for tensor in flat(each)]
    return [result]


def arrays(result):
    return [np.asarray(tensor.detach()) for tensor in flat(result)]


def assert_equal_results(got, want, what=""):
    """Check that both results have the same tensors, bit for bit."""
    got, want = arrays(got), arrays(want)
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        assert_same_bits(a, b, what)


def difference(got, want):
    """The largest absolute difference of two results."""
    pairs = zip(arrays(got), arrays(want), strict=True)
    return max((float(np.abs(a - b).max(initial=0)) for a, b in pairs), default=0.0)


def torch_ao(function, *args, **keywords):
    """Call torch.ao without the warning of its removal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **keywords)


class Holder(torch.nn.Module):
    """A model of one module: torch.ao converts children only."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, *args):
        return self.module(*args)


def ao_dynamic(kind, engine=None, per_channel=False, seed=0):
    """Make torch.ao's module of `kind` with PyTorch's `engine`, or its present one."""
    import torch.ao.quantization as tq

    if engine is not None:
        torch.backends.quantized.engine = engine
    mod = make(kind, seed)
    qconfig = tq.per_channel_dynamic_qconfig if per_channel else tq.default_dynamic_qconfig
    return torch_ao(tq.quantize_dynamic, Holder(mod), {type(mod): qconfig}).module
