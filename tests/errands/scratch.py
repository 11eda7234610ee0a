"""A scratch copy of the project that an errand changes, builds and tests.

The folder of an errand holds its pieces, each under the path that it has in the project. ``csrc/kernels/scalar2.c`` is
a new file. ``csrc/kernels/isa.def.edit`` edits a file that is there; it holds one edit after the other::

    >>> after TEXT        the lines that follow are inserted below the line with TEXT
    >>> before TEXT       they are inserted above it
    >>> replace TEXT      they take the place of TEXT, which may be a part of a line

TEXT must occur in the file exactly once. Where it does not, the project has changed and the errand has to follow.
``check.py``, directly in the folder, is the errand's own test; it counts as no file of the errand.

The pieces may stand in a page of the documentation instead: each is a block of code whose first line names its path
behind the language::

    ```c csrc/core/kinds.def.edit
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from support import ROOT

COPIED = ("csrc", "qrnn", "tests", "docs", "setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
BUILT = shutil.ignore_patterns("*.so", "__pycache__", "build")
EDIT = re.compile(r"^>>> (after|before|replace) (.+)\n", re.MULTILINE)
BLOCK = re.compile(r"^```\w+ (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def edits_of(text):
    """The edits of a file ``*.edit``: (what to do, TEXT, lines)."""
    parts = EDIT.split(text)
    assert not parts[0].strip(), f"expected a line that begins with >>>, got {parts[0]!r}"
    assert len(parts) > 1, "there is no edit"
    return list(zip(parts[1::3], parts[2::3], parts[3::3], strict=True))


def edited(text, edits, name):
    """The text of the file `name` after these edits."""
    for what, anchor, lines in edits:
        found = text.count(anchor)
        assert found == 1, f"{name}: expected {anchor!r} once, found it {found} times: the errand has to follow"
        at = text.index(anchor)
        first, last = text.rfind("\n", 0, at) + 1, text.index("\n", at) + 1
        if what == "replace":
            text = text[:at] + lines.removesuffix("\n") + text[at + len(anchor) :]
        elif what == "after":
            text = text[:last] + lines + text[last:]
        else:
            text = text[:first] + lines + text[first:]
    return text


def pieces_in(folder):
    """The pieces of an errand's folder: {path in the project: text}."""
    paths = {path: path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        str(to): path.read_text()
        for path, to in paths.items()
        if to != Path("check.py") and "__pycache__" not in to.parts
    }


def pieces_of(page):
    """Those of a page."""
    return dict(BLOCK.findall(page.read_text()))


class Scratch:
    """The copy. `pieces` are those of the errand: {path in the project: text}."""

    def __init__(self, folder, pieces):
        self.folder, self.pieces = Path(folder), pieces
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, self.folder / name, ignore=BUILT)
            else:
                shutil.copy(source, self.folder / name)

    def apply(self):
        """Add the pieces. Returns the paths of the files that were added or changed."""
        touched = []
        for path, text in self.pieces.items():
            target = self.folder / path
            if target.suffix == ".edit":
                target = target.with_suffix("")
                assert target.exists(), f"{path}: there is no such file: the errand has to follow"
                text = edited(target.read_text(), edits_of(text), path.removesuffix(".edit"))
            else:
                assert not target.exists(), f"{path}: this file is there already"
                target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            touched.append(str(target.relative_to(self.folder)))
        return touched

    def build(self):
        """Build the extension in place. A warning of the compiler fails."""
        command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
        printed = self._run(command, self.folder)
        assert "warning:" not in printed, printed

    def test(self, *arguments):
        """Run pytest on the copy, in its folder of tests. Returns its last line."""
        printed = self._run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *arguments], self.folder / "tests"
        )
        return printed.rstrip().rsplit("\n", 1)[-1]

    def _run(self, command, folder):
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("QRNN_", "PYTEST_"))}
        environment["PYTHONPATH"] = f"{self.folder}:{self.folder / 'tests/errands'}"
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        printed = done.stdout + done.stderr
        assert done.returncode == 0, f"{' '.join(command)}: exit status {done.returncode}\n{printed[-8000:]}"
        return printed
