"""qrnn.onnx.load and summary beside onnxruntime: models by hand and of torch.onnx; all of them in check/onnx."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="ONNX IS NOT INSTALLED: the reader of its files was not tested")
pytest.importorskip("onnxruntime", reason="ONNXRUNTIME IS NOT INSTALLED: the reader of ONNX files was not tested")
from support import onnx_models
from support.onnx_models import H, I, floats, frames, weights, written
from support.onnx_oracle import expect_same

import qrnn
import qrnn.onnx


def rng(seed=0):
    return np.random.default_rng(seed)


def test_models_by_hand():
    """Nodes by chance; constants that are computed; If, Scan, Loop; unrolled cells; what stands around layers."""
    models = list(onnx_models.by_hand(rng(), 24))
    assert len(models) > 70
    for model in models:
        expect_same(model)


def test_a_few_models_of_torch():
    pytest.importorskip("torch", reason="PYTORCH IS NOT INSTALLED: what torch.onnx writes was not read")
    from support.onnx_exports import exported

    for model in exported(False, stride=4):
        expect_same(model)


def test_layers_are_those_of_the_module():
    model = next(iter(onnx_models.around(rng())))
    read = qrnn.onnx.load(model.proto.SerializeToString())
    (layer,) = read.layers.values()
    assert any(each is layer for each in read.module.modules()) and read.missing == []
    quantized = qrnn.quantize_dynamic(read.module)
    assert sum(isinstance(each, (qrnn.LSTM, qrnn.Linear)) for each in quantized.modules()) == 2
    difference = quantized(*model.inputs.values())[0] - read.module(*model.inputs.values())[0]
    assert 0 < np.abs(difference).max() < 0.05


def test_control_files():
    model = onnx_models.without_layers(rng())
    read = qrnn.onnx.load(model.proto)
    assert read.layers == {} and len(qrnn.onnx.summary(model.proto)) == 0
    assert str(qrnn.onnx.summary(model.proto)).endswith("no recurrent node")
    expect_same(model)
    model, missing = onnx_models.unsupported(rng())
    read = qrnn.onnx.load(model.proto)
    assert read.module is None and read.missing == missing and list(read.layers) == ["LSTM"]
    assert qrnn.onnx.summary(model.proto).unsupported == missing
    assert repr(read).startswith(
        "LoadedModel(\n  (LSTM): RecurrentNode(\n    (layer): LSTM(5, 3)\n  )\n  missing: Gate"
    )


def test_summary():
    models = {model.name: model for model in onnx_models.around(rng())}
    rows = qrnn.onnx.summary(models["stacked states"].proto)
    assert [row.name for row in rows] == ["LSTM", "LSTM_1"] and rows[0].op == "LSTM"
    assert rows[0].producers == ["input x", "Unsqueeze 'Unsqueeze'", "Split 'Split'"]
    assert rows[0].consumers == ["Squeeze 'Squeeze'", "Concat 'Concat'", "Concat 'Concat_1'"]
    assert rows[1].consumers == ["Concat 'Concat'", "Concat 'Concat_1'", "output y"]
    assert (rows[1].input_size, rows[1].hidden_size, rows[1].direction) == (H, H, "forward")
    facts = rows.to_dict()
    assert facts["opsets"] == {"": 17} and facts["rows"][0]["options"]["kind"] == "LSTM"
    branches = next(iter(onnx_models.branches(rng())))
    wheres = [row.where for row in qrnn.onnx.summary(branches.proto)]
    assert wheres == ["If 'If': then_branch: ", "If 'If': else_branch: "]
    scan = next(iter(onnx_models.scans(rng())))
    (row,) = qrnn.onnx.summary(scan.proto)
    assert row.op == "Scan" and row.note == "from a Scan"
    unrolled = next(iter(onnx_models.unrolled(rng())))
    (row,) = qrnn.onnx.summary(unrolled.proto)
    assert row.op == "LSTM cell"


def test_a_cell_in_a_loop_that_is_no_layer_is_named():
    """Its state is also an output before it is handed on, doubled."""
    (name, _, text), *_ = onnx_models.cells()
    body = (
        f"body = step (float[b, {H}] h, float[b, {H}] c, float[b, {I}] x_t) => (h1, c2, y) "
        f"{{ {text} c2 = Add(c1, c1) y = Identity(h1) }}"
    )
    whole = (
        f"(float[t, b, {I}] x, float[b, {H}] h_0, float[b, {H}] c_0) => (float[t, b, {H}] ys) "
        f"{{ p, q, ys = Scan <num_scan_inputs = 1, {body}> (h_0, c_0, x) }}"
    )
    model = written(name, whole, onnx_models.cell_constants(rng(), 4), {}, 1, whole=False)
    read = qrnn.onnx.load(model.proto)
    assert read.module is None and read.missing[0].startswith("Scan 'Scan': operator")
    (cell,) = read.layers.values()
    assert type(cell).__name__ == "LSTMCell"


def test_inputs_of_the_size_of_the_state():
    """The first step of unrolled cells tells input and state by those that follow: one cell, whichever comes first."""
    r = rng()
    x, h = floats(r, 4 * H, H), floats(r, 4 * H, H)
    for order in ("p, q", "q, p"):
        steps = " ".join(
            f"x{i} = Gather <axis = 0> (x, at{i}) p{i} = MatMul(x{i}, Wx) q{i} = MatMul(h{i}, Wh) "
            f"s{i} = Add({', '.join(each + str(i) for each in order.split(', '))}) "
            f"i{i}, f{i}, g{i}, o{i} = Split <axis = 1> (s{i}, four) si{i} = Sigmoid(i{i}) sf{i} = Sigmoid(f{i}) "
            f"tg{i} = Tanh(g{i}) so{i} = Sigmoid(o{i}) k{i} = Mul(sf{i}, c{i}) n{i} = Mul(si{i}, tg{i}) "
            f"c{i + 1} = Add(k{i}, n{i}) tc{i} = Tanh(c{i + 1}) h{i + 1} = Mul(so{i}, tc{i})"
            for i in range(3)
        )
        text = f"(float[t, b, {H}] x, float[b, {H}] h0, float[b, {H}] c0) => (float[b, {H}] h3) {{ {steps} }}"
        constants = {"Wx": x.T.copy(), "Wh": h.T.copy(), "four": np.full(4, H)}
        constants |= {f"at{i}": np.array(i) for i in range(3)}
        inputs = {**frames(r, 4, 2, H), "h0": floats(r, 2, H), "c0": floats(r, 2, H)}
        model = written("square", text, constants, inputs, 1)
        expect_same(model)
        (cell,) = qrnn.onnx.load(model.proto).layers.values()
        assert (cell.weight_ih == x).all() and (cell.weight_hh == h).all()


# ---- codes of ONNX Runtime's quantized LSTM


def quantized_lstm(kind, per_row, zero_point):
    own, r = weights(rng(3), 4), rng(4)
    arrays = {"B": own["B"]}
    for name in "WR":
        codes = r.integers(-120, 120, own[name].shape) + (128 if kind == np.uint8 else 0)
        arrays[name] = codes.astype(kind).swapaxes(1, 2).copy()
        count = (1, 4 * H) if per_row else (1,)
        arrays[f"{name}s"] = np.abs(floats(r, *count, scale=0.005)) + np.float32(0.001)
        arrays[f"{name}z"] = np.full(count, zero_point, kind)
    text = (
        f"(float[t, b, {I}] x) => (float[t, 1, b, {H}] y, float[1, b, {H}] h) "
        f"{{ y, h = com.microsoft.DynamicQuantizeLSTM <hidden_size = {H}> (x, W, R, B, , , , , Ws, Wz, Rs, Rz) }}"
    )
    return written("quantized", text, arrays, frames(r), 1, domains=', "com.microsoft" : 1'), arrays


@pytest.mark.parametrize(
    ("kind", "per_row", "zero_point"),
    [(np.int8, True, 0), (np.int8, False, 0), (np.uint8, False, 128), (np.uint8, False, 3)],
)
def test_codes_of_the_file_are_kept(kind, per_row, zero_point):
    model, arrays = quantized_lstm(kind, per_row, zero_point)
    read = qrnn.onnx.load(model.proto)
    (node,) = read.layers.values()
    rows = arrays["R"][0].astype(int).T - zero_point
    want = np.concatenate([np.split(rows, 4)[i] for i in (0, 2, 3, 1)])
    if zero_point == 3:
        assert not isinstance(node.layer, qrnn.LSTM) and "beyond int8" in qrnn.onnx.summary(model.proto)[0].note
        scale = np.broadcast_to(arrays["Rs"].reshape(-1), 4 * H)[:, None]
        assert (node.layer.weight_hh_l0 == (want * scale).astype(np.float32)).all()
    else:
        assert isinstance(node.layer, qrnn.LSTM)
        assert (node.layer.state_dict()["weight_hh_l0"] == want).all()
    if zero_point != 3:
        x = model.inputs["x"]
        for a, b in zip(read.module(x), onnx_models.of_onnxruntime(model)):
            assert np.abs(a - b).max() < 0.02
