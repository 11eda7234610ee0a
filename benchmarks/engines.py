"""Measure what the 13-bit activations of engine qrnn13 gain over engine qrnn, and what they cost.

    make bench-engines      (or, where qrnn is installed: python benchmarks/engines.py [--quick] [--isa avx2])

The error is the relative RMS error of h over 100 steps against float64 with the float weights, averaged over random
cells as in accuracy.py; "float activations" means a float32 module with the values of the same int8 weights. The
divergence (Kullback-Leibler, from the float32 model's distribution) is measured on the examples' trained models and
held-back data, plainly quantized and calibrated. The cost is the CPU time of qrnn13 over that of qrnn at I = H: the
median over places in memory of the median over interleaved rounds. benchmarks/results/engines.md holds the output.
"""

import machine

machine.use_one_thread()

import argparse
import copy
from functools import partial

import accuracy
import cells
import numpy as np
import recurrent
import trained_data
from builds import make, matrices, ratio_of_places

import qrnn
from qrnn import _core, nn

KINDS = {"rnn": "rnn_tanh", "lstm": "lstm", "gru": "gru"}
STEPS = 48  # steps of a timed sequence
PLACES = 5  # places in memory over which the median is taken; builds.py gives the reason
MOST = 1.03  # largest ratio to the error with float activations
LEAST = 1e-7  # nats; held-back data cannot resolve less (speakers: 370 sequences, 3e-7 nats calibrated)
DIVERGING = ("fbgemm", "qnnpack", "onednn", "qrnn", "qrnn13")


def of_float_activations(kind, weights):
    """Make a float32 module of the values that the int8 codes stand for."""
    quantized = accuracy.quantized_by_qrnn(kind, weights, "qrnn13")
    seen = {name.removesuffix("_l0"): each.dequantize() for name, each in quantized.get_weight().items()}
    return accuracy.float_module(nn, kind, {**weights, **seen})


def errors(kind, hidden_size, models, steps):
    """Return the mean errors of qrnn, qrnn13 and float activations."""
    rng, found = np.random.default_rng(hidden_size), []
    for _ in range(models):
        weights = recurrent.random_weights(kind, hidden_size, hidden_size, rng)
        xs = rng.standard_normal((steps, 1, hidden_size)).astype(np.float32)
        exact = recurrent.reference(kind, weights, xs)
        modules = [accuracy.quantized_by_qrnn(kind, weights, engine) for engine in ("qrnn", "qrnn13")]
        modules.append(of_float_activations(kind, weights))
        found.append([cells.relative_rms(accuracy.trajectory(kind, module, xs), exact) for module in modules])
    return np.mean(found, axis=0)


def print_errors(models, steps):
    """Print the first table; return the largest ratio of qrnn13 to float activations."""
    print("\n| | I = H | qrnn | qrnn13 | float activations | qrnn13 ÷ float |\n|---|---:|---:|---:|---:|---:|")
    ratios = []
    for kind in KINDS:
        for hidden_size in (64, 256):
            qrnn, qrnn13, floats = errors(kind, hidden_size, models, steps)
            ratios.append(qrnn13 / floats)
            shown = " | ".join(f"{100 * each:.3f} %" for each in (qrnn, qrnn13, floats))
            print(f"| {kind} | {hidden_size} | {shown} | {ratios[-1]:.3f} |", flush=True)
    return max(ratios)


def seen_by_float_activations(model, quantized):
    """Return `model` with the weights and biases of `quantized`, as floats."""
    seen, layers = copy.deepcopy(model), dict(quantized.named_modules())
    for name, layer in seen.named_modules():
        other = layers[name]
        if isinstance(other, qrnn.nn.quantized.dynamic.Linear):
            layer.weight, layer.bias = other.weight().dequantize(), other.bias()
        elif isinstance(layer, _core.Module):
            for parameter, weight in other.get_weight().items():
                setattr(layer, parameter, weight.dequantize())
            for parameter, bias in other.get_bias().items():
                setattr(layer, parameter, bias)
    return seen


def divergences(task, calibrated):
    """Return divergences on data held back: of each engine, and of qrnn13's weights with float activations."""
    exact, found = task.run(task.model, *task.held_back)[0], {}
    for engine in DIVERGING:
        prepared = qrnn.prepare(task.model, qconfig={}, inplace=False, engine=engine)
        if calibrated:
            task.run(prepared, *task.calibration)
        model = qrnn.convert(prepared)
        found[engine] = trained_data.divergence(exact, task.run(model, *task.held_back)[0])
        if engine == "qrnn13":
            model = seen_by_float_activations(task.model, model)
            found["float"] = trained_data.divergence(exact, task.run(model, *task.held_back)[0])
    return found


def print_divergences(tasks):
    """Print the second table; return the largest ratio of qrnn13 to float activations."""
    print("\n| millinats | weights | " + " | ".join(DIVERGING) + " | float activations | qrnn13 ÷ float |")
    print("|---|---|" + "---:|" * (len(DIVERGING) + 2))
    ratios = []
    for task in tasks:
        for calibrated in (False, True):
            found = divergences(task, calibrated)
            ratio = found["qrnn13"] / found["float"]
            shown = " | ".join(f"{1000 * found[name]:.4f}" for name in (*DIVERGING, "float"))
            weights = "calibrated" if calibrated else "plain"
            print(f"| {task.name} | {weights} | {shown} | {ratio:.3f} |", flush=True)
            if found["qrnn13"] - found["float"] > LEAST:
                ratios.append(ratio)
    return max(ratios, default=1.0)


def print_costs(sizes, rounds, isa):
    points = [(sequence, batch) for sequence in (False, True) for batch in (1, 4, 32)]
    heads = [f"{'sequence' if sequence else 'step'}, batch {batch}" for sequence, batch in points]
    print("\n| qrnn13 ÷ qrnn | I = H | " + " | ".join(heads) + " |\n|---|" + "---:|" * (len(heads) + 1))
    rng = np.random.default_rng(0)
    for kind, name in KINDS.items():
        for size in sizes:
            weights, row = matrices(name, "qrnn", size, rng), []
            for sequence, batch in points:
                makers = [partial(make, _core, name, engine, isa, weights, sequence) for engine in ("qrnn", "qrnn13")]
                shape = (STEPS, batch, size) if sequence else (batch, size)
                row.append(ratio_of_places(makers, (rng.standard_normal(shape, np.float32),), rounds, PLACES)[0])
            print(f"| {kind} | {size} | " + " | ".join(f"{value:.2f}" for value in row) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer models, sizes and rounds")
    parser.add_argument("--isa", default=None)
    options = parser.parse_args()
    print(f"{machine.cpu_name()}, {options.isa or _core.isas()[-1]}")
    worst = print_errors(2 if options.quick else 20, 20 if options.quick else 100)
    if not options.quick:
        worst = max(worst, print_divergences([trained_data.load(name) for name in trained_data.NAMES]))
    print_costs((16, 64) if options.quick else (16, 64, 256, 512, 1024), 3 if options.quick else 11, options.isa)
    if worst > MOST and not options.quick:
        raise SystemExit(f"qrnn13 errs {worst:.3f} times as float activations, promised at most {MOST}")


if __name__ == "__main__":
    main()
