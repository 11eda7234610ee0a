"""FormatError: raised for a file that cannot be read."""

from __future__ import annotations

from ._public import public

__all__ = ["FormatError"]


@public("qrnn")
class FormatError(ValueError):
    """Raised if a file is not what it should be: cut short, changed, of another kind, or of a later version.

    Examples
    --------
    >>> import os, tempfile, qrnn
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> with open(path, "wb") as file:
    ...     written = file.write(b"no model")
    >>> try:
    ...     qrnn.load(path)
    ... except qrnn.FormatError as error:
    ...     print(str(error).removeprefix(path))
    : expected a file that begins with the length of its header, 0 at most, got 7810759558478983022
    """
