"""Prepared modules: trainable float modules that compute what their quantized ones will.

In training mode a prepared module's forward quantizes weights, inputs and states to the grid of its engine
and has a gradient (`fake_quantize`). In eval mode the engine itself computes, as it will after ``convert``.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from ... import _config, _quantize
from ...nn.modules.layer import Form, Matrix
from ...nn.quantized.dynamic.modules.base import check_engine_has
from .._calls import call, call_linear, pack, raise_no_tensor
from .._checks import check_cell, check_lengths, check_linear, check_packed, check_sequence
from .._shape import Shape, shape_of
from ..nn.quantized.dynamic.modules.base import HOOKS, QuantizedLayer, float_matrices
from ..nn.quantized.dynamic.modules.rnn import joined, permuted, run_packed, run_sequence
from . import fake_quantize
from .fake_quantize import Unit

__all__ = [
    "Preparation",
    "PreparedGRU",
    "PreparedGRUCell",
    "PreparedLSTM",
    "PreparedLSTMCell",
    "PreparedLayer",
    "PreparedLinear",
    "PreparedRNN",
    "PreparedRNNCell",
]


class Preparation:
    """What a prepared module keeps for its conversion.

    Parameters
    ----------
    engine : str
        The engine of the module to be; fixed.
    isa : str or None
        Its instruction set; None: the default.
    original : list of Matrix or None
        The codes and scales that a quantized module had, to be given back for weights that did not change.
    """

    def __init__(self, engine: str, isa: str | None, original: list[Matrix] | None) -> None:
        self.engine, self.isa, self.original = engine, isa, original
        self._packed: tuple[Any, list[Any], Any] | None = None  # qconfig, float arrays, the module of both
        self._coded: dict[str, tuple[Any, Any, Any]] = {}  # qconfig, float weight, its codes and scale

    def __deepcopy__(self, memo: dict[int, Any]) -> Preparation:
        return Preparation(self.engine, self.isa, self.original)

    def __getstate__(self) -> dict[str, Any]:
        return {
            **self.__dict__,
            "isa": None,
            "_packed": None,
            "_coded": {},
        }  # pickles may travel to another CPU

    def quantized(self, mod: PreparedLayer, qconfig: Any) -> list[Matrix]:
        """Codes, scale and bias of each matrix of `mod` as it is now.

        Codes are kept for the next step of a cell, which has the same weights. Those are compared by value:
        optimisers may change them behind autograd's back.
        """
        matrices = []
        for index, (name, weight, bias) in enumerate(float_matrices(mod, shape_of(mod))):
            known = self._coded.get(name)
            if known is None or known[0] is not qconfig or not np.array_equal(known[1], weight):
                coded = self._kept(index, weight) or _quantize.quantize_weight(weight, name, self.engine, qconfig)
                known = self._coded[name] = (qconfig, weight.copy(), coded)
            codes, scale = known[2]
            matrices.append(Matrix(codes, scale, bias))
        return matrices

    def _kept(self, index: int, weight: Any) -> tuple[Any, Any] | None:
        """The original codes and scale, if `weight` still equals what they stand for, bit for bit."""
        if self.original is None:
            return None
        codes, scale, _ = self.original[index]
        same = _quantize.dequantize(codes, np.asarray(scale)).tobytes() == weight.tobytes()
        return (codes, scale) if same else None

    def convert(
        self, mod: PreparedLayer, cls: type[QuantizedLayer], qconfig: Any, engine: str | None, isa: str | None
    ) -> Any:
        """The quantized module, of type `cls`, that the prepared `mod` becomes."""
        if engine is not None and _config.check_engine(engine) != self.engine:
            raise ValueError(f"engine: this module was prepared for {self.engine!r}, got {engine!r}")
        isa = _config.resolve_isa(isa or self.isa)
        return cls._of(shape_of(mod), self.engine, isa, self.quantized(mod, qconfig), mod)

    def module(self, mod: PreparedLayer) -> Any:
        """The core's module that `mod` would be converted to now."""
        shape, qconfig = shape_of(mod), mod.qconfig
        now = [array for _, *arrays in float_matrices(mod, shape) for array in arrays]
        known = self._packed
        if known is None or known[0] is not qconfig or not all(map(np.array_equal, known[1], now)):
            packed = pack(shape.kind, self.engine, self.isa, self.quantized(mod, qconfig), shape.sequence)
            known = self._packed = (qconfig, [None if each is None else each.copy() for each in now], packed)
        return known[2]


