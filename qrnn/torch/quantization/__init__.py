"""``qrnn.torch.quantization``: turns float torch models into quantized ones, as ``torch.ao.quantization``.

Examples
--------
>>> import torch, qrnn.torch as qnn
>>> qnn.quantization.quantize_dynamic(torch.nn.GRU(4, 3))
DynamicQuantizedGRU(4, 3)
"""

from ...quantization import (
    CalibrationReport,
    LayerQConfig,
    LayerReport,
    MinMaxObserver,
    ModelReport,
    PerChannelMinMaxObserver,
    PlaceholderObserver,
    QConfig,
    WeightReport,
    autoquantize,
    default_dynamic_qconfig,
    default_per_channel_weight_observer,
    default_weight_observer,
    disable_observer,
    enable_observer,
    engine_qconfig,
    float_qconfig,
    int13_dynamic_qconfig,
    measure,
    merge_statistics,
    per_channel_dynamic_qconfig,
    per_channel_weight_observer_range_neg_127_to_127,
    sensitivity,
    weight_observer_range_neg_127_to_127,
)
from .._calibration import calibration_report
from .._quantization import (
    convert,
    from_torch_ao,
    prepare,
    prepare_qat,
    propagate_qconfig_,
    quantize_dynamic,
)
from .._rows import get_default_dynamic_quant_module_mappings, get_default_qconfig_propagation_list

__all__ = [
    "CalibrationReport",
    "LayerQConfig",
    "LayerReport",
    "MinMaxObserver",
    "ModelReport",
    "PerChannelMinMaxObserver",
    "PlaceholderObserver",
    "QConfig",
    "WeightReport",
    "autoquantize",
    "calibration_report",
    "convert",
    "default_dynamic_qconfig",
    "default_per_channel_weight_observer",
    "default_weight_observer",
    "disable_observer",
    "enable_observer",
    "engine_qconfig",
    "float_qconfig",
    "from_torch_ao",
    "get_default_dynamic_quant_module_mappings",
    "get_default_qconfig_propagation_list",
    "int13_dynamic_qconfig",
    "measure",
    "merge_statistics",
    "per_channel_dynamic_qconfig",
    "per_channel_weight_observer_range_neg_127_to_127",
    "prepare",
    "prepare_qat",
    "propagate_qconfig_",
    "quantize_dynamic",
    "sensitivity",
    "weight_observer_range_neg_127_to_127",
]
