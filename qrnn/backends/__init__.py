"""``qrnn.backends``, the counterpart of ``torch.backends``.

Examples
--------
>>> import qrnn
>>> qrnn.backends.quantized.engine
'qrnn'
"""

from . import quantized

__all__ = ["quantized"]
