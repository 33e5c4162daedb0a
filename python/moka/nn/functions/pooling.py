"""Pools: maxima and means of windows, and back from maxima."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from moka import _C
from moka._C import Tensor

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool1d_with_indices",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_with_indices",
    "adaptive_max_pool3d",
    "adaptive_max_pool3d_with_indices",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "fractional_max_pool2d",
    "fractional_max_pool2d_with_indices",
    "fractional_max_pool3d",
    "fractional_max_pool3d_with_indices",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_pool1d",
    "max_pool1d_with_indices",
    "max_pool2d",
    "max_pool2d_with_indices",
    "max_pool3d",
    "max_pool3d_with_indices",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
]

Sizes = int | Sequence[int]


def _each(value: Any, rank: int) -> list[Any]:
    if isinstance(value, int | float):
        return [value] * rank
    return list(value) * rank if len(value) == 1 else list(value)


def _none_if_empty(stride: Sizes | None) -> Sizes | None:
    return stride if isinstance(stride, int) or stride else None


def _named(function: Callable[..., Any], name: str, doc: str) -> Callable[..., Any]:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


avg_pool1d = _C.avg_pool1d


def _avg_pool(rank: int) -> Callable[..., Tensor]:
    op, name = getattr(_C, f"avg_pool{rank}d"), f"avg_pool{rank}d"

    def pool(
        input: Tensor,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
        **out: Any,
    ) -> Tensor:
        return op(
            input,
            kernel_size,
            _none_if_empty(stride),
            padding,
            ceil_mode,
            count_include_pad,
            divisor_override,
            **out,
        )

    return _named(
        pool, name, f"The mean of each window over the last {rank} dimensions; see nn.AvgPool{rank}d."
    )


avg_pool2d = _avg_pool(2)
avg_pool3d = _avg_pool(3)


def _max_pool(rank: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    plain = getattr(_C, f"max_pool{rank}d")
    both = getattr(_C, f"max_pool{rank}d_with_indices")

    def max_pool(
        input: Tensor,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        op = both if return_indices else plain
        return op(input, kernel_size, _none_if_empty(stride), padding, dilation, ceil_mode)

    def with_indices(
        input: Tensor,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        return_indices: bool = True,
    ) -> tuple[Tensor, Tensor]:
        return both(input, kernel_size, _none_if_empty(stride), padding, dilation, ceil_mode)

    name = f"max_pool{rank}d"
    doc = f"The maximum of each window over the last {rank} dimensions"
    return (
        _named(max_pool, name, f"{doc}, with its place where return_indices is set; see nn.MaxPool{rank}d."),
        _named(with_indices, f"{name}_with_indices", f"{doc}, and its place in the plane."),
    )


max_pool1d, max_pool1d_with_indices = _max_pool(1)
max_pool2d, max_pool2d_with_indices = _max_pool(2)
max_pool3d, max_pool3d_with_indices = _max_pool(3)


def _filled(name: str, rank: int, input: Tensor, output_size: Any) -> list[int]:
    """output_size with the input's own size for None."""
    sizes = [output_size] * rank if output_size is None or isinstance(output_size, int) else list(output_size)
    if len(sizes) == 1:
        sizes = sizes * rank
    if rank > 1 and len(sizes) == rank == input.dim():
        raise ValueError(
            f"{name}: input must have more than {rank} dimensions, got shape {list(input.shape)}"
        )
    if len(sizes) != rank or input.dim() < rank:
        raise RuntimeError(
            f"{name}: output_size must be an int or {rank} ints for an input of at least {rank} "
            f"dimensions, got "
            f"{output_size} for shape {list(input.shape)}"
        )
    return [input.shape[k - rank] if size is None else size for k, size in enumerate(sizes)]


