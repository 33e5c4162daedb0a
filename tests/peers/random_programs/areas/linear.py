"""Products, equations, factorizations and Fourier transforms."""
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - one call a line

from __future__ import annotations

from values import ALL, Values

PRECISE = ["float64"] * 5 + ["float32"] * 3 + ["complex128"] * 2 + ["complex64"]


def matmul(v: Values) -> list[str]:
    dtype = v.pick([*PRECISE, "int64", "bfloat16", "float16", "int32", "uint8", v.pick(ALL)])
    n, m, k = (v.pick([1, 2, 3, 0 if v.chance(0.3) else 4]) for _ in range(3))
    batch = v.shape(0, 2, 0.05, 3)
    first = (*v.broadcast(batch), n, k) if v.chance(0.85) else (k,)
    second = (*v.broadcast(batch), k, m) if v.chance(0.85) else (k,)
    grad = dtype in ("float64", "complex128") and v.chance(0.4)
    lines = [f"x = {v.tensor(first, dtype, grad=grad)}", f"y = {v.tensor(second, dtype if v.chance(0.95) else v.pick(ALL), grad=grad)}"]
    c = v.tensor(v.pick([(n, m), (m,), (), (n, 1)]), dtype)
    number = v.pick(["1", "2", "0.5", "0", "-1"])
    lines.append(
        v.pick(
            [
                "z = x @ y",
                "z = T.matmul(x, y)",
                "z = T.mm(x, y)",
                "z = T.bmm(x, y)",
                "z = T.mv(x, y)",
                "z = T.dot(x.flatten(), x.flatten())",
                "z = T.vdot(x.flatten(), x.flatten())",
                "z = T.inner(x, y.mT if y.ndim > 1 else y)",
                "z = T.outer(x.flatten(), y.flatten())",
                f"z = T.addmm({c}, x, y, beta={number}, alpha={number})",
                f"z = T.baddbmm({c}, x, y, beta={number})",
                f"z = T.addbmm({c}, x, y, alpha={number})",
                f"z = T.addmv({v.tensor((n,), dtype)}, x, y, beta={number})",
                f"z = T.addr({c}, x.flatten()[:{n}], y.flatten()[:{m}], alpha={number})",
                "z = F.linear(x, y.mT if y.ndim > 1 else y)",
                f"z = F.linear(x, y.mT if y.ndim > 1 else y, {v.tensor((m,), dtype)})",
                f"z = T.tensordot(x, y, {v.pick(['1', '0', '2', '([-1], [-2])', '([-1], [0])', '([0, -1], [1, 0])'])})",
                "z = T.linalg.multi_dot([x, y, y.mT])",
                "z = T.chain_matmul(x, y)",
                "z = T.linalg.vecdot(x, x)",
                "z = T.kron(x, y)",
                "z = T.cross(x, x, dim=-1)",
                "z = T.einsum('...ij,...jk->...ik', x, y)",
                "z = F.bilinear(x, x, T.ones(2, x.shape[-1], x.shape[-1], dtype=x.dtype))",
            ]
        )
    )
    if grad:
        lines += ["(z * z.conj()).real.sum().backward()"]
    return lines


def einsum(v: Values) -> list[str]:
    letters, sizes = "abcde", {c: v.pick([1, 2, 3, 2]) for c in "abcde"}
    dtype, names, terms, lines = v.pick(["float64", "float64", "complex128", "int64", "float32"]), "xyz", [], []
    grad, spread = dtype == "float64" and v.chance(0.4), v.chance(0.25)
    for name in names[: v.randint(1, 3)]:
        term = "".join(v.choice(letters[:4]) for _ in range(v.randint(0, 3)))
        shape = [sizes[c] for c in term]
        if spread and v.chance(0.7):
            at = v.randint(0, len(term))
            dots = [2, 3][-v.randint(0, 2) :] if v.chance(0.8) else []
            term, shape = f"{term[:at]}...{term[at:]}", [*shape[:at], *dots, *shape[at:]]
        terms.append(term)
        lines.append(f"{name} = {v.tensor(tuple(shape), dtype, grad=grad)}")
    used = sorted(set("".join(terms)) - {"."})
    equation = ",".join(terms)
    if v.chance(0.8):
        out = v.sample(used, v.randint(0, len(used)))
        if spread and v.chance(0.85):
            out.insert(v.randint(0, len(out)), "...")
        equation += "->" + "".join(out)
    if v.chance(0.1):
        equation = v.pick([equation.replace(",", " , "), equation + "->", equation.replace("->", "-"), equation + "z", equation.upper(), equation + ","])
    lines.append(f"o = T.einsum({equation!r}, {', '.join(names[: len(terms)])})")
    if grad:
        lines.append("(o * o).sum().backward()")
    return lines


