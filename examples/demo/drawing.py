"""Drawings for the demo's report, as SVG and PNG text: curves, a matrix of mistakes, a graph,
small pictures.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

__all__ = ["GraphNode", "confusion", "curve", "flow", "picture"]


def picture(image: np.ndarray) -> str:
    """A grey image (uint8 [height, width]) as a PNG in a data URI."""
    height, width = image.shape
    rows = b"".join(b"\0" + image[y].tobytes() for y in range(height))  # filter 0 before each row

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    png += chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers between low and high."""
    rough = (high - low) / count or 1.0
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(step * i, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _number(value: float) -> str:
    return f"{value:g}"


def _text(kind: str, x: float, y: float, content: str, anchor: str = "start", dy: int = 0) -> str:
    """One line of text; `anchor` says which part of it stands at x."""
    shift = f' dy="{dy}"' if dy else ""
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}"{shift} text-anchor="{anchor}">{escape(content)}</text>'
    )


def curve(
    title: str,
    series: Sequence[tuple[str, str, Sequence[float], Sequence[float]]],
    x_label: str,
    low: float,
    high: float,
    percent: bool = False,
) -> str:
    """Lines in a frame; a series is (name, CSS class, x values, y values),
    drawn with its last value written beside.
    """
    width, height, left, right, top, bottom = 560, 300, 52, 84, 34, 40
    end = max(max(x) for _, _, x, _ in series)

    def place(x: float, y: float) -> str:
        px = left + (width - left - right) * (x / end if end else 0)
        py = top + (height - top - bottom) * (1 - (min(max(y, low), high) - low) / (high - low))
        return f"{px:.1f},{py:.1f}"

    parts = [f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">']
    parts.append(_text("title", left, 18, title))
    for value in _ticks(low, high):
        y = float(place(0, value).split(",")[1])
        shown = _number(value) if not percent else f"{value:.0%}" if high - low >= 0.04 else f"{value:.1%}"
        parts.append(f'<line class="rule" x1="{left}" x2="{width - right}" y1="{y}" y2="{y}"/>')
        parts.append(_text("tick", left - 8, y, shown, "end", 4))
    for value in _ticks(0, end):
        x = float(place(value, low).split(",")[0])
        parts.append(_text("tick", x, height - bottom + 18, _number(value), "middle"))
    parts.append(_text("tick", (left + width - right) / 2, height - 6, x_label, "middle"))
    for name, kind, xs, ys in series:
        points = " ".join(place(x, y) for x, y in zip(xs, ys, strict=True))
        parts.append(f'<polyline class="line {kind}" points="{points}"/>')
        if len(xs) <= 12:
            for x, y in zip(xs, ys, strict=True):
                cx, cy = place(x, y).split(",")
                parts.append(f'<circle class="dot {kind}" cx="{cx}" cy="{cy}" r="3.5"/>')
        x, y = map(float, place(xs[-1], ys[-1]).split(","))
        if name:
            parts.append(_text(f"label {kind}", x + 8, y - 2, name))
            parts.append(
                _text(f"label {kind}", x + 8, y + 12, f"{ys[-1]:.2%}" if percent else f"{ys[-1]:.3f}")
            )
    return "".join([*parts, "</svg>"])


def confusion(labels: np.ndarray, guesses: np.ndarray, classes: Sequence[str]) -> str:
    """What was taken for what: rows are true classes, columns guesses; the diagonal is what was right."""
    count = len(classes)
    table = np.zeros((count, count), int)
    np.add.at(table, (labels, guesses), 1)
    cell, left, top = 46, 92, 84
    size = count * cell
    parts = [
        f'<svg class="chart matrix" viewBox="0 0 {left + size + 60} {top + size + 6}" role="img" '
        f'aria-label="Table of mistakes">'
    ]
    for i, name in enumerate(classes):
        middle = cell * i + cell / 2
        parts.append(_text("tick", left - 8, top + middle, name, "end", 4))
        turn = f"translate({left + middle + 4},{top - 8}) rotate(-45)"
        parts.append(f'<text class="tick" transform="{turn}">{escape(name)}</text>')
    for row in range(count):
        total = max(int(table[row].sum()), 1)
        for column in range(count):
            share = table[row, column] / total
            kind = "right" if row == column else "wrong"
            strength = share if row == column else min(share * 6, 1.0)
            x, y = left + column * cell, top + row * cell
            parts.append(
                f'<rect class="cell" x="{x}" y="{y}" width="{cell - 2}" height="{cell - 2}" rx="3"/>'
            )
            parts.append(
                f'<rect class="{kind}" x="{x}" y="{y}" width="{cell - 2}" height="{cell - 2}" rx="3" '
                f'opacity="{0.06 + 0.85 * strength:.3f}"><title>{escape(classes[row])} taken for '
                f"{escape(classes[column])}: {table[row, column]}</title></rect>"
            )
            if table[row, column]:
                kind = "count strong" if strength > 0.55 else "count"
                middle = (x + cell / 2 - 1, y + cell / 2 + 3)
                parts.append(_text(kind, *middle, str(table[row, column]), "middle"))
    return "".join([*parts, "</svg>"])


class GraphNode(NamedTuple):
    """One box of a flow: its operator, a second line, and which boxes come before it (by number)."""

    operator: str
    detail: str
    inputs: tuple[int, ...]
    shape: str = ""


def flow(nodes: Sequence[GraphNode]) -> str:
    """A graph that is mostly a chain, as boxes joined by arrows, wrapped into columns;
    arrows carry shapes.
    """
    box_width, box_height, gap, column_gap, per_column = 236, 46, 34, 64, 5
    columns = -(-len(nodes) // per_column)
    rows = min(len(nodes), per_column)
    width = columns * (box_width + column_gap) - column_gap + 2
    height = rows * (box_height + gap) - gap + 8

    def corner(i: int) -> tuple[float, float]:
        return 1 + i // per_column * (box_width + column_gap), 4 + i % per_column * (box_height + gap)

    parts = [f'<svg class="chart flow" viewBox="0 0 {width} {height}" role="img" aria-label="Graph">']
    tip = 'viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"'
    parts.append(f'<defs><marker id="tip" {tip}><path class="tip" d="M0,0 L8,4 L0,8 z"/></marker></defs>')
    for i, node in enumerate(nodes):
        for source in node.inputs:
            parts.append(_arrow(corner(source), corner(i), box_width, box_height, nodes[source].shape))
    for i, node in enumerate(nodes):
        x, y = corner(i)
        family = escape(_family(node.operator))
        parts.append(f'<g class="node {family}">')
        parts.append(f'<rect x="{x}" y="{y}" width="{box_width}" height="{box_height}" rx="8"/>')
        middle = x + box_width / 2
        parts.append(_text("op", middle, y + (19 if node.detail else 28), node.operator, "middle"))
        if node.detail:
            detail = node.detail if len(node.detail) <= 38 else node.detail[:37] + "…"
            parts.append(_text("detail", middle, y + 36, detail, "middle"))
        parts.append("</g>")
    return "".join([*parts, "</svg>"])


def _arrow(
    source: tuple[float, float], target: tuple[float, float], width: float, height: float, shape: str
) -> str:
    (x1, y1), (x2, y2) = source, target
    if x1 == x2:
        middle, start, end = x1 + width / 2, y1 + height, y2
        if start > end or end - start > 2 * height:  # a longer way, past other boxes: swing out
            side, out = x1 + width, x1 + width + 40
            from_y, to_y = y1 + height / 2, y2 + height / 2
            path = f"M{side},{from_y} C{out},{from_y} {out},{to_y} {side},{to_y}"
            return f'<path class="edge" d="{path}" marker-end="url(#tip)"/>'
        label = _text("shape", middle + 8, (start + end) / 2 + 4, shape)
        return f'<path class="edge" d="M{middle},{start} L{middle},{end}" marker-end="url(#tip)"/>{label}'
    start, end, between = (x1 + width, y1 + height / 2), (x2, y2 + height / 2), x2 - (x2 - x1 - width) / 2
    path = f"M{start[0]},{start[1]} C{between},{start[1]} {between},{end[1]} {end[0]},{end[1]}"
    return f'<path class="edge" d="{path}" marker-end="url(#tip)"/>'


def _family(operator: str) -> str:
    name = operator.lower()
    for family, words in {
        "heavy": ("conv", "linear", "matmul", "addmm", "gemm", "mm"),
        "normal": ("norm",),
        "pool": ("pool",),
        "end": ("input", "output"),
    }.items():
        if any(word in name for word in words):
            return family
    return "light"
