"""What is timed: every workload by name, with its programs, the products it consists of, and how long it may take. Knows nothing of how times are
taken (compare.py) or shown (report.py). A new workload is one entry of all_workloads()."""
import os
import pathlib

from compare import Program

HERE = pathlib.Path(__file__).resolve().parent
N, PIXELS, HIDDEN, CLASSES = 5000, 784, 300, 10


class Surroundings:
    """Where the build and the peers are, and whether this is only for trying out."""

    def __init__(self, build, python, quick=False):
        self.build, self.python, self.quick = pathlib.Path(build), pathlib.Path(python), quick
        self.peers = os.access(self.python, os.X_OK)

    def ours(self, who, program, *arguments, environment=None):
        return Program(who, [self.build / "tests" / "benchmark" / program, *arguments], environment)

    def peer(self, who, script, *arguments):
        """None where there is no environment of peers. A peer chooses for itself: settings of OpenBLAS from outside are taken away."""
        if not self.peers:
            return None
        environment = {"OPENBLAS_CORETYPE": None, "OPENBLAS_L2_SIZE": None}
        return Program(who, [self.python, HERE / "peers" / script, *arguments], environment)


class Workload:
    """PROGRAMS: a function of the surroundings and of the rows measured before. PRODUCTS: {time's name: [(times, m, k, n), …]}, all the products that
    the work cannot do without. RUNNER: compare.measure's stand-in where programs are no line-driven pair. WARM: kernels are built
    before, by a process of its own, so that peak memory is without the compiler. IN_DOUBLE: PROGRAMS takes a dtype as well, and results are compared in
    double, to TOLERANCE, before float is timed: where a choice (of a maximum, of a relu's side) hangs on the last bit, results in float differ by more than
    rounding, each as right as the other."""

    def __init__(self, name, title, programs=None, products=None, rounds=5, seconds=300, tolerance=1e-4, runner="compare", group="work", warm=False,
                 in_double=False, **facts):
        self.name, self.title, self.programs, self.products = name, title, programs, products or {}
        self.rounds, self.seconds, self.tolerance, self.runner, self.group = rounds, seconds, tolerance, runner, group
        self.warm, self.in_double, self.facts = warm, in_double, facts


# --- hyper-cleaning ---

def step_products(n, hidden):
    """Of one lower step, of one F, and of one step of the sweep with every intermediate kept: rows (how often, m, k, n)."""
    if not hidden:
        logits, gradient = (n, PIXELS, CLASSES), (PIXELS, n, CLASSES)
        return [(1, *logits), (1, *gradient)], [(1, *logits)], [(1, *logits), (1, *gradient)]
    wide, narrow = (n, PIXELS, hidden), (n, hidden, CLASSES)
    forward = [(1, *wide), (1, *narrow)]
    backward = [(1, hidden, n, CLASSES), (1, n, CLASSES, hidden), (1, PIXELS, n, hidden)]
    # along the direction: X Q1, H Q2 + (X Q1) W2; back: the gradient's own two narrow products each differentiated in both factors
    sweep = [(1, *wide), (2, *narrow), (2, hidden, n, CLASSES), (2, n, CLASSES, hidden), (1, PIXELS, n, hidden)]
    return forward + backward, forward, sweep


def products_of(n, hidden, steps, ends):
    step, loss, sweep = step_products(n, hidden)
    found = {"loop": [(steps * c, *shape) for c, *shape in step + loss]}
    for k in ends:
        found[f"backward at {k}"] = [(k * c, *shape) for c, *shape in sweep]
    return found


