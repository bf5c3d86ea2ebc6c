"""The examples: each runs, exits with 0 and says what it found."""
import os
import re
import subprocess
import sys
import unittest


def run(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200)
    if done.returncode != 0:
        raise AssertionError(f"{command} exits with {done.returncode}: {done.stderr}")
    return done.stdout


class Examples(unittest.TestCase):
    def test_numerical(self):
        self.assertRegex(run(os.environ["EXAMPLE_numerical"]), r"x = \d\.\d+, z = -?\d\.\d+, F = ")

    def test_hyper_cleaning_finds_most_wrong_labels(self):
        (found, of), (kept, right) = (map(int, pair) for pair in re.findall(r"(\d+) of (\d+)", run(os.environ["EXAMPLE_hyper_cleaning"])))
        self.assertGreater(found, 0.6 * of)
        self.assertGreater(kept, 0.6 * right)

    def test_feature_weights_separates_the_features(self):
        useful, others = map(float, re.findall(r"-?\d+\.\d+", run(os.environ["EXAMPLE_feature_weights"])))
        self.assertLess(useful, others)

    def test_numerical_through_ctypes(self):
        if not os.environ.get("CLBILEVEL_LIBRARY"):
            self.skipTest("no shared library in this build")
        x = float(re.search(r"x = (\S+),", run(sys.executable, os.environ["EXAMPLE_python"], os.environ["CLBILEVEL_LIBRARY"]))[1])
        self.assertAlmostEqual(x, 8.6394, delta=0.15)


if __name__ == "__main__":
    unittest.main(verbosity=2)
