"""_pack, _unpack, _take_packed and the gate probe of every kind."""

from __future__ import annotations

import numpy as np
import pytest
from support.calls import (
    GATES,
    TORCH_ENGINES,
    H,
    S,
    X,
    assert_same_results,
    every,
    f32,
    full,
    make,
    matrices,
    pair,
    randoms,
    refused,
    zeros,
)

from qrnn import _core


# ---------------------------------------------------------------------------------------------------
# Packing
# ---------------------------------------------------------------------------------------------------
@every
@pytest.mark.parametrize("sequence", [None, (1, 1, False), (2, 1, True), (3, 2, False)])
def test_packed_weights_come_back(kind, engine, sequence):
    weights = list(matrices(kind, engine, 4, 3, sequence))
    if engine != "float32":  # per tensor and per channel, and biases here and there
        weights[0] = weights[0][0], np.asarray(0.5, f32), None
    module = _core.Module()
    module._pack(kind, engine, None, *weights, sequence=sequence)
    for target in (module, _core.Module()):
        if target is not module:
            target._take_packed(module)
        assert target.sequence == sequence and target.has_bias == (weights[0][2] is not None)
        assert (target.num_layers, target.num_directions, target.batch_first) == (sequence or (1, 1, False))
        assert target.kind == kind and target.engine == engine
        assert (target.input_size, target.hidden_size, target.proj_size) == (4, 3, 0)
        for i, matrix in enumerate(weights):
            for what, array in zip(("weight", "scale", "bias"), matrix, strict=True):
                got = target._unpack(i, what)
                assert (got is None) == (array is None)
                if array is not None:
                    assert got.dtype == array.dtype and got.shape == array.shape and (got == array).all()
        for index in (-1, len(weights)):
            with pytest.raises(ValueError, match="index"):
                target._unpack(index, "weight")


@pytest.mark.parametrize("engine", ["float32", "qrnn"])
def test_packed_projections_come_back(engine):
    for sequence in (None, (2, 2, False)):
        weights = list(matrices("lstm", engine, 4, 3, sequence, proj=2))
        module = _core.Module()
        module._pack("lstm", engine, None, *weights, sequence=sequence)
        assert module.proj_size == 2 and module.hidden_size == 3
        for i, matrix in enumerate(weights):
            assert (module._unpack(i, "weight") == matrix[0]).all()
            assert (module._unpack(i, "bias") is None) == (i % 3 == 2)


def test_scales_of_one_row_keep_their_shape():
    """With one row, per tensor and per channel differ in shape alone."""
    code = np.ones((1, 1), np.int8)
    scalar, vector = np.asarray(0.5, f32), np.full(1, 0.25, f32)
    weights = [(code, scale, None) for scale in (scalar, vector, vector, scalar)]
    rnn = _core.Module()
    rnn._pack("rnn_tanh", "qrnn", None, *weights, sequence=(2, 1, False))
    assert [rnn._unpack(i, "scale").shape for i in range(4)] == [(), (1,), (1,), ()]


def changed(weights, at, part, value):
    """`weights` with one array replaced."""
    weights = [list(matrix) for matrix in weights]
    weights[at][part] = value
    return [tuple(matrix) for matrix in weights]


