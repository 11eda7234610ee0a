"""What type checkers say of a user's program over torch models and tensors."""

from __future__ import annotations

import pytest
from support.torch_models import torch  # noqa: F401 # without PyTorch the file is skipped
from support.type_checkers import CHECKERS, check

HEAD = """
from collections.abc import Callable
import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_sequence
import qrnn
import qrnn.torch as qt

x = torch.ones(2, 4)
h = torch.ones(2, 3)
"""

CALLS = """
reveal_type(qt.Linear(4, 3)(x))  # -> Tensor
reveal_type(qt.RNNCell(4, 3)(x))  # -> Tensor
reveal_type(qt.GRUCell(4, 3)(x, h))  # -> Tensor
reveal_type(qt.GRUCell(4, 3).forward(x, h))  # -> Tensor
reveal_type(qt.LSTMCell(4, 3)(x))  # -> tuple[Tensor, Tensor]
reveal_type(qt.LSTMCell(4, 3)(x, (h, h)))  # -> tuple[Tensor, Tensor]
reveal_type(qt.RNN(4, 3)(x))  # -> tuple[Tensor, Tensor]
reveal_type(qt.GRU(4, 3)(x, lengths=[2]))  # -> tuple[Tensor, Tensor]
reveal_type(qt.GRU(4, 3)(x, lengths=torch.tensor([2])))  # -> tuple[Tensor, Tensor]
reveal_type(qt.LSTM(4, 3)(x))  # -> tuple[Tensor, tuple[Tensor, Tensor]]
reveal_type(qt.GRU(4, 3)(pack_sequence([x])))  # -> tuple[PackedSequence, Tensor]
reveal_type(qt.LSTM(4, 3)(pack_sequence([x]), (h, h)))  # -> tuple[PackedSequence, tuple[Tensor, Tensor]]
reveal_type(qt.LSTM.from_float(torch.nn.LSTM(4, 3)))  # -> LSTM

def twice(layer: Callable[[Tensor], Tensor]) -> Tensor:
    return layer(layer(h))

reveal_type(twice(qt.Linear(3, 3)))  # -> Tensor
twice(qt.LSTM(3, 3))  # wrong

qt.GRU(4, 3, num_layer=2)  # wrong
qt.Linear(4, 3)(x, x)  # wrong
qt.RNNCell(4, 3)(x, state=h)  # wrong
qt.LSTMCell(4, 3)(x, h)  # wrong
qt.LSTM(4, 3)(x, length=[2])  # wrong
qt.GRU(4, 3)(x, lengths="2")  # wrong
qt.GRU(4, 3)(pack_sequence([x]), lengths=[2])  # wrong
"""

MODELS = """
class Model(torch.nn.Module):
    pass

model = Model()
reveal_type(qt.quantize_dynamic(model))  # -> Model
reveal_type(qt.quantize_dynamic(model, {"rnn"}, inplace=True))  # -> Model
reveal_type(qt.convert(qt.prepare(model, qconfig={}), inplace=True, engine="qrnn"))  # -> Model
reveal_type(qt.prepare_qat(model, qconfig={}))  # -> Model
reveal_type(qt.convert(module=model))  # -> Model
reveal_type(qt.from_torch_ao(model))  # -> Model

reveal_type(qt.quantize_dynamic(torch.nn.LSTM(4, 3))(x))  # -> tuple[Tensor, tuple[Tensor, Tensor]]
reveal_type(qt.quantize_dynamic(torch.nn.GRU(4, 3))(x))  # -> tuple[Tensor, Tensor]
reveal_type(qt.quantize_dynamic(model=torch.nn.RNN(4, 3))(x))  # -> tuple[Tensor, Tensor]
reveal_type(qt.quantize_dynamic(torch.nn.LSTMCell(4, 3))(x))  # -> tuple[Tensor, Tensor]
reveal_type(qt.quantize_dynamic(torch.nn.GRUCell(4, 3))(x))  # -> Tensor
reveal_type(qt.quantize_dynamic(torch.nn.RNNCell(4, 3))(x))  # -> Tensor
reveal_type(qt.quantize_dynamic(torch.nn.Linear(4, 3))(x))  # -> Tensor
reveal_type(qt.convert(qt.prepare(torch.nn.LSTM(4, 3), qconfig={}))(x))  # -> tuple[Tensor, tuple[Tensor, Tensor]]
reveal_type(qt.prepare(qt.GRUCell(4, 3), qconfig={}))  # -> GRUCell
reveal_type(qt.prepare(qt.GRUCell(4, 3), qconfig={}).weight_ih)  # -> Tensor

qt.quantize_dynamic(model, engin="qrnn")  # wrong
qt.prepare(model, qconf={})  # wrong
qt.prepare_qat(model, in_place=True)  # wrong
qt.convert(model, in_place=True)  # wrong
qt.from_torch_ao(model, engin="qrnn")  # wrong
qt.convert(qrnn.nn.Linear(4, 3))  # wrong

reveal_type(qrnn.quantize_dynamic(model))  # -> Model
"""

TENSORS = """
from qrnn import nn
steps = torch.ones(5, 2, 4)
reveal_type(nn.Linear(4, 3)(x))  # -> Tensor
reveal_type(nn.Linear(4, 3)(torch.nn.Parameter(x)))  # -> Tensor
reveal_type(nn.Linear(4, 3)(x, out=np.zeros((2, 3), np.float32)))  # -> Array
reveal_type(qrnn.GRUCell(4, 3)(x, h))  # -> Tensor
reveal_type(qrnn.GRUCell(4, 3)(np.zeros((2, 4)), h))  # -> Array
reveal_type(nn.LSTMCell(4, 3)(x, (h, h)))  # -> tuple[Tensor, Tensor]
reveal_type(nn.GRU(4, 3)(steps, lengths=torch.tensor([5, 2])))  # -> tuple[Tensor, Tensor]
reveal_type(qrnn.LSTM(4, 3)(steps))  # -> tuple[Tensor, tuple[Tensor, Tensor]]
reveal_type(nn.ReLU(inplace=True)(x))  # -> Tensor
reveal_type(nn.Dropout()(x))  # -> Tensor
reveal_type(nn.Sequential(nn.Linear(4, 3), nn.Tanh())(x))  # -> Tensor
"""


@pytest.mark.parametrize("checker", CHECKERS)
def test_types_of_a_users_program(checker, tmp_path):
    check(checker, HEAD + CALLS + MODELS + TENSORS, tmp_path)
