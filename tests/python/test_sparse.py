"""Sparse tensors against the same calculations with dense ones."""
# SPDX-License-Identifier: Apache-2.0

import pytest

import moka
from moka import sparse


def example():
    return sparse.sparse_coo_tensor([[0, 1, 1, 0], [2, 0, 2, 2]], [3.0, 4.0, 5.0, 1.0], (2, 3))


DENSE = [[0.0, 0.0, 4.0], [4.0, 0.0, 5.0]]


def test_equal_places_add_up():
    s = example()
    assert s.to_dense().tolist() == DENSE and s._nnz() == 4 and not s.is_coalesced()
    with pytest.raises(RuntimeError, match="call .coalesce"):
        s.values()
    whole = s.coalesce()
    assert whole.indices().tolist() == [[0, 1, 1], [2, 0, 2]] and whole.values().tolist() == [4.0, 4.0, 5.0]


def test_dense_tensors_become_sparse_and_back():
    x = moka.tensor(DENSE)
    for s in (x.to_sparse(), x.to_sparse_csr(), x.to_sparse().to_sparse_csr(), x.to_sparse_csr().to_sparse()):
        assert s.to_dense().tolist() == DENSE and s._nnz() == 3 and s.shape == (2, 3)
    rows = x.to_sparse_csr()
    assert rows.crow_indices().tolist() == [0, 1, 3] and rows.col_indices().tolist() == [2, 0, 2]
    again = sparse.sparse_csr_tensor(rows.crow_indices(), rows.col_indices(), rows.values(), (2, 3))
    assert again.to_dense().tolist() == DENSE and again.layout == "sparse_csr"


@pytest.mark.parametrize("form", ["to_sparse", "to_sparse_csr"])
def test_calculations_follow_dense_ones(form):
    s, x = getattr(example(), form)(), moka.tensor(DENSE)
    w, v = moka.arange(0.0, 6.0).reshape(3, 2), moka.arange(0.0, 3.0)
    pairs = [
        (s @ w, x @ w),
        (moka.mm(s, w), x @ w),
        (w.t() @ s.t(), w.t() @ x.t()),
        (s @ v, x @ v),
        (moka.addmm(moka.ones(2, 2), s, w), 1 + x @ w),
        (s + x, x + x),
        (x + s, x + x),
        ((s + s).to_dense(), x + x),
        ((s * 2 - s / 2).to_dense(), x * 1.5),
        ((s * x).to_dense(), x * x),
        (s.t().to_dense(), x.t()),
        (s.sum(), x.sum()),
        (s.sum(0).to_dense(), x.sum(0)),
        (s.sqrt().to_dense(), x.sqrt()),
    ]
    for ours, expected in pairs:
        assert ours.shape == expected.shape and moka.allclose(ours, expected)


def test_gradients_reach_values_and_factors():
    values = moka.tensor([3.0, 4.0, 5.0], requires_grad=True)
    w = moka.arange(0.0, 6.0).reshape(3, 2).requires_grad_(True)
    s = sparse.sparse_coo_tensor([[0, 1, 1], [2, 0, 2]], values, (2, 3))
    (s @ w).square().sum().backward()
    x = moka.tensor([[0.0, 0.0, 3.0], [4.0, 0.0, 5.0]], requires_grad=True)
    u = w.detach().requires_grad_(True)
    (x @ u).square().sum().backward()
    assert moka.allclose(w.grad, u.grad)
    assert moka.allclose(values.grad, x.grad[moka.tensor([0, 1, 1]), moka.tensor([2, 0, 2])])


def test_what_does_not_fit_is_refused():
    with pytest.raises(RuntimeError, match="inconsistent with indices"):
        sparse.sparse_coo_tensor([[5]], [1.0], (2,))
    with pytest.raises(RuntimeError, match="do not fit the size"):
        sparse.sparse_coo_tensor([[-1]], [1.0], (2,))
    with pytest.raises(RuntimeError, match="are needed"):
        sparse.sparse_coo_tensor([[0, 1]], [1.0])
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        example() @ moka.ones(2, 2)
    with pytest.raises(NotImplementedError, match="use to_dense"):
        moka.conv1d(example(), moka.ones(1, 1, 1))
    with pytest.raises(AttributeError, match="to_dense"):
        example().unfold(0, 1, 1)
