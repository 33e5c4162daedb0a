"""Sorting, searching, gathering, scattering and joining."""
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - one call a line

from __future__ import annotations

from values import ALL, FLOATS, INTS, Values


def sort(v: Values) -> list[str]:
    shape, dtype = v.shape(0, 3, 0.1, 6), v.pick([*ALL, *FLOATS])
    distinct = dtype not in ("bool", "complex64", "complex128") and v.chance(0.6)
    x = v.tensor(shape, dtype, v.pick([0, 0.3]), distinct=distinct)
    d, flag = v.dim(shape), v.chance(0.5)
    index = "y" if distinct else "y, _i"
    return [
        f"x = {x}",
        v.pick(
            [
                f"y = T.sort(x, dim={d}, descending={flag}, stable=True)",
                f"{index} = T.sort(x, {d}, {flag})",
                f"y = T.argsort(x, dim={d}, descending={flag}, stable=True)",
                "y = T.msort(x)",
                f"{index} = T.topk(x, {v.randint(0, 5)}, dim={d}, largest={flag}, sorted={v.chance(0.8)})",
                f"{index} = x.kthvalue({v.randint(0, 4)}, {d})",
                f"y = T.unique(x, sorted=True, return_inverse={flag}, return_counts={v.chance(0.5)})",
                f"y = T.unique(x, dim={d}, return_inverse={flag}, return_counts={v.chance(0.5)})",
                f"y = T.unique_consecutive(x, return_inverse={flag}, return_counts={v.chance(0.5)})",
                f"y = T.unique_consecutive(x, return_counts={v.chance(0.5)}, dim={d})",
                f"y = x.max({d})",
                f"y = x.argmax({d}, keepdim={flag})",
                f"y = T.isin(x, {v.tensor((3,), dtype, 0.2)}, invert={flag})",
                f"y = T.isin({v.number('int64')}, x)",
                "y = T.lexsort((x, x))" if v.chance(0.05) else "y = x.argsort(stable=True)",
                f"y = T.aminmax(x, dim={d})",
            ]
        ),
    ]


def search(v: Values) -> list[str]:
    dtype = v.pick([*INTS, *FLOATS[:2]])
    rows = v.pick([(), (), (2,), (2, 2)])
    sequence = f"{v.tensor((*rows, v.randint(0, 6)), dtype, v.pick([0, 0.2]))}.sort(-1)[0]"
    values = v.pick([v.tensor((*rows, v.randint(0, 4)), v.pick([dtype, dtype, 'float32']), v.pick([0, 0.3])), v.number("float32"), v.tensor((), dtype)])
    extra = v.pick(["", ", right=True", ", side='right'", ", side='left', right=True", ", side='middle'", ", out_int32=True", ", side='left'"])
    if v.chance(0.3):
        extra = ", sorter=T.arange(s.numel()).reshape(s.shape).flip(-1) % max(s.shape[-1], 1)"
    return [f"s = {sequence}", v.pick([f"y = T.searchsorted(s, {values}{extra})", f"y = T.searchsorted(s, {values}{extra})", f"y = T.bucketize({values}, s{v.pick(['', ', right=True', ', out_int32=True'])})"])]  # fmt: skip


def gather(v: Values) -> list[str]:
    shape, grad = v.shape(0, 3, 0.1), v.chance(0.3)
    dtype = "float64" if grad else v.pick(ALL)
    d = v.dim(shape)
    below = shape[d] if shape and -len(shape) <= d < len(shape) else 1
    index = tuple(v.randint(0 if v.chance(0.1) else 1, n) if n else 0 for n in shape)
    if index and v.chance(0.5) and -len(shape) <= d < len(shape):
        index = tuple(v.randint(1, 5) if i == d % len(shape) else n for i, n in enumerate(index))
    at = v.indices(index, below)
    lines = [f"x = {v.tensor(shape, dtype, grad=grad)}"]
    src = v.tensor(index, dtype if v.chance(0.95) else v.pick(ALL), grad=grad)
    reduce = v.pick(["sum", "prod", "mean", "amax", "amin"])
    vector = v.indices((v.randint(0, 4),), below, v.chance(0.2))
    scalar = v.pick([v.number(dtype), v.number("float32"), v.number("int64")])
    lines.append(f"s = {src}")
    lines.append(
        "y = "
        + v.pick(
            [
                f"T.gather(x, {d}, {at})",
                f"T.take_along_dim(x, {at}, {v.pick([str(d), 'None'])})",
                f"T.scatter(x, {d}, {at}, s)",
                f"T.scatter(x, {d}, {at}, {scalar})",
                f"T.scatter(x, {d}, {at}, s, reduce={v.pick(['add', 'multiply', 'sum'])!r})",
                f"T.scatter_add(x, {d}, {at}, s)",
                f"T.scatter_reduce(x, {d}, {at}, s, {reduce!r}, include_self={v.chance(0.5)})",
                f"T.index_select(x, {d}, {vector})",
                f"x.index_fill({d}, {vector}, {scalar})",
                f"x.index_add({d}, i, x.index_select({d}, i), alpha={v.pick(['1', '2', '0.5'])})",
                f"x.index_copy({d}, i, x.index_select({d}, i) * 2)",
                f"x.index_reduce({d}, i, x.index_select({d}, i), {v.pick(['prod', 'mean', 'amax', 'amin'])!r}, include_self={v.chance(0.5)})",
                f"x.clone().scatter_({d}, {at}, s)",
                f"x.clone().scatter_reduce_({d}, {at}, s, {reduce!r})",
                f"T.take(x, {v.indices(v.pick([(3,), (2, 2), ()]), max(len(shape), 1), True)})",
                f"x.put(i, {v.tensor((1,), dtype)}.expand(i.shape), accumulate={v.chance(0.5)})",
                f"x.select_scatter(x.select({d}, 0) * 2, {d}, 0)",
                "x.slice_scatter(x[:1] * 2, 0, 0, 1)",
                "x.diagonal_scatter(x.diagonal() + 1)",
            ]
        )
    )
    if "(i" in lines[-1] or " i," in lines[-1]:
        lines.insert(2, f"i = {vector}")
    if grad:
        lines.append("(y * T.arange(y.numel()).reshape(y.shape)).sum().backward()")
    return lines


