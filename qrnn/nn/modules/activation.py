"""``qrnn.nn.modules.activation``, by PyTorch's path."""

from ..._activations import Dropout, Identity, ReLU, Sigmoid, Tanh
from ..._pointwise import ELU, Hardsigmoid, Hardtanh, LeakyReLU, Softplus, Softsign
from ..._softmax import LogSoftmax, Softmax

__all__ = [
    "ELU",
    "Dropout",
    "Hardsigmoid",
    "Hardtanh",
    "Identity",
    "LeakyReLU",
    "LogSoftmax",
    "ReLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Tanh",
]
