"""The specification of a layer: kind, sizes and options, and, from the core's tables, its matrices and their names.

A `LayerSpec` describes float, prepared and quantized layers of both packages, and those of ``torch.nn`` and
``torch.ao``, because all of them use the same names for their parameters.
"""

from __future__ import annotations

import functools
import math
import numbers
import operator
import sys
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from . import _core
from ._options import Options, activation_of, options_of, shown_options
from ._warn import warn

__all__ = [
    "ENGINES",
    "KINDS",
    "Engine",
    "Kind",
    "LayerSpec",
    "MatrixSpec",
    "Sequence",
    "Slot",
    "cell_spec",
    "checked_size",
    "gru_kind",
    "is_torch_type",
    "linear_spec",
    "module_spec",
    "packed_spec",
    "rnn_kind",
    "sequence_spec",
]


class Kind(NamedTuple):
    """A row of the core's table of kinds."""

    family: str  # the class of torch.nn
    gates: int  # ih and hh have gates * hidden_size rows
    states: int  # 0: none; 1: h; 2: h and c
    projects: bool  # may have a projection matrix hr
    resets_before: bool  # a gate acts on h before the product
    activations: tuple[str, ...]  # the default for each place


class Engine(NamedTuple):
    """A row of the core's table of engines."""

    quantized: bool  # int8 weights, else float32
    per_row: bool  # quantizes each batch row by itself
    scale_per_row: bool  # weights have a scale for each row by default
    projects: bool
    resets_before: bool
    options: bool  # supports those of _options.py
    activations: str  # the format of the activations that its weights multiply


KINDS: Mapping[str, Kind] = {name: Kind(**row) for name, row in _core.kinds().items()}
ENGINES: Mapping[str, Engine] = {name: Engine(**row) for name, row in _core.engine_table().items()}


class MatrixSpec(NamedTuple):
    """Names and shape of one weight matrix."""

    weight: str
    bias: str | None  # None if it can have none
    rows: int
    columns: int
    multiplies: bool = True  # False: an option adds it, and it stays float32

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.rows, self.columns

    @property
    def scale(self) -> str:
        """The name of the scale in the state dict of a quantized layer."""
        return f"{self.weight}_scale"


class Slot(NamedTuple):
    """Where a parameter is packed."""

    matrix: int  # its index in the core's order
    what: Literal["weight", "bias"]


class Sequence(NamedTuple):
    """The values that a layer over sequences has and a cell lacks; the core takes them as a plain tuple."""

    num_layers: int
    num_directions: int
    batch_first: bool


class LayerSpec(NamedTuple):
    """The core's kind, sizes and options of a layer.

    Examples
    --------
    >>> spec = LayerSpec("lstm", 4, 3, proj_size=2, sequence=Sequence(1, 2, False))
    >>> [matrix.weight for matrix in spec.matrices][:3]
    ['weight_ih_l0', 'weight_hh_l0', 'weight_hr_l0']
    >>> spec.matrices[1].shape, spec.state_size
    ((12, 2), 2)
    """

    kind: str
    input_size: int
    hidden_size: int
    proj_size: int = 0
    sequence: Sequence | None = None
    bias: bool = True
    dropout: float = 0.0
    variant: Options | None = None  # options that differ from the kind's defaults

    @property
    def row(self) -> Kind:
        """The row of the core's table."""
        return KINDS[self.kind]

    @property
    def options(self) -> Mapping[str, Any]:
        """Arguments of the constructor that choose the kind, for classes that have several."""
        return _OPTIONS.get(self.kind, {})

    @property
    def in_torch(self) -> bool:
        """Whether ``torch.nn`` has such a layer."""
        return self.row.family in _TORCH_FAMILIES and not self.row.resets_before and self.variant is None

    @property
    def variant_options(self) -> dict[str, Any]:
        """The options that differ from the kind's defaults, as constructors take them."""
        return shown_options(self.variant, len(self.row.activations))

    @property
    def reverse(self) -> bool:
        """Whether the one direction reads from the end."""
        return self.variant is not None and self.variant.reverse

    @property
    def mode(self) -> str:
        """PyTorch's name of the kind of a layer over sequences."""
        return (self.row.family if self.row.resets_before else self.kind).upper()

    @property
    def shown(self) -> str:
        """The sizes, and the options that are not defaults, as PyTorch shows them."""
        sequence = self.sequence or Sequence(1, 1, False)
        options = (
            ("proj_size", self.proj_size, 0),
            ("num_layers", sequence.num_layers, 1),
            ("bias", bool(self.bias), True),
            ("batch_first", sequence.batch_first, False),
            ("dropout", self.dropout, 0),
            ("bidirectional", sequence.num_directions == 2, False),
        )
        shown = [f"{name}={value}" for name, value, default in options if value != default]
        shown += [f"{name}={value}" for name, value in self.variant_options.items()]
        return ", ".join([f"{self.input_size}, {self.hidden_size}", *shown])

    @property
    def state_size(self) -> int:
        """Columns of h."""
        return self.proj_size or self.hidden_size

    @property
    def bound(self) -> float:
        """New weights are uniform in +-bound."""
        n = self.hidden_size if self.row.states else self.input_size
        return 1 / math.sqrt(n) if n else 0.0

    @property
    def matrices(self) -> tuple[MatrixSpec, ...]:
        """The matrices in the core's order: for each layer and direction ih, hh and, with a projection, hr.

        After these come the matrices that options add; learned states of all layers and directions come last.
        """
        return _matrices(*self[:5], self.variant)

    @property
    def learned(self) -> tuple[MatrixSpec, ...]:
        """The learned states: h and, for an LSTM, c."""
        count = self.row.states if self.variant is not None and self.variant.initial_states else 0
        return self.matrices[len(self.matrices) - count :]

    @property
    def directions(self) -> tuple[tuple[MatrixSpec, ...], ...]:
        """The matrices of each layer in each direction."""
        count = self.sequence.num_layers * self.sequence.num_directions if self.sequence else 1
        each = (len(self.matrices) - len(self.learned)) // count
        return tuple(self.matrices[i * each : (i + 1) * each] for i in range(count))

    @property
    def slots(self) -> Mapping[str, Slot]:
        """Every parameter by its name, in the order of PyTorch's state_dict."""
        return _slots(*self[:5], self.variant)


