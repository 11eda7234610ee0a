"""Error of h against float64 over 100 steps: the engines of qrnn and what torch.ao makes of the same models.

    make accuracy      (or, where qrnn is installed: python benchmarks/accuracy.py)

Every figure of the tables is the mean over random models (weights uniform in +-1/sqrt(H), I = H, inputs
standard normal) of the relative RMS error of h over all steps and batch rows. Every engine continues from its
own state. RNNCell is called step by step, LSTM and GRU with the whole sequence. The error includes the rounding of
weights: engine qrnn has a scale for each row; PyTorch, and the engines named after its own, have one for each matrix
by default. The program ends with an error if engine qrnn exceeds the promised share of torch.ao's error; without
PyTorch, engine fbgemm stands in for torch.ao.
"""

import machine

machine.use_one_thread()

import argparse
import sys
import time
import warnings

import cells
import numpy as np
import recurrent

from qrnn import nn

try:
    import torch
except ImportError:
    torch = None
else:
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)

ENGINES = ("qrnn", "fbgemm", "qnnpack", "onednn")
MODULES = {"rnn": "RNNCell", "lstm": "LSTM", "gru": "GRU"}
HIDDEN_SIZES = (32, 128, 256)
BATCHES = (1, 8, 32)
PROMISED = {1: 0.65, 8: 0.5, 32: 0.5}  # batch -> largest share of torch.ao's error


def float_module(classes, kind, weights, convert=np.asarray):
    """Make a module of `classes` (qrnn.nn or torch.nn) with these weights."""
    module = getattr(classes, MODULES[kind])(*recurrent.sizes(kind, weights))
    suffix = "" if kind == "rnn" else "_l0"
    module.load_state_dict({name + suffix: convert(value) for name, value in weights.items()})
    return module


def quantized_by_qrnn(kind, weights, engine):
    given = float_module(nn, kind, weights)
    return getattr(nn.quantized.dynamic, MODULES[kind]).from_float(given, engine=engine)


def quantized_by_torch(kind, weights):
    with warnings.catch_warnings():  # torch.ao announces its removal
        warnings.simplefilter("ignore")
        model = torch.nn.Sequential(float_module(torch.nn, kind, weights, torch.from_numpy))
        return torch.ao.quantization.quantize_dynamic(model, {type(model[0])})[0]


def trajectory(kind, module, xs):
    """Return h of every step, starting from zeros: float64 [steps, batch, hidden]."""
    if kind != "rnn":
        return np.asarray(module(xs)[0]).astype(np.float64)
    h, states = None, []
    for x in xs:
        h = module(x, h)
        states.append(np.array(np.asarray(h)))
    return np.stack(states).astype(np.float64)


def errors(rng, kind, hidden_size, batch, steps):
    """Return {name: relative RMS error} of one random model."""
    weights = recurrent.random_weights(kind, hidden_size, hidden_size, rng)
    xs = rng.standard_normal((steps, batch, hidden_size)).astype(np.float32)
    exact = recurrent.reference(kind, weights, xs)
    found = {name: trajectory(kind, quantized_by_qrnn(kind, weights, name), xs) for name in ENGINES}
    if torch is not None:
        found["torch.ao"] = trajectory(kind, quantized_by_torch(kind, weights), torch.from_numpy(xs))
    return {name: cells.relative_rms(value, exact) for name, value in found.items()}


def table(kind, models, steps):
    """Print the table of a kind; return the rows that break the promise."""
    names = [*ENGINES, *(["torch.ao"] if torch is not None else [])]
    peer = names[-1] if torch is not None else "fbgemm"
    head = ["batch", "I = H", *names, f"qrnn ÷ {peer}: mean", "worst model", "promised"]
    print(f"\n{MODULES[kind]}\n\n| " + " | ".join(head) + " |\n|" + "---:|" * len(head))
    broken = []
    for batch in BATCHES:
        for hidden_size in HIDDEN_SIZES:
            rng = np.random.default_rng([batch, hidden_size])
            runs = [errors(rng, kind, hidden_size, batch, steps) for _ in range(models)]
            mean = {name: np.mean([run[name] for run in runs]) for name in names}
            share = mean["qrnn"] / mean[peer]
            worst = max(run["qrnn"] / run[peer] for run in runs)
            row = [
                str(batch),
                str(hidden_size),
                *(f"{100 * mean[name]:.3f} %" for name in names),
                f"{share:.3f}",
                f"{worst:.3f}",
                f"{PROMISED[batch]}",
            ]
            print("| " + " | ".join(row) + " |", flush=True)
            if share > PROMISED[batch]:
                what = f"{MODULES[kind]}, batch {batch}, H {hidden_size}"
                broken.append(f"{what}: {share:.3f} of {peer}'s error")
    return broken


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", choices=MODULES, default=list(MODULES))
    parser.add_argument("--models", type=int, default=20, help="random models a row (default 20)")
    parser.add_argument("--steps", type=int, default=100)
    given = parser.parse_args()

    start = time.perf_counter()
    facts = machine.describe(with_torch=torch is not None)
    print(f"Relative RMS error of h against float64: {given.steps} steps, {given.models} random models a row")
    print(f"\n{facts['cpu']}; qrnn {facts['qrnn']}, numpy {facts['numpy']}, torch {facts['torch']}")
    broken = [line for kind in given.kinds for line in table(kind, given.models, given.steps)]
    print(f"\n{time.perf_counter() - start:.0f} s", file=sys.stderr)
    if broken:
        sys.exit("more than promised: " + "; ".join(broken))


if __name__ == "__main__":
    main()
