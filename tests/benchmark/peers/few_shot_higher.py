"""The peer of bench_few_shot: the same task, from the same files, as users write it with PyTorch and `higher`. VARIANT naive: the backbone in
the loop, as the paper's code has it; hoisted: its features taken out of the loop by hand. One round for each line on standard input, one JSON
object for each; the first round's hypergradients go to FOLDER. usage: peer_few_shot.py WAYS SHOTS QUERY STEPS FILTERS VARIANT WHO FOLDER"""
import json
import os
import sys
import time

import higher
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

ways, _, _, T, C = (int(a) for a in sys.argv[1:6])
naive, who, folder = sys.argv[6] == "naive", sys.argv[7], sys.argv[8]
torch.set_num_threads(os.cpu_count())


def load(name):
    return torch.tensor(np.load(f"{folder}/{name}.npy"))


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, C, 3, padding=1)
        self.norm = nn.BatchNorm2d(C, track_running_stats=False)

    def forward(self, x):
        return F.max_pool2d(F.relu(self.norm(self.conv(x))), 2)


backbone = nn.Sequential()
for i in range(4):
    backbone.add_module(f"layer{i + 1}", Block(C if i else 1))
head = nn.Linear(C, ways)
for name, p in list(backbone.named_parameters()) + [(f"head.{n}", p) for n, p in head.named_parameters()]:
    p.data = load(name)
X, t, V, vt = load("support_x"), load("support_t").long(), load("query_x"), load("query_t").long()
descent = torch.optim.SGD(head.parameters(), lr=0.1)


def features(images):
    return backbone(images).flatten(1)


for turn, _ in enumerate(sys.stdin):
    losses, start = [], time.time()
    with higher.innerloop_ctx(head, descent, copy_initial_weights=False) as (fmodel, step):
        fx, fv = (None, None) if naive else (features(X), features(V))
        for k in range(T):
            step.step(F.cross_entropy(fmodel(features(X) if naive else fx), t))
            with torch.no_grad():
                losses.append(F.cross_entropy(fmodel(features(V) if naive else fv), vt).item())
        loop, start = time.time() - start, time.time()
        loss = F.cross_entropy(fmodel(features(V) if naive else fv, params=fmodel.parameters(time=T)), vt)
        gradients = torch.autograd.grad(loss, list(backbone.parameters()) + list(fmodel.parameters(time=0)))
        times = {"loop": loop, f"backward at {T}": time.time() - start}
    if turn == 0:
        names = [n for n, _ in backbone.named_parameters()] + [f"head.{n}" for n, _ in head.named_parameters()]
        for name, g in zip(names, gradients):
            if not name.endswith(".conv.bias"):  # before batch norm: rounding alone
                np.save(f"{folder}/{who}_{T}_{name}.npy", g.double().numpy())
    print(json.dumps(dict(times=times, losses=losses)), flush=True)
