"""qrnn.torch without torch.ao, whose removal PyTorch announces: nothing of ours imports it."""

from __future__ import annotations

import pytest
import support

pytest.importorskip("torch", reason="PYTORCH IS NOT INSTALLED: qrnn.torch was not tested without torch.ao")

#: Removes what PyTorch itself imported of torch.ao, and refuses to import it again.
REMOVED = """
import sys, torch

class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name == "torch.ao" or name.startswith("torch.ao."):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refusing())
for name in [name for name in sys.modules if name == "torch.ao" or name.startswith("torch.ao.")]:
    del sys.modules[name]
del torch.ao
"""

WORK = """
import copy, io, torch, qrnn, qrnn.torch as qt
try:
    import torch.ao.quantization
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("torch.ao is there")

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.rnn, self.head = torch.nn.GRUCell(4, 8), torch.nn.LSTM(8, 8, 2), torch.nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.rnn(torch.stack([self.cell(step) for step in x]))[0])

model, x = Model(), torch.randn(5, 3, 4)
for engine in ("qrnn", "fbgemm", "qnnpack"):
    new = qt.quantize_dynamic(model, {torch.nn.LSTM, "head"}, engine=engine)
    assert type(new.rnn) is qt.LSTM and new(x).shape == (5, 3, 2)
    qt.quantize_(copy.deepcopy(model), qt.DynamicConfig(engine))
ready = qt.prepare(model, qconfig={}, inplace=False)
ready(x).sum().backward()
new = qt.convert(ready)
file = io.BytesIO()
torch.save(new.state_dict(), file)
file.seek(0)
other = qt.quantize_dynamic(Model())
other.load_state_dict(torch.load(file))
assert torch.equal(other(x), new(x))
assert torch.equal(qt.from_torch_ao(new)(x), new(x))
assert qrnn.quantize_dynamic(model)(x).shape == (5, 3, 2)
"""


def test_everything_but_what_compares_with_it():
    support.run_python(REMOVED + WORK)
