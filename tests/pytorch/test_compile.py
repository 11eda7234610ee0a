"""The operators of ``qrnn.torch``, and programs made of them: torch.compile, torch.export, torch.jit.trace."""

from __future__ import annotations

import io

import pytest
from support import torch_models
from support.torch_models import (
    CELLS,
    ENGINES,
    KINDS,
    I,
    assert_equal_results,
    each_kind,
    each_kind_and_engine,
    flat,
    inputs,
    make,
    torch,
)

import qrnn.torch as qt

#: PyTorch's own compilers and exporters warn about PyTorch.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),
]


class Model(torch.nn.Module):
    """A module between others, called for some steps where it is a cell."""

    def __init__(self, kind, engine="qrnn"):
        super().__init__()
        self.cell = kind in CELLS
        self.first = torch.nn.Linear(I, I)
        self.middle = qt.quantize_dynamic(make(kind), engine=engine)

    def forward(self, x, hx=None):
        x = torch.relu(self.first(x))
        if not self.cell:
            return self.middle(x) if hx is None else self.middle(x, hx)
        for _ in range(3):
            hx = self.middle(x, hx)
        return hx


def operator_of(kind, engine="qrnn"):
    """The operator of a module, and the arguments of a call."""
    module, (x, *state) = qt.quantize_dynamic(make(kind), engine=engine), inputs(kind)
    weights, scales, biases = module._tensors()
    if kind == "Linear":
        return torch.ops.qrnn.linear.default, (x, weights[0], scales[0], biases[0], engine)
    shape = module._spec
    pair = state[0] if shape.kind == "lstm" else state
    if kind in CELLS:
        rest = (weights[0], scales[0], weights[1], scales[1], biases[0], biases[1])
        if shape.kind == "lstm":
            return torch.ops.qrnn.lstm_cell.default, (x, *pair, *rest, engine)
        return torch.ops.qrnn.cell.default, (x, *pair, *rest, shape.kind, engine)
    given = [bias for bias in biases if bias is not None]
    rest = (None, weights, scales, given, engine, *shape.sequence)
    if shape.kind == "lstm":
        return torch.ops.qrnn.lstm.default, (x, *pair, *rest)
    return torch.ops.qrnn.sequence.default, (x, *pair, *rest, shape.kind)


# ---------------------------------------------------------------------------------------------------
# Operators
# ---------------------------------------------------------------------------------------------------
@each_kind_and_engine
def test_operators_compute_what_modules_do(kind, engine):
    operator, args = operator_of(kind, engine)
    want = qt.quantize_dynamic(make(kind), engine=engine)(*inputs(kind))
    assert_equal_results(operator(*args), want)
    without = (args[0], *(None if torch.is_tensor(each) and kind != "Linear" else each for each in args[1:2]))
    if kind == "RNNCell":
        assert_equal_results(
            operator(*without, *args[2:]), qt.quantize_dynamic(make(kind), engine=engine)(inputs(kind)[0])
        )


@each_kind
@pytest.mark.parametrize("needs_gradient", [False, True])
def test_opcheck(kind, needs_gradient):
    """PyTorch's own checks: schema, fake implementation, autograd, tracing with symbolic sizes."""
    operator, (x, *rest) = operator_of(kind)
    x.requires_grad_(needs_gradient)
    results = torch.library.opcheck(operator, (x, *rest))
    assert set(results.values()) == {"SUCCESS"} and len(results) == 4
    assert not any(each.requires_grad for each in flat(operator(x, *rest)))


def test_operators_of_lengths():
    module, (x, state) = qt.quantize_dynamic(make("GRU")), inputs("GRU")
    weights, scales, biases = module._tensors()
    lengths = torch.tensor([4, 0, 3])
    got = torch.ops.qrnn.sequence(x, state, lengths, weights, scales, biases, "qrnn", 1, 1, False, "gru")
    assert_equal_results(got, module(x, state, lengths=lengths))


def test_an_operator_sees_changed_weights():
    """Its packed weights are kept by the tensors' identity and version."""
    operator, args = operator_of("RNNCell")
    first = operator(*args)
    args[6].add_(1)
    second = operator(*args)
    assert not torch.equal(first, second)
    clones = [each.clone() if torch.is_tensor(each) else each for each in args]
    assert torch.equal(operator(*clones), second)


def test_packed_weights_go_with_their_tensors():
    import gc

    from qrnn.torch import _ops

    gc.collect()
    before = len(_ops._known)
    for _ in range(5):
        operator, args = operator_of("RNNCell")
        operator(*args)
        del operator, args
    gc.collect()
    assert len(_ops._known) <= before


def test_fake_tensors_and_meta_tensors_have_shapes_only():
    cell = qt.quantize_dynamic(make("LSTMCell"))
    h, c = cell(torch.empty(7, I, device="meta"))
    assert h.shape == c.shape == (7, torch_models.H) and h.device.type == "meta"
    from torch._subclasses.fake_tensor import FakeTensorMode

    layer = qt.quantize_dynamic(make("GRU-2"))
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        output, h_n = layer(mode.from_tensor(torch.zeros(3, 4, I)))
    assert output.shape == (3, 4, 2 * torch_models.H) and h_n.shape == (4, 3, torch_models.H)


def test_eager_calls_bypass_the_dispatcher():
    from torch.utils._python_dispatch import TorchDispatchMode

    seen = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            seen.append(str(function))
            return function(*args, **(kwargs or {}))

    cell, args = qt.quantize_dynamic(make("RNNCell")), inputs("RNNCell")
    cell(*args)
    with Watch():
        cell(*args)
    assert not [name for name in seen if name.startswith("qrnn")]


