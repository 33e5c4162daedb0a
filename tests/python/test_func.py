"""moka.func: vmap against loops, gradients and Jacobians against closed forms, and both nested."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from moka.func import grad, grad_and_value, hessian, jacfwd, jacrev, jvp, linearize, vjp, vmap

import moka
from moka import nn
from moka.nn import functional as F

RNG = np.random.default_rng(11)


def make(*shape: int, integers: int = 0) -> moka.Tensor:
    values = RNG.integers(0, integers, shape) if integers else RNG.standard_normal(shape)
    return moka.tensor(values)


def by_loop(function: Callable[..., Any], in_dims: Any, args: tuple[Any, ...]) -> moka.Tensor:
    dims = in_dims if isinstance(in_dims, tuple) else (in_dims,) * len(args)
    size = next(a.shape[d] for a, d in zip(args, dims, strict=True) if d is not None)
    pairs = list(zip(args, dims, strict=True))
    rows = ([a if d is None else a.select(d, i) for a, d in pairs] for i in range(size))
    return moka.stack([function(*row) for row in rows])


X, Y, W = make(5, 3, 4), make(5, 4), make(4, 6)
IMAGES, FILTERS = make(3, 2, 2, 6, 6), make(3, 4, 2, 3, 3)
INDICES = make(5, 3, 4, integers=4)
CASES = {
    "add broadcasts a batched vector": (lambda a, b: a + b, 0, (X, Y)),
    "add of an unbatched one": (lambda a, b: a + b, (0, None), (X, Y[0])),
    "batch elsewhere": (lambda a, b: a * b, (1, 0), (make(4, 5), Y)),
    "a number and a vector": (lambda a, b: a * b, (0, None), (make(5), Y[0])),
    "sum": (lambda a: a.sum(), 0, (X,)),
    "sum over a dimension": (lambda a: a.sum(-1, keepdim=True), 0, (X,)),
    "sum of a number": (lambda a: a.sum(), 0, (make(5),)),
    "mean over both": (lambda a: a.mean((0, 1)), 0, (X,)),
    "largest with index": (lambda a: a.max(0).values + a.max(0).indices, 0, (X,)),
    "argmax of all": (lambda a: a.argmax(), 0, (X,)),
    "softmax": (lambda a: a.softmax(-1), 0, (X,)),
    "variance": (lambda a: a.var(1), 0, (X,)),
    "cumsum": (lambda a: a.cumsum(0), 0, (X,)),
    "sort": (lambda a: a.sort(-1).values, 0, (X,)),
    "matrix and matrix": (lambda a, b: a @ b, (0, None), (X, W)),
    "matrix and vector": (lambda a, b: a @ b, (0, 0), (X, Y)),
    "vector and matrix": (lambda a, b: a @ b, (0, None), (Y, W)),
    "vector and vector": (lambda a, b: a @ b, (0, 0), (Y, Y)),
    "shared left matrix": (lambda a, b: a @ b, (None, 0), (W, make(5, 6, 2))),
    "linear with shared weight": (lambda a, w: F.linear(a, w), (0, None), (X, make(6, 4))),
    "linear with its own weight": (lambda a, w: F.linear(a, w), (0, 0), (X, make(5, 6, 4))),
    "reshape": (lambda a: a.reshape(4, 3) + a.reshape(-1)[0], 0, (X,)),
    "transpose and permute": (lambda a: a.transpose(0, 1) + a.permute(1, 0) + a.t(), 0, (X,)),
    "squeeze": (lambda a: a.unsqueeze(1).squeeze(), 0, (X,)),
    "expand": (lambda a: a.expand(2, 4), 0, (Y,)),
    "flatten": (lambda a: a.flatten(), 0, (X,)),
    "slices": (lambda a: a[1:, ::2], 0, (X,)),
    "one element": (lambda a: a[0, -1], 0, (X,)),
    "cat and stack": (lambda a, b: moka.cat([a, moka.stack([b, b])]), 0, (X, Y)),
    "gather": (lambda a, i: a.gather(1, i), 0, (X, INDICES)),
    "gather by shared index": (lambda a, i: a.gather(1, i), (0, None), (X, INDICES[0])),
    "embedding": (lambda w, i: F.embedding(i, w), (None, 0), (W, INDICES[:, 0])),
    "conv2d with shared filters": (lambda x, w: F.conv2d(x, w, padding=1), (0, None), (IMAGES, FILTERS[0])),
    "conv2d with its own filters": (lambda x, w: F.conv2d(x, w), (0, 0), (IMAGES, FILTERS)),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2), 0, (IMAGES,)),
    "layer norm": (lambda a: F.layer_norm(a, (4,)), 0, (X,)),
    "cross entropy (no rule)": (lambda a, t: F.cross_entropy(a, t), 0, (X, INDICES[:, :, 0])),
    "where": (lambda a, b: moka.where(a > 0, a, b), 0, (X, Y)),
    "zeros like": (lambda a: moka.zeros_like(a) + a, 0, (X,)),
    "in place": (lambda a: a.clone().add_(1).mul_(a), 0, (X,)),
}


@pytest.mark.parametrize("name", CASES)
def test_vmap_gives_what_a_loop_gives(name: str) -> None:
    function, in_dims, args = CASES[name]
    found = vmap(function, in_dims)(*args)
    expected = by_loop(function, in_dims, args)
    assert found.shape == expected.shape and found.dtype == expected.dtype
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [n for n in CASES if "argmax" not in n])
def test_gradients_flow_through_vmap(name: str) -> None:
    function, in_dims, args = CASES[name]
    results = []
    for run in (vmap(function, in_dims), lambda *a: by_loop(function, in_dims, a)):
        leaves = [a.clone().requires_grad_() if a.is_floating_point() else a for a in args]
        out = run(*leaves)
        (out * moka.arange(out.numel(), dtype=out.dtype).reshape(out.shape)).sum().backward()
        results.append([a.grad for a in leaves if a.is_floating_point()])
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-8, atol=1e-10)


def test_vmap_nests_and_places_its_output() -> None:
    outer = vmap(vmap(lambda a, b: a * b, in_dims=(0, None)), in_dims=(None, 0), out_dims=1)
    found = outer(make(4) * 0 + moka.arange(4.0, dtype=moka.float64), moka.arange(3.0, dtype=moka.float64))
    np.testing.assert_array_equal(found.numpy(), np.outer(np.arange(4.0), np.arange(3.0)))


def test_vmap_takes_nested_inputs_and_chunks() -> None:
    data = {"x": X, "pair": (Y, Y * 2)}
    function = lambda d: {"y": d["x"].sum(0) + d["pair"][0], "z": d["pair"][1]}  # noqa: E731
    whole, parts = vmap(function)(data), vmap(function, chunk_size=2)(data)
    for key in ("y", "z"):
        np.testing.assert_array_equal(whole[key].numpy(), parts[key].numpy())


def test_random_numbers_need_a_decision() -> None:
    function = lambda a: a + moka.rand(3, dtype=moka.float64)  # noqa: E731
    with pytest.raises(RuntimeError, match="randomness="):
        vmap(function)(moka.zeros(4, 3, dtype=moka.float64))
    same = vmap(function, randomness="same")(moka.zeros(4, 3, dtype=moka.float64)).numpy()
    different = vmap(function, randomness="different")(moka.zeros(4, 3, dtype=moka.float64)).numpy()
    assert (same == same[0]).all()
    assert len({row.tobytes() for row in different}) == 4


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: vmap(lambda a: a, in_dims=None)(X), "no input has a batch"),
        (lambda: vmap(lambda a, b: a + b)(X, W), "of one size"),
        (lambda: vmap(lambda a: a, in_dims=7)(X), "3 dimensions"),
        (lambda: vmap(lambda a: 3)(X), "expected tensors to be returned"),
        (lambda: vmap(lambda a: a.sum().item())(X), "vmap"),
        (lambda: vmap(lambda a: a if a.sum() > 0 else -a)(X), "vmap"),
        (lambda: vmap(lambda a: a.numpy())(X), "vmap"),
        (lambda: vmap(lambda a, b: a.add_(b), (None, 0))(X[0], X), "no batch"),
    ],
)
def test_what_cannot_be_is_a_clear_error(call: Callable[[], Any], text: str) -> None:
    with pytest.raises((ValueError, RuntimeError), match=text):
        call()


def test_a_tensor_that_escaped_is_named() -> None:
    kept = []
    vmap(lambda a: kept.append(a) or a)(X)
    with pytest.raises(RuntimeError, match="left the function"):
        kept[0] + 1


def test_grad_of_grad() -> None:
    x = moka.tensor(0.7, dtype=moka.float64)
    found = [f(x).item() for f in (grad(moka.sin), grad(grad(moka.sin)), grad(grad(grad(moka.sin))))]
    np.testing.assert_allclose(found, [np.cos(0.7), -np.sin(0.7), -np.cos(0.7)], rtol=1e-12)
    assert not grad(moka.sin)(x).requires_grad


def test_grad_takes_several_arguments_and_aux() -> None:
    def loss(w: dict[str, moka.Tensor], x: moka.Tensor) -> tuple[moka.Tensor, moka.Tensor]:
        y = w["a"] * x + w["b"]
        return (y * y).sum(), y

    w = {"a": moka.tensor(2.0, dtype=moka.float64), "b": moka.tensor(1.0, dtype=moka.float64)}
    (gw, gx), (value, y) = grad_and_value(loss, argnums=(0, 1), has_aux=True)(w, Y)
    np.testing.assert_allclose(gw["b"].numpy(), 2 * (2 * Y.numpy() + 1).sum(), rtol=1e-12)
    np.testing.assert_allclose(gx.numpy(), 4 * (2 * Y.numpy() + 1), rtol=1e-12)
    np.testing.assert_allclose(value.numpy(), (y.numpy() ** 2).sum(), rtol=1e-12)


def test_gradients_of_every_example() -> None:
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    parameters = {k: v.detach() for k, v in net.named_parameters()}
    labels = make(5, integers=3)

    def loss(p: dict[str, moka.Tensor], x: moka.Tensor, t: moka.Tensor) -> moka.Tensor:
        return F.cross_entropy(moka.func.functional_call(net, p, (x.unsqueeze(0),)), t.unsqueeze(0))

    found = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, Y, labels)
    for i in range(5):
        net.zero_grad()
        F.cross_entropy(net(Y[i : i + 1]), labels[i : i + 1]).backward()
        for name, p in net.named_parameters():
            np.testing.assert_allclose(found[name][i].numpy(), p.grad.numpy(), rtol=1e-8, atol=1e-12)


def test_jacobians_agree_with_the_matrix_and_each_other() -> None:
    matrix, x = make(3, 4), make(4)
    function = lambda v: (matrix @ v).tanh()  # noqa: E731
    slope = 1 - np.tanh(matrix.numpy() @ x.numpy()) ** 2
    for jacobian in (jacrev, jacfwd):
        np.testing.assert_allclose(jacobian(function)(x).numpy(), slope[:, None] * matrix.numpy(), rtol=1e-9)
    points = make(6, 4)
    for jacobian in (jacrev, jacfwd):
        batched = vmap(jacobian(function))(points)
        one_by_one = moka.stack([jacobian(function)(p) for p in points])
        np.testing.assert_allclose(batched.numpy(), one_by_one.numpy(), rtol=1e-9, atol=1e-12)


def test_hessian_of_a_quadratic_form() -> None:
    matrix, x = make(4, 4), make(4)
    found = hessian(lambda v: v @ (matrix @ v))(x).numpy()
    np.testing.assert_allclose(found, matrix.numpy() + matrix.numpy().T, rtol=1e-9)
    cubic = hessian(lambda v: (v**3).sum())(x).numpy()
    np.testing.assert_allclose(cubic, np.diag(6 * x.numpy()), rtol=1e-9, atol=1e-12)


def test_vjp_jvp_and_linearize_agree() -> None:
    matrix, x, t, c = make(3, 4), make(4), make(4), make(3)
    function = lambda v: (matrix @ v).sin()  # noqa: E731
    slope = np.cos(matrix.numpy() @ x.numpy())[:, None] * matrix.numpy()
    out, pull = vjp(function, x)
    np.testing.assert_allclose(out.numpy(), np.sin(matrix.numpy() @ x.numpy()), rtol=1e-12)
    np.testing.assert_allclose(pull(c)[0].numpy(), c.numpy() @ slope)
    np.testing.assert_allclose(jvp(function, (x,), (t,))[1].numpy(), slope @ t.numpy(), rtol=1e-9)
    np.testing.assert_allclose(linearize(function, x)[1](t).numpy(), slope @ t.numpy(), rtol=1e-9)


def test_models_in_an_ensemble_run_at_once() -> None:
    models = [nn.Linear(4, 2).double() for _ in range(3)]
    parameters, buffers = moka.func.stack_module_state(models)
    base = nn.Linear(4, 2).double()
    found = vmap(lambda p, b, x: moka.func.functional_call(base, (p, b), (x,)), in_dims=(0, 0, None))(
        parameters, buffers, Y
    )
    for i, model in enumerate(models):
        expected = model(Y).detach().numpy()
        np.testing.assert_allclose(found[i].detach().numpy(), expected, rtol=1e-12, atol=1e-14)


def test_transforms_under_no_grad_are_constants_outside():
    def cubed(x):
        with moka.no_grad():
            shift = grad(lambda x: 0.25 * x**4)(x)
        return x**3 - shift

    x = moka.tensor(1.5, requires_grad=True)
    assert grad(cubed)(x).item() == pytest.approx(3 * 1.5**2)
    with moka.no_grad():
        out, pull = vjp(lambda x: x**2, x)
        assert not out.requires_grad and not pull(moka.tensor(1.0))[0].requires_grad
    assert pull(moka.tensor(1.0))[0].requires_grad
    by_cotangent = grad(lambda y: vjp(moka.sin, x.detach())[1](y)[0])(moka.tensor(2.0))
    assert by_cotangent.item() == pytest.approx(x.cos().item())
    with pytest.raises(RuntimeError, match="must be unique"):
        jacrev(lambda x: x, (0, 0))(x)


def test_new_tensors_of_a_batch_have_it():
    def filled(x):
        out = x.new_zeros(3)
        out.copy_(x)
        return out + x.new_full((3,), 2.0) + x.new_empty(3).fill_(1.0)

    x = moka.arange(6.0).view(2, 3)
    assert vmap(filled)(x).tolist() == (x + 3).tolist()


def written_by_index(x):
    out = moka.zeros_like(x)
    out[0] = x[1] * x[0]
    view = out[1:]
    view += x[:-1].sin()
    view.mul_(x[1:])
    return out


def test_elements_of_a_batch_are_written_by_index():
    x, t = moka.randn(4, 3, dtype=moka.float64), moka.randn(4, 3, dtype=moka.float64)
    jacobians = [jacrev(written_by_index)(row) for row in x]
    expected = moka.stack([j @ row for j, row in zip(jacobians, t, strict=True)])
    pushed = vmap(lambda x, t: jvp(written_by_index, (x,), (t,))[1])(x, t)
    for found in (pushed, jvp(vmap(written_by_index), (x,), (t,))[1]):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-12)
    for way in (jacrev, jacfwd):
        found = vmap(way(written_by_index))(x)
        np.testing.assert_allclose(found.numpy(), moka.stack(jacobians).numpy(), rtol=1e-12)
    squares = hessian(lambda x: written_by_index(x).square().sum())
    expected = moka.stack([jacrev(jacrev(lambda x: written_by_index(x).square().sum()))(row) for row in x])
    np.testing.assert_allclose(vmap(squares)(x).numpy(), expected.numpy(), rtol=1e-9, atol=1e-12)
    with pytest.raises(RuntimeError, match="no batch"):
        vmap(lambda row: moka.zeros(3).__setitem__(0, row[0]))(x)


def test_batch_normalizations_without_statistics_run_inside_transforms():
    model = moka.nn.Sequential(moka.nn.Linear(2, 3), moka.nn.BatchNorm1d(3))
    assert moka.func.replace_all_batch_norm_modules_(model) is model
    layer = model[1]
    assert layer.running_mean is None and layer.running_var is None and not layer.track_running_stats
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    x = moka.randn(4, 5, 2)
    found = moka.func.vmap(lambda rows: moka.func.functional_call(model, parameters, (rows,)))(x)
    assert moka.allclose(found[1], model(x[1]), atol=1e-5)
