"""bench_convolutions' forms by PyTorch (oneDNN), from its files: each in both layouts, channels first and channels last, the operands in that layout
already; the faster counts. usage: convolutions_torch.py IMAGES,... WHO FOLDER"""
import statistics
import sys

import torch

import common

RUNS, CHANNELS, SIDES = 5, (1, 64, 64, 64), (28, 14, 7, 3)
sizes, folder = [int(n) for n in sys.argv[1].split(",")], common.Folder(*sys.argv[2:4])
torch.set_num_threads(common.threads())
LAYOUTS = (torch.contiguous_format, torch.channels_last)
data = [[torch.tensor(folder.load(f"{which}{layer}")) for which in "xwg"] for layer in range(4)]


def run(kind, x, w, g):
    if kind == 0:
        return torch.conv2d(x, w, None, 1, 1)
    wanted = [kind == 1, kind == 2, False]
    return torch.ops.aten.convolution_backward(g, x, w, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, wanted)[kind - 1]


def timed(kind, operands):
    """(the median's seconds, result) in the faster layout."""
    found = []
    for layout in LAYOUTS:
        x, w, g = (t.contiguous(memory_format=layout) for t in operands)
        result = run(kind, x, w, g)
        found.append((statistics.median(common.seconds(lambda: run(kind, x, w, g))[0] for _ in range(RUNS)), result))
    return min(found, key=lambda one: one[0])


def save(name, kind, result):
    """As bench_convolutions does: of images the first and the sum over all, channels last."""
    kept = result.double()
    if kind != 2:
        kept = kept.permute(0, 2, 3, 1).flatten(1)
        kept = torch.stack((kept[0], kept.sum(0)))
    folder.save(name, kept.reshape(1 if kind == 2 else 2, -1).numpy())


def one_round(first):
    times = {}
    for n in sizes:
        for layer, (x, w, g) in enumerate(data):
            for kind, name in enumerate(("output", "to the image", "to the weight")):
                times[f"{n} x {CHANNELS[layer]} x {SIDES[layer]}x{SIDES[layer]}, {name}"], result = timed(kind, (x[:n], w, g[:n]))
                if first:
                    save(f"{layer}_{kind}_{n}", kind, result)
    return dict(times=times)


common.rounds(one_round)
