"""This project's cells."""

import qrnn
from qrnn import nn

from . import Contender

PRECISION = {"qrnn": "8 bits", "qnnpack": "8 bits", "fbgemm": "7 bits", "x86": "7 bits", "onednn": "7 bits"}


def float_cell(weights):
    cell = nn.RNNCell(weights.input_size, weights.hidden_size)
    cell.load_state_dict(weights.state_dict())
    return cell


def quantized_cell(weights, engine):
    return qrnn.nn.quantized.dynamic.RNNCell.from_float(float_cell(weights), engine=engine)


def contenders(weights):
    new, old, plain = quantized_cell(weights, "qrnn"), quantized_cell(weights, "fbgemm"), float_cell(weights)
    return [
        Contender("qrnn", PRECISION["qrnn"], new, details=f"engine qrnn, {new.isa}"),
        Contender("qrnn out=", PRECISION["qrnn"], new, writes=True, details="the same, result in place"),
        Contender("qrnn fbgemm", PRECISION["fbgemm"], old, details=f"engine fbgemm, {old.isa}"),
        Contender("qrnn float32", "float32", plain, details=f"qrnn.nn.RNNCell, {plain.isa}"),
    ]
