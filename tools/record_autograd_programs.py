"""Writes tests/python/autograd_programs.json: random programs of views and writes, and torch's results.

Needs torch (and only here): python tools/record_autograd_programs.py [COUNT]. A program is a list of lines
over the library `m`; it ends with the line that raises, where torch refuses one. The test runs the lines
with Moka.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import random
import re
import sys
import warnings
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parent.parent / "tests" / "python" / "autograd_programs.json"


def view(rng: random.Random, name: str, t: Any) -> str:
    """An expression that shows t, or part of it, in another way."""
    shape = list(t.shape)
    choices = [f"{name}.detach()", f"{name}.unsqueeze({rng.randint(0, len(shape))})", f"{name}[...]"]
    if shape:
        d = rng.randrange(len(shape))
        n = shape[d]
        if n:
            choices.append(f"{name}.select({d}, {rng.randrange(n)})")
            start = rng.randrange(n)
            choices += [f"{name}.narrow({d}, {start}, {rng.randint(1, n - start)})"] * 2
            choices += [
                f"{name}[{rng.randrange(shape[0])}]",
                f"{name}[::2]",
                f"{name}[{start if d == 0 else 0}:]",
            ] * 2
            choices += [f"{name}.unbind({d})[{rng.randrange(n)}]", f"{name}.split(2, {d})[0]"]
        choices.append(f"{name}.view(-1)" if t.is_contiguous() else f"{name}.reshape(-1)")
        if len(shape) > 1:
            choices += [f"{name}.transpose(0, {len(shape) - 1})"] * 2
            choices.append(f"{name}.permute({tuple(rng.sample(range(len(shape)), len(shape)))})")
        if 1 in shape:
            choices.append(f"{name}.squeeze()")
            choices.append(f"{name}.expand({tuple(3 if s == 1 else s for s in shape)})")
    return rng.choice(choices)


def operand(rng: random.Random, shape: Any, tensors: dict[str, Any]) -> str:
    """A tensor that broadcasts to the shape, or a number."""
    fitting = [
        name
        for name, other in tensors.items()
        if len(other.shape) <= len(shape)
        and all(a in (1, b) for a, b in zip(other.shape[::-1], shape[::-1], strict=False))
    ]
    return rng.choice(fitting) if fitting and rng.random() < 0.8 else f"{rng.uniform(-2, 2):.2f}"


def write(rng: random.Random, name: str, t: Any, tensors: dict[str, Any]) -> str:
    """A statement that writes into t. Operands overlap it wholly or not: else torch's result is undefined."""
    memory = t.untyped_storage().data_ptr()
    tensors = {k: v for k, v in tensors.items() if k == name or v.untyped_storage().data_ptr() != memory}
    x = operand(rng, t.shape, tensors)
    choices = [
        f"{name}.mul_({x})",
        f"{name}.add_({x})",
        f"{name} += {x}",
        f"{name} *= {x}",
        f"{name}.sub_({x})",
    ]
    choices += [
        f"{name}.sigmoid_()",
        f"{name}.tanh_()",
        f"{name}.zero_()",
        f"{name}.fill_(1.5)",
        f"{name}[...] = {x}",
    ]
    if not x[-1].isdigit():
        choices += [f"{name}.copy_({x})"] * 3
    if t.shape and t.shape[0]:
        n = t.shape[0]
        row = operand(rng, t.shape[1:], tensors)
        choices += [f"{name}[{rng.randrange(n)}] = {row}"] * 3
        choices.append(f"{name}[1:] = {row}")
        choices.append(
            f"{name}[m.tensor([{n - 1}, 0])] = {row}" if n > 1 else f"{name}[m.tensor([0])] = {row}"
        )
        choices.append(f"{name}[{name}.detach() > 0.5] = {rng.uniform(-1, 1):.2f}")
    return rng.choice(choices)


def computed(rng: random.Random, name: str, t: Any, tensors: dict[str, Any]) -> str:
    x = operand(rng, t.shape, tensors)
    return rng.choice(
        [
            f"{name} * {x}",
            f"{name} + {x}",
            f"{name}.tanh()",
            f"{name} * {name}",
            f"{name}.clone()",
            f"{name}.exp()",
        ]
        + [f"{name}.sigmoid()", f"m.where({name} > 0, {name}, {x})"]
        + ([f"{name}.sum(0)"] if t.shape else [])
    )


