"""What type checkers say of a user's program: what calls and conversions return, and which keywords are misspelt."""

from __future__ import annotations

import pytest
from support.type_checkers import CHECKERS, check

HEAD = """
from collections.abc import Callable
from typing import Any
import numpy as np
from numpy.typing import NDArray
import qrnn
from qrnn import nn

Array = NDArray[np.float32]
x = np.zeros((2, 4), np.float32)
h = np.zeros((2, 3), np.float32)
steps = np.zeros((5, 2, 4), np.float32)
"""

CALLS = """
reveal_type(nn.Linear(4, 3)(x))  # -> Array
reveal_type(qrnn.Linear(4, 3)([[1, 2, 3, 4]]))  # -> Array
reveal_type(qrnn.Linear(4, 3)(x, out=h))  # -> Array
reveal_type(nn.RNNCell(4, 3)(x))  # -> Array
reveal_type(qrnn.RNNCell(4, 3)(x, h, out=h))  # -> Array
reveal_type(nn.GRUCell(4, 3)(input=x, hx=h))  # -> Array
reveal_type(qrnn.GRUCell(4, 3).forward(x))  # -> Array
reveal_type(nn.LSTMCell(4, 3)(x))  # -> tuple[Array, Array]
reveal_type(qrnn.LSTMCell(4, 3)(x, (h, h), out=(h, h)))  # -> tuple[Array, Array]
reveal_type(nn.RNN(4, 3)(steps, lengths=[5, 2]))  # -> tuple[Array, Array]
reveal_type(qrnn.RNN(4, 3)(steps, lengths=np.array([5, 2])))  # -> tuple[Array, Array]
reveal_type(nn.GRU(4, 3)(steps, out=steps))  # -> tuple[Array, Array]
reveal_type(qrnn.GRU(4, 3)(steps, steps, out=(steps, steps)))  # -> tuple[Array, Array]
reveal_type(nn.LSTM(4, 3, batch_first=True)(steps))  # -> tuple[Array, tuple[Array, Array]]
reveal_type(qrnn.LSTM(4, 3)(steps, (h, h), out=(steps, (h, h))))  # -> tuple[Array, tuple[Array, Array]]
reveal_type(qrnn.LSTM(4, 3).forward(steps))  # -> tuple[Array, tuple[Array, Array]]
reveal_type(nn.ReLU()(x))  # -> Array
reveal_type(nn.Tanh()([0.5]))  # -> Array
reveal_type(nn.Sigmoid().forward(x))  # -> Array
reveal_type(nn.Dropout(0.1)(h))  # -> Array
reveal_type(nn.Identity()("as it is"))  # -> str
reveal_type(nn.Softmax(-1)(x))  # -> Array
reveal_type(nn.LeakyReLU()(x))  # -> Array
reveal_type(nn.LayerNorm(4)([[0.5] * 4]))  # -> Array
reveal_type(nn.BatchNorm1d(4)(x))  # -> Array
reveal_type(nn.Conv1d(4, 3, 2, padding="causal").forward(steps))  # -> Array
reveal_type(nn.Embedding(9, 3)([1, 2]))  # -> Array
reveal_type(nn.Flatten()(steps))  # -> Array
reveal_type(nn.Sequential(nn.Flatten(), nn.Softmax(-1))(steps))  # -> Array
reveal_type(nn.ModuleDict({"a": nn.GRUCell(4, 3)})["a"](x))  # -> Array

class Mine(nn.GRU):
    pass

reveal_type(Mine(4, 3)(steps))  # -> tuple[Array, Array]

def twice(layer: Callable[[Array], Array]) -> Array:
    return layer(layer(h))

reveal_type(twice(nn.Linear(3, 3)))  # -> Array
twice(nn.Tanh())
twice(nn.Sequential(nn.Linear(3, 3)))
twice(nn.LSTM(3, 3))  # wrong

nn.GRU(4, 3, num_layer=2)  # wrong
qrnn.GRU(4, 3, batchfirst=True)  # wrong
nn.ReLU(in_place=True)  # wrong
qrnn.Linear(4, 3, bias=False)  # wrong
nn.Linear(4, 3)(x, h)  # wrong
nn.GRUCell(4, 3)(x, state=h)  # wrong
qrnn.GRUCell(4, 3)(x, lengths=[2])  # wrong
nn.GRU(4, 3)(steps, length=[5, 2])  # wrong
qrnn.GRU(4, 3)(steps, lengths=["5", "2"])  # wrong
qrnn.GRU(4, 3)(steps, lengths=5)  # wrong
nn.LSTMCell(4, 3)(x, h)  # wrong
qrnn.LSTM(4, 3)(steps, h)  # wrong
qrnn.LSTM(4, 3)(steps, out=(steps, steps))  # wrong
nn.Tanh()(x, out=x)  # wrong
nn.Identity()(inputs=x)  # wrong
"""

