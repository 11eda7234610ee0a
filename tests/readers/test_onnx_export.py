"""qrnn.onnx.export: models of NumPy, float and quantized, as onnxruntime computes them, and read back."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="ONNX IS NOT INSTALLED: its files were not written")
onnxruntime = pytest.importorskip("onnxruntime", reason="ONNXRUNTIME IS NOT INSTALLED: ONNX files were not checked")
pytest.importorskip("onnxscript", reason="ONNXSCRIPT IS NOT INSTALLED: ONNX files were not written")
from support import onnx_models
from support.custom_cells import GRU as OwnGRU

import qrnn
import qrnn.onnx
from qrnn import nn

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 2, 5)).astype(np.float32)
H = RNG.standard_normal((2, 3)).astype(np.float32)


def flat(value):
    return [part for each in value for part in flat(each)] if isinstance(value, tuple) else [value]


def of_onnxruntime(proto, args):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip((each.name for each in session.get_inputs()), flat(args), strict=True)))


def expect_same(model, args, more=()):
    """Onnxruntime computes what the model does: for the example, and for arguments of other sizes.

    Where a tanh that differs in its last bit flips a code, that step differs by the code's part of the sum.
    """
    quantized = any(getattr(each, "engine", "float32") != "float32" for each in model.modules())
    proto = qrnn.onnx.export(model, args)
    onnx.checker.check_model(proto, full_check=True)
    for each in (args, *more):
        for a, b in zip(of_onnxruntime(proto, each), flat(model(*each)), strict=True):
            assert a.shape == b.shape and a.dtype == b.dtype
            difference = np.abs(a - b)
            assert difference.max(initial=0) <= (5e-3 if quantized else 1e-6)
            assert np.median(difference) <= 1e-6
    return proto


class Own(nn.Module):
    """What a forward may do."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(5, 6, 2, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(12, 4)
        self.gain = nn.Parameter(np.ones(4))

    def forward(self, x, scale):
        output, h = self.rnn(x)
        y = self.fc(output[:, -1] * 0.5 + np.concatenate([h[-2], h[-1]], axis=-1))
        wide = output.reshape(x.shape[0], x.shape[1], 2, 6)[..., ::2].mean(axis=(1, 2))
        return np.tanh(y * self.gain) / scale - 1, wide.T, x[:, None, 1:].swapaxes(0, 1)


def test_forwards_of_users():
    other = RNG.standard_normal((3, 4, 5)).astype(np.float32)
    scale = np.float32([2, 3, 4, 5])
    model = Own()
    expect_same(model, (X.swapaxes(0, 1).copy(), scale), [(other, scale)])
    proto = expect_same(qrnn.quantize_dynamic(model), (X.swapaxes(0, 1).copy(), scale), [(other, scale)])
    assert "MatMulInteger" in {node.op_type for node in proto.graph.node}
    assert {each.domain for each in proto.opset_import} == {""} and not proto.functions


@pytest.mark.parametrize(
    "options", [{}, {"num_layers": 2, "bidirectional": True}, {"batch_first": True, "bias": False}]
)
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_sequences(kind, options):
    layer = getattr(nn, kind)(5, 3, **options)
    count = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    state = RNG.standard_normal((count, X.shape[0 if options.get("batch_first") else 1], 3)).astype(np.float32)
    given = (state, state / 2) if kind == "LSTM" else state
    longer = RNG.standard_normal((7, 3, 5)).astype(np.float32)
    expect_same(layer, (X,), [(longer,)])
    expect_same(qrnn.quantize_dynamic(layer, engine="qrnn" if options else "qrnn13"), (X,), [(longer,)])
    proto = expect_same(layer, (X, given))
    assert kind in {node.op_type for node in proto.graph.node}
    expect_same(qrnn.quantize_dynamic(layer), (X, given))
    expect_same(layer, (X[0],))  # unbatched


def test_cells():
    for cell in (nn.LSTMCell(5, 3), nn.GRUCell(5, 3, reset_after=False), nn.RNNCell(5, 3, nonlinearity="relu")):
        state = (H, H / 2) if isinstance(cell, nn.LSTMCell) else H
        expect_same(cell, (X[0], state), [(X[1][:1], (H[:1], H[:1]) if isinstance(state, tuple) else H[:1])])
        expect_same(cell, (X[0][0],))
    expect_same(qrnn.quantize_dynamic(nn.LSTMCell(5, 3)), (X[0], (H, H)))


