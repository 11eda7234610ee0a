"""Reading what ``torch.ao.nn.quantized.dynamic`` made: its modules and its state dicts.

Its weights live in packed objects of C++, whose states hold the quantized weight and the bias. Nothing of
``torch.ao`` is imported: its classes are recognised by name, so that this works as long as there are any.
"""

from __future__ import annotations

from typing import Any

import torch

from ._qtensor import QTensor
from ._shape import Shape, rnn_kind

__all__ = ["engine", "is_a", "make_plain", "read"]

_PLACE = "torch.ao.nn.quantized.dynamic"
#: What a Linear and a cell save; layers save one entry for each unit.
_KEYS = (
    "scale",
    "zero_point",
    "_packed_params.dtype",
    "_packed_params._packed_params",
    "_packed_weight_ih",
    "_packed_weight_hh",
)
_KINDS = {"LSTM": "lstm", "LSTMCell": "lstm", "GRU": "gru", "GRUCell": "gru"}


def is_a(mod: Any, name: str | None = None) -> bool:
    """Whether `mod` is a dynamically quantized module of ``torch.ao``, of the class called `name`."""
    return any(
        each.__module__.startswith(_PLACE) and (name is None or each.__name__ == name) for each in type(mod).__mro__
    )


def engine() -> str:
    """The engine that computes as PyTorch's present one."""
    name = str(torch.backends.quantized.engine)
    if name == "none":
        raise ValueError("engine: PyTorch has none set here: give its name")
    return name


def read(mod: Any) -> tuple[Shape, dict[str, Any], dict[str, Any]]:
    """Shape, quantized weights by name and biases by name of a module of ``torch.ao``."""
    dtype = _dtype_of(mod)
    if dtype != torch.qint8:
        raise ValueError(f"mod: expected weights of torch.qint8, got {dtype}")
    shape = _shape_of(mod)
    entries = _entries(mod.state_dict(), "", shape)
    assert entries is not None
    weights = {each.weight: entries[each.weight] for each in shape.matrices()}
    biases = {each.bias: entries.get(each.bias) for each in shape.matrices() if each.bias}
    has_bias = any(bias is not None for bias in biases.values())
    return shape._replace(bias=has_bias), weights, biases


def _dtype_of(mod: Any) -> Any:
    """The type of its weights: a Linear, a cell and a layer each have a place for it."""
    if hasattr(mod, "_packed_params"):
        return mod._packed_params.dtype
    return mod.weight_dtype if hasattr(mod, "weight_dtype") else mod.dtype


def _shape_of(mod: Any) -> Shape:
    name = next(each.__name__ for each in type(mod).__mro__ if each.__module__.startswith(_PLACE))
    if name == "Linear":
        if mod.version is not None and mod.version < 4:
            raise ValueError("mod: expected one that reduces its range, as PyTorch since version 1.6 does")
        return Shape("linear", mod.in_features, mod.out_features)
    kind = _KINDS.get(name) or rnn_kind(mod.nonlinearity)
    sequence = None
    if hasattr(mod, "num_layers"):
        sequence = (mod.num_layers, 2 if mod.bidirectional else 1, mod.batch_first)
    dropout = float(getattr(mod, "dropout", 0.0))
    return Shape(kind, mod.input_size, mod.hidden_size, True, sequence, 0, dropout)


def make_plain(state: dict[str, Any], prefix: str, shape: Shape) -> None:
    """Put our entries in the place of those that ``torch.ao`` made, if there are any in a state dict.

    Texts of errors lack the prefix, but for the key of a KeyError.
    """
    quantized = _entries(state, prefix, shape)
    if quantized is None:
        return
    entries: dict[str, Any] = {}
    for each in shape.matrices():
        tensor = QTensor.of(quantized[each.weight], each.weight)
        entries[each.weight], entries[f"{each.weight}_scale"] = tensor.parts()
        if each.bias is not None and quantized[each.bias] is not None:
            entries[each.bias] = quantized[each.bias]
    for name in (*_KEYS, *(f"_all_weight_values.{i}.param" for i in range(len(shape.units())))):
        state.pop(prefix + name, None)
    state.update({prefix + name: value for name, value in entries.items()})


def _entries(state: Any, prefix: str, shape: Shape) -> dict[str, Any] | None:
    """Quantized weights and float biases by name; None if `state` is not of ``torch.ao``."""
    units = shape.units()
    if f"{prefix}_packed_params._packed_params" in state:
        weight, bias = state[f"{prefix}_packed_params._packed_params"]
        return {"weight": weight, "bias": bias}
    if f"{prefix}_packed_weight_ih" in state:
        packed = [[state[f"{prefix}_packed_weight_ih"], state[f"{prefix}_packed_weight_hh"]]]
    elif f"{prefix}_all_weight_values.0.param" in state:
        names = [f"_all_weight_values.{i}.param" for i in range(len(units))]
        packed = [_cell(state[prefix + name], name) for name in names]
    else:
        return None
    entries = {}
    for unit, objects in zip(units, packed, strict=True):
        for each, item in zip(unit, objects, strict=True):
            (weight, bias), _ = item.__getstate__()
            entries[each.weight], entries[str(each.bias)] = weight, bias
    return entries


def _cell(packed: Any, name: str) -> list[Any]:
    """The two packed products of one direction of a layer; `name` is for error texts."""
    (kind, _, _, flags, products), _ = packed.__getstate__()
    if kind != "quantized_dynamic":
        raise ValueError(f"{name}: expected weights of int8, got {kind}")
    if not flags or not flags[0]:
        raise ValueError(f"{name}: expected what reduces its range, as PyTorch's since version 1.6 does")
    return list(products)
