"""Each "To add ..." of csrc/README.md, carried out on a scratch copy of the project.

A folder beside this file holds the pieces of an errand, and so is an example of how to add such a thing; those of a
cell stand in docs/custom-cells.md. The test adds them (scratch.py), builds the extension, runs the tests of what was
added, and counts the files that were touched.
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from scratch import Scratch, edited, edits_of, pieces_in, pieces_of
from support import ROOT, report

HERE = Path(__file__).resolve().parent


class Errand(NamedTuple):
    aim: int  # files that it is to touch
    tests: tuple[tuple[str, ...], ...]  # arguments of pytest, one run each, besides the errand's check.py
    over: int = 0  # files that it touches besides
    page: str | None = None  # which holds the pieces, instead of the folder


RULES = "core/test_source_rules.py"

ERRANDS = {
    "instruction_set": Errand(
        2,
        (
            ("core/test_kernels.py", "core/test_cells.py", "-k", "scalar2"),
            (RULES, "-k", "instruction_set or scalar2 or avx_in or projects_names"),
        ),
    ),
    "cell": Errand(4, (("core", "-k", "minimal_gru"),), page="docs/custom-cells.md"),
    "engine": Errand(2, (("core", "-k", "plain8"),)),
    "activation_format": Errand(3, (("core/test_cells.py", "-k", "scalar"),)),
    "weight_format": Errand(3, (("core/test_cells.py", "-k", "scalar"),), over=1),  # how pack.c lays out its rows
    "error_text": Errand(2, (("core/test_packing.py", "-k", "what_pytorch_lacks"),)),
}

pytestmark = [
    pytest.mark.core,
    pytest.mark.skipif(shutil.which("cc") is None, reason="NO C COMPILER: no errand was carried out"),
    pytest.mark.skipif(
        importlib.util.find_spec("setuptools") is None, reason="NO SETUPTOOLS: no errand was carried out"
    ),
]


@pytest.mark.parametrize("name", ERRANDS)
def test_errand(name, tmp_path):
    errand = ERRANDS[name]
    scratch = Scratch(tmp_path / "qrnn", pieces_of(ROOT / errand.page) if errand.page else pieces_in(HERE / name))
    touched = scratch.apply()
    scratch.build()
    for arguments in ((f"errands/{name}/check.py",), *errand.tests):
        assert " passed" in scratch.test(*arguments)
    paths = ", ".join(touched)
    report("errands: files that each touches, and the aim", f"{name:24}{len(touched):3}{errand.aim:3}   {paths}")
    assert len(touched) <= errand.aim + errand.over, paths


def test_every_folder_is_carried_out():
    assert {path.name for path in HERE.iterdir() if (path / "check.py").exists()} == set(ERRANDS)


def test_edits():
    text = "one\ntwo three\nfour\n"
    edits = edits_of(">>> after one\n1\n>>> before four\n2\n\n>>> replace two\n3\n")
    assert edited(text, edits, "file") == "one\n1\n3 three\n2\n\nfour\n"
    assert edited(text, edits_of(">>> replace  three\n"), "file") == "one\ntwo\nfour\n"


@pytest.mark.parametrize("anchor, times", [("five", 0), ("o", 3)])
def test_an_anchor_that_is_gone_is_named(anchor, times):
    text = f"file: expected '{anchor}' once, found it {times} times: the errand has to follow"
    with pytest.raises(AssertionError, match=text):
        edited("one\ntwo\nfour\n", edits_of(f">>> after {anchor}\nnew\n"), "file")
