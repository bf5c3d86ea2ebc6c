#!/usr/bin/env python3
"""Makes the golden values of tests/golden: small bilevel problems solved by PyTorch in double, by unrolling and automatic differentiation,
independently of this library. Where the lower step is a plain optimizer it is checked against `higher` as well. Needs torch, higher, numpy.

usage: make_golden.py [FOLDER]      writes one FOLDER/NAME.txt per problem; the mathematics is in README.md"""
import os
import sys

import higher
import numpy as np
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
N, V, D, C, H, T = 12, 9, 7, 4, 5, 6
DEFAULTS = dict(mlp=0, activation=0, optimizer=0, rate=0.3, momentum=0.0, nesterov=0, weight_decay=0.0, projection=0, bound=0.0, batch=0,
                rate_mode=0, proximal=0.0, one_model=0, upper_term=0.0, feature_weights=0, auxiliary=1, bytes=0, zero_columns=0, seed=0)
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
}


def logits(y, d, s):
    h = d @ y[0].T + y[1]
    if s["mlp"]:
        h = (h, torch.relu(h), torch.tanh(h))[s["activation"]] @ y[2].T + y[3]
    return h


class Problem:
    def __init__(self, s):
        r = np.random.default_rng(100 + s["seed"])
        self.s, t = s, lambda a: torch.tensor(a)
        raw = [r.integers(0, 256, (n, D)) for n in (N, V)] if s["bytes"] else [r.normal(0, 1, (n, D)) for n in (N, V)]
        if s["zero_columns"]:
            for a in raw:
                a[:, [1, 4]] = 0
        self.raw = raw
        self.X, self.V = (t(a / 255.0 if s["bytes"] else a) for a in raw)
        self.t, self.vt = (t(r.integers(0, C, n)) for n in (N, V))
        dims = [(H, D), (H,), (C, H), (C,)] if s["mlp"] else [(C, D), (C,)]
        self.z = [t(r.normal(0, 0.4, d)).requires_grad_() for d in dims]
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
        if self.s["projection"] == 1:
            return p.clamp(-b, b)
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

    def check_with_higher(self, losses, k, g_x, g_z):
        s = self.s
        if s["projection"] or s["rate_mode"] or s["proximal"] or s["one_model"] or s["feature_weights"] or s["batch"] or s["zero_columns"] or s["upper_term"]:
            return
        layers = [torch.nn.Linear(D, H), (torch.nn.Identity(), torch.nn.ReLU(), torch.nn.Tanh())[s["activation"]], torch.nn.Linear(H, C)] if s["mlp"] else [torch.nn.Linear(D, C)]
        net = torch.nn.Sequential(*layers)
        for p, q in zip(net.parameters(), self.z):
            p.data.copy_(q)
        if s["optimizer"]:
            optimizer = torch.optim.Adam(net.parameters(), lr=s["rate"], weight_decay=s["weight_decay"])
        else:
            optimizer = torch.optim.SGD(net.parameters(), lr=s["rate"], momentum=s["momentum"], nesterov=bool(s["nesterov"]), weight_decay=s["weight_decay"])
        x = self.x[0].detach().clone().requires_grad_()
        if s["optimizer"]:  # higher's Adam adds epsilon before the bias correction, torch.optim's (and ours) after it: the step itself is the peer
            for i in range(T):
                optimizer.zero_grad()
                (torch.sigmoid(x.detach()) * F.cross_entropy(net(self.X), self.t, reduction="none")).mean().backward()
                optimizer.step()
                assert abs(F.cross_entropy(net(self.V), self.vt).item() - losses[i].item()) < 1e-12
            return
        with higher.innerloop_ctx(net, optimizer, copy_initial_weights=False) as (fnet, descent):
            for i in range(T):
                descent.step((torch.sigmoid(x) * F.cross_entropy(fnet(self.X), self.t, reduction="none")).mean())
                assert abs(F.cross_entropy(fnet(self.V), self.vt).item() - losses[i].item()) < 1e-12
            loss = F.cross_entropy(fnet(self.V, params=fnet.parameters(time=k)), self.vt)
            theirs = torch.autograd.grad(loss, [x] + list(fnet.parameters(time=0)))
        for a, b in zip(theirs, g_x[:1] + g_z):
            assert torch.allclose(a, b, rtol=1e-10, atol=1e-13)


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
            for k in sorted({1, 3, T, best}):
                g = torch.autograd.grad(losses[k - 1], p.x + p.z, retain_graph=True, allow_unused=True, materialize_grads=True)
                g_x, g_z = list(g[:len(p.x)]), list(g[len(p.x):])
                p.check_with_higher(losses, k, g_x, g_z)
                for i, a in enumerate(g_x):
                    write(file, f"g{k}_x{i}", a)
                for i, a in enumerate(g_z):
                    write(file, f"g{k}_z{i}", a)
        print(f"{name}: max_loss_iter {best}")


main()
