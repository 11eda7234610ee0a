"""Texts and trees of modules beside torch.nn's."""

from __future__ import annotations

import numpy as np
import pytest
from support import assert_same_bits, needs_torch
from support.nn_models import Inner

from qrnn import nn

f32 = np.float32


# ---------------------------------------------------------------------------------------------------
# Beside torch.nn
# ---------------------------------------------------------------------------------------------------
REPRS = """
nn.RNNCell(4, 3)
nn.RNNCell(4, 3, bias=False)
nn.RNNCell(4, 3, nonlinearity="relu")
nn.RNNCell(4, 3, bias=False, nonlinearity="relu")
nn.Linear(4, 3)
nn.Linear(4, 3, bias=False)
nn.ReLU()
nn.ReLU(inplace=True)
nn.Tanh()
nn.Sigmoid()
nn.Dropout(0.2)
nn.Dropout(p=0.5, inplace=True)
nn.Identity()
nn.Sequential()
nn.Sequential(nn.Linear(4, 3), nn.ReLU())
nn.ModuleList([nn.Linear(4, 3), nn.Linear(4, 3), nn.Tanh(), nn.RNNCell(3, 3)])
nn.ModuleList([nn.Sequential(nn.Linear(4, 3), nn.Tanh()) for _ in range(3)])
nn.ModuleList()
nn.Sequential(nn.ModuleList([nn.Sequential(nn.RNNCell(1, 1))]), nn.Sequential(nn.Tanh()))
""".strip().splitlines()


@needs_torch
@pytest.mark.parametrize("text", REPRS)
def test_repr_is_torchs(text):
    import torch

    assert repr(eval(text, {"nn": nn})) == repr(eval(text, {"nn": torch.nn}))


def test_repr():
    assert repr(Inner()) == "Inner(\n  (cell): RNNCell(4, 3)\n  (act): ReLU()\n)"

    class Extra(nn.Module):
        def extra_repr(self):
            return "a=1"

    assert repr(Extra()) == "Extra(a=1)"


@needs_torch
def test_same_tree_as_torch():
    """Names of modules and of state entries, in torch's order; each loads the other's state."""
    import torch

    def build(nn):
        return nn.Sequential(
            nn.ModuleList([nn.Linear(4, 3, bias=False), nn.RNNCell(3, 2)]),
            nn.Sequential(nn.RNNCell(2, 2, bias=False)),
        )

    ours, theirs = build(nn), build(torch.nn)
    assert [n for n, _ in ours.named_modules()] == [n for n, _ in theirs.named_modules()]
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    for name, value in ours.state_dict().items():
        assert_same_bits(value, theirs.state_dict()[name].numpy())
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in build(nn).state_dict().items()})


@needs_torch
def test_load_errors_name_what_torchs_name():
    import torch

    state = {"weight_ih": np.zeros((3, 4), f32), "bias_ih": np.zeros(5, f32), "other": np.zeros(1, f32)}
    with pytest.raises(RuntimeError) as ours:
        nn.RNNCell(4, 3).load_state_dict(state)
    with pytest.raises(RuntimeError) as theirs:
        torch.nn.RNNCell(4, 3).load_state_dict({k: torch.from_numpy(v) for k, v in state.items()})
    for word in (
        "weight_hh",
        "bias_hh",
        "bias_ih",
        "other",
        "Missing key(s)",
        "Unexpected key(s)",
        "size mismatch",
    ):
        assert word in str(theirs.value) and word in str(ours.value)


def test_containers_lose_no_child():
    layers = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Tanh())
    setattr(layers, "0", None)
    layers.append(nn.Sigmoid())
    assert [type(layer) for layer in layers] == [nn.ReLU, nn.Tanh, nn.Sigmoid]
    for wrong in (4, -4):
        with pytest.raises(IndexError, match=f"Index out of range: {wrong}"):
            layers.insert(wrong, nn.ReLU())
