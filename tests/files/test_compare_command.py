"""`qrnn compare`: models of a function of the user's, and the exit status where qrnn is behind."""

from __future__ import annotations

import json

import pytest
from support import needs_torch

pytest.importorskip("click", reason="CLICK IS NOT INSTALLED: the command line was not tested")

from qrnn._cli import main

MODELS = """
import time
import numpy as np
import qrnn
from neighbour import DATA

class Slow(qrnn.nn.Module):
    def __init__(self, model, seconds):
        super().__init__()
        self.model, self.seconds = model, seconds

    def forward(self, x):
        time.sleep(self.seconds)
        return self.model(x)

model = qrnn.nn.GRU(3, 4)
int8 = qrnn.quantize_dynamic(model)

def behind():
    return {"float": model, "int8": Slow(int8, 0.003), "13 bits": Slow(int8, 0.004), "other": lambda x: model(x)}, DATA

def ahead():
    return {"float": model, "int8": int8, "other": lambda x: (time.sleep(0.003), model(x))[1]}, DATA

def one_is_enough():
    models, data = ahead()
    return {"float": model, "slow": Slow(int8, 0.003), **models}, data

def alone():
    return model, DATA, lambda a, b: 0.25

def torch_model():
    import torch
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4)), DATA

def nothing():
    return model

def no_model():
    return 3, DATA

def only_theirs():
    return {"float": model, "other": lambda x: model(x)}, DATA
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models_of_mine.py").write_text(MODELS)
    (tmp_path / "neighbour.py").write_text("import numpy as np\nDATA = [np.ones((5, 2, 3), np.float32)]\n")
    monkeypatch.setattr("sys.path", __import__("sys").path[:])
    yield
    for name in ("models_of_mine", "neighbour"):
        __import__("sys").modules.pop(name, None)


@pytest.fixture
def values(capfd):
    def run(function, status=0, place="models_of_mine.py"):
        assert main(["compare", f"{place}:{function}", "--rounds", "3", "--json"]) == status
        printed, errors = capfd.readouterr()
        assert errors == ""
        return json.loads(printed)

    return run


@pytest.mark.parametrize("place", ("models_of_mine.py", "./models_of_mine.py", "models_of_mine"))
def test_qrnn_behind_is_status_1(values, place):
    found = values("behind", 1, place)
    assert [row["name"] for row in found["rows"]] == ["float", "int8", "13 bits", "other"]
    (text,) = found["behind"]
    assert text.startswith("other: int8 takes ") and text.endswith(" times its time")


def test_qrnn_ahead_is_status_0(values, capfd):
    assert values("ahead")["behind"] == values("one_is_enough")["behind"] == []
    assert main(["compare", "models_of_mine:ahead", "--rounds", "2"]) == 0
    assert capfd.readouterr().out.splitlines()[-1] == "qrnn is not behind."


def test_a_single_model_is_quantized(values):
    found = values("alone")
    assert [row["name"] for row in found["rows"]] == ["float32", "qrnn"] and found["rows"][1]["error"] == 0.25


@needs_torch
def test_torch_ao_is_beside_a_model_of_pytorch(capfd):
    main(["compare", "models_of_mine:torch_model", "--rounds", "1", "--json"])
    rows = {row["name"]: row for row in json.loads(capfd.readouterr().out)["rows"]}
    assert list(rows) == ["float32", "qrnn", "torch.ao"]
    assert 0 < rows["qrnn"]["error"] < 0.05 and 0 < rows["torch.ao"]["error"] < 0.05


@pytest.mark.parametrize(
    "target, status, text",
    [
        ("models_of_mine.py", 4, "expected FILE_OR_MODULE:FUNCTION"),
        ("models_of_mine.py:", 4, "expected FILE_OR_MODULE:FUNCTION"),
        ("models_of_mine.py:not_there", 4, "has no function not_there"),
        ("not_there.py:f", 3, "not_there.py"),
        ("not_there:f", 5, "the package not_there is not installed"),
        ("models_of_mine:nothing", 4, "expected it to return (model, data)"),
        ("models_of_mine:no_model", 4, "got int as the model"),
        ("models_of_mine:only_theirs", 4, "expected a quantized model of qrnn after the first, got float, other"),
    ],
)
def test_mistakes(capfd, target, status, text):
    assert main(["compare", target]) == status
    assert text in capfd.readouterr().err
