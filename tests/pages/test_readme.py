"""The pages: their programs run, their links and file names are there, every file of the core has its row."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
from support import HAVE_TORCH, ROOT, environment

import qrnn

PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "RELEASING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "benchmarks/README.md",
    "csrc/README.md",
    "examples/README.md",
    "examples/server/README.md",
    "examples/web/README.md",
    "tests/check/README.md",
    "tests/emulate/README.md",
    *sorted(str(page.relative_to(ROOT)) for page in ROOT.glob("docs/**/*.md")),
)
#: Those whose programs run in order, in one namespace; the guide's and scaling.md's have tests of their own.
WITH_PROGRAMS = (
    "docs/compare.md",
    "docs/custom-cells.md",
    "docs/files.md",
    "docs/models-in.md",
    "docs/precision.md",
    "docs/streams.md",
)
pytestmark = pytest.mark.skipif(
    not (ROOT / "examples").exists(), reason="NO examples/: the programs of the README did not run"
)


def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")


def programs(page):
    """Its blocks of Python: (first line, code)."""
    text = text_of(page)
    return [
        (text[: found.start(1)].count("\n") + 1, found.group(1))
        for found in re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    ]


@pytest.fixture
def in_a_copy(tmp_path, monkeypatch):
    """A working directory in which the examples' models are, and programs may write."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    yield
    qrnn.set_num_threads(1)


def shapes(code):
    """The shapes that comments name: (50, 8, 256)."""
    comments = " ".join(re.findall(r"#.*", code))
    return [tuple(map(int, found.split(","))) for found in re.findall(r"\((\d+(?:, \d+)+)\)", comments)]


#: A program as if it were typed: a line after the other, and the end at the first error.
TYPED = """
import code, sys

class Console(code.InteractiveConsole):
    def showtraceback(self):
        super().showtraceback()
        raise SystemExit(1)

    showsyntaxerror = lambda self, *args, **named: self.showtraceback()

console = Console()
for line in [*sys.stdin.read().split("\\n"), ""]:
    waits = console.push(line)
sys.exit(2 if waits else 0)
"""


