"""The trained models of the examples as qrnn.nn modules: ``trained.load(name)`` for a name in ``NAMES``.

Each is float32 and has the weights of examples/NAME.npz, which train_*.py wrote:

    digits                                          tanh RNNCell, 8 steps of a row of pixels
    irnn                                            relu RNNCell, W_hh near the identity, 64 steps of a pixel
    vowels_lstm, vowels_gru                         7 to 29 steps of speech; the GRU reads in both directions
    text_rnn, text_lstm, text_gru                   character language models
"""

from pathlib import Path

import numpy as np

from qrnn import nn

DIRECTORY = Path(__file__).parent
NAMES = ("digits", "irnn", "vowels_lstm", "vowels_gru", "text_rnn", "text_lstm", "text_gru")


class CellClassifier(nn.Module):
    """Scores from the last state of a cell; x is [batch, steps, features]."""

    def __init__(self, weights, nonlinearity):
        super().__init__()
        hidden_size, features = weights["rnn_cell.weight_ih"].shape
        self.rnn_cell = nn.RNNCell(features, hidden_size, nonlinearity=nonlinearity)
        self.classifier = nn.Linear(hidden_size, len(weights["classifier.bias"]))

    def forward(self, x):
        h = None
        for t in range(x.shape[1]):
            h = self.rnn_cell(x[:, t], h)
        return self.classifier(h)


class SequenceClassifier(nn.Module):
    """Scores from the last state of a layer, of both directions where it has two; x is [batch, steps, features]."""

    def __init__(self, weights, kind):
        super().__init__()
        features, hidden_size = weights["rnn.weight_ih_l0"].shape[1], weights["rnn.weight_hh_l0"].shape[1]
        both = "rnn.weight_ih_l0_reverse" in weights
        self.rnn = kind(features, hidden_size, batch_first=True, bidirectional=both)
        self.classifier = nn.Linear((1 + both) * hidden_size, len(weights["classifier.bias"]))

    def forward(self, x, lengths=None):
        _, state = self.rnn(x, lengths=lengths)
        h = state[0] if isinstance(state, tuple) else state  # [directions, batch, hidden]
        return self.classifier(np.concatenate(h, axis=-1))


class LanguageModel(nn.Module):
    """Scores of the next character at each step, and the state; x is [steps, batch, alphabet], one-hot."""

    def __init__(self, weights, kind):
        super().__init__()
        letters, hidden_size = weights["decoder.weight"].shape
        self.rnn = kind(letters, hidden_size)
        self.decoder = nn.Linear(hidden_size, letters)

    def forward(self, x, state=None):
        output, state = self.rnn(x, state)
        return self.decoder(output), state


def load(name):
    """The trained float32 model of that name."""
    with np.load(DIRECTORY / f"{name}.npz") as weights:
        if name in ("digits", "irnn"):
            model = CellClassifier(weights, "relu" if name == "irnn" else "tanh")
        else:
            kind = getattr(nn, name.rpartition("_")[2].upper())
            model = (LanguageModel if name.startswith("text") else SequenceClassifier)(weights, kind)
        model.load_state_dict(weights)
    return model.eval()
