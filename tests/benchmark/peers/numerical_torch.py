"""The numerical example of bench_small with plain PyTorch, unrolled by hand: faster than `higher` on so small a problem, as is one thread.
usage: numerical_torch.py numerical double STEPS ITERATIONS WHO FOLDER"""
import sys

import torch

import common

T, iterations = int(sys.argv[3]), int(sys.argv[4])
folder = common.Folder(*sys.argv[5:7])
torch.set_num_threads(1)


def iterate(x, z, clamp):
    """One upper iteration, in place; (F at max_loss_iter, max_loss_iter)."""
    y, states, losses = z, [], []
    for _ in range(T):
        gradient, = torch.autograd.grad(-torch.sin(x * y), y, create_graph=True)
        y = (y - 0.0005 * gradient).clamp(-2, 2)
        states.append(y)
        losses.append((x + x * y).item())
    k = losses.index(max(losses))
    g_x, g_z = torch.autograd.grad(x + x * states[k], (x, z))
    with torch.no_grad():
        x -= 0.1 * g_x
        z -= 0.1 * g_z
        if clamp:
            x.clamp_(1, 10)
            z.clamp_(-2, 2)
    return losses[k], k + 1, g_x, g_z


def many(x, z, clamp):
    x, z = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (x, z))
    return x, z, [iterate(x, z, clamp) for _ in range(iterations)]


def one_round(first):
    a, (x, z, told) = common.seconds(lambda: many(1.0, 2.0, True))
    b, (X, Z, _) = common.seconds(lambda: many(5.0, -1.5, False))
    if first:
        for prefix, values in (("gradient", told[0][2:]), ("singly", (x, z)), ("together", (X, Z))):
            for name, value in zip("xy", values):
                folder.save(f"{prefix}_{name}", value.item())
    return dict(times={"upper iteration": a / iterations, "of many in one call": b / iterations},
                losses=[t[0] for t in told], max_loss_iters=[t[1] for t in told])


common.rounds(one_round)
