"""Measure the costs of qrnn outside its calls: import, wheel, memory.

make bench-start      (or, where qrnn is installed: python benchmarks/start.py)

wheel     the wheel built from these sources and installed by pip, in temporary folders
import    import of the installed package, with bytecode: new processes that import NumPy alone, and new ones that
          import qrnn after it, in turns
weights   bytes per output row of a packed matrix beyond its codes (padded to 16 units and 4 inputs)
sequence  how much a call raises a new process's memory, without input and output
"""

import argparse
import importlib.util
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import machine
import report
import targets

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("csrc", "qrnn", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")
IMPORTS = {"numpy": "import numpy", "numpy, then qrnn": "import numpy, qrnn"}
WEIGHTS = (
    ("rnn", 16, 16),
    ("rnn", 100, 100),
    ("lstm", 12, 64),
    ("lstm", 256, 256),
    ("gru", 40, 128),
    ("gru", 513, 1000),
)
CALLS = (("rnn", 64, 64, 1), ("lstm", 64, 64, 4), ("gru", 256, 256, 32), ("lstm", 1024, 1024, 128))


def child(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        check=True,
        capture_output=True,
        text=True,
        cwd=environment.get("PYTHONPATH"),
    )
    return done.stdout


def import_times(installed, count):
    """Return {name: [(milliseconds, CPU milliseconds)]} of the import, measured inside each process."""
    program = (
        "import time; t = time.perf_counter_ns(), time.process_time_ns(); {}; "
        "print(time.perf_counter_ns() - t[0], time.process_time_ns() - t[1])"
    )
    order, found = random.Random(0), {name: [] for name in IMPORTS}
    for turn in range(count + 2):
        names = list(IMPORTS)
        order.shuffle(names)
        for name in names:
            took = [int(word) / 1e6 for word in child(program.format(IMPORTS[name]), PYTHONPATH=installed).split()]
            if turn >= 2:  # the first turns fill caches
                found[name].append(took)
    return found


def pip(*arguments, **options):
    subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *arguments], check=True, **options
    )


def wheel(folder):
    """Build a wheel in `folder`, install it in folder/installed; return bytes of wheel, files and extension."""
    sources = Path(folder, "sources")
    sources.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd", "*.o")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, sources / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, sources)
    here = [] if importlib.util.find_spec("setuptools") is None else ["--no-build-isolation"]
    pip("wheel", "--no-deps", *here, "-w", folder, ".", cwd=sources)
    (made,) = Path(folder).glob("*.whl")
    pip("install", "--no-deps", "--target", f"{folder}/installed", str(made))
    files = zipfile.ZipFile(made).infolist()
    extension = sum(f.file_size for f in files if "/_core." in f.filename and not f.filename.endswith(".pyi"))
    return made.stat().st_size, sum(f.file_size for f in files), extension


def weights(kind, inputs, hidden):
    """Return (bytes of a layer's packed weights, bytes of their codes, output rows of its two matrices)."""
    import recurrent

    import qrnn

    gates = recurrent.GATES[kind]
    codes = sum(targets.codes_bytes(gates * hidden, columns, gates) for columns in (inputs, hidden))
    return getattr(qrnn, kind.upper())(inputs, hidden).nbytes, codes, 2 * gates * -(-hidden // 16) * 16


# A program that runs a sequence into existing arrays and prints how much its memory rose meanwhile.
PEAK = """
import numpy as np
import qrnn

def status(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name + ":"))

layer = qrnn.{kind}({inputs}, {hidden})
x, out = (np.full(({steps}, {batch}, n), 0.5, np.float32) for n in ({inputs}, {hidden}))
state = [np.zeros((1, {batch}, {hidden}), np.float32) for _ in range(2)]
with open("/proc/self/clear_refs", "w") as peak:
    peak.write("5")  # the peak is now what there is
before = status("VmRSS")
layer(x, out=(out, tuple(state) if "{kind}" == "LSTM" else state[0]))
print(status("VmHWM") - before)
"""


def peak(kind, inputs, hidden, batch, steps):
    """Return bytes; blocks of 16 KiB and more come from the system, so that none hides in memory freed before."""
    code = PEAK.format(kind=kind.upper(), inputs=inputs, hidden=hidden, batch=batch, steps=steps)
    return int(child(code, MALLOC_MMAP_THRESHOLD_="16384", MALLOC_TRIM_THRESHOLD_="16384"))


def sequences():
    """Make the table's rows: for a short sequence and for one of eight times as many steps."""
    lines = []
    for kind, inputs, hidden, batch in CALLS:
        short = max(50, 1_000_000 // (batch * hidden))
        took = [peak(kind, inputs, hidden, batch, steps) for steps in (short, 8 * short)]
        lines.append(
            [
                kind.upper(),
                str(batch),
                f"{inputs} x {hidden}",
                str(short),
                f"{took[0] >> 10}",
                str(8 * short),
                f"{took[1] >> 10}",
                f"{8 * short * batch * hidden * 4 >> 10}",
            ]
        )
    return report.rows(["kind", "batch", "I x H", "steps", "KiB", "steps", "KiB", "KiB of output"], lines)


def yes(holds):
    return "yes" if holds else "**no**"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=40, help="processes of each kind (default: %(default)s)")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(__file__).parent / "results" / "start.md",
        help="where the tables are written (default: %(default)s)",
    )
    given = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="qrnn-start-") as folder:
        size, installed, extension = wheel(folder)
        times = import_times(f"{folder}/installed", given.count)
    medians = {what: [statistics.median(each) for each in zip(*took, strict=True)] for what, took in times.items()}
    added, on_cpu = (both - alone for alone, both in zip(*medians.values(), strict=True))
    lines = ["# Start and size", "", *(f"- {k}: {v}" for k, v in machine.describe(with_torch=False).items()), ""]
    lines += report.rows(
        ["what", "measured", "asked", "reached"],
        [
            [
                "ms that `import qrnn` adds to `import numpy`",
                f"{added:.1f}",
                f"at most {targets.IMPORT_MS:g}",
                yes(added <= targets.IMPORT_MS),
            ],
            ["of them on the CPU", f"{on_cpu:.1f}", "", ""],
            ["bytes of the wheel", f"{size:,}", f"under {targets.WHEEL_BYTES:,}", yes(size < targets.WHEEL_BYTES)],
            ["bytes installed, without bytecode", f"{installed:,}", "", ""],
            ["of them the extension", f"{extension:,}", "", ""],
        ],
    )
    each = f"import, ms, {given.count} processes each (`--count {given.count}`)"
    lines += report.rows(
        [each, "fastest", "median", "median on the CPU"],
        [[what, f"{min(took)[0]:.1f}", *(f"{value:.1f}" for value in medians[what])] for what, took in times.items()],
    )
    table = []
    for kind, inputs, hidden in WEIGHTS:
        total, codes, rows = weights(kind, inputs, hidden)
        table.append(
            [kind.upper(), f"{inputs} x {hidden}", f"{total:,}", f"{codes:,}", f"{(total - codes) / rows:.1f}"]
        )
    lines += [
        "Packed weights of a layer, bytes; beside codes are 12 a row and about a kilobyte a module.",
        "",
        *report.rows(["kind", "I x H", "all", "codes", "others a row"], table),
    ]
    lines += ["Memory that a sequence takes on one thread beside its input and output:", "", *sequences()]
    report.publish(lines, given.output, start)


if __name__ == "__main__":
    main()
