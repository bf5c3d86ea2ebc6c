"""The same task with JAX, compiled whole, the backbone taken out of the loop by hand: loop and backward sweep from T are one function.
The files are of DTYPE. usage: few_shot_jax.py WAYS SHOTS QUERY STEPS FILTERS float|double WHO FOLDER"""
import sys

import jax
import jax.numpy as jnp
import numpy as np

import common

T, folder = int(sys.argv[4]), common.Folder(*sys.argv[7:9])
jax.config.update("jax_enable_x64", sys.argv[6] == "double")


def load(name):
    return jnp.asarray(folder.load(name))


X, V = (load(name).transpose(0, 2, 3, 1) for name in ("support_x", "query_x"))
t, vt = load("support_t"), load("query_t")
x = [(load(f"layer{i}.conv.weight").transpose(2, 3, 1, 0), *(load(f"layer{i}.{part}") for part in ("conv.bias", "norm.weight", "norm.bias")))
     for i in range(1, 5)]
z = load("head.weight").T, load("head.bias")


def backbone(x, images):
    for kernel, bias, weight, shift in x:
        images = jax.lax.conv_general_dilated(images, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")) + bias
        mean, variance = images.mean((0, 1, 2)), images.var((0, 1, 2))
        images = jax.nn.relu((images - mean) * jax.lax.rsqrt(variance + 1e-5) * weight + shift)
        images = jax.lax.reduce_window(images, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    return images.reshape(len(images), -1)


def cross_entropy(y, features, labels):
    return -jnp.take_along_axis(jax.nn.log_softmax(features @ y[0] + y[1]), labels[:, None], 1).mean()


def step(y, features):
    return jax.tree.map(lambda p, g: p - 0.1 * g, y, jax.grad(cross_entropy)(y, features, t))


@jax.jit
def task(x, z):
    """((g_x, g_z), F at every step)"""
    (fx, fv), pull = jax.vjp(lambda x: (backbone(x, X), backbone(x, V)), x)

    def body(y, _):
        following = step(y, fx)
        return following, (y, cross_entropy(following, fv, vt))
    y_T, (states, losses) = jax.lax.scan(body, z, None, T)
    adjoint, g_fv = jax.grad(cross_entropy, (0, 1))(y_T, fv, vt)

    def back(carry, y):
        adjoint, g_fx = carry
        _, step_pull = jax.vjp(step, y, fx)
        adjoint, d_fx = step_pull(adjoint)
        return (adjoint, g_fx + d_fx), None
    (adjoint, g_fx), _ = jax.lax.scan(back, (adjoint, jnp.zeros_like(fx)), states, reverse=True)
    return (pull((g_fx, g_fv))[0], adjoint), losses


def one_round(first):
    if first:
        jax.block_until_ready(task(x, z))  # compiled outside the timing
    seconds, ((g_x, g_z), losses) = common.seconds(lambda: jax.block_until_ready(task(x, z)))
    if first:
        for i, (kernel, _, weight, shift) in enumerate(g_x, 1):  # a bias before batch norm: rounding alone
            for part, g in (("conv.weight", np.asarray(kernel).transpose(3, 2, 0, 1)), ("norm.weight", weight), ("norm.bias", shift)):
                folder.save(f"T_layer{i}.{part}", g)
        folder.save("T_head.weight", np.asarray(g_z[0]).T)
        folder.save("T_head.bias", g_z[1])
    losses = [float(loss) for loss in losses]
    return dict(times={"task": seconds}, losses=losses, max_loss_iter=losses.index(max(losses)) + 1)


common.rounds(one_round)