_ELMAN_KINDS = tuple(name for name, row in KINDS.items() if row.family == "RNN")
_TORCH_FAMILIES = frozenset({"RNN", "LSTM", "GRU", "Linear"})

_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "rnn_tanh": {"nonlinearity": "tanh"},
    "rnn_relu": {"nonlinearity": "relu"},
    "gru_reset_before": {"reset_after": False},
}


@functools.lru_cache(maxsize=256)
def _matrices(*sizes: Any) -> tuple[MatrixSpec, ...]:
    return tuple(MatrixSpec(*matrix) for matrix in _core.matrices(*sizes))


@functools.lru_cache(maxsize=256)
def _slots(*sizes: Any) -> Mapping[str, Slot]:
    """The slots: for each layer and direction weights, biases, then the projection and what options add."""
    spec, found = LayerSpec(*sizes[:5])._replace(variant=sizes[5]), dict[str, Slot]()
    numbered = list(enumerate(spec.matrices))
    each = len(spec.directions[0])
    for first in range(0, len(numbered), each):
        own = numbered[first : first + each]
        found.update({matrix.weight: Slot(index, "weight") for index, matrix in own[:2]})
        found.update({matrix.bias: Slot(index, "bias") for index, matrix in own if matrix.bias is not None})
        found.update({matrix.weight: Slot(index, "weight") for index, matrix in own[2:]})
    return found


# ---- existing modules


def packed_spec(module: _core.Module) -> LayerSpec:
    """The spec of what `module` has packed, and of its attribute ``dropout``, which is not packed."""
    sizes = module.kind, module.input_size, module.hidden_size, module.proj_size
    bias, sequence, variant = module.has_bias, module.sequence, Options.packed(module.options)
    if sequence is None:
        return LayerSpec(*sizes, None, bias, variant=variant)
    return LayerSpec(*sizes, Sequence(*sequence), bias, getattr(module, "dropout", 0.0), variant)


def rnn_kind(nonlinearity: Any) -> str:
    """The kind of an Elman layer, by its non-linearity."""
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"Unknown nonlinearity: {nonlinearity}: expected 'tanh' or 'relu'")
    return f"rnn_{nonlinearity}"


def gru_kind(reset_after: Any) -> str:
    """The kind of a GRU: PyTorch's, whose reset gate acts after the recurrent product, or the one before it."""
    return "gru" if reset_after else "gru_reset_before"


#: Functions that find the kind of a module whose family has several kinds.
_KIND_BY_OPTION: Mapping[str, Callable[[Any], str]] = {
    "RNN": lambda mod: rnn_kind(mod.nonlinearity),
    "GRU": lambda mod: gru_kind(getattr(mod, "reset_after", True)),  # PyTorch has no other
}
_KIND_OF_FAMILY: Mapping[str, str] = {row.family: name for name, row in KINDS.items()}


def module_spec(name: str, mod: Any) -> LayerSpec:
    """The spec of a module, by its attributes.

    Parameters
    ----------
    name : str
        The name of its class in ``torch.nn``: ``"LSTM"``, ``"LSTMCell"``, ...
    mod : module
        A module of qrnn or PyTorch, float or quantized.
    """
    family = name.removesuffix("Cell")
    kind = _KIND_BY_OPTION[family](mod) if family in _KIND_BY_OPTION else _KIND_OF_FAMILY[family]
    if not KINDS[kind].states:
        return LayerSpec(kind, mod.in_features, mod.out_features, bias=mod.bias is not None)
    variant = Options.packed(mod.options) if isinstance(mod, _core.Module) else None
    if name != family:
        return LayerSpec(kind, mod.input_size, mod.hidden_size, bias=mod.bias, variant=variant)
    sequence = Sequence(int(mod.num_layers), 2 if mod.bidirectional else 1, bool(mod.batch_first))
    proj_size = getattr(mod, "proj_size", 0)  # torch.ao has none
    sizes = mod.input_size, mod.hidden_size, proj_size
    return LayerSpec(kind, *sizes, sequence, mod.bias, float(mod.dropout), variant)


