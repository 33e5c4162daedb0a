"""Losses as plain functions; moka.nn.functional has them all.

`size_average` and `reduce` are torch's older words for `reduction` and are taken in their places.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence

from moka import _C
from moka._C import Tensor
from moka.statistics import norm

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cross_entropy",
    "ctc_loss",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "margin_ranking_loss",
    "mse_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "pairwise_distance",
    "pdist",
    "poisson_nll_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]

Old = bool | None


def _old(size_average: Old, reduce: Old, reduction: str) -> str:
    if size_average is None and reduce is None:
        return reduction
    if reduce is False:
        return "none"
    return "sum" if size_average is False else "mean"


def _checked(reduction: str) -> str:
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{reduction!r} is not a valid value for reduction: 'mean', 'sum' or 'none'")
    return reduction


def _reduced(terms: Tensor, reduction: str) -> Tensor:
    """The mean or the sum of all terms, or the terms themselves."""
    _checked(reduction)
    if terms.is_floating_point():
        return _C.reduce_loss(terms, reduction)
    return terms if reduction == "none" else terms.sum() if reduction == "sum" else terms.mean()


def _same_shapes(name: str, input: Tensor, target: Tensor) -> None:
    if tuple(input.shape) != tuple(target.shape):
        raise ValueError(
            f"{name}: Using a target size ({target.shape}) that is different to the input size "
            f"({input.shape}) is not possible: Target size must be the same as input size; "
            f"use target.reshape(input.shape) or input.squeeze() where a size is 1"
        )


def _paired(name: str, input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both in one shape: other shapes are broadcast, with a warning, for it is seldom what was meant."""
    if tuple(input.shape) == tuple(target.shape):
        return input, target
    warnings.warn(
        f"{name}: Using a target size ({target.shape}) that is different to the input size ({input.shape}): "
        f"both are broadcast, so elements of the one meet several of the other. "
        f"Please ensure they have the same size.",
        stacklevel=3,
    )
    try:
        first, second = _C.broadcast_tensors([input, target])
    except RuntimeError:
        raise RuntimeError(
            f"{name}: input and target must have one shape, or shapes that broadcast, but have "
            f"{list(input.shape)} and {list(target.shape)}"
        ) from None
    return first, second


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Old = None,
    ignore_index: int = -100,
    reduce: Old = None,
    reduction: str = "mean",
) -> Tensor:
    """-weight[t] * input[n, t], t = target[n], for log-probabilities `input`; see nn.NLLLoss."""
    reduction = _old(size_average, reduce, reduction)
    return _C.nll_loss(input, target, weight, reduction=reduction, ignore_index=ignore_index)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Old = None,
    ignore_index: int = -100,
    reduce: Old = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-log(softmax(input)[target]) without overflow; see nn.CrossEntropyLoss."""
    reduction = _old(size_average, reduce, reduction)
    if target.is_floating_point() and (target.requires_grad or (weight is not None and weight.requires_grad)):
        return _cross_entropy_of_parts(input, target, weight, reduction, label_smoothing)
    return _C.cross_entropy(
        input, target, weight, reduction=reduction, ignore_index=ignore_index, label_smoothing=label_smoothing
    )


def _cross_entropy_of_parts(
    input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, label_smoothing: float
) -> Tensor:
    """Class probabilities that want a gradient: the operator's own gradient is the input's alone."""
    _same_shapes("cross_entropy", input, target)
    dim = 1 if input.dim() > 1 else 0
    shares = target * (1 - label_smoothing) + label_smoothing / input.shape[dim]
    terms = -_C.log_softmax(input, dim) * shares
    if weight is not None:
        terms = terms * weight.reshape([-1] + [1] * (input.dim() - 1 - dim))
    terms = terms.sum(dim)
    return _reduced(terms, reduction)


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: Old = None,
    reduce: Old = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """(input - target)^2; other shapes are broadcast, with a warning."""
    reduction = _old(size_average, reduce, reduction)
    input, target = _paired("mse_loss", input, target)
    if weight is not None:
        return _weighted(_C.mse_loss(input, target, "none"), weight, reduction)
    return _C.mse_loss(input, target, reduction)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: Old = None,
    reduce: Old = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """|input - target|; other shapes are broadcast, with a warning."""
    reduction = _old(size_average, reduce, reduction)
    input, target = _paired("l1_loss", input, target)
    if weight is not None:
        return _weighted(_C.l1_loss(input, target, "none"), weight, reduction)
    return _C.l1_loss(input, target, reduction)


def _weighted(terms: Tensor, weight: Tensor, reduction: str) -> Tensor:
    """Weighted terms; the mean is over the weights."""
    terms = terms * weight
    if reduction == "mean":
        return terms.sum() / weight.expand(terms.shape).sum()
    return _reduced(terms, reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: Old = None,
    reduce: Old = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """|d| - beta / 2 of the difference d, d^2 / (2 beta) where |d| < beta."""
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss does not support negative values for beta, got {beta}")
    if beta == 0:
        return l1_loss(input, target, size_average, reduce, reduction)
    terms = _C.smooth_l1_terms(*_paired("smooth_l1_loss", input, target), beta)
    return _reduced(terms, _old(size_average, reduce, reduction))


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """d^2 / 2 of the difference d, delta (|d| - delta / 2) where |d| > delta."""
    if delta <= 0:
        raise RuntimeError(f"huber_loss does not support non-positive values for delta, got {delta}")
    terms = _C.huber_terms(*_paired("huber_loss", input, target), delta)
    return _reduced(terms, reduction) if weight is None else _weighted(terms, weight, reduction)


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Old = None,
    reduce: Old = None,
    reduction: str = "mean",
) -> Tensor:
    """-(t log x + (1 - t) log(1 - x)) for probabilities x, logarithms at least -100; see nn.BCELoss."""
    _same_shapes("binary_cross_entropy", input, target)
    if input.numel() and not bool(((input >= 0) & (input <= 1)).all()):
        raise RuntimeError("binary_cross_entropy: all elements of input should be between 0 and 1")
    terms = _C.binary_cross_entropy_terms(input, target)
    return _reduced(terms if weight is None else terms * weight, _old(size_average, reduce, reduction))


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Old = None,
    reduce: Old = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """-(t log s(x) + (1 - t) log(1 - s(x))), s the sigmoid; see nn.BCEWithLogitsLoss."""
    _same_shapes("binary_cross_entropy_with_logits", input, target)
    reduction = _old(size_average, reduce, reduction)
    if any(t is not None and t.requires_grad for t in (target, weight, pos_weight)):
        # The operator's own gradient is the input's alone.
        positive = target if pos_weight is None else target * pos_weight
        terms = (1 - target) * input - (1 - target + positive) * _C.logsigmoid(input)
        return _reduced(terms if weight is None else terms * weight, reduction)
    return _C.binary_cross_entropy_with_logits(input, target, weight, pos_weight, reduction)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: Old = None,
    reduce: Old = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """t (log t - x) for log-probabilities x; 'batchmean' divides the sum by the size of dimension 0."""
    terms = (_C.kl_div_log_terms if log_target else _C.kl_div_terms)(input, target)
    reduction = _old(size_average, reduce, reduction)
    if reduction == "batchmean":
        return terms.sum() / input.shape[0] if input.dim() else terms.sum()
    return _reduced(terms, reduction)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: Old = None,
    eps: float = 1e-8,
    reduce: Old = None,
    reduction: str = "mean",
) -> Tensor:
    """exp(x) - t x, or x - t log(x + eps); `full` adds Stirling's approximation of log t!."""
    reduction = _old(size_average, reduce, reduction)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"poisson_nll_loss: {reduction} is not valid: 'none', 'mean' or 'sum'")
    terms = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        stirling = target * target.log() - target + 0.5 * (2 * math.pi * target).log()
        terms = terms + _C.where(target > 1, stirling, 0.0)
    return _reduced(terms, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """(log v + (x - t)^2 / v) / 2 with v = max(var, eps); `full` adds log(2 pi) / 2."""
    if not isinstance(var, Tensor):
        if var < 0:
            raise ValueError("gaussian_nll_loss: var has negative entry/entries")
        var = _C.full_like(input.detach(), float(var))
    if tuple(var.shape) != tuple(input.shape):
        if tuple(input.shape[:-1]) == tuple(var.shape):
            var = var.unsqueeze(-1)
        elif not (tuple(input.shape[:-1]) == tuple(var.shape[:-1]) and var.shape[-1] == 1) and not all(
            v in (i, 1) for v, i in zip(var.shape, input.shape, strict=False)
        ):
            raise ValueError(
                f"gaussian_nll_loss: var is of incorrect size {list(var.shape)} for {list(input.shape)}"
            )
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"gaussian_nll_loss: {reduction} is not valid: 'none', 'mean' or 'sum'")
    if bool((var < 0).any()):
        raise ValueError("gaussian_nll_loss: var has negative entry/entries")
    # The gradient passes the limit, as in PyTorch.
    limited = var + (var.detach().clamp(min=eps) - var.detach())
    terms = 0.5 * (limited.log() + (input - target) ** 2 / limited)
    return _reduced(terms + 0.5 * math.log(2 * math.pi) if full else terms, reduction)


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: Old = None,
    reduce: Old = None,
    reduction: str = "mean",
) -> Tensor:
    """x where target is 1, max(0, margin - x) where it is -1."""
    near = _C.where(target != -1, input, 0.0)
    far = _C.where(target != 1, (margin - input).clamp_min(0), 0.0)
    return _reduced(near + far, _old(size_average, reduce, reduction))


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: Old = None,
    reduce: Old = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, -t (x1 - x2) + margin)."""
    if not input1.dim() == input2.dim() == target.dim():
        raise RuntimeError(
            "margin_ranking_loss: All input tensors should have same dimension but got sizes: "
            f"input1: {list(input1.shape)}, input2: {list(input2.shape)}, target: {list(target.shape)}"
        )
    terms = (-target * (input1 - input2) + margin).clamp_min(0)
    return _reduced(terms, _old(size_average, reduce, reduction))


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: Old = None,
    reduce: Old = None,
    reduction: str = "mean",
) -> Tensor:
    """log(1 + exp(-t x))."""
    return _reduced(_C.soft_margin_terms(input, target), _old(size_average, reduce, reduction))


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: Old = None,
    reduce: Old = None,
    reduction: str = "mean",
) -> Tensor:
    """Sum of max(0, margin - x[t] + x[c])^p over other classes c, by their number; p is 1 or 2."""
    reduction = _checked(_old(size_average, reduce, reduction))
    if weight is not None and weight.dim() != 1:
        raise ValueError(f"multi_margin_loss: weight must be one-dimensional, got shape {list(weight.shape)}")
    terms = _C.multi_margin_terms(input, target, p, margin, weight)
    if terms.shape != target.shape:  # one item may come with and without its dimension
        terms = terms.reshape(target.shape)
    return _reduced(terms, reduction)


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: Old = None,
    reduce: Old = None,
    reduction: str = "mean",
) -> Tensor:
    """Sum of max(0, 1 - (x[t] - x[c])) over targets t, those before the first -1, and other classes c."""
    reduction = _checked(_old(size_average, reduce, reduction))
    return _reduced(_C.multilabel_margin_terms(input, target), reduction)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Old = None,
    reduce: Old = None,
    reduction: str = "mean",
) -> Tensor:
    """The mean over classes of binary cross entropy with logits."""
    terms = -(target * _C.logsigmoid(input) + (1 - target) * _C.logsigmoid(-input))
    terms = terms if weight is None else terms * weight
    return _reduced(terms.sum(-1) / input.shape[-1], _old(size_average, reduce, reduction))


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between x1 and x2 along `dim`; their lengths are taken as at least eps."""
    return _C.cosine_similarity(x1, x2, dim, eps)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """The p-norm of x1 - x2 + eps along the last dimension."""
    return norm(x1 - x2 + eps, p, -1, keepdim)


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The p-norm distances of all pairs of rows, in the order of the upper triangle."""
    return _C.pdist(input, p)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: Old = None,
    reduce: Old = None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos(x1, x2) where target is 1, max(0, cos(x1, x2) - margin) where it is -1."""
    if target.dim() + 1 != input1.dim() or target.dim() + 1 != input2.dim() or target.dim() > 1:
        raise RuntimeError(
            "cosine_embedding_loss: "
            + ("0D target tensor expects 1D input tensors" if target.dim() == 0 else "")
            + ("1D target tensor expects 2D input tensors" if target.dim() == 1 else "")
            + ("0D or 1D target tensor expected, multi-target not supported" if target.dim() > 1 else "")
            + f", but found inputs with sizes {list(input1.shape)} and {list(input2.shape)}"
        )
    x1 = input1 if input1.is_floating_point() else input1.float()
    x2 = input2 if input2.is_floating_point() else input2.float()
    length = ((x1 * x1).sum(-1) + 1e-12) * ((x2 * x2).sum(-1) + 1e-12)
    cosine = (x1 * x2).sum(-1) / length.sqrt()
    terms = _C.where(target == 1, 1 - cosine, 0.0)
    terms = terms + _C.where(target == -1, (cosine - margin).clamp_min(0), 0.0)
    return _reduced(terms, _old(size_average, reduce, reduction))


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: Old = None,
    reduce: Old = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin) of p-norm distances."""
    if not anchor.dim() == positive.dim() == negative.dim():
        raise RuntimeError(
            "triplet_margin_loss: All inputs should have same dimension, but anchor has "
            f"{anchor.dim()}, positive {positive.dim()} and negative {negative.dim()}"
        )
    if margin <= 0:
        raise ValueError(f"triplet_margin_loss: margin must be greater than 0, got {margin}")

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return pairwise_distance(a, b, p, eps)

    return _triplet(anchor, positive, negative, distance, margin, swap, _old(size_average, reduce, reduction))


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """triplet_margin_loss with a distance of one's own."""
    if margin <= 0:
        raise ValueError(f"triplet_margin_with_distance_loss: margin must be greater than 0, got {margin}")
    if not anchor.dim() == positive.dim() == negative.dim():
        raise RuntimeError(
            "triplet_margin_with_distance_loss: The anchor, positive, and negative tensors are expected to "
            f"have the same number of dimensions, got: anchor {anchor.dim()}D, positive {positive.dim()}D, "
            f"and negative {negative.dim()}D inputs"
        )
    distance = distance_function or pairwise_distance
    return _triplet(anchor, positive, negative, distance, margin, swap, reduction)


