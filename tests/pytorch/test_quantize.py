"""prepare, convert and quantize_dynamic of torch models: what is chosen, what it becomes, what is kept."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import support
from support import torch_models
from support.torch_models import assert_equal_results, each_kind, inputs, make, torch

import qrnn
import qrnn.torch as qt
from qrnn.torch.nn.quantized import dynamic
from qrnn.torch.quantization import default_dynamic_qconfig, per_channel_dynamic_qconfig

nn = torch.nn


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(5, 8)
        self.relu = nn.ReLU()
        self.fc2 = nn.Linear(8, 5)

    def forward(self, x):
        return self.fc2(self.relu(self.fc1(x)))


class Nested(nn.Module):
    """A model as in PyTorch's own tests: modules below modules."""

    def __init__(self):
        super().__init__()
        self.cell = nn.RNNCell(5, 5)
        self.sub = Inner()
        self.last = nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5))

    def forward(self, x):
        return self.last(self.sub(self.cell(x)))


def types(model):
    """Which submodules are quantized or prepared, by name."""
    return {
        name: type(each).__name__
        for name, each in model.named_modules()
        if type(each).__module__.startswith("qrnn.torch")
    }


def chosen(model, spec):
    return set(types(qt.quantize_dynamic(model, spec)))


X = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
ALL = {"cell", "sub.fc1", "sub.fc2", "last.0", "last.1"}


# ---------------------------------------------------------------------------------------------------
# What is chosen
# ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("spec", "want"),
    [
        (None, ALL),
        ({nn.Linear}, ALL - {"cell"}),
        ({nn.RNNCell}, {"cell"}),
        ({"sub.fc1", nn.RNNCell}, {"cell", "sub.fc1"}),
        ({"last"}, {"last.0", "last.1"}),
        ({"": default_dynamic_qconfig}, ALL),
        ({"": default_dynamic_qconfig, "sub": None}, ALL - {"sub.fc1", "sub.fc2"}),
        ({"": default_dynamic_qconfig, nn.Linear: None}, {"cell"}),
        ({nn.Linear: default_dynamic_qconfig, "last.0": None}, ALL - {"cell", "last.0"}),
        ({"sub.fc2": per_channel_dynamic_qconfig}, {"sub.fc2"}),
        ({Inner: default_dynamic_qconfig}, {"sub.fc1", "sub.fc2"}),
        (default_dynamic_qconfig, ALL),
    ],
)
def test_what_a_spec_chooses(spec, want):
    assert chosen(Nested(), spec) == want


def test_an_attribute_stands_above_all():
    model = Nested()
    model.sub.fc1.qconfig = model.sub.fc2.qconfig = None
    model.last[0].qconfig = per_channel_dynamic_qconfig
    with qt.engine("fbgemm"):
        new = qt.quantize_dynamic(model, {nn.Linear: default_dynamic_qconfig})
    assert set(types(new)) == {"last.0", "last.1"}
    assert new.last[0].state_dict()["weight_scale"].dim() == 1
    assert new.last[1].state_dict()["weight_scale"].dim() == 0


def test_propagated_qconfigs():
    model = Nested()
    qt.quantization.propagate_qconfig_(model, {"sub": default_dynamic_qconfig})
    assert model.sub.fc1.qconfig is default_dynamic_qconfig and model.cell.qconfig is None
    new = qt.convert(model)
    assert set(types(new)) == {"sub.fc1", "sub.fc2"}
    assert not any(hasattr(each, "qconfig") for each in new.modules())
    assert hasattr(model.sub.fc1, "qconfig"), "the copy was converted"
    kept = qt.convert(model, remove_qconfig=False)
    assert hasattr(kept.sub, "qconfig")


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda m: qt.quantize_dynamic(m, [nn.Linear]), TypeError, "qconfig_spec: expected a mapping"),
        (lambda m: qt.quantize_dynamic(m, {3: None}), TypeError, "expected types and names as keys"),
        (lambda m: qt.quantize_dynamic(m, {"cell": 3}), TypeError, "expected QConfig or None"),
        (lambda m: qt.quantize_dynamic(m, dtype=torch.float16), ValueError, "float16"),
        (lambda m: qt.quantize_dynamic(m, engine="mkl"), ValueError, "engine"),
        (lambda m: qt.quantize_dynamic(3), TypeError, r"expected a torch\.nn\.Module, got builtins\.int"),
        (lambda m: qt.prepare_qat(m.eval()), AssertionError, "only works on models in training mode"),
        (lambda m: qt.prepare(m, qconfig={}, isa="sse"), ValueError, "isa"),
        (lambda m: qt.quantize_dynamic(m.cell, inplace=True), ValueError, "inplace: RNNCell is itself"),
        (lambda m: qt.prepare(m.cell, True, qconfig={}), ValueError, "inplace: RNNCell is itself"),
    ],
)
def test_bad_arguments_change_nothing(call, error, text):
    model = Nested()
    before = repr(model)
    with pytest.raises(error, match=text):
        call(model)
    assert repr(model) == before


