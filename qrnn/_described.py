"""What a layer is, as plain values: `describe` returns it, states keep it beside weights, and loading compares it.

Names and shapes of weights do not tell for which of several formulas they are, nor for which arithmetic: the state of
a GRU that resets before the product looks like that of one that resets after it. So quantized layers, and float layers
that PyTorch lacks, put an array ``format`` beside their weights: the description as canonical JSON in bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _arrays
from ._options import OPTION_NAMES
from ._spec import ENGINES, KINDS, LayerSpec
from ._types import dtype, float32, qint8

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "FORMAT",
    "PRECISION",
    "Described",
    "compared",
    "description",
    "differences",
    "encoded",
    "precisions_shown",
    "says_no_bias",
    "says_nothing",
]

#: The name of the array in a layer's state.
FORMAT = "format"

#: The version of descriptions. A later version has other names or other meanings.
_VERSION = 1

#: The most bytes of a description: enough for a layer of thousands of matrices.
_MAX_BYTES = 1 << 22

#: The key of the formats of activations, for matrices whose format is not the engine's.
PRECISION = "precision"

#: The options of a step, which cells and layers over sequences both have.
_OF_EQUATION = frozenset(OPTION_NAMES) - {"reverse", "initial_states"}

#: What loading does not compare: it follows from names and shapes, or changes no result.
_NOT_COMPARED = frozenset(
    {"input_size", "hidden_size", "in_features", "out_features", "proj_size", "num_layers", "bidirectional"}
    | {"bias", "dropout", "version", PRECISION}
)


class Described:
    """A layer of either package that knows its spec and can describe itself."""

    if TYPE_CHECKING:

        @property
        def _spec(self) -> LayerSpec: ...
        def extra_repr(self) -> str: ...

    def describe(self) -> dict[str, Any]:
        """Describe this layer by plain values, for states, files and reports.

        Returns
        -------
        dict
            ``kind``, the name of its class in ``torch.nn``; its sizes and options under the names of its
            constructor's arguments; ``engine``, ``"float32"`` for a float layer; and ``version``, the version of this
            description. If the formats of some weight matrices are not the engine's, ``precision`` has for their
            names ``"float32"`` or the format of the activations that they multiply, such as ``"s13"``. States of
            quantized layers, and of float layers that PyTorch lacks, hold the description as the array ``format``:
            JSON in bytes.

        Examples
        --------
        >>> import qrnn
        >>> qrnn.RNNCell(4, 3, nonlinearity="relu").describe()
        {'kind': 'RNNCell', 'input_size': 4, 'hidden_size': 3, 'bias': True, 'nonlinearity': 'relu', \
'engine': 'qrnn', 'version': 1}
        """
        return description(self._spec, getattr(self, "engine", _FLOAT), self._precisions)

    def _weight_type(self) -> dtype:
        """The type of a quantized layer's weights: qint8, or float32 if all of them stay float."""
        own, names = self._precisions, [each.weight for each in self._spec.matrices if each.multiplies]
        return float32 if all(own.get(name) == _FLOAT for name in names) else qint8

    @property
    def _precisions(self) -> Mapping[str, str]:
        """The formats of the activations that weights multiply, by name, where they are not the engine's."""
        return {}

    def _options_shown(self) -> list[str]:
        """What ``repr`` shows after sizes and PyTorch's options."""
        return []


def precisions_shown(precisions: Mapping[str, str]) -> list[str]:
    """What ``repr`` shows about matrices whose formats are not the engine's."""
    return [f"{name}={format}" for name, format in precisions.items()]


_NONE: Mapping[str, str] = MappingProxyType({})

#: The engine of float layers: the one in the core's table that does not quantize.
_FLOAT = next(name for name, row in ENGINES.items() if not row.quantized)


def description(spec: LayerSpec, engine: str = _FLOAT, precisions: Mapping[str, str] = _NONE) -> dict[str, Any]:
    """The description of a layer with this spec, engine and precisions; see `Described.describe`."""
    own = {PRECISION: dict(precisions)} if precisions else {}
    return {**_of_spec(spec), "engine": engine, **own, "version": _VERSION}


def _of_spec(spec: LayerSpec) -> dict[str, Any]:
    """Kind, sizes and options of a layer."""
    family = spec.row.family
    if not spec.row.states:
        return {"kind": family, "in_features": spec.input_size, "out_features": spec.hidden_size, "bias": spec.bias}
    described: dict[str, Any] = {"kind": family if spec.sequence else f"{family}Cell"}
    described.update(input_size=spec.input_size, hidden_size=spec.hidden_size, bias=spec.bias)
    if spec.sequence is not None:
        described.update(num_layers=spec.sequence.num_layers, batch_first=spec.sequence.batch_first)
        described.update(bidirectional=spec.sequence.num_directions == 2, dropout=spec.dropout)
        if spec.row.projects:
            described.update(proj_size=spec.proj_size)
    if any(row.family == family and row.resets_before for row in KINDS.values()):
        described.update(reset_after=not spec.row.resets_before)
    return {**described, **spec.options, **_plain(spec.variant_options)}