def _triplet(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    distance: Callable[[Tensor, Tensor], Tensor],
    margin: float,
    swap: bool,
    reduction: str,
) -> Tensor:
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = _C.minimum(far, distance(positive, negative))
    return _reduced((near - far + margin).clamp_min(0), reduction)


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor | Sequence[int],
    target_lengths: Tensor | Sequence[int],
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """-log of the probability of each label sequence over all alignments; see nn.CTCLoss."""

    def lengths(given: Tensor | Sequence[int]) -> list[int]:
        values = given.tolist() if isinstance(given, Tensor) else list(given)
        return values if isinstance(values, list) else [values]

    for given, which in ((input_lengths, "input"), (target_lengths, "target")):
        if isinstance(given, Tensor) and (given.is_floating_point() or given.is_complex()):
            raise RuntimeError(f"ctc_loss: {which}_lengths must be integral, got {given.dtype}")
    steps, labels = lengths(input_lengths), lengths(target_lengths)
    batched = log_probs.dim() == 3
    terms = _C.ctc_terms(
        log_probs if batched else log_probs.unsqueeze(1), targets, steps, labels, blank, zero_infinity
    )
    if reduction == "mean":
        terms = terms / _C.tensor([max(n, 1) for n in labels], dtype=terms.dtype)
    if not batched:
        terms = terms.squeeze(0)
    return _reduced(terms, reduction)
