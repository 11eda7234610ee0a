"""Figures that can be read on light and on dark pages. Only this file imports matplotlib."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from typing import Any

__all__ = ["COLORS", "TEXTS", "color_of", "figure", "note", "styled"]

#: The colors of models in turn, gray for the reference. Each has a contrast of at least 3:1 to white and to dark pages.
COLORS = ("#7f8790", "#2f7fd1", "#d9661f", "#2b9348", "#b05fc4", "#c9374a", "#1f8a94", "#96771f")
#: The color of text, by `dark`; None: for both pages.
TEXTS = {None: "#7b7b7b", False: "#1f2328", True: "#e6edf3"}
_PAGES = {None: "none", False: "#ffffff", True: "#0d1117"}


def color_of(place: int) -> str:
    """The color of the model at `place`; the model at place 0 is the reference."""
    return COLORS[0] if not place else COLORS[1 + (place - 1) % (len(COLORS) - 1)]


@contextmanager
def styled(dark: bool | None) -> Iterator[None]:
    """Draw for a page that is `dark` or light, or for both if it is None.

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
    """A figure of this size in inches. pyplot does not know it, so it is freed with its last reference."""
    _matplotlib()
    from matplotlib.figure import Figure  # type: ignore[import-not-found, unused-ignore]

    page = Figure(size, layout="constrained")
    vars(page)["_repr_png_"] = partial(_png, page)  # Jupyter shows only figures of pyplot by itself
    return page


def _png(page: Any) -> bytes:
    """The figure as Jupyter shows it."""
    file = BytesIO()
    page.savefig(file, format="png", dpi=110)
    return file.getvalue()


def note(axes: Any, text: str) -> None:
    """Write into an empty picture why it is empty."""
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
    axes.grid(False)
    axes.set(xticks=(), yticks=())
