"""Types, doctests, and what an import brings along."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
import support

import qrnn

VECTORCALL = 1 << 11  # Py_TPFLAGS_HAVE_VECTORCALL
needs_mypy = pytest.mark.skipif(
    importlib.util.find_spec("mypy") is None, reason="MYPY IS NOT INSTALLED: stubs and types were not checked"
)
PACKAGE = Path(qrnn.__file__).parent
#: Packages that modules, or the examples in them, need.
NEEDED = {"qrnn._cli": ("click",), "qrnn.onnx": ("onnx", "onnxscript")}


def modules():
    found = ["qrnn"]
    for info in pkgutil.walk_packages([str(PACKAGE)], "qrnn."):
        if not info.name.startswith("qrnn.torch"):
            found.append(info.name)
    return found


def missing(name):
    """What a module needs and is not installed."""
    needed = NEEDED.get(".".join(name.split(".")[:2]), ())
    return [package for package in needed if importlib.util.find_spec(package) is None]


def importable_modules():
    return [name for name in modules() if not missing(name)]


def test_all_modules_are_found():
    assert {"qrnn._core", "qrnn.nn", "qrnn.nn.quantized.dynamic", "qrnn.quantization"} <= set(modules())


@pytest.mark.parametrize("name", modules())
def test_doctests(name):
    if missing(name):
        pytest.skip(f"{' AND '.join(missing(name)).upper()} NOT INSTALLED: examples did not run")
    engine = qrnn.backends.quantized.engine
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
    assert qrnn.backends.quantized.engine == engine, "a doctest left another engine behind"


@needs_mypy
def test_stubs_match_the_extension(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "qrnn._core", "--ignore-missing-stub"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=tmp_path,
        env=support.environment(),
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_mypy
def test_types_are_shipped(tmp_path):
    """A user's program is checked against the package's types: its one wrong line is found."""
    assert (PACKAGE / "py.typed").exists() and (PACKAGE / "_core.pyi").exists()
    program = tmp_path / "program.py"
    program.write_text(
        "import numpy as np\nimport qrnn\n"
        "cell = qrnn.RNNCell(4, 3)\n"
        "h = cell(np.zeros((2, 4), np.float32))\n"
        "names: tuple[str, ...] = qrnn.isas()\n"
        "wrong: int = qrnn.isas()\n"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--no-incremental",
            "--cache-dir",
            str(tmp_path / "cache"),
            str(program),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=tmp_path,
        env=support.environment(),
    )
    errors = [line for line in done.stdout.splitlines() if "error:" in line]
    assert len(errors) == 1 and "program.py:6" in errors[0], done.stdout + done.stderr


IMPORTS = """
import sys
import numpy as np, numpy.random
before = set(sys.modules)
import qrnn, qrnn.nn, qrnn.nn.quantized.dynamic, qrnn.quantization
import qrnn.backends.quantized, qrnn.quantized.dynamic
cell = qrnn.RNNCell(4, 3)
cell(np.zeros((2, 4)))
model = qrnn.nn.Sequential(qrnn.nn.Linear(4, 3))
qrnn.quantize_dynamic(model)
new = {name.partition(".")[0] for name in set(sys.modules) - before}
third = sorted(n for n in new if n not in sys.stdlib_module_names and not n.startswith("_"))
print(*third)
"""


def test_import_needs_numpy_alone():
    """No torch, and no package but NumPy, on any path that does not ask for it."""
    assert {"qrnn"} <= set(support.run_python(IMPORTS).split()) <= {"qrnn", "numpy"}


def test_every_public_name_has_a_docstring():
    for module_name in importable_modules():
        module = importlib.import_module(module_name)
        if module_name.split(".")[-1].startswith("_"):
            continue
        assert module.__doc__, module_name
        for name in getattr(module, "__all__", ()):
            thing = getattr(module, name)
            if callable(thing):
                assert thing.__doc__, f"{module_name}.{name}"


def test_all_lists_exist():
    for module_name in importable_modules():
        module = importlib.import_module(module_name)
        missing = [name for name in getattr(module, "__all__", ()) if not hasattr(module, name)]
        assert not missing, f"{module_name}: {missing}"


@pytest.mark.parametrize("cls", [qrnn.nn.GRU, qrnn.LSTMCell, qrnn.Linear], ids=lambda cls: cls.__qualname__)
def test_calls_have_a_text(cls):
    """help() of a call shows its parameters, and calls still take the short way."""
    text = inspect.getdoc(cls.__call__)
    assert text.startswith("Compute. Shapes are those of PyTorch's modules.") and "Parameters\n-----" in text
    assert str(inspect.signature(cls.__call__)) == "(self, /, input, hx=None, *, lengths=None, out=None)"
    assert text.split("\n")[1:] == inspect.getdoc(cls.forward).split("\n")[1:]
    assert type(cls.__call__) is type(object.__init__), "a method in its place would send calls through a slower slot"

    class Mine(cls):
        pass

    Mine(4, 3)
    assert Mine.__flags__ & VECTORCALL
