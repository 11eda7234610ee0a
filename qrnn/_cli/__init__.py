"""The command line ``qrnn``: what each command computes is in a file of its own, what is typed in ``_program.py``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status, see `qrnn._cli._results`.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.
    """
    try:
        import click  # noqa: F401
    except ImportError:
        print("qrnn: the command line needs the package click: pip install 'quantized-rnn[cli]'", file=sys.stderr)
        return 5
    from ._program import run

    return run(arguments)
