"""What a workload is held against: one line of the table of marks each. A mark is no test; nothing fails where it is not reached. Knows nothing of how
rows came about (run.py), nor of how they are shown (report.py)."""
from compare import median
from workloads import CONVOLUTIONS, convolution_name


def seconds(rows, workload, who, key):
    """Median, None where it was not measured."""
    row = rows.get(workload, {})
    if row.get("same", {}).get(who, {"same": True})["same"] is not True:
        return None
    return median(row.get("programs", {}).get(who, {}).get("times", {}).get(key, []))


def ratio(a, b):
    return a / b if a and b else None


def against(rows, workload, who, key):
    """How many times as fast as WHO."""
    return ratio(seconds(rows, workload, who, key), seconds(rows, workload, "ours", key))


def better_against(rows, workload, who, key):
    """The same of the better of two documented ways: on the default device, or in the calling thread; and which it is."""
    ours, called = (seconds(rows, workload, mine, key) for mine in ("ours", "called"))
    calling = bool(ours and called and called < ours)
    return ratio(seconds(rows, workload, who, key), called if calling else ours), "in the calling thread" if calling else "default device"


def peak_kb(rows, workload, who):
    return rows.get(workload, {}).get("programs", {}).get(who, {}).get("peak_kb")


def best_rates(rows):
    """{(m, k, n): flops per second}, the best anybody reached on that shape, either way round."""
    found, row = {}, rows.get("products", {})
    for name, m, k, n, *_ in row.get("shapes", []):
        rates = [2.0 * m * k * n / s for s in (median(p["times"].get(name, [])) for p in row["programs"].values()) if s]
        if rates:
            found[m, k, n] = found[n, k, m] = max(rates)
    return found


def products_alone(rows, products):
    """Seconds of PRODUCTS, [(times, m, k, n), …], each at the best rate measured; None where a shape was not measured."""
    rates = best_rates(rows)
    if not products or any((m, k, n) not in rates for _, m, k, n in products):
        return None
    return sum(times * 2.0 * m * k * n / rates[m, k, n] for times, m, k, n in products)


class Mark:
    """VALUE is at least (or, AT_MOST, at most) LEAST; None: not measured."""

    def __init__(self, work, what, value, least, at_most=False, unit=" x"):
        self.work, self.what, self.value, self.least, self.at_most, self.unit = work, what, value, least, at_most, unit

    @property
    def reached(self):
        return None if self.value is None else (self.value <= self.least if self.at_most else self.value >= self.least)

    def wanted(self):
        return f"{'≤' if self.at_most else '≥'} {self.least:g}{self.unit}"

    def measured(self):
        return "not measured" if self.value is None else f"{self.value:.3g}{self.unit}"


def product_marks(rows):
    found, row = [], rows.get("products", {})
    for name, m, k, n, *_ in row.get("shapes", []):
        for who, label, least in (("numpy", "OpenBLAS", 0.95), ("torch", "PyTorch", 4.0)):
            narrow = min(m, k, n) <= 16
            if who == "numpy" or narrow:
                found.append(Mark(f"{m} x {k} x {n}, {name}", label, against(rows, "products", who, name), least))
    return found


def convolution_marks(rows):
    return [Mark(f"3x3 convolution, {name}", "PyTorch", against(rows, "convolutions", "torch", name), 1.0)
            for name in (convolution_name(*one) for one in CONVOLUTIONS) if rows.get("convolutions")]


def compared_marks(rows, workload, work, key, higher, jax):
    return [Mark(work, label, against(rows, workload, who, key), least)
            for who, label, least in (("higher", "higher", higher), ("jax", "JAX", jax)) if least]


