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
    engine itself computes, and the inputs of calls are observed: `convert` rounds the weights by them, if that shows a
    gain (docs/calibration.md). In training mode its forward quantizes weights, inputs and states to the grid of its
    engine, and gradients pass straight through the rounding. The observations are dropped then, nothing is observed
    any more (until ``enable_observer``), and `convert` changes no bit of what eval mode computes. The parameters are
    those of the float module, so optimizers that hold them keep working. A module that is quantized already is
    prepared from its dequantized weights; if these are unchanged, bit for bit, when it is converted, it gets its codes
    and scales back. A module that is prepared already stays as it is.

    Parameters
    ----------
    model : torch.nn.Module
    inplace : bool, optional
        Whether to change `model` itself instead of a copy. None means False, unless `qconfig` is given: then
        `model` is changed, and marked so that `convert` changes it too.
    allow_list : collection of types, optional
        Prepare only modules of these types.
    observer_non_leaf_module_list, prepare_custom_config_dict : None
        Arguments of PyTorch's function, which qrnn does not need: ValueError if they are not empty.
    qconfig : QConfig, mapping or None, optional
        A QConfig for every module that can be quantized; or a mapping of type or dotted name to QConfig or
        None (leave out). None and ``{}``: every such module, by its engine's own rule. PyTorch's QConfigs are
        accepted too. Not given: the attributes ``qconfig`` of modules and their parents decide. An attribute takes
        precedence over a name, a name over a type, and all of these over the parent's. The name of a weight, such
        as ``"lstm.weight_ih_l0"``, takes precedence over all, for that weight only: `float_qconfig` or None leave it
        float32, see docs/precision.md.
    engine : str, optional
        The engine that the modules will compute with; it cannot change later. Default: for modules that are
        quantized already their own, for others the current one, see ``qrnn.engine``.
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
        was prepared for another engine, or is an LSTM with a projection, which the torch engines lack.
        Nothing has changed then.

    Warns
    -----
    UserWarning
        If there is nothing to prepare, `qconfig` names a submodule or a weight that does not exist, or a chosen
        module stays as it is: a type or a name without a quantized form, a ScriptModule, or a Linear whose weight is
        read by PyTorch's attention or encoder layer.

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
    """Prepare a model that is in training mode, see `prepare`.

    Parameters
    ----------
    model : torch.nn.Module
    mapping : None
        An argument of PyTorch's function; not used.
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
        raise ValueError("mapping: expected None: the trainable modules decide what convert makes")
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
    """Quantize the modules that `prepare`, `propagate_qconfig_` or their attribute ``qconfig`` chose.

    Prepared modules that were called in eval mode, and never in training mode, are rounded by the data they saw, see
    `calibration_report`. All others get their plain codes, as do those whose weights have changed since.

    The new modules get the hooks and the mode of the old ones. Hooks that compute weights from other parameters, as
    ``prune`` and ``weight_norm`` add them, run once more, in eval mode, and are then dropped.

    Parameters
    ----------
    module : torch.nn.Module
        The model.
    mapping : mapping of type to type, optional
        The type that each float type becomes, which needs ``from_float``. The types of PyTorch's table mean qrnn's.
        Default: `get_default_dynamic_quant_module_mappings`.
    inplace : bool, optional
        Whether to change `module` itself instead of a copy. None means False, unless
        ``prepare(module, qconfig=...)`` changed it: then True.
    remove_qconfig : bool
        Whether to remove the attributes ``qconfig``.
    is_reference, convert_custom_config_dict, use_precomputed_fake_quant : False or None
        Arguments of PyTorch's function, which qrnn does not need: ValueError for anything else.
    engine : str, optional
        For modules that were not prepared; prepared ones keep their engine.
    isa : str, optional
        Default: that of `prepare`, else ``QRNN_ISA``, else the best.

    Returns
    -------
    torch.nn.Module
        The quantized model; `module` unchanged if it was not prepared.

    Raises
    ------
    TypeError
        If `module` is not a torch.nn.Module.
    ValueError
        If `inplace` is True and `module` itself would be replaced, a weight is not finite, or `engine`
        differs from the one of `prepare`. Nothing has changed then.

    Warns
    -----
    UserWarning
        If the model was not prepared, or a chosen module stays float, because its class overrides ``forward`` or
        ``__call__`` or adds members, or for the reasons under `prepare`.

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
        The root itself is quantized too, if possible.
    qconfig_spec : None, set or mapping, optional
        None: every module that can be quantized, by its engine's own rule. A set of types and dotted names:
        those. A mapping of type or dotted name to QConfig or None (leave out). Names may be those of weights,
        as for `prepare`.
    dtype : qint8
    mapping : mapping of type to type, optional
        The type that each float type becomes, as for `convert`.
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
        If an argument is of the wrong type, such as a list for `qconfig_spec`.
    ValueError
        If `dtype` is another type, `inplace` is True and `model` itself would be replaced, or a weight is not
        finite. Nothing has changed then.

    Warns
    -----
    UserWarning
        If nothing was chosen, a name does not exist, or a chosen module stays float, because its class overrides
        ``forward`` or ``__call__`` or adds members, or for the reasons under `prepare`.

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
        Type or dotted name to QConfig or None. An existing attribute takes precedence over a name, a name over a
        type, and all of these over the parent's. Names may be those of weights, as for `prepare`: a layer with a
        named weight gets a `LayerQConfig`.
    prepare_custom_config_dict : None
        An argument of PyTorch's function, which qrnn does not need: ValueError if it is not empty.

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
    """Replace modules that ``torch.ao`` quantized dynamically by modules of qrnn with the same codes.

    Parameters
    ----------
    model : torch.nn.Module
    inplace : bool
        Whether to change `model` itself instead of a copy.
    engine : str, optional
        Default: that of PyTorch's current ``torch.backends.quantized.engine``.
    isa : str, optional
        Default: ``QRNN_ISA``, else the best.

    Returns
    -------
    torch.nn.Module

    Raises
    ------
    TypeError
        If `model` is not a torch.nn.Module, or a module in it is of a subclass that adds something; the text names
        it. The Linear into which PyTorch fuses a ReLU is supported: it becomes a Linear and a ReLU.
    ValueError
        If a module cannot be converted (the text names it), `engine` or `isa` is unknown, or `inplace` is True and
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
    """The module of type `cls` for `module` of torch.ao, followed by the ReLU that PyTorch fused into it, if any."""
    fused = _torch_ao.with_relu(module)
    new: Module = cls._from_torch_ao(module, engine, isa, fused)
    if fused is None:
        return new
    both = torch.nn.Sequential(new, torch.nn.ReLU())
    both.training = new.training
    take_hooks(both, new)  # hooks see the output of both
    take_hooks(new, torch.nn.Module())
    return both
