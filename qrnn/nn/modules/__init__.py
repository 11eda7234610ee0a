"""The modules of ``qrnn.nn``, by PyTorch's path."""

from ..._parameters import Parameter
from .activation import (
    ELU,
    Dropout,
    Hardsigmoid,
    Hardtanh,
    Identity,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
)
from .batchnorm import BatchNorm1d
from .container import ModuleDict, ModuleList, Sequential
from .conv import Conv1d
from .flatten import Flatten
from .linear import Linear
from .module import Module
from .normalization import LayerNorm
from .rnn import GRU, LSTM, RNN, Cell, GRUCell, LSTMCell, Recurrent, RNNCell
from .sparse import Embedding

__all__ = [
    "ELU",
    "GRU",
    "LSTM",
    "RNN",
    "BatchNorm1d",
    "Cell",
    "Conv1d",
    "Dropout",
    "Embedding",
    "Flatten",
    "GRUCell",
    "Hardsigmoid",
    "Hardtanh",
    "Identity",
    "LSTMCell",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "RNNCell",
    "ReLU",
    "Recurrent",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Tanh",
]
