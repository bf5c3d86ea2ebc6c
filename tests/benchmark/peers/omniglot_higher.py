"""A run of `clbilevel few-shot --keep-tasks` repeated with PyTorch and `higher`, the backbone taken out of the loop by hand, on the run's own tasks and first models
(tools/compare_few_shot_with_higher.py reads them): a round goes on to the next of CHECKPOINTS, upper iterations with commas between, and writes the model there as
FOLDER/WHO_ITERATIONS.safetensors. usage: omniglot_higher.py RUN CHECKPOINTS WHO FOLDER"""
import json
import pathlib
import sys

import torch
from safetensors.torch import save_file

sys.path.append(str(pathlib.Path(__file__).resolve().parents[3] / "tools"))
import common
from compare_few_shot_with_higher import Problem

run, checkpoints, who, folder = sys.argv[1], [int(k) for k in sys.argv[2].split(",")], *sys.argv[3:5]
torch.set_num_threads(common.threads())
config = json.loads(pathlib.Path(run, "config.json").read_text(encoding="utf-8"))
problem, done = Problem(run, config), 0


def save(iterations):
    named = {f"upper.{n}": p for n, p in problem.upper.named_parameters()} | {f"lower.head.{n}": p for n, p in problem.lower.named_parameters()}
    save_file({name: p.detach().contiguous() for name, p in named.items()}, f"{folder}/{who}_{iterations}.safetensors",
              metadata={"backbone": "conv4", "block": config["block"], "lower": "head", "upper_iterations": str(iterations)})


def iterate(i):
    """(seconds of loops and sweeps, mean F at max_loss_iter, its mean) of one upper iteration; reading its tasks and the updates are not timed."""
    taken, losses, steps, sums = 0.0, [], [], None
    for t in range(config["tasks"]):
        task = problem.task(i, t)
        problem.task = lambda *_, task=task: task
        one, (k, loss, x, z) = common.seconds(lambda t=t: problem.solve_task(i, t))
        del problem.task
        taken += one
        losses.append(loss)
        steps.append(k)
        sums = x + z if sums is None else [a + b for a, b in zip(sums, x + z)]
    for p, g in zip(problem.x + problem.z, sums):
        p.grad = g
    problem.x_step.step()
    problem.z_step.step()
    return taken, sum(losses) / len(losses), sum(steps) / len(steps)


def one_round(first):
    global done
    del first
    until = next((k for k in checkpoints if k > done), done)
    each = [iterate(i) for i in range(done, until)]
    done = until
    save(done)
    return dict(times={"upper iteration": sum(one[0] for one in each) / max(1, len(each))}, each=[one[0] for one in each], losses=[one[1] for one in each],
                max_loss_iters=[one[2] for one in each])


common.rounds(one_round)
