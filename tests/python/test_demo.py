"""The demo: its report page, its drawings, its network, and (slow) the whole of it in short form."""
# SPDX-License-Identifier: Apache-2.0

import html.parser
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import moka

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "examples" / "demo"
BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")


@pytest.fixture(scope="module", autouse=True)
def demo_modules():
    sys.path.insert(0, str(DEMO))
    yield
    sys.path.remove(str(DEMO))


class Page(html.parser.HTMLParser):
    """What is in a page: tags with their attributes, and whether every tag is closed in order."""

    VOID = {"meta", "img", "br", "link"}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def count(self, tag):
        return sum(name == tag for name, _ in self.tags)


def write_page(folder):
    from drawing import GraphNode
    from report import environment, write_report

    random = np.random.default_rng(0)
    labels = np.arange(60) % 3
    logits = random.normal(size=(60, 3)) + 2 * np.eye(3)[labels]
    images = random.integers(0, 256, (60, 8, 8), dtype=np.uint8)
    facts = {
        "title": "A <title> & more",
        "lead": "lead",
        "headline": [("91 %", "right")],
        "losses": list(2 / (1 + np.arange(50))),
        "rates": [0.1] * 50,
        "accuracies": [0.5, 0.8],
        "steps_per_epoch": 25,
        "files": [["file", "size"], ["a.moka", "1 MB"]],
        "runs": [["run by", "seconds"], ["Python", 1.5]],
        "environment": environment(),
        "graph_note": "note",
        "runs_note": "note",
        "footer": "foot",
    }
    nodes = [
        GraphNode("input", "x", ()),
        GraphNode("conv2d", "", (0,), "n × 3"),
        GraphNode("add", "", (1, 0)),
    ]
    return write_report(
        folder, facts, images, labels, logits, ("one", "two", "three"), nodes, "graph main() {}"
    )


def test_the_page_is_whole_and_needs_no_other_file(tmp_path):
    text = write_page(tmp_path).read_text()
    page = Page(text)
    assert page.count("svg") == 5 and page.count("img") >= 6 and page.count("table") == 3
    outside = [value for _, tag in page.tags for key, value in tag.items() if key in ("src", "href")]
    assert all(value.startswith("data:image/png;base64,") for value in outside)
    assert "A &lt;title&gt; &amp; more" in text and "nan" not in text
    assert json.loads((tmp_path / "facts.json").read_text())["accuracies"] == [0.5, 0.8]


@pytest.mark.slow
def test_a_browser_opens_the_page(tmp_path):
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    assert browser, f"none of {', '.join(BROWSERS)} is installed"
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--dump-dom"]
    page = write_page(tmp_path)
    result = subprocess.run([browser, *words, page.as_uri()], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0 and result.stdout.count("</svg>") == 5
    assert "Uncaught" not in result.stderr


def test_pictures_are_valid_png(tmp_path):
    import base64
    import zlib

    from drawing import picture

    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    data = base64.b64decode(picture(image).partition(",")[2])
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    start = data.index(b"IDAT")
    length = int.from_bytes(data[start - 4 : start], "big")
    rows = np.frombuffer(zlib.decompress(data[start + 4 : start + 4 + length]), np.uint8).reshape(3, 5)
    assert (rows[:, 0] == 0).all() and (rows[:, 1:] == image).all()


def test_running_means_end_at_each_value():
    from report import smooth

    assert smooth([1.0, 3.0, 5.0, 7.0], share=0.5) == [1.0, 2.0, 4.0, 6.0]


def test_a_training_step_leaves_a_time_line():
    from model import SmallNet
    from recording import record_step
    from training import SHORT, Run

    run = Run(SmallNet(8), SHORT, 10)
    trace = record_step(run, moka.randn(4, 1, 8, 8), moka.tensor([0, 1, 2, 3]))
    spans = {event["name"]: event for event in trace["traceEvents"] if event["ph"] == "X"}
    assert {"step", "forward", "loss", "backward", "update", "conv1 (Conv2d)"} <= set(spans)
    step, forward = spans["step"], spans["forward"]
    assert step["ts"] <= forward["ts"] and forward["ts"] + forward["dur"] <= step["ts"] + step["dur"]


def test_a_run_is_taken_up_again():
    from model import SmallNet
    from training import SHORT, Run

    moka.manual_seed(0)
    images, labels = moka.randn(8, 1, 8, 8), moka.randint(10, (8,))
    run, other = (Run(SmallNet(8), SHORT, 10) for _ in range(2))
    run.model.train(), other.model.train()
    run.step(images, labels)
    other.load_state_dict(run.state_dict())
    assert run.step(images, labels) == other.step(images, labels)


@pytest.mark.slow
def test_the_short_demo_runs(tmp_path):
    command = [sys.executable, str(DEMO / "demo.py"), "--short", "--report", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stdout + result.stderr
    for name in (
        "index.html",
        "trace.json",
        "model.moka",
        "model.onnx",
        "predict_net.pb",
        "weights.safetensors",
    ):
        assert (tmp_path / name).stat().st_size > 0
    Page((tmp_path / "index.html").read_text())


def test_ctrl_c_leaves_the_checkpoint(tmp_path):
    import signal

    command = [sys.executable, str(DEMO / "demo.py"), "--data", "fashion", "--report", str(tmp_path)]
    program = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test that runs in the background inherits an ignored Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    for line in program.stdout:
        if "parameters" in line:
            break
    program.send_signal(signal.SIGINT)
    _, errors = program.communicate(timeout=60)
    assert program.returncode == 1 and "demo: stopped; there is no checkpoint yet" in errors
    assert "Traceback" not in errors
