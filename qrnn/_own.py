"""What a module adds to the layer that it is a subclass of, and would lose if another layer replaced it."""

from __future__ import annotations

from typing import Any

from ._computed import computed_elsewhere

__all__ = ["class_adds", "float_module_adds", "module_adds"]

_CALL = "overrides forward or __call__"
#: Members that a replacement need not keep: they construct or initialize a layer, or only make texts.
_HARMLESS = frozenset(
    {"__annotate__", "__annotate_func__", "__class_getitem__", "__init__", "__init_subclass__", "__new__", "__repr__"}
    | {"_abc_impl", "extra_repr", "reset_parameters"}
)
#: How many members an error names before it says how many more there are.
_NAMES = 3


def class_adds(cls: type, base: type) -> str | None:
    """What the subclass `cls` adds to `base`, as a text after "which"; None: nothing that counts."""
    for each in cls.__mro__:
        if each is base:
            break
        if "forward" in each.__dict__ or "__call__" in each.__dict__:
            return _CALL
    own = (each for each in cls.__mro__ if each not in base.__mro__ and each.__module__ not in ("abc", "typing"))
    names = [name for each in own for name, value in vars(each).items() if _is_member(name, value)]
    more = len(names) - _NAMES
    listed = ", ".join(names[:_NAMES]) + (f" and {more} more" if more > 0 else "")
    return f"has members of its own ({listed})" if names else None


def _is_member(name: str, value: Any) -> bool:
    """Whether the member `name` of a class would be missed; members that Python itself adds would not."""
    return name not in _HARMLESS and (not name.startswith("__") or callable(value))


def module_adds(mod: Any, base: type) -> str | None:
    """What the torch module `mod` adds to `base`, as a text after "which"."""
    if "forward" in vars(mod):
        return _CALL
    parametrized = "parametrizations" in mod._modules  # PyTorch then made a class for it
    return class_adds(type(mod).__mro__[1] if parametrized else type(mod), base)


def float_module_adds(mod: Any, base: type) -> str | None:
    """As `module_adds`, for a float layer. A weight that is computed in an unknown way counts too."""
    name = computed_elsewhere(mod)
    return module_adds(mod, base) if name is None else f"has a {name} that is no parameter and that no hook computes"
