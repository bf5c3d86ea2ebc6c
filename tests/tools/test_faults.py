"""Every OpenCL call of the tool made to fail, one a run (CLBILEVEL_FAULT): a sentence, exit status 1, no crash, and no leak where a sanitizer
looks. CLBILEVEL_FAULTS says how many calls of each run are tried, spread evenly over all of them; "all" tries every one (minutes)."""
import os
import unittest

from support import ToolTest

RUNS = {
    "numerical": ["numerical", "--iterations", 2, "--steps", 4],
    "hyper-cleaning": ["hyper-cleaning", "--train", 30, "--validation", 20, "--test", 10, "--iterations", 2, "--steps", 3],
    "hyper-cleaning, thinned snapshots": ["hyper-cleaning", "--train", 30, "--validation", 20, "--test", 10, "--iterations", 1, "--steps", 40,
                                          "--memory", "600K", "--no-truncation"],
    "few-shot": ["few-shot", "--image-size", 16, "--filters", 2, "--ways", 2, "--query", 2, "--tasks", 1, "--steps", 2, "--iterations", 2,
                 "--validate-every", 1, "--validate-tasks", 1, "--evaluate-tasks", 1],
}
WANTED = os.environ.get("CLBILEVEL_FAULTS", "12")


class Faults(ToolTest):
    def with_fault(self, call, arguments):
        return self.run_tool(*arguments, env={"CLBILEVEL_FAULT": str(call)})

    def count_calls(self, arguments):
        """How many calls a run makes: with the fault in one that is not made, it succeeds."""
        self.assertEqual(self.with_fault(0, arguments).returncode, 0)
        low, high = 0, 64  # low fails or is 0, high succeeds
        while self.with_fault(high, arguments).returncode != 0:
            low, high = high, 2 * high
            self.assertLess(high, 1 << 20)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.with_fault(middle, arguments).returncode != 0 else (low, middle)
        return low

    def try_calls(self, arguments):
        calls = self.count_calls(arguments)
        self.assertGreater(calls, 50)
        stride = 1 if WANTED == "all" else max(1, calls // int(WANTED))
        chosen = sorted({*range(1, calls + 1, stride), calls})
        for call in chosen:
            self.refuses(1, ["failed on device", "out of resources"], *arguments, env={"CLBILEVEL_FAULT": str(call)})
        return f"{len(chosen)} of {calls}"

    def test_runs(self):
        for name, arguments in RUNS.items():
            with self.subTest(name):
                print(f"{name}: {self.try_calls(arguments)} calls made to fail")


if __name__ == "__main__":
    unittest.main(verbosity=2)
