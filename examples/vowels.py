"""Quantize classifiers of speech of variable length and compare them with their float32 originals.

    make demo          (or, where qrnn is installed: pip install --no-deps aeon; python examples/vowels.py)

An LSTM, and a GRU that reads in both directions, recognize nine speakers by an utterance of 7 to 29 steps
of 12 values; utterances of all lengths share one padded batch, with ``lengths=``. Their weights come from
``train_vowels.py``. If PyTorch is installed, its own float32 and dynamically quantized modules run with the
same weights, on a PackedSequence. The program ends with an error if quantization costs more than a percentage
point of accuracy, or if an utterance has other scores in the batch than alone.
"""

import functools
import sys

import comparison
import numpy as np
import trained
import vowels_data

TIMED_UTTERANCES = 16


def one_by_one(rnn, utterances):
    """Run the model over utterances one by one, each [1, steps, channels]."""
    for x in utterances:
        rnn(x)


def evaluate(models, x, lengths, y):
    """Measure (name, model) pairs; scores are compared with those of the first, the original."""
    rows, scores, passes = [], {}, {}
    for name, model in models:
        # Every library gets arrays of its own kind, made before the clock starts.
        native = comparison.to_native(model)
        scores[name] = np.asarray(model(native(x), native(lengths)))
        utterances = [native(x[i : i + 1, : lengths[i]].copy()) for i in range(TIMED_UTTERANCES)]
        passes[name] = functools.partial(one_by_one, model.rnn, utterances)
        rows.append(
            {
                "name": name,
                "accuracy": float((scores[name].argmax(axis=1) == y).mean()),
                "bytes": comparison.size_in_bytes(model),
                "error": float(np.abs(scores[name] - scores[models[0][0]]).max()),
            }
        )
    times = comparison.microseconds_a_step(passes, int(lengths[:TIMED_UTTERANCES].sum()))
    return [{**row, "microseconds": times[row["name"]]} for row in rows], scores


def differ_alone(model, x, lengths, scores):
    """Count the utterances whose scores differ in any bit when they come alone and without padding."""
    alone = [model(x[i : i + 1, :n]) for i, n in enumerate(lengths)]
    return int((np.concatenate(alone) != scores).any(axis=1).sum())


def torch_models(name):
    """Return PyTorch's models with the same weights, as (name, model) pairs."""
    import torch
    import train_vowels

    kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[name]
    with np.load(trained.DIRECTORY / f"vowels_{name}.npz") as weights:
        hidden_size, both = weights["rnn.weight_hh_l0"].shape[1], "rnn.weight_hh_l0_reverse" in weights
        model = train_vowels.Classifier(kind, hidden_size, both)
        model.load_state_dict({name: torch.from_numpy(weights[name]) for name in weights})
    return comparison.torch_versions_of(model, {kind, torch.nn.Linear})


def main():
    _, (x, lengths, y) = vowels_data.load()
    print(f"{len(y)} held-back utterances of {lengths.min()} to {lengths.max()} steps; ", end="")
    print(comparison.circumstances(trained.load("vowels_lstm").rnn.isa))
    for name in "lstm", "gru":
        models = comparison.versions_of(trained.load(f"vowels_{name}"))
        print(f"\n{models[1][1]}")
        if comparison.torch is not None:
            models += torch_models(name)
        rows, scores = evaluate(models, x, lengths, y)
        comparison.print_table(rows, "worst |score - float32|")
        comparison.print_agreement(scores, "scores")
        comparison.check(rows)

        model_name, model = models[1]
        if others := differ_alone(model, x, lengths, scores[model_name]):
            sys.exit(f"{others} utterances have other scores alone than in the batch")
        print(f"{model_name}: every utterance has the same scores alone as in the padded batch, bit for bit.")
    print(
        f"\nAccuracy and scores: all utterances as one batch with lengths=. µs a step: utterance by utterance, "
        f"batch 1, one thread, median of {comparison.ROUNDS} interleaved rounds."
    )


if __name__ == "__main__":
    main()
