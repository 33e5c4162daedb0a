"""Linear algebra: what factorizations promise, einsum in all its forms, gradients by finite differences."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest

import moka

DTYPES = ["float32", "float64", "complex64", "complex128"]


def random(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(shape)
    if dtype.startswith("complex"):
        values = values + 1j * rng.standard_normal(shape)
    return moka.tensor(values.astype(dtype))


def close(a, b, dtype):
    tolerance = 2e-4 if dtype in ("float32", "complex64") else 1e-9
    np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=tolerance, atol=tolerance)


def hermitian(dtype, n=4, batch=(2,)):
    a = random((*batch, n, n), dtype)
    return a @ a.mH + moka.eye(n, dtype=a.dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_factors_multiply_back(dtype):
    a = random((2, 4, 3), dtype)
    q, r = moka.linalg.qr(a)
    close(q @ r, a, dtype)
    u, s, vh = moka.linalg.svd(a, full_matrices=False)
    close((u * s.unsqueeze(-2)) @ vh, a, dtype)
    p, lower, upper = moka.linalg.lu(a)
    close(p @ lower @ upper, a, dtype)
    h = hermitian(dtype)
    lower = moka.linalg.cholesky(h)
    close(lower @ lower.mH, h, dtype)
    w, v = moka.linalg.eigh(h)
    close((v * w.unsqueeze(-2)) @ v.mH, h, dtype)
    square = random((3, 3), dtype)
    w, v = moka.linalg.eig(square)
    close(v @ moka.eye(3, dtype=v.dtype).mul(w), (v * w.unsqueeze(-2)), dtype)
    close(square.to(v.dtype) @ v, v * w.unsqueeze(-2), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("left", "adjoint"), [(True, False), (True, True), (False, False), (False, True)])
def test_lu_solve_solves(dtype, left, adjoint):
    a = random((2, 3, 3), dtype)
    b = random((2, 3, 2) if left else (2, 2, 3), dtype, 1)
    factors, pivots = moka.linalg.lu_factor(a)
    x = moka.linalg.lu_solve(factors, pivots, b, left=left, adjoint=adjoint)
    used = a.mH if adjoint else a
    close(used @ x if left else x @ used, b, dtype)


def test_singular_matrices_are_named():
    stack = moka.stack([moka.eye(3), moka.zeros(3, 3)])
    with pytest.raises(moka.linalg.LinAlgError, match="Batch element 1"):
        moka.linalg.inv(stack)
    assert moka.linalg.inv_ex(stack).info.tolist() == [0, 1]
    with pytest.raises(RuntimeError, match="positive-definite"):
        moka.linalg.cholesky(-moka.eye(2))


EQUATIONS = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,jk", (2, 3), (3, 4)),
    ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    ("ii->i", (3, 3)),
    ("ii", (3, 3)),
    ("iij->j", (3, 3, 2)),
    ("...ij->...ji", (2, 3, 4)),
    ("...ij,...jk->...ik", (5, 1, 2, 3), (4, 3, 2)),
    ("i,j->ij", (2,), (3,)),
    ("i,i->", (3,), (3,)),
    ("ij->", (2, 3)),
    ("bn,anm,bm->ba", (2, 5), (3, 5, 4), (2, 4)),
    ("ab,bc,cd,de->ae", (2, 3), (3, 4), (4, 5), (5, 2)),
    ("i...,i...->...", (3, 2, 4), (3, 2, 4)),
    ("ij , ij -> i", (2, 3), (2, 3)),
    ("ba,b->ab", (3, 2), (3,)),
]


@pytest.mark.parametrize("dtype", ["float64", "complex128", "int64"])
@pytest.mark.parametrize("case", EQUATIONS, ids=lambda c: c[0])
def test_einsum_is_numpys(case, dtype):
    equation, *shapes = case
    rng = np.random.default_rng(1)
    arrays = [(rng.standard_normal(s) * 3).astype(dtype) for s in shapes]
    expected = np.einsum(equation.replace(" ", ""), *arrays)
    got = moka.einsum(equation, *map(moka.tensor, arrays))
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-10, atol=1e-12)


def test_einsum_takes_lists_of_subscripts():
    a, b = random((2, 3), "float64"), random((3, 4), "float64", 1)
    close(moka.einsum(a, [0, 1], b, [1, 2], [0, 2]), a @ b, "float64")
    close(moka.einsum(a, [..., 0, 1], [..., 1, 0]), a.mT, "float64")


@pytest.mark.parametrize(("shape", "dims", "kind"), [((), [0], IndexError), ((3, 3), [0, 0], RuntimeError)])
def test_tensordot_names_dims_that_are_not_there_or_twice(shape, dims, kind):
    with pytest.raises(kind, match="tensordot: .*dim"):
        moka.tensordot(moka.ones(shape), moka.ones(3, 3), dims=(dims, list(range(len(dims)))))


@pytest.mark.parametrize("p", [2, 3, 1.5])
def test_norms_of_half_types_do_not_leave_their_range(p):
    x = moka.full((100,), 100.0, dtype=moka.float16, requires_grad=True)
    norm = moka.linalg.vector_norm(x, p)
    assert norm.dtype == moka.float16 and norm.item() == pytest.approx(100 * 100 ** (1 / p), rel=1e-3)
    norm.backward()
    assert x.grad.dtype == moka.float16 and x.grad[0].item() == pytest.approx(100 ** (1 / p - 1), rel=1e-2)


@pytest.mark.parametrize(("dtype", "length"), [("float16", 2000.0), ("float16", 2e-3), ("float32", 1e12)])
def test_cosine_similarity_of_long_and_short_vectors(dtype, length):
    a = moka.full((4,), length, dtype=getattr(moka, dtype))
    b = moka.tensor([length, 0, 0, 0], dtype=a.dtype)
    assert moka.nn.functional.cosine_similarity(a, b, dim=0).item() == pytest.approx(0.5, rel=2e-3)


def test_tensordot_takes_a_number_or_lists():
    a, b = random((2, 3, 4), "float64"), random((3, 4, 5), "float64", 1)
    close(moka.tensordot(a, b), moka.einsum("ijk,jkl->il", a, b), "float64")
    close(moka.tensordot(a, b, ([1], [0])), moka.einsum("ijk,jml->ikml", a, b), "float64")


def cubes(u, s, vh):
    """A function of the factors that does not depend on the signs of the vectors."""
    return (u * s.unsqueeze(-2) ** 3) @ vh


DIFFERENTIABLE = {
    "cholesky": lambda a: moka.linalg.cholesky(a @ a.mH + moka.eye(3, dtype=a.dtype)),
    "inv": moka.linalg.inv,
    "det": moka.linalg.det,
    "slogdet": lambda a: moka.linalg.slogdet(a)[1],
    "solve": lambda a: moka.linalg.solve(a, a.mH),
    "lu": lambda a: moka.linalg.lu_factor(a)[0],
    "lu wide": lambda a: moka.linalg.lu_factor(a[:2])[0],
    "lu tall": lambda a: moka.linalg.lu_factor(a[:, :2])[0],
    "qr": lambda a: moka.linalg.qr(a)[1].abs(),
    "qr wide": lambda a: moka.linalg.qr(a[:2])[0] @ a[:2],
    "svdvals": moka.linalg.svdvals,
    "svd": lambda a: cubes(*moka.linalg.svd(a, full_matrices=False)),
    "svd tall": lambda a: cubes(*moka.linalg.svd(a[:, :2], full_matrices=False)),
    "eigh": lambda a: (lambda w, v: cubes(v, w, v.mH))(*moka.linalg.eigh(a + a.mH)),
    "eigvalsh": lambda a: moka.linalg.eigvalsh(a + a.mH),
    "eig": lambda a: (lambda w, v: cubes(v, w, moka.linalg.inv(v)).real)(*moka.linalg.eig(a)),
    "pinv": lambda a: moka.linalg.pinv(a[:, :2]),
    "matrix_exp": moka.linalg.matrix_exp,
    "matrix_power": lambda a: moka.linalg.matrix_power(a, -2),
    "householder": lambda a: moka.linalg.householder_product(a, a.real[0].to(a.dtype)),
    "lstsq": lambda a: moka.linalg.lstsq(a[:, :2], a)[0],
    "norm nuc": lambda a: moka.linalg.norm(a, "nuc"),
    "norm 3": lambda a: moka.linalg.vector_norm(a, 3, 1),
    "cross": lambda a: moka.linalg.cross(a, a.mT),
    "einsum": lambda a: moka.einsum("ij,jk,ik->j", a, a, a),
}


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_are_those_of_finite_differences(name, dtype):
    function = DIFFERENTIABLE[name]
    start = random((3, 3), dtype, 3) + moka.eye(3, dtype=getattr(moka, dtype)) * 2
    weights = random(tuple(function(start).shape), "float64", 4)

    def loss(a):
        y = function(a)
        return ((y.real if y.is_complex() else y) * weights).sum()

    a = start.clone().requires_grad_()
    (gradient,) = moka.autograd.grad(loss(a), a)
    for seed in range(2):
        direction = random((3, 3), dtype, 10 + seed)
        step = 1e-6
        slope = (loss(start + direction * step) - loss(start - direction * step)).item() / (2 * step)
        # The gradient g of a real loss has d(loss) = Re(sum(conj(g) dz)).
        found = float((gradient.conj() * direction).sum().real)
        assert found == pytest.approx(slope, rel=2e-5, abs=2e-6)


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("name", ["cholesky_solve", "cholesky_inverse"])
def test_gradients_of_a_given_factor_are_right_in_its_triangle(name, upper):
    rng = np.random.default_rng(3)
    factor = np.tril(rng.uniform(0.5, 1.5, (3, 3))) + np.eye(3)
    direction = np.tril(rng.standard_normal((3, 3)))
    factor, direction = (factor.T, direction.T) if upper else (factor, direction)
    right = moka.tensor(rng.standard_normal((3, 2)))
    weights = moka.tensor(rng.standard_normal((3, 2) if name == "cholesky_solve" else (3, 3)))

    def total(values, requires_grad=False):
        leaf = moka.tensor(values, requires_grad=requires_grad)
        if name == "cholesky_solve":
            return leaf, (moka.cholesky_solve(right, leaf, upper=upper) * weights).sum()
        return leaf, (moka.cholesky_inverse(leaf, upper=upper) * weights).sum()

    leaf, result = total(factor, True)
    result.backward()
    step = 1e-6 * direction
    expected = (total(factor + step)[1] - total(factor - step)[1]).item() / 2e-6
    assert float((leaf.grad.numpy() * direction).sum()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("dtype", [moka.float64, moka.complex128])
@pytest.mark.parametrize("hermitian", [False, True])
def test_symmetric_indefinite_systems(dtype, hermitian):
    a = moka.randn(2, 5, 5, dtype=dtype)
    a = a + (a.mH if hermitian else a.mT)
    b = moka.randn(2, 5, 3, dtype=dtype)
    factors, pivots, info = moka.linalg.ldl_factor_ex(a.tril(), hermitian=hermitian)
    x = moka.linalg.ldl_solve(factors, pivots, b, hermitian=hermitian)
    np.testing.assert_allclose((a @ x).numpy(), b.numpy(), atol=1e-9)
    assert info.tolist() == [0, 0] and factors.triu(1).abs().max() == 0 and pivots.dtype == moka.int32


def test_pivots_of_other_factors_are_refused():
    factors = moka.eye(3)
    with pytest.raises(RuntimeError, match="pivots must lie between 1 and 3 or their negatives, got 7"):
        moka.linalg.ldl_solve(factors, moka.tensor([1, 7, 3], dtype=moka.int32), moka.ones(3, 1))
    with pytest.raises(RuntimeError, match="negative pivots come in pairs"):
        moka.linalg.ldl_solve(factors, moka.tensor([1, 2, -3], dtype=moka.int32), moka.ones(3, 1))
    with pytest.raises(RuntimeError, match="diagonal element 1 of D is zero"):
        moka.linalg.ldl_factor(moka.zeros(2, 2))


def test_least_squares_with_fewer_equations_than_unknowns():
    a, b = moka.randn(2, 4, dtype=moka.float64), moka.randn(2, 3, dtype=moka.float64)
    for _ in range(20):  # memory that others left must not show
        junk = moka.full((4, 3), float("nan"), dtype=moka.float64)
        del junk
        x = moka.linalg.lstsq(a, b).solution
        want = np.linalg.lstsq(a.numpy(), b.numpy(), rcond=None)[0]
        np.testing.assert_allclose(x.numpy(), want, atol=1e-12)
