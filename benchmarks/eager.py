"""Small operators from Python against torch: microseconds a call, in one run, alternating.

Run with `./dev bench eager`. Operands have 4 elements, so the time is the cost of a call. The table gives
the median of several rounds and torch's time over ours.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from typing import Any

import _workers


def programs(lib: Any) -> dict[str, Callable[[], Any]]:
    """The calls that are timed, over one library; both libraries have the same names."""
    a, b = lib.tensor([1.0, 2.0, 3.0, 4.0]), lib.tensor([4.0, 3.0, 2.0, 1.0])
    g = lib.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    m = lib.tensor([[1.0, 2.0], [3.0, 4.0]])
    x = lib.tensor([[1.0, 2.0, 3.0, 4.0]])
    w = lib.tensor([[1.0, 2.0, 3.0, 4.0]] * 4, requires_grad=True)

    def two_nodes() -> None:
        (g * g).sum().backward()

    def ten_nodes() -> None:
        y = g
        for _ in range(9):
            y = y * 1.5
        y.sum().backward()

    def chain() -> None:
        y = g
        for _ in range(999):
            y = y + a
        y.sum().backward()

    return {
        "add": lambda: a + b,
        "add function": lambda: lib.add(a, b),
        "add alpha=": lambda: lib.add(a, b, alpha=2),
        "add number": lambda: a + 1.0,
        "mul": lambda: a * b,
        "relu": lambda: lib.relu(a),
        "exp": lambda: lib.exp(a),
        "view": lambda: a.view(2, 2),
        "slice": lambda: a[1:3],
        "transpose": lambda: m.transpose(0, 1),
        "mm": lambda: lib.mm(m, m),
        "sum": lambda: a.sum(),
        "sum dim=": lambda: m.sum(dim=1),
        "cat": lambda: lib.cat([a, b]),
        "add, requires_grad": lambda: g + a,
        "mul, requires_grad": lambda: g * a,
        "relu, requires_grad": lambda: lib.relu(g),
        "sum dim=, requires_grad": lambda: w.sum(dim=1),
        "forward and backward, 2 nodes": two_nodes,
        "forward and backward, 10 nodes": ten_nodes,
        "forward and backward, 1000 nodes": chain,
        "linear": lambda: lib.nn.functional.linear(x, w),
    }


def microseconds(call: Callable[[], Any], seconds: float) -> float:
    """Time of one call, from a loop of about the given length."""
    return _workers.seconds_of(call, seconds) * 1e6


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rounds", type=int, default=5, help="rounds of each pair; the median counts (default 5)"
    )
    parser.add_argument("--seconds", type=float, default=0.05, help="length of one round (default 0.05)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    import torch

    import moka

    torch.set_num_threads(2)
    moka.set_num_threads(2)
    ours, theirs = programs(moka), programs(torch)
    empty = microseconds(lambda: None, options.seconds)
    rows = []
    for name in ours:
        times: dict[str, list[float]] = {"moka": [], "torch": []}
        for _ in range(options.rounds):
            times["moka"].append(microseconds(ours[name], options.seconds) - empty)
            times["torch"].append(microseconds(theirs[name], options.seconds) - empty)
        mine, peer = statistics.median(times["moka"]), statistics.median(times["torch"])
        rows.append({"name": name, "moka_us": mine, "torch_us": peer, "ratio": peer / mine})
    if options.json:
        print(json.dumps(rows, indent=1))
        return 0
    print(f"moka {moka.__version__} ({moka._C._cpu_isa()}), torch {torch.__version__}, microseconds a call")
    for row in rows:
        print(f"{row['name']:34} {row['moka_us']:9.3f} {row['torch_us']:9.3f}  {row['ratio']:6.1f}x")
    mean = _workers.geometric_mean(rows)
    print(f"{'geometric mean':34} {'':19}  {mean:6.1f}x")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
