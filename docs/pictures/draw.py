"""The pictures of docs/how-it-works.md: python docs/pictures/draw.py writes them beside this file.

Each is 400 units wide, so that its text can be read on a telephone, and has its own background, so that it can be read
on a page of either color.
"""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

WIDTH = 400
#: Colors by class: of a light page, and of a dark one.
COLORS = {
    "page": ("fill", "#ffffff", "#0d1117"),
    "word": ("fill", "#1f2328", "#e6edf3"),
    "note": ("fill", "#59636e", "#9198a1"),
    "edge": ("stroke", "#59636e", "#9198a1"),
    "float": ("fill", "#ffffff", "#21262d"),
    "code": ("fill", "#cfe3fb", "#0f2f54"),
    "sum": ("fill", "#d3f0d8", "#0e3620"),
    "other": ("fill", "#fbe6c6", "#422b04"),
}
FONT = "font-family:-apple-system,Segoe UI,DejaVu Sans,sans-serif;font-size:12px"


def style():
    light = "".join(f".{name}{{{what}:{color}}}" for name, (what, color, _) in COLORS.items())
    dark = "".join(f".{name}{{{what}:{color}}}" for name, (what, _, color) in COLORS.items())
    shapes = ".edge{fill:none;stroke-width:1.2}.thin{stroke-width:.5}.head{font-weight:600}.note{font-size:11px}"
    return f"<style>text{{{FONT}}}{shapes}{light}@media (prefers-color-scheme:dark){{{dark}}}</style>"


class Picture:
    """Shapes in order; `y` is where the next ones begin."""

    def __init__(self, title, description):
        self.title, self.description, self.shapes = title, description, []

    def text(self, x, y, words, kind="word", anchor="start"):
        self.shapes.append(f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>')

    def box(self, x, y, width, height, kind, *words):
        """A rectangle with lines of text in its middle."""
        self.shapes.append(f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="3" class="{kind}"/>')
        self.frame(x, y, width, height)
        for n, line in enumerate(words):
            middle = y + height / 2 + 4.5 + 15 * (n - (len(words) - 1) / 2)
            self.text(x + width / 2, middle, line, "word" if n == 0 else "note", "middle")

    def frame(self, x, y, width, height, thin=""):
        self.shapes.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="3" class="edge{thin}"/>'
        )

    def cells(self, x, y, across, down, width, height, kind):
        """A block of equal cells in one color."""
        right, bottom = x + across * width, y + down * height
        self.shapes.append(f'<rect x="{x:g}" y="{y:g}" width="{right - x:g}" height="{bottom - y:g}" class="{kind}"/>')
        lines = [f"M{x + n * width:g} {y:g}V{bottom:g}" for n in range(across + 1)]
        lines += [f"M{x:g} {y + n * height:g}H{right:g}" for n in range(down + 1)]
        self.shapes.append(f'<path d="{"".join(lines)}" class="edge thin"/>')

    def arrow(self, *points):
        """Along straight lines, with a head at the last point."""
        (x0, y0), (x, y) = points[-2:]
        dx, dy = (x > x0) - (x < x0), (y > y0) - (y < y0)
        ends = [(x - 5 * dx + side * dy, y - 5 * dy + side * dx) for side in (-4, 4)]
        head = f"M{ends[0][0]:g} {ends[0][1]:g}L{x:g} {y:g}L{ends[1][0]:g} {ends[1][1]:g}"
        line = "M" + "L".join(f"{a:g} {b:g}" for a, b in points)
        self.shapes.append(f'<path d="{line}{head}" class="edge"/>')

    def svg(self, height):
        return "\n".join(
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
                f'height="{height}" role="img" aria-labelledby="title description">',
                f'<title id="title">{escape(self.title)}</title>',
                f'<desc id="description">{escape(self.description)}</desc>',
                style(),
                f'<rect width="{WIDTH}" height="{height}" rx="6" class="page"/>',
                *self.shapes,
                "</svg>\n",
            )
        )


