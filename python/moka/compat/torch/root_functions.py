"""Functions that torch has at its root too, under the older form of their arguments: reductions as numbers,
options by position.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from moka import _C
from moka._C import Tensor, _sample_dirichlet, _standard_gamma
from moka.amp import GradScaler
from moka.nn import functional as F
from moka.nn.functions import recurrent

from .futures import Future

__all__ = [
    "Future",
    "GradScaler",
    "_sample_dirichlet",
    "_standard_gamma",
    "bilinear",
    "conv_tbc",
    "cosine_embedding_loss",
    "ctc_loss",
    "detach_",
    "frobenius_norm",
    "get_device",
    "gru_cell",
    "hinge_embedding_loss",
    "instance_norm",
    "kl_div",
    "lstm_cell",
    "margin_ranking_loss",
    "norm_except_dim",
    "nuclear_norm",
    "poisson_nll_loss",
    "rnn_relu_cell",
    "rnn_tanh_cell",
    "rrelu",
    "rrelu_",
    "set_flush_denormal",
    "triplet_margin_loss",
]

bilinear, conv_tbc, rrelu = F.bilinear, F.conv_tbc, F.rrelu
_REDUCTIONS = ("none", "mean", "sum")


def _by_number(loss: Callable[..., Tensor], *args: Any, reduction: int, **options: Any) -> Tensor:
    if not 0 <= reduction <= 2:
        raise RuntimeError(f"reduction must be 0 (none), 1 (mean) or 2 (sum), but {reduction} came")
    return loss(*args, reduction=_REDUCTIONS[reduction], **options)


def kl_div(input: Tensor, target: Tensor, reduction: int = 1, *, log_target: bool = False) -> Tensor:
    """nn.functional.kl_div; reduction 0, 1 or 2 is none, mean or sum."""
    return _by_number(F.kl_div, input, target, reduction=reduction, log_target=log_target)


def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, reduction: int = 1) -> Tensor:
    """nn.functional.hinge_embedding_loss; reduction 0, 1 or 2 is none, mean or sum."""
    return _by_number(F.hinge_embedding_loss, input, target, margin=margin, reduction=reduction)


def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: int = 1
) -> Tensor:
    """nn.functional.margin_ranking_loss; reduction 0, 1 or 2 is none, mean or sum."""
    return _by_number(F.margin_ranking_loss, input1, input2, target, margin=margin, reduction=reduction)


def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: int = 1
) -> Tensor:
    """nn.functional.cosine_embedding_loss; reduction 0, 1 or 2 is none, mean or sum."""
    return _by_number(F.cosine_embedding_loss, input1, input2, target, margin=margin, reduction=reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: int = 1,
) -> Tensor:
    """nn.functional.triplet_margin_loss; reduction 0, 1 or 2 is none, mean or sum."""
    options: dict[str, Any] = {"margin": margin, "p": p, "eps": eps, "swap": swap}
    return _by_number(F.triplet_margin_loss, anchor, positive, negative, reduction=reduction, **options)


def poisson_nll_loss(
    input: Tensor, target: Tensor, log_input: bool, full: bool, eps: float, reduction: int
) -> Tensor:
    """nn.functional.poisson_nll_loss; reduction 0, 1 or 2 is none, mean or sum."""
    options: dict[str, Any] = {"log_input": log_input, "full": full, "eps": eps}
    return _by_number(F.poisson_nll_loss, input, target, reduction=reduction, **options)


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: int = 1,
    zero_infinity: bool = False,
) -> Tensor:
    """nn.functional.ctc_loss; reduction 0, 1 or 2 is none, mean or sum."""
    lengths = (input_lengths, target_lengths)
    options: dict[str, Any] = {"blank": blank, "zero_infinity": zero_infinity}
    return _by_number(F.ctc_loss, log_probs, targets, *lengths, reduction=reduction, **options)


def rrelu_(input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False) -> Tensor:
    """nn.functional.rrelu, into its input."""
    return F.rrelu(input, lower, upper, training, True)


def instance_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = False,
) -> Tensor:
    """nn.functional.instance_norm."""
    return F.instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


def _cell(run: Callable[..., Any]) -> Callable[..., Any]:
    def cell(
        input: Tensor, hx: Any, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Any = None
    ) -> Any:
        state = tuple(hx) if isinstance(hx, (tuple, list)) else hx
        return run(input, state, w_ih, w_hh, b_ih, b_hh)

    cell.__doc__ = f"One step of {run.__name__} with these weights."
    return cell


lstm_cell, gru_cell = _cell(recurrent.lstm_cell), _cell(recurrent.gru_cell)
rnn_tanh_cell, rnn_relu_cell = _cell(recurrent.rnn_tanh_cell), _cell(recurrent.rnn_relu_cell)


def norm_except_dim(v: Tensor, pow: int = 2, dim: int = 0) -> Tensor:
    """The pow-norm of every slice along `dim`, other dimensions kept as 1; of everything for -1."""
    others = [d for d in range(v.dim()) if d != dim % v.dim()] if dim != -1 else None
    if others is not None and not others:
        return v.abs()
    return _C.linalg_vector_norm(v, pow, others, keepdim=others is not None)


def frobenius_norm(input: Tensor, dim: int | Sequence[int] = (), keepdim: bool = False) -> Tensor:
    """The root of the sum of squares, over all dimensions or those given."""
    dims = [dim] if isinstance(dim, int) else list(dim)
    return _C.linalg_vector_norm(input, 2, dims or None, keepdim=keepdim)


def nuclear_norm(input: Tensor, dim: Sequence[int] = (-2, -1), keepdim: bool = False) -> Tensor:
    """The sum of the singular values of matrices."""
    from moka.linalg import matrix_norm

    return matrix_norm(input, "nuc", tuple(dim), keepdim)


def get_device(input: Tensor) -> int:
    """The number of the tensor's device: -1 for the CPU."""
    return input.get_device()


def detach_(input: Tensor) -> Tensor:
    """Make the tensor a leaf without a history."""
    return input.detach_()


def set_flush_denormal(mode: bool) -> bool:
    """False: small numbers are always kept as they are."""
    return False
