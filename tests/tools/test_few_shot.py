"""clbilevel few-shot: every option, the files of a run's folder, models read back, and what is refused."""
import json
import math
import os
import struct
import tarfile
import unittest
import zlib

from support import ToolTest

SMALL = ["--image-size", 16, "--filters", 4, "--ways", 3, "--query", 4, "--steps", 3, "--tasks", 2, "--iterations", 4, "--validate-every", 2,
         "--validate-tasks", 4, "--evaluate-tasks", 4]
BACKBONE = sum(4 * (4 if i else 1) * 9 + 4 + 4 + 4 for i in range(4))  # parameters of a conv4 of 4 filters


def read_safetensors(path):
    """The header without its metadata, the metadata, and the bytes of the arrays."""
    with open(path, "rb") as file:
        data = file.read()
    length = struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8:8 + length])
    return header, header.pop("__metadata__"), data[8 + length:]


def write_png(path, side, value):
    """Grey, SIDE pixels each way, of VALUE with a diagonal."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    rows = b"".join(b"\0" + bytes(255 - value if x == y else value for x in range(side)) for y in range(side))
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows)) +
                   chunk(b"IEND", b""))


class FewShot(ToolTest):
    def run_small(self, *options, name="run"):
        run = self.path(name)
        self.succeeds("few-shot", *SMALL, "--output", run, *options)
        return run

    def write_images(self, classes, images=5, side=20):
        for split in ("train", "val", "test"):
            for c in range(classes):
                folder = self.path(f"images/{split}/{split}{c}")
                os.makedirs(folder)
                for i in range(images):
                    write_png(f"{folder}/{i}.png", side, 20 * c + i)
        return self.path("images")

    def check_folder(self, run):
        rows, result, config = self.read_metrics(run), self.read_json(run, "result.json"), self.read_json(run, "config.json")
        tasks = config["iterations"] * config["tasks"]
        self.assertEqual(len(rows), config["iterations"])
        self.assertEqual(result["iterations"], config["iterations"])
        self.assertEqual(sum(result["max_loss_iter_histogram"].values()), tasks)
        at_once = max(b for b in range(1, config["batch"] + 1) if config["tasks"] % b == 0)
        self.assertEqual(result["waits"], tasks // at_once)  # one wait per lower loop
        self.assertEqual(result["upper_loss"], rows[-1]["upper_loss"])
        self.assertEqual(result["test_tasks"], config["evaluate_tasks"])
        self.assertTrue(0 <= result["test_accuracy"] <= 1)
        for row in rows:
            self.assertTrue(1 <= row["max_loss_iter"] <= config["steps"])
            self.assertGreaterEqual(row["upper_loss"], row["upper_loss_T"])
            measured = (row["iteration"] + 1) % config["validate_every"] == 0
            for key in ("train_accuracy", "validation_accuracy", "validation_interval"):
                self.assertEqual(row[key] is not None, measured, key)
        verdicts = [(row["validation_accuracy"], -row["iteration"]) for row in rows if row["validation_accuracy"] is not None]
        best = max(verdicts)  # the first of equals
        self.assertEqual((result["validation_accuracy"], result["chosen_iteration"]), (best[0], 1 - best[1]))
        self.assertEqual(read_safetensors(f"{run}/model.safetensors")[1]["upper_iterations"], str(result["chosen_iteration"]))
        self.assertFalse([name for name in os.listdir(run) if name.endswith(".tmp")])
        return rows, result

    def test_the_folder(self):
        run = self.run_small("--keep-tasks")
        _, result = self.check_folder(run)
        self.assertEqual((result["images"]["train_classes"], result["images"]["rotations"]), (4 * 128, 4))
        header, metadata, _ = read_safetensors(f"{run}/last.safetensors")
        self.assertEqual(len(header), 4 * 4 + 2)
        self.assertEqual(header["lower.head.weight"]["shape"], [3, 4])
        self.assertEqual(header["upper.layer2.conv.weight"]["shape"], [4, 4, 3, 3])
        self.assertEqual((metadata["block"], metadata["upper_iterations"]), ("conv-bn-relu-pool", "4"))
        kind, shape, _ = self.read_npy(run, "support_images.npy")
        self.assertEqual((kind, shape), ("|u1", (4, 2, 3, 16, 16, 1)))
        kind, shape, labels = self.read_npy(run, "query_labels.npy")
        self.assertEqual((kind, shape), ("<i4", (4, 2, 12)))
        for task in range(8):
            self.assertEqual(sorted(labels[12 * task:12 * (task + 1)]), [0] * 4 + [1] * 4 + [2] * 4)

    def test_every_option(self):
        for options in (["--lower", "all"], ["--block", "conv-relu-pool-bn"], ["--backbone", "resnet12", "--filters", 2, "--init-optimizer", "sgd"],
                        ["--no-truncation", "--init-rate", 0.01], ["--no-initialization-auxiliary", "--memory", "64M"],
                        ["--dtype", "double", "--gemm", "own"], ["--channels", 3, "--seed", 2], ["--no-rotations", "--device", "cpu"],
                        ["--lower-rate", 0.3, "--upper-rate", 0.01, "--shots", 2], ["--evaluate-steps", 6, "--evaluate-rate", 0.4]):
            with self.subTest(options=options):
                _, result = self.check_folder(self.run_small(*options))
                if "--no-truncation" in options:
                    self.assertEqual(result["max_loss_iter_histogram"], {"3": 8})

    def test_without_validation_the_last_model_is_chosen(self):
        run = self.run_small("--validate-every", 0)
        result = self.read_json(run, "result.json")
        self.assertEqual((result["chosen_iteration"], result["validation_accuracy"]), (4, None))
        self.assertEqual(read_safetensors(f"{run}/model.safetensors"), read_safetensors(f"{run}/last.safetensors"))

    def test_the_lower_rate_falls_as_a_cosine(self):
        rows, _ = self.check_folder(self.run_small("--cosine", "--lower-rate", 0.2))
        for i, row in enumerate(rows):
            self.assertAlmostEqual(row["lower_rate"], 0.02 + 0.18 * (1 + math.cos(math.pi * i / 4)) / 2)
        constant, _ = self.check_folder(self.run_small("--lower-rate", 0.2))
        self.assertEqual(rows[0]["upper_loss"], constant[0]["upper_loss"])
        self.assertNotEqual(rows[1]["upper_loss_T"], constant[1]["upper_loss_T"])

    def test_gradients_are_clamped(self):
        free, _ = self.check_folder(self.run_small())
        bound = free[0]["x_gradient_norm"] / 100
        for options, most in ((["--clamp", bound], bound), (["--clamp-per-task", bound], 2 * bound)):
            rows, _ = self.check_folder(self.run_small(*options))
            self.assertEqual(rows[0]["upper_loss"], free[0]["upper_loss"])
            self.assertAlmostEqual(rows[0]["z_gradient_norm"], free[0]["z_gradient_norm"], places=6)  # the head's is not
            self.assertLessEqual(rows[0]["x_gradient_norm"], most * math.sqrt(BACKBONE))
            self.assertLess(rows[0]["x_gradient_norm"], free[0]["x_gradient_norm"])
        wide, _ = self.check_folder(self.run_small("--clamp-per-task", 1e20))
        self.assertAlmostEqual(wide[-1]["upper_loss"], free[-1]["upper_loss"], places=5)

    def test_tasks_at_once_are_tasks_one_by_one(self):
        for lower, at_once in (("head", [["--batch", 1], []]),  # by default all four
                               ("all", [["--batch", 1], ["--batch", 3]])):  # as many as divide them: two
            rows = []
            for batch in at_once:
                run = self.run_small("--dtype", "double", "--lower", lower, "--tasks", 4, "--keep-tasks", *batch)
                rows.append((self.check_folder(run), self.read_npy(run, "support_images.npy")))
            (single, judged), images = rows[0]
            for (batch, result), kept in rows[1:]:
                self.assertEqual(kept, images)
                self.assertEqual(result["max_loss_iter_histogram"], judged["max_loss_iter_histogram"])
                self.assertAlmostEqual(result["test_accuracy"], judged["test_accuracy"], delta=1e-9)
                for one, row in zip(single, batch):
                    for key in one:
                        if one[key] is not None and not key.startswith("seconds"):
                            self.assertAlmostEqual(row[key], one[key], delta=1e-9 * max(1, abs(one[key])), msg=key)

    def test_a_batch_that_does_not_fit_is_halved(self):
        small = ["--dtype", "double", "--tasks", 8, "--steps", 60]
        single, _ = self.check_folder(self.run_small(*small, "--batch", 1, "--memory", "2M"))
        run = self.path("halved")
        told = self.run_tool("few-shot", *SMALL, *small, "--memory", "2M", "--output", run)
        self.assertEqual(told.returncode, 0, told.stderr)
        self.assertIn("8 training tasks at once do not fit into the memory", told.stderr)
        for one, row in zip(single, self.read_metrics(run)):
            self.assertAlmostEqual(row["x_gradient_norm"], one["x_gradient_norm"], delta=1e-9 * one["x_gradient_norm"])

    def test_the_same_seed_gives_the_same_bits(self):
        first, second, other = (self.run_small("--seed", seed, name=f"run{i}") for i, seed in enumerate((1, 1, 2)))
        rows, again = self.read_metrics(first), self.read_metrics(second)
        untimed = [k for k in rows[0] if not k.startswith("seconds")]
        self.assertEqual([[row[k] for k in untimed] for row in rows], [[row[k] for k in untimed] for row in again])
        self.assertEqual(read_safetensors(f"{first}/model.safetensors"), read_safetensors(f"{second}/model.safetensors"))
        self.assertNotEqual(rows[-1]["upper_loss"], self.read_metrics(other)[-1]["upper_loss"])

    def test_a_loaded_model_goes_on_to_the_same_bits(self):
        plain = ["--lower", "all", "--init-optimizer", "sgd", "--init-rate", 0.05]  # an optimizer without a state
        whole = self.run_small(*plain, name="whole")
        half = self.run_small(*plain, "--iterations", 2, name="half")
        rest = self.run_small(*plain, "--iterations", 2, "--load", f"{half}/last.safetensors", name="rest")
        self.assertEqual(read_safetensors(f"{whole}/last.safetensors"), read_safetensors(f"{rest}/last.safetensors"))
        self.assertEqual(self.read_json(rest, "result.json")["iterations_before"], 2)
        self.assertEqual([row["upper_loss"] for row in self.read_metrics(whole)][2:], [row["upper_loss"] for row in self.read_metrics(rest)])

    def test_a_loaded_model_is_judged_as_before(self):
        run = self.run_small()
        judged = self.run_small("--iterations", 0, "--load", f"{run}/model.safetensors", name="judged")
        for key in ("test_accuracy", "test_interval", "test_tasks"):
            self.assertEqual(self.read_json(run, "result.json")[key], self.read_json(judged, "result.json")[key])

    def test_models_that_do_not_fit(self):
        run = self.run_small()
        model = f"{run}/model.safetensors"
        for names, options in ((["lower.head.weight", "[3,4]"], ["--ways", 4]), (["layer1.conv.weight"], ["--filters", 5]),
                               (["conv-bn-relu-pool"], ["--block", "conv-relu-pool-bn"]), (["--lower head"], ["--lower", "all"]),
                               (["--backbone conv4"], ["--backbone", "resnet12"]), (["--seed 0"], ["--seed", 1])):
            self.refuses(1, ["--load", *names], "few-shot", *SMALL, "--load", model, *options)
        self.refuses(1, ["--load", "nowhere"], "few-shot", *SMALL, "--load", self.path("nowhere"))
        with open(model, "rb") as file:
            data = file.read()
        with open(self.path("short"), "wb") as file:
            file.write(data[:-5])
        self.refuses(1, ["--load", "short"], "few-shot", *SMALL, "--load", self.path("short"))

    def test_profile(self):
        self.check_profile(self.run_small("--profile"), {"step", "F", "sweep"})

    def test_folders_and_archives_of_images(self):
        images = self.write_images(classes=4)
        from_folder = self.run_small("--data", images)
        rows, result = self.check_folder(from_folder)
        self.assertEqual(result["images"], {"count": 60, "rotations": 4, "splits": "folders", "train_classes": 16, "validation_classes": 16,
                                            "test_classes": 16})
        with tarfile.open(self.path("images.tar.gz"), "w:gz") as archive:
            archive.add(images, "images")
        cache = {"XDG_CACHE_HOME": self.path("cache")}
        self.succeeds("few-shot", *SMALL, "--data", self.path("images.tar.gz"), "--output", self.path("packed"), env=cache)
        self.assertEqual([row["upper_loss"] for row in rows], [row["upper_loss"] for row in self.read_metrics(self.path("packed"))])

    def test_too_few_images(self):
        images = self.write_images(classes=3)
        few = [*SMALL, "--data", images, "--no-rotations"]
        self.refuses(2, ["4 ways", "3"], "few-shot", *few, "--ways", 4)
        self.refuses(2, ["5", "6"], "few-shot", *few, "--query", 5)
        self.refuses(2, ["ways"], "few-shot", *SMALL, "--ways", 600)

    def test_damaged_data(self):
        images = self.write_images(classes=3)
        self.refuses(1, ["--data", "nowhere"], "few-shot", *SMALL, "--data", self.path("nowhere"))
        with tarfile.open(self.path("whole.tar.gz"), "w:gz") as archive:
            archive.add(images, "images")
        with open(self.path("whole.tar.gz"), "rb") as file:
            data = file.read()
        with open(self.path("cut.tar.gz"), "wb") as file:
            file.write(data[:len(data) // 2])
        self.refuses(1, ["--data", "cut.tar.gz"], "few-shot", *SMALL, "--data", self.path("cut.tar.gz"))
        with open(self.path("images/train/train0/0.png"), "r+b") as file:
            file.seek(45)
            file.write(b"damage")
        self.refuses(1, ["--data", "train0/0.png"], "few-shot", *SMALL, "--data", images)
        os.mkdir(self.path("empty"))
        self.refuses(1, ["--data", "empty"], "few-shot", *SMALL, "--data", self.path("empty"))

    def test_wrong_words(self):
        self.assertIn("--clamp-per-task", self.succeeds("few-shot", "--help"))
        for names, options in ((["--ways", "1"], ["--ways", 1]), (["--shots", "0"], ["--shots", 0]), (["--channels", "2"], ["--channels", 2]),
                               (["--image-size", "15"], ["--image-size", 15]), (["--lower", "none"], ["--lower", "none"]),
                               (["--backbone", "vgg"], ["--backbone", "vgg"]), (["--clamp", "-1"], ["--clamp", -1]),
                               (["--batch", "--clamp-per-task"], ["--batch", 2, "--clamp-per-task", 1]),
                               (["--no-initialization-auxiliary"], ["--lower", "all", "--no-initialization-auxiliary"])):
            self.refuses(2, names, "few-shot", *options)
        self.refuses(1, ["budget"], "few-shot", *SMALL, "--memory", "100K")

    def test_a_loop_that_diverges_is_named_and_what_was_done_is_kept(self):
        run = self.path("run")
        self.refuses(1, ["upper iteration 0", "lower step"], "few-shot", *SMALL, "--lower", "all", "--lower-rate", 1e6, "--steps", 12, "--output", run)
        self.assertEqual(self.read_json(run, "result.json")["iterations"], 0)
        self.assertEqual(len(read_safetensors(f"{run}/first.safetensors")[0]), 18)


if __name__ == "__main__":
    unittest.main(verbosity=2)
