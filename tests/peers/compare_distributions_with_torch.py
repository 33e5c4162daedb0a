"""Every distribution, transform, constraint and divergence beside torch's.

    python tests/peers/compare_distributions_with_torch.py [NAMES]

It prints one line for each difference, then counts.
"""
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - its tables have one case a line

from __future__ import annotations

import sys
import warnings
from typing import Any

import moka.distributions as M
import numpy as np
import torch
import torch.distributions as T

import moka

warnings.simplefilter("ignore")

R = np.random.default_rng(0)


def positive(*shape: int) -> np.ndarray:
    return R.uniform(0.3, 3.0, shape)


def real(*shape: int) -> np.ndarray:
    return R.normal(size=shape)


def unit(*shape: int) -> np.ndarray:
    return R.uniform(0.05, 0.95, shape)


def simplex(*shape: int) -> np.ndarray:
    return R.dirichlet(np.ones(shape[-1]), shape[:-1])


def spd(*shape: int) -> np.ndarray:
    a = R.normal(size=shape)
    return a @ np.swapaxes(a, -1, -2) + shape[-1] * np.eye(shape[-1])


def tril(*shape: int) -> np.ndarray:
    return np.linalg.cholesky(spd(*shape))


# name: list of keyword arguments
CASES: dict[str, list[dict[str, Any]]] = {
    "Bernoulli": [{"probs": unit(3)}, {"logits": real(2, 3)}, {"probs": 0.3}, {"probs": np.array([0.0, 1.0])}],
    "Beta": [
        {"concentration1": positive(2, 3), "concentration0": positive(3)},
        {"concentration1": 2.0, "concentration0": 0.5},
    ],
    "Binomial": [
        {"total_count": 5, "probs": unit(3)},
        {"total_count": np.array([3.0, 9.0]), "logits": real(2)},
        {"total_count": 40, "probs": unit(2, 2)},
    ],
    "Categorical": [{"probs": simplex(2, 4)}, {"logits": real(5)}, {"probs": np.array([1.0, 0.0])}],
    "Cauchy": [{"loc": real(3), "scale": positive(2, 3)}, {"loc": 0.0, "scale": 1.0}],
    "Chi2": [{"df": positive(4)}, {"df": 3.0}],
    "ContinuousBernoulli": [{"probs": unit(4)}, {"logits": real(2, 2)}, {"probs": np.array([0.5, 0.4995])}],
    "Dirichlet": [{"concentration": positive(4)}, {"concentration": positive(2, 3)}],
    "Exponential": [{"rate": positive(3)}, {"rate": 2.0}],
    "FisherSnedecor": [{"df1": positive(3), "df2": positive(3) * 4}, {"df1": 3.0, "df2": 9.0}],
    "Gamma": [{"concentration": positive(2, 3), "rate": positive(3)}, {"concentration": 0.2, "rate": 2.0}],
    "GeneralizedPareto": [
        {"loc": real(3), "scale": positive(3), "concentration": np.array([0.0, -0.4, 0.3])},
        {"loc": 0.0, "scale": 1.0, "concentration": 0.8},
    ],
    "Geometric": [{"probs": unit(3)}, {"logits": real(2)}, {"probs": 1.0}],
    "Gumbel": [{"loc": real(3), "scale": positive(2, 3)}, {"loc": 0.0, "scale": 1.0}],
    "HalfCauchy": [{"scale": positive(3)}, {"scale": 2.0}],
    "HalfNormal": [{"scale": positive(3)}, {"scale": 2.0}],
    "InverseGamma": [{"concentration": positive(3), "rate": positive(3)}, {"concentration": 3.0, "rate": 1.0}],
    "Kumaraswamy": [
        {"concentration1": positive(3), "concentration0": positive(3)},
        {"concentration1": 2.0, "concentration0": 0.5},
    ],
    "LKJCholesky": [{"dim": 3, "concentration": positive(2)}, {"dim": 2, "concentration": 1.0}],
    "Laplace": [{"loc": real(3), "scale": positive(2, 3)}, {"loc": 0.0, "scale": 1.0}],
    "LogNormal": [{"loc": real(3), "scale": positive(2, 3)}, {"loc": 0.0, "scale": 1.0}],
    "LogisticNormal": [{"loc": real(3), "scale": positive(3)}, {"loc": real(2, 3), "scale": positive(3)}],
    "LowRankMultivariateNormal": [
        {"loc": real(4), "cov_factor": real(4, 2), "cov_diag": positive(4)},
        {"loc": real(3, 4), "cov_factor": real(4, 1), "cov_diag": positive(2, 1, 4)},
    ],
    "Multinomial": [{"total_count": 5, "probs": simplex(3)}, {"total_count": 3, "logits": real(2, 4)}],
    "MultivariateNormal": [
        {"loc": real(3), "covariance_matrix": spd(3, 3)},
        {"loc": real(2, 3), "precision_matrix": spd(3, 3)},
        {"loc": real(3), "scale_tril": tril(4, 2, 3, 3)},
    ],
    "NegativeBinomial": [
        {"total_count": 5, "probs": unit(3)},
        {"total_count": np.array([0.0, 9.0]), "logits": real(2)},
    ],
    "Normal": [{"loc": real(3), "scale": positive(2, 3)}, {"loc": 0.0, "scale": 1.0}, {"loc": real(2), "scale": 2}],
    "OneHotCategorical": [{"probs": simplex(2, 4)}, {"logits": real(5)}],
    "OneHotCategoricalStraightThrough": [{"probs": simplex(2, 4)}, {"logits": real(5)}],
    "Pareto": [{"scale": positive(3), "alpha": positive(3)}, {"scale": 1.0, "alpha": 3.0}],
    "Poisson": [{"rate": positive(3)}, {"rate": 20.0}],
    "RelaxedBernoulli": [
        {"temperature": np.array(0.7), "probs": unit(3)},
        {"temperature": np.array([2.0]), "logits": real(2, 3)},
    ],
    "RelaxedOneHotCategorical": [
        {"temperature": np.array(0.7), "probs": simplex(2, 4)},
        {"temperature": np.array(2.0), "logits": real(5)},
    ],
    "StudentT": [{"df": positive(3), "loc": real(3), "scale": positive(3)}, {"df": 5.0}],
    "Uniform": [{"low": -positive(3), "high": positive(2, 3)}, {"low": 0.0, "high": 1.0}],
    "VonMises": [{"loc": real(3), "concentration": positive(3)}, {"loc": 0.0, "concentration": 20.0}],
    "Weibull": [{"scale": positive(3), "concentration": positive(3)}, {"scale": 1.0, "concentration": 2.0}],
    "Wishart": [
        {"df": np.array(4.5), "covariance_matrix": spd(3, 3)},
        {"df": np.array([5.0, 7.0]), "precision_matrix": spd(3, 3)},
        {"df": 3, "scale_tril": tril(2, 2)},
    ],
}
BAD: list[tuple[str, dict[str, Any]]] = [
    ("Normal", {"loc": 0.0, "scale": -1.0}),
    ("Normal", {"loc": float("nan"), "scale": 1.0}),
    ("Normal", {"loc": "a", "scale": 1.0}),
    ("Normal", {"loc": np.zeros(2), "scale": np.ones(3)}),
    ("Gamma", {"concentration": 0.0, "rate": 1.0}),
    ("Beta", {"concentration1": -1.0, "concentration0": 1.0}),
    ("Bernoulli", {"probs": 1.5}),
    ("Bernoulli", {}),
    ("Bernoulli", {"probs": 0.5, "logits": 0.0}),
    ("Binomial", {"total_count": -1, "probs": 0.5}),
    ("Binomial", {"total_count": 1.5, "probs": 0.5}),
    ("Categorical", {"probs": np.array([-1.0, 2.0])}),
    ("Categorical", {"probs": np.array(1.0)}),
    ("Categorical", {"logits": np.array([0.0, float("nan")])}),
    ("Dirichlet", {"concentration": np.array(1.0)}),
    ("Dirichlet", {"concentration": np.array([1.0, 0.0])}),
    ("Uniform", {"low": 1.0, "high": 1.0}),
    ("Geometric", {"probs": 0.0}),
    ("LKJCholesky", {"dim": 1}),
    ("Multinomial", {"total_count": np.array([2.0, 3.0]), "probs": np.array([0.5, 0.5])}),
    ("MultivariateNormal", {"loc": np.zeros(2)}),
    ("MultivariateNormal", {"loc": np.zeros(2), "covariance_matrix": np.array([[1.0, 2.0], [2.0, 1.0]])}),
    ("MultivariateNormal", {"loc": np.array(0.0), "covariance_matrix": np.eye(2)}),
    ("MultivariateNormal", {"loc": np.zeros(2), "scale_tril": np.array([[1.0, 1.0], [0.0, 1.0]])}),
    ("LowRankMultivariateNormal", {"loc": np.zeros(2), "cov_factor": np.ones((3, 1)), "cov_diag": np.ones(2)}),
    ("Poisson", {"rate": -1.0}),
    ("Wishart", {"df": 1.0, "covariance_matrix": np.eye(3)}),
    ("Wishart", {"df": 4.0}),
    ("NegativeBinomial", {"total_count": -1.0, "probs": 0.5}),
    ("NegativeBinomial", {"total_count": 1.0, "probs": 1.0}),
    ("VonMises", {"loc": 0.0, "concentration": -1.0}),
    ("Pareto", {"scale": -1.0, "alpha": 1.0}),
    ("OneHotCategorical", {"probs": np.array([-1.0, 2.0])}),
]
WRONG_VALUES = {
    "Bernoulli": 0.5, "Beta": 1.5, "Binomial": 99.0, "Categorical": 17, "Chi2": -1.0, "Exponential": -1.0,
    "Gamma": -0.1, "Geometric": 0.5, "HalfNormal": -1.0, "Normal": float("nan"), "Pareto": 0.01, "Poisson": -1.0,
    "Uniform": 9.0, "Weibull": -1.0, "NegativeBinomial": 1.5, "HalfCauchy": -1.0, "ContinuousBernoulli": 2.0,
}  # fmt: skip


