"""PyTorch's recurrent modules beside the reference's units. Needs PyTorch."""

from __future__ import annotations

import numpy as np
import torch
import torch.ao.nn.quantized.dynamic as tqd
from torch.ao.quantization import default_dynamic_qconfig, per_channel_dynamic_qconfig
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import support
from support import golden_vectors as golden
from support import reference as ref

f32 = np.float32
AVX512 = torch.backends.cpu.get_cpu_capability() == "AVX512"


def kind_of(module):
    """Return the reference's kind of a torch module."""
    name = type(module).__name__.replace("Cell", "").lower()
    return f"rnn_{module.nonlinearity}" if name == "rnn" else name


def _unit(module, engine, per_channel, suffix):
    def weight(name):
        w = getattr(module, name + suffix, None)
        if w is None:
            return None
        w = w.detach().numpy()
        if engine in ("float32", "float64"):
            return w
        return ref.weight_qrnn(w) if engine in ref.ROW_ENGINES else ref.weight_torch(w, per_channel)

    def bias(name):
        b = getattr(module, name + suffix, None) if module.bias else None
        return None if b is None else b.detach().numpy()

    names = ("weight_ih", "weight_hh"), ("bias_ih", "bias_hh")
    return ref.Unit(kind_of(module), engine, *map(weight, names[0]), *map(bias, names[1]), weight("weight_hr"))


def unit_of(cell, engine, per_channel=False):
    """The reference unit of a float torch cell, quantized by the engine's rule."""
    return _unit(cell, engine, per_channel, "")


def units_of(layer, engine, per_channel=False):
    """The reference units [layers][directions] of a float torch sequence module."""
    suffixes = ("", "_reverse") if layer.bidirectional else ("",)
    return [
        [_unit(layer, engine, per_channel, f"_l{n}{suffix}") for suffix in suffixes] for n in range(layer.num_layers)
    ]


def quantized(module, engine, per_channel=False):
    """torch.ao's module of a float one, cell or sequence."""
    torch.backends.quantized.engine = engine
    module.qconfig = per_channel_dynamic_qconfig if per_channel else default_dynamic_qconfig
    try:
        return getattr(tqd, type(module).__name__).from_float(module)
    finally:
        del module.qconfig


def packed_matrices(module):
    """PyTorch's packed ih and hh of every unit of a torch.ao module."""
    if isinstance(module, tqd.RNNCell | tqd.LSTMCell | tqd.GRUCell):
        return [(module._packed_weight_ih, module._packed_weight_hh)]
    return [tuple(values.param.__getstate__()[0][4]) for values in module._all_weight_values]


def torch_product(engine, packed, v):
    """PyTorch's quantized linear, as its recurrent modules call it."""
    torch.backends.quantized.engine = engine
    return torch.ops.quantized.linear_dynamic(torch.from_numpy(v), packed, True).numpy()


def assert_torch_product(engine, packed, v, weight, bias, acc, y, what=""):
    """Check that y has the bits of PyTorch's product. If oneDNN's last step differs here, it is redone from acc."""
    if engine == "onednn" and not AVX512:
        y = golden.onednn_avx2(acc, ref.activation(engine, v), weight, bias)
    support.assert_same_bits(y, torch_product(engine, packed, v), what)


def tensors(state):
    """Convert a state tuple to a torch module's form."""
    return None if state is None else support.as_hx(tuple(torch.from_numpy(v) for v in state))


def arrays(state):
    """Convert the result of a torch module to a tuple of arrays."""
    return tuple(v.detach().numpy() for v in support.as_tuple(state))


def run(layer, x, state=None, lengths=None):
    """Output and final states of a torch sequence module, time-major, with lengths as a PackedSequence."""
    if lengths is None:
        output, state = layer(torch.from_numpy(x), tensors(state))
        return output.detach().numpy(), arrays(state)
    packed = pack_padded_sequence(torch.from_numpy(x), torch.tensor(lengths), enforce_sorted=False)
    output, state = layer(packed, tensors(state))
    return pad_packed_sequence(output, total_length=len(x))[0].detach().numpy(), arrays(state)