def is_torch_type(cls: type, name: str) -> bool:
    """Whether `cls` is the class `name` of ``torch.nn``, without importing PyTorch."""
    return cls.__name__ == name and cls.__module__.rpartition(".")[0] == "torch.nn.modules"


# ---- the arguments of constructors


def checked_size(value: Any, name: str, least: int) -> int:
    """`value` as an int of at least `least`; otherwise raise TypeError or ValueError naming it."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: expected an integer, got {type(value).__name__}") from None
    if number < least:
        raise ValueError(f"{name}: expected at least {least}, got {number}")
    return number


def linear_spec(in_features: Any, out_features: Any, bias: Any) -> LayerSpec:
    """The spec of a Linear, from its constructor's arguments."""
    columns, rows = checked_size(in_features, "in_features", 0), checked_size(out_features, "out_features", 0)
    return _possible(LayerSpec("linear", columns, rows, bias=bool(bias)))


def cell_spec(kind: str, input_size: Any, hidden_size: Any, bias: Any, /, **options: Any) -> LayerSpec:
    """The spec of a cell, from its constructor's arguments."""
    columns, hidden = checked_size(input_size, "input_size", 0), checked_size(hidden_size, "hidden_size", 0)
    return _possible(_varied(LayerSpec(kind, columns, hidden, bias=bool(bias)), options))


def _varied(spec: LayerSpec, given: Mapping[str, Any]) -> LayerSpec:
    """`spec` with the options of a constructor; an RNN with the activation tanh or relu gets that kind."""
    sequence, family = spec.sequence, spec.row.family
    directions = sequence.num_directions if sequence else 1
    forms = directions, spec.proj_size > 0, sequence is not None
    variant = options_of(family, spec.row.activations, *forms, given)
    if family == "RNN" and variant is not None and variant.activations is not None:
        plain = next((kind for kind in _ELMAN_KINDS if variant.activations == _own(kind) * directions), None)
        if plain is not None:
            spec = spec._replace(kind=plain)
            variant = options_of(family, spec.row.activations, *forms, given)
    return spec._replace(variant=variant)


def _own(kind: str) -> tuple[Any, ...]:
    return tuple(activation_of(name) for name in KINDS[kind].activations)


def sequence_spec(
    kind: str,
    input_size: Any,
    hidden_size: Any,
    num_layers: Any,
    bias: Any,
    batch_first: Any,
    dropout: Any,
    bidirectional: Any,
    proj_size: Any = 0,
    /,
    **options: Any,
) -> LayerSpec:
    """The spec of a layer over sequences, from its constructor's arguments, checked with PyTorch's texts."""
    dropout = _checked_dropout(dropout, num_layers)
    for name, value in (("bias", bias), ("batch_first", batch_first)):
        if not isinstance(value, bool):
            raise TypeError(f"{name} should be of type bool, got: {type(value).__name__}")
    columns, hidden = _positive(input_size, "input_size"), _positive(hidden_size, "hidden_size")
    layers, projected = _positive(num_layers, "num_layers"), _integer(proj_size, "proj_size")
    if layers > _core.MAX_LAYERS:  # refused before anything is made for each layer
        raise ValueError(f"num_layers: expected at most {_core.MAX_LAYERS}, got {layers}")
    if projected < 0:
        raise ValueError("proj_size should be a positive integer or zero to disable projections")
    if projected >= hidden:
        raise ValueError("proj_size has to be smaller than hidden_size")
    sequence = Sequence(layers, 2 if bidirectional else 1, batch_first)
    return _possible(_varied(LayerSpec(kind, columns, hidden, projected, sequence, bias, dropout), options))


def _possible(spec: LayerSpec) -> LayerSpec:
    """`spec`; raises NumPy's error if a matrix would have more rows or columns than NumPy allows."""
    directions = spec.sequence.num_directions if spec.sequence else 1
    if max(spec.input_size, max(spec.row.gates, directions) * spec.hidden_size) > sys.maxsize:
        raise ValueError("Maximum allowed dimension exceeded")
    return spec


def _integer(value: Any, name: str) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} should be of type int, got: {type(value).__name__}") from None


def _positive(value: Any, name: str) -> int:
    number = _integer(value, name)
    if number <= 0:
        raise ValueError(f"{name} must be greater than zero")
    return number


def _checked_dropout(dropout: Any, num_layers: Any) -> float:
    """`dropout` as a float; it acts only in training, which NumPy modules do not do."""
    number = isinstance(dropout, numbers.Real) and not isinstance(dropout, bool)
    if not number or not 0 <= float(dropout) <= 1:
        raise ValueError(
            "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
        )
    if float(dropout) > 0 and num_layers == 1:
        warn(
            "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
            f"num_layers greater than 1, but got dropout={dropout} and num_layers={num_layers}"
        )
    return float(dropout)
