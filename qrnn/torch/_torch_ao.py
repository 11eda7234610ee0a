"""Reads modules and state dicts of ``torch.ao.nn.quantized.dynamic``.

Its weights are in packed C++ objects, whose states hold the quantized weight and the bias. Nothing of ``torch.ao`` is
imported: its classes are recognized by name, so this works as long as they exist.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch

from .. import _arrays
from .._contents import Content
from .._mapping import TORCH_AO
from .._matrices import Matrix
from .._spec import ENGINES, KINDS, LayerSpec, module_spec
from ._qtensor import QTensor

__all__ = [
    "class_of",
    "engine",
    "has_state",
    "is_packed",
    "make_plain",
    "packed_contents",
    "packed_nbytes",
    "quantized_by_torch_ao",
    "read",
    "with_relu",
]

_FUSED = "torch.ao.nn.intrinsic.quantized.dynamic"
#: The keys that a Linear and a cell save; layers save one entry for each layer and direction.
_KEYS = (
    "scale",
    "zero_point",
    "_packed_params.dtype",
    "_packed_params._packed_params",
    "_packed_params.weight",
    "_packed_params.bias",
    "_packed_weight_ih",
    "_packed_weight_hh",
)


def class_of(mod: Any, name: str) -> type | None:
    """The class `name` of dynamically quantized modules in ``torch.ao``, if `mod` is an instance; else None."""
    classes = type(mod).__mro__
    return next((each for each in classes if each.__module__.startswith(TORCH_AO) and each.__name__ == name), None)


def has_state(mod: Any) -> bool:
    """Whether `mod` is a cell or a layer over sequences of ``torch.ao``, dynamically quantized."""
    families = {row.family for row in KINDS.values() if row.states}
    return any(class_of(mod, f"{family}{suffix}") for family in families for suffix in ("", "Cell"))


def with_relu(mod: Any) -> type | None:
    """The class of ``torch.ao`` for a fused Linear and ReLU, if `mod` is an instance; else None."""
    classes = type(mod).__mro__
    return next((c for c in classes if c.__module__.startswith(_FUSED) and c.__name__ == "LinearReLU"), None)


def engine() -> str:
    """The engine that computes like PyTorch's current one."""
    name = str(torch.backends.quantized.engine)
    if name == "none":
        raise ValueError("engine: PyTorch has none set here: give its name")
    return name


def read(mod: Any) -> tuple[LayerSpec, list[Matrix]]:
    """Spec and matrices of a module of ``torch.ao``."""
    dtype = _dtype_of(mod)
    if dtype != torch.qint8:
        raise ValueError(f"mod: expected weights of torch.qint8, got {dtype}")
    spec = _spec_of(mod)
    entries = _entries(mod.state_dict(), "", spec)
    assert entries is not None
    matrices = []
    for each in spec.matrices:
        tensor, bias = QTensor.of(entries[each.weight], each.weight), entries.get(each.bias) if each.bias else None
        bias = None if bias is None else _arrays.to_float32(bias, "bias")
        matrices.append(Matrix(tensor._codes, tensor._scale, bias))
    return spec._replace(bias=any(matrix.bias is not None for matrix in matrices)), matrices