@pytest.mark.parametrize("number", [0, 1])
def test_a_program_of_the_readme_runs_line_by_line_in_an_empty_folder(number, tmp_path):
    line, code = programs("README.md")[number]
    if "import torch" in code and not HAVE_TORCH:
        pytest.skip(f"PYTORCH IS NOT INSTALLED: README.md:{line} did not run")
    done = subprocess.run(
        [sys.executable, "-c", TYPED], input=code, capture_output=True, text=True, timeout=300, cwd=tmp_path,
        env=environment(), check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"README.md:{line}\n{done.stdout}\n{done.stderr}"
    assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors"}


def test_the_readme_has_no_other_programs_and_fits_a_screen_or_two():
    text = text_of("README.md")
    assert len(programs("README.md")) == 2 and "    pip install .\n" in text
    assert len(re.findall(r"^\|[-:| ]+\|$", text, re.MULTILINE)) == 2  # tables
    assert len(text.splitlines()) < 110


def test_figures_of_the_readme_are_those_of_the_page_they_come_from():
    rows = re.findall(r"^\|.*\| `make [\w-]+` \|$", text_of("README.md"), re.MULTILINE)
    figures = re.findall(r"\d[\d.,]+(?= %| µs| \|)", " ".join(rows))
    measured = set(re.findall(r"\d[\d.,]*\d", text_of("docs/measured.md")))
    assert len(figures) >= 15 and set(figures) <= measured, set(figures) - measured


def test_programs_of_the_guide_run(in_a_copy, capsys):
    """In order, in one namespace, and the shapes in their comments are those of what they made."""
    page = "docs/guide.md"
    found = programs(page)
    assert len(found) >= 6 and sum(len(shapes(code)) for _, code in found) >= 3
    names, skipped = {}, []
    for line, code in found:
        if "import torch" in code and not HAVE_TORCH:
            skipped.append(line)
            continue
        exec(compile("\n" * (line - 1) + code, page, "exec"), names)
        made = {v.shape for v in names.values() if isinstance(v, np.ndarray)}
        assert set(shapes(code)) <= made, f"{page}:{line}"
    assert "rnn.weight_hh_l0" in capsys.readouterr().out  # the report of the calibration
    assert qrnn.get_num_threads() == 2 and names["same_as_pytorch"].rnn.engine == "fbgemm"
    with np.load("model.npz") as saved:
        assert saved["rnn.weight_hh_l0"].dtype == np.int8
        names["quantized"].load_state_dict(saved)
    if skipped:
        pytest.skip(f"PYTORCH IS NOT INSTALLED: {page}:{skipped[0]} did not run, all else did")


@pytest.mark.parametrize("page", WITH_PROGRAMS)
def test_programs_of_pages_run(page, in_a_copy, capsys):
    names, found = {}, programs(page)
    for line, code in found:
        for name in ("safetensors", "onnx", "torch"):
            if f"import {name}" in code:
                pytest.importorskip(name, reason=f"{name.upper()} IS NOT INSTALLED: {page}:{line} did not run")
        exec(compile("\n" * (line - 1) + code, page, "exec"), names)
        made = {v.shape for v in names.values() if isinstance(v, np.ndarray)}
        assert set(shapes(code)) <= made, f"{page}:{line}"
    assert found
    printed = capsys.readouterr().out
    assert all(f"\n    {each}\n" in text_of(page) for each in printed.splitlines()), printed


def named_paths(text):
    """Files and folders of the repository in code, alone or before arguments, with an extension or without."""
    folders = "tests|docs|benchmarks|examples|qrnn|csrc|tools"
    return re.findall(rf"(?:`|^    )((?:{folders})/[\w./-]+)(?=[ `\n])", text, re.MULTILINE)


def test_paths_without_an_extension_are_looked_for():
    assert "tests/check/isas" in named_paths(text_of("docs/promises.md"))
    assert "tests/emulate/run" in named_paths(text_of("tests/emulate/README.md"))


@pytest.mark.parametrize("page", PAGES)
def test_links_and_files_are_there(page):
    text = text_of(page)
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", re.sub(r"`[^`]*`", "", text)):
        assert (ROOT / page).parent.joinpath(target).exists(), f"{page}: {target}"
    for path in named_paths(text):
        assert (ROOT / path).exists(), f"{page}: {path}"


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_there(page):
    known = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))
    named = set(re.findall(r"(?:^    |`)make ([a-z][a-z-]*)", text_of(page), re.MULTILINE))
    assert named <= known, f"{page}: {named - known}"


@pytest.mark.parametrize("page", PAGES)
def test_lines_are_short(page):
    long = [line for line in text_of(page).splitlines() if len(line) > 120 and not line.startswith("|")]
    assert not long


def test_tables_that_are_replaced_are_marked():
    marks = re.findall(r"<!-- (table|end)", text_of("docs/measured.md"))
    assert len(marks) >= 8 and marks == ["table", "end"] * (len(marks) // 2)


def test_every_file_of_the_core_has_its_row():
    """csrc/README.md names all files of csrc/, and none that is not there."""
    rows = [line for line in text_of("csrc/README.md").splitlines() if line.startswith("| `")]
    named = set()
    for row in rows:
        folder = ""
        for name in re.findall(r"`([\w./]+\.(?:[ch]|def))`", row.split("|")[1]):
            head, slash, tail = name.rpartition("/")
            folder = head if slash else folder
            named.add(f"{folder}/{tail}")
    there = {str(p.relative_to(ROOT / "csrc")) for e in ("c", "h", "def") for p in ROOT.glob(f"csrc/*/*.{e}")}
    assert named == there


def test_the_map_of_tests_is_complete():
    """CONTRIBUTING.md names every test file, by itself, by a pattern or by its folder, and none that is not there."""
    rows = [line.split("|")[2] for line in text_of("CONTRIBUTING.md").splitlines() if line.startswith("| `")]
    tests, named = ROOT / "tests", set()
    for pattern in re.findall(r"`([^`]+)`", " ".join(rows)):
        found = list(tests.glob(f"{pattern}*.py" if pattern.endswith("/") else pattern))
        assert found, pattern
        named |= set(found)
    lost = {str(path.relative_to(tests)) for path in tests.glob("*/test_*.py")} - {
        str(path.relative_to(tests)) for path in named
    }
    assert not lost
