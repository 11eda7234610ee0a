"""save and load of models: every module comes back with the same bits, or what does not fit is named."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from support import assert_same_bits, leaves, run_python
from support.layers import ALL, OURS, ids
from support.precisions import LAYERS as MIXED
from support.precisions import QCONFIGS, drawn, weights_of
from support.quantized_layers import only_ours, result_of
from support.safetensors_files import assert_same_arrays, parts

import qrnn
from qrnn import nn
from qrnn import quantization as q

pytestmark = pytest.mark.filterwarnings("error")

LINEARS = [("Linear", {}), ("Linear", {"bias": False})]
ENGINES = ("qrnn", "qrnn13", "fbgemm", "x86", "qnnpack", "onednn")

#: Modules without layers of the core, by an input that each takes.
MODULES = {
    "Identity": (nn.Identity, (3, 4)),
    "Dropout": (lambda: nn.Dropout(0.3, inplace=True), (3, 4)),
    "Flatten": (lambda: nn.Flatten(0, 1), (3, 4)),
    "ReLU": (lambda: nn.ReLU(inplace=True), (3, 4)),
    "Tanh": (nn.Tanh, (3, 4)),
    "Sigmoid": (nn.Sigmoid, (3, 4)),
    "Softsign": (nn.Softsign, (3, 4)),
    "Softplus": (lambda: nn.Softplus(2.0, 7.5), (3, 4)),
    "ELU": (lambda: nn.ELU(0.7), (3, 4)),
    "LeakyReLU": (lambda: nn.LeakyReLU(0.2), (3, 4)),
    "Hardsigmoid": (nn.Hardsigmoid, (3, 4)),
    "Hardtanh": (lambda: nn.Hardtanh(-0.5, math.inf), (3, 4)),
    "Softmax": (lambda: nn.Softmax(dim=-1), (3, 4)),
    "LogSoftmax": (lambda: nn.LogSoftmax(dim=0), (3, 4)),
    "Embedding": (lambda: nn.Embedding(5, 2, padding_idx=-1), None),
    "LayerNorm": (lambda: nn.LayerNorm((3, 4), 1e-3), (2, 3, 4)),
    "LayerNorm without a bias": (lambda: nn.LayerNorm(4, bias=False), (3, 4)),
    "LayerNorm without weights": (lambda: nn.LayerNorm(4, elementwise_affine=False), (3, 4)),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(4, 1e-3, 0.2), (3, 4)),
    "BatchNorm1d without weights": (lambda: nn.BatchNorm1d(4, momentum=None, affine=False), (3, 4)),
    "Conv1d": (lambda: nn.Conv1d(4, 6, 3, 2, 1, 2, 2), (2, 4, 9)),
    "Conv1d that is causal": (lambda: nn.Conv1d(4, 2, (3,), padding="causal", bias=False), (4, 9)),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def through(model, path):
    qrnn.save(model, path)
    return qrnn.load(path)


def assert_same_results(a, b):
    for got, want in zip(leaves(a), leaves(b), strict=True):
        assert_same_bits(got, want)


def assert_same_models(got, want):
    """The same modules under the same names, with the same texts, descriptions and bits."""
    assert repr(got) == repr(want)
    names, others = (dict(each.named_modules(remove_duplicate=False)) for each in (got, want))
    assert list(names) == list(others)
    for name, module in names.items():
        assert type(module) is type(others[name])
        if hasattr(module, "describe"):
            assert module.describe() == others[name].describe()
    assert_same_arrays(got.state_dict(), want.state_dict())


def float_layer(name, options):
    return getattr(nn, name)(5, 4, **options)


@pytest.mark.parametrize("name, options", [*ALL, *OURS, *LINEARS], ids=ids)
def test_layers(path, name, options):
    """Float and with every engine that has such a layer, alone and in a model."""
    layer = float_layer(name, options)
    engines = [each for each in ENGINES if not (only_ours(options) and not each.startswith("qrnn"))]
    for each in (layer, *(qrnn.quantize_dynamic(layer, engine=engine) for engine in engines)):
        model = nn.Sequential(nn.Identity(), each)
        again = through(model, path)
        assert_same_models(again, model)
        assert_same_results(result_of(again[1]), result_of(each))
    assert_same_models(through(layer, path), layer)


@pytest.mark.parametrize("name, options", [*MIXED, *LINEARS], ids=ids)
@pytest.mark.parametrize("seed", range(2))
def test_precisions_of_matrices(path, name, options, seed):
    layer = getattr(nn, name)(7, 8, **options)
    chosen = drawn(np.random.default_rng(seed), weights_of(layer))
    spec = {"": q.engine_qconfig, **{weight: QCONFIGS[precision] for weight, precision in chosen.items()}}
    layer = qrnn.quantize_dynamic(layer, spec)
    again = through(layer, path)
    assert_same_models(again, layer)
    assert_same_results(result_of(again), result_of(layer))


@pytest.mark.parametrize("name", MODULES)
def test_modules(path, name):
    make, shape = MODULES[name]
    module = nn.Sequential(make())
    for key, old in module.named_parameters():
        setattr(
            module[0], key.removeprefix("0."), np.random.default_rng(3).uniform(0.5, 2, old.shape).astype(np.float32)
        )
    again = through(module, path)
    assert_same_models(again, module)
    draw = np.random.default_rng(4)
    x = draw.integers(0, 5, (2, 3)) if shape is None else draw.standard_normal(shape).astype(np.float32)
    assert_same_results(again(x.copy()), module(x.copy()))
    kept = {key: value for key, value in vars(module[0]).items() if not isinstance(value, np.ndarray) and key[0] != "_"}
    assert {key: vars(again[0])[key] for key in kept} == kept


def test_every_module_of_nn_has_a_case():
    """What a file can describe, and a load make anew, is all that qrnn.nn has but what a user's classes complete."""
    made = {type(make()).__name__ for make, _ in MODULES.values()} | {name for name, _ in [*ALL, *LINEARS]}
    classes = {name for name in nn.__all__ if isinstance(getattr(nn, name), type)}
    classes = {name for name in classes if issubclass(getattr(nn, name), nn.Module)}
    assert made | {"Sequential", "ModuleList", "ModuleDict"} == classes - {"Module", "Cell", "Recurrent"}


