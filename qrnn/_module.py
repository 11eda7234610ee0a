"""Module: the base class of everything in ``qrnn.nn``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from . import _core
from ._belongs import belongs
from ._loading import LoadPlan, LoadResult
from ._parameters import ArrayKeeper
from ._public import public

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._typing import HasForward, P, T_co

__all__ = ["MODEL_CALLS", "OWN_NAMES", "Module", "RemovableHandle", "indented"]

T = TypeVar("T", bound="Module")

#: Where modules keep what is theirs, once there is some: no child has such a name.
OWN_NAMES = frozenset({"_kept", "_forward_hooks", "_forward_pre_hooks", "_stream_place", "_done"})

#: The attribute of a prepared model's root that observes its calls as a whole, see ``_model_calls``.
MODEL_CALLS = "_model_calls"


@public("qrnn.nn.modules.module")
class RemovableHandle:
    """The handle of a registered hook; ``remove()`` unregisters it.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> model = qrnn.nn.Sequential(qrnn.nn.Linear(4, 3))
    >>> with model.register_forward_hook(lambda module, args, result: print(result.shape)):
    ...     y = model(np.ones((2, 4), np.float32))
    (2, 3)
    >>> y = model(np.ones((2, 4), np.float32))  # the hook is gone
    """

    def __init__(self, hooks: dict[object, Callable[..., Any]], key: object) -> None:
        self._hooks = hooks
        self._key = key

    def remove(self) -> None:
        """Unregister the hook; a second call does nothing."""
        self._hooks.pop(self._key, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


@public("qrnn.nn")
class Module(ArrayKeeper):
    """Base class of models and layers, as ``torch.nn.Module``.

    A model is a subclass that keeps its layers as attributes and defines ``forward``. Its children
    are the attributes that are Modules, in the order in which they were first set. ``__init__``
    takes no arguments and need not be called.

    Attributes
    ----------
    training : bool
        True until `eval` is called. No layer of qrnn depends on it.

    Notes
    -----
    Calls of layers that compute (`Linear`, `RNNCell`, ...) run in C. If a subclass of such a layer
    defines ``forward``, a call runs that instead.

    Examples
    --------
    >>> import numpy as np, qrnn.nn as nn
    >>> class Model(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.cell = nn.RNNCell(4, 3)
    ...         self.readout = nn.Linear(3, 2)
    ...     def forward(self, x, h=None):
    ...         return self.readout(self.cell(x, h))
    >>> model = Model()
    >>> model
    Model(
      (cell): RNNCell(4, 3)
      (readout): Linear(in_features=3, out_features=2, bias=True)
    )
    >>> model(np.zeros((5, 4), np.float32)).shape
    (5, 2)
    >>> list(model.state_dict())[:2]
    ['cell.weight_ih', 'cell.weight_hh']
    """

    training: bool = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not issubclass(cls, _core.Module):
            return
        # Calls go to C, unless a class before the layer's in the MRO defines __call__, which Python
        # finds by itself, or forward; then the subclass gets the __call__ that runs it.
        for base in cls.__mro__:
            if "__call__" in base.__dict__:
                break
            if "forward" in base.__dict__:
                cls.__call__ = Module.__call__  # type: ignore[method-assign]
                break

    # ---- calling

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute a call; subclasses define it.

        Raises
        ------
        NotImplementedError
            In this base class.
        """
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self: HasForward[P, T_co], *args: P.args, **kwargs: P.kwargs) -> T_co:
        """Run the pre-hooks, ``forward`` and the hooks."""
        own = self.__dict__
        calls = own.get(MODEL_CALLS)
        if calls is not None and not calls.entered:
            with calls.call(args, kwargs):
                return self.__call__(*args, **kwargs)  # type: ignore[operator, no-any-return]
        given: Any = args
        for pre_hook in tuple(own.get("_forward_pre_hooks", {}).values()):
            changed = pre_hook(self, given)
            if changed is not None:
                given = changed if isinstance(changed, tuple) else (changed,)
        result = self.forward(*given, **kwargs)
        for hook in tuple(own.get("_forward_hooks", {}).values()):
            changed = hook(self, given, result)
            if changed is not None:
                result = changed
        return result

    def register_forward_hook(self, hook: Callable[[Any, tuple[Any, ...], Any], Any]) -> RemovableHandle:
        """Register ``hook(module, args, result)``, which is called after each `forward`.

        Parameters
        ----------
        hook : callable
            Its return value, unless None, replaces the result.

        Returns
        -------
        RemovableHandle

        Raises
        ------
        RuntimeError
            If this module is called in C, where hooks do not run. Subclass it and define
            ``forward``, or register the hook on the module that calls it.
        """
        return self._register("_forward_hooks", hook)

    def register_forward_pre_hook(self, hook: Callable[[Any, tuple[Any, ...]], Any]) -> RemovableHandle:
        """Register ``hook(module, args)``, which is called before each `forward`.

        Its return value, unless None, replaces the positional arguments. For the rest see
        `register_forward_hook`.
        """
        return self._register("_forward_pre_hooks", hook)

    def _called_in_c(self) -> bool:
        """Whether a call runs no Python code, so neither hooks nor a ``forward`` set on this object."""
        call: object = type(self).__call__
        return isinstance(self, _core.Module) and call is _core.Module.__call__

    def _register(self, where: str, hook: Callable[..., Any]) -> RemovableHandle:
        if self._called_in_c():
            name = type(self).__name__
            raise RuntimeError(
                f"{name} is called in C and runs no hooks: subclass it with a forward of its own, "
                "or register the hook on the module that calls it"
            )
        hooks: dict[object, Callable[..., Any]] = self.__dict__.setdefault(where, {})
        key = object()  # differs from the keys of all hooks, also of removed and unpickled ones
        hooks[key] = hook
        return RemovableHandle(hooks, key)

    # ---- the tree

    def _children(self) -> Iterator[tuple[str, Module]]:
        """Every attribute that is a Module; a module referenced twice comes twice."""
        for name, value in tuple(self.__dict__.items()):
            if isinstance(value, Module):
                yield name, value

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Name and module of each child; a child referenced twice comes once."""
        seen: set[int] = set()
        for name, child in self._children():
            if id(child) not in seen:
                seen.add(id(child))
                yield name, child

    def children(self) -> Iterator[Module]:
        """Each child once."""
        return (child for _, child in self.named_children())

    def named_modules(
        self, memo: set[int] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Dotted name and module: this one (named `prefix`), then all below it, parents first.

        Parameters
        ----------
        memo : set, optional
            Identities of modules to leave out; the yielded modules are added.
        prefix : str
            Is put before the names.
        remove_duplicate : bool
            Whether a module referenced twice comes once.
        """
        memo = set() if memo is None else memo
        if remove_duplicate:
            if id(self) in memo:
                return
            memo.add(id(self))
        yield prefix, self
        for name, child in self._children():
            yield from child.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and each below it, once."""
        return (module for _, module in self.named_modules())

    def get_submodule(self, target: str) -> Module:
        """The module of the dotted name `target`; ``""`` is this one.

        Raises
        ------
        AttributeError
            If there is no such module.
        """
        module = self
        for name in target.split(".") if target else ():
            child = module.__dict__.get(name)
            if not isinstance(child, Module):
                raise AttributeError(f"{type(module).__name__} has no submodule {name!r}")
            module = child
        return module

    def add_module(self, name: str, module: Module | None) -> None:
        """Make `module` the child `name`, which need not be an identifier.

        Raises
        ------
        TypeError
            If `module` is not a Module or `name` not a str.
        KeyError
            If `name` is empty, contains a dot, or is an attribute of another kind.
        """
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass{belongs(module)}")
        if not isinstance(name, str):
            raise TypeError(f"module name should be a string. Got {type(name).__name__}")
        if not name or "." in name:
            raise KeyError(f'module name can\'t be empty or contain ".", got: {name!r}')
        if name in OWN_NAMES or (hasattr(self, name) and not isinstance(self.__dict__.get(name), Module)):
            raise KeyError(f"attribute '{name}' already exists")
        setattr(self, name, module)

    def apply(self: T, fn: Callable[[Module], object]) -> T:
        """Call `fn` with every child, depth first, and then with this module, which is returned."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self: T, mode: bool = True) -> T:
        """Set `training` of this module and all below it; returns this module.

        Raises
        ------
        ValueError
            If `mode` is not a bool.
        """
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self: T) -> T:
        """``train(False)``."""
        return self.train(False)

    @property
    def nbytes(self) -> int:
        """Memory that the weights of this module and of all below it take, in bytes."""
        return sum(module._own_nbytes() for module in self.modules())

    def _own_nbytes(self) -> int:
        """Memory of this module's own weights, without its children's."""
        packed = _core.Module.nbytes.__get__(self) if isinstance(self, _core.Module) else 0
        return int(packed) + sum(array.nbytes for _, array in self._kept_arrays())

    # ---- state

    def state_dict(self, *, prefix: str = "") -> dict[str, NDArray[Any]]:
        """All weights by their dotted names: plain arrays, fresh copies.

        Quantized modules give int8 codes and, under the name with ``_scale``, their float32 scales. They, and float
        modules that PyTorch lacks, also give their description under ``format``: `describe` as JSON in bytes.

        Parameters
        ----------
        prefix : str
            Is put before every name.

        Returns
        -------
        dict of str to ndarray
            Can be saved by ``np.savez(file, **model.state_dict())``.
        """
        state = {prefix + name: array for name, array in self._state().items()}
        for name, child in self._children():
            state.update(child.state_dict(prefix=f"{prefix}{name}."))
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> LoadResult:
        """Load weights by their names: all of them, or none if anything fails.

        Parameters
        ----------
        state_dict : mapping of str to array_like
            The result of `state_dict`, of ``np.load`` for it, or tensors.
        strict : bool
            Whether missing and unexpected names are errors. Wrong shapes and values always are.

        Returns
        -------
        LoadResult
            ``missing_keys`` and ``unexpected_keys``.

        Raises
        ------
        TypeError
            If `state_dict` is not a mapping.
        RuntimeError
            It names every missing, unexpected or misshapen key at once, every invalid value (a scale that is
            not finite or not positive, integers for float weights), and every difference between these layers
            and the entries ``format``. Nothing has changed then.

        Warns
        -----
        UserWarning
            If weights of a layer that should have a ``format`` come without one, as in version 0.1.0.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict).__name__}.")
        plan = LoadPlan(state_dict)
        self._plan_all("", plan)
        return plan.finish(type(self).__name__, strict)

    def _plan_all(self, prefix: str, plan: LoadPlan) -> None:
        self._plan_load(prefix, plan)
        for name, child in self._children():
            child._plan_all(f"{prefix}{name}.", plan)

    # ---- text

    def extra_repr(self) -> str:
        """What ``repr`` shows between the parentheses before the children."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def _repr_html_(self) -> str:
        """For Jupyter: a line for each module, which unfolds into its weights and the modules below it."""
        from ._contents import contents
        from ._module_html import shown

        return shown(self, lambda module: module._children(), contents)

    def _repr_children(self) -> list[str]:
        return [f"({name}): {indented(repr(child))}" for name, child in self._children()]

    def __repr__(self) -> str:
        text = self.extra_repr()
        extra = text.split("\n") if text else []
        children = self._repr_children()
        if len(extra) <= 1 and not children:
            return f"{self._get_name()}({''.join(extra)})"
        return f"{self._get_name()}(\n  " + "\n  ".join(extra + children) + "\n)"


def indented(text: str) -> str:
    """`text` with every line but the first indented by two spaces."""
    return text.replace("\n", "\n  ")