def _plain(value: Any) -> Any:
    """`value` as a value of JSON."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def encoded(description: Mapping[str, Any]) -> NDArray[np.uint8]:
    """A description as the array of a state: canonical JSON in bytes."""
    import json  # here, because no call and no import of the package needs it

    text = json.dumps(description, sort_keys=True, separators=(",", ":"))
    return np.frombuffer(text.encode("ascii"), np.uint8).copy()


def _decoded(value: Any, key: str) -> dict[str, Any]:
    """The description in an array of a state; otherwise raise TypeError or ValueError naming `key`."""
    import json

    array = _arrays.to_numpy(value, key)
    if array.dtype != np.uint8 or array.ndim != 1:
        raise ValueError(f"{key}: expected bytes of uint8, got {array.dtype} of shape {array.shape}")
    try:
        if array.size > _MAX_BYTES:
            raise ValueError(f"of {_MAX_BYTES} bytes at most, got {array.size}")
        description = json.loads(array.tobytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{key}: expected JSON: {error}") from None
    if not isinstance(description, dict) or not isinstance(description.get("version"), int):
        raise ValueError(f"{key}: expected the description of a layer, got {description!r:.80}")
    if not 1 <= description["version"] <= _VERSION:
        raise ValueError(f"{key}: expected version {_VERSION} at most, got {description['version']}: use a later qrnn")
    return description


def differences(layer: Described, value: Any, key: str) -> list[str]:
    """The reasons why weights of the layer that `value`, the entry `key` of a state, describes do not fit `layer`.

    The shapes of weights tell the sizes, and their names tell whether it is a cell; a layer's weights can be renamed
    for a cell.
    """
    try:
        theirs = _decoded(value, key)
    except (TypeError, ValueError) as error:
        return [str(error)]
    return compared(layer.describe(), theirs, key)


def compared(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], key: str, idle: Collection[str] = frozenset()
) -> list[str]:
    """The reasons why weights of a layer like `theirs` do not fit one like `ours`; keys in `idle` may differ."""
    same_engine = "engine" in ours and ours["engine"] == theirs.get("engine")
    other = _other_precisions(ours, theirs, key) if same_engine else []
    names = [name for name in ours if name not in _NOT_COMPARED and name not in idle]
    names = list(dict.fromkeys([*names, *(name for name in OPTION_NAMES if name in theirs and name not in idle)]))
    if ours["kind"] != theirs.get("kind"):
        names = [name for name in names if name in theirs or name in _OF_EQUATION]  # a cell has no batch_first
        ours, theirs = ({**each, "kind": _family(each)} for each in (ours, theirs))
    return [
        f"{key}: expected {name} {ours.get(name)!r:.400}, got {theirs.get(name)!r:.400}"
        for name in dict.fromkeys(["kind", *names])
        if name not in idle and ours.get(name) != theirs.get(name)
    ] + other


def _other_precisions(ours: Mapping[str, Any], theirs: Mapping[str, Any], key: str) -> list[str]:
    """The differences in the precisions of two layers of one engine."""
    found: list[dict[str, str]] = []
    for each in (ours, theirs):
        own = each.get(PRECISION, {})
        if not isinstance(own, dict):
            return [f"{key}: expected {PRECISION} to be a dict, got {own!r:.80}"]
        if ours["kind"] != theirs.get("kind"):  # a layer's weights, renamed for a cell
            if each.get("num_layers", 1) != 1 or each.get("bidirectional"):
                return []  # the cell may be any of the layers
            own = {name.removesuffix("_l0"): format for name, format in own.items()}
        found.append(own)
    default = ENGINES[ours["engine"]].activations
    want, got = found
    return [
        f"{key}: expected {name} {want.get(name, default)!r}, got {got.get(name, default)!r}"
        for name in dict.fromkeys([*want, *got])
        if want.get(name, default) != got.get(name, default)
    ]


def says_no_bias(value: Any) -> bool:
    """Whether `value`, the format of a layer in a state, says that there are no biases."""
    try:
        return _decoded(value, FORMAT).get("bias") is False
    except (TypeError, ValueError):
        return False  # `differences` reports it


def _family(description: Mapping[str, Any]) -> str:
    return str(description.get("kind")).removesuffix("Cell")


def says_nothing(keys: list[str]) -> str:
    """The text of a warning that a state lacks the entries `keys`."""
    return (
        f"load_state_dict: got no {', '.join(keys)}: states of version 0.1.0 and of torch.ao do not say what layer "
        "their weights are of, so kind, options and engine were not compared"
    )
