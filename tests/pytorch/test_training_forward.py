"""Prepared modules of qrnn.torch in training: what the forward computes, and what it refuses."""

from __future__ import annotations

import pytest
from support.torch_models import (
    CELLS,
    KINDS,
    H,
    I,
    assert_equal_results,
    difference,
    each_kind,
    each_kind_and_engine,
    each_layer,
    each_layer_and_engine,
    flat,
    inputs,
    make,
    takes_batch_first,
    torch,
    with_engines,
)
from support.torch_training import loss_of, pair, prepared

import qrnn.torch as qt


# ---------------------------------------------------------------------------------------------------
# The forward
# ---------------------------------------------------------------------------------------------------
@each_kind_and_engine
@pytest.mark.parametrize("bias", [True, False])
def test_eval_is_the_engine_and_convert_changes_no_bit(kind, engine, bias):
    module, args = prepared(kind, engine, bias=bias).eval(), inputs(kind)
    before = module(*args)
    after = qt.convert(module)
    assert type(after).__name__ == kind.partition("-")[0] and after.engine == engine
    assert_equal_results(after(*args), before)
    assert_equal_results(qt.quantize_dynamic(make(kind, bias=bias), engine=engine)(*args), before)


@with_engines([kind for kind in KINDS if not kind.endswith("-2")])
@pytest.mark.parametrize("bias", [True, False])
def test_training_forward_is_the_engine_to_1e_5(kind, engine, bias):
    """No code flips in a step of one layer: x and h are the same in both."""
    module, args = prepared(kind, engine, bias=bias).train(), inputs(kind, time=1)
    assert difference(module(*args), module.eval()(*args)) < 1e-5


@each_layer_and_engine
@pytest.mark.parametrize("lengths", [None, [6, 4, 3, 1], [3, 6, 1, 4]])
def test_training_sequences_follow_the_engine(kind, engine, lengths):
    """Over layers and steps a float that differs in its last bits may flip a code, by one step of its grid."""
    module, (x, state) = prepared(kind, engine).train(), inputs(kind, batch=4, time=6)
    got = module(x, state) if lengths is None else module(x, state, lengths=lengths)
    module.eval()
    want = module(x, state) if lengths is None else module(x, state, lengths=lengths)
    assert difference(got, want) < 2e-3
    assert [each.shape for each in flat(got)] == [each.shape for each in flat(want)]
    if lengths is not None:
        first = module.batch_first
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths), first, False)
        module.train()
        output, last = module(packed, state)
        padded, _ = torch.nn.utils.rnn.pad_packed_sequence(output, first)
        assert difference((padded, last), got) < 1e-6


@each_layer
@pytest.mark.parametrize("given", [True, False])
def test_rows_without_steps(kind, given):
    """Zeros out and the states that they had, which get their gradients; as in eval mode, and without some rows."""
    module, (x, state) = prepared(kind).train(), inputs(kind, batch=4, time=6)
    state = tuple(each.requires_grad_() for each in flat(state))
    hx = None if not given else state if kind.startswith("LSTM") else state[0]
    for lengths in ([6, 0, 3, 0], [0, 0, 0, 0]):
        got = module.train()(x, hx, lengths=lengths)
        assert difference(got, module.eval()(x, hx, lengths=lengths)) < 2e-3
        idle = torch.tensor(lengths) == 0
        for last, first in zip(flat(got[1]), state, strict=True):
            assert torch.equal(last[:, idle], first[:, idle] if given else torch.zeros_like(first[:, idle]))
    if given:
        loss_of(module.train()(x, hx, lengths=[6, 0, 3, 0])[1]).backward()
        assert all(each.grad[:, 1].abs().min() > 0 for each in state)


def test_rows_without_steps_share_no_scale():
    module, (x, state) = prepared("LSTM", "fbgemm"), inputs("LSTM", batch=4, time=6)
    for mode in (module.train(), module.eval()):
        with pytest.raises(ValueError, match="lengths: expected 1 to 6, got 0 for batch row 1"):
            mode(x, state, lengths=[6, 0, 3, 1])


