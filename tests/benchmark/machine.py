"""The machine and the versions that times were taken with. Knows nothing of workloads."""
import json
import os
import platform
import re
import subprocess

VERSIONS = """
import json, numpy, torch, higher, jax, importlib.metadata as m
numpy.ones((64, 64), "f") @ numpy.ones((64, 64), "f")
found = {"PyTorch": torch.__version__, "higher": m.version("higher"), "JAX": jax.__version__, "NumPy": numpy.__version__}
try:
    import threadpoolctl
    for pool in threadpoolctl.threadpool_info():
        if pool["internal_api"] == "openblas":
            found["OpenBLAS"] = f'{pool["version"]}, core type {pool["architecture"]}, {pool["num_threads"]} threads'
except ImportError:
    found["OpenBLAS"] = numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]["version"]
found["PyTorch capability"] = torch.backends.cpu.get_cpu_capability()
print(json.dumps(found))
"""


def run(*command, environment=None):
    """Standard output, "" where it failed."""
    try:
        return subprocess.run([str(c) for c in command], capture_output=True, text=True, check=True, timeout=120, env=environment).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def commit(root):
    """The short hash; with + where files differ from it."""
    hash_ = run("git", "-C", root, "rev-parse", "--short", "HEAD")
    return hash_ + ("+" if run("git", "-C", root, "status", "--porcelain", "--untracked-files=no", "--", "src", "cl", "include", "tools") else "")


def from_file(path, pattern):
    try:
        with open(path, encoding="utf-8") as file:
            found = re.search(pattern, file.read(), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1) if found else ""


def llvm():
    """Of the OpenCL implementation that is installed as a package."""
    found = re.findall(r"libLLVM-(\d+)|libllvm(\d+)", run("ldconfig", "-p") + run("dpkg-query", "-W", "-f", "${Depends}", "libpocl2"))
    versions = sorted({a or b for a, b in found}, key=int)
    return versions[-1] if versions else ""


def device(tool):
    """The facts of the first device, by `clbilevel devices`."""
    lines = run(tool, "devices").splitlines()
    facts = {"name": lines[0].partition(": ")[2]} if lines else {}
    for line in lines[1:]:
        if not line.startswith(" "):
            break
        key, _, value = line.strip().partition("  ")
        facts[key.strip()] = value.strip()
    return facts


def facts(place):
    environment = {name: value for name, value in os.environ.items() if name not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    found = {"processor": from_file("/proc/cpuinfo", r"^model name\s*: (.*)$") or platform.machine(), "cores": len(os.sched_getaffinity(0)),
             "family": "family {}, model {}".format(*(from_file("/proc/cpuinfo", rf"^{key}\s*: (.*)$") for key in ("cpu family", "model"))),
             "memory": f"{int(from_file('/proc/meminfo', r'^MemTotal: *([0-9]+) kB') or 0) / (1 << 20):.0f} GiB",
             "system": platform.release(), "device": device(place.build / "tools" / "clbilevel"), "LLVM": llvm()}
    versions = run(place.python, "-c", VERSIONS, environment=environment) if place.peers else ""
    found["versions"] = json.loads(versions) if versions else {}
    return found
