"""Damaged copies of every file that the demo writes: a clear answer, never a crash, a hang or much memory.

MOKA_SEED chooses other copies, MOKA_MUTATIONS how many of each file. Copies that do harm are kept in
build/fuzz/crashes.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import queue
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import moka

from .mutations import KINDS, mutate

ROOT = Path(__file__).resolve().parents[2]
SEED = int(os.environ.get("MOKA_SEED", "0"))
COUNT = int(os.environ.get("MOKA_MUTATIONS", "2000"))
SECONDS = 5.0  # more is a hang
MEGABYTES = 1024  # resident; more is a bomb
ROOM = 16 << 30  # of address space: what asks for more gets no memory, on every machine alike
WORKERS = len(os.sched_getaffinity(0))

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> Path:
    """What the demo writes, of a narrow network: little of the files is weights."""
    folder = tmp_path_factory.mktemp("originals")
    sys.path.insert(0, str(ROOT / "examples" / "demo"))
    try:
        from model import SmallNet
    finally:
        sys.path.pop(0)
    moka.manual_seed(0)
    net = SmallNet(8, channels=2, hidden=4).eval()
    frozen = moka.jit.freeze(moka.jit.trace(net, moka.zeros(2, 1, 8, 8), output_names=["logits"]))
    frozen.save(folder / "model.moka")
    moka.onnx.export(frozen, None, folder / "model.onnx")
    moka.caffe2.export(frozen, None, folder / "init_net.pb", folder / "predict_net.pb")
    moka.safetensors.save_file(net.state_dict(), folder / "weights.safetensors")
    optimizer = moka.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    net(moka.ones(1, 1, 8, 8)).sum().backward()
    optimizer.step()
    run = {"model": net.state_dict(), "optimizer": optimizer.state_dict(), "losses": [2.5, 1.25]}
    moka.save({"run": run, "loader": {"seed": 7, "epoch": 1}, "random": (1, 2)}, folder / "training.ckpt")
    return folder


def keep(kind: str, index: int, data: bytes, why: str) -> str:
    """Writes a copy that did harm where ./dev fuzz keeps such inputs; the line that a person reads."""
    folder = ROOT / "build" / "fuzz" / "crashes"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{kind}-{SEED}-{index}"
    path.write_bytes(data)
    return f"{path.relative_to(ROOT)}: {why}"


def limit_room() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ROOM, ROOM))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def lines_of(program: subprocess.Popen) -> Iterator[str | None]:
    """The lines that a program prints; None when one takes too long to come."""
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in program.stdout:
            lines.put(line)
        lines.put("")

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=12 * SECONDS)  # twice the limit of one copy, and a slow start
        except queue.Empty:
            yield None
            return
        if not line:
            return
        yield line


def attack_loader(kind: str, original: Path, first: int, last: int, scratch: Path) -> list[str]:
    """Copies first to last - 1 through Python's loader; what went wrong. Workers that die start again."""
    data, found = original.read_bytes(), []
    while first < last:
        words = [
            sys.executable,
            str(Path(__file__).with_name("mutations.py")),
            kind,
            str(original),
            str(SEED),
        ]
        words += [str(first), str(last), str(scratch)]
        worker = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=limit_room
        )
        at, told = first, False
        for line in lines_of(worker):
            if line is None:
                worker.kill()
                found.append(keep(kind, at, mutate(data, kind, SEED, at), "hangs"))
                told = True
                break
            word, number, *rest = line.split(maxsplit=4)
            at = int(number)
            if word == "done":
                seconds, megabytes, answer = float(rest[0]), int(rest[1]), rest[2]
                why = f"takes {seconds} s" if seconds > SECONDS else ""
                why = f"takes {megabytes} MB" if megabytes > MEGABYTES else why
                why = answer.strip() if answer.startswith("WRONG") else why
                if why:
                    found.append(keep(kind, at, mutate(data, kind, SEED, at), why))
                at += 1
        code = worker.wait()
        errors = worker.stderr.read()
        if code and not told:
            found.append(keep(kind, at, mutate(data, kind, SEED, at), f"ends with {code}: {errors[-300:]}"))
        if at == first and code:
            assert "Traceback" not in errors, errors  # the program that loads is at fault, not a copy
        first = at + 1 if code else last
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_loaders_answer_every_damaged_copy(kind, originals, tmp_path):
    original = originals / KINDS[kind][0]
    share = -(-COUNT // WORKERS)
    with ThreadPoolExecutor(WORKERS) as pool:
        parts = pool.map(
            lambda first: attack_loader(kind, original, first, min(first + share, COUNT), tmp_path),
            range(0, COUNT, share),
        )
        found = [line for part in parts for line in part]
    assert not found, "\n".join(found)


def attack_command(kind: str, originals: Path, words: list[str], index: int, scratch: Path) -> str:
    """One damaged copy through the moka command; what went wrong, or nothing."""
    name = KINDS[kind][0]
    data = mutate((originals / name).read_bytes(), kind, SEED, index)
    folder = scratch / f"{kind}-{index}"
    folder.mkdir()
    for other in ("init_net.pb", "predict_net.pb"):
        (folder / other).symlink_to(originals / other)
    path = folder / name
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    model = "predict_net.pb" if kind == "init_net" else name
    command = [str(Path(os.environ["MOKA_BUILD"], "bin", "moka")), words[0], model, *words[1:]]
    why = ""
    try:
        result = subprocess.run(
            command, cwd=folder, capture_output=True, timeout=SECONDS * 2, preexec_fn=limit_room
        )
        text = result.stderr.decode(errors="replace")
        if result.returncode not in (0, 1, 2) or "internal error" in text or "terminate called" in text:
            why = f"moka {words[0]} ends with {result.returncode}: {text.strip()[-300:]}"
    except subprocess.TimeoutExpired:
        why = f"moka {words[0]} hangs"
    for entry in folder.iterdir():
        entry.unlink()
    folder.rmdir()
    return keep(kind, index, data, why) if why else ""


@pytest.mark.parametrize("command", ["info", "run"])
@pytest.mark.parametrize("kind", ["package", "onnx", "init_net", "predict_net"])
def test_the_command_answers_every_damaged_copy(kind, command, originals, tmp_path):
    import numpy as np

    np.save(tmp_path / "images.npy", np.zeros((1, 1, 8, 8), np.float32))
    words = ["info"] if command == "info" else ["run", "-i", str(tmp_path / "images.npy"), "--threads", "1"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    with ThreadPoolExecutor(WORKERS) as pool:
        told = pool.map(lambda index: attack_command(kind, originals, words, index, tmp_path), range(COUNT))
        found = [line for line in told if line]
    grown = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # of the largest child so far
    if grown > before and grown > MEGABYTES * 1024:
        found.append(f"a copy of {kind} took {grown // 1024} MB")
    assert not found, "\n".join(found)
