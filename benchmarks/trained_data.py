"""The trained models of the examples and their data: part for calibration, part held back from training."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))

import digits_data
import text_data
import trained
import vowels_data

NAMES = trained.NAMES
STREAMS = 32  # streams of text, read side by side
STEPS = 500  # steps of each stream for calibration


@dataclass(frozen=True)
class Task:
    """A float32 model and its data: x as the model takes it, and lengths if rows differ in length."""

    name: str
    model: object
    calibration: tuple  # (x, lengths or None)
    held_back: tuple

    @property
    def kind(self):
        return self.name.partition("_")[0]

    def run(self, model, x, lengths):
        """Return scores, float64 [answers, classes], and the hidden states of all valid steps [any, hidden]."""
        if self.kind in ("digits", "irnn"):
            h, states = None, []
            for t in range(x.shape[1]):
                h = model.rnn_cell(x[:, t], h)
                states.append(h)
            return model.classifier(h).astype(np.float64), np.concatenate(states)
        if self.kind == "vowels":
            output, state = model.rnn(x, lengths=lengths)
            last = np.concatenate(state[0] if isinstance(state, tuple) else state, axis=-1)
            valid = np.arange(x.shape[1]) < lengths[:, None]
            return model.classifier(last).astype(np.float64), output[valid]
        output, _ = model.rnn(x)
        scores = model.decoder(output)
        return scores.reshape(-1, scores.shape[-1]).astype(np.float64), output.reshape(-1, output.shape[-1])


def load(name):
    """Load the task of that name; ModuleNotFoundError if the package with its data is missing."""
    kind = name.partition("_")[0]
    if kind == "text":
        training, held_back = text_data.load()
        calibration = (text_data.one_hot(text_data.streams(training, STREAMS)[:STEPS]), None)
        held_back = (text_data.one_hot(text_data.streams(held_back, STREAMS)), None)
    elif kind == "vowels":
        calibration, held_back = (part[:2] for part in vowels_data.load())
    else:
        training, _, held, _ = digits_data.load()
        shape = (8, 8) if kind == "digits" else (64, 1)
        calibration, held_back = ((part.reshape(len(part), *shape), None) for part in (training, held))
    return Task(name, trained.load(name), calibration, held_back)


def log_probabilities(scores):
    scores = scores - scores.max(axis=-1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))


def divergences(exact, other):
    """Return, per answer, the Kullback-Leibler divergence in nats of the scores' distribution from the exact one."""
    p, q = log_probabilities(exact), log_probabilities(other)
    return (np.exp(p) * (p - q)).sum(axis=-1)


def divergence(exact, other):
    """Return the mean Kullback-Leibler divergence in nats of the scores' distribution from the exact one."""
    return float(divergences(exact, other).mean())


def relative_rms(states, exact):
    difference = states.astype(np.float64) - exact
    return float(np.sqrt((difference**2).mean() / (exact.astype(np.float64) ** 2).mean()))
