"""Functions of layers with odd parameters."""
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - one call a line

from __future__ import annotations

from values import Values


def with_backward(v: Values, lines: list[str], result: str = "y") -> list[str]:
    if v.chance(0.5):
        return lines
    return [*lines, f"({result} * T.linspace(-1, 2, {result}.numel(), dtype={result}.dtype).reshape({result}.shape)).sum().backward()"]


def per_dim(v: Values, rank: int, choices: list[int]) -> str:
    if v.chance(0.6):
        return str(v.pick(choices))
    return str(tuple(v.pick(choices) for _ in range(rank)))


def convolution(v: Values) -> list[str]:
    rank, groups = v.randint(1, 3), v.pick([1, 1, 1, 2])
    inner, outer = groups * v.randint(1, 2), groups * v.randint(1, 2)
    sides = tuple(v.randint(3, 7) for _ in range(rank))
    kernel = tuple(v.randint(1, 4 if v.chance(0.9) else 9) for _ in range(rank))
    batch = (v.randint(1, 2),) if v.chance(0.9) else ()
    dtype = v.pick(["float64", "float64", "float32", "bfloat16" if v.chance(0.3) else "float32", "complex64" if v.chance(0.2) else "float64"])
    grad = dtype in ("float32", "float64")
    transposed = v.chance(0.4)
    weight = (inner, outer // groups, *kernel) if transposed else (outer, inner // groups, *kernel)
    if v.chance(0.04):
        weight = weight[:-1]
    lines = [f"x = {v.tensor((*batch, inner, *sides), dtype, grad=grad)}", f"w = {v.tensor(weight, dtype, grad=grad)}"]
    arguments = ["x", "w"]
    if v.chance(0.5):
        arguments.append(v.tensor((outer if v.chance(0.97) else outer + 1,), dtype))
    arguments += [f"stride={per_dim(v, rank, [1, 2, 3])}", f"dilation={per_dim(v, rank, [1, 1, 2, 3])}", f"groups={groups}"]
    arguments.append(f"padding={v.pick([per_dim(v, rank, [0, 1, 2]), per_dim(v, rank, [0, 1, 2]), repr('same'), repr('valid')]) if not transposed else per_dim(v, rank, [0, 1, 2])}")
    if transposed:
        arguments.append(f"output_padding={per_dim(v, rank, [0, 0, 0, 1, 2])}")
    lines.append(f"y = F.conv{'_transpose' if transposed else ''}{rank}d({', '.join(arguments)})")
    return with_backward(v, lines) if grad else lines


def pooling(v: Values) -> list[str]:
    rank, dtype = v.randint(1, 3), v.pick(["float64", "float32", "float32", "bfloat16" if v.chance(0.3) else "float64", "int64" if v.chance(0.1) else "float32"])
    shape = (*([2] if v.chance(0.8) else []), v.randint(1, 2), *(v.randint(2, 7) for _ in range(rank)))
    grad = dtype in ("float32", "float64")
    lines = [f"x = {v.tensor(shape, dtype, v.pick([0, 0, 0.05]), grad=grad)}"]
    k, s, p = per_dim(v, rank, [1, 2, 3, 4]), per_dim(v, rank, [1, 2, 3]), per_dim(v, rank, [0, 0, 1, 2])
    ceil = f"ceil_mode={v.chance(0.5)}"
    size = per_dim(v, rank, [1, 2, 3, 5])
    if v.chance(0.2):
        size = str(tuple(v.pick(["None", 2, 3]) for _ in range(rank))).replace("'", "")
    lines.append(
        v.pick(
            [
                f"y = F.max_pool{rank}d(x, {k}, {s}, {p}, dilation={per_dim(v, rank, [1, 1, 2])}, {ceil})",
                f"y, i = F.max_pool{rank}d(x, {k}, {s}, {p}, dilation={per_dim(v, rank, [1, 1, 2])}, {ceil}, return_indices=True)",
                f"y = F.max_pool{rank}d(x, {k})",
                f"y = F.avg_pool{rank}d(x, {k}, {s}, {p}, {ceil}, count_include_pad={v.chance(0.5)}{v.pick(['', ', divisor_override=3']) if rank > 1 else ''})",
                f"y = F.avg_pool{rank}d(x, {k})",
                f"y = F.adaptive_avg_pool{rank}d(x, {size})",
                f"y = F.adaptive_max_pool{rank}d(x, {size})",
                f"y, i = F.adaptive_max_pool{rank}d(x, {size}, return_indices=True)",
                f"y = F.lp_pool{rank}d(x.abs() + 1, {v.pick(['2', '1', '3.0'])}, {k}, {s}, {v.chance(0.5)})",
                f"y = F.max_unpool{rank}d(*F.max_pool{rank}d(x, 2, return_indices=True), 2)",
                f"y = F.unfold(x, {per_dim(v, 2, [1, 2, 3])}, dilation={per_dim(v, 2, [1, 2])}, padding={per_dim(v, 2, [0, 1])}, stride={per_dim(v, 2, [1, 2])})",
                f"y = F.fold(F.unfold(x, 2, stride={per_dim(v, 2, [1, 2])}), x.shape[-2:], 2, stride=1)",
                f"y = F.pixel_shuffle(x, {v.randint(0, 2)})",
                f"y = F.pixel_unshuffle(x, {v.randint(1, 3)})",
                f"y = F.channel_shuffle(x, {v.randint(1, 2)})",
                f"y = F.local_response_norm(x, {v.randint(1, 4)}, alpha=0.5, beta=0.75, k=1.5)",
            ]
        )
    )
    return with_backward(v, lines) if grad else lines


def resizing(v: Values) -> list[str]:
    rank = v.randint(1, 3)
    dtype = v.pick(["float64", "float32", "float32", "uint8" if v.chance(0.3) else "float64", "bfloat16" if v.chance(0.2) else "float32"])
    shape = (v.randint(1, 2), v.randint(1, 3), *(v.randint(1, 6) for _ in range(rank)))
    grad = dtype in ("float32", "float64")
    mode = v.pick(["nearest", "nearest-exact", "area", {1: "linear", 2: "bilinear", 3: "trilinear"}[rank], {1: "linear", 2: "bicubic", 3: "trilinear"}[rank], v.pick(["linear", "bilinear", "bicubic", "cubic"])])
    if v.chance(0.5):
        target = f"size={v.pick([str(v.randint(1, 9)), str(tuple(v.randint(1, 9) for _ in range(rank)))])}"
    else:
        factor = lambda: v.pick([0.5, 2, 1.5, 0.3, 2.7, 1, 3, 0.75])  # noqa: E731
        target = f"scale_factor={v.pick([str(factor()), str(tuple(float(factor()) for _ in range(rank)))])}"
        target += v.pick(["", "", ", recompute_scale_factor=True", ", recompute_scale_factor=False"])
    if v.chance(0.4):
        target += f", align_corners={v.chance(0.5)}"
    if v.chance(0.2):
        target += ", antialias=True"
    lines = [f"x = {v.tensor(shape, dtype, grad=grad)}"]
    if v.chance(0.75):
        lines.append(f"y = F.interpolate(x, {target}, mode={mode!r})")
    elif v.chance(0.6):
        places = v.tensor((shape[0], *(2 for _ in range(rank)), rank), dtype if grad else "float32", v.pick([0, 0.1]))
        keys = f"mode={v.pick(['bilinear', 'nearest', 'bicubic'])!r}, padding_mode={v.pick(['zeros', 'border', 'reflection'])!r}, align_corners={v.chance(0.5)}"
        lines += [f"g = {places} * 0.5", f"y = F.grid_sample(x, g, {keys})"]
    else:
        lines.append(f"y = F.affine_grid({v.tensor((2, 2, 3), 'float32')}, (2, 3, {v.randint(1, 4)}, {v.randint(1, 4)}), align_corners={v.chance(0.5)})")
        return lines
    return with_backward(v, lines) if grad else lines


def padding(v: Values) -> list[str]:
    rank = v.randint(1, 3)
    dtype = v.pick(["float64", "float32", "int64", "bool", "complex64", "uint8"])
    shape = (*([2] if v.chance(0.7) else []), 2, *(v.randint(1, 5) for _ in range(rank)))
    grad = dtype == "float64"
    pads = ", ".join(str(v.randint(-1, 3)) for _ in range(2 * v.pick([rank, rank, v.randint(1, 3)])))
    mode = v.pick(["constant", "reflect", "replicate", "circular"])
    lines = [f"x = {v.tensor(shape, dtype, grad=grad)}", f"y = F.pad(x, ({pads}), mode={mode!r}{v.pick(['', '', ', value=2.5']) if mode == 'constant' else ''})"]
    return with_backward(v, lines) if grad else lines


def losses(v: Values) -> list[str]:
    reduction = v.pick(["mean", "sum", "none", "mean", "batchmean" if v.chance(0.1) else "none"])
    dtype = v.pick(["float64", "float64", "float32"])
    if v.chance(0.5):
        classes, rest = v.randint(1, 4), v.pick([(), (), (2,), (2, 2)])
        batch = (v.randint(0 if v.chance(0.05) else 1, 4),) if v.chance(0.9) or rest else ()
        lines = [f"x = {v.tensor((*batch, classes, *rest), dtype, grad=True)}"]
        keys = f", reduction={reduction!r}"
        if v.chance(0.4):
            keys += f", weight={v.positive((classes,), dtype)}"
        if v.chance(0.4):
            keys += f", ignore_index={v.pick(['0', '1', '-100', '-1', '5'])}"
        if v.chance(0.3):
            keys += f", label_smoothing={v.pick(['0.1', '0.0', '1.0', '1.5', '-0.1'])}"
        target = v.indices((*batch, *rest), classes, False, 0.05) if v.chance(0.75) else v.positive((*batch, classes, *rest), dtype)
        if v.chance(0.7):
            lines.append(f"y = F.cross_entropy(x, {target}{keys})")
        else:
            keys = keys.split(", label_smoothing")[0]
            lines.append(f"y = F.nll_loss(F.log_softmax(x, {1 if batch else 0}), {target}{keys})")
        return with_backward(v, lines)
    shape = v.shape(0, 3, 0.05, 3)
    x, t = v.tensor(shape, dtype, grad=True), v.tensor(shape if v.chance(0.9) else v.broadcast(shape), dtype, grad=v.chance(0.5))
    r = f", reduction={reduction!r}"
    unit = v.positive(shape, dtype, 0.0, 1.0)
    lines = [f"x = {x}", f"t = {t}"]
    lines.append(
        "y = "
        + v.pick(
            [
                f"F.mse_loss(x, t{r})",
                f"F.mse_loss(x, t{r}, weight={unit})",
                f"F.l1_loss(x, t{r})",
                f"F.smooth_l1_loss(x, t{r}, beta={v.pick(['1.0', '0.5', '0', '-1'])})",
                f"F.huber_loss(x, t{r}, delta={v.pick(['1.0', '0.5', '0'])})",
                f"F.binary_cross_entropy(x.sigmoid(), {unit}{r})",
                f"F.binary_cross_entropy(x, {unit}{r})",
                f"F.binary_cross_entropy_with_logits(x, {unit}{r}{v.pick(['', f', weight={unit}', f', pos_weight={unit}'])})",
                f"F.kl_div(x, t{r}, log_target={v.chance(0.5)})",
                f"F.poisson_nll_loss(x, t{r}, log_input={v.chance(0.5)}, full={v.chance(0.5)})",
                f"F.gaussian_nll_loss(x, t, {unit}{r}, full={v.chance(0.5)})",
                f"F.hinge_embedding_loss(x, t.detach().sign(){r}, margin={v.pick(['1.0', '0.5'])})",
                f"F.soft_margin_loss(x, t.detach().sign(){r})",
                f"F.margin_ranking_loss(x, t, t.detach().sign(){r}, margin=0.5)",
                f"F.cosine_embedding_loss(x, t, T.ones(x.shape[0] if x.ndim > 1 else ()){r}, margin=0.2)",
                f"F.triplet_margin_loss(x, t, t * 2{r}, swap={v.chance(0.5)}, p={v.pick(['2', '1'])})",
                f"F.multi_margin_loss(x, T.zeros(x.shape[:1] if x.ndim > 1 else (), dtype=T.int64){r}, p={v.pick(['1', '2'])})",
                f"F.multilabel_margin_loss(x, T.zeros(x.shape, dtype=T.int64){r})",
                f"F.multilabel_soft_margin_loss(x, {unit}{r})",
                f"F.pairwise_distance(x, t, p={v.pick(['2', '1', 'inf'])}, keepdim={v.chance(0.5)})",
                f"F.ctc_loss(T.log_softmax({v.tensor((5, 2, 4), dtype)}, -1), T.tensor([[1, 2], [3, 1]]), T.tensor([5, {v.randint(0, 5)}]), T.tensor([2, {v.randint(0, 2)}]){r}, zero_infinity={v.chance(0.5)}) + x.sum()",
            ]
        )
    )
    return with_backward(v, lines)


def normalizing(v: Values) -> list[str]:
    dtype, rank = v.pick(["float64", "float32"]), v.randint(0, 2)
    channels = v.pick([1, 2, 4])
    shape = (v.randint(1, 3), channels, *(v.randint(1, 3) for _ in range(rank)))
    lines = [f"x = {v.tensor(shape, dtype, grad=True)}"]
    w, b = v.pick(["None", v.tensor((channels,), dtype)]), v.pick(["None", v.tensor((channels,), dtype)])
    tail = shape[-v.randint(1, 2) :]
    eps = v.pick(["1e-5", "0.1", "0.0"])
    lines += [f"m = {v.tensor((channels,), dtype)}", f"n = {v.positive((channels,), dtype)}"]
    lines.append(
        "y = "
        + v.pick(
            [
                f"F.batch_norm(x, m, n, {w}, {b}, training={v.chance(0.5)}, momentum={v.pick(['0.1', '0.0', '1.0'])}, eps={eps})",
                f"F.batch_norm(x, None, None, {w}, {b}, training={v.chance(0.8)})",
                f"F.layer_norm(x, {tail}, {v.pick(['None', v.tensor(tail, dtype)])}, {v.pick(['None', v.tensor(tail, dtype)])}, {eps})",
                f"F.group_norm(x, {v.pick([1, 2, 3])}, {w}, {b}, {eps})",
                f"F.instance_norm(x, None, None, {w}, {b}, eps={eps})",
                f"F.instance_norm(x, m, n, {w}, {b}, use_input_stats={v.chance(0.5)})",
                f"F.rms_norm(x, {tail}, {v.pick(['None', v.tensor(tail, dtype)])}, {v.pick(['None', '0.1'])})",
                f"F.embedding(T.tensor([[0, 1], [1, 1]]) % x.shape[0], x.flatten(1), padding_idx={v.pick(['None', '0', '-1', '9'])}{v.pick(['', ', max_norm=1.0', ', scale_grad_by_freq=True'])})",
                f"F.embedding_bag(T.tensor([0, 1, 1, 0]) % x.shape[0], x.flatten(1), T.tensor([0, {v.randint(0, 4)}]), mode={v.pick(['sum', 'mean', 'max'])!r}, include_last_offset={v.chance(0.3)})",
                f"F.softmax(x, {v.pick(['0', '-1', '1', 'None', '7'])})",
                f"F.softmin(x, dim={v.pick(['0', '-1'])})",
                f"F.glu(x, {v.pick(['0', '-1', '1'])})",
                f"F.prelu(x, {v.tensor((v.pick([1, channels]),), dtype)})",
                f"F.scaled_dot_product_attention(x, x, x, is_causal={v.chance(0.3)})",
                f"F.scaled_dot_product_attention(x, x, x, {v.tensor((shape[-2], shape[-2]), v.pick(['bool', dtype]))}, scale={v.pick(['None', '0.5'])})",
                f"F.threshold(x, 0.5, {v.number('float32')})",
                "F.normalize(x, dim=0)",
                f"F.multi_head_attention_forward(x, x, x, {channels}, 1, None, None, None, None, False, 0.0, T.ones(1), T.ones(1))" if v.chance(0.05) else "F.logsigmoid(x)",
            ]
        )
    )
    return with_backward(v, lines)


AREAS = {"convolution": convolution, "pooling": pooling, "resizing": resizing, "padding": padding, "losses": losses, "normalizing": normalizing}
