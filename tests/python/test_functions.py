"""Functions made of operators, signs on tensors, second names: against NumPy and plain arithmetic."""
# SPDX-License-Identifier: Apache-2.0

import itertools
import math

import numpy as np
import pytest

import moka
from moka.nn import functional as F

RNG = np.random.default_rng(3)
INTS = np.array([-7, -1, 0, 3, 12], dtype=np.int64)
DIVISORS = np.array([3, -2, 5, -4, 7], dtype=np.int64)


def close(got, expected, rtol=1e-12):
    np.testing.assert_allclose(got.detach().numpy(), expected, rtol=rtol, atol=1e-12)


@pytest.mark.parametrize(
    "sign",
    [
        lambda a, b: a // b,
        lambda a, b: a % b,
        lambda a, b: a & b,
        lambda a, b: a | b,
        lambda a, b: a ^ b,
        lambda a, b: a << abs(b),
        lambda a, b: a >> abs(b),
    ],
)
def test_signs_on_integers_mean_what_they_mean_in_numpy(sign):
    a, b = moka.tensor(INTS), moka.tensor(DIVISORS)
    assert sign(a, b).tolist() == sign(INTS, DIVISORS).tolist()
    assert sign(a, 3).tolist() == sign(INTS, 3).tolist()
    assert sign(17, b.abs()).tolist() == sign(17, np.abs(DIVISORS)).tolist()


def test_signs_in_place():
    x = moka.tensor(INTS)
    same = x
    x //= 2
    x %= 5
    x &= 6
    x |= 1
    x ^= 3
    x <<= 2
    x >>= 1
    expected = INTS.copy()
    expected //= 2
    expected %= 5
    expected &= 6
    expected |= 1
    expected ^= 3
    expected <<= 2
    expected >>= 1
    assert x is same and x.tolist() == expected.tolist()
    y = moka.tensor([2.0, 3.0])
    y **= 2
    assert y.tolist() == [4.0, 9.0]


def test_not_turns_bits_and_negates_truth():
    assert (~moka.tensor(INTS)).tolist() == (~INTS).tolist()
    assert (~moka.tensor([True, False])).tolist() == [False, True]
    assert (~moka.tensor([0, 255], dtype=moka.uint8)).tolist() == [255, 0]


@pytest.mark.parametrize("name", ["remainder", "fmod", "floor_divide"])
def test_integer_division_by_zero_is_an_error(name):
    with pytest.raises(RuntimeError, match=f"{name}: ZeroDivisionError"):
        getattr(moka, name)(moka.tensor([1, 2]), moka.tensor([1, 0]))
    assert not math.isfinite(getattr(moka, name)(moka.tensor([1.0]), 0.0).item())


def test_shifts_beyond_the_bits_leave_nothing():
    x = moka.tensor([5, -5])
    assert (x << 64).tolist() == [0, 0] and (x << -1).tolist() == [0, 0]
    assert (x >> 64).tolist() == [0, -1]


def test_bits_of_floats_are_refused():
    with pytest.raises(NotImplementedError, match="bitwise_and: defined for bool and integers, got float32"):
        moka.bitwise_and(moka.ones(2), moka.ones(2))


def test_second_names_are_the_same_objects():
    assert moka.arccos is moka.acos and moka.true_divide is moka.div and moka.clip is moka.clamp
    x = moka.tensor([0.5])
    assert x.multiply_(2).tolist() == [1.0] and x.clip(0, 0.5).tolist() == [0.5]
    assert moka.special.expit(x).item() == moka.sigmoid(x).item()
    assert moka.special.gammaln(moka.tensor([4.0])).item() == pytest.approx(math.log(6))


