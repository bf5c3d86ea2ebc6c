"""The problem of examples/feature_weights.c compiled whole with JAX, from files: one L2 weight per feature, Adam below and above.
usage: peer_feature_weights.py FOLDER ITERATIONS (FOLDER: train_x, train_t, validate_x, validate_t, fc.weight, fc.bias, penalty as NPY)

Loop, F at every step, pessimistic choice, truncated sweep and updates are compiled together. For each line on standard input one
JSON object: F and max_loss_iter of the last of ITERATIONS upper iterations from the start, and seconds per upper iteration, "each"
called one by one, and "all" in one call (a compiled loop over them)."""
import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

folder, iterations = sys.argv[1], int(sys.argv[2])
T, RATE, BETA1, BETA2, EPSILON = 50, 0.05, 0.9, 0.999, 1e-8
X, t, V, vt, weight, bias, penalty = (jnp.array(np.load(f"{folder}/{name}.npy")) for name in (
    "train_x", "train_t", "validate_x", "validate_t", "fc.weight", "fc.bias", "penalty"))
x0, z0 = penalty.astype(jnp.float32), dict(weight=weight.astype(jnp.float32), bias=bias.astype(jnp.float32))
classes = weight.shape[0]


def cross_entropy(y, data, target):
    logits = data @ y["weight"].T + y["bias"]
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), target[:, None], 1).mean()


def f(y, x):
    return cross_entropy(y, X, t) + (jnp.exp(x) * y["weight"] ** 2).sum() / classes


def F(y):
    return cross_entropy(y, V, vt)


def adam(p, g, m, v, k):
    """One step; where the second moment is 0 its root passes no derivative."""
    m, v, n = BETA1 * m + (1 - BETA1) * g, BETA2 * v + (1 - BETA2) * g * g, k + 1.0
    root = jnp.where(v == 0, 0.0, jnp.sqrt(jnp.where(v == 0, 1.0, v)))
    return p - RATE / (1 - BETA1 ** n) * m / (root / jnp.sqrt(1 - BETA2 ** n) + EPSILON), m, v


def adam_tree(p, g, m, v, k):
    new = {name: adam(p[name], g[name], m[name], v[name], k) for name in p}
    return tuple({name: new[name][i] for name in p} for i in range(3))


def zeros(p):
    return jax.tree_util.tree_map(jnp.zeros_like, p)


def step(s, x, k):
    return adam_tree(s[0], jax.grad(f)(s[0], x), s[1], s[2], k)


def upper(x, z):
    """The hypergradients in x and z, F at max_loss_iter, and max_loss_iter."""
    def forward(s, k):
        new = step(s, x, k)
        return new, (s, F(new[0]))
    last, (states, losses) = jax.lax.scan(forward, (z, zeros(z), zeros(z)), jnp.arange(T))
    best = jnp.argmax(losses) + 1
    at = lambda k: jax.tree_util.tree_map(lambda a: a[k], states)
    y = jax.lax.cond(best < T, lambda: at(jnp.minimum(best, T - 1))[0], lambda: last[0])

    def back(i, carry):
        k = best - 1 - i
        pulled, gx = jax.vjp(lambda s, x: step(s, x, k), at(k), x)[1](carry[0])
        return pulled, carry[1] + gx
    carry, gx = jax.lax.fori_loop(0, best, back, ((jax.grad(F)(y), zeros(z), zeros(z)), jnp.zeros_like(x)))
    return gx, carry[0], losses[best - 1], best


def iteration(i, c):
    x, z, moments, _, _ = c
    gx, gz, loss, best = upper(x, z)
    x, mx, vx = adam(x, gx, moments[0], moments[1], i)
    z, mz, vz = adam_tree(z, gz, moments[2], moments[3], i)
    return x, z, (mx, vx, mz, vz), loss, best


one = jax.jit(iteration)
many = jax.jit(lambda c: jax.lax.fori_loop(0, iterations, iteration, c))
start = (x0, z0, (jnp.zeros_like(x0), jnp.zeros_like(x0), zeros(z0), zeros(z0)), jnp.float32(0), jnp.argmax(jnp.zeros(2)))
jax.block_until_ready(one(0, start))
jax.block_until_ready(many(start))
for _ in sys.stdin:
    begin, c = time.perf_counter(), start
    for i in range(iterations):
        c = one(i, c)
        float(c[3])  # the caller sees each loss
    each, begin = time.perf_counter() - begin, time.perf_counter()
    c = jax.block_until_ready(many(start))
    every = time.perf_counter() - begin
    print(json.dumps(dict(F=float(c[3]), max_loss_iter=int(c[4]), each=each / iterations, all=every / iterations)), flush=True)
