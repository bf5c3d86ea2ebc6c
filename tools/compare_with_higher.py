#!/usr/bin/env python3
"""Repeats a run of `clbilevel hyper-cleaning --output RUN` with PyTorch and `higher`, on the run's own split, wrong labels, first z and
minibatches, and prints both curves and times. Exit status 0 when F at max_loss_iter agrees to --tolerance in the first --iterations upper
iterations and max_loss_iter is the same in each; 1 when not, a NaN and a run without rows included.

usage: compare_with_higher.py RUN [--iterations 50] [--tolerance 1e-6] [--threads N]      needs torch, higher and numpy"""
import argparse
import csv
import gzip
import json
import os
import sys
import time

import higher
import numpy as np
import torch
import torch.nn.functional as F


def read_idx(folder, pair, what):
    """An IDX file of the pair, in any of its spellings."""
    for name in (f"{pair}-{what}-ubyte", f"{pair}-{what.replace('-idx', '.idx')}-ubyte"):
        for suffix, opener in ((".gz", gzip.open), ("", open)):
            path = os.path.join(folder, name + suffix)
            if os.path.exists(path):
                with opener(path, "rb") as file:
                    data = file.read()
                rank = data[3]
                shape = [int.from_bytes(data[4 + 4 * i:8 + 4 * i], "big") for i in range(rank)]
                return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)
    return None


def read_source(run, config):
    """Images and labels that the run's indices point into."""
    folder = config["data"]
    if folder is None:
        return np.load(f"{run}/images.npy"), np.load(f"{run}/labels.npy")
    for pair in ("train", "t10k"):
        images = read_idx(folder, pair, "images-idx3")
        if images is not None:
            return images, read_idx(folder, pair, "labels-idx1")
    return np.load(f"{folder}/images.npy"), np.load(f"{folder}/labels.npy")


def build(run, config, dtype):
    """The classifier with the run's first z."""
    def linear(name):
        weight, bias = np.load(f"{run}/z_{name}.weight.npy"), np.load(f"{run}/z_{name}.bias.npy")
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0], dtype=dtype)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(weight))
            layer.bias.copy_(torch.tensor(bias))
        return layer
    if config["model"] == "linear":
        return torch.nn.Sequential(linear("fc1"))
    activation = {"none": torch.nn.Identity, "relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}[config["activation"]]()
    return torch.nn.Sequential(linear("fc1"), activation, linear("fc2"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("run")
    parser.add_argument("--iterations", type=int, default=50)
    parser.add_argument("--tolerance", type=float, default=1e-6)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    run = options.run
    for name in ("config.json", "metrics.csv"):
        if not os.path.exists(f"{run}/{name}"):
            sys.exit(f"compare_with_higher: {run} is no finished run: it has no {name}")
    with open(f"{run}/config.json") as file:
        config = json.load(file)
    with open(f"{run}/metrics.csv") as file:
        ours = list(csv.DictReader(file))
    dtype = torch.float64 if config["dtype"] == "double" else torch.float32
    images, labels = read_source(run, config)
    images = images.reshape(len(images), -1)
    def part(name):
        index = np.load(f"{run}/{name}_indices.npy")
        return torch.tensor(images[index] / 255.0, dtype=dtype), torch.tensor(labels[index].astype(np.int64))
    (X, t), (V, vt), (S, st) = part("train"), part("validation"), part("test")
    t = torch.tensor(np.load(f"{run}/train_labels_corrupted.npy").astype(np.int64))
    if config["batch"] and not os.path.exists(f"{run}/batches.npy"):
        sys.exit(f"compare_with_higher: {run} has no batches.npy (a run keeps its minibatches where they take no more than 256 MiB, at its end)")
    batches = torch.tensor(np.load(f"{run}/batches.npy").astype(np.int64)) if config["batch"] else None
    model, T = build(run, config, dtype), config["steps"]
    x = torch.zeros(len(t), dtype=dtype, requires_grad=True)
    x_step = torch.optim.Adam([x], lr=config["upper_rate"])
    y_step, z_step = torch.optim.SGD(model.parameters(), lr=config["lower_rate"]), torch.optim.SGD(model.parameters(), lr=config["init_rate"])
    n = min(options.iterations, len(ours))
    if n < 1:
        sys.exit(f"compare_with_higher: {run}/metrics.csv holds no upper iteration to compare")
    if n < options.iterations:
        print(f"the run has {n} upper iterations; all of them are compared")
    differences, differing, seconds = [], 0, []
    print("iteration   F ours       F higher     k ours, higher   accuracy ours, higher   seconds ours, higher")
    for i in range(n):
        start, losses = time.time(), []
        x.grad = None
        with higher.innerloop_ctx(model, y_step, copy_initial_weights=False) as (fmodel, descent):
            for k in range(T):
                rows = slice(None) if batches is None else batches[i, k]
                loss = F.cross_entropy(fmodel(X[rows]), t[rows], reduction="none")
                descent.step((torch.sigmoid(x[rows]) * loss).mean())
                with torch.no_grad():
                    losses.append(F.cross_entropy(fmodel(V), vt).item())
            k = losses.index(max(losses)) + 1 if config["truncation"] else T
            loop = time.time()
            last = [p.detach().clone() for p in fmodel.parameters()]  # y_T, before a call with other parameters makes those the present ones
            with torch.no_grad():
                accuracy = (fmodel(S).argmax(1) == st).double().mean().item()
            swept = time.time()
            upper = F.cross_entropy(fmodel(V, params=fmodel.parameters(time=k)), vt)
            *g_z, g_x = torch.autograd.grad(upper, list(fmodel.parameters(time=0)) + [x])
            seconds.append((loop - start, time.time() - swept))
        x.grad = g_x
        x_step.step()
        if config["initialization_auxiliary"]:
            for p, g in zip(model.parameters(), g_z):
                p.grad = g
            z_step.step()
        elif config["warm_start"]:
            with torch.no_grad():
                for p, value in zip(model.parameters(), last):
                    p.copy_(value)
        row, mine = ours[i], losses[k - 1]
        differences.append(abs(mine - float(row["upper_loss"])))
        differing += k != int(float(row["max_loss_iter"]))
        if i % max(1, n // 10) == 0 or i == n - 1:
            print(f"{i:9d}   {float(row['upper_loss']):.8f}   {mine:.8f}   {int(float(row['max_loss_iter'])):6d}, {k:6d}   "
                  f"{float(row['test_accuracy']):.4f}, {accuracy:.4f}          {float(row['seconds_loop']) + float(row['seconds_backward']):.3f}, {sum(seconds[-1]):.3f}", flush=True)
    def median(values):
        return float(np.median(values))
    ours_loop, ours_back = (median([float(r[c]) for r in ours[:n]]) for c in ("seconds_loop", "seconds_backward"))
    loop, back = (median([s[j] for s in seconds]) for j in (0, 1))
    print(f"median seconds: loop {ours_loop:.4f} ours, {loop:.4f} higher ({loop / ours_loop:.2f} times); backward {ours_back:.4f} ours, {back:.4f} higher "
          f"({back / ours_back:.2f} times)")
    worst = float(np.max(differences))  # a NaN stays one, and is within no tolerance
    print(f"largest difference of F {worst:.3g}; max_loss_iter differs in {differing} of {n} upper iterations")
    return 0 if worst <= options.tolerance and differing == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