def to_torch(value: Any, grad: bool = False) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    tensor = torch.tensor(value)
    return tensor.requires_grad_() if grad and tensor.is_floating_point() else tensor


def to_moka(value: Any, grad: bool = False) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    tensor = moka.tensor(value)
    return tensor.requires_grad_() if grad and value.dtype.kind == "f" else tensor


class Count:
    checks = 0
    differences = 0


def differ(where: str, what: str) -> None:
    Count.differences += 1
    print(f"{where}: {what}")


def attempt(function: Any) -> tuple[str, Any]:
    try:
        return "value", function()
    except Exception as error:
        return type(error).__name__, str(error)


def plain(value: Any) -> Any:
    if isinstance(value, (torch.Tensor, moka.Tensor)):
        return value.detach().numpy()
    return value


def same(where: str, ours: Any, theirs: Any, rtol: float = 2e-6) -> None:
    """Two calls give values of one shape, dtype and content, or fail alike."""
    Count.checks += 1
    (kind, a), (expected, b) = attempt(ours), attempt(theirs)
    if kind != expected:
        return differ(where, f"{kind} {str(a)[:300]!r}, torch {expected} {str(b)[:200]!r}")
    if kind != "value":
        return None
    if isinstance(b, (torch.Tensor, moka.Tensor)):
        x, y = plain(a), plain(b)
        if x.shape != y.shape or str(x.dtype) != str(y.dtype):
            return differ(where, f"{x.shape} {x.dtype}, torch {y.shape} {y.dtype}")
        loose = max(rtol, 2e-5) if x.dtype == np.float32 else rtol
        if not np.allclose(x, y, rtol=loose, atol=loose, equal_nan=True):
            return differ(where, f"{x.ravel()[:4]}, torch {y.ravel()[:4]}")
        return None
    if isinstance(b, (torch.Size, tuple)):
        a, b = tuple(a), tuple(b)
    if a != b:
        differ(where, f"{a!r}, torch {b!r}")
    return None


