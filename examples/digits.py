"""Quantize a digit classifier and compare it with its float32 original.

    make demo          (or, where qrnn and scikit-learn are installed: python examples/digits.py)

The classifier reads a handwritten digit row by row, 8 steps of 8 pixels, through an RNNCell and names it
with a Linear. Its weights come from ``train_digits.py``. If PyTorch is installed, its own float32 and
dynamically quantized modules run with the same weights. The program ends with an error if quantization
costs more than a percentage point of accuracy.
"""

import functools

import comparison
import digits_data
import numpy as np
import trained

TIMED_DIGITS = 32


def hidden_states(cell, x, zeros):
    """Return h of every step, [steps, batch, hidden], as a NumPy array."""
    h, states = zeros, []
    for t in range(x.shape[1]):
        h = cell(x[:, t], h)
        states.append(np.asarray(h))
    return np.stack(states)


def digit_by_digit(cell, digits, zeros):
    """Run the cell over digits one by one, each a list of rows."""
    for rows in digits:
        h = zeros
        for row in rows:
            h = cell(row, h)


def evaluate(models, x, y):
    """Measure (name, model) pairs; h is compared with that of the first, the original."""
    rows, states, passes = [], {}, {}
    for name, model in models:
        # Every library gets arrays of its own kind, made before the clock starts.
        native = comparison.to_native(model)
        zeros = native(np.zeros((len(x), model.rnn_cell.hidden_size), np.float32))
        states[name] = hidden_states(model.rnn_cell, native(x), zeros)
        digits = [[native(np.ascontiguousarray(row[None])) for row in digit] for digit in x[:TIMED_DIGITS]]
        passes[name] = functools.partial(digit_by_digit, model.rnn_cell, digits, zeros[:1])
        rows.append(
            {
                "name": name,
                "accuracy": float((np.asarray(model(native(x))).argmax(axis=1) == y).mean()),
                "bytes": comparison.size_in_bytes(model),
                "error": float(np.abs(states[name] - states[models[0][0]]).max()),
            }
        )
    times = comparison.microseconds_a_step(passes, min(len(x), TIMED_DIGITS) * digits_data.STEPS)
    return [{**row, "microseconds": times[row["name"]]} for row in rows], states


def torch_models():
    """Return PyTorch's models with the same weights, as (name, model) pairs."""
    import torch
    import train_digits

    with np.load(trained.DIRECTORY / "digits.npz") as weights:
        model = train_digits.Classifier(weights["rnn_cell.weight_hh"].shape[1])
        model.load_state_dict({name: torch.from_numpy(weights[name]) for name in weights})
    return comparison.torch_versions_of(model, {torch.nn.RNNCell, torch.nn.Linear})


def main():
    _, _, x, y = digits_data.load()
    original = trained.load("digits")
    models = comparison.versions_of(original)
    print(models[1][1])
    if comparison.torch is not None:
        models += torch_models()

    rows, states = evaluate(models, x, y)
    print(
        f"\n{len(y)} held-back digits, {digits_data.STEPS} steps each; "
        f"{comparison.circumstances(original.rnn_cell.isa)}"
    )
    comparison.print_table(rows, "worst |h - float32|")
    print(
        f"\nAccuracy and h: all digits as one batch. µs a step: digit by digit, batch 1, one thread, "
        f"median of {comparison.ROUNDS} interleaved rounds."
    )
    comparison.print_agreement(states, "h")
    comparison.check(rows)


if __name__ == "__main__":
    main()
