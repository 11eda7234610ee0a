"""The notebooks run, and print what is committed: the bits of engine qrnn are the same everywhere."""

from __future__ import annotations

import copy
import re

import pytest
from support import HAVE_TORCH, ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
pytestmark = pytest.mark.skipif(not NOTEBOOKS, reason="NO notebooks/: they did not run")

ids = [path.name for path in NOTEBOOKS]


def texts(cell):
    """What a code cell shows as text: printed lines and the value of its last line, without pictures.

    Of a cell that is tagged `varies`, whose text depends on the machine, whether there is any.
    """
    shown = []
    for output in cell.get("outputs", ()):
        if output.output_type == "stream":
            shown.append(output.text)
        elif output.output_type == "execute_result":
            shown.append(output.data["text/plain"])
    return bool(shown) if "varies" in cell.metadata.get("tags", ()) else "".join(shown)


def read(path):
    nbformat = pytest.importorskip("nbformat", reason=f"NBFORMAT IS NOT INSTALLED: {path.name} was not read")
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=ids)
def test_a_notebook_runs_and_shows_what_is_committed(path, monkeypatch):
    """In another folder than its own; without progress, whose bars say how long the machine took."""
    try:
        import ipykernel  # noqa: F401
        import matplotlib  # noqa: F401
        import sklearn  # noqa: F401
        from nbclient import NotebookClient
    except ModuleNotFoundError as error:
        pytest.skip(f"NOT INSTALLED: {error}")
    committed = read(path)
    if not HAVE_TORCH and any("import torch" in cell.source for cell in committed.cells):
        pytest.skip(f"PYTORCH IS NOT INSTALLED: {path.name} did not run")
    monkeypatch.setenv("QRNN_PROGRESS", "0")
    notebook = copy.deepcopy(committed)
    for cell in notebook.cells:
        cell.pop("outputs", None)
        if cell.cell_type == "code":
            cell.outputs = []
    resources = {"metadata": {"path": str(ROOT / "tests")}}
    NotebookClient(notebook, timeout=180, kernel_name="python3", resources=resources).execute()
    for number, (now, then) in enumerate(zip(notebook.cells, committed.cells, strict=True)):
        assert texts(now) == texts(then), f"cell {number} of {path.name}"
        pictures = [any("image/png" in o.get("data", ()) for o in c.get("outputs", ())) for c in (now, then)]
        assert pictures[0] == pictures[1], f"cell {number} of {path.name}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=ids)
def test_a_notebook_is_small_and_its_links_are_there(path):
    assert path.stat().st_size < 400_000
    cells = read(path).cells
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert "pip install '.[notebook]'" in cells[0].source
    for target in re.findall(r"\]\(([^)#:]+)\)", prose):
        assert (path.parent / target).exists(), f"{path.name}: {target}"
    assert max(len(cell.source.splitlines()) for cell in cells) <= 40


def test_nothing_committed_failed():
    """No committed cell says False, or has an error or a warning."""
    for path in NOTEBOOKS:
        for number, cell in enumerate(read(path).cells):
            assert not any(o.output_type == "error" for o in cell.get("outputs", ())), f"cell {number} of {path.name}"
            assert not any(o.get("name") == "stderr" for o in cell.get("outputs", ())), f"cell {number} of {path.name}"
            shown = texts(cell)
            assert shown is True or not re.search(r"\bFalse\b", str(shown or "")), f"cell {number} of {path.name}"