class PreparedLayer(torch.nn.Module):
    """A float module that ``prepare`` put in place and ``convert`` quantizes."""

    _float_type: ClassVar[type[torch.nn.Module]]
    _prepared: Preparation
    qconfig: Any

    @classmethod
    def _of(cls, mod: Any, qconfig: Any, engine: str | None, isa: str | None) -> PreparedLayer:
        """Prepare `mod`, a float module, whose parameters are kept, or a quantized one, with its engine."""
        new = cls.__new__(cls)
        if isinstance(mod, QuantizedLayer):
            original = [Matrix(*(None if a is None else np.array(a) for a in m)) for m in mod._matrices()]
            new.__dict__.update(vars(_float_of(cls._float_type, mod._shape, original)))
            new.training = mod.training
            for name in HOOKS:
                new.__dict__[name] = mod.__dict__[name]
            engine = mod.engine if engine is None else engine
            new._prepared = Preparation(engine, isa or mod._isa, original)
        else:
            new.__dict__.update(vars(mod))
            new._prepared = Preparation(_config.resolve_engine(engine), isa, None)
        shape = shape_of(new)
        check_engine_has(Form(shape.kind, shape.sequence, shape.proj_size > 0), new._prepared.engine)
        new.qconfig = qconfig
        return new

    def _expect_computing(self) -> None:
        """Raise RuntimeError in ``torch.jit.trace`` and ``torch.export``: they would keep this call's values."""
        if torch.compiler.is_dynamo_compiling():  # which leaves the call to Python
            return
        if torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None:
            raise RuntimeError(
                f"{type(self).__name__} cannot be traced or exported, as its weights may change: convert the "
                "model first"
            )

    def _units(self) -> list[list[Any]]:
        """Fake-quantized weight and bias of each matrix, unit by unit."""
        found = iter(self._prepared.quantized(self, self.qconfig))
        units = []
        for unit in shape_of(self).units():
            values: list[Any] = []
            for each in unit:
                codes, scale, bias = next(found)
                values.append(fake_quantize.weight(getattr(self, each.weight), codes, np.asarray(scale)))
                values.append(None if bias is None else getattr(self, str(each.bias)))
            units.append(values)
        return units

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, engine={self._prepared.engine}"


def _float_of(float_type: Any, shape: Shape, matrices: list[Matrix]) -> torch.nn.Module:
    """A float module whose weights are those that `matrices`, quantized, stand for."""
    keywords: dict[str, Any] = {"bias": shape.bias, "device": "meta"}
    if shape.kind.startswith("rnn"):
        keywords["nonlinearity"] = shape.kind.removeprefix("rnn_")
    if shape.sequence is not None:
        layers, directions, batch_first = shape.sequence
        keywords.update(num_layers=layers, bidirectional=directions == 2, batch_first=batch_first)
        keywords.update(dropout=shape.dropout)
        if shape.proj_size:
            keywords["proj_size"] = shape.proj_size
    mod: torch.nn.Module = float_type(shape.input_size, shape.hidden_size, **keywords)
    for each, matrix in zip(shape.matrices(), matrices, strict=True):
        values = {each.weight: _quantize.dequantize(matrix.weight, np.asarray(matrix.scale))}
        if each.bias is not None and matrix.bias is not None:
            values[each.bias] = matrix.bias.copy()
        for name, value in values.items():
            setattr(mod, name, torch.nn.Parameter(torch.from_numpy(value)))
    return mod


class PreparedLinear(PreparedLayer, torch.nn.Linear):
    """A prepared Linear."""

    _float_type = torch.nn.Linear

    def forward(self, input: Any) -> Any:
        """As ``torch.nn.Linear``."""
        self._expect_computing()
        if not self.training:
            return call_linear(self._prepared.module(self), input)
        check_linear(self.in_features, input)
        ((w, bias),) = self._units()
        return fake_quantize.run_linear(self._prepared.engine, w, bias, input)