def nested():
    shared, pair = nn.Linear(4, 4), nn.Sequential(nn.Tanh())
    return nn.Sequential(
        {
            "first": nn.ModuleList([nn.LSTM(5, 4, 2), shared, pair, pair]),
            "named": nn.ModuleDict({"b": shared, "a": qrnn.GRUCell(3, 2, engine="fbgemm")}),
            "empty": nn.Sequential(),
        }
    )


def test_trees(path):
    """Names, their order, and layers that occur twice, which stay one."""
    model = nested()
    again = through(model, path)
    assert_same_models(again, model)
    assert again.first[1] is again.named["b"] and list(again.named) == ["b", "a"]
    assert again.first[2][0] is again.first[3][0]


def test_a_module_on_a_layer_comes_along(path):
    layer = qrnn.GRUCell(4, 3)
    layer.weight_net = nn.Linear(3, 2)
    assert_same_models(through(layer, path), layer)


def test_no_number_is_drawn(path):
    model = nn.Sequential(nn.Embedding(5, 4), nn.Conv1d(4, 4, 2), nn.GRU(4, 3))
    qrnn.save(model, path)
    drawn = []
    for load in (lambda: None, lambda: qrnn.load(path)):
        qrnn.manual_seed(0)
        load()
        drawn.append(nn.Linear(3, 2).weight)
    np.testing.assert_array_equal(*drawn)


def calibrated():
    prepared = qrnn.prepare(nn.Sequential(nn.GRUCell(5, 4), nn.Linear(4, 3)), qconfig={})
    prepared(np.random.default_rng(0).standard_normal((50, 5)).astype(np.float32))
    return qrnn.convert(prepared)


