"""Prepared modules: trainable float modules that compute what their quantized ones will.

In training mode the forward of a prepared module quantizes weights, inputs and states to the grid of its engine, and
has a gradient (see ``_training``). In eval mode the engine itself computes, with plain codes, and the call is observed
for calibration. `Preparation.train` and `Preparation.observe` handle the two.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from .. import _config, _core, _preparation
from .._computed import computed_weights
from .._described import Described, precisions_shown
from .._matrices import Matrix, float_matrices, pack
from .._precision import dequantized
from .._public import public
from .._recording import recorded_call
from .._spec import LayerSpec, MatrixSpec, module_spec
from . import _training
from ._calls import array_of, as_node, call, call_linear, call_sequence, is_proxy, state_of
from ._checks import States, check_call, check_packed
from ._loading import FloatEntries, load_the_rest, without_mark
from ._members import plain_names, take_members
from ._modules import NotScripted, take_hooks
from ._packed import ValueCache
from ._packed_sequences import joined, permuted, run_packed
from ._quantized_layer import QuantizedLayer
from ._training import Direction, Product

__all__ = [
    "Preparation",
    "PreparedCell",
    "PreparedLayer",
    "PreparedLinearLayer",
    "PreparedSequence",
    "prepared_type",
]

_PLACE = "qrnn.torch.quantization.prepared"


@public(_PLACE)
class Preparation(_preparation.Preparation):
    """What a prepared module keeps for its conversion, and what it was converted to for its last calls.

    A module is either calibrated or trained. A call in eval mode is observed, and `convert` rounds the weights by what
    was seen. A call in training mode is quantization-aware training of plain codes: it drops the observations and ends
    observing (until ``enable_observer``), and `convert` rounds plainly, so that it changes no bit of what eval mode
    computes. Statistics are also dropped if the weights have changed since in any other way.

    Examples
    --------
    >>> import torch, qrnn.torch as qnn
    >>> qnn.prepare(torch.nn.GRU(4, 3), qconfig={}, engine="qrnn13")._prepared.engine
    'qrnn13'
    """

    def __init__(self, engine: str, isa: str | None, original: list[Matrix] | None) -> None:
        super().__init__(engine, isa, original)
        self._packed: ValueCache[_core.Module] = ValueCache()
        self._float: ValueCache[_core.Module] = ValueCache()
        self._codes: ValueCache[Matrix] = ValueCache()

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        return {name: state[name] for name in ("engine", "isa", "original", "statistics")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({**state, "_packed": ValueCache(), "_float": ValueCache(), "_codes": ValueCache()})

    def observe(self, mod: PreparedLayer, input: Any, hx: Any = None, lengths: Any = None) -> None:
        """Observe a call in eval mode, which the engine has computed: the float layer is called with the same input."""
        if not self.statistics.enabled:
            return
        matrices = float_matrices(mod, mod._spec)

        def make() -> _core.Module:
            self.statistics.belong_to(_digest(matrices))
            return pack(mod._spec, "float32", _config.resolve_isa(self.isa), matrices)

        packed = self._float.get(None, [array for matrix in matrices for array in matrix], make)
        given: dict[str, Any] = {} if hx is None else {"hx": state_of(hx)}
        if lengths is not None:
            given["lengths"] = array_of(lengths, "lengths") if isinstance(lengths, torch.Tensor) else lengths
        recorded_call(packed, self.statistics, (array_of(input, "input"),), given)

    def train(self) -> None:
        """Note a call in training mode: drop the observations, because the weights will change."""
        if self.statistics.enabled:
            self.statistics.forget()
            self.statistics.enabled = False

    def matrices(self, mod: PreparedLayer, qconfig: Any, computed: Mapping[str, Any] = MappingProxyType({})) -> Any:
        """The current matrices of `mod`, or those in `computed`, quantized."""
        spec, matrices = mod._spec, []
        for index, matrix in enumerate(float_matrices(mod, spec, computed)):
            make = functools.partial(self._quantized, index, spec.matrices[index].weight, matrix, qconfig)
            # The next step of a cell uses the same weights.
            quantized = self._codes.get(index, (qconfig, matrix.weight), make)
            matrices.append(quantized._replace(bias=matrix.bias))
        return matrices

    def _quantized(self, index: int, name: str, matrix: Matrix, qconfig: Any) -> Matrix:
        return self.plain(index, name, matrix, qconfig)[0]

    def convert(
        self, mod: PreparedLayer, cls: type[QuantizedLayer], qconfig: Any, engine: str | None, isa: str | None
    ) -> Any:
        """The quantized module, of type `cls`, that the prepared `mod` becomes."""
        self.expect_engine(engine)
        isa, computed = _config.resolve_isa(isa or self.isa), computed_weights(mod, mod._spec)
        floats = float_matrices(mod, mod._spec, computed.values)
        self.statistics.belong_to(_digest(floats))
        matrices, attributes = self.rounded(mod._spec, floats, qconfig, isa)
        new = cls._replacing(mod, mod._spec, self.engine, isa, matrices, computed)
        new.__dict__.update(attributes)
        return new

    def packed_module(self, mod: PreparedLayer) -> _core.Module:
        """The core's module for `mod` if it were converted now."""
        spec, qconfig = mod._spec, mod.qconfig
        arrays = [array for matrix in float_matrices(mod, spec) for array in matrix]

        def make() -> _core.Module:
            return pack(spec, self.engine, _config.resolve_isa(self.isa), self.matrices(mod, qconfig))

        return self._packed.get(None, (qconfig, *arrays), make)


