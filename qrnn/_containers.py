"""Sequential, ModuleList and ModuleDict."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, SupportsIndex, TypeVar, overload

from ._belongs import belongs
from ._module import Module, indented
from ._public import public

if TYPE_CHECKING:
    from collections.abc import ItemsView, KeysView, ValuesView

    from typing_extensions import Unpack

    from ._typing import Array, HasForward, Input, R, T, Tensor
else:
    R = TypeVar("R")

__all__ = ["ModuleDict", "ModuleList", "Sequential"]

L = TypeVar("L", bound="_List[Any]")


class _List(Module, Generic[R]):
    """Modules in a row, kept as children named "0", "1", ... ."""

    def _items(self) -> dict[str, Module]:
        return dict(self._children())

    def _replace(self, modules: Iterable[Module]) -> None:
        """Make `modules` the children, numbered from 0."""
        modules = list(modules)
        for module in modules:
            _expect_module(module)
        for name in self._items():
            delattr(self, name)
        for index, module in enumerate(modules):
            self.add_module(str(index), module)

    def _name(self, index: SupportsIndex) -> str:
        names, i = list(self._items()), operator.index(index)
        if not -len(names) <= i < len(names):
            raise IndexError(f"index {i} is out of range")
        return names[i]

    @overload
    def __getitem__(self: Sequential[Any], index: slice) -> Sequential[Any]: ...  # type: ignore[misc]
    @overload
    def __getitem__(self: L, index: slice) -> L: ...
    @overload
    def __getitem__(self, index: SupportsIndex) -> R: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        if isinstance(index, slice):
            return self._sliced(list(self._items().items())[index])
        return getattr(self, self._name(index))

    def _sliced(self, items: list[tuple[str, Module]]) -> Module:
        raise NotImplementedError

    def __setitem__(self, index: SupportsIndex, module: Module) -> None:
        _expect_module(module)
        setattr(self, self._name(index), module)

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        names = list(self._items())[index] if isinstance(index, slice) else [self._name(index)]
        self._replace([module for name, module in self._children() if name not in names])

    def __len__(self) -> int:
        return len(self._items())

    def __iter__(self) -> Iterator[R]:
        modules: Iterator[Any] = iter(self._items().values())
        return modules

    def append(self: L, module: Module) -> L:
        """Add `module` at the end; returns this container."""
        _expect_module(module)
        number = len(self)
        while str(number) in self.__dict__:  # skips names of children that were set to None
            number += 1
        self.add_module(str(number), module)
        return self

    def insert(self: L, index: SupportsIndex, module: Module) -> L:
        """Put `module` before position `index`; returns this container."""
        modules, i = list(self), operator.index(index)
        if not -len(modules) <= i <= len(modules):
            raise IndexError(f"Index out of range: {i}")
        modules.insert(i, module)
        self._replace(modules)
        return self

    def extend(self: L, modules: Iterable[Module]) -> L:
        """Add all of `modules` at the end; returns this container."""
        modules = list(modules)
        for module in modules:
            _expect_module(module)
        for module in modules:
            self.append(module)
        return self

    def pop(self, index: SupportsIndex = -1) -> R:
        """Take the module at `index` out and return it."""
        module = self[index]
        del self[index]
        return module


def _expect_module(module: Any) -> None:
    if not isinstance(module, Module):
        raise TypeError(f"{type(module).__name__} is not a Module subclass{belongs(module)}")


@public("qrnn.nn")
class Sequential(_List[Any], Generic[R]):
    """Modules called one after the other, as ``torch.nn.Sequential``.

    Parameters
    ----------
    *args : Module, or one mapping of str to Module
        A mapping (an OrderedDict in PyTorch) gives them names.

    Raises
    ------
    TypeError
        If something else is given.

    Examples
    --------
    >>> import qrnn.nn as nn
    >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    >>> model
    Sequential(
      (0): Linear(in_features=4, out_features=3, bias=True)
      (1): ReLU()
    )
    >>> len(model[:1]), model[-1]
    (1, ReLU())
    """

    @overload
    def __init__(self, *args: Unpack[tuple[Unpack[tuple[Module, ...]], HasForward[[Array], R]]]) -> None: ...
    @overload
    def __init__(self, *args: HasForward[[Array], R]) -> None: ...
    @overload
    def __init__(self, modules: Mapping[str, HasForward[[Array], R]], /) -> None: ...
    @overload
    def __init__(self: Sequential[Any], modules: Mapping[str, Module], /) -> None: ...
    @overload
    def __init__(self: Sequential[Any], *args: Module) -> None: ...
    def __init__(self, *args: Any) -> None:  # type: ignore[misc]
        super().__init__()
        if len(args) == 1 and isinstance(args[0], dict):
            for name, module in args[0].items():
                _expect_module(module)
                self.add_module(name, module)
        else:
            self._replace(args)

    def _sliced(self, items: list[tuple[str, Module]]) -> Module:
        return type(self)(dict(items))

    @overload
    def forward(self: Sequential[Array], input: Tensor[T]) -> T: ...
    @overload
    def forward(self, input: Tensor[Any]) -> Any: ...
    @overload
    def forward(self, input: Input) -> R: ...
    def forward(self, input: Any) -> Any:
        """The last module's result for `input`."""
        for module in self:
            input = module(input)
        return input

    if TYPE_CHECKING:

        @overload
        def __call__(self: Sequential[Array], input: Tensor[T]) -> T: ...
        @overload
        def __call__(self, input: Tensor[Any]) -> Any: ...
        @overload
        def __call__(self, input: Input) -> R: ...
        def __call__(self, input: Any) -> Any: ...


