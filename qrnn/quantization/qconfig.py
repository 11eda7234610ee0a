"""``qrnn.quantization.qconfig``, by PyTorch's path."""

from .._qconfig import QConfig, default_dynamic_qconfig, engine_qconfig, per_channel_dynamic_qconfig

__all__ = ["QConfig", "default_dynamic_qconfig", "engine_qconfig", "per_channel_dynamic_qconfig"]
