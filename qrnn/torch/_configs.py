"""``quantize_``: quantizes in place, by a config object, in the style of torchao, the successor of ``torch.ao``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch

from .. import _config
from .._convert import Converter
from .._defaults import expect_defaults
from .._public import public
from .._qconfig import engine_qconfig
from .._types import qint8
from ._framework import TORCH

__all__ = [
    "DynamicConfig",
    "FBGEMMDynamicConfig",
    "ONEDNNDynamicConfig",
    "QNNPACKDynamicConfig",
    "QRNN13DynamicConfig",
    "QRNNDynamicConfig",
    "X86DynamicConfig",
    "quantize_",
]


@public("qrnn.torch")
class DynamicConfig:
    """How `quantize_` quantizes: int8 weights, and inputs quantized in each call.

    Each engine of PyTorch and qrnn has its own subclass, whose `engine` is fixed.

    Parameters
    ----------
    engine : str, optional
        Default: the current one, see ``qrnn.engine``.
    qconfig : QConfig, optional
        How weights are quantized; a QConfig of qrnn or PyTorch. Default: by the engine's own rule.
    isa : str, optional
        Default: ``QRNN_ISA``, else the best.

    Raises
    ------
    TypeError, ValueError
        If `engine` or `isa` is unknown, or `engine` is not that of the class.

    Examples
    --------
    >>> import qrnn.torch
    >>> qrnn.torch.QNNPACKDynamicConfig()
    QNNPACKDynamicConfig(engine='qnnpack')
    """

    _engine: ClassVar[str | None] = None

    def __init__(self, engine: str | None = None, *, qconfig: Any = None, isa: str | None = None) -> None:
        fixed = self._engine
        _config.check_engine_and_isa(engine, isa)
        if fixed is not None and engine not in (None, fixed):
            raise ValueError(f"engine: expected {fixed!r}, which {type(self).__name__} is for, got {engine!r}")
        self.engine, self.qconfig, self.isa = engine or fixed, qconfig, isa

    def __repr__(self) -> str:
        shown = [f"{name}={value!r}" for name, value in vars(self).items() if value is not None]
        return f"{type(self).__name__}({', '.join(shown)})"


@public("qrnn.torch")
class QRNNDynamicConfig(DynamicConfig):
    """Engine ``qrnn``: 8 bits, a scale for each row of weights and of the batch.

    Examples
    --------
    >>> import torch, qrnn.torch as qnn
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3))
    >>> qnn.quantize_(model, qnn.QRNNDynamicConfig())
    >>> model[0].engine
    'qrnn'
    """

    _engine = "qrnn"


@public("qrnn.torch")
class QRNN13DynamicConfig(DynamicConfig):
    """Engine ``qrnn13``: the same weights, activations of 13 bits.

    Examples
    --------
    >>> import torch, qrnn.torch as qnn
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3))
    >>> qnn.quantize_(model, qnn.QRNN13DynamicConfig())
    >>> model[0].engine
    'qrnn13'
    """

    _engine = "qrnn13"


@public("qrnn.torch")
class FBGEMMDynamicConfig(DynamicConfig):
    """PyTorch's engine ``fbgemm``.

    Examples
    --------
    >>> import torch, qrnn.torch as qnn
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3))
    >>> qnn.quantize_(model, qnn.FBGEMMDynamicConfig())
    >>> model[0].engine
    'fbgemm'
    """

    _engine = "fbgemm"


@public("qrnn.torch")
class X86DynamicConfig(DynamicConfig):
    """PyTorch's engine ``x86``.

    Examples
    --------
    >>> import torch, qrnn.torch as qnn
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3))
    >>> qnn.quantize_(model, qnn.X86DynamicConfig())
    >>> model[0].engine
    'x86'
    """

    _engine = "x86"


@public("qrnn.torch")
class QNNPACKDynamicConfig(DynamicConfig):
    """PyTorch's engine ``qnnpack``.

    Examples
    --------
    >>> import torch, qrnn.torch as qnn
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3))
    >>> qnn.quantize_(model, qnn.QNNPACKDynamicConfig())
    >>> model[0].engine
    'qnnpack'
    """

    _engine = "qnnpack"


@public("qrnn.torch")
class ONEDNNDynamicConfig(DynamicConfig):
    """PyTorch's engine ``onednn``.

    Examples
    --------
    >>> import torch, qrnn.torch as qnn
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3))
    >>> qnn.quantize_(model, qnn.ONEDNNDynamicConfig())
    >>> model[0].engine
    'onednn'
    """

    _engine = "onednn"


def quantize_(
    model: torch.nn.Module,
    config: DynamicConfig,
    filter_fn: Callable[[torch.nn.Module, str], bool] | None = None,
    device: Any = None,
) -> None:
    """Quantize the layers of a model in place, as ``torchao.quantization.quantize_`` does with Linears.

    The model keeps its mode.

    Parameters
    ----------
    model : torch.nn.Module
        It must not be a layer itself, because a layer cannot be replaced in place; see `quantize_dynamic`.
    config : DynamicConfig
        There is one for each engine: `QRNNDynamicConfig` and so on.
    filter_fn : callable, optional
        ``filter_fn(module, name)`` says whether to quantize the layer with this dotted name. It is called for
        layers that have a quantized form. Default: all of them.
    device : None or "cpu"
        Where the layers compute.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If `model` itself would be replaced, or a weight is not finite. Nothing has changed then.

    Warns
    -----
    UserWarning
        As for `quantize_dynamic`.

    Examples
    --------
    >>> import torch, qrnn.torch
    >>> model = torch.nn.Sequential(torch.nn.GRUCell(4, 3), torch.nn.Linear(3, 2))
    >>> qrnn.torch.quantize_(model, qrnn.torch.QRNNDynamicConfig(), lambda module, name: name == "0")
    >>> model
    Sequential(
      (0): DynamicQuantizedGRUCell(4, 3)
      (1): Linear(in_features=3, out_features=2, bias=True)
    )
    """
    TORCH.expect(model, "model")
    if not isinstance(config, DynamicConfig):
        raise TypeError(f"config: expected a DynamicConfig, such as QRNNDynamicConfig(), got {config!r}")
    if filter_fn is not None and not callable(filter_fn):
        raise TypeError(f"filter_fn: expected a function of a module and its name, got {type(filter_fn).__name__}")
    expect_defaults(device=None if str(device) == "cpu" else device)
    qconfig = engine_qconfig if config.qconfig is None else config.qconfig
    modes = {name: module.training for name, module in model.named_modules()}
    spec: Any = qconfig
    if filter_fn is not None:
        layers = [(name, module) for name, module in model.named_modules() if TORCH.find(module) is not None]
        left_out = [name for name, module in layers if not filter_fn(module, name)]
        spec = {**dict.fromkeys((row.float_type for row in TORCH.rows), qconfig), **dict.fromkeys(left_out)}
    Converter(TORCH, config.engine, config.isa).quantize_dynamic(model, spec, qint8, None, True)
    for name, module in model.named_modules():
        module.training = modes.get(name, module.training)
