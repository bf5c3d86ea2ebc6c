#!/usr/bin/env python3
"""Makes the golden values of tests/golden/statistics: running statistics of nn.BatchNorm2d after naive lower loops of PyTorch in double, several
tasks in sequence; nothing of this library takes part. Needs torch, numpy.

usage: make_statistics.py [FOLDER]      writes one FOLDER/NAME.txt per case: of task i the losses Li (F after each step), the buffers bi_0 …
(running_mean, running_var of each norm in turn) after it, and Ei, F at y_T in evaluation. All operands are pattern(); the numbers of each case
are in test_statistics.c as well.

A task, as users write it: T times forward f on the support set in training mode, step, forward F on the query set in training mode (with `every`
off: once, after the last step). Every forward updates the statistics."""
import os
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
CASES = {
    "head": dict(lower="head", every=True, momentum=0.1), "head_last": dict(lower="head", every=False, momentum=0.3),
    "all": dict(lower="all", every=True, momentum=0.1), "all_last": dict(lower="all", every=False, momentum=0.3),
}
STEPS, TASKS, CLASSES, FILTERS, RATE = 5, 3, 4, 8, 0.1
SUPPORT, QUERY = (10, 2, 12, 12), (12, 2, 12, 12)


def pattern(k, shape):
    """Numbers that C's sin gives as well."""
    return torch.tensor(np.sin(0.7 + 1.3 * k + 0.61 * np.arange(np.prod(shape))).reshape(shape) * 1.2)


def write(file, name, value):
    a = np.asarray(value.detach(), np.float64)
    file.write(f"{name} {a.ndim} {' '.join(map(str, a.shape))}\n" + " ".join("%.17g" % v for v in a.ravel()) + "\n")


def network(momentum):
    def block(channels):
        return [nn.Conv2d(channels, FILTERS, 3, padding=1), nn.BatchNorm2d(FILTERS, momentum=momentum), nn.ReLU(), nn.MaxPool2d(2)]
    net = nn.Sequential(*block(2), *block(FILTERS), nn.Flatten(), nn.Linear(9 * FILTERS, CLASSES))
    for k, p in enumerate(net.parameters()):
        p.data = pattern(k, tuple(p.shape)) * 0.2 + (1.0 if p.ndim == 1 and k % 4 == 2 else 0.0)
    return net


def run(case, file):
    net = network(case["momentum"])
    start = [p.detach().clone() for p in net.parameters()]
    lower = list(net[-1].parameters()) if case["lower"] == "head" else list(net.parameters())
    for task in range(TASKS):
        for p, value in zip(net.parameters(), start):
            p.data = value.clone()
        support, query = pattern(20 + task, SUPPORT) + 0.3 * task, pattern(40 + task, QUERY) * (1 + task)
        labels, query_labels = torch.arange(SUPPORT[0]) % CLASSES, torch.arange(QUERY[0]) % CLASSES
        optimizer, losses = torch.optim.SGD(lower, lr=RATE), []
        net.train()
        for step in range(STEPS):
            optimizer.zero_grad()
            F.cross_entropy(net(support), labels).backward()
            optimizer.step()
            if case["every"] or step + 1 == STEPS:
                with torch.no_grad():
                    losses.append(F.cross_entropy(net(query), query_labels))
        write(file, f"L{task}", torch.stack(losses))
        for i, b in enumerate(b for b in net.buffers() if b.ndim == 1):
            write(file, f"b{task}_{i}", b)
        net.eval()
        with torch.no_grad():
            write(file, f"E{task}", F.cross_entropy(net(query), query_labels))


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "statistics")
    for name, case in CASES.items():
        with open(f"{folder}/{name}.txt", "w") as file:
            run(case, file)
        print(name)


main()
