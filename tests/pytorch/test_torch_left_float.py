"""What was asked for and stays float is named in a warning that says why; PyTorch's table of types is read as ours."""

from __future__ import annotations

import warnings

import pytest
from support.torch_models import difference, torch

import qrnn
import qrnn.torch as qt
from qrnn.torch.quantization import default_dynamic_qconfig, propagate_qconfig_

nn = torch.nn

EMBEDDING = "there is no quantized Embedding"
COMPILED = "a ScriptModule is compiled already: quantize the model first, then trace it"


def told(call, *args, **keywords):
    """What a call returns, and the texts of its warnings; those of PyTorch itself do not count."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = call(*args, **keywords)
    texts = [str(each.message) for each in caught if each.category is UserWarning]
    return result, [text for text in texts if not text.startswith("None of the submodule")]


def mixed():
    """Layers that have no quantized form among some that have one."""
    return nn.Sequential(
        nn.Embedding(5, 4),
        nn.EmbeddingBag(5, 4),
        nn.Conv1d(4, 4, 1),
        nn.GRU(4, 4),
        nn.Sequential(nn.ReLU()),
        nn.Sequential(nn.Conv1d(4, 4, 1), nn.Linear(4, 4)),
    )


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        ({nn.Embedding, nn.GRU}, [f"qconfig_spec: Embedding at '0' stays float: {EMBEDDING}"]),
        ({"0", "3"}, [f"qconfig_spec: '0' stays float: {EMBEDDING}"]),
        ({nn.EmbeddingBag}, [f"qconfig_spec: EmbeddingBag at '1' stays float: {EMBEDDING}Bag"]),
        ({nn.Conv1d}, ["qconfig_spec: Conv1d at '2', '5.0' stays float: there is no quantized Conv1d"]),
        ({"4"}, ["qconfig_spec: '4' stays float: nothing in this Sequential can be quantized"]),
        ({"": default_dynamic_qconfig, "0": default_dynamic_qconfig}, [f"qconfig_spec: '0' stays float: {EMBEDDING}"]),
        (None, []),
        (default_dynamic_qconfig, []),
        ({"5", nn.Linear, nn.LSTM}, []),  # something in "5" is quantized; there is no LSTM
        ({"": default_dynamic_qconfig}, []),
        ({nn.Conv1d: default_dynamic_qconfig, "2": None, "5.0": None}, []),
        ({nn.Embedding: None}, []),
    ],
)
def test_what_a_spec_names(spec, want):
    _, got = told(qt.quantize_dynamic, mixed(), spec)
    assert sorted(got) == want
    qconfig = dict.fromkeys(spec, default_dynamic_qconfig) if isinstance(spec, set) else spec
    _, got = told(qt.prepare, mixed(), inplace=False, qconfig=qconfig)
    assert sorted(got) == [text.replace("qconfig_spec", "qconfig") for text in want]


def test_many_places_are_counted():
    model = nn.Sequential(*(nn.Embedding(3, 2) for _ in range(6)), nn.Linear(2, 2))
    _, got = told(qt.quantize_dynamic, model, {nn.Embedding})
    assert got == [f"qconfig_spec: Embedding at '0', '1', '2' and 3 more stays float: {EMBEDDING}"]


def test_the_warning_points_at_the_callers_line():
    with pytest.warns(UserWarning, match="stays float") as caught:
        qt.quantize_dynamic(mixed(), {"0"})
    assert {each.filename for each in caught} == {__file__}


def test_qconfigs_of_embeddings():
    import torch.ao.quantization as tq

    for name in ("float_qparams_weight_only_qconfig", "float_qparams_weight_only_qconfig_4bit"):
        qconfig = getattr(tq, name)
        _, got = told(qt.quantize_dynamic, mixed(), {nn.Embedding: qconfig, nn.GRU: default_dynamic_qconfig})
        assert got == [f"qconfig_spec: Embedding at '0' stays float: {EMBEDDING}"]
        model = mixed()
        model.qconfig, model[0].qconfig = default_dynamic_qconfig, qconfig
        new, got = told(qt.quantize_dynamic, model)
        assert got == [f"qconfig: '0' stays float: {EMBEDDING}"] and type(new[3]) is qt.GRU
        prepared, got = told(qt.prepare, model)
        assert got == []
        assert told(qt.convert, prepared)[1] == [f"qconfig: '0' stays float: {EMBEDDING}"], "and once"
        with pytest.raises(ValueError, match=r"3: weight_ih_l0: the weight observer's dtype: expected qrnn\.qint8"):
            qt.quantize_dynamic(mixed(), {"3": qconfig})


def test_attributes():
    """One that was handed down by the parent asks for nothing; one of the module's own does."""
    model = mixed()
    propagate_qconfig_(model, {"": default_dynamic_qconfig})
    assert told(qt.convert, model)[1] == []
    model = mixed()
    propagate_qconfig_(model, {nn.Conv1d: default_dynamic_qconfig, "3": default_dynamic_qconfig})
    assert told(qt.convert, model)[1] == [
        f"qconfig: '{name}' stays float: there is no quantized Conv1d" for name in ("2", "5.0")
    ]


