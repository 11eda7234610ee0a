"""What a user adds to a torch layer: members of a subclass, and attributes of an instance."""

from __future__ import annotations

import pytest
from support.torch_models import difference, torch
from torch import nn

import qrnn.torch as qt

X = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0))


class Starting(nn.GRU):
    """Has a method and a parameter, and no forward."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.h0 = nn.Parameter(torch.randn(1, 1, self.hidden_size))

    def start(self, rows):
        return self.h0.expand(-1, rows, -1).contiguous()


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = Starting(4, 8)

    def forward(self, x):
        return self.rnn(x, self.rnn.start(x.size(1)))[0]


@pytest.mark.xfail(strict=True, reason="the subclass is replaced by the plain quantized class")
@pytest.mark.parametrize("change", [qt.quantize_dynamic, lambda model: qt.prepare(model, qconfig={}, inplace=False)])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_methods_of_a_subclass_are_not_lost(change):
    model = Model().eval()
    assert difference(change(model)(X), model(X)) < 0.05
