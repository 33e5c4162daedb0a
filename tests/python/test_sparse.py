"""Sparse tensors against the same calculations with dense ones."""
# SPDX-License-Identifier: Apache-2.0

import pytest

import moka
from moka import sparse


def example():
    return sparse.sparse_coo_tensor([[0, 1, 1, 0], [2, 0, 2, 2]], [3.0, 4.0, 5.0, 1.0], (2, 3))


DENSE = [[0.0, 0.0, 4.0], [4.0, 0.0, 5.0]]


def test_a_sparse_tensor_takes_no_dense_result_in_place():
    with pytest.raises(RuntimeError, match="exchange the operands"):
        moka.eye(2).to_sparse().add_(moka.ones(2, 2))


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
    with pytest.raises(RuntimeError, match="found negative index"):
        sparse.sparse_coo_tensor([[-1]], [1.0], (2,))
    with pytest.raises(RuntimeError, match="are needed"):
        sparse.sparse_coo_tensor([[0, 1]], [1.0])
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        example() @ moka.ones(2, 2)
    with pytest.raises(NotImplementedError, match="use to_dense"):
        moka.conv1d(example(), moka.ones(1, 1, 1))
    with pytest.raises(NotImplementedError, match="to_dense"):
        example().unfold(0, 1, 1)


def test_embeddings_have_sparse_gradients():
    table = moka.nn.Embedding(4, 2, padding_idx=3, sparse=True)
    moka.nn.init.ones_(table.weight)
    (table(moka.tensor([[1, 2], [2, 3]])) * 3).sum().backward()
    gradient = table.weight.grad
    assert gradient.is_sparse and isinstance(gradient, moka.Tensor) and not gradient.is_coalesced()
    assert gradient.coalesce().indices().tolist() == [[1, 2]]
    assert gradient.coalesce().values().tolist() == [[3.0, 3.0], [6.0, 6.0]]
    table(moka.tensor([0])).sum().backward()  # gradients add up
    assert table.weight.grad.to_dense().tolist() == [[1.0, 1.0], [3.0, 3.0], [6.0, 6.0], [0.0, 0.0]]


@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_bags_have_sparse_gradients(mode):
    dense, thin = (moka.nn.EmbeddingBag(4, 2, mode=mode, sparse=sparse) for sparse in (False, True))
    thin.load_state_dict(dense.state_dict())
    weights = [None, None]
    if mode == "sum":
        weights = [moka.tensor([0.5, 1.0, 2.0], requires_grad=True) for _ in range(2)]
    for bag, each in zip((dense, thin), weights, strict=True):
        (bag(moka.tensor([1, 2, 2]), moka.tensor([0, 2]), each) ** 2).sum().backward()
    assert moka.allclose(thin.weight.grad.to_dense(), dense.weight.grad)
    if mode == "sum":
        assert moka.allclose(weights[0].grad, weights[1].grad)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: moka.optim.SGD(p, lr=0.1),
        lambda p: moka.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
        lambda p: moka.optim.Adagrad(p, lr=0.1),
        lambda p: moka.optim.SparseAdam(p, lr=0.1),
    ],
)
def test_optimizers_take_sparse_gradients(make):
    tables = [moka.nn.Embedding(4, 2, sparse=sparse) for sparse in (False, True)]
    tables[1].load_state_dict(tables[0].state_dict())
    for table in tables:
        optimizer = make(list(table.parameters()))
        for _ in range(3):
            optimizer.zero_grad()
            (table(moka.tensor([1, 2, 2])) ** 2).sum().backward()
            optimizer.step()
    assert moka.allclose(tables[0].weight, tables[1].weight, atol=1e-6)


def test_other_optimizers_refuse_sparse_gradients():
    table = moka.nn.Embedding(4, 2, sparse=True)
    optimizer = moka.optim.Adam(table.parameters())
    table(moka.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="Adam does not support sparse .* consider SparseAdam"):
        optimizer.step()


def test_softmax_of_what_is_stored():
    values = moka.tensor([3.0, 4.0, 5.0], requires_grad=True)
    s = sparse.sparse_coo_tensor([[0, 1, 1], [2, 0, 2]], values, (2, 3))
    lines = s.softmax(1)
    expected = moka.tensor([4.0, 5.0]).softmax(0)
    assert moka.allclose(lines.to_dense()[1], moka.stack([expected[0], moka.tensor(0.0), expected[1]]))
    (lines.to_dense() * moka.arange(6).reshape(2, 3)).sum().backward()
    assert values.grad[0] == 0 and moka.allclose(values.grad[1], -values.grad[2])
    assert moka.allclose(s.log_softmax(0).coalesce().values().exp(), s.softmax(0).coalesce().values())


def test_vectors_have_no_other_way_round():
    x = moka.tensor([0.0, 2.0]).to_sparse()
    assert x.t().to_dense().tolist() == [0.0, 2.0]
    with pytest.raises(IndexError, match="Dimension out of range"):
        x.transpose(0, 1)
    with pytest.raises(RuntimeError, match="at most 2 dimensions"):
        moka.ones(1, 1, 1).to_sparse().t()


def test_dense_tensors_take_products_with_sparse_ones():
    x = moka.tensor([1.0, 2.0])
    assert x.mul_(moka.tensor([0.0, 3.0]).to_sparse()) is x and x.tolist() == [0.0, 6.0]
    with pytest.raises(RuntimeError):
        x.div_(moka.tensor([0.0, 3.0]).to_sparse())