def numbers(rng: random.Random, count: int) -> list[float]:
    return [round(rng.uniform(0.2, 1.2) * rng.choice([-1, 1]), 2) for _ in range(count)]


def is_usable(t: Any) -> bool:
    """Whether its history can still be told after writes into its base."""
    try:
        return t.grad_fn is None or True
    except RuntimeError:
        return False


def make_program(seed: int, m: Any) -> dict[str, Any]:
    rng = random.Random(seed)
    lines = [
        f"a = m.tensor({numbers(rng, 6)}, dtype=m.float64, requires_grad=True)",
        f"b = m.tensor({numbers(rng, 3)}, dtype=m.float64, requires_grad=True)",
        f"c = m.tensor({numbers(rng, 12)}, dtype=m.float64).view(4, 3)",
    ]
    space: dict[str, Any] = {"m": m}
    for line in lines:
        exec(line, space)
    steps = [
        rng.choice(
            [
                "t0 = (a * 1.5).view(2, 3)",
                "t0 = a.view(3, 2) * 1",
                "t0 = (c * b)",
                "t0 = m.zeros(4, 3, dtype=m.float64)",
            ]
        )
    ]
    program: dict[str, Any] = {}
    for number in range(1, rng.randint(6, 14)):
        line = steps.pop() if steps else None
        tensors = {k: v for k, v in space.items() if isinstance(v, m.Tensor)}
        made = [k for k in tensors if k[0] == "t"]
        if line is None:
            name = rng.choice(made if rng.random() < 0.9 else list(tensors))
            kind = rng.random()
            if kind >= 0.35 and any(
                s == 0 and n > 1 for s, n in zip(tensors[name].stride(), tensors[name].shape, strict=True)
            ):
                continue  # elements that share memory are not written
            if kind < 0.35:
                line = f"t{number} = {view(rng, name, tensors[name])}"
            elif kind < 0.75:
                line = write(rng, name, tensors[name], tensors)
            else:
                line = f"t{number} = {computed(rng, name, tensors[name], tensors)}"
            if kind >= 0.35 and rng.random() < 0.07:
                line = f"with m.no_grad(): {line}"
        lines.append(line)
        try:
            exec(line, space)
        except Exception as error:
            # Some of the refusals are kept as the end of the program. Not those where Moka is able to do it,
            # or where torch takes the view of a tensor that got its history later for a leaf.
            able = "refer to a single memory" in str(error)
            mistaken = "a leaf Variable" in str(error) and space[name]._base is not None
            if rng.random() < 0.3 and not able and not mistaken:
                return {"lines": lines, "error": type(error).__name__, "text": str(error)[:200]}
            lines.pop()
    made = sorted(k for k, v in space.items() if k[0] == "t" and isinstance(v, m.Tensor))
    names = [k for k in made if is_usable(space[k])]
    lines.append("loss = " + " + ".join(f"({k} * {0.5 + 0.25 * i}).sum()" for i, k in enumerate(names)))
    try:
        exec(lines[-1], space)
        lines.append("loss.backward()")
        exec(lines[-1], space)
    except Exception as error:
        # Moka keeps what x *= x overwrites.
        squares = any(re.search(r"(t\d+)(\.mul_\(| \*= )\1\b", line) for line in lines)
        return {} if squares else {"lines": lines, "error": type(error).__name__, "text": str(error)[:200]}
    program["lines"] = lines
    program["lost"] = [k for k in made if k not in names]
    program["values"] = {k: space[k].tolist() for k in names}
    program["requires_grad"] = {k: space[k].requires_grad for k in names}
    program["grads"] = {k: None if space[k].grad is None else space[k].grad.tolist() for k in "ab"}
    return program


def main() -> int:
    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 120
    programs = [p for seed in range(count) if (p := make_program(seed, torch))]
    TARGET.write_text("[\n" + ",\n".join(json.dumps(p) for p in programs) + "\n]\n")
    refused = sum("error" in p for p in programs)
    print(f"{len(programs)} programs, {refused} of them end in an error: {TARGET}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
