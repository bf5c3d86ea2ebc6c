"""docs/performance.md and its plots, from the numbers of performance.json. Knows nothing of how they were taken."""
import json
import math
import os
import pathlib

import plot
import workloads
from compare import median
from marks import all_marks, peak_kb, products_alone, ratio, seconds

BENCH_PEAK = pathlib.Path(__file__).resolve().parent / "bench_peak.c"
NAMES = {"ours": "clbilevel", "singly": "clbilevel, one task after another", "called": "clbilevel, in the calling thread (PoCL's basic device)", "floats": "clbilevel, float pixels", "bytes": "clbilevel, one operand bytes", "alone": "clbilevel, one call and its wait", "higher": "PyTorch + higher", "torch": "PyTorch", "jax": "JAX, compiled",
         "numpy": "NumPy (OpenBLAS)", "hoisted": "PyTorch + higher, backbone out of the loop by hand",
         "naive": "PyTorch + higher, backbone in the loop"}
NAMES_SHORT = {**NAMES, "hoisted": "PyTorch + higher"}  # beside a line of a plot


def duration(value):
    """With its unit, three digits."""
    if value is None:
        return "-"
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= scale or unit == "µs":
            digits = max(0, 2 - math.floor(math.log10(value / scale))) if value else 0
            return f"{value / scale:.{digits}f} {unit}"
    return ""


def spread(values):
    if not values:
        return "-"
    return f"{duration(median(values))} ({duration(min(values))} to {duration(max(values))})"


def times_as_fast(value):
    return f"{value:.2f} x" if value else "-"


def write_json(path, data):
    """Whole or not at all; seconds to seven digits."""
    def short(value):
        if isinstance(value, float):
            return float(f"{value:.7g}") if math.isfinite(value) else None
        if isinstance(value, dict):
            return {key: short(one) for key, one in value.items()}
        return [short(one) for one in value] if isinstance(value, (list, tuple)) else value
    text = ",\n".join(f" {json.dumps(name)}: {json.dumps(short(row), ensure_ascii=False)}" for name, row in data["rows"].items())
    temporary = path.with_suffix(".tmp")
    temporary.write_text(f'{{"machine": {json.dumps(data.get("machine", {}), ensure_ascii=False)},\n"rows": {{\n{text}\n}}}}\n', encoding="utf-8")
    temporary.replace(path)


# --- one workload, on a terminal ---

def plain(name, row):
    lines = [f"{name}: {row['title']}"] + ([f"  {row['note']}"] if row.get("note") else [])
    for who, said in row.get("same", {}).items():
        lines.append(f"  {NAMES[who]}: the results {'agree' if said['same'] else 'DIFFER'}; {agreement(said)}; allowed {row['tolerance']:.0e}")
    programs = row.get("programs", {})
    for key in programs.get("ours", {}).get("times", {}):
        mine = programs["ours"]["times"][key]
        lines.append(f"  {key:28s} {NAMES['ours']:24s} {spread(mine)}")
        for who, one in programs.items():
            if who != "ours" and one["times"].get(key):
                faster = ratio(median(one["times"][key]), median(mine))
                lines.append(f"  {'':28s} {NAMES[who]:24s} {spread(one['times'][key])}   {times_as_fast(faster)}")
    peaks = [f"{NAMES[who]} {one['peak_kb'] / 1024:.0f} MiB" for who, one in programs.items() if one.get("peak_kb")]
    return "\n".join(lines + (["  peak memory of the process: " + ", ".join(peaks)] if peaks else []))


def agreement(said):
    words = []
    if "losses" in said:
        count = f" (upper iterations 1 to {said['compared']} of {said['of']})" if said.get("of") else ""
        words.append(f"F to {said['losses']:.1e}{count}" if said["losses"] is not None else f"F not comparable{count}")
    if said.get("array"):
        arrays = said["arrays"]
        words.append(f"arrays to {arrays:.1e} ({said['array']})" if arrays is not None and math.isfinite(arrays) else f"arrays not comparable: {said['array']}")
    if "steps" in said:
        words.append("max_loss_iter" + ("" if said["steps"] else " differs"))
    return ", ".join(words)


# --- sections of the report ---

BUSY = 0.05  # of the processors, at work for others: more is said in the report


