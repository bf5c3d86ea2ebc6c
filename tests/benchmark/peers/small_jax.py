"""The two problems of bench_small with JAX, compiled whole: loop, pessimistic choice, truncated sweep and both updates are one function;
many upper iterations are one scan over it. usage: small_jax.py numerical|feature-weights float|double STEPS ITERATIONS WHO FOLDER"""
import sys

import jax
import jax.numpy as jnp

import common

numerical, double, T, iterations = sys.argv[1] == "numerical", sys.argv[2] == "double", int(sys.argv[3]), int(sys.argv[4])
folder = common.Folder(*sys.argv[5:7])
jax.config.update("jax_enable_x64", double)
dtype = jnp.float64 if double else jnp.float32


def adam(p, state, g, rate):
    """One step of Adam; STATE is (m, v, steps done)."""
    m, v, t = state
    t = t + 1
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
    first, second = 1 - 0.9 ** t, jnp.sqrt(1 - 0.999 ** t)
    p = jax.tree.map(lambda p, m, v: p - rate / first * m / (jnp.sqrt(v) / second + 1e-8), p, m, v)
    return p, (m, v, t)


def adam_start(p):
    return jax.tree.map(jnp.zeros_like, p), jax.tree.map(jnp.zeros_like, p), jnp.zeros((), dtype)


if numerical:
    def f(x, y):
        return -jnp.sin(x * y)

    def F(x, y):
        return x + x * y

    def lower_start(z):
        return z

    def lower_values(s):
        return s

    def step(x, s):
        return jnp.clip(s - 0.0005 * jax.grad(f, 1)(x, s), -2, 2)

    def update(x, z, states, g_x, g_z, clamp):
        x, z = x - 0.1 * g_x, z - 0.1 * g_z
        return (jnp.clip(x, 1, 10), jnp.clip(z, -2, 2), states) if clamp else (x, z, states)

    names = ("x",), ("y",)
    start = dtype(1), dtype(2), ()
    start_together = dtype(5), dtype(-1.5), ()
else:
    X, V = (jnp.asarray(folder.load(name)) for name in ("train_x", "validate_x"))
    t, vt = (jnp.asarray(folder.load(name)) for name in ("train_t", "validate_t"))

    def cross_entropy(y, data, labels):
        return -jnp.take_along_axis(jax.nn.log_softmax(data @ y[0].T + y[1]), labels[:, None], 1).mean()

    def f(x, y):
        return cross_entropy(y, X, t) + (jnp.exp(x) * y[0] ** 2).sum() / y[0].shape[0]

    def F(x, y):
        return cross_entropy(y, V, vt)

    def lower_start(z):
        return z, adam_start(z)

    def lower_values(s):
        return s[0]

    def step(x, s):
        return adam(s[0], s[1], jax.grad(f, 1)(x, s[0]), 0.05)

    def update(x, z, states, g_x, g_z, clamp):
        x, x_state = adam(x, states[0], g_x, 0.05)
        z, z_state = adam(z, states[1], g_z, 0.05)
        return x, z, (x_state, z_state)

    names = ("penalty",), ("fc.weight", "fc.bias")
    start_x = jnp.full(X.shape[1], -4, dtype)
    start_z = jnp.asarray(folder.load("fc.weight")), jnp.asarray(folder.load("fc.bias"))
    start = start_x, start_z, (adam_start(start_x), adam_start(start_z))
    start_together = None  # it goes on from where it stands


def hypergradient(x, z):
    """(g_x, g_z, F at max_loss_iter, max_loss_iter)"""
    def body(s, _):
        following = step(x, s)
        return following, (s, F(x, lower_values(following)))
    s_T, (states, losses) = jax.lax.scan(body, lower_start(z), None, T)
    k = jnp.argmax(losses) + 1
    s_k = jax.tree.map(lambda all_, last: jnp.where(k < T, all_[jnp.minimum(k, T - 1)], last), states, s_T)
    g_x, adjoint = jax.grad(lambda x, s: F(x, lower_values(s)), (0, 1))(x, s_k)

    def back(i, carry):
        adjoint, g_x = carry
        _, pull = jax.vjp(step, x, jax.tree.map(lambda a: a[k - 1 - i], states))
        d_x, adjoint = pull(adjoint)
        return adjoint, g_x + d_x
    adjoint, g_x = jax.lax.fori_loop(0, k, back, (adjoint, g_x))
    return g_x, lower_values(adjoint), losses[k - 1], k


def iteration(x, z, states, clamp):
    g_x, g_z, loss, k = hypergradient(x, z)
    return *update(x, z, states, g_x, g_z, clamp), loss, k


singly = jax.jit(lambda x, z, states: iteration(x, z, states, True))


@jax.jit
def together(x, z, states):
    return jax.lax.scan(lambda c, _: (iteration(*c, False)[:3], None), (x, z, states), None, iterations)[0]


def save(prefix, x, z):
    leaves = [x], list(z) if isinstance(z, tuple) else [z]
    for side, values in zip(names, leaves):
        for name, value in zip(side, values):
            folder.save(f"{prefix}_{name}", value)


def many_singly(state):
    losses = []
    for _ in range(iterations):
        *state, loss, k = jax.block_until_ready(singly(*state))
        losses.append((loss, k))
    return state, losses


at = start


def one_round(first):
    global at
    if first:
        g_x, g_z, *_ = jax.jit(hypergradient)(*start[:2])
        save("gradient", g_x, g_z)
        jax.block_until_ready((singly(*start), together(*start)))  # compiled outside the timing
    a, (state, losses) = common.seconds(lambda: many_singly(start if numerical else at))
    if first and double:
        save("singly", *state[:2])
    b, state = common.seconds(lambda: jax.block_until_ready(together(*(start_together or state))))
    if first and double:
        save("together", *state[:2])
    at = state
    return dict(times={"upper iteration": a / iterations, "of many in one call": b / iterations},
                losses=[float(loss) for loss, _ in losses[:iterations if double else 1]], max_loss_iters=[int(k) for _, k in losses])


common.rounds(one_round)
