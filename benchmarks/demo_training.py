#!/usr/bin/env python3
"""The demo's training under Moka and under torch, in turns on this machine:
accuracy and time side by side.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "examples" / "demo"


def train_with_moka(python: str, options: argparse.Namespace, seed: int) -> tuple[float, float]:
    """Accuracy on the test images and seconds of training, from the demo's own checkpoint."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import demo, argparse, json, moka; from "
        "pathlib import Path\n"
        "o = argparse.Namespace(short=sys.argv[3] == '1', data='fashion', workers=1, resume=False)\n"
        "moka.manual_seed(int(sys.argv[5])); moka.set_num_threads(int(sys.argv[4]))\n"
        "policy, train, test = demo.read_data(o)\n"
        "run = demo.train_network(o, policy, train, test, Path(sys.argv[2]))\n"
        "print(json.dumps({'accuracies': run.accuracies, 'seconds': run.seconds}))"
    )
    with tempfile.TemporaryDirectory() as folder:
        words = [str(DEMO), folder, str(int(options.short)), str(options.threads), str(seed)]
        return read([python, "-c", program, *words])


def train_with_torch(python: str, options: argparse.Namespace, seed: int) -> tuple[float, float]:
    words = ["--threads", str(options.threads), "--seed", str(seed), *(["--short"] if options.short else [])]
    return read([python, str(DEMO / "torch_twin.py"), *words])


def read(command: list[str]) -> tuple[float, float]:
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{command[0]} failed:\n{result.stdout}{result.stderr}")
    told = json.loads(result.stdout.strip().splitlines()[-1])
    return told["accuracies"][-1], told["seconds"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--python", default=sys.executable, help="interpreter that has moka (PYTHONPATH is kept)"
    )
    parser.add_argument("--torch-python", default=sys.executable, help="interpreter that has torch")
    parser.add_argument("--runs", type=int, default=3, help="trainings of each, in turns")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--short", action="store_true", help="a part of the images")
    parser.add_argument("--output", type=Path, help="write the figures here as JSON")
    options = parser.parse_args()
    ours, theirs = [], []
    for seed in range(options.runs):
        ours.append(train_with_moka(options.python, options, seed))
        theirs.append(train_with_torch(options.torch_python, options, seed))
        print(
            f"seed {seed}: Moka {ours[-1][0]:.2%} in {ours[-1][1]:.1f} s, torch {theirs[-1][0]:.2%} in "
            f"{theirs[-1][1]:.1f} s, torch's time / ours {theirs[-1][1] / ours[-1][1]:.2f}",
            flush=True,
        )
    ratio = statistics.median(t[1] / o[1] for o, t in zip(ours, theirs, strict=True))
    difference = statistics.mean(o[0] for o in ours) - statistics.mean(t[0] for t in theirs)
    print(f"median of torch's time / ours: {ratio:.2f}; mean accuracy {difference * 100:+.2f} points")
    if options.output:
        figures = {"moka": ours, "torch": theirs, "ratio": ratio, "points": difference * 100}
        options.output.write_text(json.dumps({**figures, "threads": options.threads}, indent=1))


if __name__ == "__main__":
    main()
