"""Quantise a digit classifier and compare it with its float32 original.

    make demo          (or, where qrnn and scikit-learn are installed: python examples/digits.py)

The classifier reads a handwritten digit row by row, 8 steps of 8 pixels, through an RNNCell and names it
with a Linear. Its weights come from ``train_digits.py``. Where PyTorch is installed, its own float32 and
dynamically quantised modules run on the same weights. Ends with an error if quantisation costs more than
a percentage point of accuracy.
"""

import platform
import statistics
import sys
import time
import warnings
from pathlib import Path

import digits_data
import numpy as np

import qrnn
from qrnn import nn

try:
    import torch
except ImportError:
    torch = None

WEIGHTS = Path(__file__).with_name("digits.npz")
TIMED_DIGITS = 32
ROUNDS = 25


class Classifier(nn.Module):
    def __init__(self, hidden_size):
        super().__init__()
        self.rnn_cell = nn.RNNCell(digits_data.STEP_SIZE, hidden_size)
        self.classifier = nn.Linear(hidden_size, digits_data.CLASSES)

    def forward(self, rows):
        h = None
        for t in range(rows.shape[1]):
            h = self.rnn_cell(rows[:, t], h)
        return self.classifier(h)


def load_classifier():
    """The trained float32 classifier."""
    with np.load(WEIGHTS) as weights:
        model = Classifier(hidden_size=weights["rnn_cell.weight_hh"].shape[0])
        model.load_state_dict(weights)
    return model.eval()


def torch_classifiers():
    """PyTorch's modules with the same weights: a list of (name, model)."""

    class TorchClassifier(torch.nn.Module):
        def __init__(self, state):
            super().__init__()
            classes, hidden_size = state["classifier.weight"].shape
            self.rnn_cell = torch.nn.RNNCell(digits_data.STEP_SIZE, hidden_size)
            self.classifier = torch.nn.Linear(hidden_size, classes)
            self.load_state_dict(state)

        def forward(self, rows):
            h = rows.new_zeros(len(rows), self.rnn_cell.hidden_size)
            for t in range(rows.shape[1]):
                h = self.rnn_cell(rows[:, t], h)
            return self.classifier(h)

    with np.load(WEIGHTS) as weights:
        model = TorchClassifier({name: torch.from_numpy(weights[name]) for name in weights}).eval()
    models = [("torch.nn float32", model)]
    if "fbgemm" in torch.backends.quantized.supported_engines:
        torch.backends.quantized.engine = "fbgemm"
        with warnings.catch_warnings():  # torch.ao announces its removal
            warnings.simplefilter("ignore")
            quantised = torch.ao.quantization.quantize_dynamic(model, {torch.nn.RNNCell, torch.nn.Linear})
        models.append(("torch.ao int8, fbgemm", quantised))
    return models


def size_in_bytes(model):
    """Memory of the weights: qrnn's as packed; PyTorch's as int8 codes and floats, without its packing."""
    layers = (model.rnn_cell, model.classifier)
    if isinstance(model, nn.Module):
        return sum(layer.nbytes for layer in layers)
    total = 0
    for layer in layers:
        values = list(layer.parameters())
        if not values:  # torch.ao: the weights are in packed objects
            parts = layer._weight_bias()
            parts = [*parts["weight"].values(), *parts["bias"].values()] if isinstance(parts, dict) else parts
            values = [p.int_repr() if p.is_quantized else p for p in parts]
        total += sum(v.numel() * v.element_size() for v in values)
    return total


def hidden_states(cell, x, zeros):
    """h of every step, [steps, batch, hidden], as a NumPy array."""
    h, states = zeros, []
    for t in range(x.shape[1]):
        h = cell(x[:, t], h)
        states.append(np.asarray(h))
    return np.stack(states)


def seconds_per_step(cell, digits, zeros):
    """Time of one pass over single digits, each a list of rows, in seconds a step."""
    start = time.perf_counter()
    for rows in digits:
        h = zeros
        for row in rows:
            h = cell(row, h)
    return (time.perf_counter() - start) / (len(digits) * digits_data.STEPS)


def evaluate(models, x, y):
    """Measure (name, model) pairs; the first is the original that h is compared with."""
    rows, states, runs = [], {}, {}
    for name, model in models:
        # Every library gets its own arrays, made before the clock starts.
        native = np.asarray if isinstance(model, nn.Module) else torch.from_numpy
        zeros = native(np.zeros((len(x), model.rnn_cell.hidden_size), np.float32))
        states[name] = hidden_states(model.rnn_cell, native(x), zeros)
        digits = [[native(np.ascontiguousarray(row[None])) for row in digit] for digit in x[:TIMED_DIGITS]]
        runs[name] = (model.rnn_cell, digits, zeros[:1])
        answers = np.asarray(model(native(x))).argmax(axis=1)
        original = states[models[0][0]]
        rows.append({
            "name": name,
            "accuracy": float((answers == y).mean()),
            "bytes": size_in_bytes(model),
            "error": float(np.abs(states[name] - original).max()),
        })
    times = {name: [] for name, _ in models}
    for _ in range(ROUNDS):  # interleaved, so that all meet the same moods of the machine
        for name, run in runs.items():
            times[name].append(seconds_per_step(*run))
    for row in rows:
        row["microseconds"] = 1e6 * statistics.median(times[row["name"]])
    return rows, states


def cpu_name():
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def main():
    _, _, x, y = digits_data.load()
    original = load_classifier()
    models = [("qrnn float32", original)]
    for engine in "qrnn", "fbgemm":
        prepared = qrnn.prepare(original, qconfig={}, inplace=False, engine=engine)
        models.append((f"qrnn int8, engine {engine}", qrnn.convert(prepared)))
    print(models[1][1])
    if torch is not None:
        torch.set_num_threads(1)
        torch.set_grad_enabled(False)
        models += torch_classifiers()

    rows, states = evaluate(models, x, y)
    with_torch = f"PyTorch {torch.__version__}" if torch is not None else "PyTorch not installed"
    print(f"\n{len(y)} held-back digits, {digits_data.STEPS} steps each; {cpu_name()}, "
          f"{original.rnn_cell.isa}; NumPy {np.__version__}, {with_torch}\n")
    print(f"{'':<26}{'accuracy':>10}{'bytes':>10}{'µs a step':>12}{'worst |h - float32|':>22}")
    for row in rows:
        print(f"{row['name']:<26}{row['accuracy']:>10.2%}{row['bytes']:>10,}"
              f"{row['microseconds']:>12.3f}{row['error']:>22.2e}")
    print(f"\nAccuracy and h: all digits as one batch. µs a step: digit by digit, batch 1, one thread, "
          f"median of {ROUNDS} interleaved rounds.")
    ours, theirs = states["qrnn int8, engine fbgemm"], states.get("torch.ao int8, fbgemm")
    if theirs is not None:
        print(f"Engine fbgemm against torch.ao: worst difference of h {np.abs(ours - theirs).max():.2e}, "
              f"{np.mean(ours != theirs):.2%} of {ours.size:,} values differ.")

    for row, (_, model) in zip(rows, models, strict=True):
        if "int8" in row["name"] and row["bytes"] > rows[0]["bytes"] / 2:
            sys.exit(f"{row['name']} is no smaller than float32: was it quantised?\n{model}")
        if row["accuracy"] < rows[0]["accuracy"] - 0.01:
            sys.exit(f"{row['name']} lost more than a percentage point of accuracy")


if __name__ == "__main__":
    main()
