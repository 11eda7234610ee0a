"""QConfigs and observers: PyTorch's scales, and its objects."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from support import assert_same_bits, needs_torch
from support.quantization_models import Model, X, schemes

import qrnn
from qrnn import nn
from qrnn import quantization as q

pytestmark = pytest.mark.filterwarnings("error")  # one that no test expects is a failure


f32 = np.float32


# ---------------------------------------------------------------------------------------------------
# QConfigs and observers
# ---------------------------------------------------------------------------------------------------
def test_qconfig_refuses_instances():
    with pytest.raises(ValueError, match="observer instance"):
        q.QConfig(activation=q.PlaceholderObserver, weight=q.MinMaxObserver())
    with pytest.raises(ValueError, match="observer instance"):
        q.QConfig(activation=q.PlaceholderObserver(), weight=q.MinMaxObserver)
    config = q.QConfig(activation=q.PlaceholderObserver, weight=q.MinMaxObserver)
    assert config.weight is q.MinMaxObserver and tuple(config) == (q.PlaceholderObserver, q.MinMaxObserver)
    assert config == q.QConfig(q.PlaceholderObserver, q.MinMaxObserver)


def test_observers_accumulate():
    observer = q.default_weight_observer()
    a, b = np.float32([[1, -2]]), np.float32([[3, 0.5]])
    assert observer(a) is a
    observer(b)
    scale, zero_point = observer.calculate_qparams()
    assert_same_bits(scale, np.array([f32(3) / f32(127.5)], f32))
    assert zero_point.tolist() == [0]
    rows = q.default_per_channel_weight_observer()
    rows(np.float32([[1, -2], [0, 0]]))
    rows(np.float32([[3, 0], [0, -1]]))
    assert_same_bits(rows.calculate_qparams()[0], np.array([f32(3) / f32(127.5), f32(1) / f32(127.5)], f32))


@pytest.mark.parametrize("kind", [q.default_weight_observer, q.default_per_channel_weight_observer])
def test_observers_that_saw_a_nan(kind):
    observer = kind()
    observer(np.ones((2, 2), f32))
    observer(np.array([[1, 2], [np.nan, 3]], f32))
    with pytest.raises(ValueError, match="MinMaxObserver: expected numbers, but a NaN was observed"):
        observer.calculate_qparams()


def test_observers_that_saw_nothing():
    for make in (q.MinMaxObserver, q.PerChannelMinMaxObserver, q.PlaceholderObserver):
        with pytest.raises(RuntimeError):
            make().calculate_qparams()


@needs_torch
@pytest.mark.parametrize(
    "name",
    [
        "default_weight_observer",
        "default_per_channel_weight_observer",
        "weight_observer_range_neg_127_to_127",
        "per_channel_weight_observer_range_neg_127_to_127",
    ],
)
def test_observers_give_torchs_scales(name, quiet):
    import torch
    import torch.ao.quantization as tq

    rng = np.random.default_rng(103)
    for scale in (1e-12, 1e-4, 1.0, 1e20):
        ours, theirs = getattr(q, name)(), getattr(tq, name)()
        for _ in range(3):
            w = (rng.standard_normal((5, 7)) * scale).astype(f32)
            w[2] = 0
            ours(w)
            theirs(torch.from_numpy(w))
        for got, want in zip(ours.calculate_qparams(), theirs.calculate_qparams()):
            np.testing.assert_array_equal(got, want.numpy())


@needs_torch
@pytest.mark.parametrize(
    "qscheme, dtype, reduce_range",
    [
        (scheme, dtype, narrow)
        for scheme in ("per_tensor_affine", "per_tensor_symmetric")
        for dtype in ("qint8", "quint8")
        for narrow in (False, True)
        if (scheme, dtype, narrow) != ("per_tensor_symmetric", "quint8", True)  # PyTorch has no such observer
    ],
)
def test_general_observers_give_torchs_scales(qscheme, dtype, reduce_range, quiet):
    import torch
    import torch.ao.quantization as tq

    rng = np.random.default_rng(104)
    for shift in (-2, 0, 0.5, 3):
        arguments = {"reduce_range": reduce_range}
        ours = q.MinMaxObserver(dtype=getattr(qrnn, dtype), qscheme=getattr(qrnn, qscheme), **arguments)
        theirs = tq.MinMaxObserver(dtype=getattr(torch, dtype), qscheme=getattr(torch, qscheme), **arguments)
        w = (rng.standard_normal((5, 7)) + shift).astype(f32)
        ours(w)
        theirs(torch.from_numpy(w))
        for got, want in zip(ours.calculate_qparams(), theirs.calculate_qparams()):
            np.testing.assert_array_equal(got, want.numpy())


@needs_torch
def test_quantize_dynamic_gives_torchs_model(quiet):
    """The same float model through both, engine fbgemm, default scheme: relu outputs have the same bits."""
    import torch
    import torch.ao.quantization as tq

    torch.manual_seed(105)
    torch.backends.quantized.engine = "fbgemm"

    class Theirs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = torch.nn.RNNCell(4, 8, nonlinearity="relu")
            self.fc = torch.nn.Linear(8, 5)

        def forward(self, x):
            return self.fc(self.cell(x))

    class Ours(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.RNNCell(4, 8, nonlinearity="relu")
            self.fc = nn.Linear(8, 5)

        forward = Theirs.forward

    theirs, ours = Theirs(), Ours()
    ours.load_state_dict(theirs.state_dict())
    for spec in (None, {torch.nn.RNNCell}, {"fc"}):
        our_spec = {nn.RNNCell} if spec == {torch.nn.RNNCell} else spec
        a = tq.quantize_dynamic(theirs, spec, dtype=torch.qint8)(torch.from_numpy(X)).detach().numpy()
        b = qrnn.quantize_dynamic(ours, our_spec, engine="fbgemm")
        if spec is None:
            assert_same_bits(b(X), a)
        np.testing.assert_allclose(b(X), a, atol=2e-6)


@needs_torch
def test_torch_objects_are_accepted(quiet):
    """torch's dtypes, types as keys, and QConfigs."""
    import torch
    import torch.ao.quantization as tq

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        new = qrnn.quantize_dynamic(Model(), {torch.nn.RNNCell: tq.per_channel_dynamic_qconfig}, dtype=torch.qint8)
    assert schemes(new) == {"cell": "channel", "sub.2": "channel"}
    observer = q.MinMaxObserver(dtype=torch.qint8, qscheme=torch.per_tensor_symmetric)
    observer(np.ones(3, f32))
    assert observer.calculate_qparams()[1].tolist() == [0]
    with pytest.raises(ValueError, match="float16"):
        qrnn.quantize_dynamic(Model(), dtype=torch.float16)


