"""Reductions and cumulative functions over dims, types, empties and NaN."""
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - one call a line

from __future__ import annotations

from values import ALL, FLOATS, INTS, WIDE_UNSIGNED, Values

MANY = "sum mean prod nansum nanmean amax amin aminmax all any logsumexp var std var_mean std_mean count_nonzero norm".split()
ONE = "max min argmax argmin median nanmedian mode cumsum cumprod cummax cummin logcumsumexp kthvalue prod softmax log_softmax".split()


def some_dims(v: Values, shape: tuple[int, ...]) -> str:
    rank = max(len(shape), 1)
    dims = v.sample(range(-rank, rank), v.randint(0, rank))
    if v.chance(0.95):
        dims = list({d % rank: d for d in dims}.values())
    return v.pick([f"({', '.join(map(str, dims))}{',' if len(dims) == 1 else ''})", str(list(dims)), str(v.dim(shape)), "None"])


def many(v: Values) -> list[str]:
    shape, dtype = v.shape(0, 4, 0.2), v.pick([*ALL, *FLOATS, *WIDE_UNSIGNED])
    name = v.pick(MANY)
    arguments = [f"dim={some_dims(v, shape)}"] if v.chance(0.8) else []
    if v.chance(0.4) and (arguments or name in ("all", "any")):
        arguments.append(f"keepdim={v.pick(['True', 'False'])}")
    if name == "aminmax":
        arguments = [f"dim={v.dim(shape)}", "keepdim=True"][: v.randint(0, 2)]
    if name in ("sum", "mean", "prod", "nansum", "norm", "nanmean") and v.chance(0.3):
        arguments.append(f"dtype=T.{v.pick(ALL)}")
    if name in ("var", "std", "var_mean", "std_mean") and v.chance(0.6):
        arguments.append(v.pick(["unbiased=False", "correction=0", "correction=2", "correction=1.5", "unbiased=True", "correction=None"]))
    if name == "norm" and v.chance(0.8):
        arguments.insert(0, v.pick(["2", "1", "0", "inf", "-inf", "3", "'fro'", "'nuc'", "0.5", "-1"]))
    grad = dtype in ("float32", "float64") and v.chance(0.4)
    lines = [f"x = {v.tensor(shape, dtype, v.pick([0, 0, 0.2]), grad)}", f"y = {v.layout('x', len(shape))}"]
    lines.append(f"z = {v.pick(['T.' + name + '(y, ', 'y.' + name + '('])}{', '.join(arguments)})".replace(", )", ")"))
    if grad:
        lines.append("(z[0] if isinstance(z, tuple) else z).sum().backward()")
    return lines


def one(v: Values) -> list[str]:
    shape, dtype = v.shape(0, 3, 0.15), v.pick([*ALL, *FLOATS])
    name, grad = v.pick(ONE), dtype in ("float32", "float64") and v.chance(0.4)
    arguments = [f"dim={v.dim(shape)}"] if v.chance(0.9) else []
    if name == "kthvalue":
        arguments.insert(0, str(v.randint(0, 4)))
    if name in ("max", "min", "argmax", "argmin", "median", "nanmedian", "mode", "kthvalue") and v.chance(0.3) and arguments:
        arguments.append(f"keepdim={v.pick(['True', 'False'])}")
    if name in ("cumsum", "cumprod", "softmax", "log_softmax", "prod") and v.chance(0.3):
        arguments.append(f"dtype=T.{v.pick(ALL)}")
    distinct = dtype not in ("bool", "complex64", "complex128") and v.chance(0.3)
    lines = [f"x = {v.tensor(shape, dtype, v.pick([0, 0, 0.3]), grad, distinct)}", f"y = {v.layout('x', len(shape))}"]
    lines.append(f"z = T.{name}(y, {', '.join(arguments)})".replace(", )", ")"))
    if name in ("mode", "median", "kthvalue", "max", "min", "nanmedian") and not distinct and arguments:
        lines[-1] = lines[-1].replace("z =", "z, _i =") if name in ("mode", "median", "kthvalue", "nanmedian") else lines[-1]
    if grad:
        lines.append("(z[0] if isinstance(z, tuple) else z).sum().backward()")
    return lines


