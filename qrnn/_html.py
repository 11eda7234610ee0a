"""HTML for notebooks: one style for light and dark pages, escaped texts, tables that scroll, and a bounded size.

Colors come from the page: text has its color, lines and quiet text mix it with transparency, and nothing has a
background. There is no script; folded parts are ``details`` elements.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

__all__ = ["LIMIT", "Room", "code", "folded", "page", "paragraph", "quiet", "table"]

#: The most characters that one object shows. What exceeds them is left out, and only counted.
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
        """Whether there is room for `text`; if so, it is used up."""
        self._left -= len(text)
        return self._left >= 0


def page(parts: Iterable[str]) -> str:
    """Parts of HTML joined to the result of ``_repr_html_``."""
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
    """Parts of HTML that a reader unfolds by a click on the line `summary`, which is HTML too."""
    return f"<details{' open' if opened else ''}><summary>{summary}</summary>{''.join(inner)}</details>"


def table(rows: Sequence[Sequence[str]], label: str, room: Room) -> Iterator[str]:
    """Texts as a table, the headings first, as far as there is room.

    On a narrow page the table itself scrolls, also by keys; `label` is its name for screen readers.
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
