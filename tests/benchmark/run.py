"""Runs workloads beside their peers and prints what they took; with --docs also keeps the numbers in DOCS/performance.json and writes
DOCS/performance.md and its plots. tools/benchmark calls it for everything, meson benchmark for one workload at a time.
usage: run.py --build BUILD --peers PYTHON [--docs FOLDER] [--only NAME,...] [--quick] [--lock FILE] [--report-only]"""
import argparse
import csv
import fnmatch
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import compare
import machine
import report
import workloads

ROOT = pathlib.Path(__file__).resolve().parents[2]


# --- runners: (workload, place, rows, rounds, seconds, lock, log) -> row ---

def run_compare(w, place, rows, rounds, seconds, lock, log):
    programs = w.programs(place, rows)
    if not programs:
        return {"note": "not run: what it needs was not measured before"}
    same, tolerance = {}, w.tolerance
    if w.in_double:
        with tempfile.TemporaryDirectory() as folder:
            same = compare.measure(folder, w.programs(place, rows, "double"), 0, seconds, w.tolerance, lock, log)["same"]
        programs = [p for p in programs if same.get(p.who, {"same": p is programs[0]})["same"]]
        tolerance = float("inf")
    with tempfile.TemporaryDirectory() as folder:
        if w.warm:
            compare.warm(folder, programs[0], seconds, lock, log)
        found = compare.measure(folder, programs, rounds, seconds, tolerance, lock, log)
    row = {"programs": {}, "same": same or found["same"], "note": found["note"]}
    for program in programs:
        who, one = program.who, found["programs"][program.who]
        first, kept = one["first"] or {}, one["rounds"]
        row["programs"][who] = {"times": {key: compare.times(found, who, key) for key in (first.get("times") or {})}, "peak_kb": one["peak_kb"]}
        last = kept[-1] if kept else first
        for key in ("counters", "base_kb", "snapshots", "recomputed_steps", "max_loss_iter", "flops", "bytes"):
            if key in last:
                row["programs"][who][key] = last[key]
        if "max_loss_iters" in last:
            row["programs"][who]["mean_max_loss_iter"] = sum(sum(r["max_loss_iters"]) / len(r["max_loss_iters"]) for r in kept or [last]) / len(kept or [last])
    return row


def bench_products(program):
    """Of checkcl's benches: {who: {(m, k, n): seconds}}, with everything packed that a product packs each time (a constant operand is packed once for a
    run). A shape that is timed both ways round counts as the faster: the library may choose."""
    done = subprocess.run([program, "--bench", "--json"], capture_output=True, text=True, check=True)
    found = {"ours": {}, "bytes": {}}
    for one in json.loads(done.stdout)["products"]:
        m, k, n = one["m"], one["k"], one["n"]
        seconds = 2e-9 * m * k * n / one["gflops_with_packing"]
        mine = found["bytes" if one["bytes"] else "ours"]
        for shape in {(m, k, n), (n, k, m)}:
            mine[shape] = min(seconds, mine.get(shape, seconds))
    return found


def run_products(w, place, rows, rounds, seconds, lock, log):
    del rows
    until, row = time.monotonic() + seconds, {"programs": {}, "same": {}, "note": "", "shapes": workloads.SHAPES}
    runs = "5" if place.quick else "15"
    peers = [p for p in (place.peer(who, "products.py", who, runs, json.dumps(workloads.SHAPES)) for who in ("numpy", "torch")) if p]
    kept = {who: {name: [] for name, *_ in workloads.SHAPES} for who in ["ours", "bytes"] + [p.who for p in peers]}
    try:
        with compare.locked(lock):
            for p in peers:
                p.start(".", log)
                first = p.round(until)
                worst = max((first or {"errors": {"": float("inf")}})["errors"].values())
                row["same"][p.who] = {"arrays": worst, "array": "against the product in double", "same": worst <= w.tolerance}
        for _ in range(rounds):
            if time.monotonic() > until:
                break
            with compare.locked(lock):
                mine = bench_products(place.build / "tests" / "checkcl" / "checkcl")
                told = {p.who: p.round(until) for p in peers}
            for name, m, k, n, *_ in workloads.SHAPES:
                for who, times in mine.items():
                    if (m, k, n) in times:
                        kept[who][name].append(times[m, k, n])
                for who, one in told.items():
                    if one:
                        kept[who][name].append(one["times"][name])
    finally:
        for p in peers:
            p.end()
    row["programs"] = {who: {"times": times} for who, times in kept.items()}
    return row