def warnings(rows):
    rough = [name for name, row in rows.items() if row.get("quick")]
    busy = {name: row["others_share"] for name, row in rows.items() if (row.get("others_share") or 0) > BUSY}
    lines = []
    if rough:
        lines += [f"**Taken with `--quick`, two rounds only, for trying out:** {', '.join(rough)}.", ""]
    if busy:
        shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in busy.items())
        lines += [f"**The machine was busy with other work as well** (share of its processors) **during:** {shares}.", ""]
    return lines


def table(head, body):
    return ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)] + ["| " + " | ".join(map(str, line)) + " |" for line in body] + [""]


def machine_section(machine, rows):
    device, versions = machine.get("device", {}), machine.get("versions", {})
    newest = [row for row in rows.values() if "commit" in row]
    commits = sorted({row["commit"] for row in newest})
    body = [("processor", f"{machine.get('processor', '')} ({machine.get('family', '')}), {machine.get('cores', '')} cores, {machine.get('memory', '')}"),
            ("OpenCL device", f"{device.get('name', '')}: {device.get('platform', '')} {device.get('driver', '')}, LLVM {machine.get('LLVM', '')}"),
            ("native vector", device.get("vector", "")),
            *((name, version) for name, version in versions.items()),
            ("clbilevel", f"commit {', '.join(commits)}"), ("measured", " to ".join(sorted({min(r["when"] for r in newest), max(r["when"] for r in newest)})) + " UTC")]
    return ["## Machine and versions", "", *table(("what", "which"), body)]


def peak_rate(rows):
    """Multiply-adds of the device at most, in operations per second."""
    one = rows.get("peak", {}).get("programs", {}).get("ours", {})
    taken = median(one.get("times", {}).get("fma", []))
    return one["flops"] / taken if taken else None


def limits_section(rows, folder):
    one = rows.get("peak", {}).get("programs", {}).get("ours", {})
    read = median(one.get("times", {}).get("read", []))
    if not peak_rate(rows) or not read:
        return []
    return ["## What the device can do at most", "",
            f"Fused multiply-adds in registers, all cores: **{peak_rate(rows) / 1e9:.0f} GFLOP/s**. Reading memory far larger than the caches: "
            f"**{one['bytes'] / read / 1e9:.1f} GB/s**. Both by [bench_peak]({os.path.relpath(BENCH_PEAK, folder)}).", ""]


def products_section(rows):
    row, body, top = rows.get("products", {}), [], peak_rate(rows)
    for name, m, k, n, *_ in row.get("shapes", []):
        flops, taken = 2.0 * m * k * n, {who: one["times"].get(name, []) for who, one in row["programs"].items()}
        rate = {who: flops / median(s) for who, s in taken.items() if s}
        cells = [f"{rate[who] / 1e9:.0f} ({flops / max(taken[who]) / 1e9:.0f} to {flops / min(taken[who]) / 1e9:.0f})" if who in rate else "-"
                 for who in ("ours", "bytes", "alone", "numpy", "torch")]
        body.append((f"{m} x {k} x {n}", name, *cells, *(times_as_fast(ratio(rate.get("ours"), rate.get(who))) for who in ("numpy", "torch")),
                     f"{100 * rate['ours'] / top:.0f} %" if "ours" in rate and top else "-"))
    if not body:
        return []
    said = "; ".join(f"{NAMES[who]} {one['arrays']:.0e}" for who, one in row.get("same", {}).items())
    return ["## Products", "", "GFLOP/s of `C[m,n] = A[m,k] B[k,n]` in float, medians and spread; clbilevel's by `checkcl --bench`, which holds its products "
            "against plain C as a test; a constant operand (images) is packed once for a run, as in the library, all else each time. Of all, several calls "
            "one after another on the same arrays: ours are queued and waited for once, as plans use them; alone: one call and its wait, which includes waking the device's threads. "
            f"Largest error against the product in double, as a share of the largest element: {said}.", "",
            *table(("m x k x n", "what", "clbilevel", "with images as bytes", "clbilevel, alone", "OpenBLAS", "PyTorch", "clbilevel / OpenBLAS", "clbilevel / PyTorch",
                    "of the measured peak"), body)]