def test_options_of_float_layers():
    functions = (("hard_sigmoid", 0.3, 0.4), "linear", ("elu", 0.5))
    for layer in (
        nn.LSTM(5, 3, peepholes=True, clip=0.7, activations=functions),
        nn.LSTM(5, 3, input_forget=True, reverse=True),
        nn.GRU(5, 3, reset_after=False, bidirectional=True, activations=(("sigmoid", "softsign"), ("relu", "tanh"))),
        nn.RNN(5, 3, activations=(("leaky_relu", 0.2),)),
        nn.LSTM(5, 3, proj_size=2),
    ):
        expect_same(layer, (X,))
    lengths = np.array([4, 2])
    layer = nn.GRU(5, 3, bidirectional=True)

    class WithLengths(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = layer

        def forward(self, x, lengths):
            return self.rnn(x, lengths=lengths)

    expect_same(WithLengths(), (X, lengths), [(X, np.array([1, 3]))])


def test_modules_of_numpy():
    words = RNG.integers(0, 7, (2, 3))
    chain = [
        nn.Embedding(7, 5),
        nn.Dropout(),
        nn.Linear(5, 4),
        nn.LayerNorm(4),
        nn.LeakyReLU(),
        nn.Softmax(-1),
        nn.Softplus(),
    ]
    chain += [
        nn.ELU(0.5),
        nn.Hardsigmoid(),
        nn.Softsign(),
        nn.Sigmoid(),
        nn.Tanh(),
        nn.LogSoftmax(1),
        nn.Hardtanh(-2, -1),
    ]
    expect_same(nn.Sequential(*chain, nn.Flatten()), (words,), [(RNG.integers(0, 7, (4, 3)),)])
    for padding in ("causal", 1, "same"):
        convolution = nn.Sequential(
            nn.Conv1d(2, 4, 3, padding=padding, bias=False), nn.BatchNorm1d(4, affine=False), nn.ReLU()
        )
        expect_same(convolution, (X,), [(X[:1, :, :4].copy(),)])


def test_models_of_files_are_written_again(tmp_path):
    """What was read is written, and read again: the same results."""
    for kind in (onnx_models.computed, onnx_models.around, onnx_models.scans):
        for model in list(kind(np.random.default_rng(1)))[:3]:
            read = qrnn.onnx.load(model.proto).module
            args = tuple(model.inputs[name] for name in read.inputs)
            path = tmp_path / "again.onnx"
            qrnn.onnx.export(read, args, path)
            again = qrnn.onnx.load(path)
            assert list(again.module.inputs) == list(read.inputs) and len(again.layers) == model.layers
            for a, b in zip(flat(again.module(*args)), flat(read(*args)), strict=True):
                assert np.abs(a - b).max() < 1e-6


def test_names(tmp_path):
    proto = qrnn.onnx.export(nn.GRU(5, 3), (X,), tmp_path / "m.onnx", input_names=["frames"], output_names=["y", "h"])
    assert [each.name for each in proto.graph.input] == ["frames"]
    assert [each.name for each in proto.graph.output] == ["y", "h"]
    assert onnx.load(tmp_path / "m.onnx") == proto
    assert {each.name for each in proto.graph.initializer} >= {"model.W_l0", "model.R_l0", "model.B_l0"}


class Wrong(nn.Module):
    def __init__(self, does):
        super().__init__()
        self.does = does

    def forward(self, x):
        return self.does(x)


def test_refused():
    nothing = nn.Sequential(nn.Linear(5, 3))
    engine = qrnn.quantize_dynamic(nothing, engine="fbgemm")
    for model, error, text in (
        (np.tanh, TypeError, "model: expected a Module of qrnn, got ufunc"),
        (engine, ValueError, "only modules of engine 'qrnn', 'qrnn13' become ONNX operators, got 'fbgemm'"),
        (nn.LSTM(5, 3, layer_norm=True), ValueError, "model: layer_norm is no option of ONNX's LSTM"),
        (qrnn.quantize_dynamic(nn.GRU(5, 3, reset_after=False)), ValueError, "model: a quantized layer, or one with a"),
        (qrnn.quantize_dynamic(nn.LSTM(5, 3, clip=1)), ValueError, "with clip does not become operators"),
        (Wrong(lambda x: x if x else -x), TypeError, "decides nothing"),
        (Wrong(lambda x: x[np.array([0, 1])]), TypeError, "index: expected integers, slices, None and Ellipsis"),
        (Wrong(lambda x: np.fft.fft(x)), TypeError, "fft"),
        (Wrong(lambda x: float(np.asarray(x)[0])), TypeError, "is no array: qrnn.onnx.export follows"),
        (nn.Sequential(nn.Softplus(beta=2)), ValueError, "0: expected beta=1"),
        (nn.Recurrent(OwnGRU(5, 3)), (TypeError, ValueError), "."),
    ):
        with pytest.raises(error, match=text):
            qrnn.onnx.export(model, (X,))
    with pytest.raises(ValueError, match="input_names: expected 1 names, got"):
        qrnn.onnx.export(nothing, (X,), input_names=["a", "b"])
    with pytest.raises(TypeError, match="args: expected an array of real numbers"):
        qrnn.onnx.export(nothing, ("x",))
