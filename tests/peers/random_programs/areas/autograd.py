"""Random compositions: gradients, second derivatives and the transforms of func."""
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - one call a line

from __future__ import annotations

from values import Values

SMOOTH = """{0}.sin()|{0}.tanh()|{0}.exp()|T.sigmoid({0})|{0} * 2 - 1|{0} ** 2|{0} ** 3|T.log1p({0} * {0})|F.softplus({0})|F.gelu({0})|F.silu({0})
    ({0} * {0} + 1).sqrt()|1 / ({0} * {0} + 1)|T.softmax({0}, -1)|F.log_softmax({0}, 0)|{0}.cumsum(0)|{0} - {0}.mean(0)|{0}.flip(0)
    {0} * {0}.sum(-1, keepdim=True)|{0}.roll(1, -1)|T.logsumexp({0}, -1, keepdim=True) + {0}|F.elu({0})|T.erf({0})|{0}.cosh()|T.atan({0})
    {0} * {0}.detach()|T.where({0} > 0, {0}, {0} * 0.5)|{0}.clamp(-1, 1)|F.relu({0})|{0}.abs()|F.normalize({0}, dim=-1)|{0}.prod(-1, keepdim=True) + {0}
    F.layer_norm({0}, {0}.shape[-1:])|T.cat([{0}, {0}], 0)[: {0}.shape[0]]|{0}.T.contiguous().T|T.stack([{0}, {0} * 2]).sum(0)|{0}.expand(2, *{0}.shape).mean(0)
    T.einsum('ij,kj->ik', {0}, {0}) @ {0}|({0} @ {0}.T) @ {0}|{0}.tril() + {0}|{0} * {0}.std(0)|{0}.var(-1, keepdim=True) * {0}|T.cummax({0}, 0)[0]
    {0}.index_select(0, T.tensor([1, 0, 1]))[: {0}.shape[0]] + {0}|{0}[[1, 0]].repeat(2, 1)[: {0}.shape[0]] * {0}|{0}.sort(-1)[0]|{0}.topk(2, -1)[0].sum(-1, keepdim=True) + {0}
    F.mse_loss({0}, {0}.detach() * 2) + {0}|F.cross_entropy({0}, T.tensor([0, 1, 0][: {0}.shape[0]])) * {0}|T.linalg.norm({0}) * {0}|{0}.norm(dim=1, keepdim=True) + {0}
    F.conv1d({0}[None], T.ones({0}.shape[0], {0}.shape[0], 1, dtype=T.float64))[0]|F.avg_pool1d(F.pad({0}[None], (1, 1)), 3, 1)[0]|T.logcumsumexp({0}, 0)
    {0}.cumprod(-1)|{0}.scatter_add(1, T.zeros_like({0}, dtype=T.int64), {0})|{0}.gather(1, T.ones_like({0}, dtype=T.int64)) * {0}|T.fft.fft({0}).abs()|T.fft.irfft(T.fft.rfft({0}, dim=0), n={0}.shape[0], dim=0)
    {0}.unfold(0, 2, 1).sum(-1).sum(0) + {0}|T.linalg.inv({0}.T @ {0} + 3 * T.eye({0}.shape[1], dtype=T.float64)) @ {0}.T @ {0} @ {0}.T @ T.ones_like({0}) @ {0}.T @ {0}|T.logdet({0} @ {0}.T + 2 * T.eye({0}.shape[0], dtype=T.float64)) * {0}
    T.maximum({0}, {0}.flip(0))|T.atan2({0}, {0} + 3)|T.hypot({0}, {0} + 1)|T.lerp({0}, {0} * {0}, 0.3)|T.addcmul({0}, {0}, {0}, value=0.5)|T.diff({0}, dim=0).sum() + {0}
    T.view_as_real(T.complex({0}, {0} * 2)).sum(-1)|(T.complex({0}, {0}) ** 2).imag|T.polar({0}.abs() + 1, {0}).real|T.cdist({0}, {0} + 1) @ {0}|T.logaddexp({0}, {0} * 2)|{0}.diagonal().sum() * {0}
    T.cov({0}) @ {0}|{0}.masked_fill({0} > 1, 0.5)|F.pad({0}, (1, 0))[:, 1:]|T.sinc({0})|{0}.lgamma().tanh() + {0}|T.special.i0e({0})|T.kron({0}, T.ones(1, 1, dtype=T.float64))|F.scaled_dot_product_attention({0}[None], {0}[None], {0}[None])[0]""".replace("\n", "|").split("|")