def convolutions_section(rows):
    row, body, top = rows.get("convolutions", {}), [], peak_rate(rows)
    for n, channels, side, form in workloads.CONVOLUTIONS:
        name, flops = workloads.convolution_name(n, channels, side, form), 2.0 * n * side * side * 64 * channels * 9
        rate = {who: flops / s for who in ("ours", "torch") if (s := seconds(rows, "convolutions", who, name))}
        if "ours" in rate:
            body.append((f"{n} x {channels} x {side}x{side}", form, f"{rate['ours'] / 1e9:.0f}", f"{rate['torch'] / 1e9:.0f}" if "torch" in rate else "-",
                         times_as_fast(ratio(rate["ours"], rate.get("torch"))), f"{100 * rate['ours'] / top:.0f} %" if top else "-"))
    if not body:
        return []
    said = "; ".join(f"{NAMES[who]} {agreement(one)}" for who, one in row.get("same", {}).items())
    return ["## Convolutions", "", "GFLOP/s of ConvNet-4's 3x3 convolutions of 64 outputs in float, medians; an image's products with the zeros around it count, "
            "whether they are computed or left out (which can make more than the peak). Ours have images channels last, as between layers, and whatever is "
            "packed is packed each time; PyTorch (oneDNN) the faster of channels first and channels last. Largest differences from ours, as a share of the "
            f"largest magnitude, before anything was timed: {said}.", "",
            *table(("images x channels x size", "form", "clbilevel", "PyTorch", "clbilevel / PyTorch", "of the measured peak"), body)]


def work_table(rows, names, keys=None):
    body = []
    for name in names:
        row = rows.get(name, {})
        programs = row.get("programs", {})
        if not programs.get("ours"):
            continue
        others = [who for who in programs if who != "ours"]
        for key in keys or programs["ours"]["times"]:
            mine = median(programs["ours"]["times"].get(key, []))
            cells = {who: seconds(rows, name, who, key) for who in others}
            alone = products_alone(rows, all_products().get(name, {}).get(key))
            body.append((row["title"], key, spread(programs["ours"]["times"].get(key, [])), duration(cells.get("floats")),
                         *(spread(programs[who]["times"].get(key, [])) if who in programs and cells[who] else "-" for who in peers_of(rows, names)),
                         *(times_as_fast(ratio(cells.get(who), mine)) for who in peers_of(rows, names)),
                         f"{100 * alone / mine:.0f} %" if alone and mine else "-"))
    return body


def peers_of(rows, names):
    found = []
    for name in names:
        found += [who for who in rows.get(name, {}).get("programs", {}) if who not in found and not who.startswith("ours")]
    return found


def all_products():
    return {w.name: w.products for w in workloads.all_workloads()}


def work_section(rows, title, words, names, keys=None):
    body, peers = work_table(rows, names, keys), peers_of(rows, names)
    if not body:
        return []
    head = ["work", "time of", "clbilevel", "with float pixels", *(NAMES[who] for who in peers), *(f"{NAMES[who]} / clbilevel" for who in peers),
            "products alone / clbilevel"]
    keep = [i for i in range(len(head)) if i < 3 or any(line[i] != "-" for line in body)]
    notes = [f"{rows[name]['title']}: {rows[name]['note']}." for name in names if rows.get(name, {}).get("note")]
    same = [f"* {rows[name]['title']}: " + "; ".join(f"{NAMES[who]} {agreement(said)}" for who, said in rows[name].get("same", {}).items())
            for name in names if rows.get(name, {}).get("same")]
    return [f"## {title}", "", words, "", *table([head[i] for i in keep], [[line[i] for i in keep] for line in body]), *notes,
            *([""] if notes else []), *(["Largest differences from ours, as a share of the largest magnitude, before anything was timed:", "", *same, ""] if same else [])]


def memory_section(rows):
    def mebibytes(kb):
        return f"{kb / 1024:.0f} MiB" if kb else "-"
    body = []
    for name in ("linear", "mlp-20", "mlp-100", "mlp-100-fifth", "mlp-1000-256M"):
        programs = rows.get(name, {}).get("programs", {})
        mine = programs.get("ours", {})
        if mine.get("peak_kb"):
            body.append((rows[name]["title"], mebibytes(mine["peak_kb"]), mebibytes(mine.get("counters", {}).get("pool_bytes", 0) / 1024),
                         f"{mine.get('snapshots', '-')} of {rows[name]['facts']['steps'] + 1}", mine.get("recomputed_steps", "-"),
                         *(f"{mebibytes(peak_kb(rows, name, who))} ({mebibytes(programs.get(who, {}).get('base_kb'))})" if peak_kb(rows, name, who) else "-"
                           for who in ("higher", "jax"))))
    if not body:
        return []
    return ["## Memory", "", "Peak resident memory of the whole process, as the system counts it, with kernels built before, over all rounds (each program does the loop and every backward "
            "sweep of the table above); what of it is the device pool's, and of the peers, in brackets, what they held before the first round (imports and data). "
            "Steps recomputed: in one round.", "",
            *table(("work", "clbilevel", "of it pool", "snapshots kept", "steps recomputed", "PyTorch + higher", "JAX, compiled"), body)]


