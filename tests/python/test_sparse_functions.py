"""Every function of sparse tensors against the same of dense ones: shapes, layouts, doubled places."""
# SPDX-License-Identifier: Apache-2.0

import pytest

import moka
from moka import sparse

SHAPES = [((4, 5), 2), ((3, 4, 5), 3), ((3, 4, 5), 2), ((3, 4, 5), 1), ((0, 4), 2), ((3, 0, 2), 1), ((6,), 1)]


def dense_of(x):
    return x.to_dense() if isinstance(x, sparse.SparseTensor) else x


def made(shape, sparse_dim, *, coalesced=False, seed=0, dtype=moka.float64):
    """A sparse tensor in which places stand twice, unless `coalesced`."""
    generator = moka.Generator().manual_seed(seed)
    count = 7 if 0 not in shape else 0
    places = moka.stack(
        [moka.randint(0, max(n, 1), (count,), generator=generator) for n in shape[:sparse_dim]]
    )
    values = moka.randn(count, *shape[sparse_dim:], generator=generator, dtype=moka.float64).to(dtype)
    x = sparse.sparse_coo_tensor(places, values, shape)
    return x.coalesce() if coalesced else x


@pytest.fixture(params=[(shape, k, c) for shape, k in SHAPES for c in (False, True)], ids=str)
def x(request):
    shape, k, coalesced = request.param
    return made(shape, k, coalesced=coalesced)


def same(result, expected):
    assert tuple(result.shape) == tuple(expected.shape) and result.dtype == expected.dtype
    if isinstance(result, sparse.SparseTensor) and result.is_coalesced():  # what it says of itself holds
        keys = result.keys()
        assert (keys[1:] > keys[:-1]).all()
    assert moka.allclose(dense_of(result), expected)


EACH = "abs asinh ceil erf expm1 neg round sin sqrt square tanh trunc isnan".split()


@pytest.mark.parametrize("name", EACH)
def test_functions_of_each_element(x, name):
    x = x.abs() if name == "sqrt" else x
    same(getattr(x, name)(), getattr(x.to_dense(), name)())


def test_dimensions_are_moved_added_and_taken_away(x):
    dense = x.to_dense()
    for dim in range(-x.dim() - 1, x.dim() + 1):
        same(x.unsqueeze(dim), dense.unsqueeze(dim))
        same(x.unsqueeze(dim).squeeze(dim), dense)
    same(x.unsqueeze(0).squeeze(), dense.unsqueeze(0).squeeze())
    for groups in (range(x.sparse_dim()), range(x.sparse_dim(), x.dim())):
        for a in groups:
            for b in groups:
                same(x.transpose(a, b), dense.transpose(a, b))
    order = [*reversed(range(x.sparse_dim())), *reversed(range(x.sparse_dim(), x.dim()))]
    same(x.permute(order), dense.permute(order))


def test_parts(x):
    dense = x.to_dense()
    for dim, size in enumerate(x.shape):
        for i in range(-size, size):
            same(x.select(dim, i), dense.select(dim, i))
        for start in range(size):
            same(x.narrow(dim, start, size - start), dense.narrow(dim, start, size - start))
        index = moka.tensor([0, size - 1, 0, -1] if size else [], dtype=moka.int64)
        same(x.index_select(dim, index), dense.index_select(dim, index % max(size, 1)))
    if x.shape[0]:
        same(x[0], dense[0])
        same(x[1:3], dense[1:3])
        same(x[None, ..., -1], dense[None, ..., -1]) if x.shape[-1] and x.dim() > 1 else None
        same(x[::2], dense[::2])


def test_several_become_one(x):
    y = x.mul(2)
    for dim in range(x.dim()):
        same(moka.cat([x, y, x], dim), moka.cat([x.to_dense(), y.to_dense(), x.to_dense()], dim))
        same(moka.stack([x, y], dim), moka.stack([x.to_dense(), y.to_dense()], dim))


def test_sums(x):
    dense = x.to_dense()
    same(x.sum(), dense.sum())
    for dim in [*range(-x.dim(), x.dim()), list(range(x.dim()))]:
        same(x.sum(dim), dense.sum(dim))
        same(moka.sum(x, dim, keepdim=True), dense.sum(dim, keepdim=True))
    assert bool(x.any()) == bool(dense.any())
    if x.numel():
        assert moka.allclose(x.norm(), dense.norm())