# ---------------------------------------------------------------------------------------------------
# torch.compile
# ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "engine"), [(kind, "qrnn") for kind in KINDS] + [("LSTM-2", engine) for engine in ENGINES[1:]]
)
def test_one_graph(kind, engine):
    """fullgraph=True: no graph break, and the same bits as eager mode."""
    torch._dynamo.reset()
    model, args = Model(kind, engine).eval(), inputs(kind)
    graphs = []

    def backend(graph, example_inputs):
        graphs.append(graph)
        return graph

    with torch.no_grad():
        compiled = torch.compile(model, fullgraph=True, backend=backend)
        assert_equal_results(compiled(*args), model(*args))
        assert_equal_results(compiled(*args), model(*args))
    assert len(graphs) == 1
    calls = [str(node.target) for node in graphs[0].graph.nodes if "qrnn" in str(node.target)]
    assert len(calls) == (3 if kind in CELLS else 1), calls


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRU-2", "LSTM"])
def test_ahead_of_time_autograd(kind):
    """aot_eager with gradients on: the float layer before and after trains, our module has no gradient."""
    torch._dynamo.reset()
    model, args = Model(kind), inputs(kind)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert_equal_results(compiled(*args), model(*args))


def test_the_default_compiler():
    torch._dynamo.reset()
    model, args = Model("GRUCell").eval(), inputs("GRUCell")
    with torch.no_grad():
        try:
            got = torch.compile(model, fullgraph=True)(*args)
        except torch._dynamo.exc.BackendCompilerFailed as error:
            if "compiler" in str(error).lower():
                pytest.skip("NO C++ COMPILER: torch.compile's default backend was not run")
            raise
        assert torch_models.difference(got, model(*args)) < 1e-5


def test_compiled_models_see_loaded_weights():
    torch._dynamo.reset()
    a, b = qt.quantize_dynamic(make("RNNCell")), qt.quantize_dynamic(make("RNNCell", seed=3))
    args = inputs("RNNCell")
    compiled = torch.compile(a, fullgraph=True, backend="eager")
    compiled(*args)
    a.load_state_dict(b.state_dict())
    assert_equal_results(compiled(*args), b(*args))


@pytest.mark.filterwarnings("ignore::UserWarning")  # of the graph breaks
def test_prepared_models_compile_with_graph_breaks():
    torch._dynamo.reset()
    model, args = qt.prepare(torch_models.Holder(make("RNNCell")), qconfig={}).train(), inputs("RNNCell")
    assert torch_models.difference(torch.compile(model, backend="eager")(*args), model(*args)) < 1e-6


# ---------------------------------------------------------------------------------------------------
# torch.export and torch.jit.trace
# ---------------------------------------------------------------------------------------------------
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", ["Linear", "LSTMCell", "GRU"])
@pytest.mark.parametrize("record", [torch.jit.trace, torch.export.export])
def test_prepared_models_are_not_recorded(kind, record):
    model = qt.prepare(torch_models.Holder(make(kind)), qconfig={})
    for mode in (True, False):
        with pytest.raises(RuntimeError, match=f"Prepared{kind} cannot be .*convert the model first"):
            record(model.train(mode), inputs(kind)[:1])
    record(qt.convert(model), inputs(kind)[:1])


@pytest.mark.parametrize(("kind", "strict"), [(kind, False) for kind in KINDS] + [("LSTMCell", True), ("GRU-2", True)])
def test_export_saves_and_loads(kind, strict):
    model, args = Model(kind).eval(), inputs(kind)
    program = torch.export.export(model, args, strict=strict)
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    buffer.seek(0)
    loaded = torch.export.load(buffer)
    with torch.no_grad():
        for each in (program, loaded, program.run_decompositions()):
            assert_equal_results(each.module()(*args), model(*args))
    calls = [node for node in loaded.graph.nodes if str(node.target).startswith("qrnn.")]
    assert len(calls) == (3 if kind in CELLS else 1)
    codes = {name: tensor for name, tensor in loaded.state_dict.items() if tensor.dtype == torch.int8}
    assert codes and set(map(type, loaded.state_dict.values())) <= {torch.Tensor, torch.nn.Parameter}


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "Linear"])
def test_export_of_any_batch(kind):
    model, batch = qt.quantize_dynamic(make(kind)), torch.export.Dim("batch", min=2)
    dims = [({0: batch}, {0: batch}) if isinstance(a, tuple) else {0: batch} for a in inputs(kind)]
    program = torch.export.export(model, inputs(kind), dynamic_shapes=tuple(dims))
    args = inputs(kind, batch=9)
    assert_equal_results(program.module()(*args), model(*args))


def test_export_of_any_length():
    layer, time = qt.quantize_dynamic(make("GRU")), torch.export.Dim("time", min=2)
    program = torch.export.export(layer, inputs("GRU"), dynamic_shapes=({0: time}, None))
    args = inputs("GRU", time=11)
    assert_equal_results(program.module()(*args), layer(*args))


@each_kind
def test_traces_keep_the_computation(kind):
    """torch.jit.trace records the operator, not its result."""
    model, args = Model(kind).eval(), inputs(kind)
    traced = torch.jit.trace(model, args, check_trace=False)
    buffer = io.BytesIO()
    torch.jit.save(traced, buffer)
    buffer.seek(0)
    other = inputs(kind, seed=8)
    with torch.no_grad():
        assert_equal_results(traced(*other), model(*other))
        assert_equal_results(torch.jit.load(buffer)(*other), model(*other))
