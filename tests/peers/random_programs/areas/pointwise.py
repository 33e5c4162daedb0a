"""Elementwise functions: types, corner values, outputs, in place, gradients at corners."""
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - one call a line

from __future__ import annotations

from values import ALL, COMPLEX, FLOATS, INTS, LIMITS, WIDE_UNSIGNED, Values

UNARY = """abs neg sign sgn ceil floor round trunc frac sqrt rsqrt exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan
    sinh cosh tanh asinh acosh atanh sigmoid logit erf erfc erfinv lgamma digamma reciprocal square isnan isinf isfinite isposinf
    isneginf signbit logical_not bitwise_not positive deg2rad rad2deg sinc i0 nan_to_num real angle conj isreal relu
    special.i0e special.i1 special.i1e special.ndtr special.ndtri special.log_ndtr special.entr special.erfcx special.exp2
    special.expit special.bessel_j0 special.bessel_j1 special.bessel_y0 special.bessel_y1 special.modified_bessel_i0
    special.modified_bessel_k0 special.spherical_bessel_j0""".split()
FUNCTIONAL = """relu relu6 elu selu celu gelu silu mish softplus softsign tanhshrink hardtanh hardswish hardsigmoid logsigmoid
    leaky_relu hardshrink softshrink sigmoid tanh""".split()
BINARY = """add sub mul div true_divide floor_divide remainder fmod pow float_power maximum minimum fmax fmin atan2 hypot copysign
    nextafter logaddexp logaddexp2 xlogy eq ne lt le gt ge logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor
    bitwise_left_shift bitwise_right_shift heaviside gcd lcm ldexp rsub dist isclose allclose equal special.xlog1py special.zeta
    special.xlogy arctan2 igamma igammac""".split()
OPERATORS = "+ - * / // % ** & | ^ << >> < <= > >= == !=".split()
IN_PLACE = """add_ sub_ mul_ div_ floor_divide_ remainder_ fmod_ pow_ atan2_ hypot_ copysign_ eq_ lt_ logical_and_ bitwise_and_
    bitwise_or_ bitwise_xor_ bitwise_left_shift_ gcd_ lcm_ xlogy_ ldexp_ nextafter_ float_power_ heaviside_ __iadd__ __imul__""".split()
TYPES = [*ALL, *ALL, *WIDE_UNSIGNED]


def call(name: str, *arguments: str) -> str:
    return f"T.{name}({', '.join(arguments)})"


def unary(v: Values) -> list[str]:
    dtype, name = v.pick(TYPES), v.pick(UNARY)
    shape = v.pick([(), (5,), (12,), (3, 7), (33,), (0,)])
    corners = 0.0 if dtype in WIDE_UNSIGNED and v.chance(0.5) else 0.5
    lines = [f"x = {v.tensor(shape, dtype, corners)}"]
    kind = v.pick(["call", "call", "call", "method", "in place", "out", "grad"])
    if "." in name or kind == "call":
        lines.append(f"y = {call(name, 'x')}")
    elif kind == "method":
        lines.append(f"y = x.{name}()")
    elif kind == "in place":
        lines.append(f"x.{name}_()")
    elif kind == "out":
        lines += [f"y = T.zeros({v.pick([shape, (), (2, 3), (0,)])}, dtype=T.{v.pick([dtype, v.pick(ALL), 'float32'])})", f"y = {call(name, 'x', 'out=y')}"]
    elif dtype in ("float32", "float64", *COMPLEX):
        lines += ["x.requires_grad_()", f"y = {call(name, 'x')}", "y.real.sum().backward()"]
    else:
        lines.append(f"y = {call(name, 'x')}")
    return lines