@public("qrnn.nn")
class ModuleList(_List[R]):
    """Modules in a list, as ``torch.nn.ModuleList``; it cannot be called.

    Parameters
    ----------
    modules : iterable of Module, optional

    Raises
    ------
    TypeError
        If something else is given.

    Examples
    --------
    >>> import qrnn.nn as nn
    >>> nn.ModuleList(nn.RNNCell(4, 4) for _ in range(2))
    ModuleList(
      (0-1): 2 x RNNCell(4, 4)
    )
    """

    @overload
    def __init__(self: ModuleList[Any], modules: None = None) -> None: ...
    @overload
    def __init__(self, modules: Iterable[R]) -> None: ...
    def __init__(self, modules: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._replace(() if modules is None else modules)

    def _sliced(self, items: list[tuple[str, Module]]) -> Module:
        return type(self)(module for _, module in items)

    def __add__(self, other: Iterable[Module]) -> ModuleList[R]:
        return ModuleList([*self, *other])

    def __iadd__(self: L, modules: Iterable[Module]) -> L:
        return self.extend(modules)

    def _repr_children(self) -> list[str]:
        """Equal neighbors in one line, as PyTorch shows them."""
        blocks: list[tuple[str, int, int]] = []
        for index, text in enumerate(repr(module) for module in self):
            if blocks and blocks[-1][0] == text:
                blocks[-1] = (text, blocks[-1][1], index)
            else:
                blocks.append((text, index, index))
        return [
            f"({first}): {indented(text)}"
            if first == last
            else f"({first}-{last}): {last - first + 1} x {indented(text)}"
            for text, first, last in blocks
        ]


@public("qrnn.nn")
class ModuleDict(Module, Generic[R]):
    """Modules by names, as ``torch.nn.ModuleDict``; it cannot be called.

    Parameters
    ----------
    modules : mapping of str to Module, or iterable of pairs of them, optional

    Raises
    ------
    TypeError
        If something else is given.
    KeyError
        If a name is empty, contains a dot, or is that of a method.

    Examples
    --------
    >>> import qrnn.nn as nn
    >>> heads = nn.ModuleDict({"key": nn.Linear(4, 3), "gate": nn.Sigmoid()})
    >>> heads
    ModuleDict(
      (key): Linear(in_features=4, out_features=3, bias=True)
      (gate): Sigmoid()
    )
    >>> heads["gate"], list(heads)
    (Sigmoid(), ['key', 'gate'])
    """

    @overload
    def __init__(self: ModuleDict[Any], modules: None = None) -> None: ...
    @overload
    def __init__(self, modules: Mapping[str, R] | Iterable[tuple[str, R]]) -> None: ...
    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def _items(self) -> dict[str, R]:
        modules: Any = dict(self._children())
        return modules  # type: ignore[no-any-return]

    def __getitem__(self, key: str) -> R:
        return self._items()[key]

    def __setitem__(self, key: str, module: R) -> None:
        _expect_module(module)
        self.add_module(key, module)  # type: ignore[arg-type]

    def __delitem__(self, key: str) -> None:
        self._items()[key]  # KeyError if no module has this name
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._items())

    def __iter__(self) -> Iterator[str]:
        return iter(self._items())

    def __contains__(self, key: object) -> bool:
        return key in self._items()

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._items().keys()

    def values(self) -> ValuesView[R]:
        """The modules."""
        return self._items().values()

    def items(self) -> ItemsView[str, R]:
        """Pairs of name and module."""
        return self._items().items()

    def clear(self) -> None:
        """Take all modules out."""
        for name in self._items():
            delattr(self, name)

    def pop(self, key: str) -> R:
        """Take the module `key` out and return it."""
        module = self[key]
        del self[key]
        return module

    def update(self, modules: Mapping[str, R] | Iterable[tuple[str, R]]) -> None:
        """Add modules; they replace those of the same names.

        Parameters
        ----------
        modules : mapping of str to Module, or iterable of pairs of them

        Raises
        ------
        TypeError, KeyError
            As the constructor.
        """
        if not isinstance(modules, (Mapping, ModuleDict, Iterable)):
            kind = type(modules).__name__
            raise TypeError(f"ModuleDict.update should be called with an iterable of key/value pairs, but got {kind}")
        pairs = modules.items() if isinstance(modules, (Mapping, ModuleDict)) else modules
        for name, module in dict(pairs).items():
            self[name] = module
