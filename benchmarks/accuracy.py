"""Error of h against float64 over 100 steps: the engines of qrnn and torch.ao's default cell.

    make accuracy      (or, where qrnn is installed: python benchmarks/accuracy.py)

Every cell of the table is the mean over random tanh cells (weights uniform in +-1/sqrt(H), I = H, inputs
standard normal) of the relative RMS error of h over all steps and batch rows, every engine running on its
own state. Weight rounding is part of it and common to all. Ends with an error if engine qrnn exceeds the
share of torch.ao's error that the project promises; without PyTorch, engine fbgemm stands in for it.
"""

import machine

machine.use_one_thread()

import argparse  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402

import cells  # noqa: E402
import numpy as np  # noqa: E402
from peers import qrnn_cells  # noqa: E402

try:
    from peers import torch_cells
except ImportError:
    torch_cells = None

ENGINES = ("qrnn", "fbgemm", "qnnpack", "onednn")
HIDDEN_SIZES = (32, 128, 256)
BATCHES = (1, 8, 32)
PROMISED = {1: 0.65, 8: 0.5, 32: 0.5}  # of torch.ao's error, by batch


def trajectory(step, xs, native=np.asarray):
    """h of every step from zeros, float64 [steps, batch, hidden]."""
    h, states = None, []
    for x in xs:
        h = step(native(x), h)
        states.append(np.array(np.asarray(h)))
    return np.stack(states).astype(np.float64)


def errors(rng, hidden_size, batch, steps):
    """{name: relative RMS error} of one random cell."""
    weights = cells.Weights.random(rng, hidden_size, hidden_size)
    reference = cells.Reference(weights)
    xs = rng.standard_normal((steps, batch, hidden_size)).astype(np.float32)
    zeros = np.zeros((batch, hidden_size))
    exact = trajectory(lambda x, h: reference.step(x, zeros if h is None else h), xs)
    found = {}
    for engine in ENGINES:
        cell = qrnn_cells.quantised_cell(weights, engine)
        found[engine] = cells.relative_rms(trajectory(cell, xs), exact)
    if torch_cells is not None:
        cell = torch_cells.quantised_cell(weights)
        found["torch.ao"] = cells.relative_rms(trajectory(cell, xs, torch_cells.native), exact)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=20, help="random cells a row (default 20)")
    parser.add_argument("--steps", type=int, default=100)
    given = parser.parse_args()

    start = time.perf_counter()
    names = [*ENGINES, *(["torch.ao"] if torch_cells is not None else [])]
    peer = names[-1] if torch_cells is not None else "fbgemm"
    facts = machine.describe(with_torch=torch_cells is not None)
    print(f"Relative RMS error of h against float64: {given.steps} steps, {given.cells} random cells a row\n"
          f"\n{facts['cpu']}; qrnn {facts['qrnn']}, numpy {facts['numpy']}, torch {facts['torch']}\n")
    head = ["batch", "I = H", *names, f"qrnn ÷ {peer}: mean", "worst cell", "promised"]
    print("| " + " | ".join(head) + " |\n|" + "---:|" * len(head))
    broken = []
    for batch in BATCHES:
        for hidden_size in HIDDEN_SIZES:
            rng = np.random.default_rng([batch, hidden_size])
            runs = [errors(rng, hidden_size, batch, given.steps) for _ in range(given.cells)]
            mean = {name: np.mean([run[name] for run in runs]) for name in names}
            share = mean["qrnn"] / mean[peer]
            worst = max(run["qrnn"] / run[peer] for run in runs)
            row = [str(batch), str(hidden_size), *(f"{100 * mean[name]:.3f} %" for name in names),
                   f"{share:.3f}", f"{worst:.3f}", f"{PROMISED[batch]}"]
            print("| " + " | ".join(row) + " |", flush=True)
            if share > PROMISED[batch]:
                broken.append(f"batch {batch}, H {hidden_size}: {share:.3f} of {peer}'s error")
    print(f"\n{time.perf_counter() - start:.0f} s", file=sys.stderr)
    if broken:
        sys.exit("more than promised: " + "; ".join(broken))


if __name__ == "__main__":
    main()
