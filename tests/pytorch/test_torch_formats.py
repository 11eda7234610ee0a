"""A state of a torch model says what layers it is of, as plain tensors; other layers refuse it."""

from __future__ import annotations

import copy
import io
import warnings

import numpy as np
import pytest
from support.torch_layers import numpy_module, quantized
from support.torch_models import Holder, assert_equal_results, each_kind, inputs, make, torch

import qrnn
import qrnn.torch as qt
from qrnn.torch.nn.quantized import dynamic


def reset_before():
    return {name: torch.from_numpy(value) for name, value in qrnn.GRU(5, 8, reset_after=False).state_dict().items()}


PAIRS = {
    "nonlinearity": (lambda: quantized("RNN-relu").state_dict(), lambda: quantized("RNN"), "nonlinearity 'tanh', got"),
    "engine": (lambda: quantized("LSTM", "fbgemm").state_dict(), lambda: quantized("LSTM"), "engine 'qrnn', got 'fbg"),
    "batch first": (
        lambda: quantized("GRU", batch_first=True).state_dict(),
        lambda: quantized("GRU"),
        "batch_first False, got True",
    ),
    "reset form": (reset_before, lambda: quantized("GRU"), "reset_after True, got False"),
    "prepared": (
        lambda: quantized("GRU").state_dict(),
        lambda: qt.prepare(make("GRU"), qconfig={}),
        "engine 'float32', got 'qrnn'",
    ),
    "prepared, reset form": (
        lambda: qrnn.nn.GRU(5, 8, reset_after=False).state_dict(),
        lambda: qt.prepare(make("GRU"), qconfig={}),
        "reset_after True, got False",
    ),
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("pair", PAIRS)
def test_a_state_of_another_kind_is_refused(pair, strict):
    of, into, text = PAIRS[pair]
    state, module = of(), into()
    before = copy.deepcopy(module.state_dict())
    for target, prefix in ((module, ""), (Holder(module), "module.")):
        named = {prefix + name: torch.as_tensor(np.asarray(value)) for name, value in state.items()}
        with pytest.raises(RuntimeError, match=rf"{prefix}format: expected {text}"):
            target.load_state_dict(named, strict=strict)
    if "prepared, reset" not in pair:  # PyTorch loads the float entries of a layer of its own
        assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


@each_kind
def test_states_are_saved_by_torch_and_safetensors(kind, tmp_path):
    module, args = Holder(quantized(kind)), inputs(kind)
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    buffer.seek(0)
    states = {"torch": torch.load(buffer, weights_only=True), "deepcopy": copy.deepcopy(module.state_dict())}
    try:
        import safetensors.torch
    except ImportError:
        pass
    else:
        safetensors.torch.save_file(module.state_dict(), tmp_path / "state")
        states["safetensors"] = safetensors.torch.load_file(tmp_path / "state")
        safetensors.torch.save_model(module, str(tmp_path / "model"))
        states["model"] = safetensors.torch.load_file(tmp_path / "model")
    for how, state in states.items():
        other = Holder(quantized(kind, seed=3))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert str(other.load_state_dict(state)) == "<All keys matched successfully>", how
        assert_equal_results(other(*args), module(*args), how)


@each_kind
def test_both_packages_say_the_same(kind):
    for engine in ("qrnn",) if "projected" in kind else ("qrnn", "fbgemm"):
        ours, theirs = quantized(kind, engine), numpy_module(kind, engine)
        assert ours.describe() == theirs.describe()
        state = ours.state_dict()["format"]
        assert state.dtype == torch.uint8 and (state.numpy() == theirs.state_dict()["format"]).all()
        assert repr(ours).endswith(f", engine={engine})") == (engine != "qrnn")
    assert qt.prepare(make(kind), qconfig={}).describe() == {**ours.describe(), "engine": "float32"}


@each_kind
def test_states_of_the_first_version_load_with_a_warning(kind):
    module, other, args = Holder(quantized(kind)), Holder(quantized(kind, seed=3)), inputs(kind)
    state = {name: value for name, value in module.state_dict().items() if name != "module.format"}
    with pytest.warns(UserWarning, match=r"got no module\.format: states of version 0\.1\.0") as caught:
        assert str(other.load_state_dict(state)) == "<All keys matched successfully>"
    assert len(caught) == 1 and caught[0].filename == __file__, "it points at the caller's line"
    assert_equal_results(other(*args), module(*args))


def test_float_states_are_pytorchs():
    for module in (qt.prepare(make("GRU"), qconfig={}), qt.prepare(quantized("GRU"), qconfig={})):
        assert set(module.state_dict()) == set(make("GRU").state_dict())


def test_what_changes_later_is_said():
    """The format is of the layer as it is, and no tensor that could be left behind."""
    module = dynamic.RNNCell(5, 8)
    weights = module.get_weight()
    module.set_weight_bias({"weight": weights, "bias": {"bias_ih": None, "bias_hh": None}})
    assert not module.describe()["bias"]
    assert b'"bias":false' in module.state_dict()["format"].numpy().tobytes()
    assert "format" not in dict(module.named_buffers()) and "format" not in dict(module.named_parameters())
