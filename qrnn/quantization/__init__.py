"""``qrnn.quantization``: turns float models into quantized ones, as ``torch.ao.quantization``.

Examples
--------
>>> from qrnn import nn, quantization
>>> quantization.quantize_dynamic(nn.GRU(4, 3))
DynamicQuantizedGRU(4, 3)
"""

from .. import _observers
from .._autoquantize import ChoiceReport, autoquantize
from .._calibration import disable_observer, enable_observer, merge_statistics
from .._calibration_report import CalibrationReport, LayerReport, ModelReport, WeightReport, calibration_report
from .._measure import ErrorOf, Measured, MeasureReport, measure
from .._numpy_convert import convert, prepare, propagate_qconfig_, quantize_dynamic
from .._observers import *  # noqa: F403
from .._qconfig import (
    LayerQConfig,
    QConfig,
    default_dynamic_qconfig,
    engine_qconfig,
    float_qconfig,
    int13_dynamic_qconfig,
    per_channel_dynamic_qconfig,
)
from .._rows import get_default_dynamic_quant_module_mappings, get_default_qconfig_propagation_list
from .._sensitivity import PartReport, SensitivityReport, sensitivity
from .._timing import Seconds

__all__ = [
    "CalibrationReport",
    "ChoiceReport",
    "ErrorOf",
    "LayerQConfig",
    "LayerReport",
    "MeasureReport",
    "Measured",
    "ModelReport",
    "PartReport",
    "QConfig",
    "Seconds",
    "SensitivityReport",
    "WeightReport",
    "autoquantize",
    "calibration_report",
    "convert",
    "default_dynamic_qconfig",
    "disable_observer",
    "enable_observer",
    "engine_qconfig",
    "float_qconfig",
    "get_default_dynamic_quant_module_mappings",
    "get_default_qconfig_propagation_list",
    "int13_dynamic_qconfig",
    "measure",
    "merge_statistics",
    "per_channel_dynamic_qconfig",
    "prepare",
    "propagate_qconfig_",
    "quantize_dynamic",
    "sensitivity",
]
__all__ += _observers.__all__
