"""tests/check/branches.py on a source of its own: what it counts, what it demands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from support import ROOT

COMPILER = os.environ.get("CC", "cc").split()[0]

pytestmark = pytest.mark.skipif(
    not (shutil.which(COMPILER) and shutil.which("gcov")),
    reason=f"NO {COMPILER} AND gcov: branches.py was not tried",
)

HEADER = """
static int sign(int x)
{
    if (x > 0) return 1;
    return x < 0 ? -1 : 0;
}
"""
PROGRAM = """
#include "sign.h"
int never(int x);
int never(int x)
{
    return x ? 3 : 4;
}
int main(void)
{
    return VALUE > 1000 ? 1 : sign(VALUE) == 2;
}
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A header, compiled for two instruction sets; one is run with 5 and -5, the other with 0 as well."""
    root = tmp_path_factory.mktemp("tree")
    (root / "csrc/kernels").mkdir(parents=True)
    (root / "csrc/kernels/sign.h").write_text(HEADER)
    for name in "one", "two":
        source = root / f"csrc/kernels/{name}.c"
        source.write_text(PROGRAM.replace("VALUE", "value()").replace("int main", "int value(void);\nint main"))
        for value in [5, -5] + [0] * (name == "two"):
            folder = root / f"{name}{value}"
            folder.mkdir()
            (folder / "value.c").write_text(f"int value(void);\nint value(void)\n{{\n    return {value};\n}}\n")
            flags = (COMPILER, "-O0", "--coverage")
            for path in source, folder / "value.c":
                subprocess.run([*flags, "-c", path, "-o", folder / f"{path.stem}.o"], check=True)
            objects = folder / f"{name}.o", folder / "value.o"
            subprocess.run([*flags, *objects, "-o", folder / "program"], check=True)
            subprocess.run([folder / "program"], check=True)
    return root


def judge(tree, reasons, sets="one,two"):
    (tree / "unreached.txt").write_text(reasons)
    command = [
        sys.executable,
        str(ROOT / "tests/check/branches.py"),
        str(tree),
        str(tree),
        str(tree / "unreached.txt"),
    ]
    done = subprocess.run([*command, sets, "1"], capture_output=True, text=True, check=False)
    assert not done.stderr
    return done.returncode, done.stdout


REASONS = """# Comments are passed over.
= is not called
kernels/one.c | never | *
kernels/two.c | never | *
= no value is that large
kernels/one.c | main | return value() > 1000 ? 1 : sign(value()) == 2;
kernels/two.c | main | return value() > 1000 ? 1 : sign(value()) == 2;
"""
ZERO = "kernels/sign.h (one) | sign | return x < 0 ? -1 : 0;\n"


def test_a_branch_needs_a_reason(tree):
    failed, printed = judge(tree, REASONS)
    assert failed and "kernels/sign.h | sign | return x < 0 ? -1 : 0;    (5 one: branch 2 of 2)" in printed
    assert printed.endswith(" passed, 1 failed\n")


def test_with_all_reasons(tree):
    failed, printed = judge(tree, REASONS + "= one has no 0\n" + ZERO)
    assert not failed and ": 100.00 %" in printed, printed


def test_sets_that_are_not_there_are_not_counted(tree):
    failed, printed = judge(tree, REASONS, sets="two")
    assert not failed and "has not: one\n" in printed, printed


@pytest.mark.parametrize(
    "line",
    [
        "kernels/sign.h | sign | if (x > 0) return 1;",
        "kernels/sign.h (two) | sign | return x < 0 ? -1 : 0;",
        "kernels/sign.h | sign | if (x > 1) return 1;",
        "kernels/sign.h | gone | *",
        "kernels/gone.h | sign | *",
    ],
    ids=["taken", "taken by that set", "another text", "no such function", "no such file"],
)
def test_a_reason_needs_a_branch(line, tree):
    failed, printed = judge(tree, REASONS + "= one has no 0\n" + ZERO + line)
    assert failed and f"taken or gone:\n  {line}\n" in printed, printed


@pytest.mark.parametrize(("line", "right"), [("if (x > 0) return 1;", True), ("if (x > 1) return 1;", False)])
def test_what_some_runs_take(line, right, tree):
    """May be taken, but has to be there."""
    failed, _ = judge(tree, REASONS + "= one has no 0\n" + ZERO + f"? by chance\nkernels/sign.h | sign | {line}\n")
    assert failed != right
