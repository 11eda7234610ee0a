"""The commands, their arguments and help texts, and the handling of errors."""

from __future__ import annotations

import errno
import functools
import json
import math
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import click

from .. import _show
from .._config import check_engine
from .._format_error import FormatError
from . import _bench, _compare, _convert, _doctor, _info, _verify
from ._results import FINE, INTERRUPTED, MISSING, NO_FILE, NOT_POSSIBLE, PIPE_CLOSED, CommandError, Result

__all__ = ["program", "run"]


class _PipeClosed(Exception):
    """The reader of a command's output has closed the pipe."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, without a traceback for a user's mistakes; returns the exit status."""
    with warnings.catch_warnings():
        warnings.showwarning = _warned
        return _run(arguments)


def _warned(message: Warning | str, *others: Any, **named: Any) -> None:
    """Print a warning as a line, without the place in the program."""
    _said(f"warning: {message}", FINE)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        status = program.main(arguments, prog_name="qrnn", standalone_mode=False)
        return status if isinstance(status, int) else FINE
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except CommandError as error:
        return _said(str(error), error.status)
    except FormatError as error:
        return _said(str(error), NO_FILE)
    except _PipeClosed:
        # The rest of the buffer cannot be written; otherwise Python would complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except OSError as error:
        return _said(str(error), NO_FILE)
    except ImportError as error:
        return _said(f"the package {error.name} is not installed" if error.name else str(error), MISSING)
    except (TypeError, ValueError, RuntimeError, LookupError, MemoryError) as error:
        return _said(str(error) or type(error).__name__, NOT_POSSIBLE)


def _said(text: str, status: int) -> int:
    click.echo(f"qrnn: {text}", err=True)
    return status


def _command(function: Callable[..., Result]) -> Callable[..., int]:
    """`function` as a command with ``--json``, which prints its result and returns its status."""

    @click.option("--json", "as_json", is_flag=True, help="Print one object of JSON.")
    @functools.wraps(function)
    def called(as_json: bool, **arguments: Any) -> int:
        result: Result = function(**arguments)
        text = json.dumps(_plain(result.values), indent=2) if as_json else "\n".join(result.lines)
        try:
            click.echo(text)
        except OSError as error:
            if error.errno != (errno.EINVAL if sys.platform == "win32" else errno.EPIPE):
                raise
            raise _PipeClosed from error  # click would end the process for an OSError
        return result.status

    return called


def _plain(value: Any) -> Any:
    """`value` with infinities and NaN, which JSON lacks, as text."""
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _checked_engine(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    try:
        return None if value is None else str(check_engine(value, "--engine"))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _sizes(context: click.Context, parameter: click.Parameter, value: str) -> list[int]:
    try:
        sizes = [int(each) for each in value.split(",")]
    except ValueError:
        sizes = [0]
    if min(sizes) < 1:
        raise click.BadParameter(f"expected sizes such as 1,4,32, got {value!r}")
    return sizes


_engine = click.option("--engine", callback=_checked_engine, help="The arithmetic: qrnn, qrnn13, fbgemm, qnnpack, ...")
_file = click.argument("file", type=click.Path())


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(_show.versions()["qrnn"], prog_name="qrnn")
def program() -> None:
    """Models of qrnn, ONNX, Keras, TFLite and PyTorch: look at them, convert, compare and time them.

    Files are known by their content. Exit statuses: 0 fine, 1 verify found a difference or compare qrnn behind,
    2 the command line is wrong, 3 a file is missing or bad, 4 what was asked for is not possible, 5 a package is
    missing.
    """


@program.command(help="What is in a file: its modules, their engines and sizes, or the arrays of a state dict.")
@_file
@_command
def info(file: str) -> Result:
    return _info.info(file)


@program.command(
    help="Read IN, quantize it where that is asked for, and write OUT: .safetensors, .npz (a state dict) or .onnx."
)
@click.argument("source", metavar="IN", type=click.Path())
@click.argument("target", metavar="OUT", type=click.Path())
@_engine
@click.option(
    "--calibrate", metavar="DATA", type=click.Path(), help="Round weights by the inputs in this .npy or .npz."
)
@click.option(
    "--max-error",
    type=click.FloatRange(min=0, min_open=True),
    help="With --calibrate: for each matrix the cheapest precision that keeps the error of the outputs under this.",
)
@_command
def convert(**arguments: Any) -> Result:
    return _convert.convert(**arguments)


@program.command(help="Whether the models in A and B compute the same; of state dicts, whether their arrays are.")
@click.argument("first", metavar="A", type=click.Path())
@click.argument("second", metavar="B", type=click.Path())
@click.option("--data", type=click.Path(), help="Inputs, a .npy or .npz; without it a random one.")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=1e-5,
    show_default=True,
    help="The largest difference that is none, in parts of max(1, |A|).",
)
@_command
def verify(**arguments: Any) -> Result:
    return _verify.verify(**arguments)


@program.command(help="Microseconds a step of the model in FILE, by batch, against the same in float32.")
@_file
@click.option("--batches", default="1,4,32", show_default=True, callback=_sizes, help="Sizes of batches.")
@click.option("--rounds", type=click.IntRange(min=1), default=20, show_default=True, help="Of which the median counts.")
@_engine
@_command
def bench(file: str, **arguments: Any) -> Result:
    return _bench.bench(file, **arguments)


@program.command(
    help="The models that FILE.py:FUNCTION, or MODULE:FUNCTION, returns as (models by name, data), side by side; of a "
    "single float model qrnn's int8, and for PyTorch torch.ao's, beside it. The status is 1 if qrnn is slower than one "
    "of others by more than the spread of the rounds."
)
@click.argument("target", metavar="FILE_OR_MODULE:FUNCTION")
@click.option("--rounds", type=click.IntRange(min=1), default=20, show_default=True, help="Of which the median counts.")
@_command
def compare(**arguments: Any) -> Result:
    return _compare.compare(**arguments)


@program.command("export-c", help="Write the model in IN as a C header, OUT (docs/embedding.md).")
@click.argument("source", metavar="IN", type=click.Path())
@click.argument("target", metavar="OUT", type=click.Path())
@click.option("--name", help="How its names begin; without it the name of the file.")
@_command
def export_c(**arguments: Any) -> Result:
    return _convert.export(**arguments)


@program.command(help="Versions, the CPU, and whether its instruction sets compute the same bits.")
@_command
def doctor() -> Result:
    return _doctor.doctor()
