"""The programs of docs/scaling.md, each as a script of its own, as its reader would write it."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys

import pytest
from support import ROOT

PAGE = ROOT / "docs" / "scaling.md"
PROGRAMS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE) if PAGE.exists() else []


def needs(code):
    """Packages that a program imports."""
    return sorted(set(re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE)))


def name_of(code):
    return "-".join(name for name in needs(code) if name not in ("numpy", "qrnn", "os", "signal"))


def test_there_are_programs():
    assert PAGE.exists() and len(PROGRAMS) >= 4


@pytest.mark.parametrize("code", PROGRAMS, ids=name_of)
def test_a_program_runs_as_a_script(code, tmp_path):
    for name in needs(code):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    (tmp_path / "program.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env={**os.environ, "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "60s"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
