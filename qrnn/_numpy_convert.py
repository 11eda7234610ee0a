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

    From now on the inputs of the model's calls are observed, and `convert` rounds the weights by them.

    Each module that can be quantized and has a qconfig is replaced by a float module that keeps
    its engine and qconfig. A module that is quantized already is prepared from its dequantized
    weights; if these are unchanged, bit for bit, when it is converted, it gets its codes and scales
    back. A module that is prepared already stays as it is.

    Parameters
    ----------
    model : Module
        A torch.nn.Module goes to ``qrnn.torch.prepare``.
    inplace : bool, optional
        Whether to change `model` itself instead of a copy. None means False, unless `qconfig` is
        given: then `model` is changed, and marked so that `convert` changes it too.
    allow_list : collection of types, optional
        Prepare only modules of these types.
    observer_non_leaf_module_list, prepare_custom_config_dict : None
        Arguments of PyTorch's function, which qrnn does not need: ValueError if they are not empty.
    qconfig : QConfig, mapping or None, optional
        A QConfig for every module that can be quantized; or a mapping of type or dotted name to
        QConfig or None (leave out). None and ``{}``: every such module, by its engine's own rule.
        PyTorch's QConfigs are accepted too. Not given: the attributes ``qconfig`` of modules and
        their parents decide. An attribute takes precedence over a name, a name over a type, and all
        of these over the parent's. The name of a weight, such as ``"lstm.weight_ih_l0"``, takes
        precedence over all, for that weight only: `float_qconfig` or None leave it float32, see
        docs/precision.md.
    engine : str, optional
        The engine that the modules will compute with; it cannot change later. Default: for modules
        that are quantized already their own, for others the current one, see ``qrnn.engine``.
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
        has different values for two names of one module. Nothing has changed then.

    Warns
    -----
    UserWarning
        If there is nothing to prepare, or `qconfig` names a submodule or a weight that does not exist, or a type
        or a name without a quantized form.

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
    """Quantize the modules that `prepare`, `propagate_qconfig_` or their attribute ``qconfig`` chose.

    Prepared modules that were called are rounded by the data they saw, if that shows a gain on a held-back part of the
    data, see `calibration_report`; their biases change too. All others get their plain codes. If the whole model was
    called, copies of it (float, plain and by data) are called again with some of these inputs, to compare them.

    Parameters
    ----------
    module : Module
        The model. A torch.nn.Module goes to ``qrnn.torch.convert``.
    mapping : mapping of type to type, optional
        The type that each float type becomes, which needs ``from_float``. Default:
        `get_default_dynamic_quant_module_mappings`.
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
    Module
        The quantized model; `module` unchanged if it was not prepared.

    Raises
    ------
    TypeError
        If `module` is not a Module.
    ValueError
        If `inplace` is True and `module` itself would be replaced, a weight is not finite, or
        `engine` differs from the one of `prepare`. Nothing has changed then.

    Warns
    -----
    UserWarning
        If the model was not prepared, or a chosen module stays float, because its class overrides ``forward`` or
        ``__call__`` or adds members, or because it has no quantized form. If the codes of one weight by themselves
        cause an error of over 5 % of its layer's output: the text says how to keep that weight float.

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
        The root itself is quantized too, if possible. A torch.nn.Module goes to ``qrnn.torch``.
    qconfig_spec : None, set or mapping, optional
        None: every module that can be quantized, by its engine's own rule. A set of types and
        dotted names: those. A mapping of type or dotted name to QConfig or None (leave out). Names
        may be those of weights, as for `prepare`.
    dtype : qint8
    mapping : mapping of type to type, optional
        The type that each float type becomes, which needs ``from_float``.
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
        If an argument is of the wrong type, such as a list for `qconfig_spec`.
    ValueError
        If `dtype` is another type, `inplace` is True and `model` itself would be replaced, a weight
        is not finite, or `qconfig_spec` has different values for two names of one module. Nothing
        has changed then.

    Warns
    -----
    UserWarning
        If nothing was chosen, a name does not exist, or a chosen module stays float, because its class
        overrides ``forward`` or ``__call__`` or adds members, or because it has no quantized form.

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
        Type or dotted name to QConfig or None. An existing attribute takes precedence over a name, a
        name over a type, and all of these over the parent's. Names may be those of weights, as for
        `prepare`: a layer with a named weight gets a `LayerQConfig`.
    prepare_custom_config_dict : None
        An argument of PyTorch's function, which qrnn does not need: ValueError if it is not empty.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If `qconfig_dict` has different values for two names of one module.

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
