"""``qrnn.nn.modules.activation``, by PyTorch's path."""

from ..._activations import Dropout, Identity, ReLU, Sigmoid, Tanh

__all__ = ["Dropout", "Identity", "ReLU", "Sigmoid", "Tanh"]
