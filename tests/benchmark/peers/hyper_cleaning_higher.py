"""Hyper-cleaning as users write it with PyTorch and `higher`: bench_hyper_cleaning's problem, from its files.
usage: hyper_cleaning_higher.py EXAMPLES HIDDEN STEPS ENDS WHO FOLDER"""
import sys

import higher
import torch
import torch.nn.functional as F

import common

n, hidden, T, ends = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), [int(k) for k in sys.argv[4].split(",")]
folder = common.Folder(*sys.argv[5:7])
torch.set_num_threads(common.threads())
X, V = (torch.tensor(folder.pixels(name)) for name in ("train_x", "validate_x"))
t, vt = (torch.tensor(folder.load(name)).long() for name in ("train_t", "validate_t"))
layers, names = [], []
for layer_name in ("fc1", "fc2") if hidden else ("fc1",):
    weight, bias = folder.load(f"{layer_name}.weight"), folder.load(f"{layer_name}.bias")
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight.data, layer.bias.data = torch.tensor(weight), torch.tensor(bias)
    layers.append(layer)
    names += [f"{layer_name}.weight", f"{layer_name}.bias"]
y = torch.nn.Sequential(*layers)
x = torch.nn.Parameter(torch.zeros(n))
descent = torch.optim.SGD(y.parameters(), lr=0.03)


def loop():
    losses = []
    with higher.innerloop_ctx(y, descent, copy_initial_weights=False) as (fmodel, step):
        for _ in range(T):
            step.step((torch.sigmoid(x) * F.cross_entropy(fmodel(X), t, reduction="none")).mean())
            with torch.no_grad():
                losses.append(F.cross_entropy(fmodel(V), vt).item())
    return fmodel, losses


def backward(fmodel, k):
    loss = F.cross_entropy(fmodel(V, params=fmodel.parameters(time=k)), vt)
    return torch.autograd.grad(loss, list(fmodel.parameters(time=0)) + [x], retain_graph=True)


def one_round(first):
    """Nothing of a round's graph outlives it."""
    times = {}
    times["loop"], (fmodel, losses) = common.seconds(loop)
    for k in ends:
        times[f"backward at {k}"], (*g_z, g_x) = common.seconds(lambda k=k: backward(fmodel, k))
        if first:
            for name, g in zip(["weight"] + names, [g_x] + g_z):
                folder.save(f"{k}_{name}", g.numpy())
    return dict(times=times, losses=losses, max_loss_iter=losses.index(max(losses)) + 1)


common.rounds(one_round)
