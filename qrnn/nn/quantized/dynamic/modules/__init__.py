"""The modules of ``qrnn.nn.quantized.dynamic``, by PyTorch's path."""

from .linear import Linear
from .rnn import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "Linear", "RNNCell"]
