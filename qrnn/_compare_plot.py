"""The pictures of a comparison, by matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ._figures import color_of, figure, note, styled

if TYPE_CHECKING:
    from ._compared import Compared

__all__ = ["drawn"]

#: Points of a line through the errors of the rows.
_POINTS = 150


def drawn(first: Compared, rows: Sequence[Compared], facts: Mapping[str, Any], dark: bool | None) -> Any:
    """The figure of `CompareReport.plot`."""
    with styled(dark):
        page = figure((10, 6.4))
        places = page.subplots(2, 2).flat
        others = list(enumerate((row for row in rows if row.name != first.name), start=1))
        known = [(0, row) for row in rows if row.name == first.name]
        for draw in (_by_step, _time_and_size, _by_row, _agreement):
            draw(next(places), [*known, *others] if draw is _time_and_size or not others else others, facts)
        lines = page.axes[2].get_lines()
        if lines:
            page.legend(handles=lines, loc="outside lower center", ncols=min(4, len(lines)))
    return page


Numbered = Sequence[tuple[int, "Compared"]]


def _with_steps(row: Compared) -> Any:
    """The first output, else the first layer, that has an error for each of several steps; None if none has."""
    return next((each for each in (*row.outputs, *row.layers) if len(each.by_step) > 1), None)


def _by_step(axes: Any, rows: Numbered, facts: Mapping[str, Any]) -> None:
    found = {place: _with_steps(row) for place, row in rows}
    shown = [(place, row) for place, row in rows if found[place]]
    names = {found[place].name for place, _ in shown}
    axes.set(title=f"Error by step of {' and '.join(names) or 'the output'}", xlabel="step", ylabel="%")
    for place, row in shown:
        errors = [100 * each for each in found[place].by_step]
        axes.plot(range(1, len(errors) + 1), errors, color=color_of(place), label=row.name)
    if shown:
        axes.set_ylim(bottom=0)
    else:
        note(axes, "nothing has steps")


def _time_and_size(axes: Any, rows: Numbered, facts: Mapping[str, Any]) -> None:
    step = "a step" if facts["steps"] else "a call"
    axes.set(title="Time against size", xlabel="kB of weights", ylabel=f"µs {step}, quartiles")
    shown = [(place, row) for place, row in rows if row.nbytes is not None and row.microseconds is not None]
    for index, (place, row) in enumerate(shown):
        median, low, high = row.microseconds  # type: ignore[misc]
        size, color = row.nbytes / 1000, color_of(place)  # type: ignore[operator]
        axes.errorbar(size, median, [[median - low], [high - median]], fmt="o", color=color, capsize=4)
        axes.annotate(
            row.name, (size, median), xytext=(7, -12 if index % 2 else 5), textcoords="offset points", color=color
        )
    if not shown:
        note(axes, "no times, or no sizes, are known")
        return
    times = [row.microseconds for _, row in shown if row.microseconds is not None]
    low, high = min(each.low for each in times), max(each.high for each in times)
    if high > 10 * low > 0:  # on a linear axis fast models would lie on the edge
        axes.set(yscale="log", ylim=(low / 2, 2 * high))
    else:
        axes.set(ylim=(0, 1.25 * high))
    axes.set(xlim=(0, 1.3 * max(row.nbytes or 0 for _, row in shown) / 1000))


def _by_row(axes: Any, rows: Numbered, facts: Mapping[str, Any]) -> None:
    axes.set(title="Errors of the rows", xlabel="% of the output", ylabel="part of the rows below")
    for place, row in rows:
        errors = np.sort(100 * np.array(row.outputs[0].by_row))
        shown = np.unique(np.linspace(0, len(errors) - 1, _POINTS).astype(int)) if len(errors) > _POINTS else ...
        parts = (np.arange(len(errors)) + 1) / len(errors)
        axes.step([0, *errors[shown]], [0, *parts[shown]], where="post", color=color_of(place), label=row.name)
    axes.set_ylim(0, 1.02)
    axes.set_xlim(left=0)


def _agreement(axes: Any, rows: Numbered, facts: Mapping[str, Any]) -> None:
    axes.set(title="Decisions that agree with the first model's", xlabel="%")
    shown = [(place, row) for place, row in rows if row.agreement is not None]
    if not shown:
        note(axes, "nothing decides: outputs have one column")
        return
    for height, (place, row) in enumerate(reversed(shown)):
        part = 100 * (row.agreement or 0.0)
        axes.barh(height, part, color=color_of(place), height=0.6)
        axes.annotate(f"{part:.4g}", (part, height), xytext=(4, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(shown)), [row.name for _, row in reversed(shown)])
    axes.set_xlim(0, 118)
    axes.set_xticks(range(0, 101, 25))
