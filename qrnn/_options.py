"""Options of recurrent layers beyond PyTorch's, by which a step differs from that of its kind.

Their names are in `OPTION_NAMES`; the core has the equations (csrc/README.md).
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeAlias

import numpy as np

from . import _core

if TYPE_CHECKING:
    from typing_extensions import TypedDict

    Activations: TypeAlias = Sequence[Any]

    class CellOptions(TypedDict, total=False):
        """The options of cells of all kinds."""

        activations: Activations | None
        clip: float | None

    class SequenceOptions(CellOptions, total=False):
        """The options of layers over sequences of all kinds."""

        reverse: bool
        initial_states: bool

    class LSTMCellOptions(CellOptions, total=False):
        """The options of an LSTM cell."""

        peepholes: bool
        input_forget: bool
        cell_clip: float | None
        layer_norm: bool | float

    class LSTMOptions(LSTMCellOptions, SequenceOptions, total=False):
        """The options of an LSTM over sequences."""

        proj_clip: float | None


__all__ = ["ACTIVATIONS", "OPTION_NAMES", "Activation", "Options", "options_of"]

#: The activation functions, with the defaults of their parameters; None for a parameter without a default.
ACTIVATIONS: Mapping[str, tuple[float | None, ...]] = _core.activations()

#: The epsilon of ``layer_norm=True``, that of ``torch.nn.LayerNorm``.
EPSILON = 1e-5


class Activation(NamedTuple):
    """A function with its parameters, as the core takes it; 0 for parameters that it does not have."""

    name: str
    alpha: float = 0.0
    beta: float = 0.0

    @property
    def shown(self) -> Any:
        """The name, or (name, alpha), or (name, alpha, beta), as the argument takes it."""
        count = len(ACTIVATIONS[self.name])
        return (self.name, *map(_shortest, (self.alpha, self.beta)[:count])) if count else self.name


class Options(NamedTuple):
    """Options of which some differ from the kind's defaults, in the order in which the core takes them."""

    activations: tuple[Activation, ...] | None = None  # for each place, direction by direction
    clip: float = 0.0  # 0: none
    cell_clip: float = 0.0
    proj_clip: float = 0.0
    layer_norm: float = 0.0  # the epsilon
    peepholes: bool = False
    input_forget: bool = False
    reverse: bool = False
    initial_states: bool = False

    @classmethod
    def packed(cls, given: tuple[Any, ...] | None) -> Options | None:
        """The options that a module of the core reports."""
        if given is None:
            return None
        activations = given[0] and tuple(Activation(*each) for each in given[0])
        return cls(activations, *given[1:])

    def argument(self, name: str, places: int) -> Any:
        """The option `name` of a kind with `places` activations, as the constructor takes it."""
        value = getattr(self, name)
        if name == "activations" and value is not None:
            shown = tuple(each.shown for each in value)
            forward, reverse = shown[:places], shown[places:]
            return (forward, reverse) if reverse and reverse != forward else forward
        if name == "layer_norm" and value:
            return True if value == np.float32(EPSILON) else _shortest(value)
        return value if value is None or isinstance(value, bool) else (_shortest(value) or None)


OPTION_NAMES = Options._fields
PLAIN = Options()
_FLAGS = ("peepholes", "input_forget", "reverse", "initial_states")
_OF_LSTM = ("peepholes", "input_forget", "cell_clip", "proj_clip", "layer_norm")


def _shortest(value: float) -> float:
    """The float32 `value` with the fewest digits that identify it."""
    return float(str(np.float32(value)))


def shown_options(options: Options | None, places: int) -> dict[str, Any]:
    """The options that differ from the kind's defaults, by name, as the constructor takes them."""
    if options is None:
        return {}
    return {
        name: options.argument(name, places) for name in OPTION_NAMES if getattr(options, name) != getattr(PLAIN, name)
    }


