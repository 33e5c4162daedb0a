"""Every function of the array API standard beside array-api-strict, over inputs that hypothesis makes.

    python tests/peers/compare_array_api.py [NAMES]

Needs array-api-strict, hypothesis and this build in one environment. It prints the smallest input for which a function
differs, then counts.
"""
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - its table has one function a line

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import array_api_strict as strict
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import moka

warnings.simplefilter("ignore")
strict.set_array_api_strict_flags(api_version="2024.12")
moka.set_default_dtype(moka.float64)
ours = moka.ones(1).__array_namespace__()

INTS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
FLOATS = ["float32", "float64"]
COMPLEX = ["complex64", "complex128"]
REAL, NUMERIC, ALL = INTS + FLOATS, INTS + FLOATS + COMPLEX, ["bool", *INTS, *FLOATS, *COMPLEX]


@st.composite
def arrays(draw: Any, dtypes: list[str], shape: Any = None, low: float = -6, high: float = 6) -> np.ndarray:
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    if shape is None:
        shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    if dtype.kind == "b":
        elements: Any = st.booleans()
    elif dtype.kind in "iu":
        elements = st.integers(int(max(low, 0) if dtype.kind == "u" else low), int(high))
    elif dtype.kind == "f":
        elements = st.integers(int(low * 4), int(high * 4)).map(lambda k: k / 4 + (0.125 if low > 0 else 0.0))
    else:
        elements = st.tuples(st.integers(-12, 12), st.integers(-12, 12)).map(lambda p: complex(p[0] / 4, p[1] / 4))
    return draw(hnp.arrays(dtype, shape, elements=elements))


def both(dtypes: list[str], **bounds: Any) -> Any:
    """Two arrays whose shapes broadcast and whose types promote."""
    shapes = hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3, min_side=0)

    def pair(s: Any) -> Any:
        a, b = s.input_shapes
        return st.tuples(arrays(dtypes, a, **bounds), arrays(dtypes, b, **bounds)).filter(
            lambda p: promotes(p[0].dtype, p[1].dtype)
        )

    return shapes.flatmap(pair)


def promotes(a: Any, b: Any) -> bool:
    try:
        strict.result_type(getattr(strict, str(a)), getattr(strict, str(b)))
        return True
    except TypeError:
        return False


axis_or_none = st.sampled_from([None, 0, -1, (0, -1)])
flag = st.booleans()
square = st.integers(0, 4).flatmap(
    lambda n: st.integers(0, 2).flatmap(lambda b: arrays(FLOATS, (*[2] * b, n, n)))
)
matrix = hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=4).flatmap(lambda s: arrays(FLOATS, s))


def unary(dtypes: list[str], **bounds: Any) -> Any:
    return st.tuples(arrays(dtypes, **bounds)).map(lambda a: (a, {}))


def binary(dtypes: list[str], **bounds: Any) -> Any:
    with_number = st.tuples(arrays(dtypes, **bounds), st.integers(1, 3))
    return st.one_of(both(dtypes, **bounds), with_number).map(lambda a: (a, {}))


def reduced(dtypes: list[str], min_side: int = 0, **options: Any) -> Any:
    shape = hnp.array_shapes(min_dims=2, max_dims=3, min_side=min_side, max_side=4)
    return st.tuples(
        shape.flatmap(lambda s: arrays(dtypes, s)).map(lambda a: (a,)),
        st.fixed_dictionaries({"axis": axis_or_none, "keepdims": flag, **options}),
    )


def ranked(dtypes: list[str], dims: int = 1, min_side: int = 0, **options: Any) -> Any:
    shape = hnp.array_shapes(min_dims=dims, max_dims=3, min_side=min_side, max_side=4)
    return st.tuples(shape.flatmap(lambda s: arrays(dtypes, s)).map(lambda a: (a,)), st.fixed_dictionaries(options))


