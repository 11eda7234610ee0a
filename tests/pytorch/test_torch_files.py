"""Files of torch models: saved and loaded by the same functions, and read as models of NumPy."""

from __future__ import annotations

import copy
import gzip
import pickle

import numpy as np
import pytest
from support import ROOT, assert_same_bits, leaves, run_python
from support.torch_layers import numpy_module, quantized
from support.torch_models import assert_equal_results, each_kind, each_kind_and_engine, inputs, make, torch

import qrnn
import qrnn.torch as qt
from qrnn import nn


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def results(model, x):
    return [np.asarray(value) for value in leaves(model(x))]


def assert_same_results(a, b, x):
    for got, want in zip(results(a, x), results(b, x.numpy()), strict=True):
        assert_same_bits(got, want)


@each_kind_and_engine
def test_quantized_layers(path, kind, engine):
    """Into another of their like, and as the layer of NumPy with the same bits."""
    model = torch.nn.Sequential(torch.nn.Identity(), quantized(kind, engine))
    qrnn.save(model, path)
    into = torch.nn.Sequential(torch.nn.Identity(), quantized(kind, engine))
    assert qrnn.load(path, into=into) is into
    x = inputs(kind)[0]
    assert_equal_results(into(x), model(x))
    again = qrnn.load(path)
    assert type(again) is nn.Sequential and again[1].describe() == model[1].describe()
    assert_same_results(model, again, x)


@each_kind
def test_float_layers(path, kind):
    """As the layers of NumPy that from_float's counterpart has, and back into torch's."""
    model = torch.nn.Sequential(make(kind))
    qrnn.save(model, path)
    again = qrnn.load(path)
    state = {key: value.numpy() for key, value in model.state_dict().items()}
    for key, value in again.state_dict().items():
        np.testing.assert_array_equal(value, state[key])
    layer = numpy_module(kind)
    assert_same_results_of_numpy(layer, qrnn.quantize_dynamic(again)[0], inputs(kind)[0].numpy())
    qrnn.save(again, path)
    into = torch.nn.Sequential(make(kind))
    qrnn.load(path, into=into)
    for key, value in into.state_dict().items():
        assert torch.equal(value, model.state_dict()[key])


def assert_same_results_of_numpy(a, b, x):
    for got, want in zip(leaves(a(x)), leaves(b(x)), strict=True):
        assert_same_bits(got, want)


def small():
    return torch.nn.Sequential(
        torch.nn.Embedding(7, 4, padding_idx=1),
        torch.nn.LayerNorm(4, 1e-3),
        torch.nn.Dropout(0.25),
        torch.nn.Linear(4, 6),
        torch.nn.BatchNorm1d(6),
        torch.nn.Hardtanh(-0.5, 0.75),
        torch.nn.ModuleDict({"conv": torch.nn.Conv1d(2, 4, 3, padding=1, groups=2)}),
        torch.nn.ModuleList([torch.nn.Softmax(dim=-1), torch.nn.ELU(0.5), torch.nn.Flatten()]),
    )


def test_modules_of_torch_become_those_of_numpy(path):
    model = small().eval()
    model[4].running_mean += torch.randn(6)
    qrnn.save(model, path)
    again = qrnn.load(path)
    assert [type(each).__name__ for each in again.modules()] == [type(each).__name__ for each in model.modules()]
    x = torch.randint(0, 7, (5,))
    expected, found = model[:6](x).detach().numpy(), again[:6](x.numpy())
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    into = small()
    qrnn.load(path, into=into)
    for key, value in into.state_dict().items():
        assert torch.equal(value, model.state_dict()[key])


def test_all_that_does_not_fit_is_named_at_once(path):
    qrnn.save(torch.nn.Sequential(quantized("GRU"), torch.nn.LSTM(5, 8, batch_first=True), torch.nn.Tanh()), path)
    into = torch.nn.Sequential(quantized("GRU", "fbgemm"), torch.nn.LSTM(5, 8), torch.nn.ReLU(), torch.nn.Linear(2, 2))
    with pytest.raises(RuntimeError) as caught:
        qrnn.load(path, into=into)
    for text in (
        "0.format: expected engine 'fbgemm', got 'qrnn'",
        "1: expected batch_first False, got True",
        "2: expected kind 'ReLU', got 'Tanh'",
        'Missing key(s) in state_dict: "3.weight", "3.bias".',
    ):
        assert text in str(caught.value)


