"""Loads a state_dict in two phases: first everything is read and checked; the second phase cannot fail."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _arrays
from ._described import FORMAT, Described, differences, says_nothing
from ._matrices import Matrix
from ._public import public
from ._spec import Slot
from ._warn import warn

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LoadPlan", "LoadResult"]


#: Learned states, which become zeros if a state dict lacks them, as PyTorch's do.
_LEARNED = ("h_0", "c_0")


class _LoadResult(NamedTuple):
    missing_keys: list[str]
    unexpected_keys: list[str]


@public("qrnn.nn.modules.module")
class LoadResult(_LoadResult):
    """What `Module.load_state_dict` returns: ``missing_keys`` and ``unexpected_keys``.

    Examples
    --------
    >>> import qrnn
    >>> layer = qrnn.nn.Linear(4, 3)
    >>> layer.load_state_dict(layer.state_dict())
    <All keys matched successfully>
    >>> layer.load_state_dict({"weight": layer.weight}, strict=False).missing_keys
    ['bias']
    """

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"LoadResult(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


class LoadPlan:
    """What a load has to do, and what is wrong with the state.

    Attributes
    ----------
    matrices : dict
        The new matrices of each layer, by identity; a layer with two names takes entries under both.
    errors : list of str
    commits : list of callable
        The functions that carry out the load; none can fail.
    """

    def __init__(self, state: Mapping[str, Any]) -> None:
        self._state = dict(state)
        self._expected: set[str] = set()
        self._missing: list[str] = []
        self._by_prefix: dict[str, dict[str, Any]] | None = None
        self._compared: set[int] = set()  # layers, by identity
        self._silent: dict[int, str] = {}  # missing keys that would describe the layers of the weights
        self.matrices: dict[int, list[Matrix]] = {}
        self.errors: list[str] = []
        self.commits: list[Callable[[], None]] = []

    def read(self, slots: Mapping[str, Slot], prefix: str, matrices: list[Matrix]) -> None:
        """Put the entries of one layer, whose parameters are at `slots`, into `matrices`."""
        for name, (index, what) in slots.items():
            matrix, key = matrices[index], prefix + name
            if what == "weight" and matrix.scale is not None:
                matrices[index] = self._with_codes(key, matrix)
                continue
            old = getattr(matrix, what)
            if name in _LEARNED and key not in self._state:
                matrices[index] = matrix.replaced(what, np.zeros(old.shape, np.float32))
                continue
            value = None if old is None else self._take(key)
            array = None if value is None else self._values(key, value, old.shape)
            if array is not None:
                matrices[index] = matrix.replaced(what, array)

    def array(self, key: str, old: NDArray[Any]) -> NDArray[Any] | None:
        """The array that replaces `old`, a parameter or a buffer; None if the state has none that fits."""
        value = self._take(key)
        try:
            if value is not None and self._fits(key, array := _arrays.to_numpy(value, key), old.shape):
                return _arrays.fitting(array, key, old)
        except (TypeError, ValueError) as error:
            self.errors.append(str(error))
        return None

    def own(self, prefix: str) -> dict[str, Any]:
        """The values directly below `prefix`, by their own names, for a module whose arrays are not known."""
        if self._by_prefix is None:
            self._by_prefix = {}
            for key, value in self._state.items():
                own = key.rpartition(".")[2]
                self._by_prefix.setdefault(key.removesuffix(own), {})[own] = value
        found = self._by_prefix.get(prefix, {})
        self._expected.update(prefix + name for name in found)
        return found

    def compare(self, layer: Described, prefix: str, slots: Collection[str], expected: bool) -> None:
        """Compare `layer` with its description in the state; `expected`: whether the state should have one."""
        key = prefix + FORMAT
        if key in self._state:
            self._expected.add(key)
            self._compared.add(id(layer))
            self.errors += differences(layer, self._state[key], key)
        elif expected and any(prefix + name in self._state for name in slots):
            self._silent.setdefault(id(layer), key)

    def finish(self, name: str, strict: bool) -> LoadResult:
        """Carry out the load into a model of the type `name`, or raise RuntimeError with everything that is wrong."""
        unexpected = [key for key in self._state if key not in self._expected]
        errors = []
        if strict and self._missing:
            errors.append(f"Missing key(s) in state_dict: {_quoted(self._missing)}.")
        if strict and unexpected:
            errors.append(f"Unexpected key(s) in state_dict: {_quoted(unexpected)}.")
        errors += self.errors
        if errors:
            raise RuntimeError(f"Error(s) in loading state_dict for {name}:\n\t" + "\n\t".join(errors))
        for commit in self.commits:
            commit()
        silent = [key for layer, key in self._silent.items() if layer not in self._compared]
        if silent:
            warn(says_nothing(silent))
        return LoadResult(self._missing, unexpected)

    def _take(self, key: str) -> Any:
        """The value of `key`, or None, after noting that it was expected."""
        self._expected.add(key)
        value = self._state.get(key)
        if value is None:
            self._missing.append(key)
        return value

    # ---- reading one entry: None after noting what is wrong with it

    def _values(self, key: str, value: Any, shape: tuple[int, ...]) -> NDArray[Any] | None:
        try:
            array = _arrays.to_floats(_arrays.to_numpy(value, key), key)
            if not self._fits(key, array, shape):
                return None
            _arrays.expect_finite(array, key)
        except (TypeError, ValueError) as error:
            self.errors.append(str(error))
            return None
        return array

    def _with_codes(self, key: str, old: Matrix) -> Matrix:
        """`old` with the codes and the scale in the state, or unchanged if it has none."""
        codes, scale = self._take(key), self._take(f"{key}_scale")
        if codes is not None:
            codes = self._codes(key, codes, old.weight.shape)
        if scale is not None:
            scale = self._scale(f"{key}_scale", scale, len(old.weight))
        if codes is not None and scale is not None:
            return old._replace(weight=codes, scale=scale)
        if (codes is None) != (scale is None) and not self.errors:
            self.errors.append(f"{key} and {key}_scale go together: got only one of them.")
        return old

    def _codes(self, key: str, value: Any, shape: tuple[int, ...]) -> NDArray[Any] | None:
        try:
            array = _arrays.to_numpy(value, key)
            return _arrays.to_codes(array, key) if self._fits(key, array, shape) else None
        except (TypeError, ValueError) as error:
            self.errors.append(str(error))
            return None

    def _scale(self, key: str, value: Any, rows: int) -> NDArray[Any] | None:
        try:
            return _arrays.to_scale(value, key, rows)
        except (TypeError, ValueError) as error:
            self.errors.append(str(error))
            return None

    def _fits(self, key: str, array: NDArray[Any], expected: tuple[int, ...]) -> bool:
        """Whether `array` is of the shape `expected`; if not, PyTorch's text is noted."""
        if array.shape != expected:
            self.errors.append(
                f"size mismatch for {key}: copying a param with shape {array.shape} from checkpoint, "
                f"the shape in current model is {expected}."
            )
        return array.shape == expected


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