def compare(name: str, arguments: dict[str, Any], where: str) -> None:
    torch.manual_seed(0)
    t = getattr(T, name)(**{k: to_torch(v) for k, v in arguments.items()})
    m = getattr(M, name)(**{k: to_moka(v) for k, v in arguments.items()})
    for attribute in ("batch_shape", "event_shape", "has_rsample", "has_enumerate_support"):
        same(f"{where}.{attribute}", lambda a=attribute: getattr(m, a), lambda a=attribute: getattr(t, a))
    same(f"{where}.support", lambda: repr(m.support).split("(")[0], lambda: repr(t.support).split("(")[0])
    same(
        f"{where}.support kind",
        lambda: (m.support.is_discrete, m.support.event_dim),
        lambda: (t.support.is_discrete, t.support.event_dim),
    )
    for attribute in ("mean", "variance", "stddev", "mode", *arguments):
        same(f"{where}.{attribute}", lambda a=attribute: getattr(m, a), lambda a=attribute: getattr(t, a))
    for method in ("entropy", "perplexity", "enumerate_support"):
        same(f"{where}.{method}", lambda x=method: getattr(m, x)(), lambda x=method: getattr(t, x)())
    for shape in ((), (5,), (2, 3)):
        value = t.sample(shape)
        same(f"{where}.sample{shape}", lambda s=shape: m.sample(s) * 0, lambda v=value: v * 0)
        if t.has_rsample:
            same(f"{where}.rsample{shape}", lambda s=shape: m.rsample(s) * 0, lambda v=value: v * 0)
        ours = moka.tensor(value.numpy())
        same(f"{where}.log_prob{shape}", lambda o=ours: m.log_prob(o), lambda v=value: t.log_prob(v))
        same(f"{where}.cdf{shape}", lambda o=ours: m.cdf(o), lambda v=value: t.cdf(v))
        share = torch.rand(t.log_prob(value).shape, dtype=torch.float64 if value.dtype == torch.float64 else None)
        p = moka.tensor(share.numpy())
        same(f"{where}.icdf{shape}", lambda o=p: m.icdf(o), lambda v=share: t.icdf(v))
    gradients(name, arguments, value, where)
    big = (3, 2, *t.batch_shape)
    wide_t, wide_m = t.expand(torch.Size(big)), m.expand(big)
    same(f"{where}.expand", lambda: wide_m.batch_shape, lambda: wide_t.batch_shape)
    for attribute in ("mean", "variance"):
        same(f"{where}.expand.{attribute}", lambda a=attribute: getattr(wide_m, a), lambda a=attribute: getattr(wide_t, a))
    value = wide_t.sample((2,))
    ours = moka.tensor(value.numpy())
    same(f"{where}.expand.log_prob", lambda: wide_m.log_prob(ours), lambda: wide_t.log_prob(value))
    same(f"{where}.expand.entropy", lambda: wide_m.entropy(), lambda: wide_t.entropy())
    same(f"{where}.expand.sample", lambda: wide_m.sample((2,)) * 0, lambda: value * 0)
    same(f"{where}.repr", lambda: repr(m).split("(")[0], lambda: repr(t).split("(")[0])
    same(f"{where} too few dimensions", lambda: m.log_prob(0), lambda: t.log_prob(0))
    odd = np.zeros((*[7] * (len(t.batch_shape) + len(t.event_shape)),)) if value.dim() > 1 else None
    if odd is not None and odd.ndim:
        same(f"{where} odd shape", lambda: m.log_prob(to_moka(odd)), lambda: t.log_prob(to_torch(odd)))
    if name in WRONG_VALUES:
        wrong = WRONG_VALUES[name]
        same(
            f"{where} wrong value",
            lambda: m.log_prob(moka.full(tuple(t.batch_shape), wrong)),
            lambda: t.log_prob(torch.full(t.batch_shape, wrong)),
        )


