"""Mutation testing: mutants.py ROOT WORK REASONS [--of csrc|qrnn|FILE ...] [--sample N] [--minutes M] [--seed S].

Plants one small change of the sources after the other (mutations.py) in a scratch copy, and runs the tests of the file
that CONTRIBUTING.md's table names, the C programs first where the file is the core's, until one fails. A change that
makes the same machine code, or does not compile, does not count. What no test sees is printed, as

    file | text of the line | what was changed

and needs a reason in REASONS, whose form is that of unreached.txt. Without --sample, all changes.
"""

from __future__ import annotations

import argparse
import ast
import fnmatch
import hashlib
import os
import random
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
from mutations import of_c, of_python

FLAGS = ["-std=c11", "-O1", "-fPIC", "-fno-wrapv", "-fvisibility=hidden", "-D_GNU_SOURCE"]
SANITIZED = [*FLAGS, "-g", "-DQRNN_SMALL_LIMITS", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
#: Core and kernels, small calls taking every way, without Python: sources and arguments.
PROGRAMS = {
    "cpus": ("c/cpus.c",),
    "contract": ("c/contract.c", "c/cases.c"),
    "replay": ("fuzz/replay.c", "fuzz/fuzz_core.c", "c/cases.c"),
    "check_kernels": ("c/check_kernels.c",),
    "mistakes": ("c/mistakes.c", "c/cases.c"),
}
ARGUMENTS = {"replay": ["600"], "check_kernels": ["2"]}
#: Tests that read or compile the sources by themselves, check types, or need a tool of their own.
OF_SOURCES = (
    *("errands/", "pages/", "core/test_branches", "core/test_c_library", "core/test_check_tools", "core/test_emulated"),
    *("core/test_mutants", "core/test_source_rules", "pytorch/test_torch_types"),
)
#: At most this part of the changes may go unseen without a reason.
ALLOWED = {"csrc": 0.05, "qrnn": 0.10}


def tests_of(root, file):
    """Test files that the table of CONTRIBUTING.md names for a source, those of the narrowest row first."""
    rows = []
    for line in (root / "CONTRIBUTING.md").read_text().splitlines():
        cells = line.split("|")
        if len(cells) != 4 or not line.startswith("| `"):
            continue
        sources, tests = (re.findall(r"`([^`]+)`", cell) for cell in cells[1:3])
        named = next((name for name in sources if "/" in name), "")
        folder = named.rpartition("/")[0]
        names = {name if "/" in name else f"{folder}/{name}" for name in sources}
        fits = [n for n in names if fnmatch.fnmatch(file, n) or (n.endswith("/") and file.startswith(n))]
        if fits:
            rows.append((-max(map(len, fits)), tests))
    found = []
    for _, tests in sorted(rows, key=lambda row: row[0]):
        for pattern in tests:
            paths = sorted((root / "tests").glob(f"{pattern}test_*.py" if pattern.endswith("/") else pattern))
            found += [str(path.relative_to(root / "tests")) for path in paths if path.suffix == ".py"]
    return [name for name in dict.fromkeys(found) if not name.startswith(OF_SOURCES)]


class Tree:
    """A scratch copy, its extension and its C programs; what was compiled from the same text is kept by its hash."""

    def __init__(self, root, folder):
        self.root, self.folder, self.objects = root, folder, folder.parent / "objects"
        self.objects.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        for name in ("csrc", "qrnn", "tests", "docs", "examples"):
            shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        for name in ("README.md", "CONTRIBUTING.md", "pyproject.toml", "setup.py"):
            shutil.copy(root / name, folder)
        self.original = self.compiled(binding=True)
        self.link(self.original)

    def object(self, path, flags):
        own = [f"-I{self.folder}/{name}" for name in ("csrc/core", "csrc/kernels", "tests/c")]
        include = [*own, f"-I{numpy.get_include()}", f"-I{sysconfig.get_path('include')}"]
        command = [os.environ.get("CC", "cc"), *flags, *include]
        text = subprocess.run([*command, "-E", "-P", path], capture_output=True, check=True).stdout
        kept = self.objects / f"{hashlib.sha256(text + ' '.join(flags).encode()).hexdigest()[:40]}.o"
        if not kept.exists():
            new = kept.with_suffix(f".{os.getpid()}-{self.folder.name}")
            subprocess.run([*command, "-c", path, "-o", new], capture_output=True, check=True)
            new.rename(kept)
        return kept

    def compiled(self, binding, flags=FLAGS):
        """Objects of the sources; CalledProcessError where one does not compile."""
        paths = sorted((self.folder / "csrc").rglob("*.c"))
        return [self.object(path, flags) for path in paths if binding or path.parent.name != "python"]

    def link(self, objects):
        so = self.folder / "qrnn" / f"_core{sysconfig.get_config_var('EXT_SUFFIX')}"
        so.unlink(missing_ok=True)  # a process may still have it open
        subprocess.run([os.environ.get("CC", "cc"), "-shared", *objects, "-lm", "-lpthread", "-o", so], check=True)

    def programs_see(self, limits):
        """Whether a C program fails on the present sources, or takes more than its limit in seconds, if it has one.

        `limits` get those of programs that pass: ten times what they took.
        """
        objects = self.compiled(binding=False, flags=SANITIZED)
        for name, sources in PROGRAMS.items():
            own = [self.object(self.folder / "tests" / each, SANITIZED) for each in sources]
            program = self.folder / name
            command = [os.environ.get("CC", "cc"), "-fsanitize=address,undefined", *own, *objects]
            subprocess.run([*command, "-lm", "-lpthread", "-o", program], check=True)
            corpus = sorted((self.folder / "tests/fuzz/corpus").iterdir()) if name == "replay" else []
            start = time.monotonic()
            if finished([program, *ARGUMENTS.get(name, []), *corpus], self.folder, limits.get(name))[0] != 0:
                self.failed = name
                return True
            limits.setdefault(name, 30 + 10 * (time.monotonic() - start))
        return False

    def failing(self, tests, limit):
        """The tests that fail, up to the first; None if none does."""
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-rfE", "-p", "no:cacheprovider", *tests]
        status, printed = finished(command, self.folder / "tests", limit) if tests else (0, "")
        if status == 0:
            return None
        return re.findall(r"^(?:FAILED|ERROR) (.*?)(?: - .*)?$", printed, re.MULTILINE)


def finished(command, folder, limit):
    """Exit status and output; what takes longer than `limit` seconds hangs, which is a failure."""
    environment = {**os.environ, "PYTHONPATH": str(folder.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return "hangs", ""
    return done.returncode, done.stdout.decode(errors="replace")


def try_mutation(tree, file, mutation, limit, limits):
    """ "seen", "unseen", "same" (the machine code is), "invalid", or "broken": a test fails without the change."""
    path = tree.folder / file
    text, failing = (tree.root / file).read_bytes(), None
    path.write_bytes(mutation.applied(text))
    try:
        if file.startswith("csrc/"):
            try:
                objects = tree.compiled(binding=True)
            except subprocess.CalledProcessError:
                return "invalid"
            pairs = zip(objects, tree.original, strict=True)
            if all(a == b or a.read_bytes() == b.read_bytes() for a, b in pairs):
                return "same"
            if not file.startswith("csrc/python/") and tree.programs_see(limits):
                return "seen"
            tree.link(objects)
        else:
            try:
                ast.parse(path.read_bytes())
            except SyntaxError:
                return "invalid"
        failing = tree.failing(tests_of(tree.root, file), limit)
    finally:
        path.write_bytes(text)
        if file.startswith("csrc/"):
            tree.link(tree.original)
    if failing is None:
        return "unseen"
    if tree.failing(failing, limit) is None:
        return "seen"
    print(f"FAILS WITHOUT A CHANGE TOO: {failing}", flush=True)
    return "broken"


def key_of(root, file, mutation):
    line = (root / file).read_text().splitlines()[mutation.line - 1].strip()
    return f"{file} | {line} | {mutation.what}"


def read_reasons(path):
    """Keys that are explained."""
    lines = path.read_text().splitlines()
    return {line.strip() for line in lines if line.strip() and not line.startswith(("#", "= "))}


def chosen(root, of, sample, seed):
    """(file, mutation) of each package or file, in an order of chance."""
    found = []
    for path in sorted([*root.glob("csrc/**/*.[ch]"), *root.glob("qrnn/**/*.py")]):
        file = str(path.relative_to(root))
        if not of or any(file == each or file.startswith(f"{each}/") for each in of):
            found += [(file, m) for m in (of_python if path.suffix == ".py" else of_c)(path.read_bytes())]
    random.Random(seed).shuffle(found)
    if not sample:
        return found
    packages = ("csrc/", "qrnn/")
    return [each for name in packages for each in [f for f in found if f[0].startswith(name)][:sample]]


def summary(outcomes, unexplained, explained):
    """Prints the counts of each package; whether too much went unseen."""
    failed = False
    for package, allowed in ALLOWED.items():
        counts = Counter(outcome for file, outcome in outcomes if file.startswith(f"{package}/"))
        tried = counts["seen"] + counts["unseen"]
        if not tried:
            continue
        open_ones = sum(key.startswith(f"{package}/") for key in unexplained)
        reasons = sum(key.startswith(f"{package}/") for key in explained)
        print(
            f"{package}: {tried} changes, {counts['seen']} seen, {reasons} explained, {open_ones} unexplained "
            f"({open_ones / tried:.1%}, allowed {allowed:.0%}); not counted: {counts['same']} that make the same "
            f"code, {counts['invalid']} that do not compile, {counts['broken']} where a test failed anyway"
        )
        failed |= open_ones > allowed * tried
    return failed


def main():
    parser = argparse.ArgumentParser()
    for name in ("root", "work", "reasons"):
        parser.add_argument(name, type=lambda text: Path(text).resolve())
    parser.add_argument("--of", nargs="*", default=[])
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--limit", type=float, default=900, help="seconds after which the tests of a change hang")
    options = parser.parse_args()
    trees = [Tree(options.root, options.work / f"tree{i}") for i in range(options.jobs)]
    limits = {}
    if trees[0].programs_see(limits):
        sys.exit(f"{trees[0].failed} fails without a change")
    work, end = chosen(options.root, options.of, options.sample, options.seed), time.monotonic() + 60 * options.minutes
    if options.sample:  # both packages get on, also where time runs out
        random.Random(options.seed).shuffle(work)
    reasons, outcomes, unexplained, explained = read_reasons(options.reasons), [], [], []

    def one(job):
        file, mutation = job
        if options.minutes and time.monotonic() > end:
            return
        tree = trees.pop()
        try:
            outcome = try_mutation(tree, file, mutation, options.limit, limits)
        finally:
            trees.append(tree)
        outcomes.append((file, outcome))
        if outcome == "unseen":
            key = key_of(options.root, file, mutation)
            (explained if key in reasons else unexplained).append(key)
            print(f"{'explained' if key in reasons else 'UNSEEN'}: {key}    ({mutation.line})", flush=True)

    with ThreadPoolExecutor(options.jobs) as pool:
        for _ in pool.map(one, work):
            pass
    failed = summary(outcomes, unexplained, explained)
    print(f"{len(outcomes)} of {len(work)} changes tried; {len(unexplained)} without a reason")
    return failed


if __name__ == "__main__":
    sys.exit(main())
