"""``qrnn.quantization.observer``, by PyTorch's path."""

from .. import _observers
from .._observers import *  # noqa: F403
from .._observers import Factory as _Factory  # noqa: F401, as pickles name it

__all__ = _observers.__all__