def gradients(name: str, arguments: dict[str, Any], value: torch.Tensor, where: str) -> None:
    for method in ("log_prob", "entropy", "mean"):

        def run(module: Any, convert: Any, method: str = method) -> list[Any]:
            leaves = {k: convert(v, grad=True) for k, v in arguments.items()}
            d = getattr(module, name)(**leaves, validate_args=False)
            inside = convert(value.numpy()) if method == "log_prob" else None
            result = getattr(d, method)
            result = result(inside) if inside is not None else result() if callable(result) else result
            result.sum().backward()
            return [v.grad for v in leaves.values() if isinstance(v, (torch.Tensor, moka.Tensor))]

        (kind, ours), (expected, theirs) = attempt(lambda: run(M, to_moka)), attempt(lambda: run(T, to_torch))
        Count.checks += 1
        if kind != expected:
            if "does not require grad" in str(theirs) and "grad" in str(ours):
                continue
            differ(f"{where} gradient of {method}", f"{kind} {str(ours)[:200]}, torch {expected} {str(theirs)[:200]}")
            continue
        if kind != "value":
            continue
        for a, b in zip(ours, theirs, strict=True):
            if (a is None) != (b is None):
                if b is None and np.all(plain(a) == 0) or a is None and np.all(plain(b) == 0):
                    continue
                differ(f"{where} gradient of {method}", f"{a}, torch {b}")
            elif b is not None:
                same(f"{where} gradient of {method}", lambda a=a: a, lambda b=b: b, 1e-5)


