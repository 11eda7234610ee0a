"""Check whether rounding by data ever makes a model worse: twenty kinds of models, measured on data held back.

    python benchmarks/gain.py      (part of `make calibration`; needs what benchmarks/calibration.py needs)

The error is that of `qrnn.quantization.measure`: the rms error of the hidden states, or in marked rows of the model's
outputs, over the rms of the float32 ones about their mean in each column. The data were not used for calibration. The
program ends with an error if, on data drawn like the calibration's, the error exceeds 1.02 of plain rounding's.
"""

import machine

machine.use_one_thread()

import argparse
import copy
import sys
import time
import warnings
from dataclasses import replace

import numpy as np
import trained_data

import qrnn
from qrnn import nn
from qrnn.quantization import calibration_report, default_dynamic_qconfig, measure

PROMISED = 1.02  # largest ratio to plain rounding's error, on data drawn like the calibration's
DRAWS = 5


def raw(task, rng):
    """Adapt the model of `task` to inputs whose columns differ by six orders of magnitude."""
    factor = (10 ** rng.uniform(-3, 3, task.calibration[0].shape[-1])).astype(np.float32)
    model = copy.deepcopy(task.model)
    model.rnn.weight_ih_l0 = model.rnn.weight_ih_l0 / factor
    calibration, held_back = ((x * factor, lengths) for x, lengths in (task.calibration, task.held_back))
    return replace(task, model=model, calibration=calibration, held_back=held_back)


def loud(task, rng):
    """Make recordings whose steps differ in loudness by a factor of up to a thousand."""

    def louder(x, lengths):
        return (x * 10 ** rng.uniform(-2, 1, (*x.shape[:2], 1))).astype(np.float32), lengths

    return replace(task, calibration=louder(*task.calibration), held_back=louder(*task.held_back))


class Random:
    """A layer of random weights on white or on correlated inputs."""

    def __init__(self, make, seed, white):
        qrnn.manual_seed(seed)
        rng = np.random.default_rng(seed)
        self.model = make()
        inputs = self.model.input_size
        mix = np.eye(inputs) if white else rng.standard_normal((4, inputs))
        if not white:
            for name, array in self.model.state_dict().items():
                if name.startswith("weight"):
                    low = rng.standard_normal((array.shape[0], 3)) @ rng.standard_normal((3, array.shape[1]))
                    setattr(self.model, name, (array + 0.1 * low / np.sqrt(array.shape[1])).astype(np.float32))
        self.calibration, self.held_back = (
            ((rng.standard_normal((80, count, len(mix))) @ mix).astype(np.float32), None) for count in (40, 40)
        )

    def run(self, model, x, lengths):
        return None, model(x)[0].reshape(-1, self.model.proj_size or self.model.hidden_size)


def draw(task, rng, share, step_axis):
    """Draw a random part of the calibration data."""
    x, lengths = task.calibration
    axis = 1 if step_axis == 0 else 0  # the axis that counts sequences
    count = x.shape[axis]
    chosen = rng.permutation(count)[: max(1, round(share * count))]
    return np.take(x, chosen, axis), None if lengths is None else lengths[chosen]


def shuffled(data, rng):
    """Make data unlike those in use: each sequence's steps in another order, and louder."""
    x, lengths = data
    return (4 * rng.permuted(x, axis=1)).astype(np.float32), lengths