WEIGHT, SCALE, BIAS = 0, 1, 2
int8 = np.int8
BAD_ARRAYS = {
    # at, part, value, exception, text of a bidirectional LSTM(4, 3, num_layers=2, proj_size=2)
    "ih rows": (
        0,
        WEIGHT,
        np.zeros((13, 4), int8),
        "weight_ih_l0: expected shape (4 * hidden_size, columns), got (13, 4)",
    ),
    "ih 1-D": (
        0,
        WEIGHT,
        np.zeros(12, int8),
        "weight_ih_l0: expected shape (rows, columns) with at least one row, got (12,)",
    ),
    "no rows": (
        0,
        WEIGHT,
        np.zeros((0, 4), int8),
        "weight_ih_l0: expected shape (rows, columns) with at least one row, got (0, 4)",
    ),
    "hh": (1, WEIGHT, np.zeros((12, 3), int8), "weight_hh_l0: expected shape (12, 2), got (12, 3)"),
    "hr": (2, WEIGHT, np.zeros((2, 4), int8), "weight_hr_l0: expected shape (2, 3), got (2, 4)"),
    "hr too high": (
        2,
        WEIGHT,
        np.zeros((3, 3), int8),
        "weight_hr_l0: expected shape (proj_size, 3) with proj_size below hidden_size, got (3, 3)",
    ),
    "reverse ih": (
        3,
        WEIGHT,
        np.zeros((12, 5), int8),
        "weight_ih_l0_reverse: expected shape (12, 4), got (12, 5)",
    ),
    "reverse hh": (
        4,
        WEIGHT,
        np.zeros((9, 2), int8),
        "weight_hh_l0_reverse: expected shape (12, 2), got (9, 2)",
    ),
    "reverse hr": (
        5,
        WEIGHT,
        np.zeros((1, 3), int8),
        "weight_hr_l0_reverse: expected shape (2, 3), got (1, 3)",
    ),
    "upper ih": (6, WEIGHT, np.zeros((12, 2), int8), "weight_ih_l1: expected shape (12, 4), got (12, 2)"),
    "upper reverse": (
        9,
        WEIGHT,
        np.zeros((12, 6), int8),
        "weight_ih_l1_reverse: expected shape (12, 4), got (12, 6)",
    ),
    "hr bias": (2, BIAS, zeros(2), "bias_hr_l0: expected None for a matrix without a bias, got numpy.ndarray"),
    "bias": (7, BIAS, zeros(11), "bias_hh_l1: expected shape (12,), got (11,)"),
    "bias NaN": (9, BIAS, full(12, value=np.nan), "bias_ih_l1_reverse: expected finite values, got nan"),
    "scale": (6, SCALE, zeros(3), "weight_ih_l1_scale: expected shape () or (12,), got (3,)"),
    "scale 0": (
        10,
        SCALE,
        zeros(12),
        "weight_hh_l1_reverse_scale: expected finite, positive scales, got 0.0",
    ),
    "scale inf": (
        5,
        SCALE,
        full(2, value=np.inf),
        "weight_hr_l0_reverse_scale: expected finite, positive scales, got inf",
    ),
    "float weight": (8, WEIGHT, zeros(2, 3), "weight_hr_l1: expected dtype int8, got float32"),
    "strided": (
        1,
        WEIGHT,
        np.zeros((12, 4), int8)[:, ::2],
        "weight_hh_l0: expected an aligned C-contiguous ndarray",
    ),
    "float64 bias": (0, BIAS, np.zeros(12), "bias_ih_l0: expected dtype float32, got float64"),
}


@pytest.mark.parametrize("row", BAD_ARRAYS)
def test_bad_weights(row):
    at, part, value, text = BAD_ARRAYS[row]
    sequence = (2, 2, False)
    weights = list(matrices("lstm", "qrnn", 4, 3, sequence, proj=2))
    lstm = _core.Module()
    lstm._pack("lstm", "qrnn", None, *weights, sequence=sequence)
    x = randoms(5, 2, 4)
    before = lstm(x)
    refused(
        lambda: lstm._pack("lstm", "qrnn", None, *changed(weights, at, part, value), sequence=sequence),
        ValueError,
        text,
    )
    assert_same_results(lstm(x), before)


def test_bad_weights_of_cells_and_linears():
    weights = list(matrices("gru", "qrnn", 4, 3))
    pack = _core.Module()._pack
    for at, part, value, text in (
        (
            0,
            WEIGHT,
            np.zeros((10, 4), int8),
            "weight_ih: expected shape (3 * hidden_size, columns), got (10, 4)",
        ),
        (1, WEIGHT, np.zeros((9, 4), int8), "weight_hh: expected shape (9, 3), got (9, 4)"),
        (1, SCALE, zeros(9), "weight_hh_scale: expected finite, positive scales, got 0.0"),
        (1, BIAS, zeros(3), "bias_hh: expected shape (9,), got (3,)"),
    ):
        refused(
            lambda a=at, p=part, v=value: pack("gru", "qrnn", None, *changed(weights, a, p, v)),
            ValueError,
            text,
        )
    linear = (np.zeros((3, 4), int8), np.ones((), f32), zeros(4))
    refused(lambda: pack("linear", "qrnn", None, linear), ValueError, "bias: expected shape (3,), got (4,)")


