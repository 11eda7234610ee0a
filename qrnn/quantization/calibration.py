"""The same names as ``qrnn.quantization``, under the module path that pickled reports use."""

from .._calibration import disable_observer, enable_observer, merge_statistics
from .._calibration_report import CalibrationReport, LayerReport, ModelReport, WeightReport, calibration_report

__all__ = [
    "CalibrationReport",
    "LayerReport",
    "ModelReport",
    "WeightReport",
    "calibration_report",
    "disable_observer",
    "enable_observer",
    "merge_statistics",
]