def functional(v: Values) -> list[str]:
    dtype, name = v.pick([*FLOATS, *FLOATS, *FLOATS, *INTS, *COMPLEX]), v.pick(FUNCTIONAL)
    extra = {
        "elu": ["", ", alpha=0.5", ", inplace=True", ", alpha=-1.0"],
        "celu": ["", ", alpha=2.0", ", alpha=0.0"],
        "gelu": ["", ", approximate='tanh'", ", approximate='none'", ", approximate='x'"],
        "softplus": ["", ", beta=2", ", beta=1, threshold=1", ", beta=0.5, threshold=-1"],
        "hardtanh": ["", ", -2, 0.5", ", 1, -1", ", 0, 0"],
        "leaky_relu": ["", ", 0.5", ", -1.0", ", negative_slope=0"],
        "hardshrink": ["", ", 1.0", ", -1.0"],
        "softshrink": ["", ", 1.0", ", -1.0"],
        "relu": ["", ", inplace=True"],
    }.get(name, [""])
    lines = [f"x = {v.tensor(v.pick([(), (9,), (3, 6)]), dtype, 0.4)}"]
    if dtype in FLOATS and v.chance(0.6):
        lines.append("x.requires_grad_()")
        return [*lines, f"y = F.{name}(x * 1{v.pick(extra)})", "y.sum().backward()"]
    return [*lines, f"y = F.{name}(x{v.pick(extra)})"]


def operand(v: Values, dtype: str, shape: tuple[int, ...], corners: float) -> str:
    if v.chance(0.7):
        return v.tensor(shape, dtype, corners)
    return v.pick([v.number(dtype, corners), v.tensor((), v.pick(ALL), corners), v.number("float32"), v.number("int64"), "True"])


def binary(v: Values) -> list[str]:
    first = v.pick(TYPES)
    second = first if v.chance(0.5) else v.pick(TYPES)
    name, shape = v.pick(BINARY), v.pick([(), (8,), (3, 5), (2, 3, 2), (0, 3)])
    lines = [f"x = {v.tensor(shape, first, 0.35)}", f"y = {operand(v, second, v.broadcast(shape), 0.35)}"]
    keys = {
        "add": ["", ", alpha=2", ", alpha=0.5", ", alpha=-1", ", alpha=True"],
        "sub": ["", ", alpha=2", ", alpha=1.5"],
        "div": ["", ", rounding_mode='trunc'", ", rounding_mode='floor'", ", rounding_mode=None", ", rounding_mode='x'"],
        "isclose": ["", ", equal_nan=True", ", rtol=0.5", ", atol=-1"],
        "allclose": ["", ", equal_nan=True"],
        "dist": ["", ", p=1", ", p=inf", ", p=0"],
    }.get(name, [""])
    order = "y, x" if v.chance(0.15) else "x, y"
    return [*lines, f"z = {call(name, order + v.pick(keys))}"]


def operators(v: Values) -> list[str]:
    first, second = v.pick(TYPES), v.pick(TYPES)
    shape = v.pick([(), (4,), (2, 3)])
    a, b = v.tensor(shape, first, 0.25), operand(v, second, v.broadcast(shape), 0.25)
    lines = [f"x = {a}", f"y = {b}"]
    for name in "zvw"[: v.randint(1, 3)]:
        left, right = v.pick([("x", "y"), ("y", "x"), ("x", v.number(v.pick(["int64", "float32", "bool", "complex64"]), 0.1)), (v.number("int64"), "x"), ("x", "x")])
        lines.append(f"{name} = {left} {v.pick(OPERATORS)} {right}")
    if v.chance(0.2):
        lines.append(f"x {v.pick([o for o in OPERATORS if o not in '< <= > >= == !='.split()])}= y")
    if v.chance(0.1):
        lines.append(v.pick(["z = ~x", "z = -x", "z = +x", "z = abs(x)", "z = bool(x)", "z = int(x)", "z = float(x)", "z = complex(x)", "z = divmod(x, y)", "z = round(x)", "z = x.item()", "z = math.floor(x)", "z = len(x)", "z = 1 in x", "z = x.__index__()", "z = hash(x) == hash(x)", "z = list(range(x))"]))  # fmt: skip
    return lines


def in_place(v: Values) -> list[str]:
    first = v.pick(TYPES)
    second = first if v.chance(0.5) else v.pick(TYPES)
    shape = v.shape(0, 3)
    return [
        f"x = {v.tensor(shape, first, 0.2)}",
        f"y = {operand(v, second, v.broadcast(shape), 0.2)}",
        f"z = {v.pick(['x', 'x', 'x.T', 'x[..., :1]', 'x[:1]'])}",
        f"z.{v.pick(IN_PLACE)}(y)",
    ]


