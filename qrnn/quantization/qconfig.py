"""``qrnn.quantization.qconfig``, by PyTorch's path."""

from .._qconfig import (
    LayerQConfig,
    QConfig,
    default_dynamic_qconfig,
    engine_qconfig,
    float_qconfig,
    int13_dynamic_qconfig,
    per_channel_dynamic_qconfig,
)

__all__ = [
    "LayerQConfig",
    "QConfig",
    "default_dynamic_qconfig",
    "engine_qconfig",
    "float_qconfig",
    "int13_dynamic_qconfig",
    "per_channel_dynamic_qconfig",
]
