"""Texts before and after a test run, and the instruction sets that a run has to exercise."""

from __future__ import annotations

import os
import platform
import warnings
from pathlib import Path

import hypothesis
import pytest
import support

hypothesis.settings.register_profile(
    "qrnn", deadline=None, max_examples=60, derandomize=True, database=None, print_blob=True
)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=2000, database=None)
# oneDNN rounds differently with AMX, which it uses for some shapes; it reads the variable when PyTorch first computes.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_FP16")
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "qrnn"))

REQUIRED = tuple(filter(None, os.environ.get("QRNN_REQUIRE_ISAS", "").split(",")))


def _isas():
    """Names that this CPU supports, and all names; empty without the extension."""
    try:
        from qrnn import _core
    except ImportError:
        return (), ()
    return tuple(_core.isas()), tuple(_core.known_isas())


def _cpu():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _torch():
    if not support.HAVE_TORCH:
        return "not installed: golden vectors only"
    import torch

    return f"{torch.__version__}, {torch.backends.cpu.get_cpu_capability()}"


def pytest_configure(config):
    if support.HAVE_TORCH:
        import torch

        torch.set_num_threads(1)  # its threads would wait for each other longer than these small cells take


def pytest_report_header(config):
    import numpy

    have, known = _isas()
    missing = [name for name in known if name not in have]
    return [
        f"cpu: {_cpu()}",
        f"instruction sets: {', '.join(have) or 'NONE, qrnn._core is not built'}"
        + (f" (not on this cpu: {', '.join(missing)})" if missing else ""),
        f"numpy {numpy.__version__}, torch {_torch()}",
    ]


def pytest_addoption(parser):
    parser.addoption(
        "--of-default-isa",
        action="store_true",
        help="leave out tests that name their instruction set: QRNN_ISA changes nothing in them",
    )


def pytest_collection_modifyitems(config, items):
    if config.getoption("--of-default-isa"):
        named = [item for item in items if "isa" in item.fixturenames]
        config.hook.pytest_deselected(items=named)
        items[:] = [item for item in items if "isa" not in item.fixturenames]


@pytest.fixture(scope="session")
def c_library(tmp_path_factory):
    """The folder of the C library, installed into its folder usr."""
    from support.c_library import make

    folder = tmp_path_factory.mktemp("lib")
    make(folder, "install")
    return folder


@pytest.fixture
def quiet():
    """Ignore PyTorch's own deprecation warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture
def torch_engine():
    """Restore PyTorch's engine after the test."""
    import torch

    before = torch.backends.quantized.engine
    yield
    torch.backends.quantized.engine = before


def pytest_generate_tests(metafunc):
    """Run a test with the argument `isa` once for each instruction set of this CPU."""
    if "isa" in metafunc.fixturenames:
        metafunc.parametrize("isa", _isas()[0])


def _unexercised():
    have, known = _isas()
    return [name for name in known if name not in support.exercised or name not in have]


def pytest_sessionfinish(session):
    if any(name not in support.exercised for name in REQUIRED) and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    tr = terminalreporter
    idle = _unexercised()
    if idle:
        tr.section("instruction sets that were NOT exercised", sep="=", yellow=True)
        have = _isas()[0]
        for name in idle:
            why = "no test of this run used it" if name in have else "this CPU does not have it"
            tr.write_line(f"NOT EXERCISED: {name}: {why}")
    lost = [name for name in REQUIRED if name not in support.exercised]
    if lost:
        tr.section("QRNN_REQUIRE_ISAS", sep="=", red=True, bold=True)
        tr.write_line(f"demanded, but not exercised: {', '.join(lost)}; this run fails")
    skipped = {
        (r.longrepr[2] if isinstance(r.longrepr, tuple) else str(r.longrepr)) for r in tr.stats.get("skipped", [])
    }
    if skipped:
        tr.section("reasons of skipped tests", sep="=", yellow=True)
        for reason in sorted(skipped):
            tr.write_line(reason)
    for title, lines in support.tables.items():
        tr.section(title, sep="-")
        for line in lines:
            tr.write_line(line)
