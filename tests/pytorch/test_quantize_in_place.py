"""quantize_: in the style of torchao, in place, by a config object."""

from __future__ import annotations

import pytest
from support.torch_models import assert_equal_results, torch

import qrnn
import qrnn.torch as qt

nn = torch.nn

CONFIGS = {
    "qrnn": qt.QRNNDynamicConfig,
    "qrnn13": qt.QRNN13DynamicConfig,
    "fbgemm": qt.FBGEMMDynamicConfig,
    "x86": qt.X86DynamicConfig,
    "qnnpack": qt.QNNPACKDynamicConfig,
    "onednn": qt.ONEDNNDynamicConfig,
}
X = torch.randn(4, 2, 5, generator=torch.Generator().manual_seed(0))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.rnn, self.head = nn.Linear(5, 6), nn.GRU(6, 8), nn.Sequential(nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x):
        return self.head(self.rnn(self.embed(x))[0])


def quantized_names(model):
    return {name for name, each in model.named_modules() if hasattr(each, "engine")}


def test_every_engine_has_a_config():
    """Engines of later versions are named to DynamicConfig until they have theirs."""
    assert set(CONFIGS) <= set(qrnn.backends.quantized.supported_engines)
    for engine, config in CONFIGS.items():
        assert repr(config()) == f"{config.__name__}(engine='{engine}')" and config(engine).engine == engine
        with pytest.raises(ValueError, match=f"^engine: expected '{engine}', which {config.__name__} is for"):
            config("fbgemm" if engine != "fbgemm" else "qrnn")


@pytest.mark.parametrize("engine", CONFIGS)
def test_in_place_as_quantize_dynamic(engine):
    torch.manual_seed(0)
    model = Model()
    want = qt.quantize_dynamic(model, engine=engine)
    assert qt.quantize_(model, CONFIGS[engine]()) is None
    assert quantized_names(model) == {"embed", "rnn", "head.1"} and model.rnn.engine == engine
    assert_equal_results(model(X), want(X))
    assert model.training, "the mode is the caller's"
    model = Model().eval()
    qt.quantize_(model, qt.DynamicConfig(engine))
    assert not model.training and model.rnn.engine == engine


def test_filter_fn():
    seen = []

    def only_recurrent(module, name):
        seen.append((type(module), name))
        return isinstance(module, nn.GRU)

    model = Model()
    qt.quantize_(model, qt.QRNNDynamicConfig(), only_recurrent)
    assert quantized_names(model) == {"rnn"}
    assert seen == [(nn.Linear, "embed"), (nn.GRU, "rnn"), (nn.Linear, "head.1")]
    qt.quantize_(model, qt.QRNNDynamicConfig(), filter_fn=lambda module, name: name.startswith("head"), device="cpu")
    assert quantized_names(model) == {"rnn", "head.1"}
    with pytest.warns(UserWarning, match="None of the submodule"):
        qt.quantize_(Model(), qt.QRNNDynamicConfig(), lambda *_: False)


def test_layers_whose_weights_are_read_stay_float():
    model = nn.Sequential(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), nn.Linear(4, 3)).eval()
    with pytest.warns(UserWarning, match="TransformerEncoderLayer reads their weights"):
        qt.quantize_(model, qt.QRNNDynamicConfig(), lambda module, name: isinstance(module, nn.Linear))
    assert quantized_names(model) == {"1"} and model(torch.randn(2, 3, 4)).shape == (2, 3, 3)


def test_qconfigs_and_instruction_sets():
    model = Model()
    qt.quantize_(model, qt.FBGEMMDynamicConfig(qconfig=qt.per_channel_dynamic_qconfig, isa="scalar"))
    assert model.rnn.isa == "scalar" and model.rnn.weight_ih_l0_scale.shape == (24,)
    with qt.engine("qnnpack"):
        qt.quantize_(model := Model(), qt.DynamicConfig())
    assert model.rnn.engine == "qnnpack"


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: qt.quantize_(3, qt.QRNNDynamicConfig()), TypeError, r"model: expected a torch\.nn\.Module"),
        (lambda: qt.quantize_(Model(), "qrnn"), TypeError, "config: expected a DynamicConfig.*got 'qrnn'"),
        (lambda: qt.quantize_(Model(), qt.DynamicConfig(), 3), TypeError, "filter_fn: expected a function"),
        (lambda: qt.quantize_(Model(), qt.DynamicConfig(), device="cuda"), ValueError, "device: expected"),
        (lambda: qt.quantize_(nn.GRU(4, 3), qt.DynamicConfig()), ValueError, "inplace: GRU is itself replaced"),
        (lambda: qt.DynamicConfig("mkl"), ValueError, "engine"),
        (lambda: qt.DynamicConfig(isa="sse"), ValueError, "isa"),
    ],
)
def test_bad_arguments(call, error, text):
    with pytest.raises(error, match=text):
        call()
