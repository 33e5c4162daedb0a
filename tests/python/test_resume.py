"""A training that is killed and resumed ends with the same bits as one that was left alone."""
# SPDX-License-Identifier: Apache-2.0

import os
import random
import signal
import subprocess
import sys
import time

import pytest

import moka

TRAINING = """
import os, sys, time
import numpy as np
import moka
from moka import nn, optim
from moka.data import DataLoader, Dataset, sample_random

class Noisy(Dataset):
    def __len__(self):
        return 96
    def __getitem__(self, index):
        noise = sample_random()
        point = np.array([index / 96 + 0.01 * noise.uniform()[0], (index % 7) / 7 - noise.uniform()[0]],
        np.float32)
        return point, index % 3

path, pause = sys.argv[1], float(sys.argv[2])
moka.manual_seed(11)
model = nn.Sequential(nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3))
optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
schedule = optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=36)
loader = DataLoader(Noisy(), batch_size=8, shuffle=True, num_workers=2)
if os.path.exists(path):
    state = moka.load(path)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    loader.load_state_dict(state["loader"])
    moka.set_rng_state(state["random"])
print("ready", flush=True)
while schedule.last_epoch < 36:
    for points, labels in loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(points), labels).backward()
        optimizer.step()
        schedule.step()
        moka.save({
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "loader": loader.state_dict(),
            "random": moka.get_rng_state(),
        }, path)
        time.sleep(pause)
"""


def bits(path):
    state = moka.load(path)
    return {name: value.numpy().tobytes() for name, value in state["model"].items()}


def train(path, pause=0.0):
    return subprocess.Popen([sys.executable, "-c", TRAINING, str(path), str(pause)], stdout=subprocess.PIPE)


def undisturbed(folder):
    whole = train(folder / "whole.ckpt")
    assert whole.wait(timeout=120) == 0
    return bits(folder / "whole.ckpt")


def train_with_kills(path, generator, kills):
    for _ in range(kills):
        program = train(path, pause=0.01)
        assert program.stdout.readline() == b"ready\n"
        time.sleep(generator.uniform(0.02, 0.15))
        program.send_signal(signal.SIGKILL)
        program.wait()
    assert train(path).wait(timeout=120) == 0
    return bits(path)


def test_resuming_gives_the_same_bits(tmp_path):
    generator = random.Random(os.getpid())
    assert train_with_kills(tmp_path / "killed.ckpt", generator, 3) == undisturbed(tmp_path)


@pytest.mark.slow
def test_resuming_gives_the_same_bits_20_times(tmp_path):
    generator = random.Random(os.getpid())
    expected = undisturbed(tmp_path)
    for turn in range(20):
        assert train_with_kills(tmp_path / f"{turn}.ckpt", generator, 2) == expected