def divergences() -> None:
    from torch.distributions.kl import _KL_REGISTRY

    done = set()
    for kind_p, kind_q in _KL_REGISTRY:
        done.add((kind_p.__name__, kind_q.__name__))
    pairs = [(p, q) for p in CASES for q in CASES]
    for p, q in pairs:
        for a in CASES[p][:2]:
            for b in CASES[q][:2]:
                where = f"kl({p}, {q})"
                tp, tq = (getattr(T, n)(**{k: to_torch(v) for k, v in c.items()}) for n, c in ((p, a), (q, b)))
                mp, mq = (getattr(M, n)(**{k: to_moka(v) for k, v in c.items()}) for n, c in ((p, a), (q, b)))
                kind, value = attempt(lambda tp=tp, tq=tq: T.kl_divergence(tp, tq))
                if kind not in ("value", "NotImplementedError", "ValueError"):  # shapes that do not fit
                    continue
                fit, shape = attempt(lambda tp=tp, tq=tq: torch.broadcast_shapes(tp.batch_shape, tq.batch_shape))
                if fit != "value":
                    continue
                if kind == "value":
                    same(
                        where,
                        lambda mp=mp, mq=mq, s=shape: M.kl_divergence(mp, mq).expand(tuple(s)),
                        lambda v=value, s=shape: v.expand(s),
                    )
                else:
                    same(where, lambda mp=mp, mq=mq: M.kl_divergence(mp, mq), lambda tp=tp, tq=tq: T.kl_divergence(tp, tq))


def transforms() -> None:
    def make(module: Any, convert: Any, kit: Any) -> dict[str, Any]:
        x = module
        a, b = convert(np.array([0.5, 2.0, 1.5])), convert(np.array([1.0, -1.0, 0.3]))
        return {
            "Abs": x.AbsTransform(), "Exp": x.ExpTransform(), "Sigmoid": x.SigmoidTransform(),
            "Tanh": x.TanhTransform(), "Softplus": x.SoftplusTransform(), "Softmax": x.SoftmaxTransform(),
            "StickBreaking": x.StickBreakingTransform(), "Power": x.PowerTransform(a),
            "PowerNumber": x.PowerTransform(convert(np.array(2.0))),
            "Affine": x.AffineTransform(b, a), "AffineNumber": x.AffineTransform(1.0, -2.0),
            "AffineEvent": x.AffineTransform(b, a, event_dim=1),
            "LowerCholesky": x.LowerCholeskyTransform(), "PositiveDefinite": x.PositiveDefiniteTransform(),
            "CorrCholesky": x.CorrCholeskyTransform(), "Identity": x.identity_transform,
            "Compose": x.ComposeTransform([x.AffineTransform(b, a), x.SigmoidTransform(), x.AffineTransform(0, 3)]),
            "ComposeEvent": x.ComposeTransform([x.ExpTransform(), x.AffineTransform(b, a, event_dim=1)]),
            "Independent": x.IndependentTransform(x.ExpTransform(), 1),
            "Reshape": x.ReshapeTransform((3,), (3, 1)),
            "Cat": x.CatTransform([x.ExpTransform(), x.AffineTransform(1.0, 2.0)], dim=-1, lengths=[1, 2]),
            "Stack": x.StackTransform([x.ExpTransform(), x.AffineTransform(1.0, 2.0), x.TanhTransform()], dim=-1),
            "Stack0": x.StackTransform([x.ExpTransform(), x.SigmoidTransform()], dim=0),
            "Cumulative": x.CumulativeDistributionTransform(x.Normal(0.0, 1.0)),
            "Inverse": x.ExpTransform().inv, "ComposeInverse": x.ComposeTransform([x.ExpTransform(), x.AffineTransform(b, a)]).inv,
            "ComposeStick": x.ComposeTransform([x.AffineTransform(b, a), x.StickBreakingTransform()]),
        }  # fmt: skip

    theirs, ours = make(T, to_torch, torch), make(M, to_moka, moka)
    for name, t in theirs.items():
        m = ours[name]
        where = f"transform {name}"
        x = R.normal(size=(2, 3, 3) if "Chol" in name and "Corr" not in name or "Def" in name else (2, 3))
        if name in ("Power", "PowerNumber", "Inverse", "ComposeInverse"):
            x = np.abs(x) + 0.1
        y = t(to_torch(x))
        same(where, lambda m=m, x=x: m(to_moka(x)), lambda y=y: y)
        same(f"{where}.inv", lambda m=m, y=y: m.inv(to_moka(y.numpy())), lambda t=t, y=y: t.inv(y))
        same(
            f"{where}.log_abs_det_jacobian",
            lambda m=m, x=x, y=y: m.log_abs_det_jacobian(to_moka(x), to_moka(y.numpy())),
            lambda t=t, x=x, y=y: t.log_abs_det_jacobian(to_torch(x), y),
        )
        for attribute in ("bijective", "event_dim", "sign"):
            same(f"{where}.{attribute}", lambda m=m, a=attribute: getattr(m, a), lambda t=t, a=attribute: getattr(t, a))
        for side in ("domain", "codomain"):
            same(f"{where}.{side}", lambda m=m, s=side: repr(getattr(m, s)), lambda t=t, s=side: repr(getattr(t, s)))
            same(f"{where}.{side} dim", lambda m=m, s=side: getattr(m, s).event_dim, lambda t=t, s=side: getattr(t, s).event_dim)
        for shape in ((), (3,), (2, 3), (3, 3), (4, 3, 1)):
            for method in ("forward_shape", "inverse_shape"):
                same(
                    f"{where}.{method}{shape}",
                    lambda m=m, f=method, s=shape: tuple(getattr(m, f)(moka.Size(s))),
                    lambda t=t, f=method, s=shape: tuple(getattr(t, f)(torch.Size(s))),
                )
        same(f"{where}.repr", lambda m=m: repr(m), lambda t=t: repr(t))
        same(f"{where}.with_cache", lambda m=m: m.with_cache(1)._cache_size, lambda t=t: t.with_cache(1)._cache_size)
        same(f"{where} equals", lambda n=name: [bool(ours[n] == o) for o in ours.values()], lambda n=name: [bool(theirs[n] == o) for o in theirs.values()])


