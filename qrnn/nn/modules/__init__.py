"""The modules of ``qrnn.nn``, by PyTorch's path."""

from .activation import Dropout, Identity, ReLU, Sigmoid, Tanh
from .container import ModuleList, Sequential
from .linear import Linear
from .module import Module
from .rnn import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell

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
]
