"""Functions for the demos: a float32 model beside its quantized versions, with sizes, times and a table."""

import platform
import statistics
import sys
import time
import warnings
from pathlib import Path

import numpy as np

import qrnn
from qrnn import nn

try:
    import torch
except ImportError:
    torch = None

ROUNDS = 25


def versions_of(original):
    """Return (name, model) pairs: the float32 model and a quantized model for each engine."""
    pairs = [("qrnn float32", original)]
    for engine in "qrnn", "fbgemm":
        pairs.append((f"qrnn int8, engine {engine}", qrnn.quantize_dynamic(original, engine=engine)))
    return pairs


def torch_versions_of(original, kinds):
    """Return (name, model) pairs of PyTorch: its float32 model and the models that torch.ao makes from it."""
    torch.set_num_threads(1)
    original = original.eval().requires_grad_(False)
    pairs = [("torch.nn float32", original)]
    backend = torch.backends.quantized
    if "fbgemm" in backend.supported_engines:
        before, backend.engine = backend.engine, "fbgemm"
        with warnings.catch_warnings():  # torch.ao announces its removal
            warnings.simplefilter("ignore")
            pairs.append(("torch.ao int8, fbgemm", torch.ao.quantization.quantize_dynamic(original, kinds)))
        backend.engine = before
    return pairs


def to_native(model):
    """Return the function that converts a NumPy array to the model's kind of array."""
    return np.asarray if isinstance(model, nn.Module) else torch.from_numpy


def size_in_bytes(model):
    """Return the bytes of the weights: for qrnn as packed, for PyTorch of int8 codes and floats without packing."""
    layers = list(model.children())
    if isinstance(model, nn.Module):
        return sum(layer.nbytes for layer in layers)
    total = 0
    for layer in layers:
        values = list(layer.parameters())
        if not values:  # torch.ao keeps the weights in packed objects
            parts = layer._weight_bias()
            parts = [*parts["weight"].values(), *parts["bias"].values()] if isinstance(parts, dict) else parts
            values = [p.int_repr() if p.is_quantized else p for p in parts]
        total += sum(v.numel() * v.element_size() for v in values)
    return total


def microseconds_a_step(passes, steps):
    """Time functions of that many steps each: {name: microseconds per step}, the median of ROUNDS rounds.

    The functions take turns, so that all meet the same phases of the machine.
    """
    times = {name: [] for name in passes}
    for _ in range(ROUNDS):
        for name, run in passes.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: 1e6 * statistics.median(taken) / steps for name, taken in times.items()}


def cpu_name():
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def circumstances(isa):
    with_torch = f"PyTorch {torch.__version__}" if torch is not None else "PyTorch not installed"
    return f"{cpu_name()}, {isa}; NumPy {np.__version__}, {with_torch}"


def print_table(rows, error):
    """Print a line for each dict of name, accuracy, bytes, microseconds, error; `error` heads the last column."""
    print(f"\n{'':<26}{'accuracy':>10}{'bytes':>10}{'µs a step':>12}{error:>27}")
    for row in rows:
        print(
            f"{row['name']:<26}{row['accuracy']:>10.2%}{row['bytes']:>10,}"
            f"{row['microseconds']:>12.3f}{row['error']:>27.2e}"
        )


def print_agreement(results, what):
    """Print how far engine fbgemm is from torch.ao, which has the same arithmetic; `results` holds arrays by name."""
    ours, theirs = results["qrnn int8, engine fbgemm"], results.get("torch.ao int8, fbgemm")
    if theirs is not None:
        print(
            f"Engine fbgemm against torch.ao: worst difference of {what} {np.abs(ours - theirs).max():.2e}, "
            f"{np.mean(ours != theirs):.2%} of {ours.size:,} values differ."
        )


def check(rows):
    """End the program unless the quantized models are smaller than the first and about as accurate."""
    for row in rows:
        if "int8" in row["name"] and row["bytes"] > rows[0]["bytes"] / 2:
            sys.exit(f"{row['name']} is no smaller than float32: was it quantized?")
        if row["accuracy"] < rows[0]["accuracy"] - 0.01:
            sys.exit(f"{row['name']} lost more than a percentage point of accuracy")
