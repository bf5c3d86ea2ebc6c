"""Products of matrices by NumPy (OpenBLAS) or PyTorch (oneDNN). Each round: every shape in turn, the median of some runs, each of several calls one after
another on the same arrays, as checkcl queues ours. The first round says how far each is from the product in double.
usage: products.py numpy|torch RUNS SHAPES WHO FOLDER      SHAPES: JSON, [[name, m, k, n, A transposed, B transposed], …]"""
import json
import statistics
import sys

import numpy as np

import common

CALLS = 8

torch = None
if sys.argv[1] == "torch":
    import torch
    torch.set_num_threads(common.threads())
runs, shapes = int(sys.argv[2]), json.loads(sys.argv[3])
random = np.random.default_rng(0)


def operand(rows, columns, transposed):
    """Stored the other way round where TRANSPOSED, and seen through .T"""
    stored = random.random((columns, rows) if transposed else (rows, columns), np.float32)
    return torch.tensor(stored) if torch else stored


def product(a, b, out):
    return torch.mm(a, b, out=out) if torch else np.matmul(a, b, out=out)


problems = []
for name, m, k, n, a_transposed, b_transposed in shapes:
    a, b = operand(m, k, a_transposed), operand(k, n, b_transposed)
    c = torch.empty(m, n) if torch else np.empty((m, n), np.float32)
    problems.append((name, a.T if a_transposed else a, b.T if b_transposed else b, c))


def several(a, b, c):
    for _ in range(CALLS):
        product(a, b, c)


def one_round(first):
    times, errors = {}, {}
    for name, a, b, c in problems:
        product(a, b, c)
        if first:
            wide = np.asarray(a, np.float64) @ np.asarray(b, np.float64)
            errors[name] = float(np.abs(np.asarray(c, np.float64) - wide).max() / np.abs(wide).max())
        times[name] = statistics.median(common.seconds(lambda: several(a, b, c))[0] for _ in range(runs)) / CALLS
    return dict(times=times, errors=errors)


common.rounds(one_round)