one_axis = st.sampled_from([0, -1])
size = st.one_of(st.integers(0, 4), st.tuples(st.integers(0, 3), st.integers(0, 3)))
dtype_name = st.sampled_from(ALL)
maybe_dtype = st.one_of(st.none(), st.sampled_from(NUMERIC))
CALLS: dict[str, Any] = {
    **{n: unary(NUMERIC) for n in ("abs", "negative", "positive", "sign", "square", "real")},
    **{n: unary(COMPLEX) for n in ("conj", "imag")},
    **{n: unary(FLOATS + COMPLEX) for n in ("cos", "cosh", "exp", "expm1", "sin", "sinh", "tanh", "atan", "asinh")},
    **{n: unary(FLOATS + COMPLEX, low=1) for n in ("log", "log10", "log1p", "log2", "sqrt", "reciprocal", "tan")},
    **{n: unary(FLOATS, low=-1, high=1) for n in ("acos", "asin")},
    "atanh": unary(FLOATS, low=-0.5, high=0.5),
    "acosh": unary(FLOATS, low=1),
    **{n: unary(REAL) for n in ("ceil", "floor", "trunc")},
    "round": unary(NUMERIC),
    **{n: unary(NUMERIC) for n in ("isfinite", "isinf", "isnan")},
    "signbit": unary(FLOATS),
    "logical_not": unary(["bool"]),
    "bitwise_invert": unary(["bool", *INTS]),
    **{n: binary(NUMERIC) for n in ("add", "subtract", "multiply")},
    **{n: both(NUMERIC).map(lambda a: (a, {})) for n in ("equal", "not_equal")},
    "divide": binary(FLOATS + COMPLEX, low=1),
    **{n: binary(REAL) for n in ("greater", "greater_equal", "less", "less_equal", "maximum", "minimum")},
    **{n: binary(REAL, low=1) for n in ("floor_divide", "remainder")},
    "pow": binary(NUMERIC, low=1, high=3),
    **{n: binary(FLOATS) for n in ("atan2", "copysign", "hypot", "logaddexp", "nextafter")},
    **{n: both(["bool"]).map(lambda a: (a, {})) for n in ("logical_and", "logical_or", "logical_xor")},
    **{n: both(INTS).map(lambda a: (a, {})) for n in ("bitwise_and", "bitwise_or", "bitwise_xor")},
    **{n: both(INTS, low=0, high=4).map(lambda a: (a, {})) for n in ("bitwise_left_shift", "bitwise_right_shift")},
    "clip": st.tuples(arrays(REAL).map(lambda a: (a,)), st.fixed_dictionaries({"min": st.sampled_from([None, 1]), "max": st.sampled_from([None, 3])})),
    "sum": reduced(NUMERIC, dtype=st.none()),
    "prod": reduced(NUMERIC, dtype=st.none()),
    "mean": reduced(FLOATS, 1),
    "var": reduced(FLOATS, 2, correction=st.sampled_from([0.0, 1.0])),
    "std": reduced(FLOATS, 2, correction=st.sampled_from([0.0, 1.0])),
    "max": reduced(REAL, 1),
    "min": reduced(REAL, 1),
    "all": reduced(ALL),
    "any": reduced(ALL),
    "count_nonzero": reduced(ALL),
    **{n: ranked(REAL, 1, 1, axis=one_axis, keepdims=flag) for n in ("argmax", "argmin")},
    **{n: ranked(NUMERIC, 1, 0, axis=one_axis, include_initial=flag) for n in ("cumulative_sum", "cumulative_prod")},
    "diff": ranked(NUMERIC, 1, 2, axis=one_axis, n=st.integers(0, 2)),
    "nonzero": ranked(ALL, 1),
    **{n: ranked(REAL, 1, 0, axis=one_axis, descending=flag) for n in ("sort", "argsort")},
    **{n: unary(REAL) for n in ("unique_all", "unique_counts", "unique_inverse", "unique_values")},
    "searchsorted": st.tuples(
        st.tuples(arrays(FLOATS, (5,)).map(np.sort), arrays(FLOATS, (3,))),
        st.fixed_dictionaries({"side": st.sampled_from(["left", "right"])}),
    ),
    "where": both(ALL).flatmap(lambda p: arrays(["bool"], p[0].shape).map(lambda c: ((c, *p), {}))),
    "broadcast_arrays": both(NUMERIC).map(lambda a: (a, {})),
    "broadcast_to": arrays(ALL, (3, 1)).map(lambda a: ((a, (2, 3, 4)), {})),
    "concat": st.tuples(st.tuples(arrays(REAL, (2, 3)), arrays(REAL, (2, 3))).filter(lambda p: promotes(p[0].dtype, p[1].dtype)).map(lambda p: (list(p),)), st.fixed_dictionaries({"axis": st.sampled_from([None, 0, -1])})),
    "stack": st.tuples(st.tuples(arrays(REAL, (2, 3)), arrays(REAL, (2, 3))).filter(lambda p: promotes(p[0].dtype, p[1].dtype)).map(lambda p: (list(p),)), st.fixed_dictionaries({"axis": st.sampled_from([0, 1, -1])})),
    "expand_dims": ranked(ALL, 1, axis=st.sampled_from([0, 1, -1, 7])),
    "flip": ranked(ALL, 2, axis=axis_or_none),
    "moveaxis": ranked(ALL, 2).map(lambda c: ((*c[0], 0, -1), {})),
    "permute_dims": arrays(ALL, (2, 3, 1)).map(lambda a: ((a, (2, 0, 1)), {})),
    "matrix_transpose": ranked(ALL, 2),
    "repeat": st.tuples(ranked(ALL, 1, 1).map(lambda c: (*c[0], 2)), st.fixed_dictionaries({"axis": st.sampled_from([None, 0, -1])})),
    "reshape": st.tuples(arrays(ALL, (2, 6)).map(lambda a: (a, (3, -1))), st.fixed_dictionaries({"copy": st.sampled_from([None, True])})),
    "roll": st.tuples(ranked(ALL, 2, 1).map(lambda c: (*c[0], 2)), st.fixed_dictionaries({"axis": axis_or_none})),
    "squeeze": st.tuples(arrays(ALL, (1, 3, 1)).map(lambda a: (a,)), st.fixed_dictionaries({"axis": st.sampled_from([0, -1, (0, 2), 1])})),
    "take": st.tuples(arrays(ALL, (4, 5)).map(lambda a: (a, np.array([0, 3, 1]))), st.fixed_dictionaries({"axis": one_axis})),
    "take_along_axis": st.tuples(arrays(ALL, (4, 5)).map(lambda a: (a, np.array([[0, 3, 1, 2]] * 4))), st.fixed_dictionaries({"axis": st.just(-1)})),
    "tile": ranked(ALL, 1).map(lambda c: ((*c[0], (2, 1)), {})),
    "unstack": ranked(ALL, 1, axis=one_axis),
    "tril": ranked(ALL, 2, k=st.integers(-2, 2)),
    "triu": ranked(ALL, 2, k=st.integers(-2, 2)),
    "matmul": st.tuples(arrays(NUMERIC, (2, 3)), arrays(NUMERIC, (3, 4))).filter(lambda p: promotes(p[0].dtype, p[1].dtype)).map(lambda a: (a, {})),
    "tensordot": st.tuples(arrays(NUMERIC, (2, 3)), arrays(NUMERIC, (3, 4))).filter(lambda p: promotes(p[0].dtype, p[1].dtype)).map(lambda a: (a, {"axes": 1})),
    "vecdot": st.tuples(arrays(NUMERIC, (2, 3)), arrays(NUMERIC, (2, 3))).filter(lambda p: promotes(p[0].dtype, p[1].dtype)).map(lambda a: (a, {})),
    "arange": st.tuples(st.tuples(st.integers(-4, 4), st.integers(-4, 8), st.sampled_from([1, 2, -1, 0.5])), st.just({})),
    "linspace": st.tuples(st.tuples(st.integers(-4, 4), st.integers(-4, 8), st.integers(0, 5)), st.fixed_dictionaries({"endpoint": flag})),
    "eye": st.tuples(st.tuples(st.integers(0, 4), st.one_of(st.none(), st.integers(0, 4))), st.fixed_dictionaries({"k": st.integers(-4, 4), "dtype": maybe_dtype})),
    **{n: st.tuples(size.map(lambda s: (s,)), st.fixed_dictionaries({"dtype": maybe_dtype})) for n in ("zeros", "ones")},
    "full": st.tuples(st.tuples(size, st.sampled_from([1, 2.5, True, 1j])), st.just({})),
    **{n: st.tuples(arrays(ALL).map(lambda a: (a,)), st.fixed_dictionaries({"dtype": maybe_dtype})) for n in ("zeros_like", "ones_like")},
    "full_like": arrays(NUMERIC).map(lambda a: ((a, 3), {})),
    "meshgrid": st.tuples(st.tuples(arrays(["float32"], (3,)), arrays(["float32"], (2,))), st.fixed_dictionaries({"indexing": st.sampled_from(["xy", "ij"])})),
    "asarray": st.tuples(st.sampled_from([1, 2.5, True, 1j, [1, 2], [[1.5], [2]], [True]]).map(lambda v: (v,)), st.just({})),
    **{f"linalg.{n}": st.tuples(square.map(lambda a: (a,)), st.just({})) for n in ("det", "slogdet")},
    "linalg.inv": st.tuples(square.map(lambda a: (a + 30 * np.eye(a.shape[-1], dtype=a.dtype),)), st.just({})),
    "linalg.cholesky": st.tuples(square.map(lambda a: (a @ np.swapaxes(a, -1, -2) + 9 * np.eye(a.shape[-1], dtype=a.dtype),)), st.fixed_dictionaries({"upper": flag})),
    "linalg.eigvalsh": st.tuples(square.map(lambda a: (a + np.swapaxes(a, -1, -2),)), st.just({})),
    "linalg.solve": st.tuples(arrays(FLOATS, (2, 3, 3)).map(lambda a: a + 30 * np.eye(3, dtype=a.dtype)), arrays(FLOATS, (3, 2))).map(lambda a: (a, {})),
    "linalg.svdvals": st.tuples(matrix.map(lambda a: (a,)), st.just({})),
    "linalg.matrix_norm": st.tuples(matrix.map(lambda a: (a,)), st.fixed_dictionaries({"ord": st.sampled_from(["fro", "nuc", 1, 2, np.inf, -1]), "keepdims": flag})),
    "linalg.matrix_rank": st.tuples(matrix.map(lambda a: (a,)), st.just({})),
    "linalg.pinv": st.tuples(matrix.map(lambda a: (a,)), st.just({})),
    "linalg.matrix_power": st.tuples(square.map(lambda a: (a, 3)), st.just({})),
    "linalg.vector_norm": st.tuples(matrix.map(lambda a: (a,)), st.fixed_dictionaries({"ord": st.sampled_from([2, 1, 0, 3, np.inf, -np.inf]), "axis": axis_or_none, "keepdims": flag})),
    "linalg.diagonal": ranked(ALL, 2, offset=st.integers(-2, 2)),
    "linalg.trace": ranked(NUMERIC, 2, offset=st.integers(-2, 2)),
    "linalg.outer": st.tuples(arrays(NUMERIC, (3,)), arrays(NUMERIC, (2,))).filter(lambda p: promotes(p[0].dtype, p[1].dtype)).map(lambda a: (a, {})),
    "linalg.cross": st.tuples(arrays(NUMERIC, (2, 3)), arrays(NUMERIC, (2, 3))).filter(lambda p: promotes(p[0].dtype, p[1].dtype)).map(lambda a: (a, {})),
    **{f"fft.{n}": st.tuples(arrays(COMPLEX, (2, 5)).map(lambda a: (a,)), st.fixed_dictionaries({"n": st.sampled_from([None, 3, 7]), "axis": one_axis, "norm": st.sampled_from(["backward", "ortho", "forward"])})) for n in ("fft", "ifft", "hfft", "irfft")},
    **{f"fft.{n}": st.tuples(arrays(FLOATS, (2, 5)).map(lambda a: (a,)), st.fixed_dictionaries({"n": st.sampled_from([None, 3, 7]), "axis": one_axis})) for n in ("rfft", "ihfft")},
    **{f"fft.{n}": st.tuples(arrays(COMPLEX, (2, 5)).map(lambda a: (a,)), st.fixed_dictionaries({"axes": st.sampled_from([None, (0,), (0, 1)])})) for n in ("fftn", "ifftn", "fftshift", "ifftshift")},
    "fft.fftfreq": st.tuples(st.integers(1, 6).map(lambda n: (n,)), st.fixed_dictionaries({"d": st.sampled_from([1.0, 0.5])})),
    "fft.rfftfreq": st.tuples(st.integers(1, 6).map(lambda n: (n,)), st.fixed_dictionaries({"d": st.sampled_from([1.0, 0.5])})),
}  # fmt: skip
ALIKE = {IndexError, ValueError, TypeError, RuntimeError, np.linalg.LinAlgError, AssertionError}


