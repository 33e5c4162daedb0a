"""Reads and assignments by indices of every form."""
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - one call a line

from __future__ import annotations

from values import ALL, Values


def bound(v: Values, n: int) -> str:
    k = v.pick([None, None, *range(-n - 2, n + 3)])
    if k is None:
        return ""
    return f"T.tensor({k})" if v.chance(0.1) else str(k)


def one_index(v: Values, n: int) -> tuple[str, int]:
    """An index and how many dimensions it takes."""
    kind = v.pick("int int slice slice slice none mask list index index empty scalar bool".split())
    if kind == "int":
        return str(v.randint(-n, max(n - 1, -n)) if v.chance(0.95) else n), 1
    if kind == "slice":
        step = v.pick(["", "", ":2", ":3", ":1", ":-1" if v.chance(0.1) else ":", ":T.tensor(2)"])
        return f"{bound(v, n)}:{bound(v, n)}{step}", 1
    if kind == "none":
        return "None", 0
    if kind == "mask":
        values = [v.chance(0.5) for _ in range(n if v.chance(0.95) else n + 1)]
        return v.pick([f"T.tensor({values})", f"{values}" if values else "T.tensor([], dtype=T.bool)", f"np.array({values}, dtype=bool)", f"T.tensor({[int(b) for b in values]}, dtype=T.uint8)"]), 1  # fmt: skip
    if kind == "list":
        return str([v.randint(-n, n - 1) for _ in range(v.randint(1, 3))] if n else "[]"), 1
    if kind == "index":
        return v.indices(v.pick([(2,), (3,), (1,), (2, 2), (1, 3), (2, 1)]), n, True), 1
    if kind == "empty":
        return v.pick(["T.tensor([], dtype=T.int64)", "[]", "T.zeros(0, 2, dtype=T.int64)", "()"]), 1
    if kind == "scalar":
        return v.pick([f"T.tensor({v.randint(0, max(n - 1, 0))})", f"np.int64({v.randint(0, max(n - 1, 0))})", f"T.tensor({v.randint(0, max(n - 1, 0))}, dtype=T.uint8)"]), 1  # fmt: skip
    return v.pick(["True", "False", "T.tensor(True)", "T.tensor(False)", "np.bool_(True)"]), 0


def index(v: Values, shape: tuple[int, ...]) -> str:
    parts, taken, many = [], 0, v.chance(0.15)
    while taken < len(shape):
        if v.chance(0.15) and "..." not in parts:
            parts.append("...")
            taken = max(taken, len(shape) - v.randint(0, 2))
            continue
        if many and taken + 2 <= len(shape):
            part = f"T.tensor({[v.chance(0.5) for _ in range(shape[taken] * shape[taken + 1])]}, dtype=T.bool).reshape({shape[taken : taken + 2]})"
            many, used = False, 2
        else:
            part, used = one_index(v, shape[taken])
        parts.append(part)
        taken += used
        if v.chance(0.2):
            break
    if v.chance(0.03):
        parts.append(v.pick(["0", "1.0", "None", "'a'", "...", "T.tensor(0.5)"]))
    if not parts:
        return v.pick(["...", "()", "None", "True", ":"])
    return ", ".join(parts)


def read(v: Values) -> list[str]:
    shape, grad = v.shape(0, 4), v.chance(0.3)
    dtype = "float64" if grad else v.pick(ALL)
    lines = [f"x = {v.tensor(shape, dtype, grad=grad)}", f"y = {v.layout('x', len(shape))}"]
    lines.append(f"z = y[{index(v, shape)}]")
    if v.chance(0.3):
        lines.append("z = z[..., None][0:2]")
    if grad:
        lines += ["w = (z * T.arange(1., z.numel() + 1, dtype=T.float64).reshape(z.shape)).sum()", "w.backward()"]
    elif v.chance(0.5):
        lines.append(f"z.fill_({v.number('int64')})")
    return lines


