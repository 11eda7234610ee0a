"""The module path that pickles of calibrated modules use for the rows of their report."""

from .._calibration_report import LayerReport, WeightReport

__all__ = ["LayerReport", "WeightReport"]