def test_arithmetic(x):
    other = made(tuple(x.shape), x.sparse_dim(), seed=1)
    a, b, number = x.to_dense(), other.to_dense(), 3
    same(x + other, a + b)
    same(x.add(other, alpha=2), a + 2 * b)
    same(x - other, a - b)
    same(x * other, a * b)
    same(x * number, a * number)
    same(number * x, a * number)
    same(x / number, a / number)
    same(x.div(number, rounding_mode="floor"), a.div(number, rounding_mode="floor"))
    same(x // number, a // number)
    same(x * b, a * b)
    same(x / (b + 9), a / (b + 9))
    same(b + x, a + b)
    same(x + b, a + b)
    same(-x, -a)
    same(x**2, a**2)
    for write in ("add_", "sub_", "mul_"):
        same(getattr(x.clone(), write)(other), getattr(a.clone(), write)(b))
        same(getattr(a.clone(), write)(other), getattr(a.clone(), write)(b))
    same(moka.add(x, other, out=sparse.sparse_coo_tensor(x.shape, dtype=x.dtype)), a + b)
    same(x.clone().neg_(), -a)


def test_products():
    for coalesced in (False, True):
        for seed in range(3):
            x = made((4, 5), 2, coalesced=coalesced, seed=seed)
            y, wide = made((5, 3), 2, seed=seed + 9), moka.randn(5, 6, dtype=moka.float64)
            a, b = x.to_dense(), y.to_dense()
            for form in (x, x.to_sparse_csr()):
                same(form @ wide, a @ wide)
                same(form @ wide[:, 0], a @ wide[:, 0])
                same(wide.T @ form.t(), wide.T @ a.T)
                product = form @ y
                same(product, a @ b)
                assert product.layout == form.layout
            ones, square = moka.ones(4, 6, dtype=moka.float64), made((4, 4), 2)
            same(moka.addmm(ones, x, wide, beta=2, alpha=3), 2 + 3 * (a @ wide))
            same(x.sspaddmm(square, ones[:, :5]), a + square.to_dense().sum(1, True))
            same(x.smm(wide), a @ wide)
            same(sparse.functions.hspmm(x, wide), a @ wide)
            batch = made((2, 4, 5), 3, coalesced=coalesced, seed=seed)
            right = moka.randn(2, 5, 3, dtype=moka.float64)
            same(moka.bmm(batch, right), batch.to_dense() @ right)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        x @ y.t()


def test_products_of_other_types():
    for dtype in (moka.complex64, moka.bfloat16, moka.int64):
        x, wide = made((4, 5), 2, dtype=dtype), moka.arange(0, 15).reshape(5, 3).to(dtype)
        found, expected = (product.to(moka.complex64) for product in (x @ wide, x.to_dense() @ wide))
        assert moka.allclose(found, expected, rtol=1e-2, atol=1e-2)


def test_gradients_are_those_of_the_values():
    places, size = moka.tensor([[0, 1, 1, 3], [2, 0, 2, 2]]), (4, 5)
    right = moka.randn(5, 2, dtype=moka.float64)

    def calculate(form, values, wide):
        x = sparse.sparse_coo_tensor(places, values, size)
        return form(x, wide)

    forms = [
        lambda x, w: x @ w,
        lambda x, w: (x @ x.t()).to_dense(),
        lambda x, w: (x * x).to_dense(),
        lambda x, w: x.index_select(0, moka.tensor([1, 1, 0])).to_dense(),
        lambda x, w: x.transpose(0, 1).select(0, 2).to_dense(),
        lambda x, w: moka.cat([x, x * 2], 1).to_dense(),
        lambda x, w: x.sum(1).to_dense() * w.sum(),
        lambda x, w: sparse.sampled_addmm(x, moka.ones(4, 2, dtype=moka.float64), w.t(), beta=2).to_dense(),
    ]
    for form in forms:
        values = moka.randn(4, dtype=moka.float64, requires_grad=True)
        wide = right.clone().requires_grad_(True)
        assert moka.autograd.gradcheck(lambda v, w, form=form: calculate(form, v, w), (values, wide))


def test_backward_of_a_sparse_tensor():
    values = moka.tensor([1.0, 2.0], requires_grad=True)
    x = sparse.sparse_coo_tensor([[0, 2]], values, (3,))
    (x * 3).backward(moka.tensor([1.0, 5.0, 2.0]))
    assert values.grad.tolist() == [3.0, 6.0]
    leaf = sparse.sparse_coo_tensor([[0, 2]], [1.0, 2.0], (3,), requires_grad=True)
    leaf.to_dense().sum().backward()
    assert leaf.grad.to_dense().tolist() == [1.0, 0.0, 1.0]
    twice = sparse.sparse_coo_tensor([[0, 0, 2]], [1.0, 2.0, 3.0], (3,), requires_grad=True)
    (twice * 2).backward(moka.ones(3))
    assert twice.grad.to_dense().tolist() == [2.0, 0.0, 2.0]
    leaf.grad = None
    assert leaf.grad is None


def test_rows_and_elements_that_are_stored():
    x = moka.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    rows = x.to_sparse(1)
    assert rows.sparse_dim() == 1 and rows.dense_dim() == 1 and rows.indices().tolist() == [[1]]
    assert rows.to_dense().tolist() == x.tolist() and rows.to_sparse(2).values().tolist() == [1.0]
    number = moka.tensor(3.0).to_sparse()
    assert number.sparse_dim() == 0 and number._nnz() == 1 and number.to_dense().item() == 3.0
    with pytest.raises(IndexError, match="sparse_dim 3"):
        x.to_sparse(3)


@pytest.mark.parametrize("create", [moka.zeros, moka.empty])
def test_layouts_of_new_tensors(create):
    for layout, size in ((sparse.sparse_coo, (1 << 30, 1 << 20)), (sparse.sparse_csr, (3, 4))):
        x = create(size, layout=layout, dtype=moka.float64)
        assert x.layout == layout and x._nnz() == 0 and x.dtype == moka.float64 and tuple(x.shape) == size
    assert moka.zeros_like(moka.ones(2, 2), layout=sparse.sparse_coo).layout == sparse.sparse_coo
    with pytest.raises(NotImplementedError, match="to_sparse"):
        moka.ones(2, 2, layout=sparse.sparse_coo)


def test_sizes_change():
    x = made((3, 4, 2), 2, coalesced=True)
    dense = x.to_dense()
    larger = x.clone().sparse_resize_((5, 4, 3), 2, 1)
    assert tuple(larger.shape) == (5, 4, 3) and moka.equal(larger.to_dense()[:3, :, :2], dense)
    with pytest.raises(RuntimeError, match="shrinking"):
        x.sparse_resize_((2, 4, 2), 2, 1)
    with pytest.raises(RuntimeError, match="changing the number"):
        x.sparse_resize_((3, 4, 2), 1, 2)
    assert tuple(x.sparse_resize_and_clear_((2,), 1, 0).shape) == (2,) and x._nnz() == 0


def test_diagonals():
    rows = moka.arange(1.0, 9.0).reshape(2, 4)
    found = sparse.spdiags(rows, moka.tensor([0, -1]), (4, 4))
    assert found.to_dense().tolist() == [[1, 0, 0, 0], [5, 2, 0, 0], [0, 6, 3, 0], [0, 0, 7, 4]]
    with pytest.raises(RuntimeError, match="duplicate"):
        sparse.spdiags(rows, moka.tensor([0, 0]), (4, 4))


def test_text_says_what_is_stored():
    x = sparse.sparse_coo_tensor([[0, 2]], [1.0, 2.0], (3,), dtype=moka.float64)
    assert repr(x) == (
        "tensor(indices=tensor([[0, 2]]),\n       values=tensor([1., 2.]),\n"
        "       size=(3,), nnz=2, dtype=moka.float64, layout=moka.sparse_coo)"
    )
    assert "values=tensor([], size=(0,))" in repr(sparse.sparse_coo_tensor((3,)))


def test_what_sparse_tensors_do_not_do():
    x = made((4, 5), 2)
    with pytest.raises(TypeError, match="Cannot assign"):
        x[0, 0] = 1.0
    with pytest.raises(NotImplementedError, match="use to_dense"):
        x.cos()
    with pytest.raises(RuntimeError, match="Sparse division"):
        x / x
    with pytest.raises(TypeError, match="to_dense"):
        x.numpy()
    with pytest.raises(RuntimeError, match="do not go together"):
        moka.cat([x, moka.ones(4, 5)])
