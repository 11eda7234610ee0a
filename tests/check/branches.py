"""Adds up gcov's counts of all builds and compares the branches nobody took with the list of reasons.

    python branches.py ROOT FOLDER_OF_COUNTS UNREACHED STRICT

A line of UNREACHED is `file | text of the source line | reason`; `file | * | reason` is a whole file.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path


def read_counts(folder, root):
    """{file: {line: {branch number: taken}}} and {file: {line: executions}}."""
    branches = defaultdict(lambda: defaultdict(lambda: defaultdict(int)))
    lines = defaultdict(lambda: defaultdict(int))
    for data in sorted(Path(folder).rglob("*.gcda")):
        if not data.with_suffix(".gcno").exists() or data.name.startswith("program-"):
            continue
        command = ["gcov", "--json-format", "--branch-probabilities", "--stdout", str(data)]
        printed = subprocess.run(command, capture_output=True, cwd=root, check=True).stdout
        for text in printed.splitlines():
            if text.startswith(b"{"):
                add(json.loads(text), branches, lines, root)
    return branches, lines


def add(report, branches, lines, root):
    for file in report["files"]:
        path = Path(root, file["file"]).resolve()
        if root / "csrc" not in path.parents:
            continue
        name = str(path.relative_to(root / "csrc"))
        for line in file["lines"]:
            number = line["line_number"]
            lines[name][number] += line["count"]
            for at, branch in enumerate(line["branches"]):
                branches[name][number][at] += branch["count"]


def read_reasons(path):
    reasons = {}
    for text in Path(path).read_text().splitlines():
        if text.strip() and not text.startswith("#"):
            name, line, reason = (part.strip() for part in text.split(" | ", 2))
            reasons[name, line] = reason
    return reasons


def main():
    root, folder, unreached = Path(sys.argv[1]).resolve(), sys.argv[2], sys.argv[3]
    branches, lines = read_counts(folder, root)
    reasons, used, unexplained = read_reasons(unreached), set(), []
    total_branches = total_taken = 0
    for name in sorted(lines):
        source = (root / "csrc" / name).read_text().splitlines()
        counts = [count for line in branches[name].values() for count in line.values()]
        total_branches += len(counts)
        total_taken += sum(count > 0 for count in counts)
        share = f"{100 * sum(count > 0 for count in counts) / len(counts):6.1f} %" if counts else "       -"
        reached = sum(count > 0 for count in lines[name].values())
        print(f"{name:28} lines {reached:4} of {len(lines[name]):4}   branches {share} of {len(counts)}")
        missing = {n for n, line in branches[name].items() if any(count == 0 for count in line.values())}
        missing |= {n for n, count in lines[name].items() if count == 0}
        for number in sorted(missing):
            text = source[number - 1].strip()
            key = (name, text) if (name, text) in reasons else (name, "*")
            if key in reasons:
                used.add(key)
            else:
                unexplained.append(f"{name} | {text} | ")
    print(
        f"all of csrc: {total_taken} of {total_branches} branches taken, {100 * total_taken / total_branches:.1f} %"
    )
    stale = [f"{name} | {line}" for name, line in reasons if (name, line) not in used]
    if unexplained:
        print("not taken, without a reason:", *unexplained, sep="\n  ")
    if stale:
        print("taken, though listed:", *stale, sep="\n  ")
    failed = len(stale) + (len(unexplained) if int(sys.argv[4]) else 0)
    print(f"{len(unexplained)} lines with branches not taken have no reason yet")
    print(f"{total_taken} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
