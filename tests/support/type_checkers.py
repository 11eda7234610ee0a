"""Check the answers of mypy and basedpyright for a user's program.

A line that ends in ``# wrong`` has to be an error for a checker; ``reveal_type(...)  # -> TYPE`` has to show TYPE.
Every other line has to pass, and no type may be Any.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys

import pytest

from support.processes import environment

ARRAY = "ndarray[tuple[Any, ...], dtype[float32]]"


def plain(shown):
    """A type as a checker shows it: names without their modules, and Array for an array of float32."""
    shown = re.sub(r"tuple\[[^\[\]]*(?:\[[^\]]*\][^\[\]]*)*, fallback=([\w.]+)\]", r"\1", shown)  # a NamedTuple in mypy
    shown = re.sub(r"\b(?:[a-zA-Z_]\w*\.)+(?=[a-zA-Z_])", "", shown).replace("floating[_32Bit]", "float32")
    return shown.replace(ARRAY, "Array")


def mypy(program, folder):
    """Return ({line: type}, lines of errors, printed text)."""
    done = _run(["mypy", "--strict", "--cache-dir", str(folder / "cache"), program.name], folder)
    found = re.findall(r'^[\w.]+:(\d+): note: Revealed type is "(.*)"', done.stdout, re.MULTILINE)
    errors = {int(line) for line in re.findall(r"^[\w.]+:(\d+): error:", done.stdout, re.MULTILINE)}
    return {int(line): plain(shown) for line, shown in found}, errors, done.stdout + done.stderr


def basedpyright(program, folder):
    """Return the same for basedpyright, for which a result of type Any is an error too."""
    done = _run(["basedpyright", "--outputjson", "--pythonpath", sys.executable, program.name], folder)
    revealed, errors = {}, set()
    for each in json.loads(done.stdout)["generalDiagnostics"]:
        line = each["range"]["start"]["line"] + 1
        found = re.fullmatch(r'Type of ".*" is "(.*)"', each["message"], re.DOTALL)
        if found:
            revealed[line] = plain(found[1])
        elif each["severity"] == "error" or each.get("rule", "").startswith(("reportAny", "reportUnknown")):
            errors.add(line)
    return revealed, errors, done.stdout + done.stderr


CHECKERS = [
    pytest.param(
        checker,
        id=checker.__name__,
        marks=pytest.mark.skipif(
            importlib.util.find_spec(checker.__name__) is None,
            reason=f"{checker.__name__.upper()} IS NOT INSTALLED: types that users see were not checked",
        ),
    )
    for checker in (mypy, basedpyright)
]


def check(checker, text, folder):
    """Assert that `checker` finds in the program `text` what its lines say."""
    program = folder / "program.py"
    program.write_text(text)
    revealed, errors, printed = checker(program, folder)
    lines = dict(enumerate(text.splitlines(), 1))
    expected = {number: line.split("  # -> ")[1] for number, line in lines.items() if "  # -> " in line}
    assert expected, "the program reveals nothing"
    assert revealed == expected
    assert errors == {number for number, line in lines.items() if line.endswith("# wrong")}, printed


def _run(command, folder):
    return subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        cwd=folder,
        env=environment(),
    )