SMOOTH = [s.strip() for s in SMOOTH if s.strip()]


def body(v: Values, first: str = "x", second: str | None = None) -> str:
    """An expression of one or two matrices of one shape."""
    text = first
    for _ in range(v.randint(1, 3)):
        step = v.pick(SMOOTH)
        if step.count("{0}") > 2 and len(text) > 60:
            step = "{0}.tanh()"
        text = step.replace("{0}", f"({text})" if not text.isidentifier() else text)
    if second:
        text = v.pick(["({0}) * ({1})", "({0}) + ({1}).sin()", "T.atan2({0}, {1} + 2)", "({0}) @ ({1}).T @ ({1})", "({0}) / (({1}) ** 2 + 1)"]).format(text, second)
    return text


def matrix(v: Values, grad: bool = False) -> str:
    return v.tensor(v.pick([(2, 3), (3, 2), (2, 2), (3, 3)]), "float64", grad=grad)


def first_order(v: Values) -> list[str]:
    lines = [f"x = {matrix(v, True)}", f"y = {body(v)}", f"z = {body(v, 'y')}"]
    if v.chance(0.3):
        lines.append("y.retain_grad()" if v.chance(0.5) else "x.register_hook(lambda g: g * 2) and None")
    if v.chance(0.3):
        lines.append(v.pick(["g = autograd.grad(z.sum(), x, retain_graph=True)", "g = autograd.grad(z, [x, y], T.ones_like(z), allow_unused=True, retain_graph=True)", "g = autograd.grad(z.sum(), x.clone(), allow_unused=True)", "g = autograd.grad(z, x)"]))
    lines.append(v.pick(["z.sum().backward()", "z.backward(T.ones_like(z))", "(z * z).mean().backward(retain_graph=True)", "z.backward()"]))
    if v.chance(0.2):
        lines.append("z.sum().backward()")
    return lines


def second_order(v: Values) -> list[str]:
    lines = [f"x = {matrix(v, True)}", f"y = {body(v)}", "g, = autograd.grad((y * y).sum(), x, create_graph=True)"]
    if v.chance(0.3):
        lines.append(f"p = {body(v, 'g')}")
        return [*lines, "p.sum().backward()"]
    if v.chance(0.3):
        return [*lines, "h, = autograd.grad((g * g).sum(), x, create_graph=True)", "k, = autograd.grad(h.sum(), x)"]
    return [*lines, "(g * g).sum().backward()"]


def transforms(v: Values) -> list[str]:
    lines = [f"x = {matrix(v)}", f"t = {v.tensor((3, 3), 'float64')}[: x.shape[0], : x.shape[1]].clone()"]
    f = f"lambda x: {body(v)}"
    scalar = f"lambda x: ({body(v)}).sum()"
    lines.append(
        v.pick(
            [
                f"y = func.grad({scalar})(x)",
                f"y = func.grad_and_value({scalar})(x)",
                f"y = func.jvp({f}, (x,), (t,))",
                f"y = func.vjp({f}, x)[1](t)",
                f"y = func.jacrev({f})(x)",
                f"y = func.jacfwd({f})(x)",
                f"y = func.hessian({scalar})(x)",
                f"y = func.jacfwd(func.jacrev({scalar}))(x)",
                f"y = func.jacrev(func.jacfwd({scalar}))(x)",
                f"y = func.grad(lambda x: func.grad({scalar})(x).sum())(x)",
                f"y = func.vmap({f})(T.stack([x, t, x + t]))",
                f"y = func.vmap(func.grad({scalar}))(T.stack([x, t]))",
                f"y = func.vmap(func.hessian({scalar}))(T.stack([x, t]))",
                f"y = func.jvp(func.grad({scalar}), (x,), (t,))",
                f"y = func.linearize({f}, x)[1](t)",
                f"y = autograd.functional.jacobian({f}, x)",
                f"y = autograd.functional.hessian({scalar}, x)",
                f"y = autograd.functional.vhp({scalar}, x, t)",
                f"y = autograd.functional.jvp({f}, x, t)",
                f"y = func.vmap(lambda x, t: {body(v, 'x', 't')}, in_dims=(0, None))(T.stack([x, t]), t)",
                f"y = func.grad(lambda x, t: ({body(v, 'x', 't')}).sum(), argnums=(0, 1))(x, t)",
            ]
        )
    )
    return lines


