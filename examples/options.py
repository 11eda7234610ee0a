"""Quantize LSTMs that PyTorch lacks: one with peepholes, one with LayerNorm, trained on speech.

    make demo; python examples/options.py

The LSTMs recognize nine speakers by an utterance of 7 to 29 steps of 12 values. The weights come from
``train_options.py``. The program ends with an error if quantization costs more than a percentage point of accuracy.
"""

import comparison
import numpy as np
import trained
import vowels_data

import qrnn
from qrnn import nn

LAYERS = {"peepholes": {"peepholes": True}, "norm": {"layer_norm": True, "bias": False}}


class Classifier(nn.Module):
    """A classifier that returns scores from the last state; x is [batch, steps, features]."""

    def __init__(self, weights, options):
        super().__init__()
        features, hidden_size = weights["rnn.weight_ih_l0"].shape[1], weights["rnn.weight_hh_l0"].shape[1]
        self.rnn = nn.LSTM(features, hidden_size, batch_first=True, **options)
        self.classifier = nn.Linear(hidden_size, len(weights["classifier.bias"]))

    def forward(self, x, lengths=None):
        _, (h, _) = self.rnn(x, lengths=lengths)
        return self.classifier(h[0])


def load(name):
    """Load the float32 model of ``vowels_<name>.npz``."""
    with np.load(trained.DIRECTORY / f"vowels_{name}.npz") as file:
        weights = dict(file)
    model = Classifier(weights, LAYERS[name])
    model.load_state_dict({**model.state_dict(), **weights})  # the file has the layer's arrays alone
    return model


def evaluate(original, x, lengths, y):
    """Print and return a row for the model and for each engine that supports its layer."""
    models = {"float32": original}
    models |= {f"int8, {engine}": qrnn.quantize_dynamic(original, engine=engine) for engine in ("qrnn", "qrnn13")}
    print(f"\n{models['int8, qrnn'].rnn}")
    rows, want = [], original(x, lengths)
    for name, model in models.items():
        scores = model(x, lengths)
        accuracy, size = float((scores.argmax(axis=1) == y).mean()), comparison.size_in_bytes(model)
        error = float(np.abs(scores - want).max())
        rows.append({"name": name, "accuracy": accuracy, "bytes": size, "error": error})
        print(f"  {name:14}{accuracy:8.2%}{size:9,} bytes, worst |score - float32| {error:.4f}")
    return rows


def main():
    _, (x, lengths, y) = vowels_data.load()
    for name in LAYERS:
        comparison.check(evaluate(load(name), x, lengths, y))


if __name__ == "__main__":
    main()
