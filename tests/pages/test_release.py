"""A release: which files it has, what has to be in them, and that workflows and pages speak of the same."""

from __future__ import annotations

import hashlib
import importlib
import io
import re
import sys
import tarfile
import zipfile

import pytest
from support import ROOT

pytestmark = pytest.mark.skipif(not (ROOT / "tools").exists(), reason="NO tools/: the release was not checked")
pytest.importorskip("tomllib", reason="PYTHON IS OLDER THAN 3.11: the release was not checked")
pytest.importorskip("packaging", reason="PACKAGING IS NOT INSTALLED: the release was not checked")

IN_WHEEL = ("qrnn/__init__.py", "qrnn/py.typed", "qrnn/_core.pyi", "qrnn/_core.so", "q.dist-info/licenses/LICENSE")
IN_SOURCE = ("csrc/core/qrnn.h", "csrc/lib/Makefile", "examples/c/stream.c", "setup.py", "tests/conftest.py")
TAGS = {"manylinux": "manylinux_2_17", "musllinux": "musllinux_1_2", "macosx": "macosx_11_0", "win": "win"}


@pytest.fixture
def check(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "tools"), *sys.path])
    yield importlib.import_module("check_release")
    sys.modules.pop("check_release")


def wheel_name(version, identifier):
    """The file's name of what cibuildwheel calls cp314t-manylinux_x86_64."""
    python, _, platform = identifier.partition("-")
    system, _, processor = platform.partition("_")
    return f"quantized_rnn-{version}-{python.rstrip('t')}-{python}-{TAGS[system]}_{processor}.whl"


def write_wheel(path, names=IN_WHEEL, size=0):
    with zipfile.ZipFile(path, "w") as files:
        for name in names:
            files.writestr(name, b"")
        files.writestr("qrnn/large.py", bytes(size))


@pytest.fixture
def release(check, tmp_path):
    """A folder with all that a release has."""
    for identifier in check.identifiers():
        write_wheel(tmp_path / wheel_name(check.version(), identifier))
    name = f"quantized_rnn-{check.version()}"
    with tarfile.open(tmp_path / f"{name}.tar.gz", "w:gz") as files:
        for member in IN_SOURCE:
            files.addfile(tarfile.TarInfo(f"{name}/{member}"), io.BytesIO())
    return tmp_path


def test_wheels_of_a_release(check):
    """Six Pythons on eight systems, but for the one that NumPy has nothing for."""
    assert len(check.identifiers()) == 47 and "cp310-win_arm64" not in check.identifiers()


def test_a_whole_release(check, release):
    assert list(check.findings(release, f"v{check.version()}")) == []


def change(check, release, name, what):
    """Makes one mistake; returns the name of the file that it is in."""
    path = release / name
    if what == "missing":
        path.unlink()
    elif what == "version":
        path.rename(path.with_name(name.replace(name.split("-")[1], "9.9")))
        return name.replace(name.split("-")[1], "9.9")
    elif what == "large":
        write_wheel(path, size=check.WHEEL_BYTES)
    elif what == "libraries":
        write_wheel(path, (*IN_WHEEL, "qrnn/other.so"))
    elif what == "folders":
        write_wheel(path, (*IN_WHEEL, "tests/conftest.py"))
    else:
        write_wheel(path, [each for each in IN_WHEEL if each != what])
    return name


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("missing", "cp314t-musllinux_aarch64: no such wheel"),
        ("version", "version 9.9, expected"),
        ("large", "bytes, under "),
        ("libraries", "expected one library"),
        ("folders", "expected qrnn alone"),
        ("qrnn/_core.so", "expected one library"),
        ("qrnn/_core.pyi", "qrnn/_core.pyi is missing"),
        ("q.dist-info/licenses/LICENSE", "the license is missing"),
    ],
)
def test_mistakes_are_named(check, release, what, text):
    name = change(check, release, wheel_name(check.version(), "cp314t-musllinux_aarch64"), what)
    (found,) = check.findings(release)
    assert text in found and (what == "missing" or name in found)
    assert list(check.findings(release, some=True)) == ([] if what == "missing" else [found])


def test_tags_and_foreign_wheels(check, release):
    assert list(check.findings(release, "v9.9")) == [f"the tag is v9.9, the version {check.version()}"]
    name = f"quantized_rnn-{check.version()}-cp39-cp39-win_amd64.whl"
    write_wheel(release / name)
    assert list(check.findings(release)) == [f"{name}: not a wheel of the release"]
    (release / name).unlink()
    (release / f"quantized_rnn-{check.version()}.tar.gz").unlink()
    assert list(check.findings(release)) == ["expected one source distribution, got 0"]


def test_a_system_of_each_kind_builds(check):
    """The workflow has a machine for each processor of each system."""
    text = (ROOT / ".github/workflows/wheels.yml").read_text(encoding="utf-8")
    (machines,) = re.findall(r"^ +os: \[(.+)\]$", text, re.MULTILINE)
    systems = {"ubuntu": ("manylinux", "musllinux"), "macos": ("macosx",), "windows": ("win",)}
    built = set()
    for machine in machines.split(", "):
        for system in systems[machine.partition("-")[0]]:
            arm = machine.endswith("-arm") or machine == "macos-15"
            processors = {"macosx": ("x86_64", "arm64"), "win": ("amd64", "arm64")}
            built.add(f"{system}_{processors.get(system, ('x86_64', 'aarch64'))[arm]}")
    assert built == set(check.PLATFORMS)


def test_recipe_of_conda_forge(check, release, tmp_path):
    """Its version and checksum are those of the source distribution, and nothing is left to be filled in."""
    (source,) = release.glob("*.tar.gz")
    try:
        text = importlib.import_module("conda_recipe").recipe(source, "somebody")
    finally:
        sys.modules.pop("conda_recipe", None)
    assert f'version: "{check.version()}"' in text and hashlib.sha256(source.read_bytes()).hexdigest() in text
    assert "@" not in text and '- "somebody"' in text
