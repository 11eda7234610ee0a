"""Make Markdown tables from the results of benchmarks/compare.py; print and save a program's lines."""

import sys
import time

import targets

TITLES = {"sequence": "sequences, µs a step", "step": "single steps, the state fed back, µs a step"}
WRAPPED = (
    "Every answer was checked against float64 before it was timed. Ratios are medians of the ratios inside",
    "interleaved rounds. Limit: the bare loops at their fastest in the same rounds, and the share of it qrnn's at its",
    "fastest. A point is reached at the smaller of the ratio asked and",
    f'{targets.WITHIN:.0%} of the limit ("by the limit"), never below the fastest peer.',
)


def us(value):
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def publish(lines, output, start):
    """Print the lines and write them to `output`, with the time since time.perf_counter() == start."""
    text = "\n".join(lines)
    print(text)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text + "\n", encoding="utf-8")
    print(f"written to {output} in {time.perf_counter() - start:.0f} s", file=sys.stderr)


def groups(points):
    """Group the points: [(kind, mode, batch), records], in the order of the run."""
    found = {}
    for record in points:
        found.setdefault((record["mode"], record["kind"], record["batch"]), []).append(record)
    return found.items()


def rows(head, lines):
    return [
        "| " + " | ".join(head) + " |",
        "|" + "---:|" * len(head),
        *("| " + " | ".join(line) + " |" for line in lines),
        "",
    ]


def where(record):
    return [record["kind"].upper(), str(record["batch"]), str(record["size"])]


def times(value):
    return f"{value:.2f}" if value is not None else ""


def median_us(record, name):
    return us(record["us"][name][1]) if name in record["us"] else ""


def of_mode(results, mode):
    return [record for record in results["points"] if record["mode"] == mode]


def summary(results, mode):
    """Make a row for each point: the fastest peer, engine qrnn's ratio to it, the target, the share of the limit."""
    records = of_mode(results, mode)
    if not records:
        return []
    ours = [n for n in ("qrnn", "qrnn out=") if any(n in r["us"] for r in records)]
    head = ["kind", "batch", "I = H", "fastest peer", "its µs"]
    for name in ours:
        head += [f"{name} µs", "peer ÷ it", "reached"]
    head.insert(head.index("reached"), "asked")
    if results["threads"] == 1:
        head += ["limit µs", "share of limit", "bound by", "empty call µs", "np.add µs"][: 5 if mode == "step" else 3]
    lines = []
    for record in records:
        verdict, fastest = targets.Verdict(results, record), record["fastest"]
        line = [*where(record), fastest or "", median_us(record, fastest)]
        for name in ours:
            line += [median_us(record, name), times(verdict.ratio(name))]
            line += [f"{verdict.asked:g}"] if name == ours[0] else []
            line += [verdict.reached(name)]
        if results["threads"] == 1:
            limit = record.get("limit", {}).get("qrnn")
            line += [us(limit[0]), f"{limit[1]:.0%}", limit[2]] if limit else ["", "", ""]
            if mode == "step":
                line += [us(record["calls"][name]) if "calls" in record else "" for name in ("empty", "np.add")]
        lines.append(line)
    return rows(head, lines)


def floats(results, mode):
    """Make a row for each point: qrnn f32 against the fastest float32 peer."""
    lines = []
    for record in of_mode(results, mode):
        verdict, fastest = targets.Verdict(results, record), record.get("float fastest")
        if "qrnn f32" in record["us"] and fastest:
            limit = record.get("limit", {}).get("qrnn f32")
            lines.append(
                [
                    *where(record),
                    fastest,
                    median_us(record, fastest),
                    median_us(record, "qrnn f32"),
                    times(verdict.ratio("qrnn f32")),
                    verdict.reached("qrnn f32"),
                    f"{limit[1]:.0%}" if limit else "",
                ]
            )
    head = [
        "kind",
        "batch",
        "I = H",
        "fastest float peer",
        "its µs",
        "qrnn f32 µs",
        "peer ÷ it",
        "reached",
        "share of limit",
    ]
    return rows(head, lines) if lines else []


def gains(results):
    """Make a row for each point: engine qrnn's gain with more threads, in interleaved rounds without peers."""
    number = results["threads"]
    lines = []
    for record in results["points"]:
        if "gain" in record:
            asked = targets.Verdict(results, record).gain_asked
            lines.append(
                [
                    *where(record),
                    *(us(record["gain us"][n][1]) for n in ("qrnn 1 thread", "qrnn")),
                    times(record["gain"]),
                    times(asked),
                    "" if asked is None else targets.reached(record["gain"], asked),
                ]
            )
    head = ["kind", "batch", "I = H", "1 thread µs", f"{number} threads µs", "1 thread ÷ it", "asked", "reached"]
    return rows(head, lines) if lines else []


