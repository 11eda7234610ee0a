"""The modules of ``qrnn.nn.quantized.dynamic``."""

from .cells import GRUCell, LSTMCell, RNNCell
from .linear import Linear
from .rnn import GRU, LSTM, RNN

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "Linear", "RNNCell"]