def options_of(
    family: str,
    defaults: tuple[str, ...],
    directions: int,
    projects: bool,
    sequence: bool,
    given: Mapping[str, Any],
) -> Options | None:
    """The options of a constructor, checked; None if all are the kind's defaults.

    Parameters
    ----------
    family : str
        ``"RNN"``, ``"LSTM"`` or ``"GRU"``.
    defaults : tuple of str
        The kind's default activations.
    directions : int
    projects : bool
        Whether there is a projection.
    sequence : bool
        Whether it is a layer over sequences, not a cell.
    given : mapping
        The arguments.
    """
    if not given:
        return None
    for name in given:
        if name not in OPTION_NAMES or (not sequence and name in ("reverse", "initial_states", "proj_clip")):
            cell = "" if sequence else "Cell"
            raise TypeError(f"{family}{cell}() got an unexpected keyword argument {name!r}")
        if family != "LSTM" and name in _OF_LSTM and given[name] not in (None, False):
            raise ValueError(f"{name}: expected an LSTM, as {family} has none, got {given[name]!r}")
    flags = {name: _flag(given.get(name, False), name) for name in _FLAGS}
    limits = {name: _limit(given.get(name), name) for name in ("clip", "cell_clip", "proj_clip")}
    norm = given.get("layer_norm", False)
    epsilon = (EPSILON if norm else 0.0) if isinstance(norm, (bool, np.bool_)) else _limit(norm, "layer_norm")
    if flags["reverse"] and directions == 2:
        raise ValueError("reverse: expected False with bidirectional=True, got True")
    if flags["peepholes"] and epsilon:
        raise ValueError("layer_norm: expected False with peepholes=True, got True")
    if limits["proj_clip"] and not projects:
        raise ValueError(f"proj_clip: expected None without a projection, got {given['proj_clip']!r}")
    activations = _activations(given.get("activations"), defaults, directions)
    clip, cell_clip, proj_clip = limits.values()
    made = Options(activations, clip, cell_clip, proj_clip, float(np.float32(epsilon)), **flags)
    return None if made == PLAIN else made


def _flag(value: Any, name: str) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected a bool, got {type(value).__name__}")
    return bool(value)


def _number(value: Any, name: str) -> float:
    """`value` as a finite float32."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
    with np.errstate(over="ignore"):
        number = float(np.float32(value))
    if not math.isfinite(number):
        raise ValueError(f"{name}: expected a finite number, got {value!r}")
    return number


def _limit(value: Any, name: str) -> float:
    """A positive number; 0 for None."""
    if value is None:
        return 0.0
    number = _number(value, name)
    if number <= 0:
        raise ValueError(f"{name}: expected a positive number or None, got {value!r}")
    return number


# ---- activations


def _activations(given: Any, defaults: tuple[str, ...], directions: int) -> tuple[Activation, ...] | None:
    """The activations for each place, direction by direction; None if all are the kind's defaults."""
    if given is None:
        return None
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise TypeError(f"activations: expected a sequence of functions, got {type(given).__name__}")
    of_each = list(given) if directions == 2 and _is_pair(given, len(defaults)) else [given] * directions
    made = tuple(each for one in of_each for each in _of_direction(one, len(defaults)))
    return None if made == tuple(map(Activation, defaults)) * directions else made


def _is_pair(given: Sequence[Any], places: int) -> bool:
    """Whether `given` has activations for each of two directions: tuples of `places` functions, not of numbers."""

    def is_direction(each: Any) -> bool:
        functions = isinstance(each, (tuple, list)) and len(each) == places
        return functions and not any(isinstance(function, numbers.Real) for function in each)

    return len(given) == 2 and all(map(is_direction, given))


def _of_direction(given: Sequence[Any], places: int) -> Iterator[Activation]:
    if len(given) != places:
        names = ", ".join("fgh"[:places])
        raise ValueError(f"activations: expected {places}, of {names}, got {len(given)}: {given!r:.100}")
    return map(activation_of, given)


def activation_of(given: Any) -> Activation:
    """The function for a name or a tuple (name, alpha, beta).

    Parameters
    ----------
    given : str or tuple

    Raises
    ------
    TypeError, ValueError
        If there is no such function, or a parameter is missing, unexpected or not a number.

    Examples
    --------
    >>> activation_of("hard_sigmoid"), activation_of(("elu", 2)).alpha
    (Activation(name='hard_sigmoid', alpha=0.20000000298023224, beta=0.5), 2.0)
    """
    name, *parameters = [given] if isinstance(given, str) else given if isinstance(given, (tuple, list)) else [None]
    if not isinstance(name, str):
        raise TypeError(f"activations: expected a name or a tuple (name, alpha, beta), got {given!r:.80}")
    if name not in ACTIVATIONS:
        raise ValueError(f"activations: expected one of {', '.join(ACTIVATIONS)}, got {name!r}")
    defaults = ACTIVATIONS[name]
    if len(parameters) > len(defaults):
        _refuse(given, f"at most {len(defaults)} parameters of {name}")
    values = [*parameters, *defaults[len(parameters) :]]
    if None in values:
        _refuse(given, f"{len(defaults)} parameters of {name}, which has no defaults")
    return Activation(name, *(_number(value, f"activations: {name}") for value in values))


def _refuse(given: Any, expected: str) -> NoReturn:
    raise ValueError(f"activations: expected {expected}, got {given!r:.80}")
