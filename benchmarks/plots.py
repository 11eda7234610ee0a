"""Draw SVG plots from the JSON that benchmarks/compare.py writes.

    python benchmarks/plots.py [results/peers.json]

NAME-sequence.svg and NAME-step.svg show the time of a step against H, batch 1 above and 32 below, one column for each
kind of layer. NAME-limit.svg shows the share of the machine's limit that engine qrnn reaches.
"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

COLOURS = {
    "quantized-rnn": "#c1121f",
    "numpy": "#7a7a7a",
    "numba": "#17a2b8",
    "torch": "#e8871e",
    "onnxruntime": "#1f77b4",
    "ai-edge-litert": "#2a9d3a",
    "openvino": "#7b4fb5",
    "ncnn": "#8c564b",
}
OURS = "quantized-rnn"  # drawn last, above the others
LIBRARIES = {
    "quantized-rnn": "qrnn",
    "numpy": "NumPy",
    "numba": "Numba",
    "torch": "PyTorch",
    "onnxruntime": "ONNX Runtime",
    "ai-edge-litert": "LiteRT",
    "openvino": "OpenVINO",
    "ncnn": "ncnn",
}
DASHES = {"int8": "-", "bfloat16": "-.", "float32": ":"}
KINDS = ("rnn", "lstm", "gru")
TITLES = {"sequence": "Sequences of 50 to 100 steps in one call: µs a step", "step": "Single steps from Python: µs"}
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "qrnn",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}


def lines_of(results, kind, mode, batch):
    """Return {(library, precision): {H: median of its fastest variant}} and {H: the limit}."""
    found, limit = {}, {}
    for record in results["points"]:
        if (record["kind"], record["mode"], record["batch"]) != (kind, mode, batch):
            continue
        for name, (_, median) in record["us"].items():
            peer = results["peers"][name]
            at = found.setdefault((peer["distribution"], peer["precision"]), {})
            at[record["size"]] = min(median, at.get(record["size"], median))
        if "qrnn" in record.get("limit", {}):
            limit[record["size"]] = record["limit"]["qrnn"][0]
    return found, limit


def size_axis(axes, sizes):
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes], fontsize=7)
    axes.minorticks_off()


def times(results, mode, path):
    batches = [b for b in (1, 32) if any(r["batch"] == b and r["mode"] == mode for r in results["points"])]
    kinds = [k for k in KINDS if any(r["kind"] == k and r["mode"] == mode for r in results["points"])]
    if not batches or not kinds:
        return
    figure, grid = plt.subplots(
        len(batches),
        len(kinds),
        squeeze=False,
        sharex=True,
        layout="constrained",
        figsize=(3.4 * len(kinds), 2.9 * len(batches) + 0.6),
    )
    handles = {}
    for row, batch in zip(grid, batches, strict=True):
        for axes, kind in zip(row, kinds, strict=True):
            found, limit = lines_of(results, kind, mode, batch)
            for (library, precision), at in sorted(found.items(), key=lambda item: item[0][0] == OURS):
                ours = library == OURS
                (handles[library, precision],) = axes.plot(
                    list(at),
                    list(at.values()),
                    DASHES[precision],
                    color=COLOURS[library],
                    linewidth=2.4 if ours and precision == "int8" else 1.3,
                    marker="o" if ours else None,
                    markersize=3,
                )
            if limit:
                (line,) = axes.plot(list(limit), list(limit.values()), color="black", linewidth=0.8)
                handles["limit", ""] = line
            axes.set_yscale("log")
            axes.set_title(f"{kind.upper()}, batch {batch}", fontsize=9)
            size_axis(axes, sorted({r["size"] for r in results["points"] if r["mode"] == mode}))
        row[0].set_ylabel("µs a step")
    for axes in grid[-1]:
        axes.set_xlabel("I = H")
    names = {key: f"{LIBRARIES.get(key[0], 'limit of the machine')} {key[1]}".strip() for key in handles}
    order = sorted(handles, key=lambda key: (key[0] != OURS, key[0] == "limit", names[key]))
    figure.legend(
        [handles[key] for key in order], [names[key] for key in order], loc="outside lower center", ncols=5, fontsize=8
    )
    what = f"{TITLES[mode]}, {threads_of(results)}; medians, the fastest variant of a library"
    figure.suptitle(what, fontsize=10)
    save(figure, path)


def threads_of(results):
    return "one thread" if results["threads"] == 1 else f"{results['threads']} threads"


def shares(results, path):
    points = [r for r in results["points"] if "qrnn" in r.get("limit", {})]
    panels = [
        (mode, kind) for mode in TITLES for kind in KINDS if any((r["mode"], r["kind"]) == (mode, kind) for r in points)
    ]
    if not panels:
        return
    columns = min(3, len(panels))
    count = -(-len(panels) // columns)
    figure, grid = plt.subplots(
        count,
        columns,
        squeeze=False,
        sharey=True,
        layout="constrained",
        figsize=(max(6.8, 3.4 * columns), 2.6 * count + 0.5),
    )
    colours = matplotlib.colormaps["viridis"]
    batches = sorted({r["batch"] for r in points})
    for axes, (mode, kind) in zip(grid.flat, panels, strict=False):
        for number, batch in enumerate(batches):
            at = {
                r["size"]: 100 * r["limit"]["qrnn"][1]
                for r in points
                if (r["mode"], r["kind"], r["batch"]) == (mode, kind, batch)
            }
            if at:
                axes.plot(
                    list(at),
                    list(at.values()),
                    "o-",
                    markersize=3,
                    linewidth=1.4,
                    color=colours(0.9 * number / max(1, len(batches) - 1)),
                    label=f"batch {batch}",
                )
        size_axis(axes, sorted({r["size"] for r in points if (r["mode"], r["kind"]) == (mode, kind)}))
        axes.set_title(f"{kind.upper()}, {'sequences' if mode == 'sequence' else 'single steps'}", fontsize=9)
        axes.set_ylim(0, 105)
        axes.set_xlabel("I = H")
    for axes in grid[:, 0]:
        axes.set_ylabel("% of the limit")
    for axes in list(grid.flat)[len(panels) :]:
        axes.remove()
    entries = {}
    for axes in grid.flat:
        entries |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=6, fontsize=8)
    figure.suptitle("Share of the machine's limit that qrnn int8 reaches, one thread", fontsize=10)
    save(figure, path)


def save(figure, path):
    figure.savefig(path, format="svg", facecolor="white", metadata={"Date": None})
    plt.close(figure)


def draw(results, stem):
    """Write stem-sequence.svg, stem-step.svg and stem-limit.svg, each if it has points."""
    with matplotlib.rc_context(STYLE):
        for mode in TITLES:
            times(results, mode, f"{stem}-{mode}.svg")
        shares(results, f"{stem}-limit.svg")


if __name__ == "__main__":
    source = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "results" / "peers.json")
    draw(json.loads(source.read_text(encoding="utf-8")), source.with_suffix(""))