def mnist_section(rows, folder):
    parts, drawn = [], []
    for name in ("mnist", "mnist-no-truncation"):
        row = rows.get(name, {})
        if not row.get("result"):
            if row.get("note"):
                parts += [f"{row['title']}: {row['note']}.", ""]
            continue
        result = row["result"]
        parts += [f"{row['title']}: F {result['upper_loss']:.4f}, test accuracy {result['test_accuracy']:.4f}, F1 of the right labels {result['f1']:.3f}, of the "
                  f"wrong {result['f1_wrong']:.3f} after {result['iterations']} upper iterations.", ""]
        counts = {int(k): count for k, count in result["max_loss_iter_histogram"].items()}
        if len(counts) > 1:
            (folder / "max_loss_iter.svg").write_text(
                plot.bars("max_loss_iter in the upper iterations of the MNIST run, as it comes", "max_loss_iter", "upper iterations", counts, 50), encoding="utf-8")
            drawn = ["![histogram of max_loss_iter](max_loss_iter.svg)", ""]
            between = sum(count for k, count in counts.items() if k not in (1, 50))
            parts += [f"`max_loss_iter` was 1 in {counts.get(1, 0)} of them, T = 50 in {counts.get(50, 0)}, between in {between}; so a backward sweep costs what is "
                      "said above for 1, T/2 and T in those shares.", "", *drawn]
    words = ("The run of the README, from its own folder by the peer as well. Times of an upper iteration: means over the run (and its median); ours from five "
             "runs, each beside the next fifth of the peer's one.")
    section = work_section(rows, "A real run", words, ("mnist", "mnist-no-truncation"))
    return section + parts if section else (["## A real run", "", *parts] if parts else [])


def omniglot_section(rows, folder):
    parts = []
    for name in ("omniglot-5-1", "omniglot-20-5"):
        row = rows.get(name, {})
        curves = row.get("curves", {})
        if not curves:
            continue
        body = [(point["iterations"], *(cell for who in curves for cell in (
            f"{curves[who][i]['accuracy']:.4f} ± {curves[who][i]['interval']:.4f}", duration(curves[who][i]["seconds"])) if i < len(curves[who])))
            for i, point in enumerate(curves["ours"])]
        head = ["upper iterations", *(cell for who in curves for cell in (f"accuracy, {NAMES[who]}", "after"))]
        drawn = plot.lines(row["title"], "seconds of loops and sweeps", "accuracy on test classes",
                           [(NAMES_SHORT[who], [(point["seconds"], point["accuracy"]) for point in points]) for who, points in curves.items()], curve=True)
        (folder / f"{name}.svg").write_text(drawn, encoding="utf-8")
        parts += [f"### {row['title']}", "", *table(head, body), f"![accuracy by time]({name}.svg)", ""]
    words = ("`clbilevel few-shot` on the archive of real drawings, and the same run by the peer: the same first models, the same tasks, the backbone taken out of the "
             "loop by hand. Times are of loops and sweeps at the `max_loss_iter` that occurs, the median of each run (of each part of the peer's run). Both models of every checkpoint are judged by the tool "
             "on the same tasks of test classes, at y_T; ± is the 95 % interval.")
    section = work_section(rows, "Omniglot", words, ("omniglot-5-1", "omniglot-20-5"))
    return section + parts if section else []


