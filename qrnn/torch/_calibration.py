"""The report about rounding by data, for torch models."""

from __future__ import annotations

import torch

from .._calibration_report import CalibrationReport, report_of
from ._framework import TORCH

__all__ = ["calibration_report"]


def calibration_report(model: torch.nn.Module) -> CalibrationReport:
    """Report what rounding by data did to each weight and layer of a converted model, see ``qrnn.quantization``.

    Parameters
    ----------
    model : torch.nn.Module
        A model that `convert` returned, or a copy of it.

    Returns
    -------
    CalibrationReport
        Empty if the model was converted without data. A layer whose weights were replaced or loaded later has no
        rows.

    Raises
    ------
    TypeError
        If `model` is not a torch.nn.Module.

    Examples
    --------
    >>> import torch, qrnn.torch
    >>> prepared = qrnn.torch.prepare(torch.nn.Sequential(torch.nn.Linear(4, 3)).eval(), qconfig={})
    >>> y = prepared(torch.randn(100, 4))
    >>> [each.name for each in qrnn.torch.quantization.calibration_report(qrnn.torch.convert(prepared))]
    ['0.weight']
    """
    TORCH.expect(model, "model")
    return report_of(model.named_modules())
