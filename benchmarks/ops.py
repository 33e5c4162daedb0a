"""Operators against torch: microseconds a call, in turns in one run.

Run with `./dev bench ops`: hot operators on large tensors; with `-- --samples` the samples of every
operator of the table that torch has in the same form, which are small, so that calls are measured. Each
library works in a process of its own; while one is timed the other sleeps. The table gives the median over
the rounds and torch's time over ours, the worst first.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import _samples
import _workers


def programs(lib: Any) -> dict[str, Callable[[], Any]]:
    """The calls that are timed, over one library; both libraries have the same names."""
    F = lib.nn.functional
    lib.manual_seed(0)
    a, b, u = lib.randn(1024, 1024), lib.randn(1024, 1024), lib.rand(1024, 1024) + 0.1
    i, h = lib.randint(0, 1024, (1024,)), lib.randn(512, 1024).bfloat16()
    d = lib.randn(512, 512, dtype=lib.float64)
    m, n, row = lib.randn(512, 512), lib.randn(512, 512), lib.randn(1024)
    x, w = lib.randn(16, 32, 28, 28), lib.randn(64, 32, 3, 3)
    gamma, beta, mean, var = lib.ones(32), lib.zeros(32), lib.zeros(32), lib.ones(32)
    q = lib.randn(4, 4, 128, 32)
    target = lib.randint(0, 1024, (1024,))
    table, mask = lib.randn(10000, 64), a > 0
    g = a.clone().requires_grad_()
    signal = lib.randn(64, 4096)

    def through(call: Callable[[Any], Any]) -> Callable[[], Any]:
        def both() -> None:
            g.grad = None
            call(g).sum().backward()

        return both

    return {
        **{name: partial(getattr(lib, name), a) for name in
           "abs neg exp tanh sigmoid erf sin cos floor round sign isnan relu square expm1 atan".split()},
        **{name: partial(getattr(lib, name), u) for name in "log sqrt rsqrt reciprocal log1p".split()},
        **{name: partial(getattr(lib, name), a, b) for name in
           "add sub mul div maximum eq lt atan2".split()},
        **{name: partial(getattr(F, name), a) for name in
           "gelu silu softplus leaky_relu elu hardswish mish".split()},
        "pow 2.5": lambda: lib.pow(u, 2.5),
        "add of a row": lambda: a + row,
        "add bfloat16": lambda: h + h,
        "exp float64": lambda: lib.exp(d),
        "where": lambda: lib.where(mask, a, b),
        "clamp": lambda: lib.clamp(a, -1, 1),
        "addcmul": lambda: lib.addcmul(a, a, b, value=0.5),
        "lerp": lambda: lib.lerp(a, b, 0.3),
        "sum": lambda: a.sum(),
        "sum rows": lambda: a.sum(1),
        "sum columns": lambda: a.sum(0),
        "mean": lambda: a.mean(),
        "var": lambda: a.var(1),
        "max": lambda: a.max(),
        "max rows": lambda: a.max(1),
        "argmax": lambda: a.argmax(1),
        "prod": lambda: u.prod(1),
        "norm": lambda: a.norm(),
        "cumsum": lambda: a.cumsum(1),
        "logsumexp": lambda: lib.logsumexp(a, 1),
        "softmax": lambda: lib.softmax(a, -1),
        "log_softmax": lambda: lib.log_softmax(a, -1),
        "sort": lambda: lib.sort(m),
        "topk": lambda: lib.topk(a, 10),
        "transpose copy": lambda: a.t().contiguous(),
        "permute copy": lambda: x.permute(0, 2, 3, 1).contiguous(),
        "cat": lambda: lib.cat([a, b], 1),
        "stack": lambda: lib.stack([m, n]),
        "index_select": lambda: a.index_select(0, i),
        "gather": lambda: a.gather(1, target[:, None].expand(1024, 64)),
        "masked_select": lambda: a[mask],
        "a[i]": lambda: a[i],
        "flip": lambda: a.flip(0),
        "roll": lambda: a.roll(3, 1),
        "tril": lambda: a.tril(),
        "repeat_interleave": lambda: m.repeat_interleave(2, 0),
        "to float64": lambda: a.double(),
        "to bfloat16": lambda: a.bfloat16(),
        "mm 512": lambda: m @ n,
        "mm 512 transposed": lambda: m @ n.t(),
        "mm 1024": lambda: a @ b,
        "mm float64": lambda: d @ d,
        "bmm": lambda: q[0] @ q[1].transpose(-1, -2),
        "mv": lambda: a @ row,
        "linear": lambda: F.linear(a, m.repeat(1, 2), None),
        "einsum": lambda: lib.einsum("bhqd,bhkd->bhqk", q, q),
        "conv2d": lambda: F.conv2d(x, w, padding=1),
        "conv_transpose2d": lambda: F.conv_transpose2d(x, w.transpose(0, 1).contiguous()),
        "max_pool2d": lambda: F.max_pool2d(x, 2),
        "avg_pool2d": lambda: F.avg_pool2d(x, 2),
        "adaptive_avg_pool2d": lambda: F.adaptive_avg_pool2d(x, 1),
        "interpolate": lambda: F.interpolate(x, scale_factor=2, mode="bilinear"),
        "pad": lambda: F.pad(x, (1, 1, 1, 1)),
        "unfold": lambda: F.unfold(x, 3),
        "batch_norm": lambda: F.batch_norm(x, mean, var, gamma, beta, training=True),
        "layer_norm": lambda: F.layer_norm(a, (1024,)),
        "group_norm": lambda: F.group_norm(x, 8),
        "dropout": lambda: F.dropout(a, 0.1),
        "embedding": lambda: F.embedding(i, table),
        "attention": lambda: F.scaled_dot_product_attention(q, q, q, is_causal=True),
        "cross_entropy": lambda: F.cross_entropy(a, target),
        "mse_loss": lambda: F.mse_loss(a, b),
        "randn": lambda: lib.randn(1024, 1024),
        "rand": lambda: lib.rand(1024, 1024),
        "randperm": lambda: lib.randperm(100000),
        "bernoulli": lambda: lib.bernoulli(u.clamp(0, 1)),
        "rfft": lambda: lib.fft.rfft(signal),
        "cholesky": lambda: lib.linalg.cholesky(d @ d.t() + 512 * lib.eye(512, dtype=lib.float64)),
        "gelu, backward": through(F.gelu),
        "softmax, backward": through(lambda t: lib.softmax(t, -1) * b),
        "layer_norm, backward": through(lambda t: F.layer_norm(t, (1024,)) * b),
        "mul and sum, backward": through(lambda t: t * b),
    }  # fmt: skip


def work(library: str, threads: int, samples: bool) -> None:
    """Answer (name, seconds) with the seconds of one call, from a loop of about that length; an empty
    question with the names and the shapes of their results.
    """
    lib = _workers.library(library, threads)
    if samples:
        calls = _samples.calls(lib, library == "moka")
    else:
        calls = {name: (call, []) for name, call in programs(lib).items()}

    def timed(name: str, seconds: float) -> float:
        return _workers.seconds_of(calls[name][0], seconds)

    shapes = {name: shape for name, (_, shape) in calls.items()}
    _workers.answer(lambda *question: timed(*question) if question else shapes)


def by_operator(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row an operator: the sums over its samples."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        name = row["name"].rpartition(" ")[0]
        into = found.setdefault(name, {"name": name, "moka_us": 0.0, "torch_us": 0.0})
        for key in ("moka_us", "torch_us"):
            into[key] += row[key]
        into["ratio"] = into["torch_us"] / into["moka_us"]
    return list(found.values())


def main() -> int:
    parser = _workers.parser(__doc__, 0.05)
    parser.add_argument("--names", nargs="*", help="which calls (default: all)")
    parser.add_argument("--samples", action="store_true", help="the samples of every operator instead")
    parser.add_argument("--most", type=int, help="how many of the worst to print (default: all)")
    options = parser.parse_args()
    if options.work:
        work(options.work, options.threads, options.samples)
        return 0
    words = ("--threads", str(options.threads), *(["--samples"] if options.samples else []))
    workers = {library: _workers.Worker(__file__, library, *words) for library in ("moka", "torch")}
    shapes = {library: worker.ask() for library, worker in workers.items()}
    names = [n for n, shape in shapes["moka"].items() if shapes["torch"].get(n) == shape]
    rows = []
    for name in options.names or names:
        times: dict[str, list[float]] = {library: [] for library in workers}
        for _ in range(options.rounds):
            for library, worker in workers.items():
                times[library].append(worker.ask(name, options.seconds))
        mine, peer = (statistics.median(times[library]) * 1e6 for library in workers)
        rows.append({"name": name, "moka_us": mine, "torch_us": peer, "ratio": peer / mine})
    for worker in workers.values():
        worker.close()
    if options.samples:
        rows = by_operator(rows)
    rows.sort(key=lambda row: row["ratio"])
    if options.json:
        print(json.dumps(rows, indent=1))
        return 0
    print(f"{'microseconds a call':34} {'Moka':>10} {'torch':>10}   ratio")
    for row in rows[: options.most]:
        print(f"{row['name']:34} {row['moka_us']:10.1f} {row['torch_us']:10.1f}  {row['ratio']:6.2f}x")
    mean = _workers.geometric_mean(rows)
    print(f"{'geometric mean of ' + str(len(rows)):56}  {mean:6.2f}x")
    print("the worst 20:", ", ".join(f"{row['name']} {row['ratio']:.2f}" for row in rows[:20]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
