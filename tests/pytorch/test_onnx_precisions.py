"""Export to ONNX of layers whose matrices differ in precision."""

from __future__ import annotations

import numpy as np
import pytest
from support.precisions import QCONFIGS, drawn, weights_of
from support.torch_models import flat, inputs, make, torch

import qrnn.torch as qt
from qrnn.torch import quantization as q

pytest.importorskip("onnxscript", reason="ONNXSCRIPT IS NOT INSTALLED: the export to ONNX was not tested")
onnxruntime = pytest.importorskip(
    "onnxruntime", reason="ONNXRUNTIME IS NOT INSTALLED: the export to ONNX was not tested"
)

import qrnn.torch.onnx as qonnx


def exported(module, args):
    with torch.no_grad():
        return qonnx.export(module.eval(), args)


def computed(program, args, tmp_path):
    path = tmp_path / "model.onnx"
    program.save(path)
    session = onnxruntime.InferenceSession(path)
    names = [each.name for each in session.get_inputs()]
    return session.run(None, {name: arg.numpy() for name, arg in zip(names, flat(args), strict=True)})


def kinds_of_products(program):
    return {node.op_type for node in program.model.graph.all_nodes()} & {"MatMul", "MatMulInteger"}


CASES = [("Linear", 1), ("Linear", 0), ("LSTMCell", 0), ("GRU-2", 0), ("RNN-relu", 2)]
CASES += [("LSTM-projected-2", seed) for seed in (0, 1)]


@pytest.mark.parametrize(("kind", "seed"), CASES)
def test_onnxruntime_computes_the_same(kind, seed, tmp_path):
    """To the last bits of sums of floats, of tanh and sigmoid; no code flips in these."""
    layer, args = make(kind), inputs(kind)
    chosen = drawn(np.random.default_rng(seed), weights_of(layer))
    spec = {"": q.engine_qconfig, **{f"0.{name}": QCONFIGS[each] for name, each in chosen.items()}}
    module = qt.quantize_dynamic(torch.nn.Sequential(layer), spec)[0]
    program = exported(module, args)
    expected = {"MatMul" if each == "float" else "MatMulInteger" for each in chosen.values()}
    assert kinds_of_products(program) == expected
    assert {node.domain for node in program.model.graph.all_nodes()} == {""}
    for got, want in zip(computed(program, args, tmp_path), flat(module(*args)), strict=True):
        assert np.abs(got - want.numpy()).max() < 2e-6


def test_layers_of_pytorchs_engines_whose_matrices_all_stay_float(tmp_path):
    """Their arithmetic has no operators in ONNX, but nothing of it is left."""
    layer, args = make("GRU"), inputs("GRU")
    module = qt.quantize_dynamic(layer, q.float_qconfig, engine="fbgemm")
    for got, want in zip(computed(exported(module, args), args, tmp_path), flat(module(*args)), strict=True):
        assert np.abs(got - want.numpy()).max() < 2e-6
    one = qt.quantize_dynamic(layer, {"": q.float_qconfig, "weight_hh_l0": q.engine_qconfig}, engine="fbgemm")
    with pytest.raises(torch.onnx.OnnxExporterError) as error:
        exported(one, args)
    assert "only modules of engine 'qrnn', 'qrnn13' become ONNX operators, got 'fbgemm'" in causes(error.value)


def causes(error):
    return "" if error is None else f"{error} {causes(error.__cause__)}"
