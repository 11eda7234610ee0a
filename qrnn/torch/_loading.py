"""Loads the state dict of a quantized layer: its own entries, or those of a module of ``torch.ao``."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Protocol

import numpy as np
import torch

from .. import _arrays
from .._described import FORMAT, Described, differences, says_no_bias, says_nothing
from .._matrices import FLOAT
from .._spec import LayerSpec, MatrixSpec
from .._warn import warn
from . import _torch_ao

__all__ = ["FloatEntries", "LayerEntries", "load_the_rest", "mark_codes", "without_mark"]


#: The key in a layer's metadata that makes PyTorch use the tensors of a state themselves instead of copying values.
_ASSIGN = "assign_to_params_buffers"
#: Its value in states of quantized layers: true for PyTorch, and different from that of a caller's ``assign=True``.
_CODES = "codes"


def mark_codes(destination: Any, prefix: str) -> None:
    """Make PyTorch's float layers refuse the codes in the state `destination` instead of copying their values.

    An integer tensor cannot become a parameter with a gradient, so using it raises an error; copying would not.
    """
    metadata = getattr(destination, "_metadata", {}).get(prefix[:-1])
    if metadata is not None:
        metadata[_ASSIGN] = _CODES


def without_mark(metadata: Any) -> Any:
    """A layer's metadata without the mark of `mark_codes`, for layers that check each entry themselves."""
    return {key: value for key, value in metadata.items() if value != _CODES}


class Entries(Protocol):
    """The entries of a state dict for one layer that PyTorch must not load."""

    def take(self, state_dict: dict[str, Any]) -> None:
        """Take the entries out of `state_dict`; PyTorch loads the rest."""

    def keys(self) -> set[str]:
        """The keys that were taken."""


def load_the_rest(mod: torch.nn.Module, entries: Entries, load: Callable[[], None], missing_keys: list[str]) -> None:
    """Call `load`, which loads `mod`, without the entries that `entries` takes; these never count as missing."""
    # The last of the hooks, because others may rename keys.
    hook = mod._register_load_state_dict_pre_hook(lambda state, *_: entries.take(state))
    try:
        load()
    finally:
        hook.remove()
    taken = entries.keys()
    missing_keys[:] = [key for key in missing_keys if key not in taken]


def take_format(layer: Described, state_dict: dict[str, Any], prefix: str, errors: list[str]) -> str | None:
    """Take the description of `layer` out of a state, and note differences in `errors`; returns its key, or None."""
    key = prefix + FORMAT
    if key not in state_dict:
        return None
    errors += differences(layer, state_dict.pop(key), key)
    return key


class FloatEntries:
    """The entries of a float layer's state dict that PyTorch must not load: its format, and integers, such as codes.

    Parameters
    ----------
    layer : Described
    names : collection of str
        The float parameters.
    prefix : str
        The beginning of the layer's keys.
    errors : list of str
        A list to which everything that is wrong is added.
    """

    def __init__(self, layer: Described, names: Collection[str], prefix: str, errors: list[str]) -> None:
        self._layer, self._prefix, self._errors = layer, prefix, errors
        self._keys = [prefix + name for name in names]
        self._taken: set[str] = set()

    def take(self, state_dict: dict[str, Any]) -> None:
        """Take integers out of `state_dict`, so that they are not loaded, and note them as errors."""
        take_format(self._layer, state_dict, self._prefix, self._errors)
        for key in self._keys:
            value = state_dict.get(key)
            if isinstance(value, torch.Tensor) and not value.is_floating_point():
                self._errors.append(f"{key}: expected floating-point values, got {value.dtype}, as codes are")
                self._taken.add(key)
                del state_dict[key]

    def keys(self) -> set[str]:
        """The keys that were taken."""
        return self._taken


class LayerEntries:
    """The entries of a state dict for one quantized layer.

    Parameters
    ----------
    layer : Described
    spec : LayerSpec
        The layer's specification.
    names : collection of str
        The buffers to load.
    prefix : str
        The beginning of the layer's keys.
    errors : list of str
        A list to which everything that is wrong is added.
    """

    def __init__(
        self, layer: Described, spec: LayerSpec, names: Collection[str], prefix: str, errors: list[str]
    ) -> None:
        self._layer, self._spec, self._names, self._prefix, self._errors = layer, spec, names, prefix, errors
        self._taken: dict[str, Any] = {}
        self._silent = True
        #: Whether the state says that it has no biases.
        self.without_bias = False

    def take(self, state_dict: dict[str, Any]) -> None:
        """Take the layer's entries out of `state_dict`; PyTorch loads the rest."""
        try:
            self.without_bias = _torch_ao.make_plain(state_dict, self._prefix, self._spec)
        except KeyError as error:
            self._errors.append(f"{error.args[0]}: expected this key beside those of torch.ao, got no such key")
        except (TypeError, ValueError) as error:
            self._errors.append(f"{self._prefix}{error}")
        self.without_bias |= says_no_bias(state_dict.get(self._prefix + FORMAT))
        self._silent = take_format(self._layer, state_dict, self._prefix, self._errors) is None
        for name in self._names:
            if self._prefix + name in state_dict:
                self._taken[name] = state_dict.pop(self._prefix + name)

    def keys(self) -> set[str]:
        """The keys that were taken."""
        return {self._prefix + name for name in self._taken}

    def tensors(self) -> dict[str, torch.Tensor]:
        """The taken entries that fit, as new tensors by the names of buffers."""
        readers, tensors = self._readers(), {}
        for name, value in self._taken.items():
            read, expected = readers[name]
            try:
                tensors[name] = torch.from_numpy(np.array(read(value, self._prefix + name, expected)))
            except (TypeError, ValueError) as error:
                self._errors.append(str(error))
        self._expect_pairs()
        return tensors

    def warn_if_silent(self) -> None:
        """Warn if the state had weights but no description of their layer."""
        if self._silent and self._taken:
            warn(says_nothing([self._prefix + FORMAT]))

    def _readers(self) -> dict[str, tuple[Callable[..., Any], Any]]:
        """The function that reads each buffer, and the shape or size that it expects."""
        readers: dict[str, tuple[Callable[..., Any], Any]] = {}
        for each in self._spec.matrices:
            if self._stays_float(each):
                readers[each.weight] = (_to_floats, each.shape)
            else:
                readers[each.weight] = (_arrays.to_codes, each.shape)
                readers[each.scale] = (_arrays.to_scale, each.rows)
            if each.bias is not None:
                readers[each.bias] = (_to_floats, (each.rows,))
        return readers

    def _stays_float(self, matrix: MatrixSpec) -> bool:
        return self._layer._precisions.get(matrix.weight) == FLOAT

    def _expect_pairs(self) -> None:
        """Note weight codes without scales, and scales without codes."""
        for each in self._spec.matrices:
            if self._stays_float(each):
                continue
            pair = (each.weight, each.scale)
            given = [name for name in pair if name in self._taken]
            if len(given) == 1:
                both = " and ".join(self._prefix + name for name in pair)
                self._errors.append(f"{both}: expected both or neither, got {self._prefix}{given[0]} alone")


def _to_floats(value: Any, key: str, shape: tuple[int, ...]) -> Any:
    values = _arrays.to_weight(value, key, shape)
    _arrays.expect_finite(values, key)
    return values
