#!/usr/bin/env python3
"""Moka's main job in one program: read images, train, capture, write models, run them without Python,
report.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import numpy as np  # noqa: E402
from drawing import GraphNode  # noqa: E402
from model import SmallNet  # noqa: E402
from recording import record_step  # noqa: E402
from report import environment, write_report  # noqa: E402
from training import DIGITS, FASHION, SHORT, Policy, Run, evaluate  # noqa: E402

import moka  # noqa: E402
from moka import data  # noqa: E402

NATIVE = Path(moka.__file__).absolute().parent / "bin" / "moka"
TOLERANCE = 1e-4  # of every logit, between Python and the native predictor


class DemoError(Exception):
    """A step did not do what it must; the text says which and how far it was off."""


def heading(number: int, text: str) -> None:
    print(f"\n{number}/5  {text}", flush=True)


def say(text: str) -> None:
    print(f"     {text}", flush=True)


# 1


def read_data(options: argparse.Namespace) -> tuple[Policy, Any, Any]:
    """The policy for the images that this machine has, and the images for training and for testing."""
    heading(1, "Read the images")
    policy = SHORT if options.short else FASHION
    source: Any = data.FashionMNIST
    if options.data == "digits":
        policy, source = DIGITS, data.Digits
    elif options.data == "auto":
        try:
            data.FashionMNIST(train=False)
        except FileNotFoundError as error:
            say(str(error))
            say("going on with the digits of scikit-learn")
            policy, source = DIGITS, data.Digits
    begin = time.perf_counter()
    plain = data.Normalize(policy.mean, policy.std)
    steps = [data.RandomShift(policy.shift)] + ([data.RandomHorizontalFlip()] if policy.flip else [])
    train = source(train=True, transform=data.Compose([*steps, plain]))
    test = source(train=False, transform=plain)
    say(f"{train} to learn from, {len(test)} to be tested on, in {time.perf_counter() - begin:.1f} s")
    return policy, train, test


# 2


def train_network(options: argparse.Namespace, policy: Policy, train: Any, test: Any, folder: Path) -> Run:
    """Train with a checkpoint after every epoch; Ctrl-C stops, --resume goes on."""
    heading(2, "Train a small convolutional network")
    images, labels = test.fetch_batch(range(len(test)), data.SampleRandom(0, 0, []))
    subset = data.Subset(train, range(policy.train_images)) if policy.train_images else train
    loader = data.DataLoader(
        subset, batch_size=policy.batch_size, shuffle=True, drop_last=True, num_workers=options.workers
    )
    run = Run(SmallNet(test.images.shape[1], len(test.classes)), policy, len(loader))
    checkpoint = folder / "training.ckpt"
    if options.resume and checkpoint.exists():
        try:
            state = moka.load(checkpoint)
        except ValueError as error:
            raise DemoError(f"{error}; delete it to begin anew") from None
        run.load_state_dict(state["run"])
        loader.load_state_dict(state["loader"])
        moka.set_rng_state(state["random"])
        say(f"going on after epoch {run.epoch} of {checkpoint}")
    count = sum(parameter.numel() for parameter in run.model.parameters())
    shape = f"{policy.epochs} epochs of {len(loader)} steps, {moka.get_num_threads()} threads"
    try:
        say(f"{count:,} parameters, {shape}")
        while run.epoch < policy.epochs:
            name = f"     epoch {run.epoch + 1}/{policy.epochs}"
            loss = run.train_epoch(moka.progress(loader, desc=name, unit="step"))
            guesses = evaluate(run.model, images).argmax(1)
            run.accuracies.append(float((guesses == labels).float().mean().item()))
            state = {"run": run.state_dict(), "loader": loader.state_dict(), "random": moka.get_rng_state()}
            moka.save(state, checkpoint)
            say(
                f"epoch {run.epoch}: loss {loss:.3f}, test accuracy {run.accuracies[-1]:.2%}, "
                f"{run.seconds:.1f} s"
            )
    except KeyboardInterrupt:
        kept = f"{checkpoint} has epoch {run.epoch}" if run.epoch else "there is no checkpoint yet"
        raise DemoError(f"stopped; {kept}; --resume goes on from it") from None
    if run.accuracies[-1] < policy.needed:
        raise DemoError(f"test accuracy {run.accuracies[-1]:.2%} is below {policy.needed:.0%}")
    say(
        f"trained in {run.seconds:.1f} s: test accuracy {run.accuracies[-1]:.2%} (asked for: "
        f"{policy.needed:.0%})"
    )
    return run


# 3


def capture_and_write(run: Run, test: Any, folder: Path) -> tuple[Any, dict[str, list[Path]]]:
    """The network as a graph, with batch norm folded, in four forms on the disk."""
    heading(3, "Capture it as a graph and write it four ways")
    size = test.images.shape[1]
    model = run.model.eval()
    traced = moka.jit.trace(model, moka.zeros(2, 1, size, size), output_names=["logits"])
    frozen = moka.jit.freeze(traced)
    before = sum(node["op"] == "batch_norm" for node in traced.graph.nodes())
    after = sum(node["op"] == "batch_norm" for node in frozen.graph.nodes())
    if before != 2 or after != 0:
        raise DemoError(f"{before} batch norms were captured and {after} are left; 2 and 0 were expected")
    say(f"captured; both batch norms are folded into the convolutions:\n\n{frozen.graph}\n")
    paths = {
        "package": [folder / "model.moka"],
        "ONNX": [folder / "model.onnx"],
        "NetDef": [folder / "init_net.pb", folder / "predict_net.pb"],
        "weights": [folder / "weights.safetensors"],
    }
    frozen.save(paths["package"][0])
    moka.onnx.export(frozen, None, paths["ONNX"][0])
    moka.caffe2.export(frozen, None, *paths["NetDef"])
    moka.safetensors.save_file(model.state_dict(), paths["weights"][0])
    check_onnx(paths["ONNX"][0])
    for kind, files in paths.items():
        say(f"{kind + ':':<9} {' and '.join(f'{p.name} ({bytes_text(p)})' for p in files)}")
    return frozen, paths


def check_onnx(path: Path) -> None:
    """The file in the eyes of onnx's own checker, where that package is installed."""
    try:
        import onnx
    except ImportError:
        say("onnx is not installed, so its checker has not looked at model.onnx")
        return
    onnx.checker.check_model(str(path), full_check=True)
    say("onnx's checker finds model.onnx in order")


