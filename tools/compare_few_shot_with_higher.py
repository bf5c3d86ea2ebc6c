#!/usr/bin/env python3
"""Repeats a run of `clbilevel few-shot --backbone conv4 --keep-tasks --output RUN` with PyTorch and `higher`, on the run's own tasks and first
models, and prints both curves and times. Exit status 0 when F at max_loss_iter, the mean over the tasks of an upper iteration, agrees to
--tolerance in the first --iterations upper iterations and max_loss_iter is the same in each; 1 when not, a NaN and a run without rows included.

usage: compare_few_shot_with_higher.py RUN [--iterations 10] [--tolerance 1e-6] [--threads N]  needs torch, higher, numpy and safetensors"""
import argparse
import csv
import json
import math
import os
import sys
import time

import higher
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.numpy import load_file


class Block(nn.Module):
    def __init__(self, channels, filters, norm_first):
        super().__init__()
        self.conv = nn.Conv2d(channels, filters, 3, padding=1)
        self.norm = nn.BatchNorm2d(filters, track_running_stats=False)
        self.norm_first = norm_first

    def forward(self, x):
        x = self.conv(x)
        if self.norm_first:
            return F.max_pool2d(F.relu(self.norm(x)), 2)
        return self.norm(F.max_pool2d(F.relu(x), 2))


def build(run, config, dtype):
    """The backbone and the head, of the run's first values; F at a task's images is head(backbone(images))."""
    backbone, filters = nn.Sequential(), config["filters"]
    for i in range(4):
        backbone.add_module(f"layer{i + 1}", Block(filters if i else config["channels"], filters, config["block"] == "conv-bn-relu-pool"))
    backbone.add_module("flatten", nn.Flatten())
    head = nn.Linear(filters * (config["image_size"] >> 4) ** 2, config["ways"])
    values = load_file(f"{run}/first.safetensors")
    side = "lower" if config["lower"] == "all" else "upper"
    named = {f"{side}.{n}": p for n, p in backbone.named_parameters()} | {f"lower.head.{n}": p for n, p in head.named_parameters()}
    if named.keys() != values.keys():
        sys.exit(f"compare_few_shot_with_higher: {run}/first.safetensors holds other parameters than a conv4 has")
    for name, p in named.items():
        p.data = torch.tensor(values[name], dtype=dtype)
    return backbone, head


def clamp(gradients, bound):
    return [g.clamp(-bound, bound) for g in gradients] if bound > 0 else gradients


class Problem:
    def __init__(self, run, config):
        self.config = config
        self.dtype = torch.float64 if config["dtype"] == "double" else torch.float32
        backbone, head = build(run, config, self.dtype)
        everything = config["lower"] == "all"
        self.upper = None if everything else backbone
        self.lower = nn.Sequential(backbone, head) if everything else head
        self.x = [] if everything else list(backbone.parameters())
        self.z = list(self.lower.parameters())
        self.x_step = None if everything else torch.optim.Adam(self.x, lr=config["upper_rate"])
        optimizer = torch.optim.SGD if config["init_optimizer"] == "sgd" else torch.optim.Adam
        self.z_step = optimizer(self.z, lr=config["init_rate"] or config["upper_rate"])
        self.y_step = torch.optim.SGD(self.z, lr=config["lower_rate"])
        self.tasks = {n: np.load(f"{run}/{n}.npy") for n in ("support_images", "support_labels", "query_images", "query_labels")}

    def task(self, i, t):
        """Support images and labels, query images and labels of task T of upper iteration I."""
        made = []
        for part in ("support", "query"):
            images = torch.tensor(self.tasks[f"{part}_images"][i, t], dtype=self.dtype).permute(0, 3, 1, 2).contiguous() * (1 / 255)
            made += [images, torch.tensor(self.tasks[f"{part}_labels"][i, t].astype(np.int64))]
        return made

    def features(self, images):
        return self.upper(images) if self.upper is not None else images

    def rate(self, i):
        first, n = self.config["lower_rate"], self.config["iterations"]
        return first / 10 + 0.9 * first * (1 + math.cos(math.pi * i / n)) / 2 if self.config["cosine"] else first

    def solve_task(self, i, t):
        """max_loss_iter, F there, and the gradients of x and of z."""
        X, labels, V, query_labels = self.task(i, t)
        losses = []
        with higher.innerloop_ctx(self.lower, self.y_step, copy_initial_weights=False, override={"lr": [self.rate(i)]}) as (fmodel, descent):
            support, query = self.features(X), self.features(V)  # taken out of the loop by hand
            for _ in range(self.config["steps"]):
                descent.step(F.cross_entropy(fmodel(support), labels))
                with torch.no_grad():
                    losses.append(F.cross_entropy(fmodel(query), query_labels).item())
            k = losses.index(max(losses)) + 1 if self.config["truncation"] else self.config["steps"]
            loss = F.cross_entropy(fmodel(query, params=fmodel.parameters(time=k)), query_labels)
            gradients = torch.autograd.grad(loss, self.x + list(fmodel.parameters(time=0)))
        return k, losses[k - 1], list(gradients[:len(self.x)]), list(gradients[len(self.x):])

    def clamped(self, x, z, bound):
        return (clamp(x, bound), z) if self.x else (x, clamp(z, bound))

    def iterate(self, i):
        """One upper iteration: F, its mean over the tasks, and the max_loss_iter of each."""
        total, steps, sums = 0, [], None
        for t in range(self.config["tasks"]):
            k, loss, x, z = self.solve_task(i, t)
            x, z = self.clamped(x, z, self.config["clamp_per_task"])
            sums = (x, z) if sums is None else tuple([a + b for a, b in zip(s, g)] for s, g in zip(sums, (x, z)))
            steps.append(k)
            total += loss
        x, z = self.clamped(*sums, self.config["clamp"])
        for p, g in zip(self.x + self.z, x + z):
            p.grad = g
        if self.x_step:
            self.x_step.step()
        if self.config["initialization_auxiliary"]:
            self.z_step.step()
        return total / self.config["tasks"], steps