NARROW = q.MinMaxObserver.with_args(dtype=qrnn.qint8, qscheme=qrnn.per_tensor_symmetric, quant_min=-8, quant_max=7)


@pytest.mark.parametrize("by_data", [False, True])
def test_codes_stay_in_the_range_of_the_observer(quiet, by_data):
    """The scale is the extent over 7.5, so that the largest weight would round to 8."""
    model = nn.Sequential(nn.Linear(6, 40))
    model[0].weight = np.linspace(-0.7, 0.8, 240, dtype=f32).reshape(40, 6)
    qconfig = q.QConfig(q.PlaceholderObserver, NARROW)
    prepared = qrnn.prepare(model, qconfig=qconfig, inplace=False)
    if by_data:
        prepared(np.random.default_rng(3).standard_normal((500, 6)).astype(f32))
    codes = qrnn.convert(prepared)[0].weight().int_repr()
    assert codes.min() >= -8
    assert codes.max() == 7


def test_ranges_of_observers(quiet):
    with pytest.raises(ValueError, match=r"expected a range of at most 256 codes, got -512..511"):
        q.MinMaxObserver(quant_min=-512, quant_max=511)
    for low, high, middle in ((0, 127, 63), (0, 255, 127), (None, None, 128)):
        observer = q.MinMaxObserver(dtype=qrnn.quint8, qscheme=qrnn.per_tensor_symmetric, quant_min=low, quant_max=high)
        observer(f32([1, -2]))
        assert observer.calculate_qparams()[1].tolist() == [middle]


