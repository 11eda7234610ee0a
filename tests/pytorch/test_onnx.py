"""Export to ONNX: standard operators, the arithmetic of engines qrnn and qrnn13, onnxruntime's results."""

from __future__ import annotations

import doctest
import importlib

import numpy as np
import pytest
import support
from support import torch_models
from support.reference import ROW_ENGINES
from support.torch_models import CELLS, I, each_kind, flat, inputs, make, torch

import qrnn.torch as qt

pytest.importorskip("onnxscript", reason="ONNXSCRIPT IS NOT INSTALLED: the export to ONNX was not tested")
onnxruntime = pytest.importorskip(
    "onnxruntime", reason="ONNXRUNTIME IS NOT INSTALLED: the export to ONNX was not tested"
)

import qrnn.torch.onnx as qonnx

STANDARD = {
    *("Abs", "Add", "Cast", "Clip", "Concat", "Constant", "Div", "Expand", "Floor", "Gather", "Identity", "Less"),
    *("MatMulInteger", "Max", "Min", "Mul", "Neg", "ReduceMax", "ReduceMin", "ReduceSum", "Relu", "Round"),
    *("Scan", "Shape", "Sigmoid", "Slice", "Split", "Squeeze", "Sub", "Tanh", "Transpose", "Unsqueeze"),
    *("Where", "Gemm", "MatMul", "Reshape"),
}


class Flat(torch.nn.Module):
    """A module whose results are one tuple of tensors."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x, *state):
        pair = state[0] if len(state) == 1 else state
        return tuple(flat(self.module(x, pair) if state else self.module(x)))


def session(program, tmp_path):
    path = tmp_path / "model.onnx"
    program.save(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options)


def run(session, args):
    names = [each.name for each in session.get_inputs()]
    return session.run(None, {name: arg.numpy() for name, arg in zip(names, args, strict=True)})


def operators(program):
    """The names of all operators, those inside of loops too."""
    return {(node.domain, node.op_type) for node in program.model.graph.all_nodes()}


def export(module, args, **keywords):
    return qonnx.export(Flat(module).eval(), args, **keywords)


@each_kind
@pytest.mark.parametrize(
    ("engine", "bias", "given"), [("qrnn", True, True), ("qrnn", False, False), ("qrnn13", True, True)]
)
def test_onnxruntime_computes_the_same(kind, engine, bias, given, tmp_path):
    """To the last bits of tanh and sigmoid, which differ; no code flips in these."""
    module, args = qt.quantize_dynamic(make(kind, bias=bias), engine=engine), flat(inputs(kind))
    args = tuple(args if given else args[:1])
    program = export(module, args)
    assert operators(program) <= {("", name) for name in STANDARD}, operators(program)
    got, want = run(session(program, tmp_path), args), Flat(module)(*args)
    for a, b in zip(got, want, strict=True):
        assert a.dtype == np.float32 and a.shape == b.shape
        assert np.abs(a - b.numpy()).max() < 1e-6


@pytest.mark.parametrize("kind", ["Linear", "LSTMCell", "GRU-2"])
@pytest.mark.parametrize(
    ("dtype", "want_dtype"), [(torch.float64, "float64"), (torch.float16, "float16"), (torch.int32, "float32")]
)
def test_inputs_of_other_types(kind, dtype, want_dtype, tmp_path):
    module, args = qt.quantize_dynamic(make(kind)), tuple(each.mul(2).to(dtype) for each in flat(inputs(kind)))
    got = run(session(export(module, args), tmp_path), args)
    for a, b in zip(got, Flat(module)(*args), strict=True):
        assert a.dtype == b.numpy().dtype == want_dtype
        assert np.abs(a.astype(float) - b.double().numpy()).max() < (1e-3 if want_dtype == "float16" else 1e-6)


@pytest.mark.parametrize("engine", ROW_ENGINES)
@pytest.mark.parametrize("kind", ["Linear", "RNNCell-relu"])
def test_without_tanh_the_bits_are_the_same(kind, engine, tmp_path):
    """Ranges, codes, products, and the multiply-add rounded once: every bit, of rows of all sizes."""
    module = qt.quantize_dynamic(make(kind), engine=engine)
    dims = tuple({0: torch.export.Dim.DYNAMIC} for _ in flat(inputs(kind)))
    args = flat(inputs(kind))
    program = torch_export(module, tuple(args), dims)
    runner = session(program, tmp_path)
    rng = np.random.default_rng(0)
    for scale in (0, 1e-42, 1e-36, 1e-3, 1, 1e4, 1e30):
        many = [torch.from_numpy(support.random_rows(rng, 40, each.shape[-1], scale, j)) for j, each in enumerate(args)]
        support.assert_same_bits(run(runner, many)[0], module(*many).numpy(), f"scale {scale}")


def torch_export(module, args, dims):
    """Exported for any batch."""
    return qonnx.export(module.eval(), args, dynamic_shapes=dims)


@pytest.mark.parametrize(("engine", "levels"), [("qrnn", 255), ("qrnn13", 8190)])
def test_ties_of_rounding(engine, levels, tmp_path):
    """Inputs at and beside the middle of two codes."""
    layer = qt.quantize_dynamic(torch.nn.Linear(16, 4), engine=engine)
    program = torch_export(layer, (torch.zeros(3, 16),), ({0: torch.export.Dim.DYNAMIC},))
    runner, rng = session(program, tmp_path), np.random.default_rng(1)
    for _ in range(50):
        rows = torch.from_numpy(support.ties(rng, 8, 16, levels))
        support.assert_same_bits(run(runner, [rows])[0], layer(rows).numpy())


def test_whole_models_over_many_steps(tmp_path):
    """A GRU and a Linear over 60 steps: where onnxruntime's last bits flip a code, results differ by a step."""
    torch.manual_seed(0)

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = torch.nn.GRU(8, 32, 2), torch.nn.Linear(32, 4)

        def forward(self, x):
            return self.head(self.rnn(x)[0])

    model = qt.quantize_dynamic(Model())
    dims = ({0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC},)
    program = qonnx.export(model, (torch.randn(7, 2, 8),), dynamic_shapes=dims)
    runner = session(program, tmp_path)
    x = torch.randn(60, 5, 8)
    difference = np.abs(run(runner, [x])[0] - model(x).numpy())
    flipped = difference > 1e-6
    support.report(
        "onnxruntime beside qrnn",
        f"GRU(8, 32, 2) and Linear over 60 steps: {flipped.sum()} of {flipped.size} scores differ by more than "
        f"1e-6, at most by {difference.max():.2e}",
    )
    assert difference.max() < 5e-3 and flipped.mean() < 0.7


