"""``qrnn.quantization``: from a float model to a quantized one, as ``torch.ao.quantization``."""

from .._calibration import disable_observer, enable_observer, merge_statistics
from .._calibration_report import CalibrationReport, WeightReport, calibration_report
from .._numpy_convert import convert, prepare, propagate_qconfig_, quantize_dynamic
from .._observers import (
    MinMaxObserver,
    NoopObserver,
    ObserverBase,
    PerChannelMinMaxObserver,
    PlaceholderObserver,
    default_dynamic_quant_observer,
    default_per_channel_weight_observer,
    default_placeholder_observer,
    default_weight_observer,
    per_channel_weight_observer_range_neg_127_to_127,
    weight_observer_range_neg_127_to_127,
)
from .._qconfig import QConfig, default_dynamic_qconfig, engine_qconfig, per_channel_dynamic_qconfig
from .._rows import get_default_dynamic_quant_module_mappings, get_default_qconfig_propagation_list

__all__ = [
    "CalibrationReport",
    "MinMaxObserver",
    "NoopObserver",
    "ObserverBase",
    "PerChannelMinMaxObserver",
    "PlaceholderObserver",
    "QConfig",
    "WeightReport",
    "calibration_report",
    "convert",
    "default_dynamic_qconfig",
    "default_dynamic_quant_observer",
    "default_per_channel_weight_observer",
    "default_placeholder_observer",
    "default_weight_observer",
    "disable_observer",
    "enable_observer",
    "engine_qconfig",
    "get_default_dynamic_quant_module_mappings",
    "get_default_qconfig_propagation_list",
    "merge_statistics",
    "per_channel_dynamic_qconfig",
    "per_channel_weight_observer_range_neg_127_to_127",
    "prepare",
    "propagate_qconfig_",
    "quantize_dynamic",
    "weight_observer_range_neg_127_to_127",
]