def constraints() -> None:
    names = [n for n in T.constraints.__all__ if hasattr(M.constraints, n)]
    for n in T.constraints.__all__:
        Count.checks += 1
        if n not in names:
            differ("constraints", f"{n} is missing")
    made = {
        "greater_than": (0.5,), "greater_than_eq": (0.5,), "less_than": (0.5,), "interval": (0.0, 0.5),
        "half_open_interval": (0.0, 0.5), "integer_interval": (0, 2), "multinomial": (3,),
    }  # fmt: skip
    samples = [real(2, 3), unit(3), simplex(2, 3), np.eye(3), spd(3, 3), tril(2, 3, 3), np.arange(6.0).reshape(2, 3),
               np.array([0.0, 1.0, 0.0]), np.array([np.nan, 0.5]), np.array([-1.0, 0.0, 1.0]), real(2, 2, 3)]  # fmt: skip
    samples.append(np.linalg.cholesky(np.array([[1.0, 0.3], [0.3, 1.0]])))
    for n in names:
        t, m = getattr(T.constraints, n), getattr(M.constraints, n)
        if n in made:
            t, m = t(*made[n]), m(*made[n])
        if not isinstance(t, T.constraints.Constraint) or n == "dependent":
            continue
        same(f"constraint {n}", lambda m=m: repr(m), lambda t=t: repr(t))
        same(f"constraint {n}", lambda m=m: (m.is_discrete, m.event_dim), lambda t=t: (t.is_discrete, t.event_dim))
        for i, value in enumerate(samples):
            kind, expected = attempt(lambda t=t, v=value: t.check(to_torch(v)))
            if kind == "value":
                same(f"constraint {n} of sample {i}", lambda m=m, v=value: m.check(to_moka(v)), lambda e=expected: e)
        for registry in ("biject_to", "transform_to"):
            same(
                f"{registry}({n})",
                lambda m=m, r=registry: repr(getattr(M, r)(m)),
                lambda t=t, r=registry: repr(getattr(T, r)(t)),
            )


def main() -> None:
    wanted = set(sys.argv[1:])
    for name in T.__all__:
        if not hasattr(M, name):
            differ("distributions", f"{name} is missing")
    for name, cases in CASES.items():
        if wanted and name not in wanted:
            continue
        for i, arguments in enumerate(cases):
            kind, error = attempt(lambda n=name, a=arguments, i=i: compare(n, a, f"{n}[{i}]"))
            if kind != "value":
                differ(f"{name}[{i}]", f"{kind}: {error[:500]}")
    if not wanted:
        for name, arguments in BAD:
            same(
                f"{name}({arguments})",
                lambda n=name, a=arguments: bool(getattr(M, n)(**{k: to_moka(v) for k, v in a.items()})),
                lambda n=name, a=arguments: bool(getattr(T, n)(**{k: to_torch(v) for k, v in a.items()})),
            )
        divergences()
        transforms()
        constraints()
    print(f"{Count.checks} checks, {Count.differences} differences")


if __name__ == "__main__":
    main()