def hyper_cleaning(name, title, n=N, hidden=0, steps=100, ends=None, floats=True, peers=("higher", "jax"), memory=0, **more):
    ends = ends or sorted({1, max(1, steps // 2), steps})
    shape, at = (n, hidden, steps), ",".join(map(str, ends))

    def programs(place, rows):
        budget = memory(rows) if callable(memory) else memory
        if budget is None:
            return []
        found = [place.ours("ours", "bench_hyper_cleaning", *shape, at, "bytes", budget)]
        if floats:
            found.append(place.ours("floats", "bench_hyper_cleaning", *shape, at, "floats", budget))
        return found + [p for p in (place.peer(who, f"hyper_cleaning_{who}.py", *shape, at) for who in peers) if p]

    return Workload(name, title, programs, products_of(n, hidden, steps, ends), n=n, hidden=hidden, steps=steps, ends=ends, **more)


def fifth_of_higher(rows):
    """Bytes for the pool so that the process stays within a fifth of higher's peak: what it takes beside its pool is known from the row
    with everything kept. None: that row is not there."""
    try:
        programs = rows["mlp-100"]["programs"]
        beside = 1024 * programs["ours"]["peak_kb"] - programs["ours"]["counters"]["pool_bytes"]
        return max(1 << 20, int(1024 * programs["higher"]["peak_kb"] / 5 - beside))
    except (KeyError, TypeError):
        return None


def cleaning_workloads():
    return [
        hyper_cleaning("linear", "Hyper-cleaning, linear 784-10, 5,000 + 5,000 images, T = 100"),
        hyper_cleaning("mlp-20", "Hyper-cleaning, MLP 784-300-10, 5,000 + 5,000 images, T = 20", hidden=HIDDEN, steps=20),
        hyper_cleaning("mlp-100", "The same MLP, T = 100, everything kept", hidden=HIDDEN, steps=100, floats=False, seconds=900, warm=True),
        hyper_cleaning("mlp-100-fifth", "The same MLP, T = 100, within a fifth of higher's memory", hidden=HIDDEN, steps=100, floats=False,
                       memory=fifth_of_higher, seconds=900, warm=True),
        hyper_cleaning("mlp-1000-256M", "The same MLP, T = 1000, within 256 MiB", hidden=HIDDEN, steps=1000, ends=[1000], floats=False, peers=(),
                       memory=256 << 20, seconds=900),
    ]


# --- how cost grows ---

def growth_workloads():
    found = []
    for steps in (25, 50, 100, 200, 400):
        found.append(hyper_cleaning(f"linear-T-{steps}", f"linear, T = {steps}", steps=steps, ends=[steps], floats=False, group="growth in T", axis=steps))
    for n in (500, 1000, 2000, 5000, 10000, 20000):
        found.append(hyper_cleaning(f"linear-N-{n}", f"linear, N = {n}", n=n, steps=20, ends=[20], floats=False, group="growth in N", axis=n))
    for hidden in (30, 100, 300, 600, 1000):
        found.append(hyper_cleaning(f"mlp-width-{hidden}", f"MLP, {hidden} hidden units", hidden=hidden, steps=10, ends=[10], floats=False,
                                    group="growth in width", axis=hidden))
    for steps in (10, 25, 50, 100, 200):
        found.append(hyper_cleaning(f"mlp-memory-{steps}", f"MLP, memory at T = {steps}", hidden=HIDDEN, steps=steps, ends=[steps], floats=False,
                                    rounds=1, warm=True, group="memory in T", axis=steps))
    return found


# --- small problems ---

def small(name, title, problem, dtype, steps, iterations, peers, tolerance, **more):
    arguments = (problem, dtype, steps, iterations)

    def programs(place, rows):
        del rows
        called = place.ours("called", "bench_small", *arguments, environment={"POCL_DEVICES": "basic"})  # where PoCL is not the driver, the same once more
        return [place.ours("ours", "bench_small", *arguments), called] + [p for p in (place.peer(who, script, *arguments) for who, script in peers) if p]

    return Workload(name, title, programs, tolerance=tolerance, group="small", steps=steps, iterations=iterations, **more)


def small_workloads():
    jax, torch = ("jax", "small_jax.py"), ("torch", "numerical_torch.py")
    return [
        small("numerical", "The paper's numerical example, double, T = 40", "numerical", "double", 40, 200, (torch, jax), 1e-9),
        small("feature-weights", "One penalty per feature (examples/feature_weights.c), Adam below, float, T = 50", "feature-weights", "float", 50, 60,
              (jax,), 1e-4),
        small("feature-weights-double", "The same in double (compared over 20 upper iterations)", "feature-weights", "double", 50, 10, (jax,), 1e-8),
    ]


# --- few-shot learning ---

def few_shot(name, title, ways, shots, steps, filters=64):
    arguments = (ways, shots, 15, steps, filters)
    peers = (("hoisted", "few_shot_higher.py", (*arguments, "hoisted")), ("naive", "few_shot_higher.py", (*arguments, "naive")),
             ("jax", "few_shot_jax.py", arguments))

    def programs(place, rows, dtype="float"):
        del rows
        return [place.ours("ours", "bench_few_shot", *arguments, dtype)] + [p for p in (place.peer(*peer[:2], *peer[2], dtype) for peer in peers) if p]

    return Workload(name, title, programs, group="few-shot", rounds=15, tolerance=1e-8, in_double=True, steps=steps)


def few_shot_workloads():
    return [
        few_shot("few-shot-5-1", "One task, 5-way 1-shot, 15 queries, T = 5, ConvNet-4, 28x28", 5, 1, 5),
        few_shot("few-shot-20-5", "One task, 20-way 5-shot, 15 queries, T = 10, ConvNet-4, 28x28", 20, 5, 10),
        few_shot("few-shot-5-1-T-50", "One task, 5-way 1-shot, T = 50", 5, 1, 50),
    ]


CONVOLVED = (75, 80, 400)  # images
CONVOLUTIONS = [(n, channels, side, form) for n in CONVOLVED for channels, side in ((1, 28), (64, 14), (64, 7), (64, 3))
                for form in ("output", "to the image", "to the weight")]


def convolution_name(n, channels, side, form):
    """The name of its time."""
    return f"{n} x {channels} x {side}x{side}, {form}"


def convolutions():
    arguments = (",".join(map(str, CONVOLVED)),)

    def programs(place, rows):
        del rows
        return [place.ours("ours", "bench_convolutions", *arguments)] + [p for p in (place.peer("torch", "convolutions_torch.py", *arguments),) if p]

    return Workload("convolutions", "ConvNet-4's 3x3 convolutions, 64 outputs, three forms", programs, group="limits")


def omniglot_workloads():
    """Shown equal in double, timed in float."""
    return [
        Workload("omniglot-5-1", "Omniglot, 5-way 1-shot, four tasks an upper iteration, T = 10", runner="omniglot", seconds=900, group="omniglot", tolerance=1e-8,
                 checkpoints=[10, 25, 50, 100, 200], options=["--evaluate-tasks", "400"]),
        Workload("omniglot-20-5", "Omniglot, 20-way 5-shot, four tasks an upper iteration, T = 10, lower rate 1", runner="omniglot", seconds=1200, group="omniglot",
                 tolerance=1e-8, checkpoints=[10, 25, 50, 100],
                 options=["--ways", "20", "--shots", "5", "--lower-rate", "1", "--evaluate-tasks", "100"]),
    ]


# --- products, the real run ---

# name, m, k, n, A transposed, B transposed: C[m,n] = A[m,k] B[k,n]
SHAPES = [
    ("logits", N, PIXELS, CLASSES, False, True),
    ("gradient of the weights", PIXELS, N, CLASSES, True, False),
    ("gradient of the images", N, CLASSES, PIXELS, False, False),
    ("hidden layer", N, PIXELS, HIDDEN, False, True),
    ("logits of the hidden layer", N, HIDDEN, CLASSES, False, True),
    ("gradient of the hidden layer", N, CLASSES, HIDDEN, False, False),
    ("its weights' gradient", HIDDEN, N, CLASSES, True, False),
    ("hidden weights' gradient", PIXELS, N, HIDDEN, True, False),
    ("square", 1024, 1024, 1024, False, False),
]


def all_workloads():
    """In the order in which they run: what another needs comes before it."""
    return [
        Workload("peak", "What the device can do at most", lambda place, rows: [place.ours("ours", "bench_peak")], rounds=7, seconds=60, group="limits"),
        Workload("products", "Products at the workloads' shapes", runner="products", group="limits"),
        convolutions(),
        *cleaning_workloads(),
        *small_workloads(),
        *few_shot_workloads(),
        Workload("mnist", "MNIST, half of 4,000 labels wrong, 300 upper iterations of 50 steps, as it comes", runner="mnist", seconds=900, group="mnist",
                 options=[]),
        Workload("mnist-no-truncation", "The same with --no-truncation", runner="mnist", seconds=900, group="mnist", options=["--no-truncation"]),
        *omniglot_workloads(),
        *growth_workloads(),
    ]


QUICK = {"linear", "numerical", "peak", "products", "feature-weights", "mlp-20"}