def outputs(v: Values) -> list[str]:
    shape, first = v.shape(1, 3), v.pick(ALL)
    lines = [f"x = {v.tensor(shape, first)}", f"y = {operand(v, v.pick([first, v.pick(ALL)]), v.broadcast(shape), 0)}"]
    kind = v.pick(["new", "new", "self", "view", "overlap", "expanded", "grad"])
    if kind == "new":
        lines.append(f"o = T.zeros({v.pick([shape, shape, (0,), (), (2, 9), shape[::-1]])}, dtype=T.{v.pick([first, v.pick(ALL)])})")
    elif kind == "self":
        lines.append("o = x")
    elif kind == "view":
        lines.append("o = T.zeros(2, *x.shape, dtype=x.dtype)[1]" if v.chance(0.5) else "o = T.zeros(*x.shape, 2, dtype=x.dtype)[..., 0]")
    elif kind == "overlap":
        lines += [f"b = {v.tensor((9,), first)}", "x = b[:8]", "o = b[1:]", f"y = {v.tensor((8,), first)}"]
    elif kind == "expanded":
        lines.append("o = T.zeros(1, dtype=x.dtype).expand(x.shape)")
    else:
        lines.append("o = T.zeros(x.shape, requires_grad=True)")
    name = v.pick([n for n in BINARY if n not in ("dist", "isclose", "allclose", "equal", "rsub")])
    lines.append(v.pick([f"z = {call(name, 'x', 'y', 'out=o')}", f"z = {call(name, 'x', 'y', 'out=o')}", "z = T.cat([x, x], out=o)", "z = T.sum(x, 0, out=o)", "z = T.cumsum(x, 0, out=o)", "z = T.index_select(x, 0, T.tensor([0]), out=o)", "z = T.clamp(x, 0, 1, out=o)", "z = T.stack([x, x], 1, out=o)", "z = T.matmul(x, x.mT, out=o)", "z = T.where(x == x, x, x, out=o)", "z = T.any(x, 0, out=o)", "z = T.addcmul(x, x, x, out=o)", "z = T.lerp(x, x, 0.5, out=o)"]))  # fmt: skip
    return lines


