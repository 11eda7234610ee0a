"""Checks the files of a release: that all are there, of one version, small, and hold what they should.

    python tools/check_release.py FOLDER [vX.Y.Z]

Which wheels there have to be is what [tool.cibuildwheel] in pyproject.toml says. A tag has to name the version, which
csrc/core/qrnn.h has. With `--some` a wheel may be missing. Needs `packaging`.
"""

import argparse
import fnmatch
import re
import sys
import tarfile
import zipfile
from pathlib import Path

import tomllib
from packaging.utils import parse_sdist_filename, parse_wheel_filename

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "benchmarks"))
from targets import WHEEL_BYTES

# As cibuildwheel names systems, and as the tag of a wheel does.
PLATFORMS = {
    "manylinux_x86_64": r"manylinux_\d+_\d+_x86_64",
    "manylinux_aarch64": r"manylinux_\d+_\d+_aarch64",
    "musllinux_x86_64": r"musllinux_\d+_\d+_x86_64",
    "musllinux_aarch64": r"musllinux_\d+_\d+_aarch64",
    "macosx_x86_64": r"macosx_\d+_\d+_x86_64",
    "macosx_arm64": r"macosx_\d+_\d+_arm64",
    "win_amd64": "win_amd64",
    "win_arm64": "win_arm64",
}


def version():
    return re.search(r'^#define QRNN_VERSION "(.+)"$', (ROOT / "csrc/core/qrnn.h").read_text(), re.MULTILINE)[1]


def identifiers():
    """The wheels of a release, as cibuildwheel names them: cp313-manylinux_x86_64."""
    options = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["cibuildwheel"]
    pythons = [pattern.removesuffix("-*") for pattern in options["build"]]
    every = [f"{python}-{platform}" for python in pythons for platform in PLATFORMS]
    return [name for name in every if not any(fnmatch.fnmatch(name, pattern) for pattern in options["skip"])]


def identifier(path):
    """What cibuildwheel would call the wheel at `path`."""
    *_, tags = parse_wheel_filename(path.name)
    for tag in tags:
        for platform, pattern in PLATFORMS.items():
            if re.fullmatch(pattern, tag.platform):
                free = "t" if tag.abi.endswith("t") else ""
                return f"{tag.interpreter}{free}-{platform}"
    return None


def of_wheel(path):
    """What is wrong with a wheel."""
    size = path.stat().st_size
    if size >= WHEEL_BYTES:
        yield f"{path.name}: {size:,} bytes, under {WHEEL_BYTES:,} are asked"
    with zipfile.ZipFile(path) as files:
        names = files.namelist()
    extensions = [name for name in names if name.endswith((".so", ".pyd", ".dylib", ".dll"))]
    if len(extensions) != 1 or not extensions[0].startswith("qrnn/_core."):
        yield f"{path.name}: expected one library, qrnn/_core, got {extensions}"
    folders = {name.partition("/")[0] for name in names}
    if {f for f in folders if not f.endswith(".dist-info")} != {"qrnn"}:
        yield f"{path.name}: expected qrnn alone, got {sorted(folders)}"
    for needed in ("qrnn/py.typed", "qrnn/_core.pyi"):
        if needed not in names:
            yield f"{path.name}: {needed} is missing"
    if not any(name.endswith("/licenses/LICENSE") for name in names):
        yield f"{path.name}: the license is missing"


def of_source(path):
    """What is wrong with a source distribution."""
    with tarfile.open(path) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
    for needed in ("csrc/core/qrnn.h", "csrc/lib/Makefile", "examples/c/stream.c", "setup.py", "tests/conftest.py"):
        if needed not in names:
            yield f"{path.name}: {needed} is missing"


def findings(folder, tag=None, some=False):
    expected = version()
    if tag and tag != f"v{expected}":
        yield f"the tag is {tag}, the version {expected}"
    wheels, sources = sorted(folder.glob("*.whl")), sorted(folder.glob("*.tar.gz"))
    for path in wheels:
        found = str(parse_wheel_filename(path.name)[1])
        if found != expected:
            yield f"{path.name}: version {found}, expected {expected}"
        yield from of_wheel(path)
    for path in sources:
        found = str(parse_sdist_filename(path.name)[1])
        if found != expected:
            yield f"{path.name}: version {found}, expected {expected}"
        yield from of_source(path)
    there, asked = [identifier(path) for path in wheels], identifiers()
    for path, name in zip(wheels, there, strict=True):
        if name not in asked:
            yield f"{path.name}: not a wheel of the release"
    if len(set(there)) != len(there):
        yield "two wheels for one Python and system"
    if not some:
        yield from (f"{name}: no such wheel" for name in asked if name not in there)
        if len(sources) != 1:
            yield f"expected one source distribution, got {len(sources)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("tag", nargs="?")
    parser.add_argument("--some", action="store_true", help="files may be missing")
    options = parser.parse_args()
    wrong = list(findings(options.folder, options.tag, options.some))
    wheels = len(list(options.folder.glob("*.whl")))
    print("\n".join(wrong) or f"{wheels} wheels of version {version()}: as they should be")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