def test_special_functions_at_known_points():
    def at(name, *values):
        tensors = [moka.tensor([v], dtype=moka.float64) for v in values]
        return getattr(moka.special, name)(*tensors).item()

    assert at("zeta", 2.0, 1.0) == pytest.approx(math.pi**2 / 6, rel=1e-14)
    assert at("erfcx", 30.0) == pytest.approx(0.018795888861416751, rel=1e-13)
    assert at("i0", 1.0) == pytest.approx(1.2660658777520082, rel=1e-14)
    assert at("modified_bessel_k1", 2.0) == pytest.approx(0.13986588181652243, rel=1e-13)
    assert at("log_ndtr", -30.0) == pytest.approx(-454.32124395634315, rel=1e-13)
    assert at("ndtri", 1e-300) == pytest.approx(-37.0471, rel=1e-5)
    assert at("gammainc", 2.0, 3.0) == pytest.approx(1 - 4 * math.exp(-3), rel=1e-13)
    assert at("legendre_polynomial_p", 0.5, 3.0) == pytest.approx(-0.4375, rel=1e-14)
    assert moka.polygamma(1, moka.tensor([1.0], dtype=moka.float64)).item() == pytest.approx(math.pi**2 / 6)
    below = moka.tensor([-2.3, -9283.4375, -1e15 - 0.5], dtype=moka.float64)  # at once
    expected = [68.7137925292703, 12.823114521055778, 0]
    np.testing.assert_allclose(moka.polygamma(2, below).numpy(), expected, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("interpolation", ["linear", "lower", "higher", "midpoint", "nearest"])
@pytest.mark.parametrize("dim,keepdim", [(None, False), (None, True), (0, False), (1, True), (-1, False)])
def test_quantiles(interpolation, dim, keepdim):
    x, q = RNG.normal(size=(4, 7)), np.array([0.0, 0.3, 0.5, 1.0])
    expected = np.quantile(x, q, axis=dim, keepdims=keepdim, method=interpolation)
    got = moka.quantile(moka.tensor(x), moka.tensor(q), dim, keepdim, interpolation=interpolation)
    assert tuple(got.shape) == expected.shape
    close(got, expected)


def test_quantiles_pass_over_nan_when_asked():
    x = np.array([[1.0, np.nan, 3.0], [4.0, 5.0, 6.0]])
    close(moka.nanquantile(moka.tensor(x), 0.5, 1), [2.0, 5.0])
    assert math.isnan(moka.quantile(moka.tensor(x), 0.5, 1)[0].item())


def test_covariance_and_correlation():
    x = RNG.normal(size=(3, 8))
    times, weights = np.array([1, 2, 1, 3, 1, 1, 2, 1]), RNG.uniform(0.5, 2, 8)
    close(moka.cov(moka.tensor(x)), np.cov(x))
    close(moka.cov(moka.tensor(x[0])), np.cov(x[0]))
    got = moka.cov(moka.tensor(x), fweights=moka.tensor(times), aweights=moka.tensor(weights))
    close(got, np.cov(x, fweights=times, aweights=weights))
    close(moka.corrcoef(moka.tensor(x)), np.corrcoef(x))


def test_differences_and_integrals():
    x, points = RNG.normal(size=(3, 6)), np.sort(RNG.uniform(0, 4, 6))
    close(moka.diff(moka.tensor(x), 2, 1), np.diff(x, 2, 1))
    close(moka.trapezoid(moka.tensor(x), moka.tensor(points)), np.trapezoid(x, points))
    close(moka.gradient(moka.tensor(x), dim=1, edge_order=2)[0], np.gradient(x, axis=1, edge_order=2))
    for got, expected in zip(moka.gradient(moka.tensor(x), spacing=0.5), np.gradient(x, 0.5), strict=True):
        close(got, expected)
    close(
        moka.gradient(moka.tensor(x), spacing=[moka.tensor(points)], dim=1)[0], np.gradient(x, points, axis=1)
    )
    ends = np.array([2, -2, np.inf, np.inf, -np.inf, 3, -np.inf, 2, np.nan, 3, np.inf])
    with np.errstate(invalid="ignore"):
        close(moka.gradient(moka.tensor(ends))[0], np.gradient(ends))


@pytest.mark.parametrize("dim", [None, 0, 1])
def test_distinct_values(dim):
    x = RNG.integers(0, 3, (6, 2)).astype(np.float32)
    expected = np.unique(x, return_inverse=True, return_counts=True, axis=dim)
    values, inverse, counts = moka.unique(moka.tensor(x), return_inverse=True, return_counts=True, dim=dim)
    assert values.tolist() == expected[0].tolist() and counts.tolist() == expected[2].tolist()
    assert inverse.reshape(-1).tolist() == expected[1].reshape(-1).tolist()


def test_runs_of_equal_values():
    values, counts = moka.unique_consecutive(moka.tensor([1, 1, 2, 2, 2, 1]), return_counts=True)
    assert values.tolist() == [1, 2, 1] and counts.tolist() == [2, 3, 1]


def test_ranks():
    x = np.array([[3.0, 1.0, 2.0, 1.0], [9.0, 7.0, np.nan, 8.0]])
    values, places = moka.median(moka.tensor(x), 1)
    assert values[0].item() == 1.0 and x[0, places[0].item()] == 1.0 and places[1].item() == 2
    assert moka.nanmedian(moka.tensor(x), 1)[0].tolist() == [1.0, 8.0]
    assert math.isnan(moka.median(moka.tensor(x)).item())
    value, place = moka.mode(moka.tensor(x[0]))
    assert value.item() == 1.0 and place.item() == 3


def test_histogram_and_norms():
    x = RNG.normal(size=40)
    got = moka.histc(moka.tensor(x), 7, -2, 2)
    assert got.tolist() == np.histogram(x, 7, (-2, 2))[0].tolist()
    m = RNG.normal(size=(4, 5))
    for p in (0, 1, 2, 3.5, math.inf, -math.inf):
        close(moka.norm(moka.tensor(m), p, 1), np.linalg.norm(m, p, 1))
    scaled = moka.renorm(moka.tensor(m), 2, 0, 1.0)
    assert float(moka.norm(scaled, 2, 1).max()) <= 1.0
    zero = moka.zeros(3, requires_grad=True)
    moka.norm(zero).backward()
    assert zero.grad.tolist() == [0.0, 0.0, 0.0]


def test_variance_says_unbiased_in_the_old_way():
    x = RNG.normal(size=(3, 5))
    t = moka.tensor(x)
    close(t.var(1, unbiased=False), x.var(1))
    close(t.std(False), x.std())
    spread, mean = moka.var_mean(t, 1)
    close(spread, x.var(1, ddof=1))
    close(mean, x.mean(1))


def test_comparisons_that_answer():
    a = moka.tensor([1.0, float("nan")])
    assert not moka.equal(a, a) and moka.allclose(a, a, equal_nan=True)
    assert moka.equal(moka.ones(2), moka.ones(2)) and not moka.equal(moka.ones(2), moka.ones(3))
    with pytest.raises(RuntimeError, match="isclose: input has type float32 but other has type float64"):
        moka.isclose(moka.ones(1), moka.ones(1, dtype=moka.float64))


def brute_force_ctc(log_probs, labels, blank):
    """The sum over all paths that collapse to the labels."""
    steps, classes = log_probs.shape
    total = 0.0
    for path in itertools.product(range(classes), repeat=steps):
        collapsed = [k for k, _ in itertools.groupby(path) if k != blank]
        if collapsed == list(labels):
            total += math.exp(sum(log_probs[t, k] for t, k in enumerate(path)))
    return -math.log(total)


@pytest.mark.parametrize("labels", [[1], [1, 2], [1, 1], []])
def test_ctc_sums_over_all_alignments(labels):
    scores = RNG.normal(size=(4, 1, 3))
    logs = moka.log_softmax(moka.tensor(scores), 2)
    targets = moka.tensor(labels, dtype=moka.int64)
    loss = F.ctc_loss(logs, targets, [4], [len(labels)], reduction="none")
    assert loss.item() == pytest.approx(brute_force_ctc(logs.numpy()[:, 0], labels, 0), rel=1e-12)


def test_ctc_gradient_by_finite_differences():
    scores = RNG.normal(size=(4, 2, 3))
    targets = moka.tensor([[1, 2], [2, 0]])

    def loss(values):
        leaf = moka.tensor(values, requires_grad=True)
        return leaf, F.ctc_loss(moka.log_softmax(leaf, 2), targets, [4, 3], [2, 1])

    leaf, value = loss(scores)
    value.backward()
    direction = RNG.normal(size=scores.shape)
    up, down = loss(scores + 1e-6 * direction)[1].item(), loss(scores - 1e-6 * direction)[1].item()
    assert float((leaf.grad.numpy() * direction).sum()) == pytest.approx((up - down) / 2e-6, rel=1e-6)


def test_losses_that_name_their_old_words():
    x, t = moka.tensor([0.2, 0.7]), moka.tensor([0.0, 1.0])
    assert F.mse_loss(x, t, size_average=False).item() == pytest.approx(0.13)
    assert tuple(F.l1_loss(x, t, reduce=False).shape) == (2,)
    with pytest.raises(ValueError, match="'average' is not a valid value for reduction"):
        F.huber_loss(x, t, reduction="average")
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        F.binary_cross_entropy(x * 2, t)


def test_gumbel_softmax_is_one_hot_with_a_soft_gradient():
    logits = moka.zeros(5, 4, requires_grad=True)
    sample = F.gumbel_softmax(logits, hard=True)
    assert sorted(sample.detach().reshape(-1).tolist())[-5:] == pytest.approx([1.0] * 5)
    (sample * moka.arange(4.0)).sum().backward()
    assert float(logits.grad.abs().sum()) > 0


def test_values_that_are_not_finite_stay_where_they_are():
    inf, nan = float("inf"), float("nan")
    x = moka.tensor([1.0, -inf, 2.0], requires_grad=True)
    x.gather(0, moka.tensor([0, 0])).sum().backward()
    assert x.grad.tolist() == [2.0, 0.0, 0.0]
    x = moka.tensor([1.0, nan, 2.0], requires_grad=True)
    moka.nanquantile(x, 0.5).backward()
    assert x.grad.tolist() == [0.5, 0.0, 0.5]
    lengths = moka.tensor([1, 2, 0])
    got = moka.segment_reduce(moka.tensor([5.0, nan, 3.0]), "min", lengths=lengths, initial=4.0)
    assert got[0].item() == 4 and got[1].isnan().item() and got[2].item() == 4
    assert moka.logsumexp(moka.ones(2, 0), 1).tolist() == [-inf, -inf]
    assert moka.logsumexp(moka.ones(0, 2), (0,), keepdim=True).tolist() == [[-inf, -inf]]


@pytest.mark.parametrize(
    ("given", "sizes"),
    [
        ({"indices": [1, 3]}, [1, 2, 2]),
        ({"sections": 2}, [3, 2]),
        ({"indices_or_sections": [4]}, [4, 1]),
        ({"indices_or_sections": 3}, [2, 2, 1]),
        ({"tensor_indices_or_sections": moka.tensor(2)}, [3, 2]),
    ],
)
def test_tensor_split_by_name(given, sizes):
    x = moka.arange(5)
    assert [len(t) for t in moka.tensor_split(x, **given)] == sizes
    assert [len(t) for t in x.tensor_split(**given)] == sizes


def test_isin_names_a_single_element():
    x = moka.arange(3)
    assert moka.isin(elements=x, test_element=2).tolist() == [False, False, True]
    assert moka.isin(element=2, test_elements=x).item()
