"""prepare, convert and quantize_dynamic for models over NumPy: the public functions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from ._convert import NOT_GIVEN, Converter
from ._defaults import expect_defaults
from ._framework import framework_of
from ._module import Module
from ._numpy_framework import NUMPY
from ._public import same
from ._types import qint8

if TYPE_CHECKING:
    from ._roots import converting, preparing, quantizing
else:
    converting = preparing = quantizing = same

__all__ = ["convert", "prepare", "propagate_qconfig_", "quantize_dynamic"]


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
    observer_non_leaf_module_list, prepare_custom_config_dict : None
        PyTorch's, which nothing here needs: ValueError if anything is in them.
    qconfig : QConfig, mapping or None, optional
        A QConfig for every module that can be quantized; or a mapping of type or dotted name to
        QConfig or None (leave out). None and ``{}``: every one, by its engine's own rule. PyTorch's
        QConfigs are taken too. Not given: the modules' own attributes ``qconfig`` and those of
        their parents count. An attribute stands above a name, a name above a type, and all above
        the parent's. The name of a weight, ``"lstm.weight_ih_l0"``, stands above all, for that
        weight alone: `float_qconfig` or None leave it float32, see docs/precision.md.
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
        If there is nothing to prepare, `qconfig` names a submodule or a weight that is not there, or a type or
        name that has no quantized form.

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
    expect_defaults(
        observer_non_leaf_module_list=observer_non_leaf_module_list,
        prepare_custom_config_dict=prepare_custom_config_dict,
    )
    return Converter(framework_of(model, NUMPY), engine, isa).prepare(model, inplace, allow_list, qconfig)


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

    Prepared modules that were called are rounded by the data they saw, where that shows a gain on a part of them that
    is held back, see `calibration_report`; their biases change too. All others get their plain codes. A model that was
    called as a whole is called again, in copies: float, plain and by data, with some of what it was called with.

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
    is_reference, convert_custom_config_dict, use_precomputed_fake_quant : False or None
        PyTorch's, which nothing here needs: ValueError for anything else.
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
        If nobody prepared the model, or a module that was chosen stays float, because its class overrides
        ``forward`` or ``__call__`` or has members of its own, or it has no quantized form. If the data show that the
        codes of one weight alone cost over 5 % of what its layer gives: it says how to keep that weight float.

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
    expect_defaults(
        is_reference=is_reference,
        convert_custom_config_dict=convert_custom_config_dict,
        use_precomputed_fake_quant=use_precomputed_fake_quant,
    )
    return Converter(framework_of(module, NUMPY), engine, isa).convert(module, mapping, inplace, remove_qconfig)


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
    """Quantize a float model in one step, without data.

    Parameters
    ----------
    model : Module
        The root itself is quantized too, where it can be. A torch.nn.Module goes to ``qrnn.torch``.
    qconfig_spec : None, set or mapping, optional
        None: every module that can be quantized, by its engine's own rule. A set of types and
        dotted names: those. A mapping of type or dotted name to QConfig or None (leave out). Names
        may be those of weights, as for `prepare`.
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
        If nothing was chosen, a name is not there, or something that was chosen stays float, because its
        class overrides ``forward`` or ``__call__`` or has members of its own, or it has no quantized form.

    Examples
    --------
    >>> import qrnn
    >>> model = qrnn.nn.Sequential(qrnn.nn.RNNCell(4, 3), qrnn.nn.Linear(3, 2))
    >>> qrnn.quantize_dynamic(model, {"0"})
    Sequential(
      (0): DynamicQuantizedRNNCell(4, 3)
      (1): Linear(in_features=3, out_features=2, bias=True)
    )
    >>> from qrnn.quantization import engine_qconfig, float_qconfig
    >>> qrnn.quantize_dynamic(model, {"": engine_qconfig, "0.weight_ih": float_qconfig})[0]
    DynamicQuantizedRNNCell(4, 3, weight_ih=float32)
    """
    converter = Converter(framework_of(model, NUMPY), engine, isa)
    return converter.quantize_dynamic(model, qconfig_spec, dtype, mapping, inplace)


def propagate_qconfig_(module: Module, qconfig_dict: Any = None, prepare_custom_config_dict: Any = None) -> None:
    """Set the attribute ``qconfig`` of a model and of all below it.

    Parameters
    ----------
    module : Module
    qconfig_dict : mapping or None, optional
        Type or dotted name to QConfig or None. An attribute that is there stands above a name, a
        name above a type, and all above the parent's. Names may be those of weights, as for `prepare`:
        a layer of which one is named gets a `LayerQConfig`.
    prepare_custom_config_dict : None
        PyTorch's, which nothing here needs: ValueError if anything is in it.

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
    expect_defaults(prepare_custom_config_dict=prepare_custom_config_dict)
    Converter(framework_of(module, NUMPY)).propagate_qconfig_(module, qconfig_dict)
