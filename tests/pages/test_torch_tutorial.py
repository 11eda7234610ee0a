"""The tutorial's program with its one changed line, and the programs that train on real data."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys

import pytest
import support
from support.torch_models import torch

PROGRAM = """
import torch
import torch.nn as nn
import qrnn.torch as qnn

class MyModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn_cell = qnn.quantized.dynamic.RNNCell(input_size=10, hidden_size=20)
    def forward(self, input):
        return self.rnn_cell(input)

model = MyModel()
qnn.prepare(model, qconfig={})
BETWEEN
qnn.convert(model)
print(model(torch.randn(1, 10)))
assert type(model.rnn_cell) is qnn.quantized.dynamic.RNNCell
"""

TRAINING = """
before = qnn.convert(model, inplace=False)
optimiser = torch.optim.SGD(model.parameters(), 0.1)
x, y = torch.randn(64, 10), torch.rand(64, 20) - 0.5
losses = []
for _ in range(30):
    optimiser.zero_grad()
    loss = (model(x) - y).square().mean()
    loss.backward()
    optimiser.step()
    losses.append(loss.item())
assert losses[-1] < losses[0]
assert (qnn.convert(model, inplace=False)(x) - y).square().mean() < (before(x) - y).square().mean()
"""

needs_data = pytest.mark.skipif(
    importlib.util.find_spec("sklearn") is None,
    reason="SCIKIT-LEARN IS NOT INSTALLED: the programs that train on its digits were not run",
)


@pytest.mark.parametrize("between", ["", TRAINING])
def test_it_runs(between):
    """In a process of its own, with every warning an error."""
    text = support.run_python(PROGRAM.replace("BETWEEN", between), PYTHONWARNINGS="error")
    assert text.startswith("tensor([[") and text.count(".") >= 20


def test_it_leaves_an_untrained_model_as_it_was():
    between = "before = qnn.convert(model, inplace=False).state_dict()\n"
    after = "assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())\n"
    support.run_python(PROGRAM.replace("BETWEEN", between) + after)


def test_import_qrnn_does_as_well():
    """``import qrnn as qnn``: its quantized cell is no torch module, but prepare and convert take torch models."""
    support.run_python(
        PROGRAM.replace("import qrnn.torch as qnn", "import qrnn, qrnn.torch\nqnn = qrnn.torch")
        .replace("qnn.prepare", "qrnn.prepare")
        .replace("qnn.convert", "qrnn.convert")
        .replace("BETWEEN", "")
    )


@pytest.fixture
def example(monkeypatch):
    """Imports a program of examples/."""
    monkeypatch.syspath_prepend(str(support.ROOT / "examples"))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if "examples" in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@needs_data
def test_the_loss_falls_on_real_data(example, capsys):
    example("tutorial_torch").main()
    text = capsys.readouterr().out
    losses = [float(number) for number in re.findall(r"loss ([\d.]+)", text)]
    assert len(losses) == 6 and losses[4] < losses[0] / 3
    assert losses[5] < losses[0] / 3, "the converted model has learnt as much"
    assert "DynamicQuantizedRNNCell(10, 20)" in text and "tensor([[" in text


@needs_data
def test_training_gets_accuracy_back(example):
    """One epoch of the five: the loss on held-back digits, between converted and float."""
    torch.manual_seed(0)
    results = example("qat").compare(epochs=1)
    losses = {name: loss for name, (_, loss) in results.items()}
    support.report("quantization-aware training, one epoch", f"held-back loss: {losses}")
    assert losses["converted"] > 1.3 * losses["float32"], "8 bits hurt"
    assert losses["converted after aware training"] < losses["converted"]
    assert losses["converted after aware training"] < losses["converted after float training"]