def test_a_weight_that_is_not_finite_is_named():
    model = Nested()
    with torch.no_grad():
        model.cell.weight_hh[1, 2] = torch.nan
    for inplace in (False, True):
        with pytest.raises(ValueError, match=r"cell: weight_hh: expected finite weights, got nan at \(1, 2\)"):
            qt.quantize_dynamic(model, inplace=inplace)
        assert not types(model)


def test_warnings():
    with pytest.warns(UserWarning, match="None of the submodule got qconfig applied"):
        qt.quantize_dynamic(nn.Sequential(nn.ReLU()))
    with pytest.warns(UserWarning, match="None of the submodule got qconfig applied"):
        qt.convert(Nested())
    with pytest.warns(UserWarning, match="no submodule is named cel"):
        qt.quantize_dynamic(Nested(), {"cel": default_dynamic_qconfig, "cell": default_dynamic_qconfig})

    class Own(nn.Linear):
        def forward(self, x):
            return super().forward(x) + 1

    with pytest.warns(UserWarning, match="Own overrides forward or __call__ and is left float"):
        model = qt.quantize_dynamic(nn.Sequential(Own(2, 2), nn.Linear(2, 2)))
    assert set(types(model)) == {"1"}
    with pytest.warns(UserWarning, match="left float"):
        assert set(types(qt.convert(qt.prepare(nn.Sequential(Own(2, 2)), qconfig={})))) == set()


# ---------------------------------------------------------------------------------------------------
# In place or a copy; the root
# ---------------------------------------------------------------------------------------------------
def test_copies_leave_the_model_alone():
    model = Nested()
    keys, text = model.state_dict().keys(), repr(model)
    new = qt.quantize_dynamic(model)
    assert new is not model and model.state_dict().keys() == keys and repr(model) == text
    assert not new.training and model.training
    same = qt.quantize_dynamic(model, inplace=True)
    assert same is model and set(types(model)) == ALL


def test_a_copy_of_a_marked_model_is_not_marked():
    model = Nested()
    qt.prepare(model, qconfig={})
    for copied in (qt.prepare(model, inplace=False), qt.from_torch_ao(model)):
        assert qt.convert(copied) is not copied
    assert qt.convert(model) is model


def test_inplace_of_prepare_and_convert():
    """api.md's rule: qconfig= prepares in place and marks the model; convert of a marked one converts it."""
    model = Nested()
    assert qt.prepare(model, qconfig={}) is model
    assert set(types(model)) == ALL
    copied = qt.convert(model, inplace=False)
    assert copied is not model and type(model.cell).__name__ == "PreparedRNNCell"
    assert qt.convert(model) is model and type(model.cell) is dynamic.RNNCell
    model = Nested()
    assert qt.prepare(model, inplace=False, qconfig={}) is not model and not types(model)
    model.qconfig = default_dynamic_qconfig
    copied = qt.prepare(model)
    assert copied is not model and not types(model)
    assert qt.prepare(model, inplace=True) is model
    converted = qt.convert(model)
    assert converted is not model and type(model.cell).__name__ == "PreparedRNNCell"
    assert qt.prepare(model, qconfig={}) is model, "what is prepared stays prepared"


@each_kind
def test_the_root_itself_is_converted(kind):
    root = make(kind)
    name = kind.partition("-")[0]
    assert type(qt.quantize_dynamic(root)) is getattr(dynamic, name)
    ready = qt.prepare(root, qconfig={})
    assert type(ready).__name__ == f"Prepared{name}"
    assert type(qt.convert(ready)) is getattr(dynamic, name)
    assert type(root) is getattr(nn, name)


