"""Measure what rounding by data gains over plain rounding, and what it costs.

    make calibration      (or, where qrnn and scikit-learn are installed, and aeon with --no-deps:
                           python benchmarks/calibration.py)

The trained models of the examples are calibrated with their training data and measured on data held back from
training. Measured are the Kullback-Leibler divergence of the predicted distribution from the float32 model's, and the
rms error of the hidden states. The program ends with an error if a promised ratio to plain rounding is exceeded.
"""

import machine

machine.use_one_thread()

import argparse
import copy
import multiprocessing
import re
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import trained_data

import qrnn
from qrnn import nn
from qrnn.quantization import (
    calibration_report,
    default_dynamic_qconfig,
    per_channel_dynamic_qconfig,
)

# The largest ratio to plain rounding with engine qrnn: of the divergence, or of the rms error of h ("h").
PROMISED = {
    "digits": ("divergence", 0.8),
    "vowels_lstm": ("divergence", 0.8),
    "vowels_gru": ("h", 0.8),  # for its divergence see PROMISED_COPIES
    "text_rnn": ("divergence", 0.7),
    "text_lstm": ("divergence", 0.7),
    "text_gru": ("divergence", 0.7),
    "irnn": ("h", 0.5),
}
PROMISED_COPIES = 0.8  # ratio of the divergences summed over copies with slightly changed weights
PROMISED_WHITE = 1.05
PROMISED_SECONDS = 120
ENGINES = (
    ("qrnn", "own", {}),
    ("fbgemm", "per tensor", default_dynamic_qconfig),
    ("fbgemm", "per channel", per_channel_dynamic_qconfig),
    ("qnnpack", "per tensor", default_dynamic_qconfig),
    ("onednn", "per channel", per_channel_dynamic_qconfig),
)
COPIES = 40  # copies of each classifier of utterances
DRAWS = 10  # random draws of calibration data; text takes a third of them, as its divergence varies less
LENGTHS = (16, 64, 256, 1024, 4096, 16384)
OBSERVED = {
    "RNN": nn.RNN,
    "LSTM": nn.LSTM,
    "LSTM, 3 layers": partial(nn.LSTM, num_layers=3),
    "LSTM, projected to H / 2": lambda inputs, hidden: nn.LSTM(inputs, hidden, proj_size=hidden // 2),
    "GRU": nn.GRU,
    "GRU that resets before": partial(nn.GRU, reset_after=False),
}
COSTS = ((64, 16), (128, 16), (256, 16), (512, 16), (1024, 16), (1024, 1))  # H, batch


def table(heads):
    print("| " + " | ".join(heads) + " |\n|" + "---|" + "---:|" * (len(heads) - 1))


def line(*cells):
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def versions(task, data, engine="qrnn", qconfig=None):
    """Return the model quantized plainly and quantized by data."""
    prepared = qrnn.prepare(task.model, qconfig=qconfig or {}, inplace=False, engine=engine)
    plain = qrnn.convert(prepared, inplace=False)
    task.run(prepared, *data)
    return plain, qrnn.convert(prepared)


def errors(task, model, exact):
    """Return the divergence and the relative rms error of h on the data held back."""
    scores, states = task.run(model, *task.held_back)
    return trained_data.divergence(exact[0], scores), trained_data.relative_rms(states, exact[1])


def draws(task, steps=None):
    """Yield random parts of the calibration data: four fifths of it, or about `steps` steps."""
    x, lengths = task.calibration
    rng = np.random.default_rng(steps or 0)
    for _ in range(DRAWS if task.kind != "text" else DRAWS // 3):
        if task.kind == "text":  # [steps, streams, letters]
            count = len(x) if steps is None else min(len(x), -(-steps // x.shape[1]))
            streams = x.shape[1] * 4 // 5 if steps is None else min(x.shape[1], max(1, steps // count))
            start = rng.integers(0, len(x) - count + 1)
            yield x[start : start + count, rng.permutation(x.shape[1])[:streams]], None
        else:  # [examples, steps, features]
            mean = x.shape[1] if lengths is None else lengths.mean()
            count = len(x) * 4 // 5 if steps is None else max(1, round(steps / mean))
            chosen = rng.permutation(len(x))[:count]
            yield x[chosen], None if lengths is None else lengths[chosen]


def trained_models(tasks, broken):
    print(
        f"\n## Trained models: mean of {DRAWS} calibrations (text: {DRAWS // 3}), each with four fifths of the data\n"
    )
    table(
        [
            "model",
            "engine",
            "weights",
            "steps seen",
            "divergence plain",
            "by data",
            "ratio",
            "error of h plain",
            "by data",
            "ratio",
            "promised",
        ]
    )
    for task in tasks:
        exact = task.run(task.model, *task.held_back)
        for engine, scheme, qconfig in ENGINES:
            after = []
            for data in draws(task):
                plain, new = versions(task, data, engine, qconfig)
                after.append(errors(task, new, exact))
            before, after = errors(task, plain, exact), np.mean(after, axis=0)
            ratio = {"divergence": after[0] / before[0], "h": after[1] / before[1]}
            promised = ""
            if engine == "qrnn":
                what, bound = PROMISED[task.name]
                promised = f"{what} {bound}"
                if ratio[what] > bound:
                    broken.append(f"{task.name}: {what} {ratio[what]:.3f}, promised {bound}")
            steps = calibration_report(new)[0].samples
            line(
                task.name,
                engine,
                scheme,
                f"{steps:,}",
                f"{before[0]:.2e}",
                f"{after[0]:.2e}",
                f"{ratio['divergence']:.3f}",
                f"{before[1]:.2%}",
                f"{after[1]:.2%}",
                f"{ratio['h']:.3f}",
                promised,
            )


def copies(tasks, broken):
    """Measure copies of the classifiers with weights changed by 1 %: how much one model's divergence varies."""
    print(
        f"\n## {COPIES} copies with weights that differ by 1 %, all data: the divergence of one good classifier "
        "scatters, that of all together does not\n"
    )
    heads = ("divergence plain", "by data", "ratio of all", "of one: mean", "sd", "least", "most", "in 5 inputs of 370")
    table(["model", *heads, "ratio of h: mean", "sd"])
    for task in (task for task in tasks if task.kind == "vowels"):
        found, shares = [], []
        for seed in range(COPIES):
            rng, model = np.random.default_rng(seed), copy.deepcopy(task.model)
            state = {
                name: value * (1 + 0.01 * rng.standard_normal(value.shape))
                for name, value in model.state_dict().items()
            }
            model.load_state_dict({name: value.astype(np.float32) for name, value in state.items()})
            one = replace(task, model=model)
            exact = one.run(model, *one.held_back)
            plain, new = versions(one, one.calibration)
            found.append([*errors(one, plain, exact), *errors(one, new, exact)])
            each = np.sort(trained_data.divergences(exact[0], one.run(plain, *one.held_back)[0]))
            shares.append(each[-5:].sum() / each.sum())
        rough, rough_h, fine, fine_h = np.array(found).T
        ratios, of_h, together = fine / rough, fine_h / rough_h, fine.sum() / rough.sum()
        spread = (ratios.mean(), ratios.std(), ratios.min(), ratios.max())
        line(
            task.name,
            f"{rough.mean():.2e}",
            f"{fine.mean():.2e}",
            f"{together:.3f}",
            *(f"{value:.2f}" for value in spread),
            f"{np.mean(shares):.0%}",
            f"{of_h.mean():.3f}",
            f"{of_h.std():.3f}",
        )
        if together > PROMISED_COPIES:
            broken.append(f"{task.name}, copies: divergence {together:.3f}, promised {PROMISED_COPIES}")


def white_models(broken):
    """Measure random weights on white inputs, where rounding by data should neither gain nor lose."""
    print("\n## Random weights on white inputs: error of h, ratio to plain rounding's\n")
    table(["layer", "steps seen", "mean", "worst of 10"])
    kinds = {
        "RNN": nn.RNN,
        "relu RNN": lambda *sizes: nn.RNN(*sizes, nonlinearity="relu"),
        "LSTM": nn.LSTM,
        "GRU": nn.GRU,
        "GRU that resets before": lambda *sizes: nn.GRU(*sizes, reset_after=False),
    }
    for name, make in kinds.items():
        for steps in (30, 3000):
            ratios = []
            for seed in range(10):
                qrnn.manual_seed(seed)
                rng, layer = np.random.default_rng(seed), make(32, 64)
                prepared = qrnn.prepare(layer, qconfig={})
                plain = qrnn.convert(prepared)
                prepared(rng.standard_normal((steps // 10, 10, 32)).astype(np.float32))
                x = rng.standard_normal((50, 40, 32)).astype(np.float32)
                exact, rough, fine = (each(x)[0] for each in (layer, plain, qrnn.convert(prepared)))
                rms = trained_data.relative_rms
                ratios.append(rms(fine, exact) / rms(rough, exact))
            line(f"{name}(32, 64)", f"{steps:,}", f"{np.mean(ratios):.3f}", f"{max(ratios):.3f}")
            if max(ratios) > PROMISED_WHITE:
                broken.append(f"white {name}: {max(ratios):.3f}, promised {PROMISED_WHITE}")


def curve(tasks):
    print(
        f"\n## How much data: ratio to plain rounding by steps seen, engine qrnn, mean of {DRAWS} draws "
        f"(text: {DRAWS // 3})\n"
    )
    table(["model", "", *(f"{steps:,}" for steps in LENGTHS)])
    for task in tasks:
        exact = task.run(task.model, *task.held_back)
        found = []
        for steps in LENGTHS:
            runs = []
            for data in draws(task, steps):
                plain, new = versions(task, data)
                runs.append(errors(task, new, exact))
            found.append(np.mean(runs, axis=0) / errors(task, plain, exact))
        for place, what in enumerate(("divergence", "error of h")):
            line(task.name, what, *(f"{ratios[place]:.2f}" for ratios in found))


def observing():
    """Measure the time that observing adds to the calls of a prepared layer."""
    sizes, batch, steps = (64, 256, 512), 16, 125
    print(
        f"\n## Observing: CPU time of a prepared layer's call over that of the float32 one, I = H, {steps} steps of "
        f"{batch} rows\n"
    )
    table(["layer", *(f"H = {hidden}" for hidden in sizes)])
    for name, make in OBSERVED.items():
        ratios = []
        for hidden in sizes:
            qrnn.manual_seed(0)
            layer = make(hidden, hidden)
            prepared = qrnn.prepare(layer, qconfig={}, inplace=False)
            x = np.random.default_rng(0).standard_normal((steps, batch, hidden)).astype(np.float32)
            prepared(x)  # the first call allocates the sums
            ratios.append(time_ratio(partial(prepared, x), partial(layer, x), calls=1 + 512 // hidden))
        line(name, *(f"{ratio:.2f}" for ratio in ratios))


def costs(steps, broken):
    """Measure the time and memory of calibrating LSTMs, each in its own process."""
    print(f"\n## Calibrating an LSTM, I = H, on {steps:,} steps: seconds of one thread\n")
    table(["H", "batch", "float32 alone", "float32 observed", "rounding", "last two", "MiB they add"])
    for hidden, batch in COSTS:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
            alone, observed, rounding, memory = fresh.submit(cost, hidden, batch, steps).result()
        both = observed + rounding
        line(hidden, batch, *(f"{each:.2f}" for each in (alone, observed, rounding, both)), f"{memory:.0f}")
        if both > PROMISED_SECONDS:
            broken.append(f"an LSTM of {hidden} took {both:.0f} s, promised {PROMISED_SECONDS}")


def cost(hidden, batch, steps):
    """Return seconds of the float32 call, the observed call and convert; and the peak MiB that the last two add."""
    qrnn.manual_seed(0)
    layer = nn.LSTM(hidden, hidden)
    x = np.random.default_rng(0).standard_normal((steps // batch, batch, hidden)).astype(np.float32)
    prepared = qrnn.prepare(layer, qconfig={})
    times, before = [], 0
    for run in (partial(layer, x), partial(prepared, x), partial(qrnn.convert, prepared)):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
        before = before or peak()
    return (*times, peak() - before)


def peak():
    """Return the largest memory of this process so far, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would include the parent's peak
        return int(re.search(r"VmHWM:\s*(\d+) kB", status.read_text()).group(1)) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2  # macOS: bytes


def speed(tasks, broken):
    """Check that the model rounded by data is as fast: it has the same kernels and other codes."""
    print("\n## Speed of a call on data held back, by data over plain rounding\n")
    table(["model", "bytes plain", "by data", "time ratio"])
    for task in tasks:
        plain, new = versions(task, task.calibration)
        x, lengths = task.held_back
        x = x[:, :1] if task.kind == "text" else x[:1]
        lengths = None if lengths is None else lengths[:1]
        ratio = time_ratio(partial(task.run, new, x, lengths), partial(task.run, plain, x, lengths))
        if new.nbytes != plain.nbytes:
            broken.append(f"{task.name}: {new.nbytes} bytes, plain {plain.nbytes}")
        line(task.name, f"{plain.nbytes:,}", f"{new.nbytes:,}", f"{ratio:.3f}")


def time_ratio(one, other, rounds=25, calls=1):
    """Return the median over interleaved rounds of one's CPU time over the other's, for `calls` calls each."""
    ratios = []
    for turn in range(rounds):
        times = {}
        for run in (one, other) if turn % 2 else (other, one):
            start = time.thread_time()
            for _ in range(calls):
                run()
            times[run] = time.thread_time() - start
        ratios.append(times[one] / times[other])
    return float(np.median(ratios))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", default=trained_data.NAMES, help="default: all")
    parser.add_argument("--quick", action="store_true", help="trained and random models only")
    parser.add_argument("--costs", action="store_true", help="what calibrating costs only")
    parser.add_argument("--steps", type=int, default=10_000, help="of the timed LSTM (default 10,000)")
    given = parser.parse_args()

    start = time.perf_counter()
    facts = machine.describe(with_torch=False)
    print(
        f"# Rounding by data against plain rounding\n\n{facts['cpu']}; qrnn {facts['qrnn']}, "
        f"numpy {facts['numpy']}, BLAS: {facts['blas']}"
    )
    broken = []
    if not given.costs:
        tasks = [trained_data.load(name) for name in given.models]
        trained_models(tasks, broken)
        copies(tasks, broken)
        white_models(broken)
        if not given.quick:
            curve(tasks)
            speed(tasks, broken)
    if not given.quick:
        observing()
        costs(given.steps, broken)
    print(f"\n{time.perf_counter() - start:.0f} s", file=sys.stderr)
    if broken:
        sys.exit("not as promised: " + "; ".join(broken))


if __name__ == "__main__":
    main()
