"""Runs a benchmark program and its peer in turn, in one session: first shows that both compute the same, then prints medians and ratios.
usage: compare.py PEER_PYTHON ROUNDS PROGRAM PEER ARGUMENT...      PEER_PYTHON: the interpreter of tools/peers-setup's environment"""
import json
import os
import statistics
import subprocess
import sys
import tempfile

python, rounds, program, peer, *arguments = sys.argv[1:]
rounds = int(rounds)


def start(*command):
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def one_round(process):
    process.stdin.write("run\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def largest_difference(a, b):
    return max(abs(x - y) / max(abs(x), abs(y), 1e-12) for x, y in zip(a, b))


with tempfile.TemporaryDirectory() as folder:
    ours = start(program, *arguments, folder)
    first = one_round(ours)  # writes the data as well, and warms up
    theirs = None
    if os.access(python, os.X_OK):
        theirs = start(python, peer, *arguments, folder)
        other = one_round(theirs)
        print(f"{' '.join(arguments)}: F at every step agrees to {largest_difference(first['losses'], other['losses']):.1e}, "
              f"the hypergradients' norms to {largest_difference(first['norms'], other['norms']):.1e}")
    else:
        print(f"{' '.join(arguments)}: no peer, since {python} is not there (tools/peers-setup makes it); ours alone")
    timed = [(one_round(ours), one_round(theirs) if theirs else None) for _ in range(rounds)]
    rows = [("lower loop", lambda r: r["loop"])] + [(f"backward at {k}", lambda r, k=k: r["backward"][k]) for k in first["backward"]]
    for name, value in rows:
        mine = statistics.median(value(a) for a, _ in timed)
        if theirs:
            his = statistics.median(value(b) for _, b in timed)
            ratio = statistics.median(value(b) / value(a) for a, b in timed)
            print(f"  {name:16s} {mine:9.4f} s ours   {his:9.4f} s PyTorch + higher   {ratio:6.2f} times as fast")
        else:
            print(f"  {name:16s} {mine:9.4f} s ours")
    for process in (ours, theirs):
        if process:
            process.stdin.close()
            process.wait()
