"""The demo's report: one page without outside files, and the facts beside it as JSON."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from drawing import GraphNode, confusion, curve, flow, picture

__all__ = ["environment", "smooth", "write_report"]

STYLE = """
:root { --ground: #faf8f5; --card: #fff; --ink: #2a211c; --quiet: #7d7069; --rule: #e8e1da; --coffee: #7a4a2b;
  --blue: #2f6f9f; --green: #3c8d5a; --red: #c0492f; --soft: #f3ece5; }
@media (prefers-color-scheme: dark) { :root { --ground: #1a1614; --card: #242019; --ink: #efe7df; --quiet:
#a4978d;
  --rule: #3a332d; --coffee: #d79a6b; --blue: #6fb0dc; --green: #6cc28c; --red: #ee8067; --soft: #2f2822; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); line-height: 1.5;
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 30px; margin: 0 0 4px; letter-spacing: -0.01em; }
h2 { font-size: 19px; margin: 44px 0 14px; }
p { margin: 0 0 12px; max-width: 75ch; } .lead { color: var(--quiet); font-size: 16px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 14px; margin: 26px
0 0; }
.tile, .card { background: var(--card); border: 1px solid var(--rule); border-radius: 12px; }
.tile { padding: 16px 18px; } .tile b { display: block; font-size: 26px; letter-spacing: -0.02em;
line-height: 1.25; }
.tile span { color: var(--quiet); font-size: 13px; } .card { padding: 18px; overflow-x: auto; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); gap: 14px; }
.chart { width: 100%; height: auto; display: block; } .matrix { max-width: 640px; margin: 0 auto; }
.chart text { fill: var(--ink); font-size: 12px; } .chart .title { font-size: 14px; font-weight: 600; }
.chart .tick { fill: var(--quiet); } .chart .label { font-weight: 600; } .rule { stroke: var(--rule); }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; } .faint { opacity: 0.28; stroke-width: 1; }
.line.loss, .line.faint { stroke: var(--coffee); } .line.rate { stroke: var(--blue); }
.line.accuracy { stroke: var(--green); } text.faint { display: none; } .dot.accuracy { fill: var(--green); }
.chart .label.loss { fill: var(--coffee); } .chart .label.rate { fill: var(--blue); }
.chart .label.accuracy { fill: var(--green); }
.cell { fill: var(--soft); } rect.right { fill: var(--green); } rect.wrong { fill: var(--red); }
.chart .count { font-size: 11px; } .chart .count.strong { fill: #fff; font-weight: 600; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(92px, 1fr)); gap: 10px; }
figure { margin: 0; background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 8px;
  text-align: center; font-size: 12px; line-height: 1.3; }
figure img { width: 100%; image-rendering: pixelated; border-radius: 5px; display: block; margin-bottom: 6px;
  filter: invert(1); } @media (prefers-color-scheme: dark) { figure img { filter: none; } }
figure.wrong { border-color: var(--red); } figure .was { color: var(--quiet); } figure.wrong b { color:
var(--red); }
figure b { color: var(--green); font-weight: 600; }
.flow { max-width: 1100px; margin: 0 auto; } .node rect { fill: var(--soft); stroke: var(--rule); }
.node.heavy rect { stroke: var(--coffee); stroke-width: 1.6; } .node.pool rect { stroke: var(--blue); }
.node.normal rect { stroke: var(--green); } .node.end rect { fill: var(--card); stroke-dasharray: 4 3; }
.chart .op { font-weight: 600; font-size: 13px; } .chart .detail, .chart .shape { fill: var(--quiet);
font-size: 11px; }
.edge { fill: none; stroke: var(--quiet); stroke-width: 1.3; } .tip { fill: var(--quiet); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--quiet); font-weight: 500; font-size: 13px; }
th, td { padding: 7px 14px 7px 0; border-bottom: 1px solid var(--rule); white-space: nowrap; }
td.n, th.n { text-align: right; } tr:last-child td { border-bottom: 0; } code { font-size: 13px; }
pre { margin: 14px 0 0; font-size: 12px; line-height: 1.45; overflow: auto; max-height: 420px; }
summary { cursor: pointer; color: var(--quiet); } a { color: var(--coffee); } .good { color: var(--green); }
footer { margin-top: 48px; color: var(--quiet); font-size: 13px; }
"""


def smooth(values: Sequence[float], share: float = 0.03) -> list[float]:
    """A running mean that ends at each value, over `share` of the whole."""
    width = max(int(len(values) * share), 1)
    total = np.cumsum(np.concatenate([[0.0], np.asarray(values, float)]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - width, 0)
    return ((total[ends] - total[starts]) / (ends - starts)).tolist()


def _thin(values: Sequence[float], count: int = 400) -> tuple[list[float], list[float]]:
    """At most `count` points of a long series: their places and values."""
    places = np.unique(np.linspace(0, len(values) - 1, min(count, len(values))).astype(int))
    return [float(place + 1) for place in places], [float(values[place]) for place in places]


def environment() -> dict[str, str]:
    """What this ran on."""
    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
        flags = next(line for line in lines if line.startswith("flags")).split()
        widest = next((name for name in ("avx512f", "avx2", "avx", "sse2") if name in flags), "")
    except (OSError, StopIteration):
        widest = ""
    return {
        "processor": processor + (f" ({widest})" if widest else ""),
        "cores": str(len(os.sched_getaffinity(0))),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "Python": platform.python_version(),
        "NumPy": np.__version__,
    }


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    numeric = [all(_is_number(row[i]) for row in rows) for i in range(len(head))]

    def line(tag: str, cells: Sequence[Any]) -> str:
        made = (
            f"<{tag}{' class=n' if is_number else ''}>{escape(str(cell))}</{tag}>"
            for cell, is_number in zip(cells, numeric, strict=True)
        )
        return f"<tr>{''.join(made)}</tr>"

    return f"<table>{line('th', head)}{''.join(line('td', row) for row in rows)}</table>"


def _is_number(cell: Any) -> bool:
    return isinstance(cell, (int, float)) or str(cell)[:1].isdigit() or cell == "-"


def _pictures(images: np.ndarray, labels: np.ndarray, logits: np.ndarray, classes: Sequence[str]) -> str:
    """Right guesses and mistakes, the surest of each class first, so that the page shows what is hard."""
    guesses = logits.argmax(1)
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    sure = (shifted / shifted.sum(1, keepdims=True)).max(1)
    chosen: list[int] = []
    for kind in (np.flatnonzero(guesses == labels), np.flatnonzero(guesses != labels)):
        for label in range(len(classes)):
            members = kind[labels[kind] == label]
            chosen += members[np.argsort(-sure[members])[:2]].tolist()
    parts = []
    for i in chosen:
        right = guesses[i] == labels[i]
        was = "" if right else f'<div class="was">is {escape(classes[labels[i]])}</div>'
        parts.append(
            f'<figure class="{"right" if right else "wrong"}"><img alt="{escape(classes[labels[i]])}" '
            f'src="{picture(images[i])}"><b>{escape(classes[guesses[i]])}</b> {sure[i]:.0%}{was}</figure>'
        )
    return f'<div class="grid">{"".join(parts)}</div>'


def write_report(
    folder: Path,
    facts: dict[str, Any],
    images: np.ndarray,
    labels: np.ndarray,
    logits: np.ndarray,
    classes: Sequence[str],
    nodes: Sequence[GraphNode],
    graph_text: str,
) -> Path:
    """Write index.html and facts.json into `folder`; returns the page.

    Args:
        facts: title, headline (pairs of value and meaning), losses, rates, accuracies, steps_per_epoch,
        files and
            runs (tables as lists of rows, the first being the head), environment, notes.
        images, labels, logits: the test images (uint8), their classes, what the model said.
        nodes, graph_text: the captured graph, as boxes and as text.
    """
    (folder / "facts.json").write_text(json.dumps(facts, indent=1))
    losses, rates, accuracies = facts["losses"], facts["rates"], facts["accuracies"]
    per_epoch = facts["steps_per_epoch"]
    x, raw = _thin(losses)
    _, even = _thin(smooth(losses))
    top = float(np.quantile(losses, 0.995)) * 1.05
    ends = [per_epoch * (i + 1.0) for i in range(len(accuracies))]
    floor = max(0.0, np.floor(min(accuracies) * 20 - 0.5) / 20)
    charts = [
        curve("Loss of each step", [("", "faint", x, raw), ("loss", "loss", x, even)], "step", 0.0, top),
        curve(
            "Accuracy on the test images", [("test", "accuracy", ends, accuracies)], "step", floor, 1.0, True
        ),
        curve("Learning rate", [("rate", "rate", *_thin(rates))], "step", 0.0, max(rates) * 1.05),
    ]
    tiles = "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(meaning)}</span></div>'
        for value, meaning in facts["headline"]
    )
    guesses = logits.argmax(1)
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(facts["title"])}</title><style>{STYLE}</style></head><body><main>
<h1>{escape(facts["title"])}</h1><p class="lead">{escape(facts["lead"])}</p>
<div class="tiles">{tiles}</div>
<h2>Training</h2><div class="pair">{"".join(f'<div class="card">{chart}</div>' for chart in charts[:2])}</div>
<h2>What it sees</h2><p>For each class the two surest right guesses, then the two surest mistakes (framed),
with the share that the model gave to its guess.</p>
{_pictures(images, labels, logits, classes)}
<h2>What it takes for what</h2><div class="card">{confusion(labels, guesses, classes)}</div>
<h2>The graph</h2><p>{escape(facts["graph_note"])}</p><div class="card">{flow(nodes)}
<details><summary>the same as text</summary><pre>{escape(graph_text)}</pre></details></div>
<h2>Files</h2><div class="card">{_table(facts["files"][0], facts["files"][1:])}</div>
<h2>The same answers without Python</h2><p>{escape(facts["runs_note"])}</p>
<div class="card">{_table(facts["runs"][0], facts["runs"][1:])}</div>
<h2>How it was trained, and where</h2><div class="pair"><div class="card">{charts[2]}</div>
<div class="card">{_table(["", ""], list(facts["environment"].items()))}</div></div>
<footer>{escape(facts["footer"])}</footer>
</main></body></html>
"""
    path = folder / "index.html"
    path.write_text(page)
    return path
