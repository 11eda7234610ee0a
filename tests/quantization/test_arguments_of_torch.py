"""Arguments of PyTorch's functions that change nothing at their defaults: other values are refused."""

from __future__ import annotations

import inspect

import pytest
from support import needs_torch

import qrnn
from qrnn import nn


def packages():
    """(functions, float modules) of each package that is here."""
    yield qrnn, nn
    try:
        import torch

        import qrnn.torch as qt
    except ImportError:
        return
    yield qt, torch.nn


each_package = pytest.mark.parametrize(("package", "lib"), list(packages()), ids=lambda each: each.__name__)


def prepared(package, lib):
    return package.prepare(lib.Sequential(lib.RNNCell(4, 3)), qconfig={})


@each_package
def test_defaults_are_taken(package, lib):
    model = lib.Sequential(lib.RNNCell(4, 3))
    for custom in (None, {}):
        ready = package.prepare(model, False, None, [], custom, qconfig={})
        new = package.convert(ready, None, False, True, False, custom, False)
        assert type(new[0]) is package.RNNCell
        package.quantization.propagate_qconfig_(lib.Sequential(lib.RNNCell(4, 3)), None, custom)
    assert package.convert(ready, is_reference=False, use_precomputed_fake_quant=False) is not None
    assert package.RNNCell.from_float(lib.RNNCell(4, 3), False).hidden_size == 3
    assert package.LSTM.from_float(lib.LSTM(4, 3), use_precomputed_fake_quant=False, engine="fbgemm").engine == "fbgemm"


@each_package
@pytest.mark.parametrize(
    ("name", "value", "call"),
    [
        ("observer_non_leaf_module_list", [nn.Sequential], "prepare"),
        ("prepare_custom_config_dict", {"float_to_observed_custom_module_class": {}}, "prepare"),
        ("prepare_custom_config_dict", {"x": 1}, "propagate"),
        ("is_reference", True, "convert"),
        ("convert_custom_config_dict", {"x": 1}, "convert"),
        ("use_precomputed_fake_quant", True, "convert"),
        ("use_precomputed_fake_quant", True, "from_float"),
        ("use_precomputed_fake_quant", "fbgemm", "from_float"),
    ],
)
def test_other_values_are_refused(package, lib, name, value, call):
    model = prepared(package, lib)
    calls = {
        "prepare": lambda **k: package.prepare(model, **k),
        "convert": lambda **k: package.convert(model, **k),
        "propagate": lambda **k: package.quantization.propagate_qconfig_(model, **k),
        "from_float": lambda **k: package.RNNCell.from_float(lib.RNNCell(4, 3), **k),
    }
    with pytest.raises(ValueError, match=f"^{name}: expected PyTorch's default, as qrnn supports no other value, got "):
        calls[call](**{name: value})


@needs_torch
def test_positions_are_those_of_torch():
    import torch.ao.nn.quantized.dynamic as nnqd
    import torch.ao.quantization as tq

    import qrnn.torch as qt

    for package in (qrnn, qt):
        for ours, theirs in (
            (package.prepare, tq.prepare),
            (package.convert, tq.convert),
            (package.quantize_dynamic, tq.quantize_dynamic),
            (
                package.prepare_qat if package is qt else package.prepare,
                tq.prepare_qat if package is qt else tq.prepare,
            ),
            (package.quantization.propagate_qconfig_, tq.propagate_qconfig_),
            (package.RNNCell.from_float, nnqd.RNNCell.from_float),
        ):
            names = list(inspect.signature(theirs).parameters)
            assert list(inspect.signature(ours).parameters)[: len(names)] == names
    assert list(inspect.signature(qt.prepare_qat).parameters)[:3] == ["model", "mapping", "inplace"]