def value(v: Values, dtype: str, shape: tuple[int, ...]) -> str:
    kind = v.pick(["number", "scalar", "same", "full", "other"])
    if kind == "number":
        return v.pick([v.number(dtype), v.number("int64"), v.number("float32"), "True"])
    if kind == "scalar":
        return v.tensor((), v.pick([dtype, dtype, v.pick(ALL)]))
    if kind == "same":
        return v.tensor(v.broadcast(shape[-v.randint(0, 2) :] if shape else ()), dtype)
    if kind == "full":
        return "x[{0}] * 2 + 1" if dtype != "bool" else "~x[{0}]"
    return v.tensor(v.shape(0, 2), v.pick(ALL))


def write(v: Values) -> list[str]:
    shape, grad = v.shape(0, 4), v.chance(0.2)
    dtype = "float64" if grad else v.pick(ALL)
    lines = [f"x = {v.tensor(shape, dtype, grad=grad)}"]
    name = "x"
    if grad or v.chance(0.3):
        lines.append(f"y = {v.layout('x.clone()', len(shape))}")
        name = "y"
    at = index(v, shape)
    amount = value(v, dtype, shape).replace("{0}", at)
    if v.chance(0.25):
        lines.append(f"{name}[{at}] {v.pick(['+=', '-=', '*=', '/=', '//=', '**=', '|=', '&=', '%='])} {amount}")
    else:
        lines.append(f"{name}[{at}] = {amount}")
    if grad:
        lines += ["w = (y * y).sum()", "w.backward()"]
    return lines


def put(v: Values) -> list[str]:
    shape = v.shape(1, 3, 0.05)
    dtype, many = v.pick(ALL), v.pick([(3,), (2,), (2, 2), (1,), ()])
    taken = v.randint(1, len(shape))
    at = ", ".join("None" if v.chance(0.1) else v.indices(v.pick([many, many, (1,)]), n, True) for n in shape[:taken])
    rest = shape[taken:]
    values = v.pick([v.tensor((*many, *rest), dtype), v.tensor((), dtype), v.tensor(rest, dtype), v.tensor((1,), dtype)])
    call = v.pick(["x.index_put_", "x.index_put_", "y = x.index_put", "y = T.index_put(x, "])
    rest_of_call = f"({at},), {values}, accumulate={v.pick(['True', 'True', 'False'])}" if v.chance(0.8) else f"({at},), {values}"
    return [f"x = {v.tensor(shape, dtype)}", f"{call}{'' if call.endswith(' ') else '('}{rest_of_call})"]


def mask(v: Values) -> list[str]:
    shape, dtype = v.shape(0, 3), v.pick(ALL)
    other = v.broadcast(shape)
    lines = [f"x = {v.tensor(shape, dtype)}", f"m = {v.tensor(other, 'bool')}"]
    number = v.pick([v.number(dtype), v.number("float32"), v.number("int64"), v.tensor((), v.pick(ALL)), "nan", "inf"])
    lines.append(
        v.pick(
            [
                f"y = x.masked_fill(m, {number})",
                f"x.masked_fill_(m, {number})",
                "y = x.masked_select(m)",
                f"x.masked_scatter_(m, {v.tensor((40,), dtype)})",
                f"y = x.masked_scatter(m, {v.tensor((40,), dtype)})",
                f"y = T.where(m, x, {number})",
                f"y = T.where(m, {number}, x)",
                f"y = T.where(m, {number}, {v.number(v.pick(['float32', 'int64', 'bool', 'complex64']))})",
                f"y = T.where(m, x, {v.tensor(v.broadcast(shape), v.pick(ALL))})",
                "y = T.where(m)",
                "y = x.nonzero()",
                "y = T.nonzero(x, as_tuple=True)",
                "y = T.argwhere(x)",
                "y = x.count_nonzero()",
            ]
        )
    )
    return lines


AREAS = {"index_read": read, "index_write": write, "index_put": put, "mask": mask}
