"""The core as a C library, made once for all tests of a run, and programs compiled with it."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from support.processes import ROOT

COMPILER = os.environ.get("CC", "cc").split()[0]
needs_compiler = pytest.mark.skipif(
    shutil.which(COMPILER) is None or shutil.which("make") is None or os.uname().sysname != "Linux",
    reason=f"NO C COMPILER ({COMPILER}) OR NO make: the C library was not built",
)


def run(*command, **options):
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def make(folder, *arguments):
    run("make", "-C", ROOT / "csrc/lib", f"OUT={folder}", "CFLAGS=-O1", f"PREFIX={folder}/usr", *arguments)
