"""What the converter needs to know about the modules of a model: those of qrnn for NumPy, or PyTorch's.

Each package describes its modules by a `Framework` and registers it; ``qrnn._convert`` does the rest.
"""

from __future__ import annotations

import importlib
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ._belongs import belongs
from ._contents import Content, contents
from ._described import Described
from ._matrices import Matrix
from ._module import MODEL_CALLS
from ._nesting import expect_shallow, named_recursion, nesting_of
from ._spec import module_spec
from ._stream_table import Form

if TYPE_CHECKING:
    from ._model_calls import ModelCalls

__all__ = ["Framework", "Row", "Seer", "framework_of", "register", "torch_side"]


#: A function that is told about a call: name, module, positional and keyword arguments, result.
Seer = Callable[[str, Any, tuple[Any, ...], Any, Any], None]


class Row(NamedTuple):
    """A kind of layer: its float type, its quantized type and its prepared type."""

    float_type: Any
    quantized_type: Any
    prepared_type: Any


class Framework(ABC):
    """How the modules of one framework are found, copied, prepared, quantized and replaced.

    Attributes
    ----------
    module_type : type
        The base class of its modules.
    module_name : str
        The name of that class in error texts.
    quantized_base : type
        The base class of its quantized layers.
    rows : sequence of Row
        The layers that can be quantized.
    """

    module_type: ClassVar[type]
    module_name: ClassVar[str]
    quantized_base: ClassVar[type]
    rows: Sequence[Row]

    def expect(self, model: Any, argument: str) -> None:
        """Raise TypeError naming `argument` unless `model` is a module of this framework, ValueError if too deep."""
        if not isinstance(model, self.module_type):
            cls = type(model)
            raise TypeError(
                f"{argument}: expected a {self.module_name}, got {cls.__module__}.{cls.__qualname__}{belongs(model)}"
            )
        expect_shallow(nesting_of(model, self.children), argument)

    def find(self, module: Any) -> tuple[Row, type] | None:
        """The row that `module`, float, prepared or quantized, belongs to, and which of its types it is."""
        for row in self.rows:
            for each in (row.prepared_type, row.float_type, row.quantized_type):
                if isinstance(module, each):
                    return row, each
        return None

    def weights(self, module: Any) -> list[str]:
        """The names of the weight matrices of `module` if it can be quantized, or is."""
        found = self.find(module)
        if found is None:
            return []
        spec = module._spec if isinstance(module, Described) else module_spec(found[0].float_type.__name__, module)
        return [each.weight for each in spec.matrices if each.multiplies]

    def mappings(self) -> dict[type, Any]:
        """The type that each float type becomes: a new dict."""
        return {row.float_type: row.quantized_type for row in self.rows}

    def known_as(self, named: type) -> type:
        """The float type that a user means by the type `named`; often `named` itself."""
        return named

    def expect_no_loop(self, model: Any, argument: str) -> None:
        """Raise ValueError naming `argument` if `model` contains itself, because it cannot be set to eval mode then."""
        loop = nesting_of(model, self.children).loop
        if loop is not None:
            raise ValueError(f"{argument}: expected modules that do not contain themselves, as {loop!r} does")

    def copied(self, model: Any, instead: Mapping[int, Any] = MappingProxyType({})) -> Any:
        """A deep copy of `model`; objects whose identity is a key of `instead` become its values."""
        with named_recursion(model, self.children, "model"):
            return self._copied(model, dict(instead))

    def _copied(self, model: Any, memo: dict[int, Any]) -> Any:
        return deepcopy(model, memo)

    @abstractmethod
    def take_matrices(self, layer: Any, matrices: list[Matrix]) -> None:
        """Give the quantized `layer` other matrices, quantized or float."""

    @abstractmethod
    def copied_layer(self, layer: Any) -> Any:
        """A copy of the quantized `layer`, for `take_matrices` to change without changing `layer`."""

    def observe_calls(self, model: Any, calls: ModelCalls) -> None:
        """Report every call of the root `model` to `calls`; its copies report to copies of `calls`."""
        vars(model)[MODEL_CALLS] = calls

    def forget_calls(self, model: Any) -> None:
        """Undo `observe_calls`, if it was done."""
        vars(model).pop(MODEL_CALLS, None)

    def replaced(self, new: Any) -> None:  # noqa: B027
        """Finish `new`, which has replaced another module; cannot fail."""

    @contextmanager
    def evaluating(self, model: Any) -> Iterator[None]:
        """Make `model` compute as in use, not as in training, while the context lasts."""
        yield

    def adapted(self, value: Any) -> Any:
        """`value`, an argument of a call, in the form that models of this framework take."""
        return value

    def contents(self, module: Any) -> list[Content]:
        """The arrays that `module` itself holds, without those of modules below it."""
        return contents(module)

    def of_others(self, model: Any) -> dict[str, Any]:
        """The float `model` as quantized by other packages, by their names."""
        return {}

    def is_layer(self, module: Any) -> bool:
        """Whether the modules below `module` are parts of it, and not modules of the model."""
        return False

    def own_nbytes(self, module: Any) -> int | None:
        """The bytes of what `module` itself holds; None if that is unknown."""
        return int(module._own_nbytes())

    def nbytes(self, model: Any) -> int | None:
        """The bytes of the weights of `model` in memory; None if that is unknown."""
        return int(model.nbytes)

    @abstractmethod
    def watching(self, model: Any, names: Collection[str], see: Seer) -> AbstractContextManager[Any]:
        """A model that computes what `model` does and tells `see` about each call of its submodules `names`."""

    @abstractmethod
    def children(self, module: Any) -> Iterable[tuple[str, Any]]:
        """Name and module of every child; a child referenced twice comes twice."""

    @abstractmethod
    def replace(self, parent: Any, name: str, child: Any) -> None:
        """Replace the child `name` of `parent` by `child`."""

    @abstractmethod
    def stays(self, module: Any, base: type) -> str | None:
        """What `module`, an instance of `base`, has and no quantized module would, as a text after "which"; or None."""

    def opaque(self, module: Any) -> str | None:
        """Why nothing inside `module` can be seen and quantized, as the text of a warning; None if it can."""
        return None

    def reads(self, above: Any, module: Any) -> bool:
        """Whether `above` reads the weight of `module`, which is below it, instead of calling it."""
        return False

    def why_float(self, module: Any) -> str:
        """Why `module`, which belongs to no row, cannot be quantized, as the text of a warning."""
        return f"there is no quantized {type(module).__name__}"

    def left_for_convert(self, module: Any) -> bool:
        """Whether `module` cannot be prepared, but can be converted."""
        return False

    def lost_in_conversion(self, module: Any) -> str | None:
        """What `module` has that its quantized module will not have, as the text of a warning."""
        return None

    @abstractmethod
    def prepared_engine(self, module: Any) -> str | None:
        """The engine that `module` was prepared for; None if it is not prepared."""

    @abstractmethod
    def prepared(self, row: Row, module: Any, qconfig: Any, engine: str | None, isa: str | None) -> Any:
        """The prepared module for `module`, float or quantized."""

    @abstractmethod
    def quantized(
        self, target: Any, module: Any, qconfig: Any, engine: str | None, isa: str | None, by_data: bool
    ) -> Any:
        """The quantized module, of type `target`, for `module`, float or prepared.

        `by_data`: whether a prepared module is rounded by the inputs that it was called with.
        """

    @abstractmethod
    def form(self, name: str, module: Any) -> Form | None:
        """How `module`, called `name`, is streamed; None if it has no state. ValueError if it cannot be streamed."""


_registered: list[Framework] = []


def register(framework: Framework) -> None:
    """Make `framework` known to `framework_of`."""
    _registered.append(framework)


def framework_of(model: Any, default: Framework) -> Framework:
    """The framework of `model`; if it is of none, `default`, which will refuse it.

    PyTorch's framework is imported only for a model of PyTorch.
    """
    found = next((each for each in _registered if isinstance(model, each.module_type)), None)
    if found is not None:
        return found
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(model, torch.nn.Module):
        return default
    torch_side()  # registers its framework
    return next(each for each in _registered if isinstance(model, each.module_type))


def torch_side() -> Any:
    """The package ``qrnn.torch``. Outside of that package this is the only place that imports it.

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    """
    return importlib.import_module("qrnn.torch")