def _digest(matrices: list[Matrix]) -> bytes:
    """A digest of the values of float matrices."""
    digest = hashlib.blake2b(digest_size=16)
    for matrix in matrices:
        for array in (matrix.weight, matrix.bias):
            if array is not None:
                digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()


class PreparedLayer(NotScripted, Described, torch.nn.Module):
    """A float module that ``prepare`` inserts and ``convert`` quantizes.

    Examples
    --------
    >>> import torch, qrnn.torch as qnn
    >>> layer = qnn.prepare(torch.nn.GRU(4, 3), qconfig={})
    >>> from qrnn.torch.quantization.prepared import PreparedLayer
    >>> isinstance(layer, PreparedLayer)
    True
    """

    _float_type: ClassVar[type[torch.nn.Module]]
    _prepared: Preparation
    qconfig: Any

    @classmethod
    def _prepare(cls, mod: Any, qconfig: Any, engine: str | None, isa: str | None) -> PreparedLayer:
        """Prepare `mod`: a float module, whose parameters are kept, or a quantized one, whose engine is kept."""
        new, original = cls.__new__(cls), None
        if isinstance(mod, QuantizedLayer):
            original = [m.copied() for m in mod._matrices()]
            new.__dict__.update(vars(_float_module(cls._float_type, mod._spec, original)))
            new.training = mod.training
            take_hooks(new, mod)
            take_members(new, mod, plain_names(cls._float_type, mod._weight_names()))
            engine, isa = engine or mod.engine, isa or mod._isa
        else:
            new.__dict__.update(vars(mod))
        new._prepared = Preparation(_config.resolve_engine(engine), isa, original)
        _core.check_engine(new._spec.kind, new._spec.proj_size, new._prepared.engine)
        new.qconfig = qconfig
        new._prepared.observe_as(new._spec, qconfig)
        return new

    @property
    def _spec(self) -> LayerSpec:
        return module_spec(self._float_type.__name__, self)

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
        """Load as PyTorch does, except integers, such as codes: these are errors with any `strict`."""
        names = [name for name, each in self._parameters.items() if each is not None and each.is_floating_point()]
        entries = FloatEntries(self, names, prefix, error_msgs)
        arguments = state_dict, prefix, without_mark(local_metadata), strict, missing_keys, unexpected_keys, error_msgs
        load_the_rest(self, entries, functools.partial(super()._load_from_state_dict, *arguments), missing_keys)

    def _expect_computing(self) -> None:
        """Raise RuntimeError in ``torch.jit.trace`` and ``torch.export``: these would record this call's values."""
        if torch.compiler.is_dynamo_compiling():  # it leaves the call to Python
            return
        if torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None:
            raise RuntimeError(
                f"{type(self).__name__} cannot be traced or exported, as its weights may change: convert the "
                "model first"
            )

    def _directions(self) -> list[list[Product]]:
        """The products of each layer in each direction, with fake-quantized weights."""
        matrices = iter(self._prepared.matrices(self, self.qconfig))
        return [[self._product(each, next(matrices)) for each in direction] for direction in self._spec.directions]

    def _product(self, each: MatrixSpec, matrix: Matrix) -> Product:
        weight = getattr(self, each.weight)
        if matrix.scale is not None:
            weight = _training.weight(weight, matrix.weight, np.asarray(matrix.scale))
        bias = None if matrix.bias is None else getattr(self, str(each.bias))
        return Product(weight, bias, matrix.seen_by(self._prepared.engine))

    def extra_repr(self) -> str:
        own = precisions_shown(self._prepared.precisions(self._spec, self.qconfig))
        return ", ".join([f"{super().extra_repr()}, engine={self._prepared.engine}", *own])


