"""The modules of ``qrnn.nn``."""

from .activation import Dropout, Identity, ReLU, Sigmoid, Tanh
from .container import ModuleList, Sequential
from .linear import Linear
from .module import Module
from .rnn import RNNCell

__all__ = [
    "Module",
    "ModuleList",
    "Sequential",
    "Linear",
    "RNNCell",
    "ReLU",
    "Tanh",
    "Sigmoid",
    "Dropout",
    "Identity",
]
