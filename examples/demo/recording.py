"""One training step as a time line in Chrome's trace format: every layer forward, the loss, backward,
the update.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import Any

__all__ = ["record_step"]


class _Line:
    """Collects what began and ended when."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self._zero = time.perf_counter_ns()
        self._open: list[int] = []

    def begin(self) -> None:
        self._open.append(time.perf_counter_ns())

    def end(self, name: str, **details: Any) -> None:
        start = self._open.pop()
        self.events.append(
            {
                "name": name,
                "ph": "X",
                "ts": (start - self._zero) / 1000,
                "dur": (time.perf_counter_ns() - start) / 1000,
                "pid": 1,
                "tid": 1,
                "args": details,
            }
        )

    @contextmanager
    def span(self, name: str, **details: Any) -> Any:
        self.begin()
        yield
        self.end(name, **details)


def record_step(run: Any, images: Any, labels: Any) -> dict[str, Any]:
    """Do one step of training and return its trace; the model changes, as in any step."""
    line = _Line()
    hooks = []
    for name, module in run.model.named_modules():
        if not name:
            continue
        kind = type(module).__name__
        hooks.append(module.register_forward_pre_hook(lambda *_: line.begin()))
        hooks.append(
            module.register_forward_hook(
                lambda _module, _args, output, name=name, kind=kind: line.end(
                    f"{name} ({kind})", shape=list(output.shape)
                )
            )
        )
    run.model.train()
    try:
        with line.span("step"):
            with line.span("zero_grad"):
                run.optimizer.zero_grad()
            with line.span("forward"):
                logits = run.model(images)
            with line.span("loss"):
                loss = run.loss(logits, labels)
            with line.span("backward"):
                loss.backward()
            with line.span("update"):
                run.optimizer.step()
    finally:
        for hook in hooks:
            hook.remove()
    line.events.append({"name": "process_name", "ph": "M", "pid": 1, "args": {"name": "one training step"}})
    return {
        "traceEvents": sorted(line.events, key=lambda event: event.get("ts", -1.0)),
        "displayTimeUnit": "ms",
    }