MODELS = """
class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(4, 3)
        self.readout = nn.Sequential(nn.Linear(3, 2), nn.ReLU())

    def forward(self, steps: Array, lengths: list[int] | None = None) -> Array:
        output, (h_n, c_n) = self.rnn(steps, lengths=lengths)
        return self.readout(output)

model = Model()
reveal_type(model(steps, lengths=[5, 2]))  # -> Array
model(steps, length=[5, 2])  # wrong
model("steps")  # wrong

reveal_type(nn.Sequential(nn.RNNCell(4, 3), nn.Linear(3, 2)))  # -> Sequential[Array]
reveal_type(nn.Sequential(nn.RNNCell(4, 3), nn.Linear(3, 2))(x))  # -> Array
reveal_type(nn.Sequential(nn.Linear(4, 3), nn.LSTM(3, 3)).forward(steps))  # -> tuple[Array, tuple[Array, Array]]
reveal_type(nn.Sequential({"first": nn.Linear(4, 3)})(x))  # -> Array
reveal_type(nn.Sequential(nn.Sequential(nn.Linear(4, 3)), nn.Dropout())(x))  # -> Array
nn.Sequential(nn.Linear(4, 3))(x, h)  # wrong
nn.Sequential(3)  # wrong

cells = nn.ModuleList(nn.GRUCell(4, 4) for _ in range(2))
reveal_type(cells)  # -> ModuleList[GRUCell]
reveal_type(cells[0](x))  # -> Array
reveal_type(cells[1:])  # -> ModuleList[GRUCell]
reveal_type([cell(x) for cell in cells])  # -> list[Array]
reveal_type(nn.ModuleList())  # -> ModuleList[Any]
cells[0](x, state=x)  # wrong

def any_of(modules: nn.ModuleList, model: nn.Sequential) -> None:
    pass

any_of(cells, nn.Sequential(nn.Linear(4, 3)))

reveal_type(qrnn.quantize_dynamic(model))  # -> Model
reveal_type(qrnn.stream(model))  # -> Stream
reveal_type(qrnn.stream(model, rows=3).add())  # -> int
reveal_type(qrnn.stream(model).add(3))  # -> list[int]
reveal_type(qrnn.stream(model).state["rnn.h"])  # -> Array

class Own(nn.Cell):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, states=("h",))
        self.x = nn.Linear(input_size, hidden_size)
        self.u = nn.Parameter(np.ones(hidden_size))

    def inputs(self, x: Array) -> Array:
        return self.x(x)

    def step(self, x: Array, h: Array) -> Array:
        return self.x(x) + h

reveal_type(nn.Recurrent(Own(4, 3), num_layers=2))  # -> Recurrent
reveal_type(Own(4, 3).another(5))  # -> Own
nn.Recurrent(nn.GRUCell(4, 3))  # wrong
qrnn.stream(model, row=3)  # wrong
reveal_type(qrnn.quantize_dynamic(model, {nn.LSTM}, inplace=True)(steps))  # -> Array
reveal_type(qrnn.quantize_dynamic(nn.Sequential(nn.Linear(4, 3))))  # -> Sequential[Array]
reveal_type(qrnn.convert(qrnn.prepare(model, qconfig={}), inplace=True, engine="qrnn"))  # -> Model
reveal_type(qrnn.convert(module=model))  # -> Model
reveal_type(qrnn.quantization.merge_statistics(model, model))  # -> Model
reveal_type(model.eval().apply(qrnn.quantization.disable_observer))  # -> Model

reveal_type(qrnn.quantize_dynamic(nn.LSTM(4, 3)))  # -> QuantizedLSTM
reveal_type(qrnn.quantize_dynamic(model=nn.GRU(4, 3)))  # -> QuantizedGRU
reveal_type(qrnn.quantize_dynamic(nn.RNN(4, 3), engine="fbgemm"))  # -> QuantizedRNN
reveal_type(qrnn.quantize_dynamic(nn.LSTMCell(4, 3)))  # -> QuantizedLSTMCell
reveal_type(qrnn.quantize_dynamic(nn.GRUCell(4, 3)))  # -> QuantizedGRUCell
reveal_type(qrnn.quantize_dynamic(nn.RNNCell(4, 3)))  # -> QuantizedRNNCell
reveal_type(qrnn.quantize_dynamic(nn.Linear(4, 3)))  # -> QuantizedLinear
reveal_type(qrnn.prepare(nn.LSTM(4, 3), qconfig={}))  # -> LSTM
reveal_type(qrnn.prepare(qrnn.LSTM(4, 3), qconfig={}))  # -> LSTM
reveal_type(qrnn.convert(qrnn.prepare(nn.LSTM(4, 3), qconfig={})))  # -> QuantizedLSTM
reveal_type(qrnn.convert(module=nn.GRUCell(4, 3))(x))  # -> Array
reveal_type(qrnn.GRU.from_float(nn.GRU(4, 3)))  # -> QuantizedGRU

qrnn.quantize_dynamic(model, engin="qrnn")  # wrong
qrnn.quantize_dynamic(nn.LSTM(4, 3), qconfig={})  # wrong
qrnn.prepare(model, qconf={})  # wrong
qrnn.convert(model, in_place=True)  # wrong
qrnn.convert(3)  # wrong
qrnn.quantization.propagate_qconfig_(model, qconfig={})  # wrong
"""


@pytest.mark.parametrize("checker", CHECKERS)
def test_types_of_a_users_program(checker, tmp_path):
    check(checker, HEAD + CALLS + MODELS, tmp_path)