def compare(problem, ours, n):
    """The differences of F, in how many iterations max_loss_iter differs, and the peer's seconds."""
    differences, differing, seconds = [], 0, []
    print("iteration   F ours         F higher       mean k ours, higher   seconds ours, higher")
    for i in range(n):
        start, row = time.time(), ours[i]
        loss, steps = problem.iterate(i)
        seconds.append(time.time() - start)
        differences.append(abs(loss - float(row["upper_loss"])))
        differing += abs(np.mean(steps) - float(row["max_loss_iter"])) > 1e-9
        if i % max(1, n // 10) == 0 or i == n - 1:
            print(f"{i:9d}   {float(row['upper_loss']):.10f}   {loss:.10f}   {float(row['max_loss_iter']):6.2f}, {np.mean(steps):6.2f}        "
                  f"{float(row['seconds_loop']) + float(row['seconds_backward']):.3f}, {seconds[-1]:.3f}", flush=True)
    return differences, differing, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("run")
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--tolerance", type=float, default=1e-6)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    run = options.run
    for name in ("config.json", "metrics.csv", "first.safetensors", "support_images.npy"):
        if not os.path.exists(f"{run}/{name}"):
            sys.exit(f"compare_few_shot_with_higher: {run} is no finished run with --keep-tasks: it has no {name}")
    with open(f"{run}/config.json") as file:
        config = json.load(file)
    if config["backbone"] != "conv4":
        sys.exit(f"compare_few_shot_with_higher: {run} has the backbone {config['backbone']}; want conv4")
    with open(f"{run}/metrics.csv") as file:
        ours = list(csv.DictReader(file))
    n = min(options.iterations, len(ours))
    if n < 1:
        sys.exit(f"compare_few_shot_with_higher: {run}/metrics.csv holds no upper iteration to compare")
    if n < options.iterations:
        print(f"the run has {n} upper iterations; all of them are compared")
    differences, differing, seconds = compare(Problem(run, config), ours, n)
    mine = np.median([float(r["seconds_loop"]) + float(r["seconds_backward"]) for r in ours[:n]])
    print(f"median seconds of an upper iteration: {mine:.4f} ours, {np.median(seconds):.4f} higher ({np.median(seconds) / mine:.2f} times)")
    worst = float(np.max(differences))  # a NaN stays one, and is within no tolerance
    print(f"largest difference of F {worst:.3g}; max_loss_iter differs in {differing} of {n} upper iterations")
    return 0 if worst <= options.tolerance and differing == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