def square(v: Values, n: int, batch: tuple[int, ...], dtype: str, extra: str = "") -> str:
    return f"{v.tensor((*batch, n, n), dtype)} + {4 + n} * T.eye({n}, dtype=T.{dtype}){extra}"


def linalg(v: Values) -> list[str]:
    dtype, n, batch = v.pick([*PRECISE, "float16" if v.chance(0.2) else "float64"]), v.pick([0 if v.chance(0.4) else 2, 1, 2, 3, 4]), v.pick([(), (), (2,), (0,), (2, 1)])
    m = v.pick([1, 2, 3, 0, 5])
    lines = [f"x = {square(v, n, batch, dtype)}", f"r = {v.tensor((*batch, m, n), dtype)}", f"b = {v.tensor((*batch, n, 2), dtype)}", "s = x @ x.mH"]
    grad = v.chance(0.4) and dtype in ("float64", "complex128")
    if grad:
        lines[0] = f"x = ({square(v, n, batch, dtype)}).requires_grad_()"
    p = v.pick(["2", "1", "inf", "-inf", "'fro'", "'nuc'", "0", "-1", "-2", "3", "None"])
    lines.append(
        "y = "
        + v.pick(
            [
                "T.linalg.inv(x)",
                "T.linalg.det(x)",
                "T.linalg.slogdet(x)",
                "T.logdet(s)",
                "T.linalg.cholesky(s)",
                "T.linalg.cholesky(s, upper=True)",
                "T.linalg.cholesky_ex(s)",
                "T.cholesky_inverse(T.linalg.cholesky(s))",
                "T.cholesky_solve(b, T.linalg.cholesky(s))",
                "T.linalg.solve(x, b)",
                "T.linalg.solve(x, b[..., 0])",
                "T.linalg.solve(x, x, left=False)",
                "T.linalg.solve_triangular(x, b, upper=True)",
                "T.linalg.solve_triangular(x, b, upper=False, unitriangular=True)",
                "T.triangular_solve(b, x)",
                "T.linalg.lu(x)",
                "T.linalg.lu_factor(x)",
                "T.linalg.lu_solve(*T.linalg.lu_factor(x), b)",
                "T.lu_unpack(*T.linalg.lu_factor(x))",
                "T.linalg.ldl_factor(s)",
                "T.linalg.qr(r)[1].abs()",
                "T.linalg.qr(r, mode='r')[1].abs()",
                "T.linalg.qr(r, mode='complete')[0].shape",
                "T.linalg.svdvals(r)",
                "T.linalg.svd(r, full_matrices=False)[1]",
                "T.linalg.svd(r)[2].shape",
                "T.linalg.eigvalsh(s)",
                "T.linalg.eigh(s)[0]",
                "T.linalg.eigvals(x).abs().sum(-1)",
                "T.linalg.pinv(r)",
                "T.linalg.pinv(s, hermitian=True)",
                "T.linalg.matrix_rank(r)",
                "T.linalg.matrix_rank(r, atol=1e6)",
                f"T.linalg.matrix_power(x, {v.randint(-3, 4)})",
                "T.linalg.matrix_exp(x / 10)",
                f"T.linalg.cond(x, {p})",
                f"T.linalg.norm(r, {p})",
                f"T.linalg.norm(r, {p}, dim=(-2, -1), keepdim=True)",
                f"T.linalg.norm(r, {p}, dim=-1)",
                f"T.linalg.vector_norm(r, {p}, dim={v.pick(['None', '0', '-1', '(0, 1)', '()'])}, keepdim={v.chance(0.5)})",
                f"T.linalg.matrix_norm(r, {p}, dim={v.pick(['(-2, -1)', '(0, 1)', '(-1, -2)', '(0, 0)'])}, keepdim={v.chance(0.5)})",
                "T.linalg.lstsq(x, b).solution",
                "T.linalg.householder_product(r, r[..., 0, :])",
                "T.linalg.tensorinv(x.reshape(*x.shape, 1)[..., 0], ind=1)",
                "T.linalg.tensorsolve(x, b[..., 0])",
                "T.linalg.vander(b[..., 0])",
                "T.linalg.diagonal(r)",
                "T.linalg.cross(b.mT[..., :3], b.mT[..., :3])",
                "T.linalg.inv_ex(x)",
                "T.linalg.inv(r)",
                "T.linalg.det(r)",
                "T.linalg.cholesky(-s)",
                "T.linalg.inv(x * 0)",
                "T.linalg.solve(x * 0, b)",
                "T.geqrf(r)[0].abs()",
                "T.trace(r)",
            ]
        )
    )
    if grad:
        lines += ["z = y[0] if isinstance(y, tuple) else y", "(z * z.conj()).real.sum().backward()"]
    return lines