@needs_torch
@pytest.mark.parametrize("per_channel", [False, True])
def test_narrow_ranges_have_pytorchs_bits(quiet, per_channel):
    """PyTorch clamps the codes of a weight to the range of its observer."""
    import torch
    import torch.ao.quantization as tq

    torch.manual_seed(1)
    torch.backends.quantized.engine = "fbgemm"
    observer = tq.PerChannelMinMaxObserver if per_channel else tq.MinMaxObserver
    scheme = torch.per_channel_symmetric if per_channel else torch.per_tensor_symmetric
    weight = observer.with_args(dtype=torch.qint8, qscheme=scheme, reduce_range=True)
    qconfig = tq.QConfig(tq.default_dynamic_quant_observer, weight)
    for _ in range(30):
        theirs = torch.nn.Sequential(torch.nn.Linear(4, 3))
        ours = nn.Sequential(nn.Linear(4, 3))
        ours.load_state_dict(theirs.state_dict())
        want = tq.quantize_dynamic(theirs, {torch.nn.Linear: qconfig})[0].weight().int_repr().numpy()
        got = qrnn.quantize_dynamic(ours, {nn.Linear: qconfig}, engine="fbgemm")[0].weight().int_repr()
        assert np.array_equal(got, want)


@needs_torch
@pytest.mark.parametrize("backend", ["qnnpack", "fbgemm"])
def test_fake_quantizers_are_accepted(quiet, backend):
    """PyTorch's have an axis of -1 where there is none."""
    import torch
    import torch.ao.quantization as tq

    torch.backends.quantized.engine = "fbgemm"
    qconfig = tq.get_default_qat_qconfig(backend)
    theirs, ours = torch.nn.Sequential(torch.nn.Linear(4, 3)), nn.Sequential(nn.Linear(4, 3))
    ours.load_state_dict(theirs.state_dict())
    want = tq.quantize_dynamic(theirs, {torch.nn.Linear: qconfig})[0].weight().int_repr().numpy()
    got = qrnn.quantize_dynamic(ours, {nn.Linear: qconfig}, engine="fbgemm")[0].weight().int_repr()
    assert np.array_equal(got, want)


def test_hooks_that_end_are_told_of(quiet):
    prepared = qrnn.prepare(nn.Sequential(nn.Linear(2, 2)), qconfig={}, inplace=False)
    prepared[0].register_forward_hook(lambda *_: None)
    with pytest.warns(UserWarning, match="0: its hooks are not kept"):
        qrnn.convert(prepared)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_subclass_and_its_base_in_one_spec(reverse):
    """Each goes by its own type, in whatever order they are named; a subclass that is not named goes by its base."""

    class Mine(nn.Linear):
        pass

    class Other(nn.Linear):
        pass

    model = nn.Sequential(nn.Linear(3, 3), Mine(3, 3), Other(3, 3))
    for chosen, want in (
        ({nn.Linear: None, Mine: q.default_dynamic_qconfig}, [False, True, False]),
        ({nn.Linear: q.default_dynamic_qconfig, Mine: None}, [True, False, True]),
        ({Mine: q.default_dynamic_qconfig}, [False, True, False]),
        ({Mine: None, Other: q.default_dynamic_qconfig}, [False, False, True]),
    ):
        spec = dict(reversed(chosen.items())) if reverse else chosen
        assert [isinstance(each, qrnn.Linear) for each in qrnn.quantize_dynamic(model, spec)] == want
    scales = [state.shape for state in per_type_scales(model, Mine, reverse)]
    assert scales == [(3,), (), (3,)]


def per_type_scales(model, cls, reverse):
    """Scales of the three layers where Linear's are a row's and those of `cls` a tensor's."""
    spec = {nn.Linear: q.per_channel_dynamic_qconfig, cls: q.default_dynamic_qconfig}
    spec = dict(reversed(spec.items())) if reverse else spec
    new = qrnn.quantize_dynamic(model, spec, engine="fbgemm")
    return [each.state_dict()["weight_scale"] for each in new]
