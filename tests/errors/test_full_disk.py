"""A disk that is full: every writer says so, and the file that was there before is there still, whole."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import functools
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import moka

# Writes a small file, then a large one onto it, which fails; then the small one again, which works.
PROGRAM = """
import os, subprocess, sys
import numpy as np
import moka
kind, folder, sources, command = sys.argv[1:]
os.chdir(folder)

def network(width):
    return moka.jit.trace(moka.nn.Linear(width, width, bias=False).eval(), moka.ones(1, width))

def convert(name, width):
    words = [command, "convert", f"{sources}/{width}.moka", name]
    result = subprocess.run(words, capture_output=True, text=True)
    if result.returncode:
        raise OSError(result.stderr)

def export(width):
    moka.caffe2.export(network(width), None, "init_net.pb", "predict_net.pb")

WRITERS = {
    "checkpoint": lambda n: moka.save({"w": moka.ones(n, n)}, "run.ckpt"),
    "safetensors": lambda n: moka.safetensors.save_file({"w": moka.ones(n, n)}, "w.safetensors"),
    "package": lambda n: network(n).save("model.moka"),
    "onnx": lambda n: moka.onnx.export(network(n), "model.onnx"),
    "netdef": export,
    "convert": lambda n: convert("again.onnx", n),
}
write = WRITERS[kind]
write(8)
before = {entry: open(entry, "rb").read() for entry in os.listdir(".")}
try:
    write(400)  # 640 kB
except OSError as error:
    print(error)
else:
    print("no error")
after = {entry: open(entry, "rb").read() for entry in os.listdir(".")}
print("untouched" if after == before else f"changed: {sorted(before)} became {sorted(after)}")
write(8)
print("writes again")
"""
KINDS = ("checkpoint", "safetensors", "package", "onnx", "netdef", "convert")
SIZE = 256 * 1024
COMMAND = Path(os.environ["MOKA_BUILD"], "bin", "moka")


@functools.cache
def small_disk() -> tuple[str, ...]:
    """A command that runs another on a file system of 256 kB; empty where that is not allowed."""
    mount = f'mount -t tmpfs -o size={SIZE} none "$1" && shift && exec "$@"'
    wrapper = ("unshare", "-rm", "sh", "-c", mount, "sh")
    try:
        allowed = subprocess.run([*wrapper, "/mnt", "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        allowed = False
    return wrapper if allowed else ()


def short_files() -> None:
    """Files of this process end at 256 kB, with an error and no signal."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE, SIZE))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", ["disk", "file size"])
def test_the_old_file_survives(kind, limit, tmp_path):
    disk_folder, sources = tmp_path / "disk", tmp_path / "sources"
    disk_folder.mkdir()
    sources.mkdir()
    for width in (8, 400):
        linear = moka.nn.Linear(width, width, bias=False).eval()
        moka.jit.trace(linear, moka.ones(1, width)).save(sources / f"{width}.moka")
    words = [sys.executable, "-c", PROGRAM, kind, str(disk_folder), str(sources), str(COMMAND)]
    # Where no file system can be made, the limit of a file's size stands in for it: the same calls fail.
    disk = small_disk() if limit == "disk" else ()
    if disk:
        words = [*disk, str(disk_folder), *words]
    result = subprocess.run(
        words, capture_output=True, text=True, timeout=60, preexec_fn=None if disk else short_files
    )
    assert result.returncode == 0, result.stdout + result.stderr
    *error, state, end = result.stdout.strip().splitlines()
    reason = "No space left on device" if disk else "File too large"
    assert reason in error[0] and "the old file is as it was" in error[0], result.stdout
    assert (state, end) == ("untouched", "writes again")


def test_arrays_that_do_not_fit_leave_the_old_one(tmp_path):
    moka.jit.trace(moka.relu, moka.ones(1, 40000)).save(tmp_path / "model.moka")
    np.save(tmp_path / "x.npy", np.ones((4, 40000), np.float32))
    (tmp_path / "y.npy").write_bytes(b"old")
    command = [str(COMMAND), "run", "model.moka", "-i", "x.npy", "-o", "y.npy"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, preexec_fn=short_files)
    assert result.returncode == 1
    assert result.stderr == "moka: y.npy: cannot be written: File too large; the old file is as it was\n"
    assert (tmp_path / "y.npy").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.moka", "x.npy", "y.npy"]
