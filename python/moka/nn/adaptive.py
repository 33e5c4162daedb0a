"""A softmax over very many classes, most of them rare."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from moka import _C
from moka._C import Tensor

from .containers import ModuleList, Sequential
from .linear import Linear
from .module import Module

__all__ = ["AdaptiveLogSoftmaxWithLoss"]


class TargetsAndLoss(NamedTuple):
    """The logarithms of the targets' probabilities [batch], and their mean loss."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """The loss of a softmax in clusters (Grave et al., "Efficient softmax approximation for GPUs", 2017).

    Classes are sorted by frequency, the most frequent first. The head scores those below cutoffs[0] and one
    entry for each cluster; cluster i scores its own classes from in_features / div_value^(i+1) features.

    Args:
        cutoffs: where clusters begin, increasing, above 0 and below n_classes.
        div_value: how much narrower each cluster is than the one before.
        head_bias: whether the head has a bias.

    >>> layer = moka.nn.AdaptiveLogSoftmaxWithLoss(16, 1000, cutoffs=[20, 100])
    >>> output, loss = layer(moka.randn(4, 16), moka.tensor([3, 25, 400, 0]))
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        listed = list(cutoffs)
        if not listed:
            raise ValueError(
                "AdaptiveLogSoftmaxWithLoss: cutoffs should be a sequence of length larger than 0"
            )
        if (
            listed != sorted(set(listed))
            or listed[0] <= 0
            or listed[-1] > n_classes - 1
            or any(int(cutoff) != cutoff for cutoff in listed)
        ):
            raise ValueError(
                f"AdaptiveLogSoftmaxWithLoss: cutoffs should be a sequence of unique, positive integers "
                f"sorted in an increasing order, each below n_classes = {n_classes}, got {listed}"
            )
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*listed, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = self.cutoffs[0]
        self.n_clusters = len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, bias=head_bias, device=device, dtype=dtype)
        self.tail = ModuleList()
        for i, (first, last) in enumerate(zip(self.cutoffs, self.cutoffs[1:], strict=False)):
            width = int(in_features // (div_value ** (i + 1)))
            self.tail.append(
                Sequential(
                    Linear(in_features, width, bias=False, device=device, dtype=dtype),
                    Linear(width, last - first, bias=False, device=device, dtype=dtype),
                )
            )

    def reset_parameters(self) -> None:
        """New values in the head and in all clusters."""
        self.head.reset_parameters()
        for first, second in self.tail:
            first.reset_parameters()
            second.reset_parameters()

    def forward(self, input: Tensor, target: Tensor) -> TargetsAndLoss:
        """(output, loss) for input [batch, in_features] or [in_features] and classes [batch] or one."""
        if target.dim() not in (0, 1):
            raise RuntimeError(
                f"AdaptiveLogSoftmaxWithLoss: 0D or 1D target tensor expected, got shape {list(target.shape)}"
            )
        if input.dim() != target.dim() + 1 or input.shape[:-1] != target.shape:
            raise RuntimeError(
                f"AdaptiveLogSoftmaxWithLoss: Input and target should have the same size in the batch "
                f"dimension, got {list(input.shape)} and {list(target.shape)}"
            )
        rows = input if input.dim() == 2 else input.unsqueeze(0)
        classes = target.reshape(-1)
        if classes.numel() and (int(classes.min()) < 0 or int(classes.max()) >= self.n_classes):
            raise RuntimeError(
                f"AdaptiveLogSoftmaxWithLoss: Target values should be in [0, {self.n_classes - 1}], but "
                f"values in range [{int(classes.min())}, {int(classes.max())}] were found"
            )
        head = _C.log_softmax(self.head(rows), 1)
        in_head = classes < self.shortlist_size
        entry = _C.where(in_head, classes, 0)
        parts = []
        for i, cluster in enumerate(self.tail):
            inside = (classes >= self.cutoffs[i]) & (classes < self.cutoffs[i + 1])
            entry = _C.where(inside, self.shortlist_size + i, entry)
            places = inside.nonzero().squeeze(1)
            if places.numel():
                own = _C.log_softmax(cluster(rows.index_select(0, places)), 1)
                chosen = (classes.index_select(0, places) - self.cutoffs[i]).unsqueeze(1)
                parts.append((places, own.gather(1, chosen).squeeze(1)))
        output = head.gather(1, entry.unsqueeze(1)).squeeze(1)
        for places, values in parts:
            output = output.index_add(0, places, values.to(output.dtype))
        loss = (-output).mean()
        return TargetsAndLoss(output if input.dim() == 2 else output.squeeze(0), loss)

    def log_prob(self, input: Tensor) -> Tensor:
        """The logarithms of all classes' probabilities, [batch, n_classes]."""
        head = _C.log_softmax(self.head(input), 1)
        blocks = [head[:, : self.shortlist_size]]
        for i, cluster in enumerate(self.tail):
            own = _C.log_softmax(cluster(input), 1)
            blocks.append(own + head[:, self.shortlist_size + i].unsqueeze(1))
        return _C.cat(blocks, 1)

    def predict(self, input: Tensor) -> Tensor:
        """The most probable class of each row, [batch]."""
        return self.log_prob(input).argmax(1)
