"""Wrong use of the tool: the exit status, and one sentence that names what is wrong."""
import os
import re
import shutil
import unittest

from support import ToolTest, write_idx


class Usage(ToolTest):
    def test_help_and_version(self):
        self.assertIn("hyper-cleaning", self.succeeds("--help"))
        self.assertRegex(self.succeeds("--version"), r"^clbilevel \d+\.\d+\.\d+\n$")
        for command, option in (("devices", "--help"), ("numerical", "--lower-rate"), ("hyper-cleaning", "--no-truncation"), ("few-shot", "--shots"),
                                ("tune", "--dtype")):
            self.assertIn(option, self.succeeds(command, "--help"))
        self.assertIn("[0.0005]", self.succeeds("numerical", "--help"))

    def test_devices(self):
        self.assertIn("0: ", self.succeeds("devices"))

    def test_the_cpu_with_most_cores_is_the_default(self):
        both = {"POCL_DEVICES": "basic pthread"}  # PoCL's; elsewhere there may be one device, and nothing to choose
        listed = self.succeeds("devices", env=both)
        names, units = re.findall(r"^\d+: (.*)$", listed, re.M), [int(n) for n in re.findall(r"^ +units +(\d+)$", listed, re.M)]
        if "GPU" in listed or "CLBILEVEL_DEVICE" in os.environ:
            self.skipTest("the default is no CPU's")
        for chosen in ((), ("--device", "cpu")):
            self.succeeds("numerical", "--steps", 3, "--iterations", 1, "--output", self.path("run"), *chosen, env=both)
            self.assertEqual(self.read_json(self.path("run"), "result.json")["device"], names[units.index(max(units))])
            shutil.rmtree(self.path("run"))

    def test_wrong_words(self):
        self.refuses(2, ["command"])
        self.refuses(2, ["fly"], "fly")
        self.refuses(2, ["--fly"], "numerical", "--fly")
        self.refuses(2, ["stray"], "numerical", "stray")
        self.refuses(2, ["--steps", "value"], "numerical", "--steps")
        self.refuses(2, ["--preset", "newspaper"], "numerical", "--preset", "newspaper")

    def test_wrong_numbers(self):
        for value in ("0", "-1", "1.5", "ten", "", "10x", "99999999999999999999", "nan", "2e3"):
            self.refuses(2, ["--steps", value], "numerical", "--steps", value)
        for value in ("-1", "nan", "inf", "1e999", "fast", "1,5"):
            self.refuses(2, ["--lower-rate", value], "numerical", "--lower-rate", value)
        for value in ("-1", "64Q", "M", "1e300", "64MM"):
            self.refuses(2, ["--memory", value], "numerical", "--memory", value)
        for value in ("-0.1", "1.1", "nan"):
            self.refuses(2, ["--corruption", value], "hyper-cleaning", "--corruption", value)
        self.refuses(2, ["--x0", "11"], "numerical", "--x0", "11")
        self.refuses(2, ["--dtype", "half"], "numerical", "--dtype", "half")
        self.refuses(2, ["--model", "cubic"], "hyper-cleaning", "--model", "cubic")

    def test_too_many_examples(self):
        write_idx(self.path("t10k-images-idx3-ubyte"), [30, 2, 2], range(120))
        write_idx(self.path("t10k-labels-idx1-ubyte"), [30], [i % 3 for i in range(30)])
        self.refuses(2, ["--train", "30"], "hyper-cleaning", "--data", self.folder, "--train", 20, "--validation", 10, "--test", 1)
        self.refuses(2, ["--batch", "21"], "hyper-cleaning", "--train", 20, "--batch", 21)

    def test_damaged_data(self):
        few = ["--train", 10, "--validation", 5, "--test", 5]
        self.refuses(1, ["--data", self.folder], "hyper-cleaning", "--data", self.folder, *few)
        write_idx(self.path("t10k-images-idx3-ubyte"), [30, 2, 2], range(119))
        write_idx(self.path("t10k-labels-idx1-ubyte"), [30], [0] * 30)
        self.refuses(1, ["t10k-images"], "hyper-cleaning", "--data", self.folder, *few)
        write_idx(self.path("t10k-images-idx3-ubyte"), [30, 2, 2], range(121))
        self.refuses(1, ["t10k-images"], "hyper-cleaning", "--data", self.folder, *few)
        write_idx(self.path("t10k-images-idx3-ubyte"), [30, 2, 2], range(120))
        write_idx(self.path("t10k-labels-idx1-ubyte"), [29], [0] * 29)
        self.refuses(1, ["29"], "hyper-cleaning", "--data", self.folder, *few)

    def test_devices_that_are_not_there(self):
        self.refuses(1, ["--device", "99"], "numerical", "--device", "99")
        self.refuses(1, ["--device", "99"], "tune", "--device", "99")
        self.refuses(2, ["--dtype", "half"], "tune", "--dtype", "half")
        self.refuses(1, ["no such chip"], "numerical", "--device", "no such chip")
        self.refuses(1, ["elsewhere"], "numerical", env={"CLBILEVEL_DEVICE": "elsewhere"})
        os.mkdir(self.path("vendors"))
        self.refuses(1, ["no OpenCL device"], "numerical", env={"OCL_ICD_VENDORS": self.path("vendors")})
        self.refuses(1, ["no OpenCL device"], "devices", env={"OCL_ICD_VENDORS": self.path("vendors")})

    def test_a_budget_too_small(self):
        self.refuses(1, ["budget"], "numerical", "--memory", "1K")
        self.refuses(1, ["budget"], "hyper-cleaning", "--train", 200, "--validation", 200, "--test", 100, "--memory", "600K")

    def test_output_that_cannot_be_written(self):
        with open(self.path("file"), "w") as file:
            file.write("in the way")
        self.refuses(1, ["--output"], "numerical", "--iterations", 1, "--output", self.path("file"))
        self.refuses(1, ["--output"], "numerical", "--iterations", 1, "--output", self.path("no/such/folder"))

    def test_a_loop_that_diverges_is_named_and_saved(self):
        run = self.path("run")
        self.refuses(1, ["lower step"], "hyper-cleaning", "--train", 200, "--validation", 100, "--test", 50, "--iterations", 3, "--steps", 40,
                     "--model", "mlp", "--hidden", 20, "--lower-rate", 1e5, "--output", run)
        self.assertEqual(self.read_json(run, "result.json")["iterations"], 0)

    def test_configuration_files(self):
        def config(text):
            with open(self.path("c.json"), "w") as file:
                file.write(text)
            return self.path("c.json")
        self.refuses(2, ["--config", "none.json"], "numerical", "--config", self.path("none.json"))
        self.refuses(2, ["--config"], "numerical", "--config", config("{"))
        self.refuses(2, ["--config"], "numerical", "--config", config("[1]"))
        self.refuses(2, ["wings"], "numerical", "--config", config('{"wings": 2}'))
        self.refuses(2, ["steps"], "numerical", "--config", config('{"steps": "ten"}'))
        self.refuses(2, ["steps", "0"], "numerical", "--config", config('{"steps": 0}'))
        self.refuses(2, ["truncation"], "numerical", "--config", config('{"truncation": 1}'))
        run = self.path("run")
        self.succeeds("numerical", "--config", config('{"steps": 7, "lower_rate": 0.001, "truncation": false}'), "--steps", 9, "--iterations", 2,
                      "--output", run)
        resolved = self.read_json(run, "config.json")
        self.assertEqual((resolved["steps"], resolved["lower_rate"], resolved["truncation"], resolved["iterations"]), (9, 0.001, False, 2))


if __name__ == "__main__":
    unittest.main(verbosity=2)