def join(v: Values) -> list[str]:
    shape, grad = v.shape(0, 3), v.chance(0.25)
    kinds = ["float64"] * 3 if grad else [v.pick(ALL)] * 3 if v.chance(0.5) else [v.pick(ALL) for _ in range(3)]
    d = v.dim(shape)
    lines = []
    for name, dtype in zip("abc", kinds, strict=True):
        other = tuple(v.randint(0, 3) if shape and i == d % len(shape) and v.chance(0.7) else n for i, n in enumerate(shape))
        lines.append(f"{name} = {v.tensor(other, dtype, grad=grad)}")
    n = v.randint(0, 3)
    lines.append(
        "y = "
        + v.pick(
            [
                f"T.cat([a, b, c], {d})",
                f"T.cat([a, T.zeros(0), b], {d})",
                f"T.cat((a, b.T), dim={d})",
                f"T.stack([a, a, a], {v.randint(-len(shape) - 1, len(shape))})",
                "T.hstack([a, b])",
                "T.vstack([a, b])",
                "T.dstack([a, b])",
                "T.column_stack([a, b, c])",
                "T.block_diag(a, b, c)",
                "T.meshgrid(a.flatten(), b.flatten(), indexing='xy')",
                f"a.repeat({', '.join(map(str, [v.randint(0, 2) for _ in range(len(shape) + v.randint(0, 1))]))})",
                f"a.tile({', '.join(map(str, [v.randint(0, 2) for _ in range(v.randint(0, 3))]))})",
                f"a.repeat_interleave({n}, {v.pick([str(d), 'None'])})",
                f"a.repeat_interleave(T.tensor([1, 0, 2]), {d})",
                f"a.roll({n}, {v.pick([str(d), 'None'])})",
                f"a.roll(({n}, 1), (0, -1))",
                f"a.flip({v.pick(['0', '-1', '(0, -1)', '()', str(d)])})",
                f"a.rot90({n}, {v.pick(['(0, 1)', '(1, 0)', '(0, -1)'])})",
                "a.fliplr()",
                f"a.tril({v.randint(-3, 3)})",
                f"a.triu({v.randint(-3, 3)})",
                f"a.diag({v.randint(-2, 2)})",
                f"a.diag_embed({v.pick(['', '1', '-1', '0, 0, 1', '0, 0, 2'])})",
                f"a.diagflat({v.randint(-2, 2)})",
                f"T.broadcast_tensors(a, {v.tensor(v.broadcast(shape), 'float32')})",
                "T.atleast_1d(a, b)",
                f"T.tensor_split(a, {v.pick(['2', '3', '[1]', '[0, 2, 5]', 'T.tensor([1, 2])', 'T.tensor(2)'])}, {d})",
                f"T.split(a, {v.pick(['1', '2', '[1, 2]', '0'])}, {d})",
                f"T.chunk(a, {v.randint(0, 4)}, {d})",
                f"F.one_hot(a, {v.pick(['-1', '3', '10', '0'])})",
                "T.kron(a, b)",
                f"T.constant_pad_nd(a, ({n}, {v.randint(-1, 2)}), {v.randint(0, 3)})",
                f"F.pad(a, ({v.randint(-1, 2)}, {v.randint(-1, 2)}), mode={v.pick(['constant', 'reflect', 'replicate', 'circular'])!r})",
                f"F.pad(a, ({v.randint(-1, 2)}, {v.randint(0, 2)}, {v.randint(-1, 2)}, 1), mode={v.pick(['constant', 'reflect', 'replicate', 'circular'])!r})",
                f"F.pad(a, (1, {n}), value={v.pick(['1', '2.5', 'nan', 'None', 'True'])})",
            ]
        )
    )
    if grad:
        lines.append("q = y[0] if isinstance(y, tuple) else y")
        lines.append("(q * T.arange(q.numel()).reshape(q.shape)).sum().backward()")
    return lines


AREAS = {"sort": sort, "search": search, "gather": gather, "join": join}
