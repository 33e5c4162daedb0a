"""Checkpoints under kill -9, at every system call and at random moments: the old or the new one is there,
whole.
"""
# SPDX-License-Identifier: Apache-2.0

import os
import random
import signal
import subprocess
import sys
import time

import pytest

import moka

WRITER = """
import itertools, sys
import moka
for step in itertools.count(int(sys.argv[2])):
    moka.save({"step": step, "w": moka.full((200000,), float(step)), "b": [moka.full((7,), float(step))]},
    sys.argv[1])
    if step == int(sys.argv[2]):
        print("ready", flush=True)
"""

# Counts the system calls of a save through an audit-free shim, and dies at the one that is asked for.
DYING = """
import os, sys
import moka
from moka import atomic
path, last = sys.argv[1], int(sys.argv[2])
count = 0
def dying(real):
    def call(*args, **kwargs):
        global count
        count += 1
        if count == last:
            os.kill(os.getpid(), 9)
        return real(*args, **kwargs)
    return call
for name in ("open", "write", "fsync", "replace", "close", "fchmod", "listdir", "unlink"):
    setattr(atomic.os, name, dying(getattr(os, name)))
moka.save({"step": 2, "w": moka.full((200000,), 2.0), "b": [moka.full((7,), 2.0)]}, path)
"""


def check_whole(path):
    """The step of the checkpoint, after seeing that nothing in it is of another step."""
    found = moka.load(path)
    step = found["step"]
    assert found["w"].min().item() == found["w"].max().item() == float(step)
    assert found["b"][0].tolist() == [float(step)] * 7
    return step


def kill_writers(path, kills):
    generator = random.Random(os.getpid())
    moka.save({"step": 0, "w": moka.zeros(200000), "b": [moka.zeros(7)]}, path)
    step = 0
    for _ in range(kills):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(step + 1)], stdout=subprocess.PIPE
        )
        assert writer.stdout.readline() == b"ready\n"
        time.sleep(generator.uniform(0.0, 0.06))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        now = check_whole(path)
        assert now > step
        step = now
    assert step > 0
    moka.save(
        {"step": step + 1, "w": moka.full((200000,), step + 1.0), "b": [moka.full((7,), step + 1.0)]}, path
    )
    assert check_whole(path) == step + 1 and os.listdir(path.parent) == [path.name]


def test_a_writer_killed_at_any_moment_leaves_a_whole_checkpoint(tmp_path):
    kill_writers(tmp_path / "run.ckpt", 20)


@pytest.mark.slow
def test_the_same_200_times(tmp_path):
    kill_writers(tmp_path / "run.ckpt", 200)


def test_a_writer_killed_at_any_system_call_leaves_the_old_or_the_new(tmp_path):
    path = tmp_path / "run.ckpt"
    seen = set()
    for last in range(1, 100):
        moka.save({"step": 1, "w": moka.ones(200000), "b": [moka.ones(7)]}, path)
        done = subprocess.run([sys.executable, "-c", DYING, str(path), str(last)])
        seen.add(check_whole(path))
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
    assert seen == {1, 2} and last > 8
    moka.save({"step": 3, "w": moka.full((200000,), 3.0), "b": [moka.full((7,), 3.0)]}, path)
    assert check_whole(path) == 3 and os.listdir(tmp_path) == ["run.ckpt"]