@each_kind
def test_unbatched_inputs_train(kind):
    module = prepared(kind).train()
    x, *_ = inputs(kind, batch=1)
    axis = 0 if kind in ("Linear", *CELLS) or takes_batch_first(kind) else 1
    one = x.squeeze(axis)
    got, want = module(one), module(x)
    for a, b in zip(flat(got), flat(want), strict=True):
        assert a.numel() == b.numel() and difference(a.flatten(), b.flatten()) < 1e-6
    loss_of(got).backward()
    assert all(p.grad is not None for p in module.parameters())


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ((torch.zeros(2, I + 1),), RuntimeError),
        ((torch.zeros(2, I), torch.zeros(3, H)), RuntimeError),
        ((torch.zeros(2, I), torch.zeros(2, H + 1)), RuntimeError),
        ((torch.zeros(2, 2, I),), ValueError),
    ],
)
def test_bad_shapes_are_refused_in_both_modes(args, error):
    for mode in (True, False):
        with pytest.raises(error):
            prepared("RNNCell").train(mode)(*args)


X = torch.zeros(5, 2, I)
PACKED = torch.nn.utils.rnn.pack_padded_sequence(X, [3, 5], enforce_sorted=False)
BAD_CALLS = [
    ("Linear", (torch.zeros(()),), {}, "Expected input to be at least 1D"),
    ("Linear", (X[..., 1:],), {}, "got 4, expected 5"),
    ("Linear", (None,), {}, "input: expected a torch.Tensor, got None"),
    ("LSTMCell", (X[0], pair(3, H)), {}, r"Input batch size 2 doesn't match hidden\[0\] batch size 3"),
    ("LSTMCell", (X[0], (torch.zeros(2, H), torch.zeros(2, H + 1))), {}, r"hidden\[1\] has inconsistent"),
    ("LSTMCell", (X[0], (torch.zeros(2, H),)), {}, "expected a pair .h, c., got 1 items"),
    ("LSTMCell", (X[0], pair(H)), {}, r"Input batch size 2 doesn't match hidden\[0\] batch size 8"),
    ("LSTMCell", (X[0, 0], pair(2, H)), {}, r"Expected hx\[0\] to be 1D for an input that is 1D, got 2D"),
    ("LSTMCell", (X[0], [[0.0], [0.0]]), {}, r"hx\[0\]: expected a torch.Tensor, got list"),
    ("GRUCell", (X[0], pair(2, H)), {}, "Expected hidden to be 1D or 2D, got 3D instead"),
    ("GRUCell", (X[0], torch.zeros(2)), {}, "Expected hidden to be 2D for an input that is 2D, got 1D"),
    ("GRUCell", (X[0, :, 1:],), {}, "input has inconsistent input_size: got 4, expected 5"),
    ("RNNCell", (X[0].numpy(),), {}, "input: expected a torch.Tensor, got ndarray"),
    ("LSTM", (X, pair(1, 5, H)), {}, r"Expected hidden\[0\] size \(1, 2, 8\), got \[1, 5, 8\]"),
    ("LSTM", (X, pair(3, 2, H)), {}, r"Expected hidden\[0\] size \(1, 2, 8\), got \[3, 2, 8\]"),
    ("LSTM", (X, pair(1, 1, H)), {}, r"Expected hidden\[0\] size \(1, 2, 8\), got \[1, 1, 8\]"),
    ("LSTM", (X, (torch.zeros(1, 2, H), torch.zeros(1, 2, 3))), {}, r"Expected hidden\[1\] size"),
    ("LSTM", (X, pair(1, H)), {}, r"hx and cx should also be 3-D but got \(2-D, 2-D\) tensors"),
    ("LSTM", (X[:, 0], pair(1, 1, H)), {}, r"For unbatched 2-D input, hx and cx should also be 2-D"),
    ("LSTM", (X[:, 0], pair(1, 3)), {}, r"Expected hidden\[0\] size \(1, 1, 8\), got \[1, 1, 3\]"),
    ("GRU", (X, torch.zeros(1, H)), {}, "hx should also be 3-D but got 2-D tensor"),
    ("GRU", (X, pair(1, 2, H)), {}, "hx should also be 3-D but got 4-D tensor"),
    ("GRU", (X[0, 0],), {}, "Expected input to be 2D or 3D, got 1D instead"),
    ("RNN", (X[0, 0],), {}, "Expected input to be 2D or 3D, got 1D tensor instead"),
    ("GRU", (X[..., 1:],), {}, "input.size.-1. must be equal to input_size. Expected 5, got 4"),
    ("GRU", (X[:0],), {}, "Expected sequence length to be larger than 0 in RNN"),
    ("GRU", (X.numpy(),), {}, "input: expected a torch.Tensor, got ndarray"),
    ("GRU", (X,), {"lengths": [5]}, "lengths: expected 2, one for each batch row, got 1"),
    ("GRU", (X,), {"lengths": [5, 6]}, "lengths: expected 0 to 5, got 6 for batch row 1"),
    ("GRU", (X,), {"lengths": [-1, 5]}, "lengths: expected 0 to 5, got -1 for batch row 0"),
    ("GRU", (X,), {"lengths": [5.0, 3.5]}, "lengths: expected integers, got float"),
    ("GRU", (X,), {"lengths": torch.tensor([5.0, 3.5])}, "lengths: expected integers, got numpy.float32"),
    ("GRU", (X,), {"lengths": 5}, "lengths: expected a sequence of integers, one for each batch row, got int"),
    ("GRU", (X,), {"lengths": {5, 3}}, "lengths: expected a sequence of integers, one for each batch row, got set"),
    ("GRU-2", (X.transpose(0, 1), torch.zeros(1, 2, H)), {}, r"\(4, 2, 8\), got \[1, 2, 8\]"),
    ("LSTM", (PACKED, pair(1, 3, H)), {}, r"Expected hidden\[0\] size \(1, 2, 8\), got \[1, 3, 8\]"),
    ("LSTM", (PACKED, pair(1, 1, H)), {}, r"Expected hidden\[0\] size \(1, 2, 8\), got \[1, 1, 8\]"),
    ("LSTM", (PACKED,), {"lengths": [1, 2]}, "lengths: expected None with a PackedSequence"),
]


