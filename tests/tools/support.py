"""What the tests of the tool share: running it, and reading a run's folder."""
import csv
import json
import os
import shutil
import struct
import subprocess
import tempfile
import unittest

TOOL = os.environ["CLBILEVEL_TOOL"]


class ToolTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def run_tool(self, *arguments, env=None):
        return subprocess.run([TOOL, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200,
                              env={**os.environ, **(env or {})})

    def succeeds(self, *arguments, **options):
        done = self.run_tool(*arguments, **options)
        self.assertEqual(done.returncode, 0, f"{arguments}: {done.stderr}")
        return done.stdout

    def refuses(self, status, names, *arguments, **options):
        """Fails with STATUS and one sentence on stderr that holds every one of NAMES."""
        done = self.run_tool(*arguments, **options)
        self.assertEqual(done.returncode, status, f"{arguments}: status {done.returncode}, {done.stderr!r}")
        self.assertEqual(done.stderr.count("\n"), 1, f"{arguments}: not one line: {done.stderr!r}")
        self.assertTrue(done.stderr.startswith("clbilevel: "), done.stderr)
        for name in names:
            self.assertIn(name, done.stderr, f"{arguments}")

    def read_json(self, folder, name):
        with open(os.path.join(folder, name)) as file:
            return json.load(file)

    def check_profile(self, folder, parts):
        """The profile in result.json, which has every one of PARTS."""
        profile = self.read_json(folder, "result.json")["profile"]
        self.assertGreaterEqual({row["part"] for row in profile["rows"]}, parts)
        self.assertAlmostEqual(sum(row["share"] for row in profile["rows"]), 1)
        self.assertAlmostEqual(sum(row["seconds"] for row in profile["rows"]), profile["seconds"])
        for row in profile["rows"]:
            self.assertTrue(row["what"] and row["launches"] > 0 and row["seconds"] >= row["median_seconds"] >= 0, row)
            self.assertTrue(row["flops"] >= 0 and row["bytes"] >= 0 and row["share_of_peak_flops"] >= 0, row)
        for peak in profile["peak"].values():
            self.assertTrue(peak["flops_per_second"] > 0 and peak["bytes_per_second"] > 0, peak)
        return profile

    def read_metrics(self, folder):
        with open(os.path.join(folder, "metrics.csv")) as file:
            table = list(csv.DictReader(file))
        with open(os.path.join(folder, "metrics.jsonl")) as file:
            lines = [json.loads(line) for line in file]
        self.assertEqual(len(table), len(lines))
        for row, line in zip(table, lines):
            self.assertEqual(list(row), list(line))
            for key in row:
                if line[key] is None:
                    self.assertEqual(row[key], "nan", key)
                else:
                    self.assertEqual(float(row[key]), float(line[key]), key)
        return lines

    def read_npy(self, folder, name):
        """(type, shape, values) of a one-dimensional or larger little-endian array."""
        with open(os.path.join(folder, name), "rb") as file:
            data = file.read()
        self.assertEqual(data[:6], b"\x93NUMPY")
        length = struct.unpack_from("<H", data, 8)[0]
        header = eval(data[10:10 + length].decode(), {"__builtins__": {}})  # a literal dictionary, written by the tool under test
        code = {"<i4": "i", "<f4": "f", "<f8": "d", "|u1": "B"}[header["descr"]]
        body = data[10 + length:]
        values = struct.unpack(f"<{len(body) // struct.calcsize(code)}{code}", body)
        return header["descr"], header["shape"], values


def write_idx(path, shape, data):
    with open(path, "wb") as file:
        file.write(bytes([0, 0, 8, len(shape)]) + b"".join(struct.pack(">I", n) for n in shape) + bytes(data))