def _float_module(float_type: Any, spec: LayerSpec, matrices: list[Matrix]) -> torch.nn.Module:
    """A float module whose weights are the values of the quantized `matrices`."""
    keywords: dict[str, Any] = {"bias": spec.bias, "device": "meta", **spec.options}
    if spec.sequence is not None:
        layers, directions, batch_first = spec.sequence
        keywords.update(num_layers=layers, bidirectional=directions == 2, batch_first=batch_first)
        keywords.update(dropout=spec.dropout)
        if spec.proj_size:
            keywords["proj_size"] = spec.proj_size
    mod: torch.nn.Module = float_type(spec.input_size, spec.hidden_size, **keywords)
    for each, matrix in zip(spec.matrices, matrices, strict=True):
        values = {each.weight: np.array(dequantized(matrix).weight)}
        if each.bias is not None and matrix.bias is not None:
            values[each.bias] = matrix.bias.copy()
        for name, value in values.items():
            setattr(mod, name, torch.nn.Parameter(torch.from_numpy(value)))
    return mod


class PreparedLinearLayer(PreparedLayer):
    """The prepared form of a Linear."""

    def forward(self, input: Any) -> Any:
        """As ``torch.nn.Linear``."""
        if is_proxy(input):
            return as_node(self, input)
        self._expect_computing()
        if not self.training:
            result = call_linear(self._prepared.packed_module(self), input)
            self._prepared.observe(self, input)
            return result
        self._prepared.train()
        check_call(self._spec, self._prepared.engine, input)
        ((product,),) = self._directions()
        return _training.run_linear(product, input)


