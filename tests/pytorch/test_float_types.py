"""Models of double, half and bfloat16: what a quantized or prepared module gives has its input's type."""

from __future__ import annotations

import pytest
from support.torch_layers import quantized
from support.torch_models import CELLS, KINDS, LAYERS, Holder, each_kind, flat, inputs, make, torch

import qrnn.torch as qt

nn = torch.nn

each_type = pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)


def converted(args, dtype):
    return tuple(converted(each, dtype) if isinstance(each, tuple) else each.to(dtype) for each in args)


def assert_as_float32(got, want, dtype):
    """`got` is `want`, of float32, rounded to `dtype`."""
    for a, b in zip(flat(got), flat(want), strict=True):
        assert a.dtype == dtype and torch.equal(a, b.to(dtype))


@pytest.mark.parametrize(
    "kind, engine",  # PyTorch's engines have no projection
    [(kind, engine) for kind in KINDS for engine in ("qrnn", "fbgemm") if engine == "qrnn" or "projected" not in kind],
)
@each_type
def test_results_have_the_type_of_the_input(kind, dtype, engine):
    module, args = quantized(kind, engine), converted(inputs(kind), dtype)
    want = module(*converted(args, torch.float32))
    assert_as_float32(module(*args), want, dtype)
    assert_as_float32(module(args[0]), module(args[0].float()), dtype)
    if len(args) == 2:  # the state does not decide
        assert_as_float32(module(args[0].float(), args[1]), want, torch.float32)


@each_kind
def test_integers_give_float32(kind):
    module, x = quantized(kind), inputs(kind)[0].mul(3).to(torch.int64)
    assert_as_float32(module(x), module(x.float()), torch.float32)


@pytest.mark.parametrize("kind", ["Linear", "GRUCell", "LSTMCell", "RNN", "LSTM-2"])
@each_type
def test_compiled_and_exported(kind, dtype):
    torch.compiler.reset()  # which compiles the forward of one class for so many types only
    model, args = Holder(quantized(kind)).eval(), converted(inputs(kind), dtype)
    want = model(*args)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    exported = torch.export.export(model, args).module()
    for program in (compiled, exported):
        assert_as_float32(program(*args), want, dtype)
    fake = torch.export.export(model, args).graph_module.graph.find_nodes(op="output")[0]
    assert {each.meta["val"].dtype for each in flat(fake.args[0])} == {dtype}, "as the compiler sees it"


@pytest.mark.parametrize("kind", LAYERS)
@each_type
def test_packed_sequences(kind, dtype):
    module, (x, _) = quantized(kind), inputs(kind)
    lengths, first = [4, 2, 1], module.batch_first
    packed = nn.utils.rnn.pack_padded_sequence(x.to(dtype), lengths, first)
    output, last = module(packed)
    want_output, want_last = module(x.to(dtype), lengths=lengths)
    assert output.data.dtype == dtype
    assert torch.equal(nn.utils.rnn.pad_packed_sequence(output, first)[0], want_output)
    assert_as_float32(last, want_last, dtype)


@each_kind
@each_type
def test_prepared_models(kind, dtype):
    """In training and in eval mode alike, as the float module."""
    module, args = make(kind).to(dtype), converted(inputs(kind), dtype)
    ready = qt.prepare(module, qconfig={})
    assert {each.dtype for each in flat(ready.train()(*args))} == {dtype}
    result = ready.eval()(*args)
    new = qt.convert(ready)
    assert_as_float32(new(*args), result, dtype)


class Model(nn.Module):
    """Float layers between quantized ones."""

    def __init__(self):
        super().__init__()
        self.norm, self.rnn, self.mid = nn.LayerNorm(5), nn.LSTM(5, 8), nn.LayerNorm(8)
        self.cell, self.head = nn.GRUCell(8, 8), nn.Linear(8, 3)
        self.out = nn.Linear(3, 3)

    def forward(self, x):
        output, _ = self.rnn(self.norm(x))
        return self.out(self.head(self.cell(self.mid(output[-1]))))


@each_type
@pytest.mark.parametrize("when", ["before", "after"])
def test_the_next_float_layer_works(dtype, when):
    torch.manual_seed(0)
    model, x = Model().eval(), torch.randn(4, 2, 5).to(dtype)
    want = model(x.float())
    kinds = {nn.LSTM, nn.GRUCell, "head"}
    model = (
        qt.quantize_dynamic(model.to(dtype), kinds) if when == "before" else qt.quantize_dynamic(model, kinds).to(dtype)
    )
    got = model(x)
    assert got.dtype == dtype and (got.float() - want).abs().max() < 0.1


def test_under_autocast():
    model = Model().eval()
    model = qt.quantize_dynamic(model, {nn.LSTM, nn.GRUCell, "head"})
    with torch.autocast("cpu", torch.bfloat16):
        assert model(torch.randn(4, 2, 5)).dtype == torch.bfloat16


@pytest.mark.parametrize("kind", CELLS)
def test_steps_in_double_go_on(kind):
    """A state of the input's type is the next call's."""
    cell, (x, state) = quantized(kind), converted(inputs(kind), torch.float64)
    for _ in range(3):
        state = cell(x, state)
    assert {each.dtype for each in flat(state)} == {torch.float64}
