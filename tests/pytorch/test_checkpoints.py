"""State dicts in the files of training programs."""

from __future__ import annotations

import pytest
from support.torch_models import torch

import qrnn
import qrnn.torch as qt
from qrnn import nn


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.GRU(4, 3)


STATE = Model().state_dict()
WRAPPED = {f"module.{key}": value for key, value in STATE.items()}
NESTED = {
    "alone": STATE,
    "a prefix": WRAPPED,
    "two prefixes": {f"module._orig_mod.{key}": value for key, value in STATE.items()},
    "model": {"epoch": 3, "model": STATE, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}},
    "lightning": {"state_dict": WRAPPED, "callbacks": {}, "loops": None, "version": "2"},
    "nested": {"model": {"state_dict": STATE, "config": {"hidden": 3}}},
    "not the first": {"model": "GRU", "net": STATE},
}


@pytest.mark.parametrize("case", NESTED)
def test_where_programs_put_them(tmp_path, case):
    path = tmp_path / "last.pt"
    torch.save(NESTED[case], path)
    found = qt.load_checkpoint(path)
    assert list(found) == list(STATE) and all(torch.equal(found[key], STATE[key]) for key in STATE)
    assert not any(Model().load_state_dict(found))
    ours = nn.Sequential({"rnn": nn.GRU(4, 3)})
    assert not any(ours.load_state_dict(found))


def test_a_name_that_only_some_begin_with_stays(tmp_path):
    torch.save({**WRAPPED, "other": torch.ones(1)}, tmp_path / "a.pt")
    assert list(qt.load_checkpoint(tmp_path / "a.pt")) == [*WRAPPED, "other"]


class Evil:
    def __reduce__(self):
        return exec, ("raise RuntimeError('it ran')",)


@pytest.mark.parametrize(
    "what", [[1, 2], {}, {"epoch": 3}, {"ours": STATE}, torch.ones(3), {"model": {1: torch.ones(1)}}]
)
def test_files_without_a_state(tmp_path, what):
    torch.save(what, tmp_path / "a.pt")
    with pytest.raises(qrnn.FormatError, match="a.pt: expected a state dict, alone or under one of state_dict, "):
        qt.load_checkpoint(tmp_path / "a.pt")


def test_what_would_run_is_refused(tmp_path):
    path = tmp_path / "a.pt"
    for what in (Model(), {"model": Evil()}):
        torch.save(what, path)
        with pytest.raises(qrnn.FormatError, match="a.pt: expected tensors in dicts") as caught:
            qt.load_checkpoint(path)
        assert "it ran" not in str(caught.value)
    torch.save(STATE, path)
    content = path.read_bytes()
    for damaged in (b"", b"no file", content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(qrnn.FormatError, match="a.pt: "):
            qt.load_checkpoint(path)
    with pytest.raises(FileNotFoundError):
        qt.load_checkpoint(tmp_path / "none.pt")
