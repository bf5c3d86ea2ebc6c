"""The peer of bench_hyper_cleaning: the same problem, from the same files, as users write it with PyTorch and `higher`. One round for each
line on standard input, one JSON object for each; the first round's hypergradients go to FOLDER. usage: peer_hyper_cleaning.py lin|mlp EXAMPLES STEPS FOLDER"""
import json
import os
import sys
import time

import higher
import numpy as np
import torch
import torch.nn.functional as F

net, n, T, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
torch.set_num_threads(os.cpu_count())
X, t, V, vt = (torch.tensor(np.load(f"{folder}/{name}.npy")) for name in ("train_x", "train_t", "validate_x", "validate_t"))
t, vt = t.long(), vt.long()
layers, names = [], []
for name in ("fc1",) if net == "lin" else ("fc1", "fc2"):
    names += [f"{name}.weight", f"{name}.bias"]
    weight, bias = np.load(f"{folder}/{name}.weight.npy"), np.load(f"{folder}/{name}.bias.npy")
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight.data, layer.bias.data = torch.tensor(weight), torch.tensor(bias)
    layers.append(layer)
y = torch.nn.Sequential(*layers)
x = torch.nn.Parameter(torch.zeros(n))
descent = torch.optim.SGD(y.parameters(), lr=0.03)
for turn, _ in enumerate(sys.stdin):
    losses, backward, start = [], {}, time.time()
    with higher.innerloop_ctx(y, descent, copy_initial_weights=False) as (fmodel, step):
        for k in range(T):
            step.step((torch.sigmoid(x) * F.cross_entropy(fmodel(X), t, reduction="none")).mean())
            with torch.no_grad():
                losses.append(F.cross_entropy(fmodel(V), vt).item())
        loop = time.time() - start
        for k in (1, max(1, T // 2), T):
            start = time.time()
            loss = F.cross_entropy(fmodel(V, params=fmodel.parameters(time=k)), vt)
            *g_z, g_x = torch.autograd.grad(loss, list(fmodel.parameters(time=0)) + [x], retain_graph=True)
            backward[str(k)] = time.time() - start
            if turn == 0:
                for name, g in zip(["weight"] + names, [g_x] + g_z):
                    np.save(f"{folder}/theirs_{k}_{name}.npy", g.double().numpy())
    print(json.dumps(dict(loop=loop, backward=backward, losses=losses)), flush=True)
