"""Loading the state dict of a quantized layer: its own entries, or those of a module of ``torch.ao``."""

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


#: The key of a layer's metadata by which PyTorch takes the entries of a state themselves and copies no values.
_ASSIGN = "assign_to_params_buffers"
#: What it says in states of quantized layers: true to PyTorch, and not what a caller's ``assign=True`` puts there.
_CODES = "codes"


def mark_codes(destination: Any, prefix: str) -> None:
    """Have PyTorch's float layers refuse the codes in the state `destination`, whose values they would copy.

    An integer tensor cannot become a parameter with a gradient, so that taking it raises where copying does not.
    """
    metadata = getattr(destination, "_metadata", {}).get(prefix[:-1])
    if metadata is not None:
        metadata[_ASSIGN] = _CODES


def without_mark(metadata: Any) -> Any:
    """A layer's metadata without what `mark_codes` put there, for layers that look at each entry themselves."""
    return {key: value for key, value in metadata.items() if value != _CODES}


class Entries(Protocol):
    """What a state dict holds for one layer and PyTorch is not to load."""

    def take(self, state_dict: dict[str, Any]) -> None:
        """Take the entries out of `state_dict`; what is left there is PyTorch's to load."""

    def keys(self) -> set[str]:
        """The keys that were taken."""


def load_the_rest(mod: torch.nn.Module, entries: Entries, load: Callable[[], None], missing_keys: list[str]) -> None:
    """Have `load`, PyTorch's for `mod`, load what `entries` leaves; what they took is not missing."""
    # The last of the hooks, as others may rename keys.
    hook = mod._register_load_state_dict_pre_hook(lambda state, *_: entries.take(state))
    try:
        load()
    finally:
        hook.remove()
    taken = entries.keys()
    missing_keys[:] = [key for key in missing_keys if key not in taken]


def take_format(layer: Described, state_dict: dict[str, Any], prefix: str, errors: list[str]) -> str | None:
    """Take what a state says of `layer` out of it, and note in `errors` what differs; its key, or None."""
    key = prefix + FORMAT
    if key not in state_dict:
        return None
    errors += differences(layer, state_dict.pop(key), key)
    return key


class FloatEntries:
    """What a state dict holds for a float layer and is none of its values: integers, as codes are, and the format.

    Parameters
    ----------
    layer : Described
    names : collection of str
        The float parameters.
    prefix : str
        What the layer's keys begin with.
    errors : list of str
        Where everything that is wrong is noted.
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
    """What a state dict holds for one quantized layer.

    Parameters
    ----------
    layer : Described
    spec : LayerSpec
        The layer's.
    names : collection of str
        The buffers that are to be loaded.
    prefix : str
        What the layer's keys begin with.
    errors : list of str
        Where everything that is wrong is noted.
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
        """Take the layer's entries out of `state_dict`; what is left there is PyTorch's to load."""
        try:
            self.without_bias = _torch_ao.make_plain(state_dict, self._prefix, self._spec)
        except KeyError as error:
            self._errors.append(f"{error.args[0]}: expected beside what torch.ao saved here, got no such key")
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
        """What was taken and fits, as new tensors by the names of buffers."""
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
        """Warn if the state had weights and did not say what layer they are of."""
        if self._silent and self._taken:
            warn(says_nothing([self._prefix + FORMAT]))

    def _readers(self) -> dict[str, tuple[Callable[..., Any], Any]]:
        """What reads each buffer, and what that is told to expect."""
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