def growth_section(rows, folder):
    parts = []
    for group, x_label, file in (("growth in T", "lower steps T", "growth_T"), ("growth in N", "training examples N (as many for validation)", "growth_N"),
                                 ("growth in width", "hidden units", "growth_width")):
        chosen = [(name, row) for name, row in rows.items() if row.get("group") == group]
        for key, what in (("loop", "lower loop with F at each step"), ("backward", "backward at T")):
            series = []
            for who in ("ours", "higher", "jax"):
                points = [(row["facts"]["axis"], seconds(rows, name, who, key if key == "loop" else f"backward at {row['facts']['steps']}")) for name, row in chosen]
                series.append((NAMES[who], [p for p in points if p[1]]))
            drawn = plot.lines(f"{'MLP 784-h-10, T = 10' if 'width' in group else 'linear 784-10' + (', T = 20' if group.endswith('N') else '')}: {what}",
                               x_label, "seconds", series)
            if drawn:
                (folder / f"{file}_{key}.svg").write_text(drawn, encoding="utf-8")
                parts += [f"![{what}, {group}]({file}_{key}.svg)", ""]
    memory = [(name, row) for name, row in rows.items() if row.get("group") == "memory in T"]
    series = [(NAMES[who], [(row["facts"]["axis"], peak_kb(rows, name, who) / 1024) for name, row in memory if peak_kb(rows, name, who)])
              for who in ("ours", "higher", "jax")]
    drawn = plot.lines("MLP 784-300-10: peak memory of the process", "lower steps T", "MiB", series)
    if drawn:
        (folder / "memory_T.svg").write_text(drawn, encoding="utf-8")
        parts += ["![peak memory by T](memory_T.svg)", ""]
    return ["## How cost grows", "", "Medians; both axes logarithmic, so that cost in proportion is a slope of one.", "", *parts] if parts else []


def marks_section(rows):
    body = [(m.work, f"{m.wanted()} {m.what}", m.measured(), {True: "yes", False: "no", None: "-"}[m.reached])
            for m in all_marks(rows, all_products())]
    reached, measured = sum(line[3] == "yes" for line in body), sum(line[3] != "-" for line in body)
    return ["## Marks", "", f"{reached} of {measured} that were measured are reached. More than 1 x is faster than the peer.", "",
            *table(("work", "mark", "measured", "reached"), body)]


METHOD = """Written by `tools/benchmark`, which sets the peers up, builds, and runs everything that `meson benchmark` can run; the numbers are in
[performance.json](performance.json). All of it is timed on one machine in one session: the programs take turns (ours, peer, ours, peer …), one round each,
after a round that warms up and is compared; a time is the median of the rounds, in brackets the least and the largest. Every peer solves the same problem from the
same files, and before anything is timed its F at every step, its `max_loss_iter` and its hypergradients, element by element, are shown equal to ours (to 1e-4 of
the largest magnitude in float, 1e-9 or 1e-8 in double). Our images are bytes, as they come from their files, scaled inside the objective; a second row has them as floats;
the peers have float tensors of the same values, converted once outside the timing. Peers use all cores and choose their own kernels: settings of OpenBLAS in the
environment are taken away. JAX runs the whole loop as one compiled scan, and the backward sweep as another."""


def write(folder, data):
    rows = data["rows"]
    if not rows:
        return
    lines = ["# Performance", "", METHOD, "", *warnings(rows),
             *machine_section(data.get("machine", {}), rows), *marks_section(rows), *limits_section(rows, folder), *products_section(rows), *convolutions_section(rows),
             *work_section(rows, "Hyper-cleaning", "Products alone: the time that the work's matrix products would take, each at the best rate anybody reached on "
                           "its shape above, and the sweep's as if every step's intermediates had been kept.",
                           ("linear", "mlp-20", "mlp-100", "mlp-100-fifth", "mlp-1000-256M")),
             *memory_section(rows),
             *work_section(rows, "Small problems", "One upper iteration: loop, pessimistic step, truncated sweep and both updates; in the caller's hands, and of many in one "
                           "call (`blo_iapttgm_solve`; a scan over iterations in JAX).", ("numerical", "feature-weights", "feature-weights-double")),
             *work_section(rows, "Few-shot learning", "One task of random drawings: loop with F at each step and backward sweep from T, each time as in training: "
                           "parameters updated since the last task, images new. A backbone in the loop is how the paper's code has it. Results are compared "
                           "in double, then float is timed: in float a tie of a max pooling, or a relu at its corner, may fall either way.", ("few-shot-5-1", "few-shot-20-5", "few-shot-5-1-T-50")),
             *omniglot_section(rows, folder), *mnist_section(rows, folder), *growth_section(rows, folder)]
    (folder / "performance.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
