"""Layers whose matrices differ in precision, and the reference's units of the same float layers."""

from __future__ import annotations

import numpy as np

from qrnn import quantization as q
from support import reference as ref

#: QConfigs by the names of the tests; "8" is the engine's own.
QCONFIGS = {"8": q.engine_qconfig, "13": q.int13_dynamic_qconfig, "float": q.float_qconfig}
#: Layers of qrnn.nn with matrices of every kind: name, sizes, options.
LAYERS = [
    ("RNNCell", {"nonlinearity": "relu"}),
    ("LSTMCell", {}),
    ("GRUCell", {"bias": False}),
    ("GRUCell", {"reset_after": False}),
    ("RNN", {"num_layers": 2}),
    ("LSTM", {"num_layers": 2, "bidirectional": True}),
    ("LSTM", {"proj_size": 5, "bidirectional": True}),
    ("GRU", {"num_layers": 2, "batch_first": True}),
    ("GRU", {"reset_after": False}),
]


def drawn(rng, names):
    """Draw a precision, a key of QCONFIGS, for each of the names, so that every precision occurs."""
    kinds = list(QCONFIGS)
    return {name: kinds[(i + rng.integers(2)) % len(kinds)] for i, name in enumerate(names)}


def weights_of(layer):
    """Return the names of the weight matrices of a float layer of qrnn.nn or torch.nn."""
    return [name for name in layer.state_dict() if name.startswith("weight")]


def as_array(value):
    return np.asarray(value.detach() if hasattr(value, "detach") else value)


def reference_weight(weight, engine, precision):
    """Return the reference's weight for a float matrix in a layer of `engine`."""
    if precision == "float":
        return as_array(weight)
    quantized = ref.weight_qrnn(weight) if engine in ref.ROW_ENGINES else ref.weight_torch(weight, False)
    return quantized._replace(activations="qrnn13" if precision == "13" else None)


def reference_units(layer, kind, engine, chosen):
    """The reference's units of a float layer, [layers][directions], under the precisions `chosen` by name."""

    def unit(suffix):
        state = layer.state_dict()
        parts = {}
        for part in ("ih", "hh", "hr"):
            name = f"weight_{part}{suffix}"
            if name in state:
                parts[part] = reference_weight(as_array(state[name]), engine, chosen.get(name, "8"))
            if f"bias_{part}{suffix}" in state:
                parts[f"bias_{part}"] = as_array(state[f"bias_{part}{suffix}"])
        return ref.Unit(kind, engine, **parts)

    if not hasattr(layer, "num_layers") or "weight_ih" in layer.state_dict():
        return [[unit("")]]
    directions = ("", "_reverse")[: 2 if layer.bidirectional else 1]
    return [[unit(f"_l{i}{direction}") for direction in directions] for i in range(layer.num_layers)]
