"""``qrnn.nn``: float32 modules over NumPy, where PyTorch has ``torch.nn``."""

from . import quantized
from .modules import (
    GRU,
    LSTM,
    RNN,
    Dropout,
    GRUCell,
    Identity,
    Linear,
    LSTMCell,
    Module,
    ModuleList,
    ReLU,
    RNNCell,
    Sequential,
    Sigmoid,
    Tanh,
)

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Dropout",
    "GRUCell",
    "Identity",
    "LSTMCell",
    "Linear",
    "Module",
    "ModuleList",
    "RNNCell",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "quantized",
]
