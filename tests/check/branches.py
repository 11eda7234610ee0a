"""Adds up gcov's counts of all builds and compares the branches nobody took with the list of reasons.

    python branches.py ROOT FOLDER_OF_COUNTS UNREACHED SETS STRICT

Nothing is inlined or optimised in these builds (QRNN_COUNTED), so the branches of a line are those of its source, in
one order in every build, and are added up by file, line and number. Headers of kernels/ are compiled once an
instruction set and counted for each by itself, but not for those that are not among SETS ("scalar,avx2").

UNREACHED: after `= REASON` the lines that it holds for, `file | function | text of the line`; the file may be that of
one instruction set, `kernels/ends.h (scalar)`, and the text `*`, all of the function. After `? REASON`: lines that
some runs take and others do not. Lines without a branch need no reason, as a branch before them was not taken, but
for functions that nobody called. What is listed and was taken, or is gone, is a failure.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple


class Line(NamedTuple):
    file: str  # below csrc
    unit: str  # the instruction set it was compiled for, of headers in kernels/
    number: int
    function: str


class Count:
    def __init__(self):
        self.runs, self.branches = 0, defaultdict(int)

    def untaken(self):
        return [at for at, taken in self.branches.items() if not taken]


def read_counts(root, folder, skipped):
    """{Line: Count}"""
    counts = defaultdict(Count)
    for data in sorted(Path(folder).rglob("*.gcda")):
        if data.name.startswith("program-") or data.stem in skipped:
            continue
        command = ["gcov", "--json-format", "--branch-probabilities", "--stdout", str(data)]
        printed = subprocess.run(command, capture_output=True, cwd=root, check=True).stdout
        for text in printed.splitlines():
            if text.startswith(b"{"):
                add(root, data.stem, json.loads(text), counts)
    return counts


def add(root, unit, report, counts):
    for file in report["files"]:
        path = Path(root, file["file"]).resolve()
        if root / "csrc" not in path.parents:
            continue
        name = str(path.relative_to(root / "csrc"))
        by_set = unit if name.startswith("kernels/") and path.suffix != ".c" else ""
        for line in file["lines"]:
            count = counts[Line(name, by_set, line["line_number"], line.get("function_name", ""))]
            count.runs += line["count"]
            for at, branch in enumerate(line["branches"]):
                count.branches[at] += branch["count"]


class Reasons:
    def __init__(self, path):
        self.always, self.used = {}, set()  # {(file, function, text): whether no run takes it}
        always = None
        for text in Path(path).read_text().splitlines():
            if text.startswith(("= ", "? ")):
                always = text.startswith("=")
            elif text.strip() and not text.startswith("#"):
                key = tuple(part.strip() for part in text.split(" | ", 2))
                assert always is not None and len(key) == 3 and key not in self.always, text
                self.always[key] = always

    def holds(self, line, text):
        for file in (line.file, f"{line.file} ({line.unit})"):
            for key in ((file, line.function, text), (file, line.function, "*")):
                if key in self.always:
                    self.used.add(key)
                    return True
        return False

    def stale(self, there, skipped):
        """Those not needed. `there` are all keys that there could be."""
        for key, always in self.always.items():
            name, _, unit = key[0].rstrip(")").partition(" (")
            if key in self.used or (unit or Path(name).stem) in skipped:
                continue
            if always or (name, *key[1:]) not in there:
                yield " | ".join(key)


def percent(part, whole):
    return f"{100 * part / whole:.2f} %" if whole else "-"


def show(name, row):
    lines, run, branches, taken, explained = row
    print(f"{name:28}{lines:7}{run:7}{branches:11}{taken:7}{percent(taken, branches):>11}{explained or '':>7}")


def main():
    root, folder, unreached, sets, strict = Path(sys.argv[1]).resolve(), *sys.argv[2:]
    skipped = {path.stem for path in (root / "csrc/kernels").glob("*.c")} - {"isa", *sets.split(",")}
    counts, reasons = read_counts(root, folder, skipped), Reasons(unreached)
    there, unexplained, rows, seen = set(), [], defaultdict(lambda: [0] * 5), set()
    source = {name: (root / "csrc" / name).read_text().splitlines() for name in {line.file for line in counts}}
    for line, count in sorted(counts.items()):
        text, untaken = source[line.file][line.number - 1].strip(), count.untaken()
        there |= {(line.file, line.function, text), (line.file, line.function, "*")}
        never = not count.runs and (line.file, line.unit, line.function) not in seen
        seen.add((line.file, line.unit, line.function))
        explained = bool(untaken or never) and reasons.holds(line, text)
        if (untaken or never) and not explained:
            numbers = ", ".join(str(at + 1) for at in untaken)
            what = "never called" if never else f"branch {numbers} of {len(count.branches)}"
            unexplained.append(f"{line.file} | {line.function} | {text}    ({line.number} {line.unit}: {what})")
        row = (
            1,
            count.runs > 0,
            len(count.branches),
            len(count.branches) - len(untaken),
            explained * len(untaken),
        )
        rows[line.file] = [a + b for a, b in zip(rows[line.file], row, strict=True)]
    print(f"{'':28}{'lines':>7}{'run':>7}{'branches':>11}{'taken':>7}{'':11} listed")
    for name, row in rows.items():
        show(name, row)
    total = [sum(column) for column in zip(*rows.values(), strict=True)]
    show("all", total)
    if skipped:
        print(f"not counted: instruction sets that this CPU has not: {', '.join(sorted(skipped))}")
    stale = list(reasons.stale(there, skipped))
    if unexplained:
        print("not taken, without a reason:", *unexplained, sep="\n  ")
    if stale:
        print("listed with a reason, but taken or gone:", *stale, sep="\n  ")
    taken, reachable = total[3], total[2] - total[4]
    print(f"{taken} of {reachable} branches that can be reached are taken: {percent(taken, reachable)}")
    failed = len(stale) + len(unexplained) if int(strict) else 0
    print(f"{taken} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
