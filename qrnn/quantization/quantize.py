"""prepare, convert and quantize_dynamic: from a float model to a quantized one."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from copy import copy, deepcopy
from typing import Any

from .. import _config
from .._types import expect_qint8, qint8
from ..nn.modules.layer import overrides
from ..nn.modules.module import Module
from ..nn.quantized.dynamic.modules.base import QuantizedLayer
from .choice import Chooser
from .mappings import TABLE, find, get_default_dynamic_quant_module_mappings, overridden
from .prepared import PreparedLayer

__all__ = ["convert", "prepare", "propagate_qconfig_", "quantize_dynamic"]

#: Attribute of a model that prepare(model, qconfig=...) prepared in place: convert does the same.
_MARK = "_converts_in_place"

_NOTHING = (
    "None of the submodule got qconfig applied. Make sure you passed correct configuration through "
    "`qconfig_dict` or by assigning the `.qconfig` attribute directly on submodules"
)


class _Unset:
    """The type of the default of an argument for which None means something."""

    def __repr__(self) -> str:
        return "<not given>"


_UNSET = _Unset()


def prepare(
    model: Module,
    inplace: bool | None = None,
    allow_list: Collection[type] | None = None,
    *,
    qconfig: Any = _UNSET,
    engine: str | None = None,
    isa: str | None = None,
) -> Any:
    """Make a model ready for training or calibration in float, and for `convert`.

    What the model is called with until then is observed, and `convert` rounds the weights by it.

    Each module that can be quantized and has a qconfig is replaced by a float module that keeps
    its engine and qconfig. A module that is quantized already is prepared from its dequantized
    weights; one that still has them, bit for bit, when it is converted gets its codes and scales
    back. One that is prepared already is left as it is.

    Parameters
    ----------
    model : Module
        A torch.nn.Module goes to ``qrnn.torch.prepare``.
    inplace : bool, optional
        Whether to change `model` itself instead of a copy. None means False, unless `qconfig` is
        given: then `model` is changed, and so marked that `convert` changes it too.
    allow_list : collection of types, optional
        Prepare only modules of these types.
    qconfig : QConfig, mapping or None, optional
        A QConfig for every module that can be quantized; or a mapping of type or dotted name to
        QConfig or None (leave out). None and ``{}``: every one, by its engine's own rule. PyTorch's
        QConfigs are taken too. Not given: the modules' own attributes ``qconfig`` and those of
        their parents count. An attribute stands above a name, a name above a type, and all above
        the parent's.
    engine : str, optional
        What the modules will compute with; fixed from here. Default: for modules that are quantized
        already their own, for others the current one, see ``qrnn.engine``.
    isa : str, optional
        Default: ``QRNN_ISA``, else the best.

    Returns
    -------
    Module
        The prepared model.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If `inplace` is True and `model` itself would be replaced, `engine` or `isa` is unknown,
        the engine lacks what a module does, a module was prepared for another engine, or `qconfig`
        says two things of one module that has two names. Nothing has changed then.

    Warns
    -----
    UserWarning
        If there is nothing to prepare, or `qconfig` names a submodule that is not there.

    Examples
    --------
    >>> import qrnn
    >>> model = qrnn.nn.Sequential(qrnn.nn.RNNCell(4, 3), qrnn.nn.Linear(3, 2))
    >>> qrnn.prepare(model, qconfig={})
    Sequential(
      (0): PreparedRNNCell(4, 3, engine=qrnn)
      (1): PreparedLinear(in_features=3, out_features=2, bias=True, engine=qrnn)
    )
    """
    if _is_torch(model):
        return _torch().prepare(model, inplace, allow_list, qconfig=qconfig, engine=engine, isa=isa)
    _expect_model(model, "model")
    given = not isinstance(qconfig, _Unset)
    spec = _CHOOSER.normalised(qconfig, "qconfig", empty_is_all=True) if given else {}
    if engine is not None:
        _config.check_engine(engine)
    _config.resolve_isa(isa)
    in_place = given if inplace is None else inplace
    if not in_place:
        model = _copied(model)
    replacements: dict[int, Module] = {}
    left: list[tuple[Module, Any]] = []  # for convert to warn of
    prepared_before = False
    for name, module, row, chosen in _CHOOSER.quantizable(model, _CHOOSER.choose(model, spec, "qconfig")):
        if allow_list is not None and type(module) not in allow_list and row.float_type not in allow_list:
            continue
        if isinstance(module, PreparedLayer):
            prepared_before = True
            if engine is not None and engine != module._prepared.engine:
                before = module._prepared.engine
                raise ValueError(f"engine: {name or 'the model'} was prepared for {before!r}, got {engine!r}")
        elif overridden(module):
            left.append((module, chosen))
        else:
            with _named(name):
                replacements[id(module)] = row.prepared_type._of(module, chosen, engine, isa)
    if not replacements and not left and not prepared_before:
        warnings.warn(_NOTHING, UserWarning, stacklevel=2)
        return model
    _check_root(model, replacements, inplace)
    for module, chosen in left:
        if not isinstance(module, QuantizedLayer):
            module.qconfig = chosen  # type: ignore[attr-defined]
    model = _swapped(model, replacements)
    if given and inplace is None:
        setattr(model, _MARK, True)
    return model


def convert(
    module: Module,
    mapping: Mapping[type, Any] | None = None,
    inplace: bool | None = None,
    remove_qconfig: bool = True,
    *,
    engine: str | None = None,
    isa: str | None = None,
) -> Any:
    """Quantize the modules that `prepare`, `propagate_qconfig_` or their attribute chose.

    Prepared modules that were called are rounded by the data they saw, see `calibration_report`; their
    biases change too. All others get their plain codes.

    Parameters
    ----------
    module : Module
        The model. A torch.nn.Module goes to ``qrnn.torch.convert``.
    mapping : mapping of type to type, optional
        What each float type becomes: a type with ``from_float``. Default:
        `get_default_dynamic_quant_module_mappings`.
    inplace : bool, optional
        Whether to change `module` itself instead of a copy. None means False, unless
        ``prepare(module, qconfig=...)`` changed it: then True.
    remove_qconfig : bool
        Whether to remove the attributes ``qconfig``.
    engine : str, optional
        For modules that were not prepared; those that were have theirs.
    isa : str, optional
        Default: that of `prepare`, else ``QRNN_ISA``, else the best.

    Returns
    -------
    Module
        The quantized model; `module` unchanged if nobody prepared it.

    Raises
    ------
    TypeError
        If `module` is no Module.
    ValueError
        If `inplace` is True and `module` itself would be replaced, a weight is not finite, or
        `engine` differs from the one of `prepare`. Nothing has changed then.

    Warns
    -----
    UserWarning
        If nobody prepared the model, or a module stays float because its class overrides
        ``forward`` or ``__call__``.

    Examples
    --------
    >>> import qrnn
    >>> model = qrnn.nn.Sequential(qrnn.nn.RNNCell(4, 3))
    >>> prepared = qrnn.prepare(model, qconfig={})
    >>> qrnn.convert(prepared)
    Sequential(
      (0): DynamicQuantizedRNNCell(4, 3)
    )
    """
    if _is_torch(module):
        return _torch().convert(module, mapping, inplace, remove_qconfig, engine=engine, isa=isa)
    _expect_model(module, "module")
    if engine is not None:
        _config.check_engine(engine)
    _config.resolve_isa(isa)
    in_place = module.__dict__.get(_MARK, False) if inplace is None else inplace
    if not any(getattr(each, "qconfig", None) is not None for each in module.modules()):
        warnings.warn(_NOTHING, UserWarning, stacklevel=2)
        return deepcopy(module) if inplace is False else module
    if not in_place:
        module = deepcopy(module)
    chosen = {id(each): getattr(each, "qconfig", None) for each in module.modules()}
    replacements = _quantized(module, chosen, mapping, engine, isa, by_data=True)
    _check_root(module, replacements, inplace)
    module = _swapped(module, replacements)
    _clean(module, remove_qconfig)
    return module


def quantize_dynamic(
    model: Module,
    qconfig_spec: Any = None,
    dtype: Any = qint8,
    mapping: Mapping[type, Any] | None = None,
    inplace: bool = False,
    *,
    engine: str | None = None,
    isa: str | None = None,
) -> Any:
    """Quantize a float model in one step, without data.

    Parameters
    ----------
    model : Module
        The root itself is quantized too, where it can be. A torch.nn.Module goes to ``qrnn.torch``.
    qconfig_spec : None, set or mapping, optional
        None: every module that can be quantized, by its engine's own rule. A set of types and
        dotted names: those. A mapping of type or dotted name to QConfig or None (leave out).
    dtype : qint8
    mapping : mapping of type to type, optional
        What each float type becomes: a type with ``from_float``.
    inplace : bool
        Whether to change `model` itself instead of a copy.
    engine : str, optional
        Default: the current one, see ``qrnn.engine``.
    isa : str, optional
        Default: ``QRNN_ISA``, else the best.

    Returns
    -------
    Module
        The quantized model, in eval mode.

    Raises
    ------
    TypeError
        If an argument is of the wrong type: a list for `qconfig_spec`, say.
    ValueError
        If `dtype` is another, `inplace` is True and `model` itself would be replaced, a weight is
        not finite, or `qconfig_spec` says two things of one module that has two names. Nothing has
        changed then.

    Warns
    -----
    UserWarning
        If nothing was chosen, a name is not there, or a module stays float because its class
        overrides ``forward`` or ``__call__``.

    Examples
    --------
    >>> import qrnn
    >>> qrnn.quantize_dynamic(qrnn.nn.Sequential(qrnn.nn.RNNCell(4, 3), qrnn.nn.Linear(3, 2)), {"0"})
    Sequential(
      (0): DynamicQuantizedRNNCell(4, 3)
      (1): Linear(in_features=3, out_features=2, bias=True)
    )
    """
    if _is_torch(model):
        choice = (qconfig_spec, dtype, mapping, inplace)
        return _torch().quantize_dynamic(model, *choice, engine=engine, isa=isa)
    _expect_model(model, "model")
    expect_qint8(dtype)
    spec = _CHOOSER.normalised(qconfig_spec, "qconfig_spec", empty_is_all=False)
    if engine is not None:
        _config.check_engine(engine)
    _config.resolve_isa(isa)
    if not inplace:
        model = deepcopy(model)
    chosen = _CHOOSER.choose(model, spec, "qconfig_spec")
    if all(qconfig is None for qconfig in chosen.values()):
        warnings.warn(_NOTHING, UserWarning, stacklevel=2)
    replacements = _quantized(model, chosen, mapping, engine, isa, by_data=False)
    _check_root(model, replacements, inplace)
    model = _swapped(model, replacements)
    _clean(model, True)
    return model.eval()


def propagate_qconfig_(module: Module, qconfig_dict: Any = None, prepare_custom_config_dict: Any = None) -> None:
    """Set the attribute ``qconfig`` of a model and of all below it.

    Parameters
    ----------
    module : Module
    qconfig_dict : mapping or None, optional
        Type or dotted name to QConfig or None. An attribute that is there stands above a name, a
        name above a type, and all above the parent's.
    prepare_custom_config_dict : None
        PyTorch's; not used.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If `qconfig_dict` says two things of one module that has two names.

    Examples
    --------
    >>> import qrnn
    >>> from qrnn.quantization import per_channel_dynamic_qconfig, propagate_qconfig_
    >>> model = qrnn.nn.Sequential(qrnn.nn.RNNCell(4, 3))
    >>> propagate_qconfig_(model, {"0": per_channel_dynamic_qconfig})
    >>> model[0].qconfig is per_channel_dynamic_qconfig
    True
    """
    if _is_torch(module):
        _torch().propagate_qconfig_(module, qconfig_dict, prepare_custom_config_dict)
        return
    _expect_model(module, "module")
    spec = {} if qconfig_dict is None else _CHOOSER.normalised(qconfig_dict, "qconfig_dict", empty_is_all=False)
    chosen = _CHOOSER.choose(module, spec, "qconfig_dict")
    for each in module.modules():
        each.qconfig = chosen[id(each)]  # type: ignore[attr-defined]


# ---- models of PyTorch


def _is_torch(model: Any) -> bool:
    """Whether `model` is a torch.nn.Module, without importing PyTorch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def _torch() -> Any:
    """``qrnn.torch.quantization``, whose functions of the same names take torch models."""
    return importlib.import_module("qrnn.torch.quantization")


