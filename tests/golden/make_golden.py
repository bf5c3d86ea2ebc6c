#!/usr/bin/env python3
"""Makes the golden values of tests/golden: small bilevel problems solved by PyTorch in double, by unrolling and automatic differentiation,
independently of this library. Every problem is solved a second time with `higher`'s differentiable optimizers, its forward loop is checked
against `torch.optim`, and every hypergradient against central differences of the loop. Needs torch, higher, numpy.

usage: make_golden.py [FOLDER]      writes one FOLDER/NAME.txt per problem; the mathematics is in README.md"""
import copy
import os
import sys

import higher
import numpy as np
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
N, V, D, C, H, T = 12, 9, 7, 4, 5, 6
ZERO = [1, 4]  # the input columns of zero_columns
DEFAULTS = dict(mlp=0, activation=0, optimizer=0, rate=0.3, momentum=0.0, nesterov=0, weight_decay=0.0, projection=0, bound=0.0, batch=0,
                rate_mode=0, proximal=0.0, one_model=0, upper_term=0.0, feature_weights=0, auxiliary=1, bytes=0, zero_columns=0, zero_hidden=0, seed=0)
PROBLEMS = {
    "linear": {}, "linear_bytes": dict(bytes=1), "linear_momentum": dict(momentum=0.9), "linear_nesterov": dict(momentum=0.8, nesterov=1),
    "linear_decay": dict(weight_decay=0.1), "linear_momentum_decay": dict(momentum=0.5, weight_decay=0.05),
    "linear_adam": dict(optimizer=1, rate=0.05), "linear_adam_zero_columns": dict(optimizer=1, rate=0.05, zero_columns=1),
    "linear_adam_decay": dict(optimizer=1, rate=0.05, weight_decay=0.02), "linear_zero_columns": dict(zero_columns=1),
    "linear_box": dict(projection=1, bound=0.25), "linear_ball": dict(projection=2, bound=0.9), "linear_adam_box": dict(optimizer=1, projection=1, bound=0.3, rate=0.05),
    "linear_batch": dict(batch=5), "linear_batch_adam": dict(batch=5, optimizer=1, rate=0.05), "linear_learned_rate": dict(rate_mode=1),
    "linear_rate_schedule": dict(rate_mode=2), "linear_proximal": dict(proximal=0.2), "linear_upper_term": dict(upper_term=0.05),
    "linear_no_auxiliary": dict(auxiliary=0), "one_model": dict(one_model=1, proximal=0.3, upper_term=0.02),
    "one_model_mlp": dict(one_model=1, mlp=1, activation=2, proximal=0.1, momentum=0.7), "feature_weights": dict(feature_weights=1, optimizer=1, rate=0.05),
    "mlp": dict(mlp=1), "mlp_relu": dict(mlp=1, activation=1), "mlp_tanh": dict(mlp=1, activation=2),
    "mlp_tanh_adam": dict(mlp=1, activation=2, optimizer=1, rate=0.03), "mlp_relu_nesterov": dict(mlp=1, activation=1, momentum=0.9, nesterov=1, rate=0.1),
    "mlp_tanh_ball": dict(mlp=1, activation=2, projection=2, bound=1.2), "mlp_large_rate": dict(mlp=1, activation=2, rate=3.0, seed=4),
    "mlp_schedule_nesterov": dict(mlp=1, activation=2, rate_mode=2, momentum=0.8, nesterov=1, proximal=0.2, upper_term=0.03),
    # max_loss_iter strictly inside: neither the first step nor the last
    "inside": dict(rate=3.0, seed=8), "inside_batch_box": dict(batch=5, projection=1, bound=1.5, rate=2.0, momentum=0.6, seed=1),
    "inside_adam_learned_rate": dict(batch=5, optimizer=1, rate_mode=1, weight_decay=0.02, rate=0.5, seed=3),
    "inside_mlp_relu_batch": dict(mlp=1, activation=1, batch=4, momentum=0.5, rate=0.5, seed=8),
    "inside_mlp_adam_ball": dict(mlp=1, activation=2, optimizer=1, projection=2, bound=2.0, rate=0.5, seed=11),
    "inside_one_model_adam": dict(one_model=1, optimizer=1, proximal=0.2, upper_term=0.02, rate=0.3, seed=4),
    # exactly at the corners of the derivative conventions
    "corner_adam_still": dict(optimizer=1, rate=0.05, zero_columns=2), "corner_box_bound": dict(projection=1, bound=0.25, zero_columns=2),
    "corner_relu_ball": dict(mlp=1, activation=1, zero_hidden=1, projection=2, bound=0.5),
    "corner_relu_adam": dict(mlp=1, activation=1, zero_hidden=1, optimizer=1, rate=0.05),
}


def logits(y, d, s):
    h = d @ y[0].T + y[1]
    if s["mlp"]:
        h = (h, torch.relu(h), torch.tanh(h))[s["activation"]] @ y[2].T + y[3]
    return h


