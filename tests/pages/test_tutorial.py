"""The tutorial's program that this project started from, in its NumPy form."""

from __future__ import annotations

import support
from support import run_python

PROGRAM = """
import numpy as np
import qrnn as qnn
import qrnn.nn as nn

class MyModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn_cell = qnn.quantized.dynamic.RNNCell(input_size=10, hidden_size=20)
    def forward(self, input):
        return self.rnn_cell(input)

model = MyModel()
qnn.prepare(model, qconfig={})
{between}
qnn.convert(model)
result = model(np.random.default_rng(0).standard_normal((1, 10)).astype(np.float32))
print(result)
assert result.shape == (1, 20) and result.dtype == np.float32 and np.abs(result).max() <= 1
assert type(model.rnn_cell) is qnn.quantized.dynamic.RNNCell, model
{after}
"""


def program(between="", after=""):
    return PROGRAM.replace("{between}", between).replace("{after}", after)


def test_it_runs():
    """In a process of its own, with every warning an error, and prints an array of 1 x 20."""
    text = run_python(program(), PYTHONWARNINGS="error")
    assert text.startswith("[[") and text.count(".") >= 20


def test_it_runs_with_calibration_and_training_between():
    between = (
        "for _ in range(3):\n"
        "    model(np.ones((4, 10)))\n"
        "model.rnn_cell.weight_ih = 0.5 * model.rnn_cell.weight_ih\n"
        "trained = np.array(model.rnn_cell.weight_ih)\n"
    )
    after = (
        "got = model.rnn_cell.get_weight()['weight_ih']\n"
        "step = got.q_per_channel_scales()[:, None]\n"
        "assert (abs(got.dequantize() - trained) <= 0.5001 * step).all()\n"
    )
    run_python(program(between, after))


def test_it_leaves_an_untrained_model_as_it_was():
    between = "before = qnn.convert(model, inplace=False).state_dict()\n"
    after = "assert all((v == before[k]).all() for k, v in model.state_dict().items())\n"
    run_python(program(between, after))


def test_it_runs_on_every_engine_and_instruction_set():
    import qrnn

    for isa in qrnn.isas():
        after = f"assert model.rnn_cell.isa == {isa!r}"
        run_python(program(after=after), QRNN_ISA=isa)
        support.exercised.add(isa)
    for engine in qrnn.backends.quantized.supported_engines:
        text = program(after=f"assert model.rnn_cell.engine == {engine!r}")
        run_python(text.replace("model = MyModel()", f"qnn.backends.quantized.engine = {engine!r}\nmodel = MyModel()"))