# ---- what is chosen


def _expect_model(model: Any, name: str) -> None:
    if not isinstance(model, Module):
        cls = type(model)
        raise TypeError(f"{name}: expected a qrnn.nn.Module, got {cls.__module__}.{cls.__qualname__}")


def _known_as(named: type) -> type:
    """The type of ours that stands for PyTorch's type `named`; anything else as it is."""
    for row in TABLE:
        if (named.__module__, named.__name__) == row.quantized_type._torch_type:
            return row.float_type
    return named


_CHOOSER = Chooser(TABLE, find, Module._children, _known_as)


# ---- what it becomes


def _copied(model: Any) -> Any:
    """A copy of `model`, which `convert` does not change where it changes the original."""
    model = deepcopy(model)
    model.__dict__.pop(_MARK, None)
    return model


def _quantized(
    model: Module,
    chosen: Mapping[int, Any],
    mapping: Mapping[type, Any] | None,
    engine: str | None,
    isa: str | None,
    by_data: bool,
) -> dict[int, Module]:
    """The quantized module for each float one that is chosen, by identity.

    `by_data`: whether prepared modules are rounded by the statistics of their inputs.
    """
    table = get_default_dynamic_quant_module_mappings() if mapping is None else mapping
    replacements: dict[int, Module] = {}
    for name, module in model.named_modules():
        qconfig = chosen[id(module)]
        base = next((each for each in type(module).__mro__ if each in table), None)
        if qconfig is None or base is None:
            continue
        if _keeps_its_call(module, base):
            cls = type(module)
            warnings.warn(
                f"{name or 'the model'}: {cls.__qualname__} overrides forward or __call__ and is left float",
                UserWarning,
                stacklevel=3,
            )
            continue
        target: Any = table[base]
        if any(module.__dict__.get(hooks) for hooks in ("_forward_hooks", "_forward_pre_hooks")):
            warnings.warn(
                f"{name or 'the model'}: its hooks are not kept: what it becomes is called in C, which runs none",
                UserWarning,
                stacklevel=3,
            )
        with _named(name):
            if isinstance(target, type) and issubclass(target, QuantizedLayer):
                source = module._unobserved() if isinstance(module, PreparedLayer) and not by_data else module
                replacements[id(module)] = target._from_float(source, qconfig, engine, isa)
            else:
                replacements[id(module)] = _from_float(target.from_float, module, qconfig)
    return replacements


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Have a ValueError begin with the name of the submodule that it is about."""
    try:
        yield
    except ValueError as error:
        if not name:
            raise
        raise ValueError(f"{name}: {error}") from error


def _keeps_its_call(module: Module, base: type) -> bool:
    """Whether `module` says itself what a call does, below `base`, and so cannot be replaced."""
    if isinstance(module, PreparedLayer):
        return overridden(module)
    return overrides(type(module), base)


def _from_float(from_float: Callable[[Any], Module], module: Module, qconfig: Any) -> Module:
    """`module` converted by a type that is not ours, which reads the attribute ``qconfig``."""
    module = copy(module)
    module.qconfig = qconfig  # type: ignore[attr-defined]
    return from_float(module)


def _check_root(model: Module, replacements: Mapping[int, Module], inplace: bool | None) -> None:
    if inplace and id(model) in replacements:
        raise ValueError(
            f"inplace: {type(model).__name__} is itself replaced, which cannot be done in place: use "
            "inplace=False and take what is returned"
        )


def _swapped(model: Module, replacements: Mapping[int, Module]) -> Module:
    """Put `replacements` in place below `model`; returns it or its own replacement."""
    for module in list(model.modules()):
        for name, child in list(module._children()):
            if id(child) in replacements:
                setattr(module, name, replacements[id(child)])
    return replacements.get(id(model), model)


def _clean(model: Module, remove_qconfig: bool) -> None:
    """Remove what `prepare` and `propagate_qconfig_` left."""
    model.__dict__.pop(_MARK, None)
    if remove_qconfig:
        for module in model.modules():
            module.__dict__.pop("qconfig", None)