def work_marks(rows):
    found = []
    for workload, work, ends in (("linear", "linear, T = 100", None), ("mlp-20", "MLP, T = 20", None), ("mlp-100", "MLP, T = 100", None),
                                 ("mlp-100-fifth", "MLP, T = 100, a fifth of higher's memory", None)):
        steps = rows.get(workload, {}).get("facts", {}).get("steps", 0)
        loop, back = {"linear": ((4.5, 3), (4, 4)), "mlp-100-fifth": ((1.45, 1.3), (1.0, 1.25))}.get(workload, ((1.45, 1.3), (1.6, 2)))
        found += compared_marks(rows, workload, f"{work}: loop", "loop", *loop)
        found += compared_marks(rows, workload, f"{work}: backward at T", f"backward at {steps}", *back)
    for workload, work, most in (("mlp-100", "MLP, T = 100, everything kept", 2 / 3), ("mlp-100-fifth", "MLP, T = 100, budget", 0.2)):
        found.append(Mark(work, "of higher's peak memory", ratio(peak_kb(rows, workload, "ours"), peak_kb(rows, "mlp-100", "higher")), round(most, 3),
                          at_most=True, unit=""))
    return found


def per_step(rows, workload):
    steps = rows.get(workload, {}).get("facts", {}).get("steps")
    parts = [seconds(rows, workload, "ours", key) for key in ("loop", f"backward at {steps}")]
    return None if None in parts or not steps else sum(parts) / steps


def share_marks(rows, all_products):
    found = []
    for workload, label in (("linear", "linear, T = 100"), ("mlp-20", "MLP, T = 20"), ("mlp-100", "MLP, T = 100")):
        for key, products in all_products.get(workload, {}).items():
            steps = rows.get(workload, {}).get("facts", {}).get("steps")
            if key in ("loop", f"backward at {steps}"):
                found.append(Mark(f"{label}: {key}", "of the rate of its products alone",
                                  ratio(products_alone(rows, products), seconds(rows, workload, "ours", key)), 0.8, unit=""))
    return found


def above_interval(rows, workload):
    """Our accuracy at the last checkpoint, and the lower end of the peer's 95 % interval there."""
    curves = rows.get(workload, {}).get("curves", {})
    if not curves.get("hoisted"):
        return None, 0.0
    ours, his = curves["ours"][-1], curves["hoisted"][-1]
    return ours["accuracy"], round(his["accuracy"] - his["interval"], 4)


def all_marks(rows, all_products):
    found = product_marks(rows) + convolution_marks(rows) + work_marks(rows)
    found.append(Mark("MLP, T = 1000 within 256 MiB", "of the time per step of T = 100 with everything kept",
                      ratio(per_step(rows, "mlp-1000-256M"), per_step(rows, "mlp-100")), 1.5, at_most=True, unit=""))
    for workload, label in (("numerical", "numerical, T = 40"), ("feature-weights", "feature weights, T = 50")):
        for key in ("upper iteration", "of many in one call"):
            value, way = better_against(rows, workload, "jax", key)
            found.append(Mark(f"{label}: {key} ({way})", "JAX", value, 1.0))
    for workload, label in (("mnist", "MNIST as it comes"), ("mnist-no-truncation", "MNIST --no-truncation")):
        found.append(Mark(f"{label}: upper iteration", "higher", against(rows, workload, "higher", "upper iteration"), 4.0))
    for workload, label, least in (("few-shot-5-1", "few-shot, 5-way 1-shot", (2, 8, 4)), ("few-shot-20-5", "few-shot, 20-way 5-shot", (2.5, 12, 4))):
        for who, peer, wanted in zip(("hoisted", "naive", "jax"), ("higher, backbone taken out by hand", "higher, backbone in the loop", "JAX"), least):
            found.append(Mark(f"{label}: one task", peer, against(rows, workload, who, "task"), wanted))
    found.append(Mark("few-shot, T = 50", "of the time of T = 5", ratio(seconds(rows, "few-shot-5-1-T-50", "ours", "task"), seconds(rows, "few-shot-5-1", "ours", "task")),
                      1.3, at_most=True, unit=""))
    for workload, label in (("omniglot-5-1", "Omniglot, 5-way 1-shot"), ("omniglot-20-5", "Omniglot, 20-way 5-shot")):
        found.append(Mark(f"{label}: upper iteration of four tasks", "higher, backbone taken out by hand", against(rows, workload, "hoisted", "upper iteration"), 2.0))
        found.append(Mark(f"{label}: four tasks at once", "one task after another", against(rows, workload, "singly", "upper iteration"), 1.0))
        found.append(Mark(f"{label}: accuracy after as many iterations", "above the peer's, less its 95 % interval", *above_interval(rows, workload), unit=""))
    return found + share_marks(rows, all_products)
