"""What was asked for and stays float is named in a warning that says why: models over NumPy."""

from __future__ import annotations

import pytest

import qrnn
from qrnn import nn
from qrnn.quantization import default_dynamic_qconfig


def model():
    return nn.Sequential(nn.RNNCell(4, 4), nn.Tanh(), nn.Sequential(nn.ReLU(), nn.Dropout()))


@pytest.mark.parametrize(
    ("spec", "texts"),
    [
        ({nn.Tanh, nn.RNNCell}, ["Tanh at '1' stays float: there is no quantized Tanh"]),
        ({"1"}, ["'1' stays float: there is no quantized Tanh"]),
        ({"2", "0"}, ["'2' stays float: nothing in this Sequential can be quantized"]),
        ({"": default_dynamic_qconfig}, []),
        (None, []),
    ],
)
def test_what_a_spec_names(spec, texts, recwarn):
    qrnn.quantize_dynamic(model(), spec)
    assert [str(each.message) for each in recwarn] == [f"qconfig_spec: {text}" for text in texts]
    recwarn.clear()
    qconfig = dict.fromkeys(spec, default_dynamic_qconfig) if isinstance(spec, set) else spec
    qrnn.prepare(model(), inplace=False, qconfig=qconfig)
    got = [str(each.message) for each in recwarn if "None of the submodule" not in str(each.message)]
    assert got == [f"qconfig: {text}" for text in texts]


def test_an_attribute_of_its_own(recwarn):
    marked = model()
    marked[0].qconfig = marked[1].qconfig = default_dynamic_qconfig
    assert type(qrnn.convert(marked)[0]) is qrnn.RNNCell
    assert [str(each.message) for each in recwarn] == ["qconfig: '1' stays float: there is no quantized Tanh"]


def test_a_table_without_a_type_that_was_asked_for():
    with pytest.warns(UserWarning, match=r"^qconfig_spec: RNNCell at '0' stays float: mapping has no RNNCell$"):
        qrnn.quantize_dynamic(model(), {nn.RNNCell}, mapping={nn.Linear: qrnn.Linear})


@pytest.mark.parametrize("mapping", [3, {"0": qrnn.Linear}, {nn.Linear: 3}])
def test_bad_tables(mapping):
    with pytest.raises(TypeError, match="^mapping: expected"):
        qrnn.quantize_dynamic(model(), mapping=mapping)
