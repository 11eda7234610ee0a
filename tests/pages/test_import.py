"""import qrnn where the extension is missing, or broken."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import support

import qrnn


@pytest.fixture
def sources(tmp_path):
    """A folder as a checkout is: the package without its extension."""
    package = Path(qrnn.__file__).parent
    shutil.copytree(package, tmp_path / "qrnn", ignore=shutil.ignore_patterns("_core.*.so", "_core.so", "__pycache__"))
    return tmp_path


def error_of_import(folder):
    done = subprocess.run(
        [sys.executable, "-c", "import qrnn"], capture_output=True, text=True, check=False, cwd=folder, timeout=60
    )
    assert done.returncode == 1
    return done.stderr.splitlines()[-1]


def test_a_source_folder_that_hides_the_installed_package(sources):
    error = error_of_import(sources)
    assert error.startswith(f"ImportError: qrnn: no compiled extension _core for this Python in {sources / 'qrnn'}")
    assert "another directory" in error and error.endswith("pip install -e .")


def test_an_extension_that_does_not_load_says_so_itself(sources):
    (sources / "qrnn" / f"_core{sysconfig.get_config_var('EXT_SUFFIX')}").write_text("no machine code")
    error = error_of_import(sources)
    assert error.startswith("ImportError: ") and "_core" in error and "pip install" not in error


def test_an_import_leaves_for_later_what_only_calibration_needs():
    """It takes a tenth of the time of an import, and most programs never calibrate."""
    code = "import sys, numpy; before = set(sys.modules); import qrnn; print(*(set(sys.modules) - before))"
    new = set(support.run_python(code).split())
    assert "qrnn._prepared" in new
    assert not new & {"qrnn._recording", "qrnn._layer_rounding", "qrnn._rounding", "threading"}
