"""moka annotate: a program's lines with what they cost and what keeps them from capture."""
# SPDX-License-Identifier: Apache-2.0

import json
import subprocess
import sys

PROGRAM = """import sys
import moka
from moka import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        y = self.layer(x)
        if y.sum() > 0:
            y = y * 2
        return y.tanh()


net = Net()
print(sys.argv[1], net(moka.ones(2, 4)).shape)
"""


def annotate(tmp_path, text, *options, arguments=("word",)):
    path = tmp_path / "program.py"
    path.write_text(text)
    command = [sys.executable, "-m", "moka", "annotate", *options, str(path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_lines_tell_shapes_kernels_and_what_keeps_them_from_capture(tmp_path):
    done = annotate(tmp_path, PROGRAM)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("word (2, 3)") or done.stdout.startswith("word moka.Size([2, 3])")
    lines = done.stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if line.endswith("y = self.layer(x)"))
    assert "linear" in lines[at] and "24 B" in lines[at]
    assert lines[at + 1].strip() == "^ float32[2, 4], float32[3, 4], float32[3]"
    branch = next(i for i, line in enumerate(lines) if line.endswith("if y.sum() > 0:"))
    notes = [line for line in lines[branch + 1 : branch + 6] if "! not captured" in line]
    assert len(notes) == 1 and "looks at a tensor's value" in notes[0]


def test_json_has_the_same(tmp_path):
    done = annotate(tmp_path, PROGRAM, "--json", "-o", str(tmp_path / "out.json"))
    assert done.returncode == 0, done.stderr
    lines = json.loads((tmp_path / "out.json").read_text())["program.py"]
    assert lines["12"]["calls"] == 1 and lines["12"]["flop"] == 48 and lines["12"]["made"] == 24
    assert lines["13"]["not_captured"] and not lines["12"]["not_captured"]


def test_programs_that_fail_are_annotated_up_to_there(tmp_path):
    done = annotate(tmp_path, "import moka\nx = moka.ones(3)\nx + moka.ones(4)\n")
    assert done.returncode == 1 and "RuntimeError" in done.stderr
    assert any(line.endswith("2  x = moka.ones(3)") and "ones" in line for line in done.stdout.splitlines())
    assert annotate(tmp_path, "import sys\nsys.exit(3)\n").returncode == 3


def test_programs_for_torch_run_too(tmp_path):
    done = annotate(tmp_path, "import torch\nprint(torch.ones(2).tanh().sum().item())\n", "--torch")
    assert done.returncode == 0, done.stderr
    assert "tanh" in done.stdout or "sum" in done.stdout
