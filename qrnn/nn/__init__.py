"""``qrnn.nn``: float32 modules over NumPy, where PyTorch has ``torch.nn``."""

from . import quantized
from .modules import (
    Dropout,
    Identity,
    Linear,
    Module,
    ModuleList,
    ReLU,
    RNNCell,
    Sequential,
    Sigmoid,
    Tanh,
)

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
    "quantized",
]
