"""One few-shot task as users write it with PyTorch and `higher`: bench_few_shot's, from its files. VARIANT naive: the backbone in the loop, as the paper's
code has it; hoisted: its features taken out of the loop by hand. The files are of DTYPE.
usage: few_shot_higher.py WAYS SHOTS QUERY STEPS FILTERS VARIANT float|double WHO FOLDER"""
import sys

import higher
import torch
import torch.nn as nn
import torch.nn.functional as F

import common

ways, _, _, T, C = (int(a) for a in sys.argv[1:6])
naive, folder = sys.argv[6] == "naive", common.Folder(*sys.argv[8:10])
torch.set_num_threads(common.threads())
torch.set_default_dtype(torch.double if sys.argv[7] == "double" else torch.float)


def load(name):
    return torch.tensor(folder.load(name))


def block(channels):
    return nn.Sequential(nn.Conv2d(channels, C, 3, padding=1), nn.BatchNorm2d(C, track_running_stats=False), nn.ReLU(), nn.MaxPool2d(2))


backbone, head = nn.Sequential(block(1), block(C), block(C), block(C), nn.Flatten()), nn.Linear(C, ways)
names = [f"layer{i}.{part}" for i in range(1, 5) for part in ("conv.weight", "conv.bias", "norm.weight", "norm.bias")] + ["head.weight", "head.bias"]
for name, p in zip(names, list(backbone.parameters()) + list(head.parameters())):
    p.data = load(name)
X, t, V, vt = load("support_x"), load("support_t").long(), load("query_x"), load("query_t").long()
descent = torch.optim.SGD(head.parameters(), lr=0.1)


def loop():
    losses = []
    with higher.innerloop_ctx(head, descent, copy_initial_weights=False) as (fmodel, step):
        fx, fv = (None, None) if naive else (backbone(X), backbone(V))
        for _ in range(T):
            step.step(F.cross_entropy(fmodel(backbone(X) if naive else fx), t))
            with torch.no_grad():
                losses.append(F.cross_entropy(fmodel(backbone(V) if naive else fv), vt).item())
    return fmodel, fv, losses


def backward(fmodel, fv):
    loss = F.cross_entropy(fmodel(backbone(V) if naive else fv, params=fmodel.parameters(time=T)), vt)
    return torch.autograd.grad(loss, list(backbone.parameters()) + list(fmodel.parameters(time=0)))


def one_round(first):
    a, (fmodel, fv, losses) = common.seconds(loop)
    b, gradients = common.seconds(lambda: backward(fmodel, fv))
    if first:
        for name, g in zip(names, gradients):
            if not name.endswith(".conv.bias"):  # before batch norm: rounding alone
                folder.save(f"T_{name}", g.numpy())
    return dict(times={"task": a + b, "loop": a, "backward at T": b}, losses=losses, max_loss_iter=losses.index(max(losses)) + 1)


common.rounds(one_round)
