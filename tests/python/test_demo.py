"""The demo: its report page, its drawings, its network, and (slow) the whole of it in short form."""
# SPDX-License-Identifier: Apache-2.0

import html.parser
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import moka

from .browser import BROWSERS, Browser, find_browser

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "examples" / "demo"
PICTURES = "[...document.images].map(i => i.complete ? i.naturalWidth * i.naturalHeight : 0)"
DRAWINGS = """[...document.querySelectorAll("svg")].map(svg => {
  const box = svg.getBoundingClientRect();
  return {
    flow: svg.classList.contains("flow"), text: svg.textContent,
    lines: svg.querySelectorAll("path, polyline, rect, line").length,
    nodes: svg.querySelectorAll(".node").length, edges: svg.querySelectorAll(".edge").length,
    box: [box.x + scrollX, box.y + scrollY, box.width, box.height],
  };
})"""


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


def see_page(page, profile, operators, pictures):
    """Opens a report in a browser: no complaints, every picture and drawing is there and shows something."""
    program = find_browser()
    assert program, f"none of {', '.join(BROWSERS)} is installed; ./dev setup --browser installs one"
    with Browser(program, profile) as browser:
        browser.open(page)
        sizes = browser.value(PICTURES)
        assert len(sizes) == pictures and min(sizes) >= 8 * 8
        drawings = browser.value(DRAWINGS)
        assert len(drawings) == 5 and all(drawing["lines"] >= 2 for drawing in drawings)
        for drawing in drawings:
            left, top, width, height = drawing["box"]
            assert width > 200 and height > 100
            assert colours(browser.picture(left, top, width, height, scale=0.25)) >= 10
        (graph,) = [drawing for drawing in drawings if drawing["flow"]]
        assert graph["nodes"] == len(operators) and graph["edges"] >= len(operators) - 1
        assert all(operator in graph["text"] for operator in operators)
        assert browser.value("document.documentElement.scrollWidth <= innerWidth")  # nothing sticks out
        assert browser.complaints == []


def colours(png):
    """How many different colours a picture has."""
    image = pixels(png)
    return len(np.unique(image.reshape(-1, image.shape[-1]), axis=0))


def pixels(png):
    """The bytes of a PNG's pixels, [height, width, channels]."""
    import zlib

    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, packed = 8, b""
    while at < len(png):
        length, kind = int.from_bytes(png[at : at + 4], "big"), png[at + 4 : at + 8]
        body = png[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")
            channels = {0: 1, 2: 3, 6: 4}[body[9]]
            assert body[8] == 8  # bits
        packed += body if kind == b"IDAT" else b""
        at += 12 + length
    rows = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, 1 + width * channels)
    out = np.zeros((height + 1, width + 1, channels), np.uint8)  # a row and a column of zeros around
    for y, row in enumerate(rows):  # the five filters of the PNG specification, section 9
        filtered, above = row[1:].reshape(width, channels), out[y, 1:]
        if row[0] in (0, 2):
            out[y + 1, 1:] = filtered + (above if row[0] == 2 else 0)
            continue
        for x in range(width):
            a, b, c = (out[y + 1, x].astype(int), out[y, x + 1].astype(int), out[y, x].astype(int))
            if row[0] == 1:
                guess = a
            elif row[0] == 3:
                guess = (a + b) // 2
            else:
                p = a + b - c
                guess = np.where(
                    (abs(p - a) <= abs(p - b)) & (abs(p - a) <= abs(p - c)),
                    a,
                    np.where(abs(p - b) <= abs(p - c), b, c),
                )
            out[y + 1, x + 1] = (filtered[x] + guess) & 255
    return out[1:, 1:]


@pytest.mark.slow
def test_a_browser_shows_the_page(tmp_path):
    page = write_page(tmp_path)
    see_page(page, tmp_path / "profile", ["input", "conv2d", "add"], Page(page.read_text()).count("img"))


def test_pictures_are_valid_png():
    import base64

    from drawing import picture

    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_array_equal(pixels(base64.b64decode(picture(image).partition(",")[2]))[:, :, 0], image)


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
    page = tmp_path / "index.html"
    convolutions = ["conv2d", "relu", "max_pool2d"] * 2
    operators = ["input", *convolutions, "flatten", "linear", "relu", "linear", "output"]
    shown = Page(page.read_text())
    see_page(page, tmp_path / "profile", operators, shown.count("img"))


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
