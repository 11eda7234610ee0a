"""compare: several models on the same data, side by side, and sentences about what follows."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ._compared import Compared, followed, not_followed
from ._core import get_num_threads
from ._measure import Measured, Metric, layer_table, measured
from ._public import public
from ._report import Report, percent
from ._timing import Spread, spread

if TYPE_CHECKING:
    from ._samples import Layout

__all__ = ["CompareReport", "compare"]


@public("qrnn")
class CompareReport(Report[Compared]):
    """A row for each model, the reference first; prints as a table of the models and one of their layers.

    Parameters
    ----------
    rows : iterable of Compared
    facts : mapping
        ``calls``, the number of inputs; ``rows`` in all their batches and ``steps`` of all rows, None if no layer of
        the reference tells them; ``rounds``; ``threads`` by library; and ``metric``, None for the default.
    times : mapping of str to list of float
        For each model the seconds that it took for the data in each round.

    Attributes
    ----------
    facts : dict
        The facts, as given.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> model = qrnn.nn.Sequential(qrnn.nn.Linear(4, 3))
    >>> data = [np.ones((2, 4), np.float32)]
    >>> report = qrnn.compare({"float": model, "int8": qrnn.quantize_dynamic(model)}, data, rounds=2)
    >>> [row.name for row in report]
    ['float', 'int8']
    >>> report.row("int8").error < 0.5
    True
    """

    def __init__(self, rows: Any, facts: Mapping[str, Any], times: Mapping[str, list[float]]) -> None:
        super().__init__(rows)
        self._first = self._rows[0]  # kept when a part of the report is taken
        self.facts, self._times = dict(facts), {name: tuple(each) for name, each in times.items()}

    def _facts(self) -> dict[str, Any]:
        follows, does_not = self._said()
        return {**self.facts, "follows": follows, "does_not_follow": does_not}

    def _said(self) -> tuple[list[str], list[str]]:
        given = self._first, self._rows, self.facts
        return followed(*given), not_followed(*given)

    def _shown_heads(self) -> tuple[str, ...]:
        timed = ("µs a step" if self.facts["steps"] else "µs a call", "quartiles", "time")
        return ("model", "error", "worst", "agreement", "bytes", *(timed if self._times else ()))

    def _cells(self, row: Compared) -> tuple[str, ...]:
        nbytes = "" if row.nbytes is None else f"{row.nbytes:,}"
        cells = (row.name, percent(row.error), percent(row.worst), percent(row.agreement), nbytes)
        if row.microseconds is None or row.time is None:
            return cells
        median, low, high = row.microseconds
        return (*cells, f"{median:.3g}", f"{low:.3g}-{high:.3g}", f"{row.time.median:.3g}")

    def _tables(self) -> list[list[tuple[str, ...]]]:
        return layer_table((row.name, row.layers) for row in self._rows if row.name != self._first.name)

    def _after(self) -> list[str]:
        follows, does_not = self._said()
        return [*follows, *does_not]

    def row(self, name: str) -> Compared:
        """The row of the model `name`.

        Raises
        ------
        KeyError
            If no model has this name.
        """
        for each in self._rows:
            if each.name == name:
                return each
        raise KeyError(f"expected one of {', '.join(each.name for each in self._rows)}, got {name}")

    def time_ratio(self, name: str, other: str) -> Spread | None:
        """The time of one model divided by another's in the same round: median and quartiles over the rounds.

        Parameters
        ----------
        name, other : str

        Returns
        -------
        Spread or None
            None if no times were taken. If both quartiles lie above 1, or both below, the difference is larger than
            the spread.
        """
        self.row(name), self.row(other)
        if not self._times:
            return None
        return spread(one / base for one, base in zip(self._times[name], self._times[other], strict=True))

    def error_ratio(self, name: str, other: str) -> Spread | None:
        """The error of one model divided by another's on the same row of the data: median and quartiles.

        Parameters
        ----------
        name, other : str

        Returns
        -------
        Spread or None
            Over the rows of the first output on which both have errors; None if these are fewer than four.
        """
        ours, theirs = (self.row(each).outputs[0].by_row for each in (name, other))
        ratios = [a / b for a, b in zip(ours, theirs, strict=True) if 0 < b < math.inf and 0 < a < math.inf]
        return spread(ratios) if len(ratios) >= 4 else None

    def to_pandas(self) -> Any:
        """The rows as a pandas DataFrame, a line for each model. pandas has to be installed.

        Returns
        -------
        pandas.DataFrame

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            import pandas  # type: ignore[import-untyped, import-not-found, unused-ignore]
        except ImportError as error:
            raise ImportError(f"to_pandas needs pandas, as by pip install pandas ({error})") from error
        lines = []
        for row in self._rows:
            line = {name: getattr(row, name) for name in ("error", "worst", "agreement", "nbytes")}
            for name in ("microseconds", "time"):
                found = getattr(row, name) or Spread(math.nan, math.nan, math.nan)
                line.update({name: found.median, f"{name}_low": found.low, f"{name}_high": found.high})
            lines.append(line)
        return pandas.DataFrame(lines, index=pandas.Index([row.name for row in self._rows], name="model"))

    def plot(self, *, dark: bool | None = None) -> Any:
        """Draw four pictures: error by step, time against size, errors of the rows, and agreement of the decisions.

        matplotlib has to be installed.

        Parameters
        ----------
        dark : bool, optional
            True or False: text and background for a dark or a light page. Default: no background, and gray text that
            can be read on both.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        from ._compare_plot import drawn

        return drawn(self._first, self._rows, self.facts, dark)


def compare(
    models: Mapping[str, Any],
    data: Any,
    metric: Metric | None = None,
    *,
    layers: bool = True,
    rounds: int = 20,
) -> CompareReport:
    """Run several models on the same data and compare their errors, sizes and times.

    Parameters
    ----------
    models : mapping of str to callable
        Models of ``qrnn`` and of PyTorch, also quantized by ``torch.ao``, sessions of ONNX Runtime, or any callable
        with the same arguments. The first is the reference: errors are distances from it. Modules compute in eval
        mode and without gradients. Models of PyTorch get tensors and those of ``qrnn`` arrays, whatever the data are.
    data : iterable
        Inputs, one for each call, as for `qrnn.quantization.measure`: an array; a tuple of positional arguments, whose
        last may be a dict of keyword arguments; or such a dict.
    metric : callable, optional
        ``metric(reference, output) -> float``, as for `qrnn.quantization.measure`.
    layers : bool
        Whether to compare also the outputs of recurrent layers and Linears, by their names.
    rounds : int
        How many rounds of timing; in each, every model goes over the data, in a new order. 0: no times.

    Returns
    -------
    CompareReport
        It prints as a table, in Jupyter as HTML, and has ``plot()``, ``to_dict()`` and ``to_pandas()``.

    Raises
    ------
    TypeError
        If an argument is of the wrong type, or a model returns no arrays.
    ValueError
        If there is no model or no input, outputs are of different shapes, or those of the reference are not finite.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> model = qrnn.nn.GRU(3, 8)
    >>> data = [np.random.default_rng(0).standard_normal((20, 4, 3), dtype=np.float32)]
    >>> report = qrnn.compare({"float": model, "int8": qrnn.quantize_dynamic(model)}, data, rounds=3)
    >>> [row.name for row in report], 0 < report.row("int8").error < 0.02, len(report[1].outputs[0].by_step)
    (['float', 'int8'], True, 20)
    """
    found = measured(models, data, metric, layers, rounds)
    rows, steps = _sizes(found.layouts)
    facts = {
        "calls": len(found.layouts),
        "rows": rows,
        "steps": steps,
        "rounds": len(next(iter(found.times.values()), ())),
        "threads": _threads(),
        "metric": None if metric is None else getattr(metric, "__name__", type(metric).__name__),
    }
    each = steps or len(found.layouts)
    first = found.times.get(found.rows[0].name, [])
    return CompareReport(
        [_compared(row, found.times.get(row.name), first, each) for row in found.rows], facts, found.times
    )


def _compared(row: Measured, times: list[float] | None, first: list[float], each: int) -> Compared:
    microseconds = time = None
    if times is not None:
        microseconds = spread(1e6 * seconds / each for seconds in times)
        time = spread(own / base for own, base in zip(times, first, strict=True))
    agreement = None if row.changed is None else 1 - row.changed
    numbers = row.name, row.error, row.worst, agreement, row.nbytes
    return Compared(*numbers, microseconds, time, row.outputs, row.layers)


def _sizes(layouts: list[Layout | None]) -> tuple[int | None, int | None]:
    """How many rows all batches have, and how many steps all rows; None if no layer tells."""
    known = [each for each in layouts if each is not None]
    if len(known) < len(layouts):
        return None, None
    steps = (each.steps * each.batch if each.lengths is None else int(each.lengths.sum()) for each in known)
    return sum(each.batch for each in known), sum(steps)


def _threads() -> dict[str, int]:
    """How many threads each library may use; PyTorch only if it is imported."""
    torch = sys.modules.get("torch")
    return {"qrnn": get_num_threads(), **({} if torch is None else {"torch": int(torch.get_num_threads())})}