@pytest.mark.parametrize(("kind", "args", "keywords", "text"), BAD_CALLS)
def test_training_refuses_what_the_engine_refuses(kind, args, keywords, text):
    """With the same exceptions and texts, which name the layer, whatever its class."""
    module, said = prepared(kind), []
    for each in (module.train(), module.eval(), qt.convert(module)):
        with pytest.raises((RuntimeError, TypeError, ValueError), match=text) as caught:
            each(*args, **keywords)
        said.append((caught.type, str(caught.value)))
        module = module.eval()
    assert said[0] == said[1] == said[2]


@pytest.mark.parametrize("kind", ["LSTM", "LSTMCell"])
def test_one_tensor_is_no_state_of_an_lstm(kind):
    module, (x, state) = prepared(kind), inputs(kind)
    for mode in (True, False):
        with pytest.raises(TypeError, match=r"hx: expected a pair \(h, c\), got"):
            module.train(mode)(x, state[0])


@each_layer
@pytest.mark.parametrize("lengths", [None, []])
def test_an_empty_batch_trains(kind, lengths):
    module, (x, state) = prepared(kind).train(), inputs(kind, batch=0)
    got = module(x, state, lengths=lengths)
    assert [each.shape for each in flat(got)] == [each.shape for each in flat(module.eval()(x, state))]
    loss_of(got).backward()
    assert all(p.grad is not None and not p.grad.any() for p in module.parameters())


def test_torch_engines_name_what_is_not_finite():
    with pytest.raises(ValueError, match="input"):
        prepared("RNNCell", "fbgemm").train()(torch.full((2, I), torch.inf))
    assert torch.isnan(prepared("RNNCell").train()(torch.full((1, I), torch.nan))).all()