def convert(value: Any, namespace: Any) -> Any:
    if isinstance(value, np.ndarray):
        return namespace.asarray(value) if namespace is strict else moka.from_numpy(value.copy())
    if isinstance(value, list) and value and isinstance(value[0], np.ndarray):
        return [convert(v, namespace) for v in value]
    return value


def call(namespace: Any, name: str, positional: Any, named: dict[str, Any]) -> Any:
    function = namespace
    for part in name.split("."):
        function = getattr(function, part)
    named = {k: getattr(namespace, v) if k == "dtype" and v else v for k, v in named.items()}
    return function(*(convert(v, namespace) for v in positional), **named)


def plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    if isinstance(value, moka.Tensor):
        return np.asarray(value.detach().numpy())
    return np.asarray(value._array) if hasattr(value, "_array") else np.asarray(value)


def check_alike(name: str, positional: Any, named: dict[str, Any]) -> None:
    def attempt(namespace: Any) -> Any:
        try:
            return plain(call(namespace, name, positional, named))
        except tuple(ALIKE) as error:
            return error

    expected, found = attempt(strict), attempt(ours)
    if isinstance(expected, Exception):
        return  # what the standard leaves open
    assert not isinstance(found, Exception), repr(found)
    pairs = zip(found, expected, strict=True) if isinstance(expected, list) else [(found, expected)]
    for x, y in pairs:
        assert x.shape == y.shape, f"shape {x.shape} for {y.shape}"
        assert x.dtype == y.dtype, f"dtype {x.dtype} for {y.dtype}"
        wide = y.dtype.name in ("float64", "complex128")
        tolerance = (1e-9 if wide else 2e-4) if y.dtype.kind in "fc" else 0
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance * 10)