class Parameters(torch.nn.Module):  # what higher unrolls
    def __init__(self, values):
        super().__init__()
        for i, p in enumerate(values):
            self.register_parameter(f"p{i}", torch.nn.Parameter(p.detach().clone()))


class Problem:
    def __init__(self, s):
        r = np.random.default_rng(100 + s["seed"])
        self.s, t = s, lambda a: torch.tensor(a)
        raw = [r.integers(0, 256, (n, D)) for n in (N, V)] if s["bytes"] else [r.normal(0, 1, (n, D)) for n in (N, V)]
        if s["zero_columns"]:
            for a in raw[:1] if s["zero_columns"] == 2 else raw:
                a[:, ZERO] = 0
        self.raw = raw
        self.X, self.V = (t(a / 255.0 if s["bytes"] else a) for a in raw)
        self.t, self.vt = (t(r.integers(0, C, n)) for n in (N, V))
        dims = [(H, D), (H,), (C, H), (C,)] if s["mlp"] else [(C, D), (C,)]
        z = [r.normal(0, 0.4, d) for d in dims]
        if s["zero_columns"] == 2 and s["projection"] == 1:  # these weights get no gradient: they stay exactly at the bound
            z[0][:, ZERO] = np.where(z[0][:, ZERO] < 0, -s["bound"], s["bound"])
        if s["zero_hidden"]:  # every unit of the hidden layer exactly at relu's kink, and a parameter of norm 0
            z[0][:], z[1][:] = 0, 0
        self.z = [t(a).requires_grad_() for a in z]
        self.rows = t(r.integers(0, N, (T, s["batch"]))) if s["batch"] else None
        self.rates = t(0.1 + 0.05 * np.arange(T)) if s["rate_mode"] == 2 else None
        self.x = []
        if not s["one_model"]:
            self.x.append(t(r.normal(-1 if s["feature_weights"] else 0, 1, D if s["feature_weights"] else N)).requires_grad_())
        if s["rate_mode"] == 1:
            self.x.append(t(np.log(s["rate"])).requires_grad_())

    def lower(self, y, k):
        s, X, t, w = self.s, self.X, self.t, None if self.s["one_model"] else self.x[0]
        if s["batch"]:
            X, t, w = X[self.rows[k]], t[self.rows[k]], w[self.rows[k]]
        losses = F.cross_entropy(logits(y, X, s), t, reduction="none")
        if s["feature_weights"]:
            f = losses.mean() + (torch.exp(self.x[0]) * y[0] ** 2).sum() / C
        else:
            f = losses.mean() if s["one_model"] else (torch.sigmoid(w) * losses).mean()
        if s["proximal"]:
            f = f + s["proximal"] * sum(((p - q) ** 2).sum() for p, q in zip(y, self.z))
        return f

    def upper(self, y):
        f = F.cross_entropy(logits(y, self.V, self.s), self.vt)
        if self.s["upper_term"]:
            f = f + self.s["upper_term"] * sum((p ** 2).sum() for p in (self.z if self.s["one_model"] else self.x[:1]))
        return f

    def rate(self, k):
        return {0: torch.tensor(self.s["rate"]), 1: torch.exp(self.x[-1]) if self.x else None, 2: self.rates[k] if self.rates is not None else None}[self.s["rate_mode"]]

    def project(self, p):
        b = self.s["bound"]
        if self.s["projection"] == 1:  # derivative 1 at the bound itself, as the library states; the clamp of PyTorch 2.15 has 0 there
            return torch.where((p >= -b) & (p <= b), p, p.detach().clamp(-b, b))
        if self.s["projection"] == 2:
            norm = p.norm()
            return p if norm <= b else p * (b / norm)
        return p

    def step(self, y, state, k):
        s, new, states = self.s, [], []
        g = torch.autograd.grad(self.lower(y, k), y, create_graph=True)
        for p, d, m in zip(y, g, state):
            d = d + s["weight_decay"] * p
            if s["optimizer"] == 0:
                if s["momentum"]:
                    m = (s["momentum"] * m[0] + d,)
                    d = d + s["momentum"] * m[0] if s["nesterov"] else m[0]
                q = p - self.rate(k) * d
            else:
                a, b = 0.9 * m[0] + 0.1 * d, 0.999 * m[1] + 0.001 * d * d
                m, zero = (a, b), b == 0
                root = torch.where(zero, torch.zeros_like(b), torch.sqrt(torch.where(zero, torch.ones_like(b), b / (1 - 0.999 ** (k + 1)))))
                q = p - self.rate(k) * (a / (1 - 0.9 ** (k + 1))) / (root + 1e-8)
            new.append(self.project(q))
            states.append(m)
        return new, states

    def solve(self):
        y, state = list(self.z), [(torch.zeros_like(p), torch.zeros_like(p)) for p in self.z]
        ys, losses = [y], []
        for k in range(T):
            y, state = self.step(y, state, k)
            ys.append(y)
            losses.append(self.upper(y))
        return ys, losses

    def optimizer(self, parameters):
        s = self.s
        if s["optimizer"]:
            return torch.optim.Adam(parameters, lr=s["rate"], weight_decay=s["weight_decay"])
        return torch.optim.SGD(parameters, lr=s["rate"], momentum=s["momentum"], nesterov=bool(s["nesterov"]), weight_decay=s["weight_decay"])

    def check_with_torch(self, losses):
        """The forward loop against torch.optim itself."""
        y = [p.detach().clone().requires_grad_() for p in self.z]
        optimizer = self.optimizer(y)
        for k in range(T):
            for group in optimizer.param_groups:
                group["lr"] = self.rate(k).item()
            for p, g in zip(y, torch.autograd.grad(self.lower(y, k), y)):
                p.grad = g
            optimizer.step()
            for p in y:
                p.data = self.project(p.data)
            assert abs(self.upper(y).item() - losses[k].item()) < 1e-12

    def check_with_higher(self, losses, gradients):
        """The whole problem once more, F and hypergradients, with higher's optimizers as the step. GRADIENTS: k -> g_x + g_z."""
        net = Parameters(self.z)
        twin = copy.copy(self)
        with higher.innerloop_ctx(net, self.optimizer(net.parameters()), copy_initial_weights=False) as (fnet, descent):
            twin.z, theirs = list(fnet.parameters(time=0)), []
            for k in range(T):
                override = {"lr": [self.rate(k)]}
                if self.s["optimizer"]:  # higher adds epsilon before the bias correction, torch.optim (and the golden values) after it
                    override["eps"] = [1e-8 * (1 - 0.999 ** (k + 1)) ** 0.5]
                descent.step(twin.lower(list(fnet.fast_params), k), override=override)
                if self.s["projection"]:
                    fnet.update_params([self.project(p) for p in fnet.fast_params])
                theirs.append(twin.upper(list(fnet.fast_params)))
                assert abs(theirs[k].item() - losses[k].item()) < 1e-12
            for k, wanted in gradients.items():
                got = torch.autograd.grad(theirs[k - 1], self.x + twin.z, retain_graph=True, allow_unused=True, materialize_grads=True)
                for a, b in zip(got, wanted):
                    assert (a - b).abs().max() <= 1e-10 * b.abs().max() + 1e-13, (k, a, b)

    def check_with_differences(self, gradients):
        """Central differences of the loop along a random direction, of the upper variables and of z apart."""
        r, h = np.random.default_rng(7), 1e-5
        variables = self.x + self.z
        for part in (range(len(self.x)), range(len(self.x), len(variables))):
            direction = {i: torch.tensor(r.normal(0, 1, variables[i].shape)) for i in part}
            ends = []
            for sign in (1, -1):
                for i in part:
                    variables[i].data += sign * h * direction[i]
                ends.append(self.solve()[1])
                for i in part:
                    variables[i].data -= sign * h * direction[i]
            for k, g in gradients.items():
                slope, size = sum((g[i] * direction[i]).sum().item() for i in part), sum(g[i].abs().sum().item() for i in part)
                difference = (ends[0][k - 1].item() - ends[1][k - 1].item()) / (2 * h)
                assert abs(difference - slope) <= 1e-6 * size + 1e-10, (k, difference, slope)