def test_calibration_is_known_afterwards(path):
    model = calibrated()
    again = through(model, path)
    assert list(q.calibration_report(again)) == list(q.calibration_report(model))
    into = qrnn.quantize_dynamic(nn.Sequential(nn.GRUCell(5, 4), nn.Linear(4, 3)))
    assert not q.calibration_report(into)
    assert qrnn.load(path, into=into) is into
    assert list(q.calibration_report(into)) == list(q.calibration_report(model))
    qrnn.save(qrnn.quantize_dynamic(nn.Sequential(nn.GRUCell(5, 4), nn.Linear(4, 3))), path)
    assert not q.calibration_report(qrnn.load(path, into=into))


class Mine(nn.Module):
    def __init__(self, layer=None, end=None):
        super().__init__()
        self.layer = nn.GRU(4, 3) if layer is None else layer
        self.end = nn.Sequential(nn.Linear(3, 2), nn.Tanh()) if end is None else end

    def forward(self, x):
        return self.end(self.layer(x)[0])


def test_classes_of_a_user(path):
    """They load into an instance, also what was prepared, and are named without one."""
    x = np.ones((3, 2, 4), np.float32)
    for make in (Mine, lambda: qrnn.quantize_dynamic(Mine()), lambda: qrnn.prepare(Mine(), qconfig={})):
        model, into = make(), make()
        qrnn.save(model, path)
        assert qrnn.load(path, into=into) is into
        assert_same_results(into(x), model(x))
        with pytest.raises(qrnn.FormatError, match=rf"expected into=, a model .* the model \({Mine.__module__}.Mine\)"):
            qrnn.load(path)


class NotAModel:
    layer = None


def test_into_what(path):
    qrnn.save(Mine(), path)
    for into in (NotAModel(), {}, Mine):
        with pytest.raises(TypeError, match=r"into: expected a Module or a torch.nn.Module, got"):
            qrnn.load(path, into=into)


def test_all_that_does_not_fit_is_named_at_once(path):
    """Kinds and options of float layers too, which their state does not tell; nothing has changed then."""
    end = nn.ModuleDict({"0": nn.Linear(3, 5), "1": nn.ReLU(), "2": nn.Linear(5, 5)})
    into = Mine(nn.GRU(4, 3, batch_first=True), end)
    before = into.state_dict()
    qrnn.save(nn.Sequential({**dict(Mine().named_children()), "more": nn.Linear(1, 1)}), path)
    with pytest.raises(RuntimeError) as caught:
        qrnn.load(path, into=into)
    assert str(caught.value).splitlines() == [
        "Error(s) in loading state_dict for Mine:",
        '\tMissing key(s) in state_dict: "end.2.weight", "end.2.bias".',
        '\tUnexpected key(s) in state_dict: "more.weight", "more.bias".',
        "\tlayer: expected batch_first True, got False",
        "\tend.1: expected kind 'ReLU', got 'Tanh'",
        "\tsize mismatch for end.0.weight: copying a param with shape (2, 3) from checkpoint, "
        "the shape in current model is (5, 3).",
        "\tsize mismatch for end.0.bias: copying a param with shape (2,) from checkpoint, "
        "the shape in current model is (5,).",
    ]
    assert_same_arrays(into.state_dict(), before)