def _adaptive(rank: int) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    mean_op, max_op = getattr(_C, f"adaptive_avg_pool{rank}d"), getattr(_C, f"adaptive_max_pool{rank}d")
    mean_name, max_name = f"adaptive_avg_pool{rank}d", f"adaptive_max_pool{rank}d"

    def mean(input: Tensor, output_size: Any) -> Tensor:
        return mean_op(input, _filled(mean_name, rank, input, output_size))

    def largest(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
        both = max_op(input, _filled(max_name, rank, input, output_size))
        return both if return_indices else both[0]

    def with_indices(input: Tensor, output_size: Any, return_indices: bool = True) -> Any:
        return max_op(input, _filled(max_name, rank, input, output_size))

    doc = (
        f"of windows that share out the last {rank} dimensions so that the result is output_size (None keeps "
        "a size)"
    )
    return (
        _named(mean, mean_name, f"The means {doc}."),
        _named(largest, max_name, f"The maxima {doc}; with return_indices also their places."),
        _named(with_indices, f"{max_name}_with_indices", f"The maxima, and their places, {doc}."),
    )


adaptive_avg_pool1d, adaptive_max_pool1d, adaptive_max_pool1d_with_indices = _adaptive(1)
adaptive_avg_pool2d, adaptive_max_pool2d, adaptive_max_pool2d_with_indices = _adaptive(2)
adaptive_avg_pool3d, adaptive_max_pool3d, adaptive_max_pool3d_with_indices = _adaptive(3)


def _fractional(rank: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    op, name = getattr(_C, f"fractional_max_pool{rank}d"), f"fractional_max_pool{rank}d"

    def with_indices(
        input: Tensor,
        kernel_size: Sizes,
        output_size: Sizes | None = None,
        output_ratio: float | Sequence[float] | None = None,
        return_indices: bool = True,
        _random_samples: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        if output_size is None:
            if output_ratio is None:
                raise ValueError(f"{name}: output_size or output_ratio is needed")
            ratios = _each(output_ratio, rank)
            output_size = [int(n * r) for n, r in zip(input.shape[-rank:], ratios, strict=True)]
        if _random_samples is None:
            lead = tuple(input.shape[:-rank])
            lead = lead if len(lead) == 2 else (1, *lead)
            _random_samples = _C.rand((*lead, rank), dtype=input.dtype, device=input.device)
        return op(input, kernel_size, output_size, _random_samples)

    def pool(
        input: Tensor,
        kernel_size: Sizes,
        output_size: Sizes | None = None,
        output_ratio: float | Sequence[float] | None = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> Any:
        both = with_indices(input, kernel_size, output_size, output_ratio, True, _random_samples)
        return both if return_indices else both[0]

    doc = "The maxima of windows at random places (Graham, Fractional max-pooling, 2014)"
    return (
        _named(pool, name, f"{doc}; see nn.FractionalMaxPool{rank}d."),
        _named(with_indices, f"{name}_with_indices", f"{doc}, and their places."),
    )


fractional_max_pool2d, fractional_max_pool2d_with_indices = _fractional(2)
fractional_max_pool3d, fractional_max_pool3d_with_indices = _fractional(3)


def _unpool(rank: int) -> Callable[..., Tensor]:
    name = f"max_unpool{rank}d"

    def unpool(
        input: Tensor,
        indices: Tensor,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        output_size: Sequence[int] | None = None,
    ) -> Tensor:
        if input.dim() not in (rank + 1, rank + 2):
            raise RuntimeError(
                f"{name}: input must have {rank + 1} or {rank + 2} dimensions, got shape {list(input.shape)}"
            )
        kernel = _each(kernel_size, rank)
        steps = kernel if stride is None else _each(stride, rank)
        pads = _each(padding, rank)
        usual = [
            (n - 1) * s + k - 2 * p
            for n, s, k, p in zip(input.shape[-rank:], steps, kernel, pads, strict=True)
        ]
        sizes = usual
        if output_size is not None:
            sizes = list(output_size)
            sizes = sizes[2:] if len(sizes) == rank + 2 else sizes
            if len(sizes) != rank or any(
                not u - s < n < u + s for n, u, s in zip(sizes, usual, steps, strict=True)
            ):
                raise ValueError(
                    f"{name}: output_size {list(output_size)} must be {rank} sizes that lie less than stride "
                    f"{steps} from {usual}"
                )
        return _C.plane_put(input, indices, [*input.shape[:-rank], *sizes], rank)

    return _named(
        unpool,
        name,
        f"Undoes max_pool{rank}d with its indices: maxima at their places, zeros elsewhere; see "
        f"nn.MaxUnpool{rank}d.",
    )


max_unpool1d = _unpool(1)
max_unpool2d = _unpool(2)
max_unpool3d = _unpool(3)


def _lp_pool(rank: int) -> Callable[..., Tensor]:
    mean = getattr(_C, f"avg_pool{rank}d")

    def pool(
        input: Tensor,
        norm_type: float,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        ceil_mode: bool = False,
    ) -> Tensor:
        out = mean(input.pow(norm_type), kernel_size, stride, 0, ceil_mode)
        count = 1
        for k in _each(kernel_size, rank):
            count *= k
        return (_C.sign(out) * _C.relu(_C.abs(out))).mul(count).pow(1.0 / norm_type)

    return _named(
        pool,
        f"lp_pool{rank}d",
        f"(sum of x^p)^(1/p) of each window over the last {rank} dimensions; see nn.LPPool{rank}d.",
    )


lp_pool1d = _lp_pool(1)
lp_pool2d = _lp_pool(2)
lp_pool3d = _lp_pool(3)