def statistics(v: Values) -> list[str]:
    shape, dtype = v.shape(1, 2, 0.1, 6), v.pick([*FLOATS, *INTS, "float32", "float64"])
    x = v.tensor(shape, dtype, v.pick([0, 0.2]))
    q = v.pick(["0.5", "0.0", "1.0", "0.3", "1.5", "-0.1", "T.tensor([0.1, 0.9])", "T.tensor([0.5], dtype=T.float64)", "[0.1]"])
    kind = v.pick(["linear", "lower", "higher", "midpoint", "nearest", "other"])
    return [
        f"x = {x}",
        "y = "
        + v.pick(
            [
                f"T.quantile(x, {q}, dim={v.pick(['None', str(v.dim(shape))])}, keepdim={v.chance(0.3)}, interpolation={kind!r})",
                f"T.nanquantile(x, {q}, dim={v.pick(['None', str(v.dim(shape))])}, interpolation={kind!r})",
                f"T.histc(x, bins={v.randint(0, 5)}, min={v.randint(-3, 1)}, max={v.randint(-1, 3)})",
                f"T.histc(x, {v.randint(1, 5)})",
                f"T.histogram(x, {v.randint(1, 5)}, density={v.chance(0.5)})",
                f"T.histogram(x, {v.randint(1, 5)}, range=({v.randint(-3, 0)}, {v.randint(0, 3)}))",
                "T.histogram(x, T.tensor([-2., 0., 1., 3.]).to(x.dtype), weight=T.ones_like(x) * 2)",
                f"T.bincount(x, minlength={v.randint(-1, 5)})",
                "T.bincount(x.abs(), T.arange(x.numel()) / 2)",
                f"T.cov(x, correction={v.randint(0, 2)})",
                "T.corrcoef(x)",
                f"T.diff(x, n={v.randint(0, 3)}, dim={v.dim(shape)})",
                f"T.diff(x, prepend=x, dim={v.dim(shape)})",
                f"T.trapezoid(x, dx={v.pick(['1', '0.5'])}, dim={v.dim(shape)})",
                f"T.cumulative_trapezoid(x, dim={v.dim(shape)})",
                f"T.gradient(x, spacing={v.pick(['1', '2.0', '0.5'])}, edge_order={v.randint(1, 2)})",
                f"T.gradient(x, dim={v.dim(shape)})",
                f"T.renorm(x, {v.pick(['2', '1', 'inf', '0.5'])}, {v.dim(shape)}, {v.pick(['1', '2.5', '0', '-1'])})",
                f"F.normalize(x, p={v.pick(['2', '1', '0', 'inf'])}, dim={v.dim(shape)})",
                f"T.cdist(x, x, p={v.pick(['2', '1', '0', 'inf', '3', '0.5', '-1'])})",
                f"F.pdist(x, p={v.pick(['2', '1', '0', 'inf'])})",
                f"F.cosine_similarity(x, x.flip(0), dim={v.dim(shape)})",
                f"T.nansum(x, {v.dim(shape)})",
                f"T.std(x, {v.dim(shape)}, correction={v.randint(0, 7)})",
                f"T.cumprod(x, {v.dim(shape)})",
                "T.trace(x)",
                f"T.logcumsumexp(x, {v.dim(shape)})",
                f"T.vander(x.flatten(), {v.pick(['None', '0', '2', '4'])}, increasing={v.chance(0.5)})",
                f"T.combinations(x.flatten()[:4], r={v.randint(0, 3)}, with_replacement={v.chance(0.5)})",
                "T.cartesian_prod(x.flatten()[:3], x.flatten()[:2])",
                f"T.bucketize(x, T.tensor([-1, 0, 2]).to(x.dtype), right={v.chance(0.5)}, out_int32={v.chance(0.3)})",
            ]
        ),
    ]


AREAS = {"reduce": many, "reduce_one": one, "statistics": statistics}
