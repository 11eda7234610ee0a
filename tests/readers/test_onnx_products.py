"""Products of 8-bit codes in ONNX files: those of ONNX Runtime's quantizer, and its own operators."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="ONNX IS NOT INSTALLED: the reader of its files was not tested")
ort = pytest.importorskip("onnxruntime", reason="ONNXRUNTIME IS NOT INSTALLED: the reader of ONNX files was not tested")
from onnx import numpy_helper

import qrnn
import qrnn.onnx
from qrnn import nn

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 5), dtype=np.float32)
FLOAT = """<ir_version: 8, opset_import: ["" : 17]>
heads (float[b, 5] x) => (float[b, 3] y) {
    m = MatMul(x, W)
    a = Add(m, bias)
    t = Tanh(a)
    y = Gemm <transB = 1> (t, V, bias)
}"""
OWN = """<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>
heads (float[b, 5] x) => (float[b, 3] y) {
"""


def model(text, **arrays):
    made = onnx.parser.parse_model(text)
    made.graph.initializer.extend(numpy_helper.from_array(np.asarray(each), name) for name, each in arrays.items())
    return made


def codes(low=-127, high=127, kind=np.int8):
    return RNG.integers(low, high, (5, 3), endpoint=True).astype(kind)


def of_onnxruntime(made):
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": X})[0]


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("kind", ["QInt8", "QUInt8"])
def test_what_the_quantizer_of_onnxruntime_writes(tmp_path, per_channel, kind):
    """MatMul and Gemm become MatMulInteger, a cast and two products: linear layers with its codes, and a bias."""
    quantization = pytest.importorskip("onnxruntime.quantization")
    arrays = {"W": RNG.standard_normal((5, 3)), "V": RNG.standard_normal((3, 3)), "bias": [0.1, -0.2, 0.3]}
    onnx.save(model(FLOAT, **{name: np.float32(each) for name, each in arrays.items()}), tmp_path / "float.onnx")
    quantization.quantize_dynamic(
        tmp_path / "float.onnx", tmp_path / "int8.onnx", per_channel=per_channel,
        weight_type=getattr(quantization.QuantType, kind),
    )  # fmt: skip
    made = onnx.load(tmp_path / "int8.onnx")
    assert "MatMulInteger" in {node.op_type for node in made.graph.node}
    read = qrnn.onnx.load(tmp_path / "int8.onnx")
    assert read.missing == [] and qrnn.onnx.summary(tmp_path / "int8.onnx").unsupported == []
    linears = [each for each in read.module.modules() if isinstance(each, qrnn.Linear)]
    stored = {each.name: numpy_helper.to_array(each) for each in made.graph.initializer}
    if kind == "QInt8":
        assert len(linears) == 2
        for layer, name in zip(linears, "WV"):
            (kept,) = (each for key, each in stored.items() if key[0] == name and key.endswith("_quantized"))
            assert any(np.array_equal(layer.weight().int_repr(), each) for each in (kept, kept.T))
    assert np.abs(read.module(X) - of_onnxruntime(made)).max() < 0.05
    assert np.abs(read.module(X) - qrnn.onnx.load(tmp_path / "float.onnx").module(X)).max() < 0.05


@pytest.mark.parametrize("scale", [np.float32(0.01), np.float32([0.01, 0.02, 0.015])])
def test_operators_of_onnxruntime(scale):
    bias = np.float32([0.1, -0.2, 0.3])
    arrays = {"W": codes(), "s": np.atleast_1d(scale), "z": np.zeros(np.atleast_1d(scale).shape, np.int8), "bias": bias}
    texts = (
        "y = com.microsoft.DynamicQuantizeMatMul(x, W, s, z, bias) }",
        "q, qs, qz = DynamicQuantizeLinear(x) y = com.microsoft.MatMulIntegerToFloat(q, W, qs, s, qz, z, bias) }",
    )
    for text in texts:
        made = model(OWN + text, **arrays)
        read = qrnn.onnx.load(made)
        (layer,) = (each for each in read.module.modules() if isinstance(each, qrnn.Linear))
        np.testing.assert_array_equal(layer.weight().int_repr(), arrays["W"].T)
        np.testing.assert_array_equal(layer.bias(), bias)
        want = X.astype(float) @ (arrays["W"] * np.float64(scale)) + bias
        assert np.abs(read.module(X) - want).max() < 0.05
        assert np.abs(read.module(X) - of_onnxruntime(made)).max() < 0.05


def test_codes_beyond_int8_are_float():
    """Less a zero point of 3, codes of uint8 are up to 252."""
    arrays = {"W": codes(0, 255, np.uint8), "s": np.float32([0.01]), "z": np.uint8([3])}
    read = qrnn.onnx.load(model(OWN + "y = com.microsoft.DynamicQuantizeMatMul(x, W, s, z) }", **arrays))
    (layer,) = (each for each in read.module.modules() if isinstance(each, nn.Linear))
    np.testing.assert_array_equal(layer.weight, ((arrays["W"].T.astype(int) - 3) * arrays["s"]).astype(np.float32))


BAD = {
    "codes that are used otherwise": ("q, qs, qz = DynamicQuantizeLinear(x) y = Cast <to = 1> (q) }", "Dynamic"),
    "a sum of codes alone": (
        "q, qs, qz = DynamicQuantizeLinear(x) i = MatMulInteger(q, W, qz, z) y = Cast <to = 1> (i) }",
        "MatMulInteger 'MatMulInteger': operator",
    ),
    "another zero point": (
        "q, qs, qz = DynamicQuantizeLinear(x) i = MatMulInteger(q, W, u, z) f = Cast <to = 1> (i) "
        "b = Mul(qs, s) y = Mul(f, b) }",
        "MatMulInteger 'MatMulInteger': operator",
    ),
    "no zero point": (
        "q, qs, qz = DynamicQuantizeLinear(x) i = MatMulInteger(q, W, , z) f = Cast <to = 1> (i) "
        "b = Mul(qs, s) y = Mul(f, b) }",
        "MatMulInteger 'MatMulInteger': operator",
    ),
    "the scale of another value": (
        "q, qs, qz = DynamicQuantizeLinear(x) v = Neg(x) w, ws, wz = DynamicQuantizeLinear(v) "
        "i = MatMulInteger(q, W, qz, z) f = Cast <to = 1> (i) b = Mul(ws, s) y = Mul(f, b) }",
        "MatMulInteger 'MatMulInteger': operator",
    ),
    "a weight that is none": ("q, qs, qz = DynamicQuantizeLinear(x) y = MatMulInteger(q, q, qz, qz) }", "no constant"),
    "floats as codes": ("y = com.microsoft.DynamicQuantizeMatMul(x, s, s) }", "a weight of float32"),
    "too many scales": ("y = com.microsoft.DynamicQuantizeMatMul(x, W, many) }", r"of shape \(4,\) for 3 rows"),
    "codes of nobody": (
        "q, qs, qz = DynamicQuantizeLinear(x) y = com.microsoft.MatMulIntegerToFloat(q, W, s, s, qz, z) }",
        "not those of DynamicQuantizeLinear",
    ),
    "another operator": ("y = com.microsoft.QGemm(x, W, s) }", "an operator of the domain 'com.microsoft'"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_such_product_is_named(case):
    text, match = BAD[case]
    arrays = {"W": codes(), "s": np.float32([0.01]), "z": np.int8([0]), "u": np.uint8([7]), "many": np.ones(4, "f4")}
    read = qrnn.onnx.load(model(OWN + text, **arrays))
    assert read.module is None
    with pytest.raises(AssertionError, match=match):
        raise AssertionError("; ".join(read.missing))


@pytest.mark.parametrize(
    ("text", "arrays", "match"),
    [
        ("y = com.microsoft.DynamicQuantizeMatMul(x, W, s) }", {"s": np.float32([np.nan])}, "expected finite scales"),
        (
            "y = com.microsoft.DynamicQuantizeMatMul(x, W, s) }",
            {"s": np.float32([3e38])},
            "products with codes are fin",
        ),
        ("y = com.microsoft.DynamicQuantizeMatMul(x, W, s, , s) }", {"s": np.float32([1])}, "expected a finite bias"),
        ("y = com.microsoft.DynamicQuantizeMatMul(x, W) }", {}, "expected input 2, got none"),
        ("y = MatMulInteger(x) }", {}, "expected input 1, got none"),
    ],
)
def test_bad_ones_are_refused(text, arrays, match):
    with pytest.raises(qrnn.FormatError, match=match):
        qrnn.onnx.load(model(OWN + text, W=codes(), **arrays))