OTHERS = {
    "nonlinearity": (
        lambda: nn.RNN(4, 3),
        lambda: nn.RNN(4, 3, nonlinearity="relu"),
        "nonlinearity 'relu', got 'tanh'",
    ),
    "kind": (lambda: nn.LSTM(4, 3), lambda: nn.RNN(4, 12), "kind 'RNN', got 'LSTM'"),
    "engine": (lambda: qrnn.GRU(4, 3), lambda: qrnn.GRU(4, 3, engine="x86"), "engine 'x86', got 'qrnn'"),
    "float and not": (lambda: nn.GRU(4, 3), lambda: qrnn.GRU(4, 3), "engine 'qrnn', got 'float32'"),
    "not float": (lambda: qrnn.GRU(4, 3), lambda: nn.GRU(4, 3), "engine 'float32', got 'qrnn'"),
    "an option": (lambda: nn.LayerNorm(4), lambda: nn.LayerNorm(4, 1e-3), "eps 0.001, got 1e-05"),
    "a function": (nn.Tanh, nn.Sigmoid, "kind 'Sigmoid', got 'Tanh'"),
    "a slope": (lambda: nn.LeakyReLU(0.1), nn.LeakyReLU, "negative_slope 0.01, got 0.1"),
    "none": (nn.Tanh, nn.Identity, "kind 'Identity', got 'Tanh'"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_what_weights_do_not_tell_is_compared(path, case):
    make, make_other, text = OTHERS[case]
    qrnn.save(nn.Sequential(make()), path)
    with pytest.raises(RuntimeError, match=rf"\t0(\.format)?: expected {text}"):
        qrnn.load(path, into=nn.Sequential(make_other()))


def test_what_changes_no_result_is_not_compared(path):
    qrnn.save(nn.Sequential(nn.Dropout(0.1), nn.ReLU(), nn.LSTM(4, 3, 2, dropout=0.1), nn.Sequential()), path)
    into = nn.Sequential(nn.Identity(), nn.ReLU(inplace=True), nn.LSTM(4, 3, 2), nn.ModuleList())
    assert qrnn.load(path, into=into) is into


def test_files_of_others(path):
    """Without our description a file is a state dict."""
    model, into = Mine(), Mine()
    qrnn.save(model.state_dict(), path)
    assert "__metadata__" not in parts(path)[0]
    assert_same_arrays(qrnn.load(path), model.state_dict())
    assert qrnn.load(path, into=into) is into
    assert_same_arrays(into.state_dict(), model.state_dict())
    with pytest.raises(RuntimeError, match=r"Missing key\(s\) in state_dict: \"weight\", \"bias\""):
        qrnn.load(path, into=nn.Linear(4, 3))


def test_a_layer_with_arrays_of_yours_needs_into(path):
    model, into = (nn.Sequential(nn.Linear(4, 3)) for _ in range(2))
    for each in (model, into):
        each[0].register_buffer("mean", np.zeros(4))
    qrnn.save(model, path)
    assert qrnn.load(path, into=into) is into
    with pytest.raises(qrnn.FormatError, match=r'Unexpected key\(s\) in state_dict: "0.mean"'):
        qrnn.load(path)


def test_a_dropout_that_does_nothing_is_not_warned_of_again(path):
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        model = nn.LSTM(4, 3, dropout=0.5)
    assert through(model, path).dropout == 0.5


def test_in_a_process_without_torch():
    """Models of both kinds there and back, and nothing imports PyTorch."""
    code = """
import sys, tempfile, pathlib, numpy as np, qrnn
from qrnn import nn
sys.modules["torch"] = None  # an import of it fails
path = pathlib.Path(tempfile.mkdtemp()) / "model.safetensors"
for quantize in (lambda model: model, qrnn.quantize_dynamic):
    model = quantize(nn.Sequential(nn.LSTM(4, 3, bidirectional=True)))
    qrnn.save(model, path)
    x = np.ones((5, 2, 4), np.float32)
    assert (qrnn.load(path)(x)[0] == model(x)[0]).all()
    assert (qrnn.load(path, into=quantize(nn.Sequential(nn.LSTM(4, 3, bidirectional=True))))(x)[0] == model(x)[0]).all()
print(*sorted(name for name in sys.modules if name.partition(".")[0] in ("torch", "safetensors")))
"""
    assert run_python(code).strip() == "torch"


def test_no_import_of_the_package_needs_them():
    code = "import sys, qrnn; print(*sorted(name for name in sys.modules if name.startswith('qrnn.')))"
    found = run_python(code).split()
    assert "qrnn._files" in found
    late = ("_safetensors", "_header", "_whole_file", "_model_entries", "_module_rows", "_rebuilding", "_saved_reports")
    assert not {f"qrnn.{name}" for name in late} & set(found)