def compare(name: str, strategy: Any) -> str | None:
    @settings(max_examples=30, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(strategy)
    def run(arguments: Any) -> None:
        positional, named = arguments
        try:
            check_alike(name, positional, named)
        except AssertionError as error:
            text = " ".join(str(error).split())[:160]
            raise AssertionError(f"{positional} {named}: {text}") from None

    try:
        run()
    except Exception as error:
        return " ".join(str(error).split())[:400]
    return None


def main() -> None:
    wanted = sys.argv[1:]
    missing = [n for n in dir(strict) if not n.startswith("_") and n in standard_names() and not hasattr(ours, n)]
    print("missing:", missing)
    names = [n for n in CALLS if not wanted or n in wanted]
    differing = 0
    for name in names:
        problem = compare(name, CALLS[name])
        if problem:
            differing += 1
            print(f"{name}: {problem}", flush=True)
    print(f"{len(names)} functions, {differing} differ")


def standard_names() -> set[str]:
    outside = {"ArrayAPIStrictFlags", "Device", "ModuleType", "broadcast_shapes", "isin"}
    functions: Callable[[str], bool] = lambda n: not n.endswith("_array_api_strict_flags")
    return {n for n in dir(strict) if functions(n) and n not in outside}


if __name__ == "__main__":
    main()
