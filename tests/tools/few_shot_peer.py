"""Few-shot runs against what others make of them: F at every upper iteration by PyTorch with `higher`, in double, and the models as Python's
safetensors reads them. usage: few_shot_peer.py SOURCE_ROOT, with CLBILEVEL_TOOL; ends with the status of SKIP where no Python has them."""
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(ROOT / "tests/data"))
import python  # noqa: E402
python.reexec(ROOT, ["numpy", "torch", "higher", "safetensors"])
import numpy as np  # noqa: E402
from safetensors import safe_open  # noqa: E402

SMALL = ["--image-size", 16, "--filters", 6, "--ways", 4, "--shots", 2, "--query", 4, "--tasks", 2, "--iterations", 8, "--dtype", "double",
         "--validate-every", 0, "--evaluate-tasks", 0, "--keep-tasks"]
RUNS = {
    "head": ["--steps", 6],
    "everything": ["--lower", "all", "--steps", 3, "--lower-rate", 0.4],
    "clamped": ["--steps", 6, "--clamp-per-task", 0.02, "--clamp", 0.03, "--cosine", "--init-optimizer", "sgd", "--init-rate", 0.5],
}


def compare(folder, name, options):
    run = f"{folder}/{name}"
    command = [os.environ["CLBILEVEL_TOOL"], "few-shot", *SMALL, *options, "--output", run]
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL, timeout=300)
    print(f"{name}: {' '.join(map(str, options))}", flush=True)
    subprocess.run([sys.executable, ROOT / "tools/compare_few_shot_with_higher.py", run, "--iterations", "8", "--tolerance", "1e-10", "--threads", "1"],
                   check=True, timeout=300)
    return run


def check_models(run):
    """The last model differs from the first in every parameter, and both read as doubles of the shapes they should have."""
    with safe_open(f"{run}/first.safetensors", "numpy") as first, safe_open(f"{run}/last.safetensors", "numpy") as last:
        assert last.metadata()["tool"] == "clbilevel few-shot" and last.metadata()["upper_iterations"] == "8", last.metadata()
        assert first.keys() == last.keys() and len(list(last.keys())) == 4 * 4 + 2
        for name in last.keys():
            before, after = first.get_tensor(name), last.get_tensor(name)
            assert after.dtype == np.float64 and before.shape == after.shape and np.isfinite(after).all(), name
            assert not np.array_equal(before, after), name
        assert last.get_tensor("lower.head.weight").shape == (4, 6)
    print("safetensors reads the models")


def main():
    with tempfile.TemporaryDirectory() as folder:
        runs = [compare(folder, name, options) for name, options in RUNS.items()]
        check_models(runs[0])


main()