@pytest.mark.parametrize("kind", [k for k in CELLS if k != "RNNCell-relu"])
def test_unbatched(kind, tmp_path):
    cell = qt.quantize_dynamic(make(kind))
    x = torch.randn(I)
    got = run(session(export(cell, (x,)), tmp_path), (x,))
    for a, b in zip(got, flat(cell(x)), strict=True):
        assert a.shape == b.shape and np.abs(a - b.numpy()).max() < 1e-6


def test_unbatched_sequences_and_projections(tmp_path):
    torch.manual_seed(0)
    for module, x in (
        (torch.nn.LSTM(I, 8), torch.randn(6, I)),
        (torch.nn.LSTM(I, 8, 2, proj_size=3, bidirectional=True), torch.randn(6, 2, I)),
    ):
        layer = qt.quantize_dynamic(module)
        got = run(session(export(layer, (x,)), tmp_path), (x,))
        for a, b in zip(got, flat(layer(x)), strict=True):
            assert a.shape == b.shape and np.abs(a - b.numpy()).max() < 1e-6


@pytest.mark.parametrize("kind", ["Linear", "RNNCell", "LSTMCell", "GRUCell"])
@pytest.mark.parametrize("bias", [True, False])
def test_inputs_of_no_columns(kind, bias, tmp_path):
    """The bias alone, again and again, in memory that other runs have written."""
    torch.manual_seed(0)
    module = qt.quantize_dynamic(getattr(torch.nn, kind)(0, 3, bias))
    busy = qt.quantize_dynamic(torch.nn.Linear(16, 3))
    dims = ({0: torch.export.Dim.DYNAMIC}, {0: torch.export.Dim.DYNAMIC})

    class Both(torch.nn.Module):
        def forward(self, empty, x):
            return (busy(x), *flat(module(empty)))

    program = qonnx.export(Both().eval(), (torch.zeros(2, 0), torch.ones(2, 16)), dynamic_shapes=dims)
    runner = session(program, tmp_path)
    for rows in (2, 5, 64, 1, 5, 7, 5):
        args = torch.zeros(rows, 0), torch.randn(rows, 16)
        for a, b in zip(run(runner, args), Both()(*args), strict=True):
            assert a.shape == b.shape and np.abs(a - b.numpy()).max() < 1e-6
            if kind == "Linear":
                support.assert_same_bits(a, b.numpy())


def test_a_row_of_no_columns(tmp_path):
    for module in (torch.nn.Linear(0, 3), torch.nn.RNNCell(0, 3)):
        layer, x = qt.quantize_dynamic(module), torch.zeros(0)
        got = run(session(export(layer, (x,)), tmp_path), (x,))[0]
        assert got.shape == (3,) and np.abs(got - layer(x).numpy()).max() < 1e-6


def test_files(tmp_path):
    """f= writes a file; with external_data=False it is one."""
    cell, x = qt.quantize_dynamic(make("RNNCell")), inputs("RNNCell")[0]
    qonnx.export(cell, (x,), tmp_path / "one.onnx", external_data=False, input_names=["x"])
    assert [p.name for p in tmp_path.iterdir()] == ["one.onnx"]
    runner = onnxruntime.InferenceSession(tmp_path / "one.onnx")
    assert [each.name for each in runner.get_inputs()] == ["x"]
    assert np.abs(runner.run(None, {"x": x.numpy()})[0] - cell(x).numpy()).max() < 1e-6


def test_what_cannot_be_exported_says_so():
    cell = qt.quantize_dynamic(make("RNNCell"), engine="fbgemm")
    with pytest.raises(Exception, match="only modules of engine 'qrnn', 'qrnn13'"):
        qonnx.export(cell, (torch.zeros(2, I),))

    class Ragged(torch_models.Holder):
        def forward(self, x, lengths):
            return self.module(x, lengths=lengths)[0]

    with pytest.raises(Exception, match="sequences of different lengths"):
        ragged = Ragged(qt.quantize_dynamic(make("GRU"))).eval()
        qonnx.export(ragged, (torch.zeros(4, 2, I), torch.tensor([4, 2])))


def test_doctests():
    assert doctest.testmod(importlib.import_module("qrnn.torch.onnx")).failed == 0
