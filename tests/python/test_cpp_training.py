"""examples/cpp/train.cpp trains the demo's network as Python does, from the same weights file."""
# SPDX-License-Identifier: Apache-2.0

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import moka
from moka import nn, optim, safetensors

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples" / "demo"))


@pytest.fixture(scope="module")
def program(build) -> Path:
    return build / "tests" / "train_example"


@pytest.fixture
def task(tmp_path):
    """Random images with labels, and the file that holds them."""
    generator = np.random.default_rng(5)
    images = moka.tensor(generator.standard_normal((300, 1, 12, 12)), dtype=moka.float32)
    labels = moka.tensor(generator.integers(0, 10, 300))
    path = tmp_path / "data.safetensors"
    tensors = {"images": images, "labels": labels, "test_images": images[:40], "test_labels": labels[:40]}
    safetensors.save_file({name: tensor.clone() for name, tensor in tensors.items()}, path)
    return images, labels, path


def run(*command) -> subprocess.CompletedProcess:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True)


def test_losses_and_trained_weights_are_those_of_python(program, task, tmp_path):
    from model import SmallNet

    images, labels, data = task
    net = SmallNet(12)
    safetensors.save_file(net.state_dict(), tmp_path / "initial.safetensors")
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.1, total_steps=6, pct_start=0.25, cycle_momentum=False
    )
    losses = []
    for _ in range(2):
        for first in range(0, 300, 128):
            optimizer.zero_grad()
            batch = slice(first, first + 128)
            loss = nn.functional.cross_entropy(net(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
    trained = tmp_path / "trained.safetensors"
    options = ("--weights", tmp_path / "initial.safetensors", "--epochs", 2, "--out", trained)
    result = run(program, data, *options)
    assert result.returncode == 0, result.stderr
    printed = [float(text) for text in re.findall(r"loss (\S+)", result.stdout)]
    np.testing.assert_allclose(printed, [losses[0], losses[2], losses[3], losses[5]], rtol=1e-5)
    state = safetensors.load_file(trained)
    assert state.keys() == net.state_dict().keys()
    for name, tensor in net.state_dict().items():
        np.testing.assert_allclose(state[name].numpy(), tensor.numpy(), rtol=1e-4, atol=1e-6, err_msg=name)


def test_weights_that_do_not_fit_are_named(program, task, tmp_path):
    from model import SmallNet

    state = dict(SmallNet(12, channels=8).state_dict())
    del state["output.bias"]
    safetensors.save_file(state, tmp_path / "other.safetensors")
    result = run(program, task[2], "--weights", tmp_path / "other.safetensors")
    assert result.returncode == 1
    assert "output.bias is missing" in result.stderr
    assert "conv1.weight has shape [8, 1, 3, 3], but the module's has [16, 1, 3, 3]" in result.stderr
