"""The same with JAX, compiled whole: the loop is one scan that keeps every y_k, the backward sweep another that recomputes each step.
usage: hyper_cleaning_jax.py EXAMPLES HIDDEN STEPS ENDS WHO FOLDER"""
import sys

import jax
import jax.numpy as jnp
import numpy as np

import common

n, hidden, T, ends = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), [int(k) for k in sys.argv[4].split(",")]
folder = common.Folder(*sys.argv[5:7])
X, V = (jnp.asarray(folder.pixels(name)) for name in ("train_x", "validate_x"))
t, vt = (jnp.asarray(folder.load(name)) for name in ("train_t", "validate_t"))
layers = ("fc1", "fc2") if hidden else ("fc1",)
z = [(jnp.asarray(folder.load(f"{name}.weight").T.copy()), jnp.asarray(folder.load(f"{name}.bias"))) for name in layers]
x = jnp.zeros(n, jnp.float32)


def cross_entropy(y, images, labels):
    for weight, bias in y:
        images = images @ weight + bias
    return -jnp.take_along_axis(jax.nn.log_softmax(images), labels[:, None], 1)[:, 0]


def f(x, y):
    return (jax.nn.sigmoid(x) * cross_entropy(y, X, t)).mean()


def F(y):
    return cross_entropy(y, V, vt).mean()


def step(x, y):
    return jax.tree.map(lambda p, g: p - 0.03 * g, y, jax.grad(f, 1)(x, y))


@jax.jit
def loop(x, z):
    def body(y, _):
        following = step(x, y)
        return following, (following, F(following))
    return jax.lax.scan(body, z, None, T)[1]


@jax.jit
def backward(x, z, ys, k):
    """The hypergradient truncated at k, 1 … T: (g_z, g_x)."""
    def state(i):  # y_i
        return jax.tree.map(lambda first, later: jnp.where(i == 0, first, later[jnp.maximum(i, 1) - 1]), z, ys)

    def body(i, carry):
        adjoint, g_x = carry
        _, pull = jax.vjp(step, x, state(k - 1 - i))
        d_x, adjoint = pull(adjoint)
        return adjoint, g_x + d_x
    return jax.lax.fori_loop(0, k, body, (jax.grad(F)(state(k)), jnp.zeros_like(x)))


def one_round(first):
    times = {}
    if first:  # compiled outside the timing
        jax.block_until_ready(backward(x, z, loop(x, z)[0], 1))
    times["loop"], (ys, losses) = common.seconds(lambda: jax.block_until_ready(loop(x, z)))
    for k in ends:
        times[f"backward at {k}"], (g_z, g_x) = common.seconds(lambda k=k: jax.block_until_ready(backward(x, z, ys, k)))
        if first:
            folder.save(f"{k}_weight", g_x)
            for name, (weight, bias) in zip(layers, g_z):
                folder.save(f"{k}_{name}.weight", np.asarray(weight).T)
                folder.save(f"{k}_{name}.bias", bias)
    losses = [float(value) for value in losses]
    return dict(times=times, losses=losses, max_loss_iter=losses.index(max(losses)) + 1)


common.rounds(one_round)
