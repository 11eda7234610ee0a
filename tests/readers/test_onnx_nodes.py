"""qrnn.onnx.read_node: ONNX's own node tests, random nodes against onnxruntime, and what is refused."""

from __future__ import annotations

import importlib
import itertools
from unittest import mock

import numpy as np
import pytest
from support.onnx_nodes import (
    ACTIVATIONS,
    DEFAULTS,
    GATES,
    OUTPUTS,
    WEIGHTS,
    Case,
    ReferenceEvaluator,
    error,
    model_of,
    of_onnxruntime,
    of_specification,
    random_case,
)

import qrnn
import qrnn.onnx

DIRECTIONS = ("forward", "reverse", "bidirectional")


# ---- the node tests of the package onnx


def own_tests():
    """Name, node, inputs and outputs of each test that the package onnx has for the recurrent operators."""
    for operator in GATES:
        module = importlib.import_module(f"onnx.backend.test.case.node.{operator.lower()}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "expect", expect := mock.Mock())
            for name, export in sorted(vars(getattr(module, operator)).items()):
                if name.startswith("export"):
                    export.__func__()
        for call in expect.call_args_list:
            (node,), given = call.args, call.kwargs
            yield pytest.param(node, given["inputs"], given["outputs"], id=f"{operator}-{given['name']}")


OWN_TESTS = list(own_tests())


def test_all_of_onnx_are_there():
    assert len(OWN_TESTS) == 18


@pytest.mark.parametrize("node, inputs, outputs", OWN_TESTS)
def test_of_onnx(node, inputs, outputs):
    named = dict(zip(filter(None, node.input), inputs, strict=True))
    ours = qrnn.onnx.read_node(node, named)
    calls = {name: named[graph] for name, graph in ours.inputs.items()}
    computed = dict(zip(OUTPUTS[node.op_type], ours(**calls)))
    names = [name for name, given in zip(OUTPUTS[node.op_type], node.output) if given]
    for name, expected in zip(names, outputs, strict=True):
        assert computed[name].shape == expected.shape
        assert error([computed[name]], [expected]) <= 1e-6
    constant = qrnn.onnx.read_node(node, named)  # states and lengths too, which a call may leave out then
    assert all((a == b).all() for a, b in zip(constant(named["X"]), computed.values()))


# ---- random nodes against onnxruntime


def options_of(operator, direction):
    """Attributes of the operator, each option alone and with the others."""
    own = {"RNN": [{}], "GRU": [{}, {"linear_before_reset": 1}], "LSTM": [{}, {"input_forget": 1}]}[operator]
    for each, clip in itertools.product(own, ({}, {"clip": 0.4})):
        yield {"direction": direction, **each, **clip}


def with_activations(rng, operator, direction, place, name):
    """Attributes with the activation `name` at a place, and random ones elsewhere, of both directions."""
    directions = 2 if direction == "bidirectional" else 1
    names = [str(rng.choice(list(ACTIVATIONS))) for _ in DEFAULTS[operator] * directions]
    names[place :: len(DEFAULTS[operator])] = [name] * directions
    alphas, betas = ([value for each in names for value in ACTIVATIONS[each][i]] for i in (0, 1))
    given = {"activation_alpha": alphas, "activation_beta": betas}
    return {"direction": direction, "activations": names, **{key: value for key, value in given.items() if value}}


def all_attributes(rng, operator):
    for direction in DIRECTIONS:
        yield from options_of(operator, direction)
        for place, name in itertools.product(range(len(DEFAULTS[operator])), ACTIVATIONS):
            attributes = with_activations(rng, operator, direction, place, name)
            yield attributes
            yield {**attributes, **rng.choice(list(options_of(operator, direction)))}


OPTIONAL = ("B", "sequence_lens", "initial_h", "initial_c", "P")


def check(case, expected, layout=0):
    """A node read from its graph: the results for its inputs, within 2e-6 of max(1, |y|)."""
    ours = qrnn.onnx.read_node(case.node(layout), case.weights())
    assert ours.inputs == {name: name for name in case.arrays if name not in WEIGHTS}
    computed = ours(**swapped(case.inputs()) if layout else case.inputs())
    assert [a.shape for a in computed] == [b.shape for b in expected] and all(a.dtype == np.float32 for a in computed)
    assert error(computed, expected) <= 2e-6


@pytest.mark.parametrize("operator", GATES)
def test_random_nodes(operator):
    """Against onnxruntime, but for softplus of numbers beyond 88, whose exp is infinite there."""
    rng, count, infinite = np.random.default_rng(7), 0, 0
    for attributes in all_attributes(rng, operator):
        for _ in range(2):
            case = random_case(rng, operator, attributes, optional=[name for name in OPTIONAL if rng.integers(4)])
            expected = of_onnxruntime(case)
            if not all(np.isfinite(each).all() for each in expected):
                assert "Softplus" in attributes["activations"]
                expected, infinite = of_specification(case), infinite + 1
            check(case, expected)
            count += 1
    assert count >= {"RNN": 140, "GRU": 280, "LSTM": 420}[operator] and infinite < 5


def swapped(arrays):
    """Inputs or outputs of layout 0 as those of layout 1, by their names."""
    axes = {"Y": (2, 0, 1, 3), "sequence_lens": (0,)}
    return {name: array.transpose(axes.get(name, (1, 0, 2))) for name, array in arrays.items()}


@pytest.mark.parametrize("operator", GATES)
def test_batch_first(operator):
    """layout=1, which onnxruntime refuses, is its layout=0 with other axes, and what ONNX's evaluator computes."""
    rng = np.random.default_rng(8)
    for direction in DIRECTIONS:
        case = random_case(rng, operator, {"direction": direction})
        expected = swapped(dict(zip(OUTPUTS[operator], of_onnxruntime(case), strict=True)))
        check(case, list(expected.values()), layout=1)
        with pytest.raises(Exception, match="layout"):
            of_onnxruntime(case._replace(attributes={**case.attributes, "layout": 1}))
        attributes = {"linear_before_reset": 1} if operator == "GRU" else {}
        case = random_case(rng, operator, {"direction": direction, **attributes}, optional=OPTIONAL[:1] + OPTIONAL[2:])
        for layout in (0, 1):
            model = model_of(case, layout)
            inputs = swapped(case.inputs()) if layout else case.inputs()
            check(case, ReferenceEvaluator(model).run(None, inputs), layout)


# ---- where onnxruntime departs from the specification: docs/models-in.md lists it


def test_a_hidden_size_that_is_not_given():
    case = random_case(np.random.default_rng(12), "RNN", {})
    expected = of_onnxruntime(case)
    del case.attributes["hidden_size"]
    check(case, expected)
    with pytest.raises(Exception, match="hidden_size"):
        of_onnxruntime(case)


def test_softplus_of_large_numbers():
    arrays = {
        "X": np.array([[[50.0, 100.0]]], np.float32),
        "W": np.eye(2, dtype=np.float32)[None],
        "R": np.zeros((1, 2, 2), np.float32),
    }
    case = Case("RNN", {"activations": ["Softplus"], "hidden_size": 2}, arrays)
    assert of_onnxruntime(case)[0].ravel().tolist() == [50, np.inf]
    check(case, of_specification(case))


@pytest.mark.parametrize("operator", GATES)
def test_a_row_without_steps_keeps_its_state(operator):
    rng = np.random.default_rng(9)
    case = random_case(rng, operator, {})
    case.arrays["sequence_lens"][0] = 0
    check(case, of_specification(case))
    assert not any(each[0, 0].any() for each in of_onnxruntime(case)[1:])
    computed = qrnn.onnx.read_node(case.node(), case.weights())(**case.inputs())
    assert (computed[1][0, 0] == case.arrays["initial_h"][0, 0]).all()


def test_alphas_and_betas_that_are_not_given():
    """Those of ONNX's operators. onnxruntime has others for two of them."""
    given = {"Elu": ([1.0], []), "LeakyRelu": ([0.01], []), "HardSigmoid": ([0.2], [0.5])}
    others = {"ThresholdedRelu": ([1.0], []), "Affine": ([1.0], [0.0])}
    for name, (alpha, beta) in {**given, **others}.items():
        case = random_case(np.random.default_rng(10), "RNN", {"activations": [name]})
        numbers = {"activation_alpha": alpha, "activation_beta": beta} if beta else {"activation_alpha": alpha}
        full = case._replace(attributes={**case.attributes, **numbers})
        check(case, of_onnxruntime(full))
        assert (error(of_onnxruntime(case), of_onnxruntime(full)) > 0.1) == (name in others)