def fft(v: Values) -> list[str]:
    dtype, shape = v.pick([*PRECISE, "int64", "float16" if v.chance(0.1) else "bool"]), v.shape(1, 3, 0.05, 6)
    name = v.pick("fft ifft rfft irfft hfft ihfft fft2 ifft2 rfft2 irfft2 fftn ifftn rfftn irfftn hfft2 ihfft2 hfftn ihfftn fftshift ifftshift".split())
    norm = v.pick(["", ", norm='ortho'", ", norm='forward'", ", norm='backward'", ", norm='x'"])
    many = name.endswith(("2", "n"))
    if "shift" in name:
        call = f"T.fft.{name}(x{v.pick(['', ', dim=0', ', dim=(0,)', ', dim=(0, -1)'])})"
    elif many:
        size = v.pick(["", ", s=(4,)", ", s=(3, 4)", ", s=(-1, 3)", ", s=(0, 2)", ", s=(5, 1)"])
        call = f"T.fft.{name}(x{size}{v.pick(['', ', dim=(0,)', ', dim=(0, 1)', ', dim=(-1, 0)', ', dim=(1, 1)', ', dim=-1'])}{norm})"
    else:
        call = f"T.fft.{name}(x{v.pick(['', ', n=5', ', n=1', ', n=0', ', n=8', ', n=2'])}{v.pick(['', ', dim=0', f', dim={v.dim(shape)}'])}{norm})"
    grad = dtype in ("float64", "complex128") and v.chance(0.4)
    lines = [f"x = {v.tensor(shape, dtype, grad=grad)}", f"y = {call}"]
    if v.chance(0.2):
        lines[1] = "y = " + v.pick(
            [
                f"T.fft.fftfreq({v.randint(0, 5)}, d={v.pick(['1.0', '0.5', '0'])})",
                f"T.fft.rfftfreq({v.randint(0, 5)})",
                f"T.stft(x.flatten(), {v.pick(['4', '2', '8'])}, hop_length={v.pick(['1', '2', 'None'])}, window=T.ones(4, dtype=T.float64), center={v.chance(0.7)}, return_complex=True)",
                f"T.stft(x.flatten(), 4, return_complex=True, normalized={v.chance(0.5)}, onesided={v.chance(0.5)}, pad_mode='constant')",
                "T.istft(T.stft(x.flatten(), 4, window=T.ones(4, dtype=T.float64), return_complex=True), 4, window=T.ones(4, dtype=T.float64))",
            ]
        )
    if grad:
        lines.append("(y * y.conj()).real.sum().backward()")
    return lines


AREAS = {"matmul": matmul, "einsum": einsum, "linalg": linalg, "fft": fft}
