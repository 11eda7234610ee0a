"""What a user set on a torch layer: parameters, buffers, modules and attributes that a plain layer lacks."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable
from typing import Any

import torch

from ._modules import deep_copied

__all__ = ["copy_members", "plain_names", "take_members"]

#: Attributes of a module that hold its parts.
_PLACES = ("_parameters", "_buffers", "_modules")

#: Attributes that conversions of qrnn and PyTorch's parametrizations keep on a layer.
_KEPT = frozenset({"qconfig", "parametrizations", "_prepared", "_spec", "_names", "_packed", "_engine", "_isa"})
_KEPT |= {"_precisions", "_calibration", "_calibrated"}


def plain_names(float_type: Any, weights: Iterable[str]) -> frozenset[str]:
    """The names of everything that a plain layer has, float, prepared or quantized; `weights` names its weights."""
    return _attributes(float_type) | _KEPT | frozenset(weights)


@functools.cache
def _attributes(float_type: Any) -> frozenset[str]:
    return frozenset(vars(float_type(1, 1, device="meta")))


def take_members(new: torch.nn.Module, mod: torch.nn.Module, plain: Collection[str]) -> None:
    """Give `new` everything that a user set on `mod`, which it replaces: all that is not named in `plain`."""
    for place in _PLACES:
        vars(new)[place].update({name: value for name, value in vars(mod)[place].items() if name not in plain})
    new._non_persistent_buffers_set |= {name for name in mod._non_persistent_buffers_set if name not in plain}
    for name, value in vars(mod).items():
        if name not in plain:
            vars(new).setdefault(name, value)


def copy_members(new: torch.nn.Module, weights: Collection[str]) -> None:
    """Make `new` hold copies of the tensors and modules that a user set: all except its `weights`."""
    own = {place: {n: v for n, v in vars(new)[place].items() if n not in weights} for place in _PLACES}
    for place, values in deep_copied(own).items():
        vars(new)[place].update(values)
