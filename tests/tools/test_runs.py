"""Runs of the tool: every option, and the files of a run's folder."""
import math
import os
import unittest

from support import ToolTest

SMALL = ["--train", 120, "--validation", 100, "--test", 60, "--iterations", 3, "--steps", 5]


class Numerical(ToolTest):
    def test_reaches_the_solution(self):
        run = self.path("run")
        self.succeeds("numerical", "--output", run)
        result = self.read_json(run, "result.json")
        self.assertLess(math.hypot(result["x"] - 11 * math.pi / 4, result["z"] + 2), 0.15)
        self.assertEqual(sum(result["max_loss_iter_histogram"].values()), 500)
        self.assertEqual(len(self.read_metrics(run)), 500)

    def test_every_option(self):
        for options in (["--no-projection"], ["--no-truncation"], ["--no-initialization-auxiliary"], ["--dtype", "float"], ["--gemm", "own"],
                        ["--gemm", "clblast"], ["--device", "0"], ["--device", "cpu"], ["--seed", 3], ["--memory", "64M"], ["--x0", 2, "--y0", -1],
                        ["--upper-rate", 0.01, "--lower-rate", 0.001], ["--preset", "paper"]):
            self.assertIn("distance", self.succeeds("numerical", "--iterations", 3, "--steps", 4, *options))

    def test_without_the_auxiliary_z_stays(self):
        run = self.path("run")
        self.succeeds("numerical", "--iterations", 5, "--no-initialization-auxiliary", "--y0", 1.5, "--output", run)
        self.assertEqual(self.read_json(run, "result.json")["z"], 1.5)

    def test_profile(self):
        run = self.path("run")
        text = self.succeeds("numerical", "--iterations", 5, "--steps", 7, "--profile", "--output", run)
        self.assertIn("time on the device", text)
        self.assertIn("measured peak", text)
        self.check_profile(run, {"other", "transfers"})

    def test_without_truncation_max_loss_iter_is_T(self):
        run = self.path("run")
        self.succeeds("numerical", "--iterations", 4, "--steps", 6, "--no-truncation", "--output", run)
        self.assertEqual(self.read_json(run, "result.json")["max_loss_iter_histogram"], {"6": 4})


