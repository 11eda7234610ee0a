"""Every row of docs/migrating-from-torch-ao.md, run in both columns."""

from __future__ import annotations

import importlib.util
import re
import warnings

import pytest
import support
from support.torch_models import difference, torch

PAGE = support.ROOT / "docs" / "migrating-from-torch-ao.md"
TEXT = PAGE.read_text(encoding="utf-8")
SETUP = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL).group(1)


def rows():
    """(torch.ao's code or None, ours) of each row."""
    found = []
    for line in TEXT.splitlines():
        if not line.startswith("| ") or line.startswith("| torch.ao"):
            continue
        theirs, ours, _ = (cell.strip() for cell in line.strip("|").split(" | ", 2) if cell is not None)
        assert ours.startswith("`") and ours.endswith("`"), line
        found.append((None if theirs == "—" else theirs.strip("`"), ours.strip("`")))
    return found


ROWS = rows()


def run(code):
    """The names that a row's code leaves behind."""
    names = {}
    exec(SETUP, names)
    exec(code, names)
    return names


def test_the_page_has_its_rows():
    assert len(ROWS) >= 30 and sum(theirs is None for theirs, _ in ROWS) < len(ROWS) / 2


@pytest.mark.parametrize(("theirs", "ours"), ROWS, ids=[ours for _, ours in ROWS])
def test_a_row(theirs, ours, torch_engine):
    if "onnx" in ours and importlib.util.find_spec("onnxscript") is None:
        pytest.skip("ONNXSCRIPT IS NOT INSTALLED: the row of the export to ONNX was not run")
    left = {}
    if theirs is not None:
        if "qnnpack" in theirs and "qnnpack" not in torch.backends.quantized.supported_engines:
            pytest.skip("THIS PYTORCH HAS NO QNNPACK: its row was not run")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            left = run(theirs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if "tq." in ours or "jit" in ours:  # PyTorch speaks of its own
            warnings.simplefilter("ignore")
        right = run(ours)
    a, b = left.get("y"), right.get("y")
    if isinstance(a, torch.Tensor):
        assert difference(a, b) < 0.05, "both columns compute the same"
    assert type(a) is type(b) or theirs is None
