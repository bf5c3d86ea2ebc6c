"""What the peers share: arrays read from and written to the benchmark's folder, and one round for each line on standard input."""
import json
import os
import resource
import sys
import time

import numpy as np


class Folder:
    """FOLDER/NAME.npy is the problem, FOLDER/WHO_NAME.npy what this peer made of it."""

    def __init__(self, who, path):
        self.who, self.path = who, path

    def load(self, name):
        return np.load(f"{self.path}/{name}.npy")

    def pixels(self, name):
        """Float pixels of an image array: what a user hands over, converted once."""
        return (self.load(name) / 255.0).astype(np.float32)

    def save(self, name, values):
        np.save(f"{self.path}/{self.who}_{name}.npy", np.array(values, np.float64, order="C"))


def rounds(one_round):
    """ONE_ROUND(first) for each line, its result as a line of JSON; and the most memory before the first: imports and data."""
    first, base = True, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in sys.stdin:
        print(json.dumps({**one_round(first), "base_kb": base}), flush=True)
        first = False


def seconds(function):
    """(seconds, result) of FUNCTION()"""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def threads():
    return len(os.sched_getaffinity(0))
