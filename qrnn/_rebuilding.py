"""Makes a model again from a file's description of its modules, and from its tensors.

A file may hold anything. So before anything is made, its size is checked against the tensors in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _config, _core
from ._described import FORMAT, PRECISION, Described, encoded
from ._format_error import FormatError
from ._layer import Layer
from ._loading import LoadPlan
from ._matrices import FLOAT, Matrix, beside, pack
from ._model_entries import Entries
from ._module import Module
from ._module_rows import MODULES, READERS, ModuleRow, ReaderRow
from ._options import OPTION_NAMES
from ._random import other_generator
from ._reader_parts import ReaderParts, put_whole
from ._rows import ROWS
from ._saved_reports import REPORTS, keep_reports, reports_of, reports_of_entry
from ._spec import ENGINES, LayerSpec, cell_spec, gru_kind, linear_spec, rnn_kind, sequence_spec

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["rebuilt"]

_LAYERS = {row.float_type.__name__: row for row in ROWS}


def rebuilt(entries: Entries, state: Mapping[str, NDArray[Any]]) -> Module:
    """The model that the entries describe, with the values of `state`.

    Raises
    ------
    FormatError
        If an entry is of a class that qrnn lacks, or entries and values do not agree.
    """
    others = [f"{name or 'the model'} ({entry['class']})" for name, entry in entries if "class" in entry]
    if others:
        raise FormatError(f"expected into=, a model to load into, as classes of yours are in it: {', '.join(others)}")
    plan, made = LoadPlan(state), dict[str, Module]()
    layers: dict[str, _NewLayer] = {}
    for name, entry in entries:
        try:
            if "same" in entry:
                made[name] = made[entry["same"]]
            elif entry["kind"] in _LAYERS:
                layers[name] = _NewLayer(entry, len(state))
                made[name] = layers[name].module
            else:
                made[name] = _module(name, entry, state)
        except FormatError:
            raise
        except (TypeError, ValueError, KeyError, ArithmeticError) as error:
            raise FormatError(f"{name or 'the model'}: {entry!r:.200}: {error}") from None
    for name, entry in entries:
        prefix, original = f"{name}." if name else "", entry.get("same", name)
        if original in layers:
            layers[original].read(prefix, plan)
        else:
            made[name]._plan_load(prefix, plan)
    try:
        for name, layer in layers.items():
            layer.pack(name, plan, state)
        plan.finish(type(made[""]).__name__, True)
    except RuntimeError as error:
        raise FormatError(f"expected the tensors of the model that is described: {error}") from None
    for name in made:
        _add(name, made)
    put_whole(made)
    keep_reports(made[""], reports_of(entries))
    return made[""]


def _add(name: str, made: Mapping[str, Module]) -> None:
    """Make a module a child of its parent."""
    if name:
        parent, _, own = name.rpartition(".")
        try:
            made[parent].add_module(own, made[name])
        except (KeyError, AttributeError) as error:
            raise FormatError(f"{name}: expected the name of a module, got {own!r}: {error}") from None


# ---- modules that NumPy computes


def _module(name: str, entry: Mapping[str, Any], state: Mapping[str, NDArray[Any]]) -> Module:
    """The module of an entry, with new weights; no more of them than `state` has."""
    kind = entry["kind"]
    if kind in READERS:
        return ReaderParts(kind, _options(name, entry, READERS[kind]))
    if kind not in MODULES:
        raise FormatError(f"{name or 'the model'}: expected a kind of this version, got {kind!r}: use a later qrnn")
    row = MODULES[kind]
    options = {key: _tuples(value) for key, value in _options(name, entry, row).items()}
    _expect_largest(name, row, options, state)
    with other_generator():
        return row.cls(**options)


def _options(name: str, entry: Mapping[str, Any], row: ModuleRow | ReaderRow) -> dict[str, Any]:
    """The options in an entry, which have to be those of the row."""
    options = {key: value for key, value in entry.items() if key not in ("kind", *REPORTS)}
    unknown = sorted(options.keys() ^ {*row.options, *row.idle})
    if unknown:
        raise FormatError(
            f"{name or 'the model'}: expected the options of {entry['kind']}, and {unknown[0]} is not in both"
        )
    return options


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _expect_largest(name: str, row: ModuleRow, options: Mapping[str, Any], state: Mapping[str, NDArray[Any]]) -> None:
    largest = None if row.largest is None else row.largest(options)
    if largest is not None:
        key = f"{name}.{largest[0]}" if name else largest[0]
        got = state[key].shape if key in state else None
        if got != largest[1]:
            raise FormatError(
                f"{key}: expected a tensor of shape {list(largest[1])}, got {list(got) if got else 'none'}"
            )


# ---- layers that the core computes


class _NewLayer(Described):
    """A layer whose weights are being read. Templates without memory stand for weights that are not read yet."""

    def __init__(self, entry: Mapping[str, Any], tensors: int) -> None:
        described = {**entry}
        reports_of_entry(described)
        for key in REPORTS:
            described.pop(key, None)
        if entry.get("num_layers", 1) > tensors:
            raise ValueError(f"expected weights of {entry['num_layers']} layers, got {tensors} tensors")
        self.spec = _spec(entry)
        self.engine: str = entry["engine"]
        if self.engine not in ENGINES:
            raise ValueError(f"expected an engine of {', '.join(ENGINES)}, got {self.engine!r}")
        self.precisions = _precisions(entry.get(PRECISION, {}), self.spec)
        if not np.array_equal(encoded(self.describe()), encoded(described)):
            raise ValueError(f"expected {self.describe()}")
        _core.check_engine(self.spec.kind, self.spec.proj_size, self.engine, self.spec.variant)
        row = _LAYERS[entry["kind"]]
        cls: type[Layer] = row.quantized_type if ENGINES[self.engine].quantized else row.float_type
        self.module = cls.__new__(cls)
        self._templates = self._matrices = self._new_templates()
        self._keys = list[str]()  # the keys of the layer's description in the state, one for each of its names

    @property
    def _spec(self) -> LayerSpec:
        return self.spec

    @property
    def _precisions(self) -> dict[str, str]:
        return self.precisions

    def _new_templates(self) -> list[Matrix]:
        default, matrices = ENGINES[self.engine].activations, []
        for each in self.spec.matrices:
            format = self.precisions.get(each.weight, default)
            scale = None if format == FLOAT or not each.multiplies else np.zeros((), np.float32)
            weight = np.broadcast_to(np.zeros((), np.float32 if scale is None else np.int8), each.shape)
            has_bias = self.spec.bias and each.bias is not None
            bias = np.broadcast_to(np.zeros((), np.float32), each.rows) if has_bias else None
            matrices.append(Matrix(weight, scale, bias, None if scale is None else beside(self.engine, format)))
        return matrices

    def read(self, prefix: str, plan: LoadPlan) -> None:
        """Read the values under `prefix`; those of a layer with two names are read twice."""
        self._matrices = list(self._matrices)
        self._keys.append(prefix + FORMAT)
        plan.compare(self, prefix, self.spec.slots, expected=False)
        plan.read(self.spec.slots, prefix, self._matrices)

    def _expect_format(self, plan: LoadPlan, state: Mapping[str, NDArray[Any]]) -> None:
        """Note in `plan` if `state` lacks the description of this layer, or has it in other bytes."""
        own = encoded(self.describe()) if self.module._says_format() else None
        for key in self._keys:
            found = state.get(key)
            if (found is None) != (own is None) or not np.array_equal(found, own):  # type: ignore[arg-type]
                plan.errors.append(f"{key}: expected {'none' if own is None else f'the bytes of {self.describe()}'}")

    def pack(self, name: str, plan: LoadPlan, state: Mapping[str, NDArray[Any]]) -> None:
        """Make the module hold the values, if all of them were read."""
        for old, new in zip(self._templates, self._matrices, strict=True):
            if any(a is b for a, b in zip(old[:3], new[:3], strict=True) if a is not None):
                return  # `plan` has the errors
        try:
            packed = pack(self.spec, self.engine, _config.resolve_isa(), self._matrices)
        except (TypeError, ValueError) as error:  # a precision that the core lacks
            plan.errors.append(f"{name}: {error}")
            return
        self.module._hold(self.spec, packed)
        if not plan.errors:
            self._expect_format(plan, state)


def _precisions(value: Any, spec: LayerSpec) -> dict[str, str]:
    """The formats of the activations that weights multiply, by weight names in the order of the spec."""
    return {each.weight: value[each.weight] for each in spec.matrices if each.weight in value}


def _spec(entry: Mapping[str, Any]) -> LayerSpec:
    """The spec of a layer from its description."""
    kind: str = entry["kind"]
    family = kind.removesuffix("Cell")
    if family == "Linear":
        return linear_spec(entry["in_features"], entry["out_features"], entry["bias"])
    core = _elman_kind(entry) if family == "RNN" else _gru_kind(entry) if family == "GRU" else "lstm"
    sizes = entry["input_size"], entry["hidden_size"]
    options = {name: entry[name] for name in OPTION_NAMES if name in entry}
    if kind != family:
        return cell_spec(core, *sizes, entry["bias"], **options)
    layers, bias, batch_first, both = (entry[name] for name in ("num_layers", "bias", "batch_first", "bidirectional"))
    proj_size = entry.get("proj_size", 0)
    spec = sequence_spec(core, *sizes, layers, bias, batch_first, 0.0, both, proj_size, **options)
    dropout = entry["dropout"]  # the warning that it does nothing came when the layer was made
    if type(dropout) is not float or not 0 <= dropout <= 1:
        raise ValueError(f"dropout: expected a number in 0..1, got {dropout!r}")
    return spec._replace(dropout=dropout)


def _elman_kind(entry: Mapping[str, Any]) -> str:
    return rnn_kind(entry["nonlinearity"])


def _gru_kind(entry: Mapping[str, Any]) -> str:
    return gru_kind(entry["reset_after"])
