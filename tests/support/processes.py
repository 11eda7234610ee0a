"""The folder of the sources, and Python programs in new processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def environment(**changes):
    """Return this process's environment, with paths to the qrnn of this run and the modules of tests/."""
    import qrnn

    home = str(Path(qrnn.__file__).resolve().parent.parent)
    path = os.pathsep.join([home, str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, **changes}


def run_python(code, **changes):
    """Run a Python program that finds the qrnn of this run, and return its output."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment(**changes),
        cwd=ROOT / "tests",  # not the root, whose qrnn/ may differ from the installed one
        check=False,
    )
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