def clamp(v: Values) -> list[str]:
    dtype, shape = v.pick(TYPES), v.shape(0, 2)
    def limit() -> str:
        return v.pick(["None", v.number(v.pick([dtype, "float32", "int64"]), 0.4), v.tensor(v.broadcast(shape), v.pick([dtype, v.pick(ALL)]), 0.4)])  # fmt: skip

    lines = [f"x = {v.tensor(shape, dtype, 0.3)}"]
    grad = dtype in ("float32", "float64") and v.chance(0.5)
    if grad:
        lines.append("x.requires_grad_()")
    number = v.number("float32", 0.5)
    lines.append(
        "y = "
        + v.pick(
            [
                f"T.clamp(x, {limit()}, {limit()})",
                f"T.clamp(x, {limit()}, {limit()})",
                f"x.clip(min={limit()}, max={limit()})",
                f"T.clamp_min(x, {number})",
                f"T.clamp_max(x, {limit()})",
                f"T.nan_to_num(x, {number}, posinf={number})",
                f"T.threshold(x, {v.number('float32')}, {number})",
                f"T.lerp(x, {v.tensor(v.broadcast(shape), dtype, 0.2)}, {v.pick([number, v.tensor(shape, dtype)])})",
                f"T.addcmul(x, {v.tensor(shape, dtype, 0.1)}, {v.tensor(shape, v.pick([dtype, v.pick(ALL)]))}, value={v.pick(['1', '2', '0.5'])})",
                f"T.addcdiv(x, {v.tensor(shape, dtype, 0.1)}, {v.tensor(shape, v.pick([dtype, v.pick(ALL)]))}, value={v.pick(['1', '2', '0.5'])})",
                f"T.round(x, decimals={v.randint(-2, 3)})",
                f"T.polygamma({v.randint(0, 3)}, x)",
                f"T.mvlgamma(x, {v.randint(1, 3)})",
                f"T.special.multigammaln(x, {v.randint(1, 2)})",
                "T.frexp(x)",
                f"T.logit(x, eps={v.pick(['0.1', '0.6', '0', 'None'])})",
                f"T.float_power(x, {number})",
                f"T.pow(x, {v.pick(['0', '1', '2', '3', '-1', '-2', '0.5', '-0.5', 'nan', 'inf'])})",
                f"T.pow({v.pick(['0', '1', '2', '-1', '2.5', 'True', '0.0', 'nan', '-inf'])}, x)",
                f"x.{v.pick(['to', 'type'])}(T.{v.pick([*ALL, *WIDE_UNSIGNED])})",
                f"x.{v.pick(['float', 'double', 'half', 'bfloat16', 'int', 'long', 'short', 'char', 'byte', 'bool', 'cfloat', 'cdouble'])}()",
                f"T.can_cast(x.dtype, T.{v.pick(TYPES)})",
                f"T.result_type(x, {v.pick(['1', '1.0', '1j', 'True', v.tensor((2,), v.pick(TYPES)), v.tensor((), v.pick(TYPES))])})",
                f"T.promote_types(T.{v.pick(TYPES)}, T.{v.pick(TYPES)})",
                f"x.bitwise_left_shift({v.pick(['1', '7', '8', '31', '32', '63', '64', '65', '-1'])})",
                f"x >> {v.pick(['1', '7', '8', '31', '32', '63', '64', '65', '-1'])}",
                f"x // {v.pick(['1', '-1', '0', '3', '-3', '2.5', '0.0', '-0.0'])}",
                f"x % {v.pick(['1', '-1', '0', '3', '-3', '2.5', '0.0', 'inf'])}",
                f"{v.pick(['7', '-7', '0', '2.5'])} % x",
                f"{v.pick(['7', '-7', '0', '2.5'])} // x",
            ]
        )
    )
    if grad:
        lines.append("y.sum().backward()")
    return lines


def integers(v: Values) -> list[str]:
    dtype = v.pick([*LIMITS])
    name = v.pick("add sub mul floor_divide remainder fmod gcd lcm bitwise_left_shift bitwise_right_shift pow maximum minimum div true_divide eq lt bitwise_xor".split())
    return [
        f"x = {v.tensor((v.pick([1, 7, 33]),), dtype, 0.6)}",
        f"y = {v.pick([v.tensor((1,), dtype, 0.6), v.number(dtype, 0.6), v.tensor((), dtype, 0.6)])}",
        f"z = {call(name, 'x', 'y')}",
        v.pick(["w = -x", "w = x.abs()", "w = x.sum()", "w = x.prod()", "w = x.float()", "w = x.to(T.int16)", "w = x.to(T.uint8)", "w = x.sign()", "w = x.max()", "w = x.argsort(stable=True)", "w = x.unique()", "w = x.cumsum(0)", "w = x.square()", "w = ~x"]),
    ]


def gradients(v: Values) -> list[str]:
    """Gradients at corner values."""
    dtype, shape = v.pick(["float32", "float64"]), v.pick([(6,), (2, 3), ()])
    name = v.pick("add sub mul div pow maximum minimum fmax fmin atan2 hypot copysign logaddexp logaddexp2 xlogy fmod remainder float_power heaviside ldexp dist special.xlog1py".split())
    lines = [f"x = {v.tensor(shape, dtype, 0.4, True)}", f"y = {v.tensor(v.broadcast(shape), v.pick(['float32', 'float64']), 0.4, v.chance(0.8))}"]
    return [*lines, f"z = {call(name, 'x', 'y')}", "z.sum().backward()"]


AREAS = {
    "unary": unary,
    "functional": functional,
    "binary": binary,
    "operators": operators,
    "in_place": in_place,
    "outputs": outputs,
    "clamp": clamp,
    "integers": integers,
    "gradients": gradients,
}
