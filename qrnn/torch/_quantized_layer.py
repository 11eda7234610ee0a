"""The base of all quantized layers: plain tensors as buffers, and the core's module packed from them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from copy import deepcopy
from types import MappingProxyType
from typing import Any, ClassVar, NoReturn, TypeVar

import numpy as np
import torch

from .. import _arrays, _config, _core
from .._belongs import belongs
from .._calibration_report import forget_report
from .._computed import NOTHING_COMPUTED, Computed, computed_weights
from .._defaults import expect_defaults
from .._described import FORMAT, Described, encoded, precisions_shown
from .._matrices import FLOAT, Matrix, float_matrices, pack, precisions
from .._own import float_module_adds, module_adds
from .._precision import quantize_matrices
from .._preparation import without_trial
from .._qtensor import replaced
from .._spec import LayerSpec, module_spec
from .._types import dtype as _dtype
from . import _torch_ao
from ._loading import LayerEntries, load_the_rest, mark_codes, without_mark
from ._members import copy_members, plain_names, take_members
from ._modules import NotScripted, copy_hooks, take_hooks
from ._packed import BufferCache
from ._qtensor import QTensor
from ._random import new_matrices
from ._shape import plain_of, spec_of

__all__ = ["QuantizedLayer"]

Q = TypeVar("Q", bound="QuantizedLayer")


class QuantizedLayer(NotScripted, Described, torch.nn.Module):
    """A layer with int8 weights whose inputs are quantized in each call.

    Codes, scales and biases are buffers under PyTorch's parameter names. The core's packed module is made
    from them when a call needs it, and again when a buffer is replaced or its count of changes in place differs.
    Changes that PyTorch does not count, of ``buffer.data`` or of memory shared with an array, are not noticed.
    """

    #: The class of ``torch.nn``; the decorator ``quantizes`` sets it. The class of ``torch.ao`` has the same name.
    _float_type: ClassVar[type[torch.nn.Module]]

    _spec: LayerSpec
    _engine: str
    _precisions: Mapping[str, str] = MappingProxyType({})  # an attribute of each layer instead of the property
    _isa: str | None
    _names: tuple[tuple[str, str | None, str | None], ...]  # of weight, scale and bias of each matrix
    _packed: BufferCache[_core.Module]

    def _repr_html_(self) -> str:
        """For Jupyter: a line that unfolds into the weights."""
        from .._contents import contents
        from .._module_html import shown

        return shown(self, lambda module: (), contents)

    # ---- making one

    def _fill(self, spec: LayerSpec, engine: str | None, isa: str | None) -> None:
        """Hold new weights, uniform, from PyTorch's generator."""
        for name, value in spec.variant_options.items():  # layers of torch.nn have none
            raise ValueError(
                f"{name}: expected its default, as layers of qrnn.torch have no such option, got {value!r}"
            )
        engine, isa = _config.resolve_engine(engine), _config.resolve_isa(isa)
        self._hold(spec, engine, isa, quantize_matrices(spec, new_matrices(spec), engine))

    @classmethod
    def _replacing(
        cls: type[Q],
        mod: torch.nn.Module,
        spec: LayerSpec,
        engine: str,
        isa: str | None,
        matrices: list[Matrix],
        computed: Computed = NOTHING_COMPUTED,
    ) -> Q:
        """A module with given weights to replace `mod`, whose hooks, mode and user's attributes it takes over.

        The hooks of `computed` are no longer needed: `leave_hooks` drops them after the replacement.
        """
        new = cls.__new__(cls)
        torch.nn.Module.__init__(new)
        new._hold(spec, engine, isa, matrices)
        new.training = bool(mod.training)
        take_hooks(new, mod, computed.hooks)
        if isinstance(mod, cls._float_type):
            take_members(new, mod, plain_names(cls._float_type, {*new._weight_names(), *computed.sources}))
        return new

    def _hold(self, spec: LayerSpec, engine: str, isa: str | None, matrices: list[Matrix]) -> None:
        """Hold `matrices`, checked by packing them."""
        self._engine, self._isa = engine, isa
        self._precisions = precisions((each.weight for each in spec.matrices), matrices, engine)
        self._describe(spec)
        self._set_buffers(matrices)
        self._packed.get(self)

    def _describe(self, spec: LayerSpec) -> None:
        self._spec = spec
        floats = {weight for weight, format in self._precisions.items() if format == FLOAT}
        scales = [None if each.weight in floats else each.scale for each in spec.matrices]
        self._names = tuple((each.weight, scale, each.bias) for each, scale in zip(spec.matrices, scales, strict=True))
        self._packed = BufferCache()

    def _set_buffers(self, matrices: list[Matrix]) -> None:
        """Put `matrices` into new buffers, weights before biases; the old tensors do not change."""
        forget_report(self)
        values: dict[str, Any] = {}
        for (weight, scale, _), matrix in zip(self._names, matrices, strict=True):
            values[weight] = matrix.weight
            if scale is not None:
                values[scale] = matrix.scale
        for (_, _, bias), matrix in zip(self._names, matrices, strict=True):
            if bias is not None:
                values[bias] = matrix.bias
        for name, value in values.items():
            tensor = None if value is None else torch.from_numpy(np.array(value))
            self._buffers[name] = tensor
            self._non_persistent_buffers_set.discard(name)

    # ---- the packed module

    def _matrices(self) -> list[Matrix]:
        """The buffers as checked arrays over their memory."""
        matrices = []
        for each in self._spec.matrices:
            value, format = self._buffers[each.weight], self._precisions.get(each.weight)
            bias: Any = None if each.bias is None else self._buffers[each.bias]
            bias = None if bias is None else _arrays.to_weight(bias, str(each.bias), (each.rows,))
            if format == FLOAT:
                matrices.append(Matrix(_arrays.to_weight(value, each.weight, each.shape), None, bias))
                continue
            scale = _arrays.to_scale(self._buffers[each.scale], each.scale, each.rows)
            matrices.append(Matrix(_arrays.to_codes(value, each.weight, each.shape), scale, bias, format))
        return matrices

    def _pack(self) -> _core.Module:
        """The core's module for the current buffers; `_packed` keeps it."""
        return pack(self._spec, self._engine, _config.resolve_isa(self._isa), self._matrices())

    def _weight_names(self) -> list[str]:
        """The names of the buffers from which the core's module is made; a subclass may have more buffers."""
        return [name for names in self._names for name in names if name]

    def _tensors(self) -> tuple[list[Any], list[Any], list[Any]]:
        """Weights, scales (None for floats) and biases (or None) in the core's order."""
        buffers = self._buffers
        weights = [buffers[weight] for weight, _, _ in self._names]
        scales = [None if scale is None else buffers[scale] for _, scale, _ in self._names]
        biases = [None if bias is None else buffers[bias] for _, _, bias in self._names]
        return weights, scales, biases

    def _apply(self, fn: Callable[[Any], Any], recurse: bool = True) -> Any:
        """Keep types and device of weights and scales in ``.half()``, ``.double()`` and ``.to()``."""
        buffers: Any = self._buffers
        before = [(name, buffers[name]) for name in self._weight_names() if buffers[name] is not None]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, old in before:
            if buffers[name].dtype != old.dtype or buffers[name].device != old.device:
                buffers[name] = old
        return self

    # ---- copies

    def __copy__(self: Q) -> Q:
        new = type(self).__new__(type(self))
        new.__dict__.update(self.__dict__)
        new._describe(self._spec)
        return new

    def __deepcopy__(self: Q, memo: dict[int, Any]) -> Q:
        new = type(self).__new__(type(self))
        memo[id(self)] = new
        new.__dict__.update(deepcopy(self.__dict__, memo))
        return new

    def __getstate__(self) -> dict[str, Any]:
        """The state for pickles: without the packed module, nor the instruction set, as another CPU may load it."""
        state = {**self.__dict__, "_shape": plain_of(self._spec), "_isa": None}
        for name in ("_spec", "_names", "_packed"):
            del state[name]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a state from `__getstate__` of this version or of 0.1.0."""
        state = {"_precisions": {}, **state}
        spec = spec_of(state.pop("_shape"))
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._describe(spec)

    # ---- from a float module

    @classmethod
    def from_float(
        cls: type[Q],
        mod: torch.nn.Module,
        use_precomputed_fake_quant: bool = False,
        *,
        engine: str | None = None,
        isa: str | None = None,
    ) -> Q:
        """Quantize a float module.

        Parameters
        ----------
        mod : torch.nn.Module
            A float module of the same kind, or a prepared one, which determines the engine. A subclass counts as
            its base if it adds nothing but a constructor. Its attribute ``qconfig``, of qrnn or PyTorch, says how
            weights are quantized; without one, or with None, by the engine's own rule. A weight that a hook computes
            from other parameters (``weight_norm``, ``prune``, your own) is computed as for a call in eval mode.
        use_precomputed_fake_quant : False
            An argument of PyTorch's function: ValueError for anything else.
        engine : str, optional
            Default: the current one, see ``qrnn.engine``.
        isa : str, optional
            Default: ``QRNN_ISA``, else the best.

        Returns
        -------
        quantized module
            A module of this class, with copies of the hooks of `mod`, except those that compute weights, and of
            the parameters, buffers, modules and attributes that a user set on it.

        Raises
        ------
        TypeError
            If `mod` is something else.
        ValueError
            If a weight is not finite (the text names it), a hook that computes one fails, or the qconfig asks for
            something other than symmetric int8.

        Examples
        --------
        >>> import torch, qrnn.torch
        >>> from qrnn.torch.nn.quantized.dynamic import RNNCell
        >>> RNNCell.from_float(torch.nn.RNNCell(4, 3))
        DynamicQuantizedRNNCell(4, 3)
        """
        expect_defaults(use_precomputed_fake_quant=use_precomputed_fake_quant)
        new = copy_hooks(without_trial(cls._from_float(mod, getattr(mod, "qconfig", None), engine, isa)))
        copy_members(new, new._weight_names())
        return new

    @classmethod
    def _from_float(cls: type[Q], mod: Any, qconfig: Any, engine: str | None, isa: str | None) -> Q:
        """`from_float` with `qconfig` instead of the module's own."""
        if not isinstance(mod, cls._float_type):
            cls._refuse(mod)
        prepared = getattr(mod, "_prepared", None)
        if prepared is not None:
            converted: Q = prepared.convert(mod, cls, qconfig, engine, isa)
            return converted
        adds = float_module_adds(mod, cls._float_type)
        if adds is not None:
            cls._refuse(mod, f"which {adds}")
        spec, engine = module_spec(cls._float_type.__name__, mod), _config.resolve_engine(engine)
        computed = computed_weights(mod, spec)
        matrices = quantize_matrices(spec, float_matrices(mod, spec, computed.values), engine, qconfig)
        return cls._replacing(mod, spec, engine, _config.resolve_isa(isa), matrices, computed)

    @classmethod
    def from_torch_ao(cls: type[Q], mod: torch.nn.Module, *, engine: str | None = None, isa: str | None = None) -> Q:
        """Convert a module of ``torch.ao.nn.quantized.dynamic``: codes, scales and biases stay the same.

        Parameters
        ----------
        mod : torch.nn.Module
            The module of the same name there, of dtype qint8 with zero points of 0.
        engine : str, optional
            Default: that of PyTorch's current ``torch.backends.quantized.engine``.
        isa : str, optional
            Default: ``QRNN_ISA``, else the best.

        Returns
        -------
        quantized module
            A module of this class, with copies of the hooks of `mod`.

        Raises
        ------
        TypeError
            If `mod` is something else.
        ValueError
            If its weights are of another type, it computes without PyTorch's reduced range, or `engine` or
            `isa` is unknown.
        """
        return copy_hooks(cls._from_torch_ao(mod, engine, isa))

    @classmethod
    def _from_torch_ao(cls: type[Q], mod: Any, engine: str | None, isa: str | None, base: type | None = None) -> Q:
        """`from_torch_ao`, to replace `mod`, an instance of `base`; default: the class of the same name there."""
        name = cls._float_type.__name__
        base = base or _torch_ao.class_of(mod, name)
        adds = None if base is None else module_adds(mod, base)
        if base is None or adds is not None:
            raise TypeError(
                f"mod: expected a torch.ao.nn.quantized.dynamic.{name}, got "
                f"{type(mod).__module__}.{type(mod).__qualname__}" + (f", which {adds}" if adds else "")
            )
        engine = _config.check_engine(_torch_ao.engine() if engine is None else engine)
        spec, matrices = _torch_ao.read(mod)
        return cls._replacing(mod, spec, engine, _config.resolve_isa(isa), matrices)

    @classmethod
    def _refuse(cls, mod: Any, why: str = "") -> NoReturn:
        got = f"{type(mod).__module__}.{type(mod).__qualname__}"
        raise TypeError(
            f"mod: {cls.__name__}.from_float takes a torch.nn.{cls._float_type.__name__}, got {got}"
            + (f", {why}" if why else "")
            + (belongs(mod) if not isinstance(mod, torch.nn.Module) else "")
        )

    # ---- weights

    def get_weight(self) -> dict[str, Any]:
        """The weights by name, each a `QTensor`; one that stays float is a float32 tensor."""
        return {weight: self._weight(weight) for weight, *_ in self._names}

    def get_bias(self) -> dict[str, torch.Tensor | None]:
        """The biases by name: float32 tensors, or None for those that do not exist."""
        return {bias: self._buffers[bias] for _, _, bias in self._names if bias is not None}

    def _weight(self, name: str) -> Any:
        value = self._buffers[name]
        return value if self._precisions.get(name) == FLOAT else QTensor(value, self._buffers[f"{name}_scale"])

    def _replace_all(self, weights: Mapping[str, Any], biases: Mapping[str, Any]) -> None:
        """Take other weights and biases of the same shapes; nothing changes if one does not fit."""
        matrices = replaced(self._spec, self._matrices(), weights, biases)
        pack(self._spec, self._engine, _config.resolve_isa(self._isa), matrices)
        self._spec = self._spec._replace(bias=matrices[0].bias is not None)
        self._set_buffers(matrices)

    # ---- state

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Save the buffers, and the description of the layer: `describe` in bytes."""
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + FORMAT] = torch.from_numpy(encoded(self.describe()))
        mark_codes(destination, prefix)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Load plain tensors, or what a module of ``torch.ao`` saved.

        As in PyTorch, existing entries are loaded even if others are missing or unexpected. An entry that does not
        fit, weight codes without scales or scales without codes, and a format of another layer are errors; then all
        weights, scales and biases stay as they are. What a subclass adds is loaded as PyTorch does. A Linear gets or
        loses its bias if the state has one or not, as in PyTorch.
        """
        before, free_bias = len(error_msgs), not self._spec.row.states
        names = [name for name in self._weight_names() if self._buffers[name] is not None or free_bias]
        entries = LayerEntries(self, self._spec, names, prefix, error_msgs)
        arguments = state_dict, prefix, without_mark(local_metadata), strict, missing_keys, unexpected_keys, error_msgs
        load_the_rest(self, entries, functools.partial(super()._load_from_state_dict, *arguments), missing_keys)
        tensors: dict[str, Any] = {**entries.tensors()}
        if free_bias and entries.without_bias and "weight" in tensors:
            tensors.setdefault("bias", None)
            missing_keys[:] = [key for key in missing_keys if key != f"{prefix}bias"]
        if len(error_msgs) <= before:  # errors of other modules do not prevent loading this one
            self._buffers.update(tensors)
            forget_report(self)
            if "bias" in tensors:
                self._describe(self._spec._replace(bias=tensors["bias"] is not None))
            entries.warn_if_silent()

    # ---- what it is

    def _options_shown(self) -> list[str]:
        return [*super()._options_shown(), *_config.engine_shown(self._engine), *precisions_shown(self._precisions)]

    def _get_name(self) -> str:
        return f"DynamicQuantized{self._float_type.__name__}"

    @property
    def engine(self) -> str:
        """The arithmetic; fixed when the module is made."""
        return self._engine

    @property
    def isa(self) -> str:
        """The instruction set that computes."""
        return str(self._packed.get(self).isa)

    @property
    def nbytes(self) -> int:
        """Memory of the packed weights."""
        return int(self._packed.get(self).nbytes)

    @property
    def weight_dtype(self) -> _dtype:
        """`qrnn.qint8`; `qrnn.float32` for a layer whose weights all stay float."""
        return self._weight_type()
