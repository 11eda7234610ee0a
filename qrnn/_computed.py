"""Weights of a torch module that are computed from its other parameters: the values that its next call would use.

``weight_norm``, ``spectral_norm`` and ``prune`` of ``torch.nn.utils`` remove a weight from the module's parameters.
A forward pre-hook then computes it at each call and sets it as a plain attribute, which keeps its value until the next
call. A user's own hooks may do the same. Parametrizations compute a weight when it is read.

PyTorch is reached through ``sys.modules``: it is there if any module of it exists.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Hashable, Iterable, Mapping
from copy import copy, deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ._spec import LayerSpec

__all__ = ["NOTHING_COMPUTED", "Computed", "computed_elsewhere", "computed_weights"]

#: The endings of the names of parameters from which PyTorch's hooks compute a weight.
_ENDINGS = ("_g", "_v", "_u", "_orig", "_mask")

#: A pattern for the name of a weight or a bias of any layer.
_WEIGHT = r"(weight|bias)(_(ih|hh|hr)(_l\d+(_reverse)?)?)?"


class Computed(NamedTuple):
    """The computed weights of a module, and what computes them."""

    values: Mapping[str, Any]  # tensors by the names of parameters
    hooks: frozenset[Hashable]  # keys of forward pre-hooks
    sources: frozenset[str]  # parameters and buffers that only PyTorch's own hooks read


NOTHING_COMPUTED = Computed({}, frozenset(), frozenset())


def computed_weights(mod: Any, spec: LayerSpec) -> Computed:
    """The weights and biases that a call of the torch module `mod` in eval mode would compute.

    `mod` does not change: hooks run on a copy.

    Raises
    ------
    ValueError
        If a hook that computes a weight fails outside of a call, or also changes the input; or if a weight is neither
        a parameter nor computed by a hook.
    """
    names = list(spec.slots)
    values = dict(_parametrized(mod, names))
    hooks: Mapping[Hashable, Any] = vars(mod).get("_forward_pre_hooks") or {}
    known = {key: target for key, hook in hooks.items() if (target := _target(hook)) is not None}
    unexplained = {name for name in names if name in vars(mod) or name in mod._buffers} - set(known.values())
    wanted = [key for key, hook in hooks.items() if key in known or unexplained or _mentions(hook, names)]
    if not wanted:
        return Computed(values, frozenset(), frozenset())
    probe, example, computing = _probe(mod, names), _example(spec), set()
    for key in wanted:
        run = _runner(mod, key, hooks[key], example)
        try:
            with sys.modules["torch"].no_grad():
                computed = [known[key]] if key in known else _changed(run, _probe(mod, names), names)
                changes_input = run(probe) is not None
        except Exception as error:
            raise ValueError(f"a hook that may compute {_named(unexplained or names)} failed: {error}") from error
        computed = [name for name in computed if name in spec.slots]
        if computed and changes_input:
            raise ValueError(f"{_named(computed)}: expected a hook that computes it to leave the input as it is")
        if computed:
            computing.add(key)
            values.update({name: _tensor(probe, name) for name in computed})
    rest = sorted(name for name in unexplained if name in vars(mod) and name not in values)
    if rest:
        raise ValueError(f"{rest[0]}: expected a parameter, or a hook of the module that computes it, got neither")
    sources = _sources(known, computing)
    computing |= {key for key, target in known.items() if target in sources}
    return Computed(values, frozenset(computing), _sources(known, computing))


def computed_elsewhere(mod: Any) -> str | None:
    """The name of a weight of the torch module `mod` that is not a parameter and cannot come from its hooks.

    Something unknown sets it, such as another module, so it may be the weight of this call or of an older one.
    """
    if vars(mod).get("_forward_pre_hooks"):
        return None
    tensor = sys.modules["torch"].Tensor
    names = (name for name in vars(mod) if re.fullmatch(_WEIGHT, name))
    return next((name for name in names if isinstance(vars(mod)[name], tensor)), None)


def _parametrized(mod: Any, names: Iterable[str]) -> Iterable[tuple[str, Any]]:
    """Parametrized weights in eval mode; in training mode, reading them could change their parameters."""
    parametrizations = mod._modules.get("parametrizations")
    if parametrizations is None or not mod.training:
        return
    for name in names:
        if name in parametrizations:
            with sys.modules["torch"].no_grad():
                yield name, deepcopy(parametrizations[name]).eval()()


def _target(hook: Any) -> str | None:
    """The name of the attribute that one of PyTorch's hooks computes; None for other hooks."""
    for cls in type(hook).__mro__:
        place, _, name = cls.__module__.rpartition(".")
        if place == "torch.nn.utils" and name in ("weight_norm", "spectral_norm", "prune"):
            target = getattr(hook, "_tensor_name" if name == "prune" else "name", None)
            return target if isinstance(target, str) else None
    return None


