"""MOKA_LOG=passes: the graph before the pipeline and after every pass that changes something."""
# SPDX-License-Identifier: Apache-2.0

import os
import re
import subprocess
import sys

import moka

PROGRAM = """
import moka
from moka import _C
net = moka.nn.Sequential(moka.nn.Conv2d(1, 2, 3), moka.nn.BatchNorm2d(2), moka.nn.ReLU()).eval()
_C.Executable(moka.jit.trace(net, moka.ones(1, 1, 5, 5), check_trace=False).graph, optimize=True)
"""


def test_every_stage_is_shown():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "MOKA_LOG": "passes"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    stages = re.split(r"^moka: passes: ", done.stderr, flags=re.MULTILINE)[1:]
    assert stages[0].startswith("graph 'Sequential' before:\nmoka-ir 1\ngraph Sequential(")
    changed = {stage.split(":")[0]: stage for stage in stages[1:] if re.match(r"\w+: [1-9]", stage)}
    assert "= batch_norm(" in stages[0] and "= batch_norm(" not in changed["fold_batch_norm"]
    assert "= conv2d_fused(" in changed["fuse_activation"]
    for stage in changed.values():  # each is a whole program that reads back, where no tensor is kept apart
        text = stage.split(" changes:\n", 1)[1]
        if '@"' not in text:
            assert str(moka.parse_graph(text)) == text
    unchanged = [stage for stage in stages[1:] if re.match(r"\w+: 0 changes$", stage.strip())]
    assert len(changed) + len(unchanged) >= 8