def panels():
    p = Picture(
        "Panels",
        "A matrix of 32 rows and 12 columns becomes two panels of 16 rows. A line of 64 bytes holds four columns of 16 "
        "rows. It meets four codes of x, and 16 sums grow. Panels of the gates i, f, g, o of 16 units lie together.",
    )
    p.text(12, 24, "Weights: int8 codes, 32 rows x 12 columns", "head word")
    for panel in range(2):
        for quad in range(3):
            kind = "code" if panel == 0 and quad == 0 else "float"
            p.cells(12 + quad * 44, 36 + panel * 84, 4, 16, 11, 5.25, kind)
        p.frame(12, 36 + panel * 84, 132, 84)
        p.text(152, 82 + panel * 84, f"panel {panel}: rows {16 * panel} to {16 * panel + 15}")
    p.arrow((34, 204), (34, 240))
    p.text(46, 226, "a block of 16 rows x 4 columns is one line", "note")

    p.text(12, 262, "Panel 0 in memory: lines of 64 bytes", "head word")
    for quad in range(3):
        p.cells(12, 272 + quad * 24, 16, 1, 19, 20, "code" if quad == 0 else "float")
        p.text(322, 287 + quad * 24, f"k {4 * quad} to {4 * quad + 3}", "note")
    p.text(12, 358, "row 0", "note")
    p.text(316, 358, "row 15", "note", "end")

    p.text(12, 388, "A line meets four codes of x, in all lanes", "head word")
    p.cells(12, 398, 16, 1, 19, 20, "other")
    p.text(322, 413, "q 0 to 3", "note")
    p.arrow((164, 420), (164, 440))
    p.text(176, 435, "four products of bytes each, added", "note")
    p.cells(12, 442, 16, 1, 19, 20, "sum")
    p.text(322, 457, "16 x int32", "note")

    p.text(12, 496, "An LSTM: all gates of 16 units lie together", "head word")
    for n in range(8):
        kind = "code" if n < 4 else "float"
        p.box(12 + 47 * n, 508, 45, 30, kind, "ifgo"[n % 4])
    p.text(105, 556, "units 0 to 15", "note", "middle")
    p.text(293, 556, "units 16 to 31", "note", "middle")
    return p.svg(572)


def step():
    p = Picture(
        "A step",
        "A row of x and a row of h take the same way: range, scale and zero point, codes, exact products in int32, "
        "floats again. Their sum goes through the end of the cell, which gives the next h and its range for the next "
        "step.",
    )
    for x, name, matrix in ((12, "x", "W_ih"), (208, "h", "W_hh")):
        middle = x + 90
        p.box(x, 14, 180, 40, "float", f"a row of {name}", "float32")
        p.arrow((middle, 54), (middle, 76))
        p.box(x, 76, 180, 40, "float", "lo, hi", "its range, 0 included")
        p.arrow((middle, 116), (middle, 138))
        p.box(x, 138, 180, 40, "float", "s = (hi - lo) / 255, zp", "a scale for this row alone")
        p.arrow((middle, 178), (middle, 200))
        p.box(x, 200, 180, 40, "code", f"q = rint({name} / s) + zp", "codes, 0 to 255")
        p.arrow((middle, 240), (middle, 262))
        p.box(x, 262, 180, 40, "sum", "acc = sum q w - zp sum w", f"int32, exact; w of {matrix}")
        p.arrow((middle, 302), (middle, 324))
        p.box(x, 324, 180, 40, "float", "y = acc (s sw) + b", "float32; sw: scale of the row")
    p.arrow((102, 364), (102, 392))
    p.arrow((298, 364), (298, 392))
    p.box(12, 392, 376, 44, "other", "the end of the cell", "all gates of a unit in registers: tanh(y + y), say")
    p.arrow((200, 436), (200, 462))
    p.box(110, 462, 180, 40, "float", "the next h", "float32")
    p.arrow((290, 482), (394, 482), (394, 96), (388, 96))
    p.text(384, 518, "its range goes along, for the next step", "note", "end")
    return p.svg(528)


def threads():
    p = Picture(
        "Threads",
        "A batch is taken in groups of at most 64 rows, one group after the other. Each thread of a call computes a "
        "slice of the hidden units in every step, for all rows of the group. The threads meet once a step.",
    )
    p.text(12, 24, "150 rows: three groups, one after another", "head word")
    for n in range(3):
        p.box(12 + 128 * n, 36, 120, 34, "code" if n == 0 else "float", f"group {n}: 50 rows")
    p.arrow((72, 70), (72, 96))
    p.text(84, 88, "through all layers and all its steps", "note")

    p.text(12, 118, "Two threads, 128 units: a slice of 64 for each", "head word")
    for thread in range(2):
        y = 132 + 62 * thread
        p.text(12, y + 22, f"thread {thread}")
        p.text(12, y + 38, f"{64 * thread} to {64 * thread + 63}", "note")
        for n in range(2):
            left = 88 + 156 * n
            p.box(left, y, 46, 50, "other", "codes", "all h")
            p.box(left + 48, y, 52, 50, "sum", "sums", "slice")
            p.box(left + 102, y, 38, 50, "float", "end", "slice")
    for n in range(2):
        x = 236 + 156 * n
        p.shapes.append(f'<path d="M{x} 128V250" class="edge" stroke-dasharray="4 3"/>')
        p.text(x if n == 0 else x - 4, 266, "meet", "note", "middle" if n == 0 else "end")
    p.text(160, 284, "step t", "note", "middle")
    p.text(314, 284, "step t + 1", "note", "middle")
    p.text(12, 310, "The sum of a unit is never split, so no bit depends", "note")
    p.text(12, 325, "on the number of threads.", "note")
    return p.svg(338)


PICTURES = {"panels.svg": panels, "step.svg": step, "threads.svg": threads}

if __name__ == "__main__":
    for name, draw in PICTURES.items():
        (Path(__file__).parent / name).write_text(draw(), encoding="utf-8")
