"""The path by which pickles of 0.1.0 name cells."""

from .rnn import GRUCell, LSTMCell, RNNCell

__all__ = ["GRUCell", "LSTMCell", "RNNCell"]
