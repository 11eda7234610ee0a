"""Figures by matplotlib that can be read on light pages and on dark ones; the one place that imports it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from typing import Any

__all__ = ["COLORS", "TEXTS", "color_of", "figure", "note", "styled"]

#: Of models in turn, the reference gray: each has a contrast of 3:1 at least with white and with a dark page.
COLORS = ("#7f8790", "#2f7fd1", "#d9661f", "#2b9348", "#b05fc4", "#c9374a", "#1f8a94", "#96771f")
#: Of text, by `dark`; None: on either page.
TEXTS = {None: "#7b7b7b", False: "#1f2328", True: "#e6edf3"}
_PAGES = {None: "none", False: "#ffffff", True: "#0d1117"}


def color_of(place: int) -> str:
    """The color of the model at `place`; the first is the reference."""
    return COLORS[0] if not place else COLORS[1 + (place - 1) % (len(COLORS) - 1)]


@contextmanager
def styled(dark: bool | None) -> Iterator[None]:
    """What is drawn meanwhile is for a page that is `dark` or not, or for both.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If `dark` is something else.
    """
    if dark is not None and not isinstance(dark, bool):
        raise TypeError(f"dark: expected True, False or None, got {type(dark).__name__}")
    text, page = TEXTS[dark], _PAGES[dark]
    style = {
        "figure.facecolor": page,
        "savefig.facecolor": page,
        "axes.facecolor": "none",
        "text.color": text,
        "axes.labelcolor": text,
        "axes.titlecolor": text,
        "axes.edgecolor": text,
        "xtick.color": text,
        "ytick.color": text,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": text,
        "grid.alpha": 0.2,
        "axes.axisbelow": True,
        "legend.frameon": False,
        "font.size": 10,
        "axes.titlesize": 11,
    }
    with _matplotlib().rc_context(style):
        yield


def _matplotlib() -> Any:
    try:
        import matplotlib  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise ImportError(f"this needs matplotlib, as by pip install matplotlib ({error})") from error
    return matplotlib


def figure(size: tuple[float, float]) -> Any:
    """A figure of so many inches that pyplot does not know: it goes when nobody holds it."""
    _matplotlib()
    from matplotlib.figure import Figure  # type: ignore[import-not-found, unused-ignore]

    page = Figure(size, layout="constrained")
    vars(page)["_repr_png_"] = partial(_png, page)  # Jupyter knows figures by pyplot alone
    return page


def _png(page: Any) -> bytes:
    """The figure as Jupyter shows it."""
    file = BytesIO()
    page.savefig(file, format="png", dpi=110)
    return file.getvalue()


def note(axes: Any, text: str) -> None:
    """Say in an empty picture why it is empty."""
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
    axes.grid(False)
    axes.set(xticks=(), yticks=())