def scripted():
    return torch.jit.script(nn.Sequential(nn.LSTM(3, 4)))


def traced():
    return torch.jit.trace(nn.Sequential(nn.Linear(3, 4)), torch.ones(1, 3))


def frozen():
    return torch.jit.freeze(scripted().eval())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("compiled", [scripted, traced, frozen])
def test_script_modules(compiled):
    inside = nn.Sequential(nn.Sequential(compiled()), nn.Linear(4, 3))
    for model, name in ((compiled(), "the model"), (inside, "'0.0'")):
        for argument, call in {
            "qconfig_spec": lambda m: qt.quantize_dynamic(m),
            "qconfig": lambda m: qt.prepare(m, inplace=False, qconfig={}),
            "model": lambda m: qt.from_torch_ao(m),
        }.items():
            _, got = told(call, model)
            assert got == [f"{argument}: {name} stays as it is: {COMPILED}"]
        assert told(qrnn.quantize_dynamic, model)[1] == [f"qconfig_spec: {name} stays as it is: {COMPILED}"]
    prepared = qt.prepare(nn.Sequential(nn.Linear(4, 3)), qconfig={})
    assert told(qt.convert, prepared)[1] == []
    for spec in ({nn.LSTM}, {nn.Linear, nn.LSTM}, {"0"}, {"0.0"}):
        new, got = told(qt.quantize_dynamic, inside, spec)
        assert got == [f"qconfig_spec: '0.0' stays as it is: {COMPILED}"]
        assert isinstance(new[0][0], torch.jit.ScriptModule)
    for spec in ({"1"}, {"": default_dynamic_qconfig, "0": None}):
        new, got = told(qt.quantize_dynamic, inside, spec)
        assert got == [] and type(new[1]) is qt.Linear


def test_what_is_inside_a_script_module_is_named_by_it():
    _, got = told(qt.quantize_dynamic, nn.Sequential(scripted()), {"0.0"})
    assert got == [f"qconfig_spec: '0' stays as it is: {COMPILED}"]


# ---------------------------------------------------------------------------------------------------
# Weights that other modules read
# ---------------------------------------------------------------------------------------------------
def quantized_names(model):
    return {name for name, each in model.named_modules() if isinstance(each, qt.Linear)}


def test_transformer_layers_stay_whole():
    """In eval mode the encoder layer reads its Linears' weights; the decoder calls its own."""
    model = nn.Transformer(8, 2, 1, 1, 16, batch_first=True).eval()
    x = torch.randn(2, 5, 8)
    want = model(x, x)
    decoder = {"decoder.layers.0.linear1", "decoder.layers.0.linear2"}
    reads = (
        "qconfig_spec: 'encoder.layers.0.self_attn.out_proj', 'decoder.layers.0.self_attn.out_proj', "
        "'decoder.layers.0.multihead_attn.out_proj' stay float: MultiheadAttention reads their weights",
        "qconfig_spec: 'encoder.layers.0.linear1', 'encoder.layers.0.linear2' stay float: "
        "TransformerEncoderLayer reads their weights",
    )
    for spec in (None, {nn.Linear}, {"": default_dynamic_qconfig}):
        new, got = told(qt.quantize_dynamic, model, spec)
        assert quantized_names(new) == decoder
        assert [text.partition(", which")[0] for text in got] == list(reads)
        assert difference(new(x, x), want) < 0.05
    prepared, got = told(qt.prepare, model, inplace=False, qconfig={})
    assert len(got) == 2
    new, got = told(qt.convert, prepared)
    assert quantized_names(new) == decoder and got == []