class PreparedCell(PreparedLayer):
    """The prepared form of a cell."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        """As the float cell."""
        if is_proxy(input):
            return as_node(self, input, hx)
        self._expect_computing()
        if not self.training:
            result = call(self._prepared.packed_module(self), input, hx)
            self._prepared.observe(self, input, hx)
            return result
        self._prepared.train()
        state, _ = check_call(self._spec, self._prepared.engine, input, hx)
        (direction,) = self._directions()
        return _training.run_cell(self._spec, Direction(*direction), input, state)


class PreparedSequence(PreparedLayer):
    """The prepared form of a layer over sequences."""

    batch_first: bool
    bidirectional: bool

    def forward(self, input: Any, hx: Any = None, *, lengths: Any = None) -> Any:
        """As the float layer; `lengths` is as in the quantized one."""
        if is_proxy(input):
            return as_node(self, input, hx, lengths=lengths)
        self._expect_computing()
        spec = self._spec
        if isinstance(input, PackedSequence):
            if not self.training:
                return run_packed(self, spec, input, hx, lengths)
            self._prepared.train()
            state = check_packed(spec, input, hx, lengths)
            packed, last = self._train_packed(input, state)
            return packed, joined(spec, last)
        if not self.training:
            lengths = tuple(lengths) if isinstance(lengths, Iterator) else lengths  # an iterator can be read only once
            result = call_sequence(self._prepared.packed_module(self), input, hx, lengths)
            self._prepared.observe(self, input, hx, lengths)
            return result
        self._prepared.train()
        state, lengths = check_call(spec, self._prepared.engine, input, hx, lengths)
        if input.dim() == 3:
            output, last = self._train(input, state, lengths)
            return output, joined(spec, last)
        axis = 0 if self.batch_first else 1
        state = None if state is None else tuple(each.unsqueeze(1) for each in state)
        output, last = self._train(input.unsqueeze(axis), state, lengths)
        return output.squeeze(axis), joined(spec, tuple(each.squeeze(1) for each in last))

    def _train(self, input: Any, state: States | None, lengths: list[int] | None) -> tuple[Any, States]:
        """Output and last state of a batch."""
        rows, steps = input.shape[:2] if self.batch_first else input.shape[1::-1]
        if not lengths:
            data = input.transpose(0, 1) if self.batch_first else input
            output, last = self._train_rows(data.flatten(0, 1), [rows] * steps, state)
            output = output.unflatten(0, (steps, rows))
            return output.transpose(0, 1) if self.batch_first else output, last
        if not all(lengths):
            return self._train_some(input, state, lengths)
        packed = pack_padded_sequence(input, torch.tensor(lengths), self.batch_first, enforce_sorted=False)
        packed, last = self._train_packed(packed, state)
        output, _ = pad_packed_sequence(packed, self.batch_first, total_length=steps)
        return output, last

    def _train_some(self, input: Any, state: States | None, lengths: list[int]) -> tuple[Any, States]:
        """A batch with rows of length 0: their outputs are zeros, and their states stay."""
        axis = 0 if self.batch_first else 1
        state = self._zeros(input, len(lengths)) if state is None else state
        output = input.new_zeros(*input.shape[:2], (2 if self.bidirectional else 1) * self._spec.state_size)
        rows = torch.tensor([row for row, length in enumerate(lengths) if length], dtype=torch.long)
        if not len(rows):
            return output, state
        some = tuple(each.index_select(1, rows) for each in state)
        moved, last = self._train(input.index_select(axis, rows), some, list(filter(None, lengths)))
        output = output.to(moved.dtype).index_copy(axis, rows, moved)
        return output, tuple(each.index_copy(1, rows, new) for each, new in zip(state, last, strict=True))

    def _zeros(self, like: Any, batch: int) -> States:
        """The initial state of a call without one, of the type of `like`."""
        spec = self._spec
        widths = (spec.state_size, spec.hidden_size)[: spec.row.states]
        return tuple(like.new_zeros(len(spec.directions), batch, width) for width in widths)

    def _train_packed(self, packed: PackedSequence, state: States | None) -> tuple[PackedSequence, States]:
        data, sizes, order, back = packed
        output, last = self._train_rows(data, sizes.tolist(), permuted(state, order))
        return PackedSequence(output, sizes, order, back), permuted(last, back)

    def _train_rows(self, data: Any, sizes: list[int], state: States | None) -> tuple[Any, States]:
        """All steps; step t has `sizes[t]` rows."""
        spec = self._spec
        state = self._zeros(data, sizes[0]) if state is None else state
        directions = [Direction(*products) for products in self._directions()]
        return _training.run_layers(spec, directions, data, sizes, state)


def prepared_type(base: type[PreparedLayer], float_type: type[torch.nn.Module]) -> type[PreparedLayer]:
    """The class of prepared modules of `float_type`; pickles find it in the file that they name."""
    name = f"Prepared{float_type.__name__}"
    members = {"__doc__": f"A prepared {float_type.__name__}.", "__module__": _PLACE, "_float_type": float_type}
    return type(name, (base, float_type), members)