def write(file, name, value):
    a = np.asarray(value.detach() if isinstance(value, torch.Tensor) else value, np.float64)
    file.write(f"{name} {a.ndim} {' '.join(map(str, a.shape))}\n" + " ".join("%.17g" % v for v in a.ravel()) + "\n")


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
    for name, changes in PROBLEMS.items():
        s = {**DEFAULTS, **changes}
        p = Problem(s)
        ys, losses = p.solve()
        best = 1 + int(torch.argmax(torch.stack(losses)))
        with open(f"{folder}/{name}.txt", "w") as file:
            for key, value in s.items():
                write(file, key, float(value))
            for key, value in (("data", p.raw[0]), ("target", p.t), ("validate_data", p.raw[1]), ("validate_target", p.vt), ("losses", torch.stack(losses)), ("max_loss_iter", float(best))):
                write(file, key, value)
            if p.rows is not None:
                write(file, "rows", p.rows)
            if p.rates is not None:
                write(file, "rates", p.rates)
            for i, x in enumerate(p.x):
                write(file, f"x{i}", x)
            for k, y in enumerate(ys):
                for i, q in enumerate(y):
                    write(file, f"y{k}_{i}", q)
            gradients = {}
            for k in sorted({1, 3, T, best}):
                g = torch.autograd.grad(losses[k - 1], p.x + p.z, retain_graph=True, allow_unused=True, materialize_grads=True)
                gradients[k] = g
                for i, a in enumerate(g[:len(p.x)]):
                    write(file, f"g{k}_x{i}", a)
                for i, a in enumerate(g[len(p.x):]):
                    write(file, f"g{k}_z{i}", a)
        p.check_with_torch(losses)
        p.check_with_higher(losses, gradients)
        if not (s["zero_hidden"] or s["zero_columns"] == 2 and s["projection"]):  # at a kink there is no difference to take
            p.check_with_differences(gradients)
        print(f"{name}: max_loss_iter {best}")


main()
