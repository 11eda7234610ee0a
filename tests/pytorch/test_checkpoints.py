"""State dicts in the files of training programs."""

from __future__ import annotations

import io
import textwrap
import warnings
import zipfile

import numpy as np
import pytest
from support import leaves, run_python
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


def test_one_of_several(tmp_path):
    path, other = tmp_path / "last.pt", {"weight": torch.ones(1)}
    torch.save({"encoder": WRAPPED, "parts": {"decoder": other}, "model": other}, path)
    assert list(qt.load_checkpoint(path, "encoder")) == list(STATE)
    assert list(qt.load_checkpoint(path, key="parts.decoder")) == ["weight"] == list(qt.load_checkpoint(path))
    for key in ("decoder", "parts.encoder", "encoder.module", ""):
        with pytest.raises(qrnn.FormatError, match=f"expected a state dict, under '{key}', got .'encoder', 'parts'"):
            qt.load_checkpoint(path, key)


def test_a_dict_inside_of_itself(tmp_path):
    around = {"epoch": 1}
    around["model"] = around
    torch.save(around, tmp_path / "a.pt")
    with pytest.raises(qrnn.FormatError, match="expected a state dict, alone"):
        qt.load_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
def test_keys_of_cells(tmp_path, kind):
    cell = getattr(torch.nn, kind)(4, 3)
    torch.save({"state_dict": torch.nn.DataParallel(cell).state_dict()}, tmp_path / "a.pt")
    ours, x = getattr(nn, kind)(4, 3), torch.randn(2, 4)
    ours.load_state_dict(qt.load_checkpoint(tmp_path / "a.pt"))
    for got, want in zip(leaves(ours(x)), leaves(cell(x)), strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=2e-6)


def test_safetensors_without_torch(tmp_path):
    """From a file of another program into modules of NumPy, in a process that has not even PyTorch's name."""
    safetensors_torch = pytest.importorskip("safetensors.torch", reason="SAFETENSORS IS NOT INSTALLED: skipped")
    model = torch.nn.ModuleDict({"rnn": torch.nn.LSTM(4, 3, 2, bidirectional=True), "head": torch.nn.Linear(6, 2)})
    path, x = tmp_path / "model.safetensors", torch.randn(5, 2, 4)
    safetensors_torch.save_file(model.state_dict(), path)
    np.save(tmp_path / "x.npy", x.numpy())
    np.save(tmp_path / "y.npy", model.head(model.rnn(x)[0]).detach().numpy())
    program = f"""
        import sys
        sys.modules["torch"] = None
        import numpy as np, qrnn
        from qrnn import nn
        model = nn.ModuleDict({{"rnn": nn.LSTM(4, 3, 2, bidirectional=True), "head": nn.Linear(6, 2)}})
        qrnn.load({str(path)!r}, into=model)
        x, y = (np.load({str(tmp_path)!r} + name) for name in ("/x.npy", "/y.npy"))
        assert abs(model.head(model.rnn(x)[0]) - y).max() < 2e-6
        """
    run_python(textwrap.dedent(program))


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


@pytest.mark.parametrize("part", [0.3, 0.6, 0.99])
def test_a_file_that_was_cut_is_refused(tmp_path, part):
    """PyTorch raises OSError for an archive of more than 4 KiB without its end."""
    path = tmp_path / "a.pt"
    torch.save({"weight": torch.ones(200, 30)}, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(qrnn.FormatError, match="a.pt: expected tensors in dicts"):
        qt.load_checkpoint(path)
    with pytest.raises(OSError):
        qt.load_checkpoint(tmp_path)


def test_what_would_run_is_refused(tmp_path):
    path = tmp_path / "a.pt"
    for what, name in ((Model(), f"{__name__}.Model"), ({"model": Evil()}, "exec")):
        torch.save(what, path)
        with pytest.raises(qrnn.FormatError, match=f"a.pt: expected tensors in dicts, .* got an object of {name}$"):
            qt.load_checkpoint(path)
    torch.jit.save(torch.jit.script(Model().rnn), path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, of what the file looks like
        with pytest.raises(qrnn.FormatError, match="got a TorchScript archive: qrnn.torch.recurrent_layers reads"):
            qt.load_checkpoint(path)
    torch.save(STATE, path)
    content = path.read_bytes()
    for damaged in (b"", b"no file", content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(qrnn.FormatError, match="a.pt: "):
            qt.load_checkpoint(path)
    with pytest.raises(FileNotFoundError):
        qt.load_checkpoint(tmp_path / "none.pt")


def negative():
    """An empty tensor with a size below zero, which only a pickle of one's own can ask for."""
    content = io.BytesIO()
    torch.save({"w": torch.zeros(0, 77)}, content)
    with zipfile.ZipFile(content) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = next(each for each in parts if each.endswith("/data.pkl"))
    assert parts[name].count(b"K\x00KM\x86") == 1
    parts[name] = parts[name].replace(b"K\x00KM\x86", b"K\x00J\x00\x00\x00\x80\x86")
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w") as archive:
        for each, part in parts.items():
            archive.writestr(each, part)
    return changed.getvalue()


def test_tensors_without_their_elements(tmp_path):
    """Of strides of 0 one element is any number of them; others have none, or sizes that cannot be."""
    path = tmp_path / "last.pt"
    for tensor in (torch.zeros(1).expand(1 << 40), torch.zeros(3, device="meta"), None):
        torch.save({"w": tensor}, path)
        if tensor is None:
            path.write_bytes(negative())
        with pytest.raises(qrnn.FormatError, match="w: expected a tensor whose elements are in the file, got"):
            qt.load_checkpoint(path)
