"""What a type checker says of programs that call modules of ``qrnn.torch``."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys

import pytest
import support
from support.torch_models import torch  # noqa: F401 # without PyTorch the file is skipped

needs_mypy = pytest.mark.skipif(
    importlib.util.find_spec("mypy") is None, reason="MYPY IS NOT INSTALLED: types of calls were not checked"
)

PROGRAM = """
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from typing_extensions import assert_type
import qrnn.torch as qt

x = torch.ones(2, 4)
assert_type(qt.Linear(4, 3)(x), Tensor)
assert_type(qt.RNNCell(4, 3)(x), Tensor)
assert_type(qt.GRUCell(4, 3)(x, torch.ones(2, 3)), Tensor)
h, c = qt.LSTMCell(4, 3)(x)
assert_type(c, Tensor)
assert_type(qt.RNN(4, 3)(x), tuple[Tensor, Tensor])
assert_type(qt.GRU(4, 3)(x, lengths=[2])[1], Tensor)
assert_type(qt.LSTM(4, 3)(x), tuple[Tensor, tuple[Tensor, Tensor]])
packed, state = qt.GRU(4, 3)(pack_sequence([x]))
assert_type(packed, PackedSequence)
assert_type(qt.LSTM.from_float(torch.nn.LSTM(4, 3)), qt.LSTM)
qt.Linear(4, 3)(x, x)  # wrong
qt.RNNCell(4, 3)(x, state=h)  # wrong
qt.LSTMCell(4, 3)(x, h)  # wrong
qt.LSTM(4, 3)(x, length=[2])  # wrong
qt.GRU(4, 3)(pack_sequence([x]), lengths=[2])  # wrong
"""


@needs_mypy
def test_calls_have_types(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "cache"), "program.py"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        cwd=tmp_path,
        env=support.environment(),
    )
    errors = {int(line) for line in re.findall(r"^program\.py:(\d+): error:", done.stdout, re.MULTILINE)}
    wrong = {number for number, line in enumerate(PROGRAM.splitlines(), 1) if line.endswith("# wrong")}
    assert errors == wrong, done.stdout + done.stderr
