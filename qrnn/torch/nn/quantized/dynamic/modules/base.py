"""What every quantized layer shares: plain tensors as buffers, and the core's module packed from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, ClassVar, NoReturn

import numpy as np
import torch

from ...... import _arrays, _config, _quantize
from ......_types import dtype as _dtype
from ......_types import expect_qint8, qint8
from ......nn.modules.layer import Matrix, overrides
from ..... import _torch_ao
from ....._calls import pack, version_of
from ....._qtensor import QTensor
from ....._shape import Shape, shape_of

__all__ = ["HOOKS", "QuantizedLayer"]

#: Attributes of a module that hold its hooks; a module that takes another's place takes them over.
HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
)


class QuantizedLayer(torch.nn.Module):
    """A layer with int8 weights whose inputs are quantized in each call.

    Codes, scales and biases are buffers under PyTorch's parameter names. The core's packed module is made
    from them when a call needs it, and again when one of them is another tensor or counts a change in place.
    Changes that PyTorch does not count, of ``buffer.data`` or of memory shared with an array, go unseen.
    """

    #: Attributes of the float module that say what a call does; see `from_float`.
    _float_type: ClassVar[type[torch.nn.Module]]
    _torch_ao_type: ClassVar[str | None]

    _shape: Shape
    _engine: str
    _isa: str | None
    _names: tuple[tuple[str, str | None], ...]
    _packed: tuple[list[tuple[str, Any, int | None]], Any] | None

    # ---- making one

    def _fill(self, shape: Shape, dtype: Any, engine: Any, isa: Any) -> None:
        """The constructor: new weights of `shape`, uniform, from PyTorch's generator."""
        super().__init__()
        expect_qint8(dtype)
        engine, isa = _config.resolve_engine(engine), _config.resolve_isa(isa)
        bound, matrices = shape.bound, []
        for each in shape.matrices():
            weight = torch.empty(each.rows, each.columns).uniform_(-bound, bound).numpy()
            bias = None
            if shape.bias and each.bias is not None:
                bias = torch.empty(each.rows).uniform_(-bound, bound).numpy()
            codes, scale = _quantize.quantize_weight(weight, each.weight, engine)
            matrices.append(Matrix(codes, scale, bias))
        self._install(shape, engine, isa, matrices)

    @classmethod
    def _of(cls, shape: Shape, engine: str, isa: str | None, matrices: list[Matrix], mod: Any) -> Any:
        """A module of given weights in the place of `mod`, whose hooks and mode it takes over.

        The hooks are not copied: what registering one returned still removes it.
        """
        new = cls.__new__(cls)
        torch.nn.Module.__init__(new)
        new._install(shape, engine, isa, matrices)
        new.training = bool(mod.training)
        for name in HOOKS:
            new.__dict__[name] = mod.__dict__[name]
        return new

    def _beside(self) -> Any:
        """This module with hooks of its own, for a module that stays in use beside the one it was made of."""
        for name in HOOKS:
            self.__dict__[name] = self.__dict__[name].copy()
        return self

    def _install(self, shape: Shape, engine: str, isa: str | None, matrices: list[Matrix]) -> None:
        self._shape, self._engine, self._isa = shape, engine, isa
        self._names = tuple((each.weight, each.bias) for each in shape.matrices())
        self._packed = None
        self._set_buffers(matrices)
        self._module()

    def _set_buffers(self, matrices: list[Matrix]) -> None:
        """Put `matrices` into new buffers, weights before biases; tensors that were taken out stay as they are."""
        values: dict[str, Any] = {}
        for (name, _), matrix in zip(self._names, matrices, strict=True):
            values[name], values[f"{name}_scale"] = matrix.weight, matrix.scale
        for (_, bias), matrix in zip(self._names, matrices, strict=True):
            if bias is not None:
                values[bias] = matrix.bias
        for name, value in values.items():
            tensor = None if value is None else torch.from_numpy(np.array(value))
            self._buffers[name] = tensor
            self._non_persistent_buffers_set.discard(name)

    # ---- the packed module

    def _matrices(self) -> list[Matrix]:
        """The buffers as arrays over their memory; checked."""
        matrices = []
        for each in self._shape.matrices():
            weight, scale = self._buffers[each.weight], self._buffers[f"{each.weight}_scale"]
            bias = None if each.bias is None else self._buffers[each.bias]
            codes = _arrays.to_codes(weight, each.weight, (each.rows, each.columns))
            matrices.append(
                Matrix(
                    codes,
                    _arrays.to_scale(scale, f"{each.weight}_scale", each.rows),
                    None if bias is None else _arrays.to_weight(bias, str(each.bias), (each.rows,)),
                )
            )
        return matrices

    def _module(self) -> Any:
        """The core's module of the present buffers.

        What it was made of is kept with it, in one attribute: another thread could come between two.
        """
        buffers: Any = self._buffers
        if self._packed is not None:
            watch, packed = self._packed
            for name, tensor, version in watch:
                if buffers[name] is not tensor or (version is not None and tensor._version != version):
                    break
            else:
                return packed
        held = [(name, buffers[name]) for name in self._own() if buffers[name] is not None]
        watch = [(name, tensor, version_of(tensor)) for name, tensor in held]
        packed = pack(self._shape.kind, self._engine, self._isa, self._matrices(), self._shape.sequence)
        self._packed = watch, packed
        return packed

    def _own(self) -> list[str]:
        """Names of the buffers that the core's module is made of; a subclass may have others."""
        return [each for name, bias in self._names for each in (name, f"{name}_scale", bias) if each]

    def _tensors(self) -> tuple[list[Any], list[Any], list[Any]]:
        """Weights, scales and biases (or None) in the core's order."""
        buffers = self._buffers
        weights = [buffers[name] for name, _ in self._names]
        scales = [buffers[name + "_scale"] for name, _ in self._names]
        biases = [None if name is None else buffers[name] for _, name in self._names]
        return weights, scales, biases

    def _apply(self, fn: Callable[[Any], Any], recurse: bool = True) -> Any:
        """Weights and scales stay what they are, on the CPU: ``.half()``, ``.double()``, ``.to()``."""
        buffers: Any = self._buffers
        before = [(name, buffers[name]) for name in self._own() if buffers[name] is not None]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, old in before:
            if buffers[name].dtype != old.dtype or buffers[name].device != old.device:
                buffers[name] = old
        return self

    # ---- copies

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        new = type(self).__new__(type(self))
        memo[id(self)] = new
        new.__dict__.update(deepcopy({**self.__dict__, "_packed": None}, memo))
        return new

    def __getstate__(self) -> dict[str, Any]:
        """What pickle keeps: all but the packed module and, as pickles travel, the instruction set."""
        return {**self.__dict__, "_packed": None, "_isa": None}

    # ---- from a float module

    @classmethod
    def from_float(
        cls,
        mod: torch.nn.Module,
        use_precomputed_fake_quant: bool = False,
        *,
        engine: str | None = None,
        isa: str | None = None,
    ) -> Any:
        """Quantize a float module.

        Parameters
        ----------
        mod : torch.nn.Module
            The float module of the same kind, or a prepared one, which brings its engine along. A subclass
            that overrides neither ``forward`` nor ``__call__`` counts as its base. Its attribute
            ``qconfig``, ours or PyTorch's, says how weights are quantized; where it has none or None, the
            engine's own rule is taken.
        use_precomputed_fake_quant : bool
            PyTorch's; not used.
        engine : str, optional
            Default: the current one, see ``qrnn.engine``.
        isa : str, optional
            Default: ``QRNN_ISA``, else the best.

        Returns
        -------
        quantized module
            Of this class, with a copy of the hooks of `mod`.

        Raises
        ------
        TypeError
            If `mod` is something else.
        ValueError
            If a weight is not finite (naming it), or the qconfig asks for something else than symmetric
            int8.

        Examples
        --------
        >>> import torch, qrnn.torch
        >>> from qrnn.torch.nn.quantized.dynamic import RNNCell
        >>> RNNCell.from_float(torch.nn.RNNCell(4, 3))
        DynamicQuantizedRNNCell(4, 3)
        """
        return cls._from_float(mod, getattr(mod, "qconfig", None), engine, isa)._beside()

    @classmethod
    def _from_float(cls, mod: Any, qconfig: Any, engine: str | None, isa: str | None) -> Any:
        """`from_float` under `qconfig`, whatever the module's own is."""
        if not isinstance(mod, cls._float_type):
            cls._refuse(mod)
        prepared = getattr(mod, "_prepared", None)
        if prepared is not None:
            return prepared.convert(mod, cls, qconfig, engine, isa)
        if overrides_call(mod, cls._float_type):
            cls._refuse(mod, "which overrides forward or __call__")
        shape, engine = shape_of(mod), _config.resolve_engine(engine)
        matrices = []
        for name, weight, bias in float_matrices(mod, shape):
            codes, scale = _quantize.quantize_weight(weight, name, engine, qconfig)
            matrices.append(Matrix(codes, scale, bias))
        return cls._of(shape, engine, _config.resolve_isa(isa), matrices, mod)

    @classmethod
    def from_torch_ao(cls, mod: torch.nn.Module, *, engine: str | None = None, isa: str | None = None) -> Any:
        """Take over a module of ``torch.ao.nn.quantized.dynamic``: its codes, scales and biases.

        Parameters
        ----------
        mod : torch.nn.Module
            The module of the same name there, of dtype qint8 with zero points of 0.
        engine : str, optional
            Default: the one of PyTorch's present ``torch.backends.quantized.engine``.
        isa : str, optional
            Default: ``QRNN_ISA``, else the best.

        Returns
        -------
        quantized module
            Of this class, with a copy of the hooks of `mod`.

        Raises
        ------
        TypeError
            If `mod` is something else.
        ValueError
            If its weights are of another type, it computes without PyTorch's reduced range, or `engine` or
            `isa` is unknown.
        """
        return cls._from_torch_ao(mod, engine, isa)._beside()

    @classmethod
    def _from_torch_ao(cls, mod: Any, engine: str | None, isa: str | None) -> Any:
        """`from_torch_ao`, in the place of `mod`."""
        if cls._torch_ao_type is None or not _torch_ao.is_a(mod, cls._torch_ao_type):
            name = cls._torch_ao_type
            raise TypeError(
                f"mod: expected a torch.ao.nn.quantized.dynamic.{name}, got "
                f"{type(mod).__module__}.{type(mod).__qualname__}"
            )
        engine = _config.check_engine(_torch_ao.engine() if engine is None else engine)
        shape, qtensors, biases = _torch_ao.read(mod)
        matrices = []
        for each in shape.matrices():
            tensor = QTensor.of(qtensors[each.weight], each.weight)
            bias = None if each.bias is None else biases[each.bias]
            matrices.append(
                Matrix(tensor._codes, tensor._scale, None if bias is None else _arrays.to_float32(bias, "bias"))
            )
        return cls._of(shape, engine, _config.resolve_isa(isa), matrices, mod)

    @classmethod
    def _refuse(cls, mod: Any, why: str = "") -> NoReturn:
        got = f"{type(mod).__module__}.{type(mod).__qualname__}"
        raise TypeError(
            f"mod: {cls.__name__}.from_float takes a torch.nn.{cls._float_type.__name__}, got {got}"
            + (f", {why}" if why else "")
        )

    # ---- weights

    def get_weight(self) -> dict[str, QTensor]:
        """The weights by name, each a `QTensor`."""
        return {name: self._qtensor(name) for name, _ in self._names}

    def get_bias(self) -> dict[str, torch.Tensor | None]:
        """The biases by name: float32 tensors, or None where there are none."""
        return {name: self._buffers[name] for _, name in self._names if name is not None}

    def _qtensor(self, name: str) -> QTensor:
        return QTensor(self._buffers[name], self._buffers[f"{name}_scale"])

    def _replace_all(self, weights: Mapping[str, Any], biases: Mapping[str, Any]) -> None:
        """Take other weights and biases of the same shapes; nothing changes if one does not fit."""
        matrices = []
        for each in self._shape.matrices():
            tensor = QTensor.of(weights[each.weight], each.weight)
            if tensor.shape != (each.rows, each.columns):
                raise ValueError(f"{each.weight}: expected shape {(each.rows, each.columns)}, got {tensor.shape}")
            bias = None if each.bias is None else biases[each.bias]
            if bias is not None:
                bias = _arrays.to_weight(bias, str(each.bias), (each.rows,))
            matrices.append(Matrix(tensor._codes, tensor._scale, bias))
        given = {m.bias is not None for m, each in zip(matrices, self._shape.matrices()) if each.bias}
        if len(given) > 1:
            raise ValueError("biases: expected all given or all None")
        self._shape = self._shape._replace(bias=given.pop())
        self._set_buffers(matrices)

    # ---- state

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

        As in PyTorch, entries that are there are loaded whatever else is missing or unexpected. An entry that
        does not fit, or weight codes or scales without the other, is an error; weights, scales and biases all
        stay as they are then. What a subclass adds is loaded as PyTorch does.
        """
        before = len(error_msgs)
        taken: dict[str, Any] = {}

        def take(*_: Any) -> None:
            """Take our own entries out of `state_dict`: what is left there is PyTorch's to load."""
            try:
                _torch_ao.make_plain(state_dict, prefix, self._shape)
            except KeyError as error:
                error_msgs.append(f"{error.args[0]}: expected beside what torch.ao saved here, got no such key")
            except (TypeError, ValueError) as error:
                error_msgs.append(f"{prefix}{error}")
            for name in self._own():
                if self._buffers[name] is not None and prefix + name in state_dict:
                    taken[name] = state_dict.pop(prefix + name)

        hook = self._register_load_state_dict_pre_hook(take)  # type: ignore[no-untyped-call] # the last one: others may rename keys
        try:
            super()._load_from_state_dict(
                state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
            )
        finally:
            hook.remove()
        found = {prefix + name for name in taken}
        missing_keys[:] = [key for key in missing_keys if key not in found]
        checked = self._checked(taken, prefix, error_msgs)
        if len(error_msgs) <= before:  # those of other modules are no reason to leave this one as it is
            self._buffers.update(checked)

    def _checked(self, entries: dict[str, Any], prefix: str, errors: list[str]) -> dict[str, torch.Tensor]:
        """`entries` as new tensors of the right type and shape; what is wrong goes to `errors`."""
        checked: dict[str, torch.Tensor] = {}
        readers: dict[str, tuple[Callable[..., Any], Any]] = {}
        for each in self._shape.matrices():
            readers[each.weight] = (_arrays.to_codes, (each.rows, each.columns))
            readers[f"{each.weight}_scale"] = (_arrays.to_scale, each.rows)
            if each.bias is not None:
                readers[each.bias] = (_arrays.to_weight, (each.rows,))
        for name, value in entries.items():
            read, expected = readers[name]
            try:
                checked[name] = torch.from_numpy(np.array(read(value, prefix + name, expected)))
            except (TypeError, ValueError) as error:
                errors.append(str(error))
        for each in self._shape.matrices():
            pair = (each.weight, f"{each.weight}_scale")
            given = [name for name in pair if name in entries]
            if len(given) == 1:
                both = " and ".join(prefix + name for name in pair)
                errors.append(f"{both}: expected both or neither, got {prefix}{given[0]} alone")
        return checked

    # ---- what it is

    def _get_name(self) -> str:
        return f"DynamicQuantized{self._float_type.__name__}"

    @property
    def engine(self) -> str:
        """The arithmetic; fixed when the module is made."""
        return self._engine

    @property
    def isa(self) -> str:
        """The instruction set that computes."""
        return str(self._module().isa)

    @property
    def nbytes(self) -> int:
        """Memory of the packed weights."""
        return int(self._module().nbytes)

    @property
    def weight_dtype(self) -> _dtype:
        """`qrnn.qint8`."""
        return qint8


def overrides_call(mod: torch.nn.Module, base: type) -> bool:
    """Whether `mod`, an instance of `base`, says itself what a call does."""
    return overrides(type(mod), base) or "forward" in vars(mod)


def float_matrices(mod: torch.nn.Module, shape: Shape) -> list[tuple[str, Any, Any]]:
    """Name, float32 weight and float32 bias (or None) of each matrix of a float torch module."""
    found = []
    for each in shape.matrices():
        bias = getattr(mod, each.bias) if each.bias is not None and shape.bias else None
        found.append(
            (
                each.weight,
                _arrays.to_float32(getattr(mod, each.weight), each.weight),
                None if bias is None else _arrays.to_float32(bias, str(each.bias)),
            )
        )
    return found
