"""The command line ``qrnn``: ``_program.py`` parses what is typed, and each command has a file of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status, see `qrnn._cli._results`.

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
