"""export_c: writes a model as a C header that computes it frame by frame."""

from __future__ import annotations

import os
from typing import Any

from ._files import as_numpy, checked_path
from ._framework import framework_of
from ._numpy_framework import NUMPY

__all__ = ["export_c"]


def export_c(model: Any, path: str | os.PathLike[str], name: str | None = None) -> None:
    """Write a model as a C header: its weights as constants, and a function that computes a frame of a stream.

    Parameters
    ----------
    model : Module or torch.nn.Module
        A layer, or a Sequential of modules that a frame goes through one after the other: layers (float or quantized,
        of any engine), activations, normalizations over the frame, causal convolutions, an Embedding at the
        beginning. A recurrent layer passes on its output, not its states. A model of PyTorch is converted as by
        `save` and `load`.
    path : str or PathLike
        An existing file is replaced in one step.
    name : str, optional
        The beginning of the names in the header. Default: the name of the file, without its ending.

    Raises
    ------
    TypeError
        If `model` is no module.
    ValueError
        If a module does not compute a frame from that one and earlier ones, such as a layer that reads backwards, or
        is of your own class; or if `name` is not a valid name in C.
    OSError
        If `path` cannot be written.

    Notes
    -----
    A step gives the bits that ``qrnn.stream(model)`` gives for a frame. Softmax, LogSoftmax, LayerNorm, ELU and
    Softplus are computed in double and rounded, so they do if the C library's functions round like NumPy's. See
    docs/embedding.md.

    Examples
    --------
    >>> import os, tempfile, qrnn
    >>> from qrnn import nn
    >>> model = qrnn.quantize_dynamic(nn.Sequential(nn.GRUCell(4, 3), nn.Linear(3, 2), nn.Sigmoid()))
    >>> path = os.path.join(tempfile.mkdtemp(), "gate.h")
    >>> qrnn.export_c(model, path)
    >>> with open(path) as file:
    ...     [line.strip() for line in file if line.startswith("qrnn_status gate_step")]
    ['qrnn_status gate_step(const gate_net *net, gate_state *state, const float *x, float *y);', \
'qrnn_status gate_step(const gate_net *net, gate_state *state, const float *x, float *y)']
    """
    from ._c_model import model_text  # here, because no import of the package needs it
    from ._c_text import checked_name
    from ._whole_file import written_whole

    path = checked_path(path)
    file = os.path.basename(path)
    name = checked_name(name, os.path.splitext(file)[0])
    framework = framework_of(model, NUMPY)
    framework.expect(model, "model")
    framework.expect_no_loop(model, "model")
    text = model_text(as_numpy(model), name, file)
    with written_whole(path) as written:
        written.write(text.encode("ascii"))