class HyperCleaning(ToolTest):
    def run_small(self, *options):
        run = self.path("run")
        self.succeeds("hyper-cleaning", *SMALL, "--output", run, *options)
        return run

    def check_folder(self, run):
        rows, result, config = self.read_metrics(run), self.read_json(run, "result.json"), self.read_json(run, "config.json")
        self.assertEqual(len(rows), config["iterations"])
        self.assertEqual(result["iterations"], config["iterations"])
        self.assertEqual(sum(result["max_loss_iter_histogram"].values()), config["iterations"])
        self.assertEqual(result["waits"], config["iterations"])  # one wait per lower loop
        self.assertEqual(result["upper_loss"], rows[-1]["upper_loss"])
        for row in rows:
            self.assertTrue(1 <= row["max_loss_iter"] <= config["steps"])
            self.assertGreaterEqual(row["upper_loss"], row["upper_loss_T"])
            for key in ("test_accuracy", "test_accuracy_init", "precision", "recall", "f1", "f1_wrong"):
                self.assertTrue(0 <= row[key] <= 1, key)
        for key in ("peak_device_bytes", "recomputed_steps", "launches_per_step", "seconds_build", "seconds_loop", "seconds_backward"):
            self.assertIn(key, result)
        return rows, result

    def test_the_folder(self):
        run = self.run_small()
        self.check_folder(run)
        parts = [self.read_npy(run, f"{name}_indices.npy") for name in ("train", "validation", "test")]
        self.assertEqual([len(p[2]) for p in parts], [120, 100, 60])
        self.assertEqual(len(set(sum((p[2] for p in parts), ()))), 280)  # disjoint
        labels, given = self.read_npy(run, "labels.npy")[2], self.read_npy(run, "train_labels_corrupted.npy")[2]
        self.assertEqual(sum(labels[i] != g for i, g in zip(parts[0][2], given)), 60)  # exactly half
        self.assertEqual(self.read_npy(run, "z_fc1.weight.npy")[1], (10, 784))
        self.assertEqual(self.read_npy(run, "weights.npy")[1], (120,))
        self.assertFalse([name for name in os.listdir(run) if name.endswith(".tmp")])

    def test_every_option(self):
        for options in (["--model", "mlp", "--hidden", 12], ["--model", "mlp", "--activation", "relu"], ["--model", "mlp", "--activation", "tanh"],
                        ["--batch", 30], ["--no-truncation"], ["--no-initialization-auxiliary"], ["--warm-start"], ["--corruption", 0.25],
                        ["--corruption-mode", "uniform"], ["--corruption", 0], ["--memory", "64M"], ["--dtype", "double"], ["--gemm", "clblast"],
                        ["--gemm", "own"], ["--seed", 5], ["--device", "cpu"], ["--lower-rate", 0.2, "--upper-rate", 0.02, "--init-rate", 0.1]):
            with self.subTest(options=options):
                self.check_folder(self.run_small(*options))

    def test_profile(self):
        profile = self.check_profile(self.run_small("--profile"), {"step", "F", "F's gradient", "sweep", "checks", "objective", "other", "transfers"})
        steps = [row for row in profile["rows"] if row["part"] == "step" and row["what"] == "matmul 120x784x10"]
        self.assertEqual([row["launches"] for row in steps], [3 * 5])
        self.assertEqual(steps[0]["flops"], 3 * 5 * 2 * 120 * 784 * 10)
        text = self.succeeds("hyper-cleaning", *SMALL, "--profile")
        self.assertIn("matmul 120x784x10", text)

    def test_the_same_seed_gives_the_same_bits(self):
        first = self.run_small()
        rows, x = self.read_metrics(first), self.read_npy(first, "weights.npy")
        second = self.run_small()
        untimed = [k for k in rows[0] if not k.startswith("seconds")]
        self.assertEqual([[row[k] for k in untimed] for row in rows], [[row[k] for k in untimed] for row in self.read_metrics(second)])
        self.assertEqual(x, self.read_npy(second, "weights.npy"))
        other = self.run_small("--seed", 1)
        self.assertNotEqual(rows[-1]["upper_loss"], self.read_metrics(other)[-1]["upper_loss"])

    def test_replayed_loops_give_the_same_bits(self):
        first = self.run_small("--replay", "off")
        x = self.read_npy(first, "weights.npy")
        self.assertEqual(x, self.read_npy(self.run_small("--replay", "auto"), "weights.npy"))
        done = self.run_tool("hyper-cleaning", *SMALL, "--replay", "on", "--output", self.path("on"))
        if done.returncode == 0:
            self.check_folder(self.path("on"))
            self.assertEqual(x, self.read_npy(self.path("on"), "weights.npy"))
        else:  # the device cannot, and says so
            self.assertIn("cl_khr_command_buffer", done.stderr)

    def test_a_run_of_its_own_images_as_npy(self):
        built_in = self.run_small()
        run = self.path("again")
        self.succeeds("hyper-cleaning", *SMALL, "--data", built_in, "--output", run)
        self.check_folder(run)

    def test_a_long_loop_stays_within_its_memory(self):
        run = self.run_small("--steps", 400, "--iterations", 2, "--memory", "8M", "--no-truncation")
        _, result = self.check_folder(run)
        self.assertLessEqual(result["peak_device_bytes"], 8 << 20)
        self.assertGreater(result["recomputed_steps"], 0)

    def test_batches_are_kept(self):
        run = self.run_small("--batch", 7)
        kind, shape, values = self.read_npy(run, "batches.npy")
        self.assertEqual((kind, shape), ("<i4", (3, 5, 7)))
        self.assertTrue(all(0 <= v < 120 for v in values))


if __name__ == "__main__":
    unittest.main(verbosity=2)