def quantized_by_torch_ao(model: torch.nn.Module) -> torch.nn.Module | None:
    """A copy of a float model, quantized by ``torch.ao``; None if PyTorch no longer has that package."""
    quantization = getattr(getattr(torch, "ao", None), "quantization", None)
    if quantization is None:
        return None
    kinds = {getattr(torch.nn, name) for name in ("Linear", "LSTM", "GRU", "LSTMCell", "GRUCell", "RNNCell")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it announces its removal
        return quantization.quantize_dynamic(model, kinds)  # type: ignore[no-any-return]


def packed_nbytes(mod: Any) -> int:
    """The bytes of codes, scales and biases of a module of ``torch.ao``; 0 for any other."""
    matrices = read(mod)[1] if is_packed(mod) else ()
    return int(sum(array.nbytes for matrix in matrices for array in matrix[:3] if array is not None))


def packed_contents(mod: Any) -> list[Content]:
    """The int8 weights and the biases of a module of ``torch.ao``; empty for any other."""
    if not is_packed(mod) or _dtype_of(mod) != torch.qint8:
        return []
    spec, matrices = read(mod)
    name = str(torch.backends.quantized.engine)
    seen, found = ENGINES[name].activations if name in ENGINES else "u8", list[Content]()
    for each, matrix in zip(spec.matrices, matrices, strict=True):
        found.append(Content(each.weight, each.shape, "int8", seen))
        if each.bias is not None and matrix.bias is not None:
            found.append(Content(each.bias, each.shape[:1], "float32"))
    return found


def is_packed(mod: Any) -> bool:
    """Whether ``torch.ao`` keeps the weights of `mod` in C++ objects."""
    return has_state(mod) or class_of(mod, "Linear") is not None


def _dtype_of(mod: Any) -> Any:
    """The type of its weights, which a Linear, a cell and a layer keep in different places."""
    if hasattr(mod, "_packed_params"):
        return mod._packed_params.dtype
    return mod.weight_dtype if hasattr(mod, "weight_dtype") else mod.dtype


def _spec_of(mod: Any) -> LayerSpec:
    name = next(each.__name__ for each in type(mod).__mro__ if each.__module__.startswith(TORCH_AO))
    spec = module_spec(name, mod)
    if not spec.row.states and mod.version is not None and mod.version < 4:
        raise ValueError("mod: expected reduced ranges (reduce_range), as PyTorch has since version 1.6")
    return spec


def make_plain(state: dict[str, Any], prefix: str, spec: LayerSpec) -> bool:
    """Replace entries of ``torch.ao`` in a state dict by entries of qrnn; returns whether there were any.

    A bias does not count as such an entry. Error texts lack the prefix, except the key of a KeyError.
    """
    quantized = _entries(state, prefix, spec)
    if quantized is None:
        return False
    entries: dict[str, Any] = {}
    for each in spec.matrices:
        tensor = QTensor.of(quantized[each.weight], each.weight)
        entries[each.weight], entries[each.scale] = tensor.parts()
        if each.bias is not None and quantized[each.bias] is not None:
            entries[each.bias] = quantized[each.bias]
    for name in (*_KEYS, *(f"_all_weight_values.{i}.param" for i in range(len(spec.directions)))):
        state.pop(prefix + name, None)
    state.update({prefix + name: value for name, value in entries.items()})
    return all(quantized.get(each.bias) is None for each in spec.matrices if each.bias is not None)


def _entries(state: Any, prefix: str, spec: LayerSpec) -> dict[str, Any] | None:
    """Quantized weights and float biases by name; None if `state` does not come from ``torch.ao``."""
    if f"{prefix}_packed_params._packed_params" in state:
        weight, bias = state[f"{prefix}_packed_params._packed_params"]
        return {"weight": weight, "bias": bias}
    if f"{prefix}_packed_params.weight" in state:  # before version 1.6
        return {name: state[f"{prefix}_packed_params.{name}"] for name in ("weight", "bias")}
    if f"{prefix}_packed_weight_ih" in state:
        packed = [[state[f"{prefix}_packed_weight_ih"], state[f"{prefix}_packed_weight_hh"]]]
    elif f"{prefix}_all_weight_values.0.param" in state:
        names = [f"_all_weight_values.{i}.param" for i in range(len(spec.directions))]
        packed = [_products(state[prefix + name], name) for name in names]
    else:
        return None
    entries = {}
    for matrices, products in zip(spec.directions, packed, strict=True):
        for each, product in zip(matrices, products, strict=True):
            (weight, bias), _ = product.__getstate__()
            entries[each.weight], entries[str(each.bias)] = weight, bias
    return entries


def _products(packed: Any, name: str) -> list[Any]:
    """The two packed products of one direction of a layer; `name` is for error texts."""
    (kind, _, _, flags, products), _ = packed.__getstate__()
    if kind != "quantized_dynamic":
        raise ValueError(f"{name}: expected weights of int8, got {kind}")
    if not flags or not flags[0]:
        raise ValueError(f"{name}: expected reduced ranges (reduce_range), as PyTorch has since version 1.6")
    return list(products)