# 4


def run_natively(
    run: Run, test: Any, paths: dict[str, list[Path]], folder: Path
) -> tuple[list[Any], np.ndarray]:
    """The three models in the native predictor, on all test images, against the eager network."""
    heading(4, "Run the files in the native predictor, without Python")
    if not NATIVE.exists():
        raise DemoError(f"the native program is not in {NATIVE.parent}; ./dev build makes it")
    images, labels = test.fetch_batch(range(len(test)), data.SampleRandom(0, 0, []))
    np.save(folder / "images.npy", images.numpy())
    np.save(folder / "labels.npy", labels.numpy())
    begin = time.perf_counter()
    expected = evaluate(run.model, images).numpy()
    seconds = time.perf_counter() - begin
    right = int((expected.argmax(1) == test.labels).sum())
    rows: list[Any] = [["run by", "right", "accuracy", "largest difference of a logit", "seconds"]]
    rows.append(["Python, eager", right, f"{right / len(test):.2%}", "-", f"{seconds:.2f}"])
    for kind, model in (("package", "model.moka"), ("ONNX", "model.onnx"), ("NetDef", "predict_net.pb")):
        row = predict(folder, model, expected, test.labels)
        rows.append([f"moka run {model}", *row])
        say(f"{kind + ':':<9} {row[0]} of {len(test)} right ({row[1]}), logits within {row[2]}, {row[3]} s")
        if row[0] != right:
            raise DemoError(f"moka run {model}: {row[0]} right, but {right} in Python")
    return rows, expected


def predict(folder: Path, model: str, expected: np.ndarray, labels: np.ndarray) -> list[Any]:
    """One model file: how many it gets right, accuracy, largest difference of a logit, seconds."""
    words = [
        "--input",
        "images.npy",
        "--output",
        "logits.npy",
        "--labels",
        "labels.npy",
        "--batch",
        "500",
        "--json",
    ]
    command = [str(NATIVE), "run", model, *words]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if result.returncode:
        raise DemoError(f"{' '.join(command)} ended with {result.returncode}: {result.stderr.strip()}")
    told = json.loads(result.stdout)
    logits = np.load(folder / "logits.npy")
    difference = float(np.abs(logits - expected).max())
    if not difference <= TOLERANCE:
        raise DemoError(f"moka run {model}: a logit differs by {difference:.2g}, more than {TOLERANCE:g}")
    right = int((logits.argmax(1) == labels).sum())
    if told["right"] != right:
        raise DemoError(f"moka run {model} counted {told['right']} right, its logits say {right}")
    return [right, f"{right / len(labels):.2%}", f"{difference:.1e}", f"{told['median_seconds']:.2f}"]


# 5


def sizes(text: str) -> str:
    """The sizes in a type's text: "float32[?, 16, 28]" gives "n × 16 × 28"."""
    inside = text.partition("[")[2].rpartition("]")[0]
    return inside.replace("?", "n").replace("batch", "n").replace(", ", " × ")


