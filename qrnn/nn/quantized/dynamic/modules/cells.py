"""The module path that pickles of 0.1.0 use for quantized cells."""

from .rnn import GRUCell, LSTMCell, RNNCell

__all__ = ["GRUCell", "LSTMCell", "RNNCell"]