def real_data(name):
    """NAME in the folder of real data; None: it is not there."""
    for base in (os.environ.get("CLBILEVEL_TEST_DATA"), ROOT.parent / "shared" / "data"):
        if base and pathlib.Path(base, name).exists():
            return pathlib.Path(base, name)
    return None


def read_run(folder):
    with open(f"{folder}/metrics.csv", encoding="utf-8") as file:
        return [{key: float(value) for key, value in line.items()} for line in csv.DictReader(file)]


def run_mnist(w, place, rows, rounds, seconds, lock, log):
    """The tool's run, again and again, each beside the next block of the same run by the peer."""
    del rows
    data, until = real_data("mnist"), time.monotonic() + seconds
    if not data:
        return {"note": "SKIPPED: no MNIST in CLBILEVEL_TEST_DATA/mnist or ../shared/data/mnist"}
    iterations = 60 if place.quick else 300
    command = [place.build / "tools" / "clbilevel", "hyper-cleaning", "--data", data, "--train", "4000", "--validation", "4000", "--test", "2000",
               "--iterations", iterations, *w.facts["options"]]
    mine, his, runs = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        def ours(i):
            subprocess.run([str(c) for c in [*command, "--output", f"{folder}/{i}"]], stdout=subprocess.DEVNULL, stderr=log, check=True,
                           timeout=max(1.0, until - time.monotonic()))
            return read_run(f"{folder}/{i}")
        with compare.locked(lock):
            runs.append(ours(0))
        peer = place.peer("higher", "mnist_higher.py", f"{folder}/0", iterations // rounds)
        try:
            if peer:
                peer.start(folder, log)
            for i in range(rounds):
                with compare.locked(lock):
                    runs.append(ours(i + 1))
                    mine.append(runs[-1])
                    told = peer.round(until) if peer else None
                if told:
                    his.append(told)
                elif peer or time.monotonic() > until:
                    break
        finally:
            if peer:
                peer.end()
        with open(f"{folder}/0/result.json", encoding="utf-8") as file:
            result = json.load(file)
    return mnist_row(w, result, mine, his)


def mnist_row(w, result, mine, his):
    """Seconds of an upper iteration, the mean over the whole run: of ours one from each run, of the peer's one from all its blocks; and the median."""
    def columns(run):
        loop, backward = ([one[f"seconds_{key}"] for one in run] for key in ("loop", "backward"))
        return loop, backward
    def summary(loop, backward):
        return {"loop": sum(loop) / len(loop), "backward": sum(backward) / len(backward),
                "upper iteration": (sum(loop) + sum(backward)) / len(loop), "median upper iteration": compare.median([a + b for a, b in zip(loop, backward)])}
    def joined(summaries):
        return {key: [one[key] for one in summaries] for key in summaries[0]}
    row = {"programs": {"ours": {"times": joined([summary(*columns(run)) for run in mine])}}, "same": {}, "note": "",
           "result": {key: result[key] for key in ("upper_loss", "test_accuracy", "f1", "f1_wrong", "max_loss_iter_histogram", "iterations", "peak_device_bytes")}}
    if his:
        a = {"losses": [one["upper_loss"] for one in mine[0]], "max_loss_iters": [int(one["max_loss_iter"]) for one in mine[0]]}
        b = {key: [value for block in his for value in block[key]] for key in ("losses", "max_loss_iters")}
        count = min(compare.compared(a, b), len(b["losses"]))
        worst = compare.difference(a["losses"][:count], b["losses"][:count])
        row["same"]["higher"] = {"losses": worst, "compared": count, "of": len(b["losses"]), "same": worst <= w.tolerance}
        loop, backward = ([value for block in his for value in block["each"][key]] for key in ("loop", "backward"))
        row["programs"]["higher"] = {"times": joined([summary(loop, backward)])}
        if len(b["losses"]) < len(mine[0]):
            row["note"] = f"the peer did {len(b['losses'])} of {len(mine[0])} upper iterations in the time"
    return row


# --- few-shot learning on real drawings ---

def few_shot_command(w, place, data, *more):
    return [str(word) for word in (place.build / "tools" / "clbilevel", "few-shot", "--data", data, "--validate-every", 0, *w.facts["options"], *more)]


def judged(folder):
    """{accuracy, interval} on tasks of test classes, of a run of the tool."""
    with open(f"{folder}/result.json", encoding="utf-8") as file:
        result = json.load(file)
    return {"accuracy": result["test_accuracy"], "interval": result["test_interval"], "histogram": result["max_loss_iter_histogram"]}


def run_omniglot(w, place, rows, rounds, seconds, lock, log):
    """The tool's run up to each checkpoint, from the start each time, and beside it the peer's way from the checkpoint before, on the first run's tasks. The tool
    judges both models of every checkpoint, on the same tasks of test classes."""
    del rows, rounds
    data, until = real_data("omniglot/omniglot_resized.tar.xz"), time.monotonic() + seconds
    if not data:
        return {"note": "SKIPPED: no Omniglot in CLBILEVEL_TEST_DATA/omniglot or ../shared/data/omniglot"}
    checkpoints = w.facts["checkpoints"][:2] if place.quick else w.facts["checkpoints"]
    mine, his, runs, singly, same = [], [], [], [], {}
    with tempfile.TemporaryDirectory() as folder:
        def tool(name, *more):
            subprocess.run(few_shot_command(w, place, data, "--output", f"{folder}/{name}", *more), stdout=subprocess.DEVNULL, stderr=log, check=True,
                           timeout=max(1.0, until - time.monotonic()))
            return f"{folder}/{name}"
        def higher(name, iterations):
            return place.peer("hoisted", "omniglot_higher.py", tool(name, "--iterations", iterations[-1], "--keep-tasks", *(() if name == "kept" else ("--dtype", "double")),
                                                                    "--evaluate-tasks", 0), ",".join(map(str, iterations)))
        with compare.locked(lock):
            same = same_in_double(w, folder, higher("double", [4]), until, log)
            peer = higher("kept", checkpoints)
        try:
            if peer:
                peer.start(folder, log)
            for k in checkpoints:
                with compare.locked(lock):
                    ran = tool(f"ours_{k}", "--iterations", k)
                    singly.append(read_run(tool(f"singly_{k}", "--iterations", min(k, 25), "--batch", 1, "--evaluate-tasks", 0)))
                    told = peer.round(until) if peer else None
                runs.append(read_run(ran))
                mine.append({"iterations": k, **judged(ran)})
                if told:
                    at = f"{folder}/hoisted_{k}.safetensors"
                    his.append({**told, "point": {"iterations": k, **judged(tool(f"hoisted_{k}", "--load", at, "--iterations", 0))}})
                elif peer:
                    break
        finally:
            if peer:
                peer.end()
    return omniglot_row(runs, mine, his, singly, same)


def same_in_double(w, folder, peer, until, log):
    """A few upper iterations in double, where rounding does not lead two runs apart: what the report says of them."""
    if not peer:
        return {}
    peer.start(folder, log)
    try:
        his = peer.round(until) or {"losses": [], "max_loss_iters": []}
    finally:
        peer.end()
    mine = read_run(f"{folder}/double")
    worst = compare.difference([one["upper_loss"] for one in mine], his["losses"])
    steps = [one["max_loss_iter"] for one in mine] == his["max_loss_iters"]
    return {"hoisted": {"losses": worst, "compared": len(mine), "of": len(mine), "steps": steps, "same": steps and worst <= w.tolerance}}


def omniglot_row(runs, mine, his, singly, same):
    """Seconds of loops and sweeps of an upper iteration, the median of a run (of a block of the peer's); accuracy by iterations and by the seconds they took."""
    def seconds_of(run):
        return [one["seconds_loop"] + one["seconds_backward"] for one in run]
    for point, run in zip(mine, runs):
        point["seconds"] = sum(seconds_of(run))
    row = {"programs": {"ours": {"times": {"upper iteration": [compare.median(seconds_of(run)) for run in runs]}},
                        "singly": {"times": {"upper iteration": [compare.median(seconds_of(run)) for run in singly]}}}, "same": same, "note": "",
           "curves": {"ours": mine}}
    if his:
        taken = 0.0
        for block in his:
            taken += sum(block["each"])
            block["point"]["seconds"] = taken
        row["programs"]["hoisted"] = {"times": {"upper iteration": [compare.median(block["each"]) for block in his]}}
        row["curves"]["hoisted"] = [block["point"] for block in his]
    return row


RUNNERS = {"compare": run_compare, "products": run_products, "mnist": run_mnist, "omniglot": run_omniglot}


# --- all of it ---

def processor_seconds():
    """(busy, ours): of all processors since the machine started, and of what this program started and has seen the end of."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, _, _, irq, softirq, steal, *_ = map(int, file.readline().split()[1:])
    except (OSError, ValueError):
        return None
    children, own = (resource.getrusage(who) for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF))
    return ((user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK"),
            children.ru_utime + children.ru_stime + own.ru_utime + own.ru_stime)


def others_share(before, after, elapsed):
    """The share of the machine's processors that others kept busy meanwhile."""
    if not before or not after or elapsed <= 0:
        return None
    return max(0.0, (after[0] - before[0]) - (after[1] - before[1])) / (elapsed * os.cpu_count())


def run_one(w, place, rows, options, log):
    rounds, seconds = (2, min(w.seconds, 180)) if place.quick else (w.rounds, w.seconds)
    before, start = processor_seconds(), time.monotonic()
    try:
        row = RUNNERS[w.runner](w, place, rows, rounds, seconds, options.lock, log)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        row = {"note": f"failed: {error}"}
    row["others_share"] = others_share(before, processor_seconds(), time.monotonic() - start)
    row.update(title=w.title, group=w.group, rounds=rounds, commit=machine.commit(ROOT), when=time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
               quick=place.quick, facts={key: value for key, value in w.facts.items()}, tolerance=w.tolerance)
    return row


def is_another_machine(kept, present):
    """Were the numbers of KEPT taken elsewhere? Then this machine's do not belong beside them."""
    return bool(kept) and any(kept.get(key) != present.get(key) for key in ("processor", "family", "cores"))


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--build", required=True, help="the build folder")
    parser.add_argument("--peers", required=True, help="the Python of the peers' environment")
    parser.add_argument("--docs", help="folder of performance.json, performance.md and the plots; without it nothing is written")
    parser.add_argument("--only", default="", help="workloads by name (with * and ?), with commas; the others' numbers stay")
    parser.add_argument("--quick", action="store_true", help="two rounds of the shorter workloads, for trying out")
    parser.add_argument("--lock", help="a file that is locked while something is timed")
    parser.add_argument("--report-only", action="store_true", help="writes the report anew from performance.json")
    return parser.parse_args()


def main():
    options = parse()
    place = workloads.Surroundings(options.build, options.peers, options.quick)
    kept = pathlib.Path(options.docs, "performance.json") if options.docs else None
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
    data = json.loads(kept.read_text(encoding="utf-8")) if kept and kept.exists() else {"rows": {}}
    rows, asked, bad = data["rows"], [name for name in options.only.split(",") if name], []
    here = data.get("machine", {}) if options.report_only else machine.facts(place)
    if rows and is_another_machine(data.get("machine", {}), here):
        print(f"{kept} was measured on another machine ({data['machine'].get('family')}): name another folder with --docs, or move it away", file=sys.stderr)
        return 2
    with open(os.devnull if not options.docs else pathlib.Path(options.build, "benchmark.log"), "w", encoding="utf-8") as log:
        for w in workloads.all_workloads():
            chosen = any(fnmatch.fnmatch(w.name, name) for name in asked) if asked else not options.quick or w.name in workloads.QUICK
            if options.report_only or not chosen:
                continue
            rows[w.name] = run_one(w, place, rows, options, log)
            print(report.plain(w.name, rows[w.name]), flush=True)
            if any(not said["same"] for said in rows[w.name].get("same", {}).values()):
                bad.append(w.name)
            if kept:
                data["machine"] = here
                report.write_json(kept, data)
    if kept:
        report.write(kept.parent, data)
        print(f"the report is {kept.parent / 'performance.md'}")
    if bad:
        print(f"a peer's result differs from ours, and its times were not compared: {', '.join(bad)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