def graph_nodes(graph: Any) -> list[GraphNode]:
    """The operators of a graph as boxes; the weights that an operator reads are told inside its box."""
    types = dict(enumerate(graph.input_types))
    nodes = [GraphNode("input", name, (), sizes(types[i])) for i, name in enumerate(graph.inputs)]
    boxes = {i: i for i in range(len(nodes))}  # value -> box
    for node in graph.nodes():
        types.update(zip(node["outputs"], node["types"], strict=True))
        sources = tuple(dict.fromkeys(boxes[value] for value in node["inputs"] if value in boxes))
        if not sources:
            continue  # a constant
        weights = [types[value] for value in node["inputs"] if value not in boxes]
        weights = [sizes(text) for text in weights if text.startswith("float")]
        scope = node["scope"] if node["scope"] != node["op"] else ""
        detail = ", ".join(filter(None, [scope, f"weight {weights[0]}" if weights else ""]))
        boxes.update(dict.fromkeys(node["outputs"], len(nodes)))
        nodes.append(GraphNode(node["op"], detail, sources, sizes(node["types"][0])))
    nodes.append(GraphNode("output", ", ".join(graph.outputs), (len(nodes) - 1,)))
    return nodes


def bytes_text(path: Path) -> str:
    size = path.stat().st_size
    return f"{size / 1e6:.2f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def leave_report(
    options: argparse.Namespace,
    run: Run,
    frozen: Any,
    test: Any,
    paths: dict[str, list[Path]],
    runs: list[Any],
    logits: np.ndarray,
    folder: Path,
) -> Path:
    """The page, the facts as JSON, and the time line of one training step."""
    heading(5, "Leave a report")
    images, labels = test.fetch_batch(range(run.policy.batch_size), data.SampleRandom(0, 0, []))
    (folder / "trace.json").write_text(json.dumps(record_step(run, images, labels)))
    threads = moka.get_num_threads()
    largest = max(float(row[3]) for row in runs[2:])
    uses = {
        "package": "graph, weights and an ONNX view; moka.jit.load and the predictor read it",
        "ONNX": "for every other runtime",
        "NetDef": "for Caffe2",
        "weights": "the network's parameters and buffers by name",
    }
    files: list[Any] = [["file", "what it is", "size"]]
    for kind, listed in paths.items():
        for path in listed:
            files.append([path.name, f"{kind}: {uses[kind]}", bytes_text(path)])
    subject = "photographs of clothes" if isinstance(test, data.FashionMNIST) else "handwritten digits"
    per_epoch = len(run.losses) // run.epoch
    count = run.policy.train_images or per_epoch * run.policy.batch_size
    facts = {
        "title": "Moka: from training loop to native predictor",
        "lead": f"A small convolutional network, trained on about {count:,} {subject}, captured as a "
        "graph, written in "
        f"four formats, and run without Python.",
        "headline": [
            (f"{run.accuracies[-1]:.2%}", f"of {len(test):,} test images right"),
            (f"{run.seconds:.1f} s", f"of training: {run.epoch} epochs, {threads} threads"),
            (f"{largest:.1e}", "largest difference of a logit between Python and the native predictor"),
            (bytes_text(paths["package"][0]), "graph, weights and an ONNX view in one .moka file"),
        ],
        "losses": run.losses,
        "rates": run.rates,
        "accuracies": run.accuracies,
        "steps_per_epoch": per_epoch,
        "files": files,
        "runs": runs,
        "environment": {**environment(), "Moka": moka.__version__, "threads": str(threads)},
        "graph_note": "Captured by tracing one run; batch normalization has been folded into the "
        "convolutions.",
        "runs_note": f"The native predictor is a C++ program. All {len(test):,} test images went "
        "through each file.",
        "footer": "Written by ./dev demo. trace.json beside this page is one training step: open it "
        "in ui.perfetto.dev.",
    }
    nodes = graph_nodes(frozen.graph)
    page = write_report(
        folder, facts, test.images, test.labels, logits, test.classes, nodes, str(frozen.graph)
    )
    for name in ("images.npy", "labels.npy", "logits.npy"):
        (folder / name).unlink()
    say(f"page:      {page}")
    say(f"time line: {folder / 'trace.json'}")
    return page


def main() -> int:
    """Run the five steps; the exit code is 1 when one of them fails."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--short", action="store_true", help="a part of the images, fewer epochs: about a minute"
    )
    parser.add_argument("--data", choices=("auto", "fashion", "digits"), default="auto", help="which images")
    parser.add_argument(
        "--report", type=Path, default=Path("report"), help="folder for everything that is written"
    )
    parser.add_argument(
        "--threads", type=int, default=0, help="threads to compute with; 0: as many as there are cores"
    )
    parser.add_argument("--workers", type=int, default=1, help="threads that prepare batches")
    parser.add_argument("--seed", type=int, default=0, help="decides initial values, order and augmentation")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the checkpoint in the report folder"
    )
    options = parser.parse_args()
    moka.manual_seed(options.seed)
    moka.set_num_threads(options.threads or len(os.sched_getaffinity(0)))
    folder = options.report.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()
    try:
        policy, train, test = read_data(options)
        run = train_network(options, policy, train, test, folder)
        frozen, paths = capture_and_write(run, test, folder)
        runs, logits = run_natively(run, test, paths, folder)
        leave_report(options, run, frozen, test, paths, runs, logits, folder)
    except (DemoError, OSError) as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: stopped", file=sys.stderr)
        return 130
    print(f"\nDone in {time.perf_counter() - begin:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
