"""What `qrnn.compare` finds about a model, and sentences about what follows from it and what does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ._public import public
from ._report import percent

if TYPE_CHECKING:
    from ._measure import ErrorOf
    from ._timing import Spread

__all__ = ["Compared", "apart", "followed", "not_followed"]

#: The rule of three: if none of n rows did something, at most 3/n of all rows do it, with a confidence of 95 %.
_NONE_OF = 3


@public("qrnn")
class Compared(NamedTuple):
    """What was found about one model.

    Attributes
    ----------
    name : str
    error : float
        By the metric. By default the rms of the error divided by the rms of the reference about its mean, for the
        worst output.
    worst : float
        The largest error of a single number, divided by the rms of a single number of the reference about its mean.
    agreement : float or None
        The part of decisions (largest columns) that agree with the reference, for the output with the least; None if
        no output has several columns.
    nbytes : int or None
        Bytes of its weights, if it tells them.
    microseconds : Spread or None
        The time of a step of one row, or of a call if no layer tells what a step is; over the rounds.
    time : Spread or None
        Its time divided by the reference's in the same round; over the rounds.
    outputs, layers : tuple of ErrorOf
        The errors of each output by step and by row, and of each layer whose name the reference has too.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> model = qrnn.nn.Sequential(qrnn.nn.Linear(4, 3))
    >>> data = [np.ones((2, 4), np.float32)]
    >>> report = qrnn.compare({"float": model, "same": model}, data, rounds=2)
    >>> report.row("same").error, report.row("same").agreement
    (0.0, 1.0)
    """

    name: str
    error: float
    worst: float
    agreement: float | None
    nbytes: int | None
    microseconds: Spread | None
    time: Spread | None
    outputs: tuple[ErrorOf, ...]
    layers: tuple[ErrorOf, ...]


def apart(low: float, high: float) -> int:
    """-1 if both quartiles of a ratio lie below 1, 1 if both lie above, else 0.

    Examples
    --------
    >>> apart(0.5, 0.9), apart(0.9, 1.1), apart(1.1, 1.2)
    (-1, 0, 1)
    """
    return -1 if high < 1 else 1 if low > 1 else 0


def followed(first: Compared, rows: Sequence[Compared], facts: Mapping[str, Any]) -> list[str]:
    """What the figures say about each model, compared with the model `first`: a sentence for each."""
    return [f"{row.name} against {first.name}: {', '.join(_of(row, first, facts))}." for row in _others(first, rows)]


def _others(first: Compared, rows: Sequence[Compared]) -> list[Compared]:
    return [row for row in rows if row.name != first.name]


def _of(row: Compared, first: Compared, facts: Mapping[str, Any]) -> list[str]:
    said = [f"error {percent(row.error)}"]
    if row.agreement is not None:
        said.append(f"{percent(row.agreement)} of the decisions kept")
    if row.nbytes is not None and first.nbytes:
        said.append(f"{row.nbytes / first.nbytes:.2f} of the bytes")
    if row.time is not None:
        between = f"{row.time.low:.3g} to {row.time.high:.3g} in half of the {facts['rounds']} rounds"
        way = apart(row.time.low, row.time.high)
        beyond = "no difference beyond the spread" if not way else "slower" if way > 0 else "faster"
        said.append(f"{row.time.median:.3g} of the time ({between}: {beyond})")
    return said


def not_followed(first: Compared, rows: Sequence[Compared], facts: Mapping[str, Any]) -> list[str]:
    """What the figures of a comparison do not say."""
    lines, count, others = list[str](), facts["rows"], _others(first, rows)
    kept = [row.name for row in others if row.agreement == 1]
    if kept and count:
        lines.append(
            f"that decisions never change: {_named(kept, len(others))} on {count:,} row{'s' * (count != 1)}, so of "
            f"rows drawn alike and one by one under {percent(min(1.0, _NONE_OF / count))} have one that changes (95 %)"
        )
    if facts["rounds"]:
        threads = ", ".join(f"{name} {number}" for name, number in facts["threads"].items())
        lines.append(
            f"times elsewhere: these are of this machine, these batches and these threads ({threads}), with what calls "
            "from Python take"
        )
    else:
        lines.append("times: none were taken")
    if facts["metric"] is None:
        lines.append("accuracy: agreement with a model is none, it takes labels, by metric=")
    lines.append("errors on data of another kind")
    return [f"What does not follow: {'; '.join(lines)}."]


def _named(kept: list[str], others: int) -> str:
    """Which models kept all decisions."""
    if len(kept) == others > 1:
        return "none of the models changed one"
    return f"{kept[0]} changed none" if len(kept) == 1 else f"{len(kept)} of {others} models changed none"
