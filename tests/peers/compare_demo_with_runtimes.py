#!/usr/bin/env python3
"""The files that ./dev demo wrote, run by onnxruntime and by Caffe2 on all test images:
right answers and the largest difference of a logit from the eager network.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples" / "demo"))

from model import SmallNet  # noqa: E402
from training import DIGITS, FASHION, evaluate  # noqa: E402

import moka  # noqa: E402
from moka import data  # noqa: E402

# In the peer's own interpreter: argv is the report's folder, the images, where the logits go.
PROGRAMS = {
    "onnxruntime": """
import sys, numpy as np, onnxruntime
print(onnxruntime.__version__)
session = onnxruntime.InferenceSession(sys.argv[1] + "/model.onnx", providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
parts = np.array_split(np.load(sys.argv[2]), 20)
np.save(sys.argv[3], np.concatenate([session.run(None, {name: part})[0] for part in parts]))
""",
    "caffe2": """
import sys, numpy as np, torch
from caffe2.python import workspace
from caffe2.proto import caffe2_pb2
print("of torch " + torch.__version__)
nets = []
for name in ("init_net.pb", "predict_net.pb"):
    nets.append(caffe2_pb2.NetDef())
    nets[-1].ParseFromString(open(sys.argv[1] + "/" + name, "rb").read())
init, predict = nets
workspace.RunNetOnce(init)
workspace.FeedBlob(predict.external_input[0], np.zeros(1, np.float32))
parts, logits = np.array_split(np.load(sys.argv[2]), 20), []
workspace.FeedBlob(predict.external_input[0], parts[0])
workspace.CreateNet(predict)
for part in parts:
    workspace.FeedBlob(predict.external_input[0], part)
    workspace.RunNet(predict.name)
    logits.append(workspace.FetchBlob(predict.external_output[0]))
np.save(sys.argv[3], np.concatenate(logits))
""",
}


def main() -> int:
    """Exit code 1 when a runtime answers differently or a logit differs by more than the tolerance."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path, help="the folder that ./dev demo left")
    parser.add_argument("--data", choices=("fashion", "digits"), default="fashion")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="largest difference of a logit")
    for name in PROGRAMS:
        parser.add_argument(f"--{name}", metavar="PYTHON", help=f"interpreter that has {name}")
    options = parser.parse_args()
    policy, source = (FASHION, data.FashionMNIST) if options.data == "fashion" else (DIGITS, data.Digits)
    test = source(train=False, transform=data.Normalize(policy.mean, policy.std))
    images, _ = test.fetch_batch(range(len(test)), data.SampleRandom(0, 0, []))
    model = SmallNet(test.images.shape[1], len(test.classes))
    model.load_state_dict(moka.safetensors.load_file(options.report / "weights.safetensors"))
    expected = evaluate(model, images).numpy()
    right = int((expected.argmax(1) == test.labels).sum())
    print(f"Moka {moka.__version__}, eager: {right} of {len(test)} right")
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        pictures, answer = Path(folder, "images.npy"), Path(folder, "logits.npy")
        np.save(pictures, images.numpy())
        for name, program in PROGRAMS.items():
            python = getattr(options, name)
            if python is None:
                continue
            command = [python, "-c", program, str(options.report.resolve()), str(pictures), str(answer)]
            result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            logits = np.load(answer)
            right = int((logits.argmax(1) == test.labels).sum())
            difference = float(np.abs(logits - expected).max())
            version = result.stdout.strip().splitlines()[-1]
            print(f"{name} {version}: {right} of {len(test)} right, logits within {difference:.1e}")
            same = np.array_equal(logits.argmax(1), expected.argmax(1))
            failed |= not (same and difference <= options.tolerance)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
