"""The path by which pickles of version 0.1.0 name the cells."""

from .rnn import GRUCell, LSTMCell, RNNCell

__all__ = ["GRUCell", "LSTMCell", "RNNCell"]