def test_a_linear_that_is_named_is_quantized():
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    x = torch.randn(2, 5, 8)
    want = model(x)
    new, got = told(qt.quantize_dynamic, model, {"linear1"})
    assert quantized_names(new) == {"linear1"} and got == []
    prepared, got = told(qt.prepare, model, inplace=False, qconfig={"linear1": default_dynamic_qconfig})
    assert quantized_names(qt.convert(prepared)) == {"linear1"} and got == []
    model.linear2.qconfig = default_dynamic_qconfig
    assert quantized_names(qt.convert(model)) == {"linear2"}
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        assert difference(new(x), want) < 0.05
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    _, got = told(qt.quantize_dynamic, model, {"self_attn.out_proj"})
    assert got == [
        "qconfig_spec: 'self_attn.out_proj' stays float: attention reads its weight, which a quantized Linear lacks"
    ]


def test_linears_of_ones_own_in_such_layers_are_quantized():
    class Adapted(nn.TransformerEncoderLayer):
        def __init__(self):
            super().__init__(8, 2, 16, batch_first=True)
            self.adapter = nn.Linear(8, 8)

    new, _ = told(qt.quantize_dynamic, Adapted())
    assert quantized_names(new) == {"adapter"}


# ---------------------------------------------------------------------------------------------------
# mapping=
# ---------------------------------------------------------------------------------------------------
def test_pytorchs_own_table_is_read_as_ours():
    import torch.ao.quantization as tq

    table = tq.get_default_dynamic_quant_module_mappings()
    new, got = told(qt.quantize_dynamic, mixed(), None, mapping=table)
    assert type(new[3]) is qt.GRU and type(new[5][1]) is qt.Linear and got == []
    new, got = told(qt.quantize_dynamic, mixed(), {nn.Embedding, nn.GRU}, mapping=table)
    assert type(new[3]) is qt.GRU and type(new[0]) is nn.Embedding
    assert got == [f"qconfig_spec: Embedding at '0' stays float: {EMBEDDING}"]
    model = mixed()
    propagate_qconfig_(model, {"3": default_dynamic_qconfig})
    assert type(qt.convert(model, table)[3]) is qt.GRU
    attention = nn.Sequential(nn.MultiheadAttention(8, 2))
    new, _ = told(qt.quantize_dynamic, attention, {"": default_dynamic_qconfig}, mapping=table)
    assert quantized_names(new) == set()
    ours = qrnn.quantize_dynamic(qrnn.nn.Sequential(qrnn.nn.GRU(4, 4)), mapping=table)
    assert type(ours[0]) is qrnn.GRU


def test_a_table_without_a_type_that_was_asked_for():
    table = {nn.Linear: qt.Linear}
    new, got = told(qt.quantize_dynamic, mixed(), {nn.GRU, nn.Linear}, mapping=table)
    assert got == ["qconfig_spec: GRU at '3' stays float: mapping has no GRU"] and type(new[5][1]) is qt.Linear
    assert told(qt.quantize_dynamic, mixed(), mapping=table)[1] == []


@pytest.mark.parametrize(
    ("mapping", "error", "text"),
    [
        (3, TypeError, "mapping: expected a mapping of type to type, got int"),
        ({"0": qt.Linear}, TypeError, "mapping: expected types as keys, got '0'"),
        ({nn.Linear: 3}, TypeError, "mapping: expected a type with from_float for Linear, got 3"),
        ({nn.Linear: qrnn.Linear}, TypeError, r"from_float returned: expected a torch\.nn\.Module, got qrnn"),
    ],
)
def test_bad_tables(mapping, error, text):
    with pytest.raises(error, match=text):
        qt.quantize_dynamic(mixed(), mapping=mapping)


def test_pytorchs_static_table_is_refused():
    import torch.ao.quantization as tq

    with pytest.raises(ValueError, match="mapping: expected a dynamically quantized type for Linear, such as qrnn"):
        qt.quantize_dynamic(mixed(), mapping=tq.get_default_static_quant_module_mappings())