UNBATCHED = """x.sum()|x.sum(0)|x[0]|x[-1]|x.T|x.reshape(-1)|x.sort(0)[0]|x.argmax(0)|x.max(0)|x[:, 0]|x.unsqueeze(0)|x.diagonal()|x @ x.T|x @ T.ones(x.shape[1], dtype=x.dtype)
    x.view(-1)|x.flatten()|x.permute(1, 0)|x.movedim(0, 1)|x.expand(2, *x.shape)|x.squeeze()|x.chunk(2)[0]|x.split(1)[0]|x.unbind()[1]|x.repeat(2, 1)|x.tile(2)|x.cumsum(-1)|x.prod()|x.var()|x.std(0)
    x.mean(1)|x.amax((0, 1))|x.any()|x.all(0)|x.norm()|x.to(T.float32)|x > 0|x.masked_fill(x > 0, 1)|T.where(x > 0, x, 0)|x.index_select(0, T.tensor([0, 0]))|x[T.tensor([1, 0])]|x[[0, 1], [1, 0]]
    x.gather(0, T.zeros(1, 2, dtype=T.int64))|x.scatter(0, T.zeros(1, 2, dtype=T.int64), 1.)|T.stack([x, x])|T.cat([x, x], 1)|T.einsum('ij->ji', x)|T.einsum('ij,ij->', x, x)|x.tril()|x.flip(0)|x.roll(1)|x.topk(1)[0]
    F.softmax(x, 0)|F.log_softmax(x, -1)|F.layer_norm(x, x.shape)|F.linear(x, x)|F.conv1d(x[None], T.ones(1, x.shape[0], 1, dtype=x.dtype))|F.pad(x, (1, 1))|F.cross_entropy(x, T.zeros(x.shape[0], dtype=T.int64))|F.one_hot(x.argmax(0), 4)
    T.linalg.svdvals(x)|T.linalg.det(x @ x.T)|T.outer(x[0], x[0])|T.dot(x[0], x[0])|x.unfold(0, 1, 1)|x.clone().fill_(1)|x.clone().add_(1)|T.zeros_like(x) + x|x.new_zeros(2) + x[0, 0]|T.ones(2, dtype=x.dtype) * x[0, 0]|x.sum().expand(3)
    x.cummax(0)|x.logcumsumexp(1)|x.kthvalue(1)[0]|x.median()|x.quantile(0.5)|T.bincount(x.argmax(0), minlength=4)|x.fliplr()|x.diag_embed()|T.meshgrid(x[0], x[0], indexing='ij')|x.count_nonzero()|x.nansum()|x.swapaxes(0, 1)|x.index_add(0, T.tensor([0]), x[:1])
    T.bucketize(x, T.tensor([0., 1.], dtype=x.dtype))|x.renorm(2, 0, 1.)|T.cdist(x, x)|x.type(T.int64)|x.bool()|F.embedding(x.argmax(0), x)|x.argsort(-1)|x.addmm(x @ x.T, x)|x.dist(x + 1)|T.fft.fft(x)|x.round()|x % 2|x // 2|x.clamp(0)|x.item()|bool(x.sum() > 0)|x.nonzero()|x.tolist()
    F.batch_norm(x, None, None, training=True)|F.max_pool1d(x[None], 1)|F.interpolate(x[None], size=4)|T.trapezoid(x)|x.numpy()|x.size(0) * x|x.numel() + x|x[x > 0]|x.atleast_3d()|T.broadcast_to(x, (2, *x.shape))|T.vander(x[0])|x.as_strided((2,), (1,))|F.dropout(x, 0.5)|T.rand_like(x)""".replace("\n", "|").split("|")


def batches(v: Values) -> list[str]:
    f = v.pick([u.strip() for u in UNBATCHED if u.strip()])
    where, out = v.pick(["0", "0", "1", "-1", "2"]), v.pick(["0", "0", "0", "-1", "1"])
    extra = v.pick(["", "", ", chunk_size=2"])
    lines = [f"x = {v.tensor(v.pick([(2, 2, 2), (2, 3, 2), (3, 2, 2), (2, 2, 3)]), v.pick(['float64', 'float64', 'float32']))}"]
    lines.append(f"y = func.vmap(lambda x: {f}, in_dims={where}, out_dims={out}{extra})(x)")
    if v.chance(0.15):
        lines[-1] = f"y = func.vmap(func.vmap(lambda x: {f.replace('x', 'x[None]')}))(x)" if "lambda" not in f and f.isascii() else lines[-1]
    return lines


AREAS = {"gradient": first_order, "second": second_order, "transforms": transforms, "batches": batches}
