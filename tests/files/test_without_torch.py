"""Round trips in a process that never imports PyTorch: the tests of this folder, where an import of it fails."""

from __future__ import annotations

import importlib.util
import re

import pytest
from support import run_python

#: By file, what to run of it: every module and option, float and quantized, each engine and precision.
FILES = {
    "files/test_models.py": "test_layers or precisions_of_matrices or test_modules or trees or calibration",
    "files/test_reader_modules.py": "round_trips or calibrated or inside_of_others",
    "files/test_safetensors.py": "",
    "files/test_corpus.py": "not mutated",
}


@pytest.mark.parametrize("file", FILES)
def test_the_same_without_torch(file):
    program = f"""
import sys
sys.modules["torch"] = None  # so that tests take it for not installed
import pytest
status = pytest.main(["-q", "-rs", "-p", "no:cacheprovider", {file!r}, "-k", {FILES[file]!r}])
assert sys.modules["torch"] is None and not any(name.startswith("torch.") for name in sys.modules)
sys.exit(status)
"""
    printed = run_python(program, QRNN_REQUIRE_ISAS="")  # which these files alone need not exercise
    assert int(re.search(r"(\d+) passed", printed)[1]) >= 9
    if importlib.util.find_spec("safetensors") is not None:
        assert "SAFETENSORS IS NOT INSTALLED" not in printed
