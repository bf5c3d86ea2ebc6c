"""Runs programs that solve the same problem in turn: first shows that all compute the same, then times them. Knows nothing of any problem.

A program does one round for each line on its standard input and prints a line of JSON for it:
  times            seconds by name, of one round
  losses           F at every step (or upper iteration); max_loss_iter or max_loss_iters: the pessimistic step (of each upper iteration)
and writes what the first round computed to FOLDER/WHO_NAME.npy, as doubles (no WHO may be the beginning of another). All that two programs both say must agree.

The same: the losses and every array, element by element, to TOLERANCE of the largest magnitude (the programs are in float and add in different
orders), and the pessimistic steps. Only where the losses of two steps are closer than the tolerance may another step be the largest: then
the upper iterations after it are other ones, and are not compared. Times of different results are not compared."""
import array
import ast
import contextlib
import fcntl
import glob
import json
import os
import statistics
import struct
import subprocess
import threading
import time

TOLERANCE = 1e-4


class Program:
    """A command that is given WHO and FOLDER as its last arguments. ENVIRONMENT: variables that differ; None: taken away."""

    def __init__(self, who, command, environment=None):
        self.who, self.command = who, [str(word) for word in command]
        changed = {**os.environ, **(environment or {})}
        self.environment = {name: value for name, value in changed.items() if value is not None}
        self.process, self.peak_kb, self.timer = None, None, None

    def start(self, folder, log):
        command = self.command + [self.who, str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=self.environment)

    def round(self, until):
        """None: the program has ended, or is ended because UNTIL (of time.monotonic) has passed."""
        timer = threading.Timer(max(0.0, until - time.monotonic()), self.process.kill)
        timer.start()
        try:
            self.process.stdin.write("run\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
            return json.loads(line) if line else None
        except BrokenPipeError:
            return None
        finally:
            timer.cancel()

    def end(self):
        """Waits for the end; the process's peak memory is known then."""
        if not self.process:
            return
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.peak_kb = usage.ru_maxrss
        self.process = None


@contextlib.contextmanager
def locked(path):
    """Nobody else measures on this machine meanwhile, as long as all name the same file."""
    if not path:
        yield
        return
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


def read_npy(path):
    """(shape, doubles) of an NPY file of version 1."""
    with open(path, "rb") as file:
        head = file.read(10)
        if head[:8] != b"\x93NUMPY\x01\x00":
            raise ValueError(f"{path} is no NPY file of version 1.0")
        header = ast.literal_eval(file.read(struct.unpack("<H", head[8:])[0]).decode())
        if header["descr"] != "<f8" or header["fortran_order"] and len(header["shape"]) > 1:
            raise ValueError(f"{path}: {header['descr']} in {'Fortran' if header['fortran_order'] else 'C'} order, not doubles in C order")
        return header["shape"], array.array("d", file.read())


def difference(a, b):
    """Largest difference as a share of the largest magnitude; a NaN or another length is infinitely far."""
    pairs = [abs(x - y) for x, y in zip(a, b)]
    if len(a) != len(b) or any(d != d for d in pairs):
        return float("inf")
    return max(pairs, default=0.0) / max(max(map(abs, b), default=0.0), 1e-30)


def arrays_differ(folder, ours, theirs):
    """The largest difference of an array, and its name."""
    mine, his = ({os.path.basename(p)[len(who) + 1:]: p for p in glob.glob(f"{glob.escape(folder)}/{who}_*.npy")} for who in (ours, theirs))
    if not mine or mine.keys() != his.keys():
        return float("inf"), f"{ours} has {sorted(mine)}, {theirs} has {sorted(his)}"
    worst = []
    for name in mine:
        a, b = read_npy(mine[name]), read_npy(his[name])
        worst.append((difference(a[1], b[1]) if a[0] == b[0] else float("inf"), name))
    return max(worst)


def steps_agree(a, b, tolerance):
    """One loop's losses are known: the pessimistic steps are equal, or the losses there are."""
    k, j, losses = a["max_loss_iter"], b["max_loss_iter"], a["losses"]
    return k == j or difference([losses[k - 1]], [losses[j - 1]]) <= tolerance


def compared(a, b):
    """How many upper iterations can be compared: all, or as many as took the same step, and the one that did not (F is taken before it counts)."""
    mine, his = a.get("max_loss_iters", []), b.get("max_loss_iters", [])
    return next((i + 1 for i, (k, j) in enumerate(zip(mine, his)) if k != j), max(len(mine), len(his)))


def agreement(folder, ours, a, theirs, b, tolerance):
    """What two first rounds say of each other."""
    said = {"losses": 0.0, "arrays": 0.0, "array": "", "steps": True, "compared": None}
    if "losses" in a and "losses" in b:
        count = compared(a, b) if "max_loss_iters" in a else len(a["losses"])
        said["losses"], said["compared"] = difference(a["losses"][:count], b["losses"][:count]), count
    if "max_loss_iter" in a and "max_loss_iter" in b:
        said["steps"] = steps_agree(a, b, tolerance)
    said["arrays"], said["array"] = arrays_differ(folder, ours, theirs)
    said["same"] = said["losses"] <= tolerance and said["arrays"] <= tolerance and said["steps"]
    return said


def warm(folder, program, seconds, lock=None, log=None):
    """One round of PROGRAM for nothing: what is built then lies in caches, and takes no memory of the process that is measured."""
    with locked(lock):
        program.start(folder, log)
        program.round(time.monotonic() + seconds)
    program.end()


def measure(folder, programs, rounds, seconds, tolerance=TOLERANCE, lock=None, log=None):
    """ROUNDS rounds of each of PROGRAMS in turn, the first of which is the yardstick of what is right, after one that warms up and is compared.
    SECONDS: no further round starts then, and a program that is still at work is ended. Gives {programs: {who: {rounds, peak_kb}}, same, note}."""
    until, result = time.monotonic() + seconds, {"programs": {}, "same": {}, "note": ""}
    firsts, kept = {}, {p.who: [] for p in programs}
    try:
        for program in programs:
            with locked(lock):
                program.start(folder, log)
                firsts[program.who] = program.round(until)
            if not firsts[program.who] and program is programs[0]:
                break  # the others solve what it writes
        first = programs[0]
        for program in programs[1:]:
            a, b = firsts.get(first.who), firsts.get(program.who)
            if a and b:
                result["same"][program.who] = agreement(folder, first.who, a, program.who, b, tolerance)
        running = [p for p in programs if firsts.get(p.who) and result["same"].get(p.who, {"same": True})["same"]]
        longest = 0.0
        while first in running and len(kept[first.who]) < rounds and time.monotonic() + longest < until:
            start = time.monotonic()
            with locked(lock):
                told = {p.who: p.round(until) for p in running}
            longest = max(longest, time.monotonic() - start)
            if not all(told.values()):
                break
            for who, one in told.items():
                kept[who].append(one)
    finally:
        for program in programs:
            program.end()
    for program in programs:
        result["programs"][program.who] = {"first": firsts.get(program.who), "rounds": kept[program.who], "peak_kb": program.peak_kb}
    missing = [p.who for p in programs if p.who in firsts and not firsts[p.who]]
    different = [who for who, said in result["same"].items() if not said["same"]]
    done = min(len(kept[who]) for who in kept) if kept else 0
    result["note"] = "; ".join(
        ([f"no result of {', '.join(missing)}"] if missing else []) + ([f"{', '.join(different)} computes something else"] if different else []) +
        ([f"{done} of {rounds} rounds within {seconds:.0f} s"] if not missing and not different and done < rounds else []))
    return result


def times(result, who, key):
    return [one["times"][key] for one in result["programs"].get(who, {}).get("rounds", []) if key in one["times"]]


def median(values):
    return statistics.median(values) if values else None