def test_a_model_of_numpy_goes_into_one_of_torch_and_back(path):
    ours = qrnn.quantize_dynamic(nn.Sequential(nn.LSTM(5, 8, 2), nn.Tanh()))
    theirs = qt.quantize_dynamic(torch.nn.Sequential(torch.nn.LSTM(5, 8, 2), torch.nn.Tanh()))
    before = copy.deepcopy(ours)
    qrnn.save(ours, path)
    qrnn.load(path, into=theirs)
    qrnn.save(theirs, path)
    assert repr(qrnn.load(path)) == repr(before)
    for key, value in qrnn.load(path, into=ours).state_dict().items():
        np.testing.assert_array_equal(value, before.state_dict()[key])


class Mine(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = torch.nn.GRUCell(4, 3)


def test_classes_of_a_user(path):
    model, into = Mine(), Mine()
    qrnn.save(model, path)
    qrnn.load(path, into=into)
    assert torch.equal(into.cell.weight_ih, model.cell.weight_ih)
    with pytest.raises(qrnn.FormatError, match=r"expected into=, .*the model \(.*\.Mine\)"):
        qrnn.load(path)
    prepared = qt.prepare(Mine(), qconfig={})
    qrnn.save(prepared, path)
    with pytest.raises(qrnn.FormatError, match="prepared.PreparedGRUCell"):
        qrnn.load(path)
    qrnn.load(path, into=into)


def test_options_that_numpy_lacks_are_named(path):
    qrnn.save(torch.nn.Embedding(4, 3, max_norm=1.0), path)
    with pytest.raises(qrnn.FormatError, match="the model: .*max_norm: expected None"):
        qrnn.load(path)


def test_types_of_tensors(path):
    state = {"half": torch.ones(3).half(), "narrow": torch.ones(3, 2).bfloat16() * 1.5, "number": torch.tensor(7)}
    qrnn.save(state, path)
    found = qrnn.load(path)
    assert [str(value.dtype) for value in found.values()] == ["float16", "float32", "int64"]
    for key, value in found.items():
        np.testing.assert_array_equal(value, state[key].float().numpy())
    model = torch.nn.Linear(3, 2).bfloat16()
    qrnn.save(model, path)
    into = torch.nn.Linear(3, 2).bfloat16()
    assert torch.equal(qrnn.load(path, into=into).weight, model.weight)


def test_the_package_loads_a_file_as_a_state(path):
    safetensors = pytest.importorskip("safetensors.torch", reason="SAFETENSORS IS NOT INSTALLED: it read no file")
    model, into = (torch.nn.Sequential(quantized("LSTM"), torch.nn.Linear(8, 2)) for _ in range(2))
    qrnn.save(model, path)
    into.load_state_dict(safetensors.load_file(path))
    safetensors.save_file(model.state_dict(), path)
    for target in (into, qrnn.quantize_dynamic(nn.Sequential(nn.LSTM(5, 8), nn.Linear(8, 2)), {"0"})):
        state = qrnn.load(path, into=target).state_dict()
        for key, value in model.state_dict().items():
            np.testing.assert_array_equal(np.asarray(state[key]), value.numpy())


def test_files_of_torch_models_load_without_torch(path):
    qrnn.save(torch.nn.Sequential(quantized("GRU"), torch.nn.Tanh()), path)
    code = f"""
import sys
sys.modules["torch"] = None
import numpy as np, qrnn
print(repr(qrnn.load({str(path)!r})))
"""
    assert run_python(code) == "Sequential(\n  (0): DynamicQuantizedGRU(5, 8)\n  (1): Tanh()\n)\n"


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_models_of_earlier_versions(version):
    """Pickles, files and states of the corpus give what they gave."""
    folder = ROOT / "tests" / "corpus" / version
    models = pickle.loads(gzip.decompress((folder / "torch.pickle.gz").read_bytes()))
    with np.load(folder / "states.npz") as file:
        arrays = {key: file[key] for key in file.files}
    model = models.pop("fbgemm")
    assert not models

    def result(model):  # PyTorch's own sigmoid is within 1 ulp of ours
        return nn.Sigmoid()(model[:2](torch.from_numpy(arrays["fbgemm/x"]))).numpy().ravel()

    assert_same_bits(result(model), arrays["fbgemm/y"])
    files = sorted(folder.glob("*fbgemm.safetensors"))
    assert len(files) == (0 if version == "0.1.0" else 2)
    for path in files:
        assert_same_bits(result(qrnn.load(path, into=model)), arrays["fbgemm/y"])
