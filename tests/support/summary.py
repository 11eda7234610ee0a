"""The report at the end of a test run."""

from __future__ import annotations

exercised: set[str] = set()  # instruction sets that computed something in this run


tables: dict[str, list[str]] = {}  # title: lines to print at the end of the run


def report(title, line):
    """Print a line under `title` at the end of the run."""
    tables.setdefault(title, []).append(line)
