#!/usr/bin/env python3
"""Makes the golden values of tests/golden/layers: layers and backbones of PyTorch in double, with first and second derivatives; nothing of
this library takes part. Needs torch, numpy.

usage: make_layers.py [FOLDER]      writes one FOLDER/NAME.txt per case: the operands x0 …, weights w and v0 …, the value y, the derivatives
g0 … of L = sum(w y) and the derivatives h0 … of M = sum over i of sum(vi gi). The numbers of each case are in test_layers.c as well.
Of a case in SHORT, which would be megabytes, there are w, y and, of each derivative, digest(); its operands are pattern()."""
import os
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)


class Block(nn.Module):
    """A ConvNet's block."""

    def __init__(self, channels, filters, pool_first):
        super().__init__()
        self.conv, self.norm, self.pool_first = nn.Conv2d(channels, filters, 3, padding=1), nn.BatchNorm2d(filters, track_running_stats=False), pool_first

    def forward(self, x):
        if self.pool_first:
            return self.norm(F.max_pool2d(F.relu(self.conv(x)), 2))
        return F.max_pool2d(F.relu(self.norm(self.conv(x))), 2)


class Residual(nn.Module):
    """ResNet-12's block."""

    def __init__(self, channels, filters):
        super().__init__()
        for i in (1, 2, 3):
            setattr(self, f"conv{i}", nn.Conv2d(channels if i == 1 else filters, filters, 3, padding=1, bias=False))
            setattr(self, f"bn{i}", nn.BatchNorm2d(filters, track_running_stats=False))
        self.downsample = nn.Sequential(nn.Conv2d(channels, filters, 1, bias=False), nn.BatchNorm2d(filters, track_running_stats=False))

    def forward(self, x):
        y = F.leaky_relu(self.bn1(self.conv1(x)), 0.1)
        y = F.leaky_relu(self.bn2(self.conv2(y)), 0.1)
        return F.max_pool2d(F.leaky_relu(self.bn3(self.conv3(y)) + self.downsample(x), 0.1), 2)


def backbone(blocks, mean):
    net = nn.Sequential()
    for i, block in enumerate(blocks):
        net.add_module(f"layer{i + 1}", block if mean is False else nn.Sequential(block))
    names, shapes = zip(*((n, tuple(p.shape)) for n, p in net.named_parameters()))

    def call(x, *parameters):
        y = torch.func.functional_call(net, dict(zip(names, parameters)), (x,))
        return y.mean((2, 3)) if mean else y.flatten(1)
    return call, shapes


convnet, convnet_shapes = backbone([Block(2, 3, False), Block(3, 3, False)], False)
convnet_pool, convnet_pool_shapes = backbone([Block(2, 3, True), Block(3, 3, True)], False)
resnet, resnet_shapes = backbone([Residual(a, b) for a, b in ((1, 4), (4, 10), (10, 20), (20, 40))], True)
CASES = {
    "conv2d": (lambda x, w: F.conv2d(x, w, padding=1), [(2, 3, 6, 5), (4, 3, 3, 3)]),
    "conv2d_stride": (lambda x, w: F.conv2d(x, w, stride=2, padding=1), [(2, 3, 7, 6), (4, 3, 3, 2)]),
    "conv2d_dilation": (lambda x, w: F.conv2d(x, w, padding=(2, 1), dilation=2), [(2, 2, 7, 6), (3, 2, 2, 3)]),
    "conv2d_groups": (lambda x, w: F.conv2d(x, w, padding=1, groups=2), [(2, 4, 5, 5), (6, 2, 3, 3)]),
    "conv2d_large": (lambda x, w: F.conv2d(x, w, padding=1), [(2, 8, 7, 7), (8, 8, 3, 3)]),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2).square(), [(2, 3, 5, 6)]),
    "max_pool2d_overlapping": (lambda x: F.max_pool2d(x, 3, 2, 1).square(), [(2, 3, 5, 6)]),
    "max_pool2d_ties": (lambda x: F.max_pool2d(x, 3, 1).square(), [(2, 2, 5, 4)]),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2).square(), [(2, 3, 5, 6)]),
    "avg_pool2d_overlapping": (lambda x: F.avg_pool2d(x, 3, 2, 1).square(), [(2, 3, 5, 6)]),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.1).square(), [(3, 4)]),
    "batch_norm": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True, 0, 1e-5), [(4, 3, 3, 2), (3,), (3,)]),
    "batch_norm_flat": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True, 0, 1e-5), [(6, 3), (3,), (3,)]),
    "normalize": (lambda x, w, b: F.batch_norm(x, torch.tensor([0.5, -1.0, 2.0]), torch.tensor([0.3, 1.0, 4.0]), w, b, False, 0, 1e-5).square(), [(4, 3, 3, 2), (3,), (3,)]),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (2, 4), w, b, 1e-5), [(3, 2, 4), (2, 4), (2, 4)]),
    "group_norm": (lambda x, w, b: F.group_norm(x, 2, w, b, 1e-5), [(3, 4, 3, 2), (4,), (4,)]),
    "convnet": (convnet, [(4, 2, 9, 8), *convnet_shapes]),
    "convnet_pool_first": (convnet_pool, [(4, 2, 9, 8), *convnet_pool_shapes]),
    "resnet12": (resnet, [(3, 1, 16, 16), *resnet_shapes]),
}


SHORT = ("resnet12",)


def pattern(k, shape):
    """Numbers that C's sin gives as well."""
    return np.sin(0.7 + 1.3 * k + 0.61 * np.arange(np.prod(shape))).reshape(shape) * 1.2


def digest(k, value):
    """The product with a pattern, and the first six elements."""
    return torch.cat([(value.flatten() * torch.tensor(pattern(k, value.numel()))).sum()[None], value.flatten()[:6]])


def write(file, name, value):
    a = np.asarray(value.detach(), np.float64)
    file.write(f"{name} {a.ndim} {' '.join(map(str, a.shape))}\n" + " ".join("%.17g" % v for v in a.ravel()) + "\n")


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "layers")
    for number, (name, (call, shapes)) in enumerate(CASES.items()):
        r = np.random.default_rng(number)
        draw = (lambda s: r.integers(0, 3, s).astype(float)) if name.endswith("ties") else (lambda s: r.normal(0, 1, s))
        short = name in SHORT
        x = [torch.tensor(pattern(k, s) if short else draw(s)).requires_grad_() for k, s in enumerate(shapes)]
        y = call(*x)
        w = torch.tensor(r.normal(0, 1, tuple(y.shape)))
        v = [torch.tensor(pattern(100 + k, s) if short else r.normal(0, 1, s)) for k, s in enumerate(shapes)]
        g = torch.autograd.grad((w * y).sum(), x, create_graph=True)
        h = torch.autograd.grad(sum((a * b).sum() for a, b in zip(v, g)), x, allow_unused=True, materialize_grads=True)
        with open(f"{folder}/{name}.txt", "w") as file:
            for key, values in (("g", g), ("h", h)) if short else (("x", x), ("v", v), ("g", g), ("h", h)):
                for i, value in enumerate(values):
                    write(file, f"{key}{i}", digest(i, value) if short else value)
            write(file, "w", w)
            write(file, "y", y)
        print(name)


main()
