"""The module path that pickles of version 0.1.0 use for cells."""

from .rnn import GRUCell, LSTMCell, RNNCell

__all__ = ["GRUCell", "LSTMCell", "RNNCell"]
