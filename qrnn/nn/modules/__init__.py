"""The modules of ``qrnn.nn``."""

from .activation import Dropout, Identity, ReLU, Sigmoid, Tanh
from .cells import GRUCell, LSTMCell, RNNCell
from .container import ModuleList, Sequential
from .linear import Linear
from .module import Module
from .rnn import GRU, LSTM, RNN

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