class _PreparedCell(PreparedLayer):
    def forward(self, input: Any, hx: Any = None) -> Any:
        """As the float cell."""
        self._expect_computing()
        if not self.training:
            return call(self._prepared.module(self), input, hx)
        shape = shape_of(self)
        state = check_cell(shape, input, hx)
        (unit,) = self._units()
        return fake_quantize.run_cell(shape, self._prepared.engine, Unit(*unit), input, state)


class PreparedRNNCell(_PreparedCell, torch.nn.RNNCell):
    """A prepared RNNCell."""

    _float_type = torch.nn.RNNCell


class PreparedLSTMCell(_PreparedCell, torch.nn.LSTMCell):
    """A prepared LSTMCell."""

    _float_type = torch.nn.LSTMCell


class PreparedGRUCell(_PreparedCell, torch.nn.GRUCell):
    """A prepared GRUCell."""

    _float_type = torch.nn.GRUCell


class _PreparedSequence(PreparedLayer):
    batch_first: bool

    def forward(self, input: Any, hx: Any = None, *, lengths: Any = None) -> Any:
        """As the float layer; `lengths` as the quantized one."""
        self._expect_computing()
        shape = shape_of(self)
        if isinstance(input, PackedSequence):
            if not self.training:
                return run_packed(self, shape, input, hx, lengths)
            state = check_packed(shape, input, hx, lengths)
            packed, last = self._train_packed(shape, input, state)
            return packed, joined(shape, last)
        if not self.training:
            return run_sequence(self._prepared.module(self), input, hx, lengths)
        if not isinstance(input, torch.Tensor):
            raise_no_tensor(input, "input")
        state = check_sequence(shape, input.shape, hx)
        if input.dim() == 3:
            output, last = self._train(shape, input, state, lengths)
            return output, joined(shape, last)
        axis = 0 if self.batch_first else 1
        state = None if state is None else tuple(each.unsqueeze(1) for each in state)
        output, last = self._train(shape, input.unsqueeze(axis), state, lengths)
        return output.squeeze(axis), joined(shape, tuple(each.squeeze(1) for each in last))

    def _train(self, shape: Shape, input: Any, state: Any, lengths: Any) -> tuple[Any, Any]:
        """Output and last state of a batch."""
        rows, steps = input.shape[:2] if self.batch_first else input.shape[1::-1]
        if lengths is not None:
            lengths = check_lengths(lengths, rows, steps)
        if not lengths:
            data = input.transpose(0, 1) if self.batch_first else input
            output, last = self._train_rows(shape, data.flatten(0, 1), [rows] * steps, state)
            output = output.unflatten(0, (steps, rows))
            return output.transpose(0, 1) if self.batch_first else output, last
        packed = pack_padded_sequence(input, torch.tensor(lengths), self.batch_first, enforce_sorted=False)
        packed, last = self._train_packed(shape, packed, state)
        output, _ = pad_packed_sequence(packed, self.batch_first, total_length=steps)
        return output, last

    def _train_packed(self, shape: Shape, packed: PackedSequence, state: Any) -> tuple[PackedSequence, Any]:
        data, sizes, order, back = packed
        output, last = self._train_rows(shape, data, sizes.tolist(), permuted(state, order))
        return PackedSequence(output, sizes, order, back), permuted(last, back)

    def _train_rows(self, shape: Shape, data: Any, sizes: list[int], state: Any) -> tuple[Any, Any]:
        """All steps, of `sizes[t]` rows each."""
        assert shape.sequence is not None
        if state is None:
            count, batch = shape.sequence[0] * shape.sequence[1], sizes[0]
            state = (data.new_zeros(count, batch, shape.proj_size or shape.hidden_size),)
            if shape.kind == "lstm":
                state += (data.new_zeros(count, batch, shape.hidden_size),)
        units = [Unit(*values[:5]) for values in self._units()]
        return fake_quantize.run_layers(shape, self._prepared.engine, units, data, sizes, state)


class PreparedRNN(_PreparedSequence, torch.nn.RNN):
    """A prepared RNN."""

    _float_type = torch.nn.RNN


class PreparedLSTM(_PreparedSequence, torch.nn.LSTM):
    """A prepared LSTM."""

    _float_type = torch.nn.LSTM


class PreparedGRU(_PreparedSequence, torch.nn.GRU):
    """A prepared GRU."""

    _float_type = torch.nn.GRU
