"""Show what autoquantize chooses when 8 bits are too few, and whether its bound holds on unseen data.

    make bench-precision      (or, where qrnn is installed, and aeon with --no-deps: python benchmarks/precision.py)

Each draw is a model that reads raw units: each column of its inputs is multiplied by 10^u, u uniform between -3 and 3,
and W_ih of its first layer is divided by the same factors, so that its outputs stay the same. `autoquantize` gets some
sequences and holds back half of them to measure on; then its choice is measured on sequences that it never saw. `loud`
also multiplies each step of the inputs by a factor between e^-3.5 and e^3.5. The table has the speeds that autoquantize
estimates from the sizes of the matrices; beside them it has, for the first draw, the median ratio of CPU times in
interleaved rounds. The program ends with an error if a promise is broken. benchmarks/results/precision.md holds its
output.
"""

import machine

machine.use_one_thread()

import argparse
import copy
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))

import trained
import vowels_data

import qrnn
from qrnn import nn
from qrnn.quantization import autoquantize, measure

DRAWS = 20
FEW_OVER = 1  # how many of 20 draws may exceed the bound by more than OVER
OVER = 1.05
IN_INT8, SPEED = 0.8, 0.85  # smallest shares promised for a bound of 2 %
SEQUENCES = 32  # sequences given to autoquantize
FRESH = 128


@dataclass(frozen=True)
class Task:
    """Models in raw units: `draw(rng)` returns a model, the data for autoquantize, and unseen data."""

    name: str
    bounds: tuple
    draw: object


def raw(model, units):
    """Copy a model for inputs in `units`: W_ih of its first layer is divided by them."""
    model = copy.deepcopy(model)
    state = model.state_dict()
    for name in state:
        if name.rpartition(".")[2] in ("weight_ih_l0", "weight_ih_l0_reverse"):
            state[name] = (state[name] / units).astype(np.float32)
    model.load_state_dict(state)
    return model


def spoken(name):
    """Make a task of a trained model of the examples and the utterances of both its data sets."""
    model, sets = trained.load(name), vowels_data.load()
    utterances = [x[:n] for xs, lengths, _ in sets for x, n in zip(xs, lengths, strict=True)]

    def draw(rng):
        units = 10.0 ** rng.uniform(-3, 3, vowels_data.CHANNELS)
        data = [(utterances[i] * units).astype(np.float32)[None] for i in rng.permutation(len(utterances))]
        return raw(model, units), data[:SEQUENCES], data[SEQUENCES:]

    return draw


def random_lstm(loudness):
    """Make a task of two-layer LSTMs with large random weights, on random sequences."""

    def draw(rng):
        units = 10.0 ** rng.uniform(-3, 3, 40)
        qrnn.manual_seed(int(rng.integers(1 << 31)))
        model = nn.LSTM(40, 64, num_layers=2)
        state = {name: np.float32(3 if "weight" in name else 1) * v for name, v in model.state_dict().items()}
        model.load_state_dict(state)
        shape = 60, SEQUENCES + FRESH, 40
        x = np.abs(rng.standard_normal(shape)) * np.exp(rng.uniform(-loudness, loudness, (*shape[:2], 1))) * units
        data = [x[:, i : i + 1].astype(np.float32) for i in range(shape[1])]
        return raw(model, units), data[:SEQUENCES], data[SEQUENCES:]

    return draw


TASKS = (
    Task("speakers, LSTM, H = 64", (0.02, 0.002), spoken("vowels_lstm")),
    Task("speakers, GRU in both directions, H = 48", (0.02, 0.002), spoken("vowels_gru")),
    Task("random LSTM of 2 layers, H = 64", (0.02, 0.01), random_lstm(0)),
    Task("the same, loud", (0.02, 0.01), random_lstm(3.5)),
)


def measured_speed(chosen, int8, data):
    """Return the choice's speed relative to "all in int8": the median ratio of CPU times in interleaved rounds."""

    def seconds(model):
        start = time.thread_time()
        for x in data:
            model(x)
        return time.thread_time() - start

    return float(np.median([seconds(int8) / seconds(chosen) for _ in range(41)]))


def run(task, bound, draws, broken):
    facts, fresh, seconds, speed = [], [], [], None
    for seed in range(draws):
        model, data, new = task.draw(np.random.default_rng([int(1e6 * bound), seed]))
        start = time.perf_counter()
        chosen, report = autoquantize(model, data, max_error=bound)
        seconds.append(time.perf_counter() - start)
        facts.append(report.to_dict())
        fresh.append(measure({"float": model, "chosen": chosen}, new, layers=False)[1].error)
        if speed is None:
            speed = measured_speed(chosen, qrnn.quantize_dynamic(model, engine="qrnn"), data)
    over = sum(error > OVER * bound for error in fresh)
    values = {name: np.array([each[name] for each in facts]) for name in ("int8", "error", "in_int8", "speed_of_int8")}
    cells = (
        task.name,
        f"{bound:.1%}",
        f"{np.median(values['int8']):.1%}",
        f"{np.median(values['error']):.2%}",
        f"{np.median(fresh):.2%}",
        f"{max(fresh):.2%}",
        f"{over} of {draws}",
        f"{values['in_int8'].min():.0%}",
        f"{values['speed_of_int8'].min():.2f}",
        f"{speed:.2f}",
        f"{np.median(seconds):.1f}",
    )
    print("| " + " | ".join(cells) + " |", flush=True)
    where = f"{task.name}, {bound:.1%}"
    if over > FEW_OVER * draws / DRAWS:
        broken.append(f"{where}: {over} of {draws} draws over {OVER} of the bound on fresh data")
    if bound == 0.02 and task.name.startswith("speakers"):
        for name, least in (("in_int8", IN_INT8), ("speed_of_int8", SPEED)):
            if values[name].min() < least:
                broken.append(f"{where}: {name} {values[name].min():.2f}, promised {least}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=DRAWS, help=f"of each model and bound (default {DRAWS})")
    given = parser.parse_args()
    facts = machine.describe(with_torch=False)
    print(f"# A precision for each matrix, chosen\n\n{facts['cpu']}; qrnn {facts['qrnn']}, numpy {facts['numpy']}\n")
    heads = ("model in raw units", "bound", "all int8", "chosen", "fresh data", "worst", f"over {OVER} of it")
    heads += ("weights int8, least", "speed ÷ int8, least", "measured", "seconds")
    print("| " + " | ".join(heads) + " |\n|" + "---|" + "---:|" * (len(heads) - 1))
    broken = []
    for task in TASKS:
        for bound in task.bounds:
            run(task, bound, given.draws, broken)
    print(
        f"\nErrors are medians over {given.draws} draws; *chosen* is measured on the {SEQUENCES // 2} sequences held "
        "back, *worst* is the largest on fresh data."
    )
    if broken:
        sys.exit("not as promised: " + "; ".join(broken))


if __name__ == "__main__":
    main()