def test_a_shared_module_stays_one():
    linear = nn.Linear(5, 5)
    model = nn.ModuleDict({"a": linear, "b": nn.Sequential(linear)})
    for new in (qt.quantize_dynamic(model), qt.convert(qt.prepare(model, qconfig={}))):
        assert new["a"] is new["b"][0] and type(new["a"]) is dynamic.Linear


def test_the_engine_is_fixed_at_prepare():
    model = qt.prepare(Nested(), qconfig={}, engine="qnnpack")
    with pytest.raises(ValueError, match="was prepared for 'qnnpack', got 'fbgemm'"):
        qt.prepare(model, qconfig={}, engine="fbgemm")
    with pytest.raises(ValueError, match="was prepared for 'qnnpack', got 'fbgemm'"):
        qt.convert(model, engine="fbgemm")
    with qt.engine("fbgemm"):
        assert qt.convert(model).cell.engine == "qnnpack"


def test_default_engines():
    assert qt.quantize_dynamic(Nested()).cell.engine == "qrnn"
    with qt.engine("fbgemm"):
        new = qt.quantize_dynamic(Nested())
        assert new.cell.engine == "fbgemm" and qt.RNNCell(4, 3).engine == "fbgemm"
    assert qt.prepare(new, qconfig={}, inplace=False).cell._prepared.engine == "fbgemm"
    assert new.cell.isa == qrnn.isas()[-1]
    assert qt.quantize_dynamic(Nested(), isa="scalar").cell.isa == "scalar"
    support.exercised.add("scalar")


# ---------------------------------------------------------------------------------------------------
# What is kept
# ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("how", ["quantize_dynamic", "prepare and convert"])
def test_forward_hooks_are_kept_and_fire(how):
    model, calls = Nested(), []
    handle = model.sub.fc1.register_forward_hook(lambda *_: calls.append("hook"))
    model.sub.fc1.register_forward_pre_hook(lambda *_: calls.append("pre"))
    model.cell.register_forward_hook(lambda *_, **__: calls.append("kwargs"), with_kwargs=True)
    if how == "quantize_dynamic":
        qt.quantize_dynamic(model, inplace=True)
    else:
        qt.convert(qt.prepare(model, qconfig={}))
    model(X)
    assert calls == ["kwargs", "pre", "hook"]
    handle.remove()
    model(X)
    assert calls == ["kwargs", "pre", "hook", "kwargs", "pre"]


def test_subclasses_and_parametrised_modules():
    class Plain(nn.RNNCell):
        """Overrides nothing."""

    model = nn.Sequential(Plain(5, 5), nn.utils.parametrizations.weight_norm(nn.Linear(5, 4)))
    want = model.eval()(X)
    new = qt.quantize_dynamic(model)
    assert set(types(new)) == {"0", "1"}
    assert torch_models.difference(new(X), want) < 0.05
    ready = qt.prepare(model, qconfig={})
    assert "Parametrized" in type(ready[1]).__name__, "it goes on training in float"
    assert set(types(qt.convert(ready))) == {"0", "1"}


def test_attention_keeps_its_output_projection():
    """PyTorch reads that Linear's weight instead of calling it."""
    attention = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    with pytest.warns(UserWarning, match="MultiheadAttention reads its weight"):
        model = qt.quantize_dynamic(nn.Sequential(nn.Linear(8, 8), attention))
    x = torch.randn(1, 3, 8)
    model[1](x, x, x)
    assert set(types(model)) == {"0"}


def test_mappings_to_other_types():
    class Mine(nn.Module):
        def __init__(self, qconfig):
            super().__init__()
            self.seen = qconfig

        @classmethod
        def from_float(cls, mod):
            return cls(mod.qconfig)

    new = qt.quantize_dynamic(Nested(), {nn.RNNCell: per_channel_dynamic_qconfig}, mapping={nn.RNNCell: Mine})
    assert new.cell.seen is per_channel_dynamic_qconfig and isinstance(new.sub.fc1, nn.Linear)
    assert qt.quantization.get_default_dynamic_quant_module_mappings()[nn.LSTM] is dynamic.LSTM
    assert nn.GRUCell in qt.quantization.get_default_qconfig_propagation_list()


