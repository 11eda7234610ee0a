"""Time the loading of a file: qrnn.load of a model and of its arrays, and np.load of the same arrays, in turns.

make bench-files      (or, where qrnn is installed: python benchmarks/files.py [MIB], 10)

Each figure is the fastest of 30 rounds, with files in the system's cache; each ratio is the median of the ratios inside
the rounds. The model is one LSTM, quantized and in float32; "arrays" is the file without the model's description.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import machine

machine.use_one_thread()

import numpy as np

import qrnn
from qrnn import nn

ROUNDS = 30


def np_load(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def timed(call, argument):
    start = time.perf_counter()
    result = call(argument)
    seconds = time.perf_counter() - start
    del result
    return seconds


def measured(model, folder):
    """Return the bytes of a model's arrays, and the seconds of each round by name."""
    state, paths = model.state_dict(), {name: folder / name for name in ("model", "arrays", "np.load")}
    qrnn.save(model, paths["model"])
    qrnn.save(state, paths["arrays"])
    with open(paths["np.load"], "wb") as file:
        np.savez(file, **state)
    calls = {"model": qrnn.load, "arrays": qrnn.load, "np.load": np_load}
    seconds = {name: [] for name in calls}
    for _ in range(ROUNDS + 2):
        for name, call in calls.items():
            seconds[name].append(timed(call, paths[name]))
    for key, value in np_load(paths["np.load"]).items():
        assert (qrnn.load(paths["arrays"])[key] == value).all() and (
            qrnn.load(paths["model"]).state_dict()[key] == value
        ).all()
    return sum(value.nbytes for value in state.values()), {name: each[2:] for name, each in seconds.items()}


def main():
    mib = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    print("| | MiB | np.load, ms | arrays, ms | model, ms | arrays ÷ np.load | model ÷ np.load |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for name, size in (("int8", 1), ("float32", 4)):
            hidden = round((mib * 2**20 / size / 8) ** 0.5)  # 4 gates, two square matrices
            model = nn.Sequential(nn.LSTM(hidden, hidden))
            model = qrnn.quantize_dynamic(model) if size == 1 else model
            nbytes, seconds = measured(model, Path(folder))
            best = [min(seconds[key]) * 1e3 for key in ("np.load", "arrays", "model")]
            ratios = [
                statistics.median(a / b for a, b in zip(seconds[key], seconds["np.load"], strict=True))
                for key in ("arrays", "model")
            ]
            cells = [f"{nbytes / 2**20:.1f}", *(f"{value:.2f}" for value in (*best, *ratios))]
            print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
