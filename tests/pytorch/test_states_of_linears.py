"""A Linear's state loads with or without bias, as PyTorch's quantized Linear's; so do those from before 1.6."""

from __future__ import annotations

import warnings

import pytest
from support.torch_models import assert_equal_results, torch, torch_ao

import qrnn.torch as qt

nn = torch.nn
X = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))

each_bias = pytest.mark.parametrize("bias", [True, False])
each_other = pytest.mark.parametrize("other", [True, False])


@pytest.fixture(autouse=True)
def quiet_states():
    """States of torch.ao do not say what layer they are of, which is a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def linear(bias, engine="fbgemm"):
    torch.manual_seed(int(bias))
    return qt.quantize_dynamic(nn.Sequential(nn.Linear(4, 3, bias=bias)), engine=engine)


def ao_linear(bias):
    import torch.ao.quantization as tq

    torch.manual_seed(5)
    return torch_ao(tq.quantize_dynamic, nn.Sequential(nn.Linear(4, 3, bias=bias)), {nn.Linear})


def assert_loaded(model, bias):
    assert (model[0].bias() is not None) == bias
    again = linear(not bias)
    again.load_state_dict(model.state_dict())
    assert_equal_results(again(X), model(X))
    assert repr(again) == repr(model)


@each_bias
@each_other
def test_ours(bias, other):
    source, model = linear(bias), linear(other)
    assert str(model.load_state_dict(source.state_dict())) == "<All keys matched successfully>"
    assert_equal_results(model(X), source(X))
    assert_loaded(model, bias)


@each_bias
@each_other
def test_of_torch_ao(bias, other):
    source, model = ao_linear(bias), linear(other)
    assert str(model.load_state_dict(source.state_dict())) == "<All keys matched successfully>"
    torch.testing.assert_close(model(X), source(X))
    assert_loaded(model, bias)


@each_bias
@each_other
def test_from_before_1_6(bias, other):
    """The weight and the bias were entries of their own."""
    source, model = ao_linear(bias), linear(other)
    weight, values = source[0]._weight_bias()
    state = {
        "0.scale": torch.tensor(1.0),
        "0.zero_point": torch.tensor(0),
        "0._packed_params.weight": weight,
        "0._packed_params.bias": values,
        "0._packed_params.dtype": torch.qint8,
    }
    assert str(model.load_state_dict(state)) == "<All keys matched successfully>"
    torch.testing.assert_close(model(X), source(X))
    assert_loaded(model, bias)


@each_bias
def test_nothing_changes_where_the_weight_is_missing_or_wrong(bias):
    model, before = linear(bias), linear(bias)
    for state in (
        {},
        {"0.weight": torch.zeros(3, 4, dtype=torch.int8)},
        {"0._packed_params.weight": torch.zeros(3, 4)},
    ):
        with pytest.raises(RuntimeError):
            model.load_state_dict(state)
        assert_equal_results(model(X), before(X))


def test_a_bias_of_another_shape_is_an_error():
    model, before = linear(False), linear(False)
    with pytest.raises(RuntimeError, match=r"0\.bias: expected"):
        model.load_state_dict({**linear(True).state_dict(), "0.bias": torch.zeros(4)})
    assert_equal_results(model(X), before(X))
    assert model[0].bias() is None
