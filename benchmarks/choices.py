"""Measure error, bytes and time of one layer in each precision, and of a float32 W_ih beside int8.

    python benchmarks/choices.py      (part of `make bench-precision`)

The layer is an LSTM of 40 inputs and 256 units on sequences of 100 steps, whose columns are correlated as in a
spectrum. It is measured again with inputs in raw units: each column is multiplied by 10^u, u uniform between -2 and 2,
and W_ih divided by it. Errors are those of `qrnn.quantization.measure` on sequences not used for rounding. Times are
medians over interleaved rounds of this process' CPU time, relative to "all in int8" of the same round. The program ends
with an error if a float32 W_ih takes longer than promised. benchmarks/results/choices.md holds its output.
"""

import machine

machine.use_one_thread()

import argparse
import sys
import time
import warnings
from functools import partial

import numpy as np

import qrnn
from qrnn import nn
from qrnn.quantization import engine_qconfig, float_qconfig, int13_dynamic_qconfig, measure

INPUTS, UNITS, STEPS = 40, 256, 100
BATCHES = (1, 4, 32)
CHOICES = {  # engine, qconfig; None: the float layer
    "int8": ("qrnn", {}),
    "int8, 13-bit h": ("qrnn", {"": engine_qconfig, "weight_hh_l0": int13_dynamic_qconfig}),
    "engine qrnn13": ("qrnn13", {}),
    "float32 W_ih": ("qrnn", {"": engine_qconfig, "weight_ih_l0": float_qconfig}),
    "float32 W_ih, 13-bit h": (
        "qrnn",
        {"": engine_qconfig, "weight_ih_l0": float_qconfig, "weight_hh_l0": int13_dynamic_qconfig},
    ),
    "float32": None,
}
PROMISED = {"step": 1.30, "sequence": 1.20}  # largest time with a float32 W_ih at batch 1, relative to int8


def model_and_data(units):
    """Make the layer for inputs in `units`, and sequences [steps, batch, inputs] to calibrate and to measure with."""
    rng = np.random.default_rng(0)
    qrnn.manual_seed(0)
    layer = nn.LSTM(INPUTS, UNITS)
    for name in ("weight_ih_l0", "weight_hh_l0"):
        setattr(layer, name, 3 * getattr(layer, name))
    layer.weight_ih_l0 = (layer.weight_ih_l0 / units).astype(np.float32)
    mix = rng.standard_normal((8, INPUTS)) / np.sqrt(8)
    shapes = ((STEPS, 48, 8), (STEPS, 32, 8))
    return layer, *(((rng.standard_normal(shape) @ mix) * units).astype(np.float32) for shape in shapes)


def quantized(layer, choice, data):
    """Quantize the layer as `choice` says, plainly or by `data`."""
    if choice is None:
        return layer
    engine, qconfig = choice
    prepared = qrnn.prepare(layer, qconfig=qconfig, engine=engine)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the warning about costly matrices is expected here
        if data is not None:
            prepared(data)
        return qrnn.convert(prepared)


def errors(units):
    """Return the error of each choice, rounded plainly and by data."""
    layer, seen, held_back = model_and_data(units)
    models = {"reference": layer}
    for name, choice in CHOICES.items():
        models.update({(name, kind): quantized(layer, choice, data) for kind, data in (("", None), ("by data", seen))})
    rows = measure(models, [held_back], layers=False)
    return {key: row.outputs[0].error for key, row in zip(models, rows, strict=True)}


def times(runs, rounds, calls):
    """Return each one's median CPU time of a call, and its ratio to the first's: median and quartiles over rounds."""
    seconds = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name in list(runs) if turn % 2 else list(runs)[::-1]:
            start = time.process_time()
            for _ in range(calls):
                runs[name]()
            if turn:
                seconds[name].append((time.process_time() - start) / calls)
    first = np.array(next(iter(seconds.values())))
    return {
        name: (np.median(each), *np.quantile(np.array(each) / first, (0.5, 0.25, 0.75)))
        for name, each in seconds.items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=61, help="of the times (default 61)")
    given = parser.parse_args()
    facts = machine.describe(with_torch=False)
    print(f"# What each precision costs and gains\n\n{facts['cpu']}; qrnn {facts['qrnn']}, numpy {facts['numpy']}\n")
    scaled = errors(np.ones(INPUTS))
    raw = errors(10.0 ** np.random.default_rng(1).permutation(np.linspace(-2, 2, INPUTS)))
    layer, _, x = model_and_data(np.ones(INPUTS))
    models = {name: quantized(layer, choice, None) for name, choice in CHOICES.items()}
    found = {}
    for batch in BATCHES:
        rows = np.ascontiguousarray(np.resize(x, (STEPS, batch, INPUTS)))
        runs = {name: partial(model, rows) for name, model in models.items()}
        found[batch] = times(runs, given.rounds, 3 if batch < 32 else 1)
    states = tuple(np.zeros((1, 1, UNITS), np.float32) for _ in range(2))
    step = np.ascontiguousarray(x[:1, :1])
    found["step"] = times({name: partial(model, step, states) for name, model in models.items()}, given.rounds, 100)
    heads = ("LSTM(40, 256)", "bytes", "error plain", "by data", "raw units plain", "by data")
    heads += (*(f"time, batch {batch}" for batch in BATCHES), "one step")
    print("| " + " | ".join(heads) + " |\n|" + "---|" + "---:|" * (len(heads) - 1))
    for name, model in models.items():
        cells = [f"{of[name, kind]:#.2%}" for of in (scaled, raw) for kind in ("", "by data")]
        ratios = [f"{found[each][name][1]:.2f}" for each in (*BATCHES, "step")]
        print("| " + " | ".join([name, f"{model.nbytes:,}", *cells, *ratios]) + " |")
    micro = {key: 1e6 * each["int8"][0] for key, each in found.items()}
    print(
        f"\nTimes are parts of int8's: {', '.join(f'{micro[batch] / STEPS:.2f}' for batch in BATCHES)} µs a step of a "
        f"sequence at batch {', '.join(map(str, BATCHES))}, and {micro['step']:.2f} µs for one step of one row. Bytes "
        "and times by data are those of plain codes.\n"
    )
    broken = []
    rows = np.ascontiguousarray(x[:, :1])
    for what, arguments, calls in (("step", (step, states), 100), ("sequence", (rows,), 3)):
        # Only these two take turns: further ones would evict them from the caches.
        runs = {name: partial(models[name], *arguments) for name in ("int8", "float32 W_ih")}
        _, median, low, high = times(runs, 5 * given.rounds, calls)["float32 W_ih"]
        print(f"float32 W_ih, one {what}: {median:.2f} (quartiles {low:.2f} to {high:.2f}), promised {PROMISED[what]}.")
        if median > PROMISED[what]:
            broken.append(f"a {what} with a float32 W_ih: {median:.2f}, promised {PROMISED[what]}")
    if broken:
        sys.exit("not as promised: " + "; ".join(broken))


if __name__ == "__main__":
    main()
