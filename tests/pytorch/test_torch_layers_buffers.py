"""The layers of qrnn.torch: their buffers as they change, getters and setters, threads."""

from __future__ import annotations

import threading

import pytest
from support.torch_layers import quantized
from support.torch_models import (
    CELLS,
    H,
    I,
    assert_equal_results,
    each_kind,
    inputs,
    make,
    torch,
)

from qrnn.torch.nn.quantized import dynamic


def test_a_changed_buffer_counts():
    """In place, by assignment, and through functional_call."""
    cell, x = quantized("RNNCell"), torch.randn(2, I)
    first = cell(x)
    cell.bias_ih.add_(1)
    second = cell(x)
    assert not torch.equal(first, second)
    cell.bias_ih = cell.bias_ih - 1
    changed = torch.func.functional_call(cell, {"bias_ih": cell.bias_ih + 1}, (x,))
    assert_equal_results(changed, second)
    cell.weight_ih.zero_()
    cell.weight_hh_scale.fill_(-1)
    with pytest.raises(ValueError, match="weight_hh_scale"):
        cell(x)


def test_modules_made_in_inference_mode():
    with torch.inference_mode():
        cell = quantized("RNNCell")
        x = torch.randn(2, I)
        inside = cell(x)
    assert_equal_results(cell(x.clone()), inside)


@each_kind
def test_getters_and_setters(kind):
    module, other, args = quantized(kind), quantized(kind, seed=9), inputs(kind)
    if kind == "Linear":
        weight, bias = module._weight_bias()
        assert weight.shape == (H, I) and torch.equal(bias, module.bias())
        other.set_weight_bias(weight, bias)
    else:
        both = module._weight_bias()
        assert set(both["weight"]) == {n for n in make(kind).state_dict() if "weight" in n}
        assert set(both["bias"]) == {n for n in make(kind).state_dict() if "bias" in n}
        assert set(module.get_weight()) == set(both["weight"]) and set(module.get_bias()) == set(both["bias"])
        other.set_weight_bias(both if kind in CELLS else {**both["weight"], **both["bias"]})
        broken = {"weight": dict(both["weight"]), "bias": dict(both["bias"])}
        del broken["weight"][next(iter(broken["weight"]))]
        with pytest.raises(KeyError):
            other.set_weight_bias(broken)
    assert_equal_results(other(*args), module(*args))


def test_qtensors_hold_tensors():
    cell = quantized("RNNCell", "fbgemm")
    weight = cell.get_weight()["weight_hh"]
    assert weight.int_repr().dtype == torch.int8
    assert torch.equal(weight.dequantize(), weight.int_repr().float() * weight.q_scale())
    per_row = quantized("RNNCell").get_weight()["weight_hh"]
    scales = per_row.q_per_channel_scales()
    assert torch.equal(per_row.dequantize(), per_row.int_repr().float() * scales[:, None])
    assert per_row.q_per_channel_zero_points().tolist() == [0] * H


def test_any_number_of_threads():
    cell, x = quantized("LSTMCell"), torch.randn(4, I)
    want, wrong = cell(x), []

    def run():
        for _ in range(200):
            if not all(map(torch.equal, cell(x), want)):
                wrong.append(1)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_load_while_another_thread_packs():
    """A module made of the old weights is not taken for one of the new ones, at no moment."""
    armed, results = [], []

    class Interrupted(dict):
        def __setitem__(self, key, value):
            interrupted = armed and armed.pop()
            if interrupted:
                cell.load_state_dict(other.state_dict())
                results.append(cell(x))
            super().__setitem__(key, value)
            if interrupted:
                results.append(cell(x))

    cell, other, x = dynamic.RNNCell(I, H), quantized("RNNCell"), torch.randn(2, I)
    cell._packed._entries = Interrupted(cell._packed._entries)
    cell.bias_ih.add_(0)  # counts as a change
    armed.append(True)
    cell(x)
    assert len(results) == 2
    for each in results:
        assert_equal_results(each, other(x))
