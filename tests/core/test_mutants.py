"""tests/check/mutations.py and mutants.py: what they change, which tests they run, and what reasons say."""

from __future__ import annotations

import ast
import sys

import pytest
from support import ROOT

sys.path.insert(0, str(ROOT / "tests/check"))
import mutants
import mutations

PYTHON = b'''"""A docstring with 1 < 2."""
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import numpy
__all__ = ["f"]
def f(a: int, b: "int" = 1) -> bool:
    if not a:
        raise ValueError("0 and 1")
    a += 2
    g(a)
    return a < b and b is not None
'''
C = b"""#include "qrnn.h"
#define TWO (1 + 1)
/* a < b */
static int f(int a, const char *text)
{
    if (!a && text) return 1;
    count(a, "1 + 1");
    total = total + 2.0f;
    return a < 3;
}
"""


def test_changes_of_python():
    """Not of docstrings, annotations or what only type checkers read."""
    found = mutations.of_python(PYTHON)
    assert sorted((each.line, each.what) for each in found) == [
        (6, "`1` to `2`"),
        (7, "`not` dropped"),
        (7, "the condition turned"),
        (8, "`raise` dropped"),
        (9, "`2` to `3`"),
        (9, "the statement dropped"),
        (10, "the call dropped"),
        (11, "`<` to `<=`"),
        (11, "`and` to `or`"),
        (11, "`is not` to `is`"),
        (11, "returns None"),
    ]
    for each in found:
        changed = each.applied(PYTHON)
        ast.parse(changed)
        assert changed != PYTHON and changed.count(b"\n") == PYTHON.count(b"\n")


def test_changes_of_c():
    """Not of comments, texts or directives."""
    found = mutations.of_c(C)
    assert sorted((each.line, each.what) for each in found) == [
        (6, "`!` dropped"),
        (6, "`&&` to `||`"),
        (6, "`1` to `2`"),
        (7, "the call dropped"),
        (8, "`+` to `-`"),
        (8, "the statement dropped"),
        (9, "`3` to `4`"),
        (9, "`<` to `<=`"),
    ]
    assert {each.applied(C).splitlines()[7].strip() for each in found if each.line == 8} == {
        b"total = total - 2.0f;",
        b";",
    }


def test_every_source_can_be_changed():
    for path in sorted((ROOT / "qrnn").rglob("*.py")):
        text = path.read_bytes()
        for each in mutations.of_python(text)[::7]:
            ast.parse(each.applied(text))
    assert sum(len(mutations.of_c(path.read_bytes())) for path in (ROOT / "csrc").rglob("*.[ch]")) > 3000


@pytest.mark.parametrize(
    ("file", "first", "also"),
    [
        ("csrc/kernels/avx2.c", "core/test_kernels.py", "core/test_cells.py"),
        ("csrc/core/formats.c", "core/test_mixed_formats.py", "core/test_sequences.py"),
        ("qrnn/_rounding.py", "quantization/test_rounding.py", "quantization/test_calibrated_models.py"),
        ("qrnn/torch/_ops.py", "pytorch/test_called_models.py", "pytorch/test_compile.py"),
    ],
)
def test_tests_of_a_file_come_from_the_narrowest_row(file, first, also):
    tests = mutants.tests_of(ROOT, file)
    assert tests[0] == first and also in tests
    assert all((ROOT / "tests" / name).exists() for name in tests) and len(tests) == len(set(tests))


def test_every_source_has_tests():
    for path in [*(ROOT / "csrc").rglob("*.[ch]"), *(ROOT / "qrnn").rglob("*.py")]:
        assert mutants.tests_of(ROOT, str(path.relative_to(ROOT))), path


def test_reasons_name_changes_that_can_be_made():
    """Of unseen.txt: the file has that line, and that change of it."""
    for key in mutants.read_reasons(ROOT / "tests/check/unseen.txt"):
        path = ROOT / key.split(" | ", 1)[0]
        of = mutations.of_python if path.suffix == ".py" else mutations.of_c
        assert any(mutants.key_of(ROOT, key.split(" | ")[0], each) == key for each in of(path.read_bytes())), key
