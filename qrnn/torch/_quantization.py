"""prepare, convert and quantize_dynamic for torch models."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import torch

from .. import _config
from .._convert import NOT_GIVEN, Converter, copied, named_errors, put_in_place
from .._defaults import expect_defaults
from .._left_float import warn_of_opaque
from .._public import same
from .._selection import paths_of
from .._types import qint8
from . import _torch_ao
from ._framework import TORCH
from ._modules import take_hooks

if TYPE_CHECKING:
    from ._roots import converting, preparing, quantizing, taking_over
else:
    converting = preparing = quantizing = taking_over = same

__all__ = [
    "convert",
    "from_torch_ao",
    "prepare",
    "prepare_qat",
    "propagate_qconfig_",
    "quantize_dynamic",
]

Module = torch.nn.Module


@preparing
def prepare(
    model: Module,
    inplace: bool | None = None,
    allow_list: Collection[type] | None = None,
    observer_non_leaf_module_list: None = None,
    prepare_custom_config_dict: None = None,
    *,
    qconfig: Any = NOT_GIVEN,
    engine: str | None = None,
    isa: str | None = None,
) -> Any:
    """Make a model ready for calibration or for quantization-aware training, and for `convert`.

    Each module that can be quantized and has a qconfig is replaced by a trainable float module. In eval mode the
    engine itself computes, and what it is called with is observed: `convert` rounds the weights by it, where that
    shows a gain (docs/calibration.md). In training mode its forward quantizes weights, inputs and states to the
    grid of its engine, and gradients pass straight through the rounding; what was observed is dropped then, nothing
    is observed any more (but after ``enable_observer``), and `convert` changes no bit of what eval mode computes. Its
    parameters are those of the float module: optimisers that hold them go on. A module
    that is quantized already is prepared from its dequantized weights; one that still has them, bit for bit,
    when it is converted gets its codes and scales back. One that is prepared already is left as it is.

    Parameters
    ----------
    model : torch.nn.Module
    inplace : bool, optional
        Whether to change `model` itself instead of a copy. None means False, unless `qconfig` is given: then
        `model` is changed, and so marked that `convert` changes it too.
    allow_list : collection of types, optional
        Prepare only modules of these types.
    observer_non_leaf_module_list, prepare_custom_config_dict : None
        PyTorch's, which nothing here needs: ValueError if anything is in them.
    qconfig : QConfig, mapping or None, optional
        A QConfig for every module that can be quantized; or a mapping of type or dotted name to QConfig or
        None (leave out). None and ``{}``: every one, by its engine's own rule. PyTorch's QConfigs are taken
        too. Not given: the modules' own attributes ``qconfig`` and those of their parents count. An attribute
        stands above a name, a name above a type, and all above the parent's. The name of a weight,
        ``"lstm.weight_ih_l0"``, stands above all, for that weight alone: `float_qconfig` or None leave it float32,
        see docs/precision.md.
    engine : str, optional
        What the modules will compute with; fixed from here. Default: for modules that are quantized already
        their own, for others the current one, see ``qrnn.engine``.
    isa : str, optional
        Default: ``QRNN_ISA``, else the best.

    Returns
    -------
    torch.nn.Module
        The prepared model.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If `inplace` is True and `model` itself would be replaced, `engine` or `isa` is unknown, or a module
        was prepared for another engine, or is an LSTM with a projection, which the torch engines have not.
        Nothing has changed then.

    Warns
    -----
    UserWarning
        If there is nothing to prepare, `qconfig` names a submodule or a weight that is not there, or something that was
        asked for stays as it is: a type or a name without a quantized form, a ScriptModule, a Linear whose
        weight PyTorch's attention or encoder layer reads.

    Examples
    --------
    >>> import torch, qrnn.torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3))
    >>> qrnn.torch.prepare(model, qconfig={})
    Sequential(
      (0): PreparedLinear(in_features=4, out_features=3, bias=True, engine=qrnn)
    )
    """
    expect_defaults(
        observer_non_leaf_module_list=observer_non_leaf_module_list,
        prepare_custom_config_dict=prepare_custom_config_dict,
    )
    return Converter(TORCH, engine, isa).prepare(model, inplace, allow_list, qconfig)


@preparing
def prepare_qat(
    model: Module,
    mapping: None = None,
    inplace: bool | None = None,
    *,
    qconfig: Any = NOT_GIVEN,
    engine: str | None = None,
    isa: str | None = None,
) -> Any:
    """`prepare` of a model that is in training mode.

    Parameters
    ----------
    model : torch.nn.Module
    mapping : None
        PyTorch's; not used.
    inplace, qconfig, engine, isa
        As for `prepare`.

    Returns
    -------
    torch.nn.Module
        The prepared model.

    Raises
    ------
    AssertionError
        If `model` is in eval mode.
    TypeError, ValueError
        As `prepare`.

    Examples
    --------
    >>> import torch, qrnn.torch
    >>> model = qrnn.torch.prepare_qat(torch.nn.Sequential(torch.nn.RNNCell(4, 3)), qconfig={})
    >>> model[0](torch.ones(2, 4)).requires_grad
    True
    """
    TORCH.expect(model, "model")
    if not model.training:
        raise AssertionError("prepare_qat only works on models in training mode")
    if mapping is not None:
        raise ValueError("mapping: expected None: what is trained is what is converted")
    return prepare(model, inplace, qconfig=qconfig, engine=engine, isa=isa)


@converting
def convert(
    module: Module,
    mapping: Mapping[type, Any] | None = None,
    inplace: bool | None = None,
    remove_qconfig: bool = True,
    is_reference: bool = False,
    convert_custom_config_dict: None = None,
    use_precomputed_fake_quant: bool = False,
    *,
    engine: str | None = None,
    isa: str | None = None,
) -> Any:
    """Quantize the modules that `prepare`, `propagate_qconfig_` or their attribute chose.

    Prepared modules that were called in eval mode, and never in training mode, are rounded by the data they saw, see
    `calibration_report`; all others get their plain codes, as do those whose weights have changed since.

    Hooks, and the mode, go over to the new modules. Hooks that compute weights from other parameters, as ``prune`` and
    ``weight_norm`` leave them, are run once more, in eval mode, and stay behind.

    Parameters
    ----------
    module : torch.nn.Module
        The model.
    mapping : mapping of type to type, optional
        What each float type becomes: a type with ``from_float``. The types of PyTorch's table stand for ours.
        Default: `get_default_dynamic_quant_module_mappings`.
    inplace : bool, optional
        Whether to change `module` itself instead of a copy. None means False, unless
        ``prepare(module, qconfig=...)`` changed it: then True.
    remove_qconfig : bool
        Whether to remove the attributes ``qconfig``.
    is_reference, convert_custom_config_dict, use_precomputed_fake_quant : False or None
        PyTorch's, which nothing here needs: ValueError for anything else.
    engine : str, optional
        For modules that were not prepared; those that were have theirs.
    isa : str, optional
        Default: that of `prepare`, else ``QRNN_ISA``, else the best.

    Returns
    -------
    torch.nn.Module
        The quantized model; `module` unchanged if nobody prepared it.

    Raises
    ------
    TypeError
        If `module` is no torch.nn.Module.
    ValueError
        If `inplace` is True and `module` itself would be replaced, a weight is not finite, or `engine`
        differs from the one of `prepare`. Nothing has changed then.

    Warns
    -----
    UserWarning
        If nobody prepared the model, or a module that was chosen stays float, because its class overrides
        ``forward`` or ``__call__`` or has members of its own, or for what `prepare` names.

    Examples
    --------
    >>> import torch, qrnn.torch
    >>> prepared = qrnn.torch.prepare(torch.nn.Sequential(torch.nn.RNNCell(4, 3)), qconfig={})
    >>> qrnn.torch.convert(prepared)
    Sequential(
      (0): DynamicQuantizedRNNCell(4, 3)
    )
    """
    expect_defaults(
        is_reference=is_reference,
        convert_custom_config_dict=convert_custom_config_dict,
        use_precomputed_fake_quant=use_precomputed_fake_quant,
    )
    return Converter(TORCH, engine, isa).convert(module, mapping, inplace, remove_qconfig)


@quantizing
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
    """Quantize a float model in one step.

    Parameters
    ----------
    model : torch.nn.Module
        The root itself is quantized too, where it can be.
    qconfig_spec : None, set or mapping, optional
        None: every module that can be quantized, by its engine's own rule. A set of types and dotted names:
        those. A mapping of type or dotted name to QConfig or None (leave out). Names may be those of weights,
        as for `prepare`.
    dtype : qint8
    mapping : mapping of type to type, optional
        What each float type becomes, as for `convert`.
    inplace : bool
        Whether to change `model` itself instead of a copy.
    engine : str, optional
        Default: the current one, see ``qrnn.engine``.
    isa : str, optional
        Default: ``QRNN_ISA``, else the best.

    Returns
    -------
    torch.nn.Module
        The quantized model, in eval mode.

    Raises
    ------
    TypeError
        If an argument is of the wrong type: a list for `qconfig_spec`, say.
    ValueError
        If `dtype` is another, `inplace` is True and `model` itself would be replaced, or a weight is not
        finite. Nothing has changed then.

    Warns
    -----
    UserWarning
        If nothing was chosen, a name is not there, or something that was chosen stays float, because its
        class overrides ``forward`` or ``__call__`` or has members of its own, or for what `prepare` names.

    Examples
    --------
    >>> import torch, qrnn.torch
    >>> qrnn.torch.quantize_dynamic(torch.nn.Sequential(torch.nn.RNNCell(4, 3), torch.nn.Linear(3, 2)), {"0"})
    Sequential(
      (0): DynamicQuantizedRNNCell(4, 3)
      (1): Linear(in_features=3, out_features=2, bias=True)
    )
    """
    return Converter(TORCH, engine, isa).quantize_dynamic(model, qconfig_spec, dtype, mapping, inplace)


def propagate_qconfig_(module: Module, qconfig_dict: Any = None, prepare_custom_config_dict: Any = None) -> None:
    """Set the attribute ``qconfig`` of a model and of all below it.

    Parameters
    ----------
    module : torch.nn.Module
    qconfig_dict : mapping or None, optional
        Type or dotted name to QConfig or None. An attribute that is there stands above a name, a name above
        a type, and all above the parent's. Names may be those of weights, as for `prepare`: a layer of which one
        is named gets a `LayerQConfig`.
    prepare_custom_config_dict : None
        PyTorch's, which nothing here needs: ValueError if anything is in it.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.

    Examples
    --------
    >>> import torch, qrnn.torch
    >>> from qrnn.torch.quantization import per_channel_dynamic_qconfig, propagate_qconfig_
    >>> model = torch.nn.Sequential(torch.nn.RNNCell(4, 3))
    >>> propagate_qconfig_(model, {"0": per_channel_dynamic_qconfig})
    >>> model[0].qconfig is per_channel_dynamic_qconfig
    True
    """
    expect_defaults(prepare_custom_config_dict=prepare_custom_config_dict)
    Converter(TORCH).propagate_qconfig_(module, qconfig_dict)


@taking_over
def from_torch_ao(model: Module, inplace: bool = False, *, engine: str | None = None, isa: str | None = None) -> Any:
    """Put our modules in the place of those that ``torch.ao`` quantized dynamically, with their codes.

    Parameters
    ----------
    model : torch.nn.Module
    inplace : bool
        Whether to change `model` itself instead of a copy.
    engine : str, optional
        Default: the one of PyTorch's present ``torch.backends.quantized.engine``.
    isa : str, optional
        Default: ``QRNN_ISA``, else the best.

    Returns
    -------
    torch.nn.Module

    Raises
    ------
    TypeError
        If `model` is no torch.nn.Module, or a module in it (naming it) is of a subclass that adds something, other than
        the Linear into which PyTorch fuses a ReLU: that becomes a Linear and a ReLU.
    ValueError
        If a module cannot be taken over (naming it), `engine` or `isa` is unknown, or `inplace` is True and
        `model` itself would be replaced. Nothing has changed then.

    Examples
    --------
    >>> import torch, qrnn.torch
    >>> qrnn.torch.from_torch_ao(torch.nn.Sequential(torch.nn.ReLU()))  # nothing to take over
    Sequential(
      (0): ReLU()
    )
    """
    TORCH.expect(model, "model")
    _config.check_engine_and_isa(engine, isa)
    if not inplace:
        model = copied(TORCH, model)
    warn_of_opaque(TORCH, "model", paths_of(TORCH, model))
    replacements: dict[int, Module] = {}
    for name, module in model.named_modules():
        for row in TORCH.rows:
            if _torch_ao.class_of(module, row.float_type.__name__) is not None:
                with named_errors(name):
                    replacements[id(module)] = _taken_over(row.quantized_type, module, engine, isa)
    return put_in_place(TORCH, model, replacements, inplace)


def _taken_over(cls: Any, module: Module, engine: str | None, isa: str | None) -> Module:
    """What `module` of torch.ao becomes, of type `cls`, with the ReLU that PyTorch fused into it behind it."""
    fused = _torch_ao.with_relu(module)
    new: Module = cls._from_torch_ao(module, engine, isa, fused)
    if fused is None:
        return new
    both = torch.nn.Sequential(new, torch.nn.ReLU())
    both.training = new.training
    take_hooks(both, new)  # they see what comes out of both
    take_hooks(new, torch.nn.Module())
    return both
