"""Help for tests: assert_close compares results, make_tensor makes arguments."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from moka import _C
from moka._C import Tensor

__all__ = ["assert_allclose", "assert_close", "make_tensor"]

# (relative, absolute) tolerances by the type of the numbers; others must be equal.
_TOLERANCES = {
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
    "complex32": (1e-3, 1e-5),
    "complex64": (1.3e-6, 1e-5),
    "complex128": (1e-7, 1e-7),
}


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """Raise AssertionError unless |actual - expected| <= atol + rtol * |expected| everywhere.

    Sequences and mappings are compared entry by entry. Without tolerances they follow from the dtype (the
    looser
    of the two); integers and bool must be equal.
    """
    if (rtol is None) != (atol is None):
        raise ValueError("assert_close: give both rtol and atol, or neither")
    checks = (rtol, atol, equal_nan, check_dtype, check_stride, allow_subclasses)
    problem = _difference(actual, expected, "", checks)
    if problem:
        raise AssertionError(msg(problem) if callable(msg) else msg or problem)


assert_allclose = assert_close


def _difference(actual: Any, expected: Any, place: str, checks: tuple[Any, ...]) -> str:
    at = f" (at {place})" if place else ""
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        if actual.keys() != expected.keys():
            return f"The keys differ{at}: {list(actual)} and {list(expected)}"
        pairs = [(f"{place}[{key!r}]", actual[key], expected[key]) for key in expected]
        return next((d for name, a, e in pairs if (d := _difference(a, e, name, checks))), "")
    both = (actual, expected)
    if all(isinstance(v, Sequence) and not isinstance(v, (str, bytes)) for v in both):
        if len(actual) != len(expected):
            return f"The lengths differ{at}: {len(actual)} and {len(expected)}"
        rows = enumerate(zip(actual, expected, strict=True))
        return next((d for i, (a, e) in rows if (d := _difference(a, e, f"{place}[{i}]", checks))), "")
    if actual is None or expected is None:
        return "" if actual is expected else f"None and {type(expected).__name__}{at}"
    if isinstance(actual, str) or isinstance(expected, str):
        return "" if actual == expected else f"The texts differ{at}: {actual!r} and {expected!r}"
    return _number_difference(actual, expected, at, checks)


def _number_difference(actual: Any, expected: Any, at: str, checks: tuple[Any, ...]) -> str:
    rtol, atol, equal_nan, check_dtype, check_stride, allow_subclasses = checks
    plain = not isinstance(actual, Tensor) and not isinstance(expected, Tensor)
    if not allow_subclasses and type(actual) is not type(expected):
        return f"The types differ{at}: {type(actual).__name__} and {type(expected).__name__}"
    a = actual.detach() if isinstance(actual, Tensor) else _C.tensor(actual, dtype=_wide(actual, plain))
    e = (
        expected.detach()
        if isinstance(expected, Tensor)
        else _C.tensor(expected, dtype=_wide(expected, plain))
    )
    if tuple(a.shape) != tuple(e.shape):
        return f"The shapes differ{at}: {list(a.shape)} and {list(e.shape)}"
    if check_dtype and a.dtype != e.dtype:
        return f"The dtypes differ{at}: {a.dtype} and {e.dtype}"
    if check_stride and a.stride() != e.stride():
        return f"The strides differ{at}: {a.stride()} and {e.stride()}"
    if rtol is None:
        known = [_TOLERANCES.get(t.dtype.name, (0.0, 0.0)) for t in (a, e)]
        rtol, atol = (max(pair) for pair in zip(*known, strict=True))
    pairs = list(zip(a.reshape(-1).tolist(), e.reshape(-1).tolist(), strict=True))
    wrong = [i for i, (x, y) in enumerate(pairs) if not _close(x, y, rtol, atol, equal_nan)]
    if not wrong:
        return ""
    worst = max(wrong, key=lambda i: _distance(*pairs[i]))
    index = _index(worst, list(a.shape))
    share = 100 * len(wrong) / len(pairs)
    return (
        f"Not close{at}: {len(wrong)} of {len(pairs)} elements ({share:.1f} %) differ by more than rtol "
        f"{rtol} and "
        f"atol {atol}; the largest difference is {_distance(*pairs[worst])} at {index}: {pairs[worst][0]} "
        "and "
        f"{pairs[worst][1]}"
    )


def _wide(value: Any, plain: bool) -> Any:
    if isinstance(value, bool) or not plain:
        return None
    return _C.complex128 if isinstance(value, complex) else _C.float64 if isinstance(value, float) else None


def _is_nan(value: Any) -> bool:
    return value != value


def _close(x: Any, y: Any, rtol: float, atol: float, equal_nan: bool) -> bool:
    if x == y:
        return True
    if _is_nan(x) or _is_nan(y):
        return equal_nan and _is_nan(x) and _is_nan(y)
    return not math.isinf(abs(y)) and abs(x - y) <= atol + rtol * abs(y)


def _distance(x: Any, y: Any) -> float:
    gap = abs(x - y)
    return math.inf if _is_nan(gap) else gap


def _index(place: int, shape: list[int]) -> tuple[int, ...]:
    found = []
    for size in reversed(shape):
        place, rest = divmod(place, size)
        found.append(rest)
    return tuple(reversed(found))


def make_tensor(
    *shape: Any,
    dtype: Any,
    device: Any = "cpu",
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """A tensor of random values in [low, high): -9 to 9 for floats and signed integers, 0 to 9 for
    unsigned ones,
    both values for bool, unless given.

    Args:
        noncontiguous: with gaps between the elements.
        exclude_zero: zeros become the smallest step of the type.
    """
    sizes = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else tuple(shape)
    drawn = (*sizes[:-1], sizes[-1] * 2) if noncontiguous and sizes else sizes
    if dtype == _C.bool:
        low, high = 0 if low is None else low, 2 if high is None else high
    unsigned = dtype.name.startswith("uint")
    low = (0 if unsigned else -9) if low is None else low
    high = (10 if not dtype.is_floating_point and not dtype.is_complex else 9) if high is None else high
    if not low < high:
        raise ValueError(f"make_tensor: low must be below high, but they are {low} and {high}")
    if dtype.is_complex:
        import numpy as np

        parts = [_C.rand(drawn, dtype=_C.float64).numpy() * (high - low) + low for _ in range(2)]
        made = _C.from_numpy(np.asarray(parts[0] + 1j * parts[1])).to(dtype)
    else:
        values = _C.rand(drawn, dtype=_C.float64) * float(high - low) + float(low)
        floats = dtype.is_floating_point
        made = (values if floats else values.floor()).to(dtype)
    if exclude_zero:
        least = 2.0**-23 if dtype.is_floating_point else 1
        made = _C.where(made == 0, _C.full_like(made, least), made)
    if noncontiguous and sizes:
        made = made[..., ::2]
    if memory_format is not None:
        made = made.contiguous(memory_format=memory_format)
    return made.requires_grad_(True) if requires_grad else made
