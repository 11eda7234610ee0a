"""Markdown tables from the results of benchmarks/compare.py."""

TITLES = {"sequence": "sequences, µs a step", "step": "single steps, the state fed back, µs a step"}
WRAPPED = (
    "Every answer was checked against float64 before it was timed. Ratios are medians of the ratios inside",
    "interleaved rounds. Limit: the bare loops of the same rounds.",
)


def us(value):
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def groups(points):
    """[(kind, mode, batch), records], in the order of the run."""
    found = {}
    for record in points:
        found.setdefault((record["mode"], record["kind"], record["batch"]), []).append(record)
    return found.items()


def rows(head, lines):
    return ["| " + " | ".join(head) + " |", "|" + "---:|" * len(head),
            *("| " + " | ".join(line) + " |" for line in lines), ""]


def summary(results, mode):
    """A row a point: our median, the fastest peer's, the ratio of the two, and the share of the limit."""
    ours = [n for n in ("qrnn", "qrnn out=", "qrnn f32") if n in results["peers"]]
    ours = [n for n in ours if any(n in r["us"] for r in results["points"] if r["mode"] == mode)]
    head = ["kind", "batch", "I = H", "fastest peer", "its µs"]
    for name in ours:
        head += [f"{name} µs", "peer ÷ it"]
    if results["threads"] > 1:
        head += ["1 thread ÷ qrnn"]
    else:
        head += ["limit µs", "share of limit", "bound by", "empty call µs", "np.add µs"][:5 if mode == "step" else 3]
    lines = []
    for record in results["points"]:
        if record["mode"] != mode:
            continue
        fastest = record["fastest"]
        line = [record["kind"].upper(), str(record["batch"]), str(record["size"]), fastest or "",
                us(record["us"][fastest][1]) if fastest else ""]
        for name in ours:
            if name in record["us"]:
                ratio = record.get("ratio", {}).get(name)
                line += [us(record["us"][name][1]), f"{1 / ratio:.2f}" if ratio else ""]
            else:
                line += ["", ""]
        if results["threads"] > 1:
            line += [f"{record['gain']:.2f}" if "gain" in record else ""]
        else:
            limit = record.get("limit", {}).get("qrnn")
            line += [us(limit[0]), f"{limit[1]:.0%}", limit[2]] if limit else ["", "", ""]
            if mode == "step":
                line += [us(record["calls"][name]) if "calls" in record else "" for name in ("empty", "np.add")]
        lines.append(line)
    return rows(head, lines) if lines else []


def all_peers(results, key, records):
    """Fastest / median of every peer at every size, and its median ratio to the fastest peer."""
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
    return [f"### {kind.upper()}, batch {batch}: {TITLES[mode]}, fastest / median (÷ fastest peer)", "",
            *rows(["I = H", *names], lines)]


def markdown(results):
    threads = results["threads"]
    number = "one thread" if threads == 1 else f"{threads} threads"
    lines = [f"# RNN, LSTM and GRU against the peers, {number}", ""]
    lines += [f"- {name}: {value}" for name, value in results["machine"].items()]
    lines += [f"- limits: {results['limits']}"]
    lines += [f"- {name}: {p['details']}; {p['precision']}; version {p['version']}"
              for name, p in results["peers"].items()]
    lines += [f"- **not run: {name}: {why}**" for name, why in results["not run"].items()]
    lines += ["", *WRAPPED, ""]
    for mode, title in TITLES.items():
        table = summary(results, mode)
        if table:
            lines += [f"## Fastest peer: {title}", "", *table]
    lines += ["## Every peer", ""]
    for key, records in groups(results["points"]):
        lines += all_peers(results, key, records)
    failed = {(n, why) for r in results["points"] for n, why in r["absent"].items()
              if not why.startswith("no ") and "at half the size" not in why}
    lines += [f"- **{name} did not run at some points: {why}**" for name, why in sorted(failed)]
    return "\n".join(lines)