def _mentions(hook: Any, names: Iterable[str]) -> bool:
    """Whether the code of `hook`, or one of its attributes, holds one of `names`."""
    function = getattr(hook, "func", hook)
    function = getattr(function, "__func__", function)
    if not hasattr(function, "__code__"):
        function = vars(type(function)).get("__call__")
    cells = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    defaults = getattr(function, "__defaults__", None) or ()
    own = (vars(each) for each in (hook, getattr(hook, "__self__", None)) if hasattr(each, "__dict__"))
    bound = (*getattr(hook, "args", ()), *getattr(hook, "keywords", {}).values())  # of a functools.partial
    known = [*(value for each in own for value in each.values()), *bound, *defaults, *cells]
    texts = {value for value in known if isinstance(value, str)}
    codes = [code for code in [getattr(function, "__code__", None)] if code is not None]
    for code in codes:  # the list grows meanwhile
        texts |= {*code.co_names, *(each for each in code.co_consts if isinstance(each, str))}
        codes += [each for each in code.co_consts if hasattr(each, "co_consts")]
    return not texts.isdisjoint(names)


def _runner(mod: Any, key: Hashable, hook: Callable[..., Any], example: Any) -> Callable[[Any], Any]:
    """`hook` as a function of a module, called with the input `example`."""
    if key in mod._forward_pre_hooks_with_kwargs:
        return lambda probe: hook(probe, (example,), {})
    return lambda probe: hook(probe, (example,))


def _changed(run: Callable[[Any], Any], probe: Any, names: list[str]) -> list[str]:
    """The names of the weights that a hook sets or changes. It runs on weights that it has not changed before."""
    for index, name in enumerate(names):
        tensor = _tensor(probe, name)
        if tensor is not None:
            tensor.copy_(sys.modules["torch"].arange(1000, 1000 + tensor.numel()).view(tensor.shape) + index)
    before = {name: _tensor(probe, name) for name in names}
    values = {name: _cloned(tensor) for name, tensor in before.items()}
    run(probe)
    after = {name: _tensor(probe, name) for name in names}
    return [name for name in names if after[name] is not before[name] or not _same(after[name], values[name])]


def _sources(known: Mapping[Hashable, str], hooks: Iterable[Hashable]) -> frozenset[str]:
    """The names of the parameters from which PyTorch's own among `hooks` compute weights."""
    return frozenset(known[key] + ending for key in hooks if key in known for ending in _ENDINGS)


def _probe(mod: Any, names: Iterable[str]) -> Any:
    """A copy of `mod` in eval mode with copied tensors, for hooks to run on."""
    torch, probe = sys.modules["torch"], object.__new__(type(mod))
    state = {key: copy(each) if isinstance(each, (dict, list, set)) else each for key, each in vars(mod).items()}
    state["_parameters"] = {
        name: None if each is None else torch.nn.Parameter(_cloned(each), requires_grad=False)
        for name, each in mod._parameters.items()
    }
    state["_buffers"] = {name: _cloned(each) for name, each in mod._buffers.items()}
    state.update({name: _cloned(state[name]) for name in names if name in state}, training=False)
    probe.__dict__.update(state)
    return probe


def _example(spec: LayerSpec) -> Any:
    """An input of one row, of zeros."""
    return sys.modules["torch"].zeros((1, 1, spec.input_size) if spec.sequence else (1, spec.input_size))


def _tensor(probe: Any, name: str) -> Any:
    """The tensor called `name`, wherever it is kept; None for a parametrized one."""
    for place in (vars(probe), probe._parameters, probe._buffers):
        if name in place:
            return place[name]
    return None


def _cloned(tensor: Any) -> Any:
    return tensor.detach().clone() if hasattr(tensor, "detach") else tensor


def _same(a: Any, b: Any) -> bool:
    return a is b or (a.shape == b.shape and bool((a == b).all()))


def _named(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