def shares(results):
    """Make a row for each kind and batch: the smallest share of the limit among points that have a target for it."""
    found = {}
    for record in results["points"]:
        verdict = targets.Verdict(results, record)
        if verdict.share_asked and verdict.share() is not None:
            key = record["kind"].upper(), str(record["batch"])
            found.setdefault(key, []).append((record["size"], verdict.share(), verdict.share_asked))
    lines = [
        [
            *key,
            f"{at[0][2]:.0%}",
            ", ".join(f"{size}: {share:.0%}" for size, share, _ in at),
            "yes" if all(share >= asked for _, share, asked in at) else "no",
        ]
        for key, at in found.items()
    ]
    return rows(["kind", "batch", "share of limit asked", "I = H: share of limit", "reached"], lines) if lines else []


def missed(results):
    """Say how many of the targets were missed, with a row for each of these."""
    lines, judged = [], 0
    for record in results["points"]:
        verdict = targets.Verdict(results, record)
        judged += sum(bool(verdict.reached(name)) for name in ("qrnn", "qrnn out=", "qrnn f32"))
        judged += verdict.share_asked is not None and verdict.share() is not None
        judged += verdict.gain_asked is not None and "gain" in record
        judged += len(verdict.calls())
        limit = record.get("limit", {})
        for what, asked, got in verdict.missed():
            at = limit.get("qrnn f32" if what.startswith("qrnn f32") else "qrnn")
            lines.append(
                [*where(record), record["mode"], what, asked, got, f"{at[1]:.0%}" if at else "", at[2] if at else ""]
            )
    head = ["kind", "batch", "I = H", "mode", "what", "asked", "got", "share of limit", "bound by"]
    return [f"{len(lines)} of {judged} things asked were not reached.", "", *(rows(head, lines) if lines else [])]


def all_peers(results, key, records):
    """Tabulate fastest / median of every peer at every size, and its median ratio to the fastest peer."""
    mode, kind, batch = key
    names = [n for n in results["peers"] if any(n in r["us"] for r in records)]
    lines = []
    for record in records:
        line = [str(record["size"])]
        for name in names:
            if name not in record["us"]:
                line.append("")
                continue
            text = "{} / {}".format(*map(us, record["us"][name]))
            ratio = record.get("ratio", {}).get(name)
            text += f" ({ratio:.2f})" if ratio else ""
            line.append(f"**{text}**" if name == record["fastest"] else text)
        lines.append(line)
    return [
        f"### {kind.upper()}, batch {batch}: {TITLES[mode]}, fastest / median (÷ fastest peer)",
        "",
        *rows(["I = H", *names], lines),
    ]


def markdown(results):
    threads = results["threads"]
    number = "one thread" if threads == 1 else f"{threads} threads"
    facts = results["machine"]
    lines = [f"# RNN, LSTM and GRU against the peers, {number}", ""]
    if targets.limited(facts):
        isa = facts["instruction set run"]
        lines[0] += f", qrnn on {isa}"
        lines += [f"**qrnn was limited to {isa}, the peers ran as they are: asked is to be ahead of them.**", ""]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    lines += [f"- {name} at each point: `--{name} {value:g}`" for name, value in results.get("options", {}).items()]
    lines += [f"- limits: {results['limits']}"]
    lines += [
        f"- {name}: {p['details']}; {p['precision']}; version {p['version']}" for name, p in results["peers"].items()
    ]
    lines += [f"- **not run: {name}: {why}**" for name, why in results["not run"].items()]
    lines += ["", *WRAPPED, ""]
    parts = [(f"Fastest peer: {title}", summary(results, mode)) for mode, title in TITLES.items()]
    parts += [(f"Float32: {title}", floats(results, mode)) for mode, title in TITLES.items()]
    parts += [
        (f"{number.capitalize()} against one: {TITLES['sequence']}", gains(results)),
        ("Shares of the limit: sequences", shares(results)),
        ("Not reached", missed(results)),
    ]
    for title, table in parts:
        if table:
            lines += [f"## {title}", "", *table]
    lines += ["## Every peer", ""]
    for key, records in groups(results["points"]):
        lines += all_peers(results, key, records)
    failed = {
        (n, why)
        for r in results["points"]
        for n, why in r["absent"].items()
        if not why.startswith(("no ", "batch 1 only")) and " times the fastest at " not in why
    }
    lines += [f"- **{name} did not run at some points: {why}**" for name, why in sorted(failed)]
    return "\n".join(lines)
