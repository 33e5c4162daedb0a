"""Ctrl-C in the middle of training: the program ends at once, says little, and the checkpoint is whole."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest

import moka

TRAINING = """
import sys
import moka
from moka import nn
from moka.data import DataLoader, TensorDataset

moka.manual_seed(0)
model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
optimizer = moka.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
images, labels = moka.randn(512, 64), moka.randint(10, (512,))
loader = DataLoader(TensorDataset(images, labels), batch_size=32, shuffle=True, num_workers=int(sys.argv[2]))
step = 0
while True:
    for x, y in loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        step += 1
        mark = moka.full((1000,), float(step))
        state = {"step": step, "mark": mark, "model": model.state_dict(), "again": mark.clone()}
        moka.save(state, sys.argv[1])
        if step == 1:
            print("ready", flush=True)
"""


def hear_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a test in the background inherits an ignored one


@pytest.mark.parametrize("workers", [0, 2])
def test_the_checkpoint_is_whole_whenever_it_comes(workers, tmp_path):
    dice = random.Random(os.getpid())
    path = tmp_path / "run.ckpt"
    last = 0
    for _ in range(8):
        program = subprocess.Popen(
            [sys.executable, "-c", TRAINING, str(path), str(workers)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=hear_ctrl_c,
        )
        assert program.stdout.readline() == "ready\n"
        time.sleep(dice.uniform(0, 0.2))
        program.send_signal(signal.SIGINT)
        begin = time.monotonic()
        _, errors = program.communicate(timeout=30)
        assert time.monotonic() - begin < 5
        assert program.returncode == -signal.SIGINT, errors
        assert errors.count("Traceback") == 1 and errors.rstrip().endswith("KeyboardInterrupt"), errors
        state = moka.load(path)
        assert state["mark"].min() == state["mark"].max() == state["again"].min() == state["step"] >= 1
        assert os.listdir(tmp_path) == ["run.ckpt"]
        last = max(last, state["step"])
    assert last > 1
