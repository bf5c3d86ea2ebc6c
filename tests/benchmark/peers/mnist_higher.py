"""A run of `clbilevel hyper-cleaning` repeated with PyTorch and `higher`, from its folder (tools/compare_with_higher.py reads it): a round is the next BLOCK
upper iterations, and their seconds in all. usage: mnist_higher.py RUN BLOCK WHO FOLDER"""
import json
import pathlib
import sys

import higher
import numpy as np
import torch
import torch.nn.functional as F

sys.path.append(str(pathlib.Path(__file__).resolve().parents[3] / "tools"))
import common
from compare_with_higher import build, read_source

run, block = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(common.threads())
config = json.loads(pathlib.Path(run, "config.json").read_text())
images, labels = read_source(run, config)
images = images.reshape(len(images), -1)


def part(name):
    index = np.load(f"{run}/{name}_indices.npy")
    return torch.tensor(images[index] / 255.0, dtype=torch.float32), torch.tensor(labels[index].astype(np.int64))


(X, _), (V, vt) = part("train"), part("validation")
t = torch.tensor(np.load(f"{run}/train_labels_corrupted.npy").astype(np.int64))
y, T = build(run, config, torch.float32), config["steps"]
x = torch.zeros(len(t), requires_grad=True)
x_step, z_step = torch.optim.Adam([x], lr=config["upper_rate"]), torch.optim.SGD(y.parameters(), lr=config["init_rate"])
descent = torch.optim.SGD(y.parameters(), lr=config["lower_rate"])


def loop():
    losses = []
    with higher.innerloop_ctx(y, descent, copy_initial_weights=False) as (fmodel, step):
        for _ in range(T):
            step.step((torch.sigmoid(x) * F.cross_entropy(fmodel(X), t, reduction="none")).mean())
            with torch.no_grad():
                losses.append(F.cross_entropy(fmodel(V), vt).item())
    return fmodel, losses


def backward(fmodel, k):
    return torch.autograd.grad(F.cross_entropy(fmodel(V, params=fmodel.parameters(time=k)), vt), list(fmodel.parameters(time=0)) + [x])


def one_round(first):
    each, told = {"loop": [], "backward": []}, []
    for _ in range(block):
        a, (fmodel, losses) = common.seconds(loop)
        k = losses.index(max(losses)) + 1 if config["truncation"] else T
        b, (*g_z, x.grad) = common.seconds(lambda: backward(fmodel, k))
        x_step.step()
        for p, g in zip(y.parameters(), g_z):
            p.grad = g
        z_step.step()
        each["loop"].append(a)
        each["backward"].append(b)
        told.append((losses[k - 1], k))
    return dict(times={key: sum(values) / block for key, values in each.items()}, each=each, losses=[loss for loss, _ in told],
                max_loss_iters=[k for _, k in told])


common.rounds(one_round)