def cases(names):
    """Yield name, task, engine, qconfig, share of the data, whether they are drawn like those in use, and step axis."""
    tasks = {name: trained_data.load(name) for name in names}
    axis = {name: 0 if name.startswith("text") else 1 for name in names}
    for name, task in tasks.items():
        yield name, task, "qrnn", {}, 0.8, True, axis[name]
    for name, engine in (("digits", "fbgemm"), ("vowels_lstm", "qnnpack"), ("text_gru", "onednn")):
        if name in tasks:
            yield f"{name}, per tensor", tasks[name], engine, default_dynamic_qconfig, 0.8, True, axis[name]
    if "text_lstm" in tasks:
        yield "text_lstm, 13 bits", tasks["text_lstm"], "qrnn13", {}, 0.8, True, 0
    if "vowels_lstm" in tasks:
        vowels = tasks["vowels_lstm"]
        for seed in range(3):
            yield f"raw columns {seed}", raw(vowels, np.random.default_rng(seed)), "qrnn", {}, 0.8, True, 1
        yield "loud steps", loud(vowels, np.random.default_rng(0)), "qrnn", {}, 0.8, True, 1
        yield "vowels_lstm, 5 recordings", vowels, "qrnn", {}, 0.02, True, 1
        yield "vowels_lstm, 13 recordings", vowels, "qrnn", {}, 0.05, True, 1
        yield "vowels_lstm, others' data", vowels, "qrnn", {}, 0.8, False, 1
    if "text_rnn" in tasks:
        yield "text_rnn, 1 stream", tasks["text_rnn"], "qrnn", {}, 1 / 32, True, 0
    layers = {
        "RNN": lambda: nn.RNN(24, 48),
        "relu RNN": lambda: nn.RNN(24, 48, nonlinearity="relu"),
        "LSTM, 2 layers": lambda: nn.LSTM(24, 48, num_layers=2),
        "LSTM, projected": lambda: nn.LSTM(24, 64, proj_size=32),
        "GRU, both ways": lambda: nn.GRU(24, 48, bidirectional=True),
        "GRU, reset before": lambda: nn.GRU(24, 48, reset_after=False),
    }
    for name, make in layers.items():
        for white in (True, False):
            kind = "white" if white else "correlated"
            yield f"random {name}, {kind}", Random(make, 1, white), "qrnn", {}, 0.8, True, 0


def measured(task, engine, qconfig, data):
    """Return errors of h with plain rounding and by data, and how many weights out of how many are rounded by data."""
    prepared = qrnn.prepare(task.model, qconfig=qconfig or {}, inplace=False, engine=engine)
    plain = qrnn.convert(prepared, inplace=False)
    task.run(prepared, *data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the warning about costly matrices is expected here
        new = qrnn.convert(prepared)

    def states(model):
        return lambda: task.run(model, *task.held_back)[1]

    models = {"float32": states(task.model), "plain": states(plain), "by data": states(new)}
    _, rough, fine = measure(models, [{}], layers=False)
    report = calibration_report(new)
    return rough.error, fine.error, sum(each.taken for each in report), len(report)


def whole(task, engine, qconfig, data):
    """Return the same for the outputs of the whole model, called as in the last test that `convert` makes."""
    prepared = qrnn.prepare(task.model, qconfig=qconfig or {}, inplace=False, engine=engine)
    plain = qrnn.convert(prepared, inplace=False)
    (x, lengths), (held, held_lengths) = data, task.held_back
    prepared(x, **({} if lengths is None else {"lengths": lengths}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        new = qrnn.convert(prepared)
    models = {"float32": task.model, "plain": plain, "by data": new}
    sample = (held, {} if held_lengths is None else {"lengths": held_lengths})
    _, rough, fine = measure(models, [sample], layers=False)
    report = calibration_report(new)
    return rough.error, fine.error, sum(each.taken for each in report), len(report)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", default=trained_data.NAMES, help="of the examples; default: all")
    given = parser.parse_args()
    start, broken = time.perf_counter(), []
    facts = machine.describe(with_torch=False)
    print(f"# Rounding by data against plain rounding: is it ever worse?\n\n{facts['cpu']}; qrnn {facts['qrnn']}\n")
    print(f"Means of {DRAWS} calibrations, and the worst of them; promised at most {PROMISED} on data drawn alike.\n")
    print("| model and data | engine | error plain | by data | ratio | worst | weights by data |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for name, task, engine, qconfig, share, alike, axis in cases(given.models):
        for what, run in (("", measured), (", outputs", whole)):
            if isinstance(task, Random) and run is whole:
                continue  # the model is the layer
            found = []
            for seed in range(DRAWS):
                rng = np.random.default_rng(seed)
                data = draw(task, rng, share, axis)
                found.append(run(task, engine, qconfig, data if alike else shuffled(data, rng)))
            rough, fine, taken, _ = np.mean(found, axis=0)
            worst = max(after / before for before, after, *_ in found)
            promise = "" if alike else " (unlike those of use)"
            print(
                f"| {name}{what}{promise} | {engine} | {rough:.2%} | {fine:.2%} | {fine / rough:.3f} | {worst:.3f} | "
                f"{taken:.1f} of {found[0][3]} |",
                flush=True,
            )
            if alike and worst > PROMISED:
                broken.append(f"{name}{what}: {worst:.3f}")
    print(f"\n{time.perf_counter() - start:.0f} s", file=sys.stderr)
    if broken:
        sys.exit(f"more than {PROMISED} of plain rounding's error: " + "; ".join(broken))


if __name__ == "__main__":
    main()