def test_bad_arguments_of_pack():
    module = make("lstm", sequence=(1, 1, False))
    two, three = list(matrices("lstm", "qrnn", 4, 3)), list(matrices("lstm", "qrnn", 4, 3, proj=2))
    x = randoms(5, 2, 4)
    before = module(x)
    for args, kwargs, error, text in (
        (("lstn", "qrnn", None, *two), {}, ValueError, "kind"),
        ((3, "qrnn", None, *two), {}, TypeError, "kind"),
        (("lstm", "qrn", None, *two), {}, ValueError, "engine"),
        (("lstm", None, None, *two), {}, TypeError, "engine"),
        (("lstm", "qrnn", "mmx", *two), {}, ValueError, "isa"),
        (("lstm", "qrnn", 3, *two), {}, TypeError, "isa"),
        (("lstm", "qrnn", None), {}, TypeError, "matri"),
        (("lstm", "qrnn", None, two[0]), {}, TypeError, "2 or 3 matrices"),
        (("lstm", "qrnn", None, *two, *two), {}, TypeError, "2 or 3 matrices"),
        (("gru", "qrnn", None, *three), {}, TypeError, "2 matrices"),
        (("linear", "qrnn", None, *two), {}, TypeError, "1 matrix"),
        (("lstm", "qrnn", None, *two), {"sequence": (2, 1, False)}, TypeError, "of which there are 2"),
        (("lstm", "qrnn", None, *two), {"sequence": (1, 2, False)}, TypeError, "of which there are 2"),
        (("lstm", "qrnn", None, *two), {"sequence": (0, 1, False)}, ValueError, "sequence.*num_layers"),
        (("lstm", "qrnn", None, *two), {"sequence": (1 << 70, 1, False)}, ValueError, "sequence.*num_layers"),
        (("lstm", "qrnn", None, *two), {"sequence": (1, 3, False)}, ValueError, "sequence.*num_directions"),
        (("lstm", "qrnn", None, *two), {"sequence": (1, 1)}, TypeError, "sequence"),
        (("lstm", "qrnn", None, *two), {"sequence": [1, 1, False]}, TypeError, "sequence"),
        (("lstm", "qrnn", None, *two), {"sequence": ("1", 1, False)}, TypeError, None),
        (("linear", "qrnn", None, two[0]), {"sequence": (1, 1, False)}, ValueError, "sequence"),
        (("lstm", "qrnn", None, *two), {"seqence": None}, TypeError, "seqence"),
        (("lstm", "qrnn", None, two[0], two[1][:2]), {}, TypeError, "weight_hh"),
        (("lstm", "qrnn", None, two[0], list(two[1])), {}, TypeError, "weight_hh"),
    ):
        with pytest.raises(error, match=text):
            module._pack(*args, **kwargs)
    assert_same_results(module(x), before)


@pytest.mark.parametrize("engine", TORCH_ENGINES)
def test_what_pytorch_lacks(engine):
    """A projection, and a GRU that resets before the product: the engines of PyTorch refuse by name."""
    for kind, proj in (("gru_reset_before", 0), ("lstm", 2)):
        for sequence in (None, (1, 1, False)):
            weights = matrices(kind, engine, 4, 3, sequence, proj=proj)
            text = f"^{'proj_size: expected 0' if proj else 'reset_after: expected True'} with engine '{engine}'"
            with pytest.raises(ValueError, match=text):
                _core.Module()._pack(kind, engine, None, *weights, sequence=sequence)
            with pytest.raises(ValueError, match=text):
                _core.check_engine(kind, proj, engine)
            _core.check_engine(kind, proj, "qrnn")


# ---------------------------------------------------------------------------------------------------
# The gate probe
# ---------------------------------------------------------------------------------------------------
@every
def test_gates_have_every_row(kind, engine):
    cell, x = make(kind, engine), randoms(2, 4)
    hx = pair(kind, randoms(2, 3), randoms(2, 3, seed=2))
    acc_ih, acc_hh, pre = _core._gates(cell, x, hx)
    shape = (2, 3 * GATES[kind])
    assert pre.shape == shape and pre.dtype == f32
    for acc in (acc_ih, acc_hh):
        assert acc is None if engine == "float32" else acc.shape == shape and acc.dtype == np.int32
    assert _core._gates(cell, x[0])[2].shape == shape[1:]


def test_bad_calls_of_gates():
    for args, error, text in (
        ((make("lstm"), X, H), TypeError, "hx: expected a pair"),
        ((make("lstm"), X, (H, zeros(2, 5))), RuntimeError, r"hidden\[1\]"),
        ((make("gru"), X, zeros(2, 5)), RuntimeError, "hidden"),
        ((make("gru"), zeros(2, 5)), RuntimeError, "input_size"),
        ((make("gru", sequence=(1, 1, False)), S), ValueError, "module"),
        ((3, X), TypeError, "module"),
        ((_core.Module(), X), RuntimeError, "no weights"),
        ((make("gru", "fbgemm"), X * np.nan), ValueError, "x: engine"),
        ((make("gru", "fbgemm"), X, H * np.nan), ValueError, "hx: engine"),
    ):
        with pytest.raises(error, match=text):
            _core._gates(*args)
