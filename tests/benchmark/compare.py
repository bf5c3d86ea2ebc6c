"""Runs a benchmark program and its peer in turn, in one session: first shows that both compute the same, then prints medians and ratios.
usage: compare.py PEER_PYTHON ROUNDS PROGRAM PEER ARGUMENT...      PEER_PYTHON: the interpreter of tools/peers-setup's environment

The same: F at every step, and every hypergradient, element by element, to TOLERANCE of the array's largest magnitude. Both are in float and
add in different orders. Times of different results are not compared: then the exit status is 1."""
import array
import ast
import glob
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile

TOLERANCE = 1e-4
python, rounds, program, peer, *arguments = sys.argv[1:]
rounds = int(rounds)
what = " ".join(arguments)


def start(*command):
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def one_round(process):
    """None: the program has ended."""
    try:
        process.stdin.write("run\n")
        process.stdin.flush()
    except BrokenPipeError:
        return None
    line = process.stdout.readline()
    return json.loads(line) if line else None


def read_npy(path):
    """The doubles of an NPY file of version 1."""
    with open(path, "rb") as file:
        head = file.read(10)
        if head[:8] != b"\x93NUMPY\x01\x00":
            sys.exit(f"{path} is no NPY file of version 1.0")
        header = ast.literal_eval(file.read(struct.unpack("<H", head[8:])[0]).decode())
        if header["descr"] != "<f8" or header["fortran_order"]:
            sys.exit(f"{path}: {header['descr']} in {'Fortran' if header['fortran_order'] else 'C'} order, not doubles in C order")
        return header["shape"], array.array("d", file.read())


def difference(a, b):
    """Largest difference as a share of the largest magnitude; a NaN or another length is infinitely far."""
    pairs = [abs(x - y) for x, y in zip(a, b)]
    if len(a) != len(b) or any(d != d for d in pairs):
        return float("inf")
    return max(pairs) / max(max(map(abs, b)), 1e-30)


def gradients_differ(folder):
    """The largest difference of a hypergradient, and its name."""
    ours, theirs = (sorted(glob.glob(f"{folder}/{who}_*.npy")) for who in ("ours", "theirs"))
    names = [[os.path.basename(p).split("_", 1)[1] for p in paths] for paths in (ours, theirs)]
    if not names[0] or names[0] != names[1]:
        return float("inf"), f"ours are {names[0]}, theirs {names[1]}"
    worst = []
    for a, b, name in zip(map(read_npy, ours), map(read_npy, theirs), names[0]):
        worst.append((difference(a[1], b[1]) if a[0] == b[0] else float("inf"), name))
    return max(worst)


def print_times(timed, keys):
    """Medians, their ratio, and the spread: on a busy machine a ratio inside the spread says nothing."""
    rows = [("lower loop", lambda r: r["loop"])] + [(f"backward at {k}", lambda r, k=k: r["backward"][k]) for k in keys]
    for name, value in rows:
        mine = [value(a) for a, _ in timed]
        line = f"  {name:16s} ours {statistics.median(mine):8.4f} s ({min(mine):.4f} to {max(mine):.4f})"
        if timed[0][1]:
            his = [value(b) for _, b in timed]
            line += f"   PyTorch + higher {statistics.median(his):8.4f} s ({min(his):.4f} to {max(his):.4f})"
            line += f"   {statistics.median(his) / statistics.median(mine):6.2f} times as fast"
        print(line)


def run(folder):
    ours, theirs = start(program, *arguments, folder), None
    try:
        first = one_round(ours)  # writes the data as well, and warms up
        if not first:
            print(f"{what}: {program} failed")
            return 1
        if os.access(python, os.X_OK):
            theirs = start(python, peer, *arguments, folder)
        other = one_round(theirs) if theirs else None
        if not other:
            why = "the peer failed" if theirs else f"no peer, since {python} is not there"
            print(f"{what}: {why} (tools/peers-setup makes its environment); ours alone")
        else:
            losses, (worst, name) = difference(first["losses"], other["losses"]), gradients_differ(folder)
            same = losses <= TOLERANCE and worst <= TOLERANCE
            print(f"{what}: F at every step {'agrees' if losses <= TOLERANCE else 'DIFFERS'} to {losses:.1e}, the hypergradients "
                  f"{'agree' if worst <= TOLERANCE else 'DIFFER'} to {worst:.1e} ({name}); allowed {TOLERANCE:.0e}")
            if not same:
                return 1
        timed = [(one_round(ours), one_round(theirs) if other else None) for _ in range(rounds)]
        if any(not a or (other and not b) for a, b in timed):
            print(f"{what}: a program ended before its rounds were done")
            return 1
        print_times(timed, first["backward"])
        return 0
    finally:
        for process in (ours, theirs):
            if process:
                process.communicate()


with tempfile.TemporaryDirectory() as temporary:
    sys.exit(run(temporary))
