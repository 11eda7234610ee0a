"""``qrnn.torch.quantization``: from a float torch model to a quantized one, as ``torch.ao.quantization``."""

from ...quantization import (
    LayerQConfig,
    MinMaxObserver,
    PerChannelMinMaxObserver,
    PlaceholderObserver,
    QConfig,
    default_dynamic_qconfig,
    default_per_channel_weight_observer,
    default_weight_observer,
    engine_qconfig,
    float_qconfig,
    int13_dynamic_qconfig,
    per_channel_dynamic_qconfig,
    per_channel_weight_observer_range_neg_127_to_127,
    weight_observer_range_neg_127_to_127,
)
from .._quantization import convert, from_torch_ao, prepare, prepare_qat, propagate_qconfig_, quantize_dynamic
from .._rows import get_default_dynamic_quant_module_mappings, get_default_qconfig_propagation_list

__all__ = [
    "LayerQConfig",
    "MinMaxObserver",
    "PerChannelMinMaxObserver",
    "PlaceholderObserver",
    "QConfig",
    "convert",
    "default_dynamic_qconfig",
    "default_per_channel_weight_observer",
    "default_weight_observer",
    "engine_qconfig",
    "float_qconfig",
    "from_torch_ao",
    "get_default_dynamic_quant_module_mappings",
    "get_default_qconfig_propagation_list",
    "int13_dynamic_qconfig",
    "per_channel_dynamic_qconfig",
    "per_channel_weight_observer_range_neg_127_to_127",
    "prepare",
    "prepare_qat",
    "propagate_qconfig_",
    "quantize_dynamic",
    "weight_observer_range_neg_127_to_127",
]
