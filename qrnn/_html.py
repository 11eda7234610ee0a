"""HTML for notebooks: one style for light pages and dark ones, escaped texts, tables that scroll, and a bounded size.

Colors come from the page: text has its color, lines and quiet text are mixtures of it, and nothing has a background.
There is no script, and what folds is an element ``details``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

__all__ = ["LIMIT", "Room", "code", "folded", "page", "paragraph", "quiet", "table"]

#: Characters of what one object shows: more is counted, and left out.
LIMIT = 400_000

_STYLE = (
    ".qrnn{--qrnn-line:color-mix(in srgb,currentColor 25%,transparent);"
    "--qrnn-quiet:color-mix(in srgb,currentColor 80%,transparent);"
    "font:13px/1.5 system-ui,sans-serif;color:inherit;max-width:100%;overflow-wrap:anywhere}"
    ".qrnn p{margin:.4em 0}.qrnn .q{color:var(--qrnn-quiet)}"
    ".qrnn code{font:12px/1.5 ui-monospace,monospace;color:inherit;background:none;padding:0}"
    ".qrnn .s{overflow-x:auto;max-width:100%;margin:.4em 0}"
    ".qrnn table{border-collapse:collapse;margin:0;font-variant-numeric:tabular-nums;color:inherit}"
    ".qrnn tr{background:none!important}"
    ".qrnn th,.qrnn td{padding:.15em .7em;text-align:right;white-space:nowrap;color:inherit;background:none;"
    "border:0;border-bottom:1px solid var(--qrnn-line)}"
    ".qrnn tr>:first-child{text-align:left;padding-left:0}.qrnn td,.qrnn tbody th{font-weight:normal}"
    ".qrnn summary{cursor:pointer}.qrnn details>:not(summary){margin-left:1.1em}"
    ".qrnn details>details,.qrnn details>p{border-left:1px solid var(--qrnn-line);padding-left:.5em;margin:0 0 0 .3em}"
)


class Room:
    """How much may still be shown."""

    def __init__(self, characters: int = LIMIT) -> None:
        self._left = characters

    def take(self, text: str) -> bool:
        """Whether there was room for `text`, which has it from here on."""
        self._left -= len(text)
        return self._left >= 0


def page(parts: Iterable[str]) -> str:
    """Parts of HTML as what ``_repr_html_`` returns."""
    return f'<div class="qrnn"><style>{_STYLE}</style>{"".join(parts)}</div>'


def paragraph(text: str) -> str:
    """A text as a paragraph."""
    return f"<p>{escape(text)}</p>"


def code(text: str) -> str:
    """A text as code."""
    return f"<code>{escape(text)}</code>"


def quiet(text: str) -> str:
    """A text that is less important."""
    return f'<span class="q">{escape(text)}</span>'


def folded(summary: str, inner: Iterable[str], opened: bool = False) -> str:
    """Parts of HTML behind a line, of HTML too, on which a reader clicks."""
    return f"<details{' open' if opened else ''}><summary>{summary}</summary>{''.join(inner)}</details>"


def table(rows: Sequence[Sequence[str]], label: str, room: Room) -> Iterator[str]:
    """Texts as a table, the heads first, as far as there is room.

    It scrolls by itself where the page is narrow, by keys too, for which `label` is its name.
    """
    heads, *lines = rows
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    yield f'<div class="s" role="group" tabindex="0" aria-label="{escape(label)}"><table><thead><tr>{head}</tr>'
    yield "</thead><tbody>"
    for count, (name, *cells) in enumerate(lines):
        line = f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{escape(text)}</td>" for text in cells)}</tr>'
        if not room.take(line):
            yield f'<tr><th scope="row" colspan="{len(heads)}">and {len(lines) - count:,} more</th></tr>'
            break
        yield line
    yield "</tbody></table></div>"
