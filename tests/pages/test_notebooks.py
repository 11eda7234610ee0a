"""The notebooks run, and print what is committed: the bits of engine qrnn are the same everywhere."""

from __future__ import annotations

import copy

import pytest
from support import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
pytestmark = pytest.mark.skipif(not NOTEBOOKS, reason="NO notebooks/: they did not run")


def texts(cell):
    """What a code cell shows as text: printed lines and the value of its last line, without pictures."""
    shown = []
    for output in cell.get("outputs", ()):
        if output.output_type == "stream":
            shown.append(output.text)
        elif output.output_type == "execute_result":
            shown.append(output.data["text/plain"])
    return "".join(shown)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[p.name for p in NOTEBOOKS])
def test_a_notebook_runs_and_shows_what_is_committed(path):
    try:
        import ipykernel  # noqa: F401
        import matplotlib  # noqa: F401
        import nbformat
        import sklearn  # noqa: F401
        from nbclient import NotebookClient
    except ModuleNotFoundError as error:
        pytest.skip(f"NOT INSTALLED: {error}")
    assert path.stat().st_size < 300_000
    committed = nbformat.read(path, as_version=4)
    notebook = copy.deepcopy(committed)
    for cell in notebook.cells:
        cell.pop("outputs", None)
        if cell.cell_type == "code":
            cell.outputs = []
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    for number, (now, then) in enumerate(zip(notebook.cells, committed.cells, strict=True)):
        assert texts(now) == texts(then), f"cell {number} of {path.name}"
        pictures = [any("image/png" in o.get("data", ()) for o in c.get("outputs", ())) for c in (now, then)]
        assert pictures[0] == pictures[1], f"cell {number} of {path.name}"
