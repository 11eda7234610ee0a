"""The path by which pickles of calibrated modules name the rows of their report."""

from .._calibration_report import LayerReport, WeightReport

__all__ = ["LayerReport", "WeightReport"]