def test_torchs_own_qconfigs():
    import torch.ao.quantization as tq

    model = torch_models.torch_ao(qt.quantize_dynamic, Nested(), {nn.RNNCell: tq.per_channel_dynamic_qconfig})
    ours = qt.quantize_dynamic(Nested(), {nn.RNNCell: per_channel_dynamic_qconfig})
    ours.load_state_dict(model.state_dict())
    assert_equal_results(ours(X), model(X))
    assert model.cell.state_dict()["weight_ih_scale"].shape == (5,)


# ---------------------------------------------------------------------------------------------------
# qrnn.* goes to qrnn.torch by itself
# ---------------------------------------------------------------------------------------------------
def test_qrnn_takes_torch_models():
    new = qrnn.quantize_dynamic(Nested(), {nn.RNNCell})
    assert types(new) == {"cell": "RNNCell"}
    ready = qrnn.prepare(Nested(), qconfig={})
    assert type(ready.cell).__name__ == "PreparedRNNCell"
    assert type(qrnn.convert(ready).cell) is dynamic.RNNCell
    model = Nested()
    qrnn.quantization.propagate_qconfig_(model, {"cell": default_dynamic_qconfig})
    assert set(types(qrnn.convert(model))) == {"cell"}
    with pytest.raises(TypeError, match="expected a qrnn"):
        qrnn.quantize_dynamic(3)
    with pytest.raises(TypeError, match="expected a torch"):
        qt.quantize_dynamic(qrnn.nn.Sequential())


def test_importing_qrnn_imports_no_torch():
    code = (
        "import sys, numpy as np, qrnn\n"
        "m = qrnn.quantize_dynamic(qrnn.nn.Sequential(qrnn.nn.RNNCell(4, 3)))\n"
        "m(np.zeros((1, 4)))\n"
        "assert 'torch' not in sys.modules and 'qrnn.torch' not in sys.modules\n"
    )
    support.run_python(code, PYTHONWARNINGS="error")


def test_importing_the_bridge_imports_little():
    """torch._dynamo takes seconds to import: not before something is compiled."""
    code = (
        "import torch, sys\n"
        "before = set(sys.modules)\n"
        "import qrnn.torch as qt\n"
        "m = qt.convert(qt.prepare(torch.nn.Sequential(torch.nn.RNNCell(4, 3)), qconfig={}))\n"
        "m(torch.zeros(1, 4))\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "assert 'torch._dynamo' not in sys.modules and 'onnxscript' not in new, new\n"
    )
    support.run_python(code, PYTHONWARNINGS="error")


def test_without_onnxscript_the_export_says_what_is_missing():
    code = (
        "import sys; sys.modules['onnxscript'] = None\n"
        "try:\n    import qrnn.torch.onnx\n"
        "except ImportError as error:\n    assert 'pip install onnxscript onnx' in str(error)\n"
        "else:\n    raise SystemExit('no error')\n"
    )
    support.run_python(code)


@pytest.mark.parametrize("kind", ["RNNCell", "LSTM"])
def test_the_numpy_side_converts_single_torch_modules_alike(kind):
    mod = make(kind)
    x = inputs(kind)[0]
    got = getattr(qrnn, kind).from_float(mod)(x.numpy())
    want = qt.quantize_dynamic(mod)(x)
    for a, b in zip(torch_models.flat(got), torch_models.arrays(want), strict=True):
        assert np.array_equal(a, b)


def test_doctests():
    import doctest
    import importlib
    import pkgutil

    names = [m.name for m in pkgutil.walk_packages(qt.__path__, "qrnn.torch.")]
    ran = 0
    for name in ["qrnn.torch", *names]:
        if name == "qrnn.torch.onnx":
            continue  # needs onnxscript: see test_onnx.py
        result = doctest.testmod(importlib.import_module(name))
        assert result.failed == 0, name
        ran += result.attempted
    assert ran > 30


def test_no_program_runs_from_inside_the_package():
    """There a folder called torch would hide PyTorch: no module of qrnn/torch runs as a script."""
    done = subprocess.run(
        [sys.executable, "-c", "import qrnn.torch, torch; assert torch is not qrnn.torch; torch.nn.GRU(1, 1)"],
        check=False,
        env=support.environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
