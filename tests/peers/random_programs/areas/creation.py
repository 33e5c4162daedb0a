"""New tensors, arguments of random functions and distributions, printed text."""
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - one call a line

from __future__ import annotations

from values import ALL, WIDE_UNSIGNED, Values

NUMBERS = ["0", "1", "-1", "5", "0.5", "-2.5", "10", "1e10", "nan", "inf", "2**31", "-(2**31)", "2**63 - 1", "1e-3", "3", "True", "1j", "T.tensor(2)", "T.tensor(1.5)", "np.float32(2)", "np.int64(3)"]  # fmt: skip
SMALL = ["0", "1", "-1", "5", "0.5", "-2.5", "4", "3", "-3", "2.25", "True", "T.tensor(2)", "T.tensor(1.5)", "np.int64(3)", "1.0"]
SIZES = ["3", "(2, 3)", "()", "0", "(2, 0)", "[2]", "2, 2", "T.Size([2])", "-1", "(2, -1)", "T.tensor(2)", "np.int64(2)", "2.0", "'2'", "None"]


def new(v: Values) -> list[str]:
    kind = v.pick(["", "", f", dtype=T.{v.pick([*ALL, *WIDE_UNSIGNED])}", ", dtype=T.float64", ", dtype=int", ", dtype=float"])
    a, b, c = (v.pick(SMALL if v.chance(0.8) else NUMBERS) for _ in range(3))
    n, size = v.pick(["0", "1", "2", "5", "7", "-1", "3"]), v.pick(SIZES)
    step = v.pick(["1", "2", "-1", "0.5", "-0.5", "0.1", "0", "1j", "True", "nan"])
    if v.chance(0.1):
        kind += ", requires_grad=True"
    return [
        "y = "
        + v.pick(
            [
                f"T.arange({a}{kind})",
                f"T.arange({v.pick(SMALL)}, {v.pick(SMALL)}{kind})",
                f"T.arange({v.pick(SMALL)}, {v.pick(SMALL)}, {step}{kind})",
                f"T.arange({v.pick(SMALL)}, {v.pick(SMALL)}, {step}{kind})",
                f"T.range({v.pick(SMALL)}, {v.pick(SMALL)}, {step}{kind})",
                f"T.linspace({a}, {b}, {n}{kind})",
                f"T.linspace({a}, {b}, {n}{kind})",
                f"T.logspace({v.pick(SMALL)}, {v.pick(SMALL)}, {n}{kind})",
                f"T.logspace({v.pick(SMALL)}, {v.pick(SMALL)}, {n}, base={v.pick(['2', '0.5', '10'])}{kind})",
                f"T.full({size}, {a}{kind})" if "," not in size or size.startswith("(") else f"T.full((2,), {a}{kind})",
                f"T.zeros({size}{kind})",
                f"T.ones({size}{kind})",
                f"T.eye({v.pick(['0', '2', '3', '-1'])}{v.pick(['', ', 4', ', 0', ', -1'])}{kind})",
                f"T.tensor({a}{kind})",
                f"T.tensor({v.pick(['[]', '[[]]', '[1, 2.5]', '[True, 2]', '[1, 2j]', '[[1], [2, 3]]', '[T.tensor(1), 2]', '[T.tensor([1]), T.tensor([2])]', 'np.arange(3)', 'np.float32(2)', '(1, 2)', 'range(3)', '[None]', repr('x'), '[2**63]', '2**63', '2**64', '[1e400]', '[np.int8(3), 2]', '[[1, 2], [3, 4]]', '[nan, True]', 'np.zeros((0, 2))'])}{kind})",
                f"T.as_tensor({v.pick(['[1, 2]', '1.5', 'np.arange(3)', 'T.ones(2)', 'np.array(True)', '[T.tensor(2.5)]', 'np.arange(3)[::-1]'])}{v.pick(['', ', dtype=T.float32', ', dtype=T.int8'])})",
                f"T.full_like(T.ones(2, 3), {a})",
                f"T.ones_like(T.ones(3, 2).T{kind})",
                f"T.zeros_like(T.ones(2, 1).expand(2, 3){kind})",
                f"T.empty_strided((2, 3), ({v.pick(['1, 2', '3, 1', '0, 1', '2, 4'])})).zero_()",
                f"T.ones(2).new_full({v.pick(['(2,)', '()', '[1, 2]'])}, {a}{kind})",
                f"T.ones(2).new_zeros({v.pick(['2', '(2, 1)', '2, 3', '()'])}{kind})",
                f"T.ones(2).new_tensor({v.pick(['[1, 2]', '3', 'T.tensor([1, 2])', 'True', '[]'])}{kind})",
                f"T.tril_indices({v.randint(0, 4)}, {v.randint(0, 4)}, {v.randint(-2, 2)})",
                f"T.triu_indices({v.randint(0, 4)}, {v.randint(0, 4)}, offset={v.randint(-2, 2)})",
                f"T.complex({v.tensor((2,), v.pick(ALL))}, {v.tensor((2,), v.pick(ALL))})",
                f"T.polar({v.tensor((2,), 'float64')}, {v.tensor((2,), v.pick(['float64', 'float32']))})",
                f"T.scalar_tensor({a}{kind})",
                f"T.{v.pick(['hann', 'hamming', 'blackman', 'bartlett', 'kaiser'])}_window({v.randint(-1, 6)}, periodic={v.chance(0.5)}{kind.replace(', requires_grad=True', '')})",
                f"T.signal.windows.{v.pick(['cosine', 'hann', 'nuttall', 'bartlett', 'exponential', 'gaussian'])}({v.randint(-1, 6)}, sym={v.chance(0.5)})",
                "T.bernoulli(T.tensor([0., 1.]), out=T.ones(2))",
                f"T.finfo(T.{v.pick(ALL)}).{v.pick(['max', 'min', 'eps', 'tiny', 'bits', 'smallest_normal', 'resolution'])}",
                f"T.iinfo(T.{v.pick([*ALL, *WIDE_UNSIGNED])}).{v.pick(['max', 'min', 'bits'])}",
                f"T.asarray({v.pick(['[1, 2]', 'np.arange(3)', 'T.ones(2)', '3.5'])}{v.pick(['', ', copy=True', ', dtype=T.float64', ', copy=False'])})",
                f"T.frombuffer(bytearray(range(16)), dtype=T.{v.pick(ALL)}{v.pick(['', ', count=2', ', offset=4', ', offset=3', ', count=100'])})",
            ]
        )
    ]


DISTRIBUTIONS = {
    "Normal": 2, "Uniform": 2, "Bernoulli": 1, "Beta": 2, "Gamma": 2, "Exponential": 1, "Laplace": 2, "Cauchy": 2, "HalfNormal": 1,
    "LogNormal": 2, "Poisson": 1, "Geometric": 1, "Gumbel": 2, "Pareto": 2, "StudentT": 1, "Weibull": 2, "Chi2": 1, "HalfCauchy": 1,
    "VonMises": 2, "Kumaraswamy": 2, "Categorical": 1, "Dirichlet": 1, "OneHotCategorical": 1, "FisherSnedecor": 2, "Binomial": 2,
    "NegativeBinomial": 2, "ContinuousBernoulli": 1, "InverseGamma": 2, "LogisticNormal": 2, "Multinomial": 1, "RelaxedBernoulli": 2,
}  # fmt: skip


def distribution(v: Values) -> list[str]:
    name = v.pick(DISTRIBUTIONS)
    def given() -> str:
        return v.pick(["T.tensor([0.3, 0.7])", "1.0", "2", "0.5", "T.tensor([1., 2.])", "-1.0", "0.0", "nan", "T.tensor(0.25)", "T.tensor([[0.2, 0.8], [0.5, 0.5]])", "inf", "T.tensor([2, 3])", "3"])  # fmt: skip

    extra = v.pick(["", "", ", validate_args=False", ", validate_args=True"])
    lines = [f"d = D.{name}({', '.join(given() for _ in range(DISTRIBUTIONS[name]))}{extra})"]
    value = v.pick(["T.tensor([0.3, 0.6])", "T.tensor(1.0)", "T.tensor([1., 0.])", "T.tensor(-1.)", "T.tensor(0)", "T.tensor([2., 3.])", "T.tensor(nan)", "0.5"])
    what = ["d.batch_shape", "d.event_shape", "d.mean", "d.variance", "d.stddev", f"d.log_prob({value})", f"d.cdf({value})", "d.entropy()", f"d.icdf({value})", "d.mode", "d.sample().shape", "d.sample((2,)).shape", "d.expand((2, 2)).batch_shape", "repr(d)", "d.support.check(T.tensor([0.5, 2.]))", "d.has_rsample", "d.rsample().shape"]  # fmt: skip
    for n in "yz":
        lines.append(f"{n} = {v.pick(what)}")
    return lines


def draw(v: Values) -> list[str]:
    """Arguments of random functions: whether they are refused, and what they give after one seed."""
    a, b = v.pick(SMALL), v.pick(SMALL)
    dtype = v.pick(["", "", f", dtype=T.{v.pick(ALL)}"])
    x = f"T.zeros({v.pick(['3', '2, 2', '0', '()'])}, dtype=T.{v.pick(['float32', 'float32', v.pick(ALL)])})"
    size = v.pick(SIZES)
    call = v.pick(
        [
            f"T.rand({size}{dtype})",
            f"T.randn({size}{dtype})",
            f"T.randint({v.pick(['3', '0', '-1', '2**40', '2.5'])}, {v.pick(['(2,)', '()', '(0,)', '2', '[3]'])}{dtype})",
            f"T.randint({v.pick(['0', '-3', '5'])}, {v.pick(['3', '0', '300'])}, {v.pick(['(2,)', '()', '(0,)'])}{dtype})",
            f"T.randperm({v.pick(['0', '3', '-1', '2.0', '200'])}{dtype})",
            f"T.normal({a}, {b}, (2,))",
            f"T.normal({v.tensor((2,), 'float32')}, {v.pick(['1.0', 'T.tensor([1., -1.])', '-1.0', 'T.tensor([1, 2])'])})",
            f"T.multinomial({v.pick(['T.tensor([0.2, 0.8])', 'T.tensor([0., 0.])', 'T.tensor([-1., 2.])', 'T.ones(2, 3)', 'T.tensor([1, 2])', 'T.tensor([nan, 1.])', 'T.ones(1, 2, 2)'])}, {v.pick(['1', '2', '3', '0', '-1'])}{v.pick(['', ', True'])})",
            f"T.bernoulli({v.pick(['T.tensor([0.5])', 'T.tensor([1.5])', 'T.tensor([-0.1])', 'T.tensor([1])', 'T.tensor([nan])'])})",
            f"{x}.bernoulli_({v.pick(['', '0.5', '1.5', '-1', 'T.tensor(0.5)', 'T.tensor([0.5])'])})",
            f"{x}.uniform_({a}, {b})",
            f"{x}.normal_({a}, {b})",
            f"{x}.exponential_({v.pick(['', a])})",
            f"{x}.geometric_({v.pick(['0.5', '0', '1', '1.5', '-1'])})",
            f"{x}.cauchy_({a}, {b})",
            f"{x}.log_normal_({a}, {b})",
            f"{x}.random_({v.pick(['', '3', '0', '2, 5', '5, 2', '-3', '300', '2**40'])})",
            f"T.poisson({v.pick(['T.tensor([1., 2.])', 'T.tensor([-1.])', 'T.tensor([1])', 'T.tensor([0.])'])})",
            f"T.rand_like({x}{dtype})",
            f"T.randn_like({x}{dtype})",
            f"T.randint_like({x}, {v.pick(['3', '0', '-2', '1, 5', '300'])})",
            f"F.dropout(T.ones(3), {v.pick(['0.0', '1.0', '1.5', '-0.1'])}{v.pick(['', ', training=False'])})",
            f"F.dropout{v.pick(['1d', '2d', '3d'])}(T.ones({v.pick(['3', '2, 3', '1, 2, 3', '1, 2, 2, 2'])}), 0.5)",
            f"F.gumbel_softmax(T.ones(2, 3), tau={v.pick(['1', '0.5'])}, hard=True).sum(-1)",
            f"F.rrelu(T.ones(3), {v.pick(['0.1, 0.3', '0.5, 0.1'])})",
            f"F.alpha_dropout(T.ones(3), {v.pick(['0.5', '2'])})",
            f"T.Generator().manual_seed({v.pick(['0', '-1', '2**63', '2**64', '1.5'])}).initial_seed()",
        ]
    )
    return [f"y = {call}"]


def text(v: Values) -> list[str]:
    shape = v.pick([(), (3,), (2, 3), (2, 2, 2), (0,), (2, 0), (30,), (1, 40), (5, 5)])
    dtype = v.pick([*ALL, "float32", "float64", *WIDE_UNSIGNED])
    lines = []
    if v.chance(0.4):
        lines.append(f"T.set_printoptions({v.pick(['precision=2', 'threshold=5', 'edgeitems=1, threshold=3', 'linewidth=40', 'sci_mode=True', 'sci_mode=False', repr('short'), 'profile=' + repr('full'), 'precision=0', 'precision=8, linewidth=60'])})")  # fmt: skip
    if v.chance(0.1):
        lines.append("T.set_default_dtype(T.float64)")
    scale = v.pick(["", "", " * 1000", " / 1000", " * 1e8", " + 0.5", " * 1e-9", " ** 3"])
    grad = dtype in ("float32", "float64", "complex64") and v.chance(0.2)
    lines.append(f"x = {v.tensor(shape, dtype, v.pick([0, 0, 0.2]), grad)}{scale if dtype != 'bool' else ''}")
    lines.append(v.pick(["s = repr(x)", "s = repr(x)", "s = str(x)", "s = f'{x}'", "s = f'{x:.3f}'", "s = str(x.tolist())", "s = repr(x.shape)", "s = repr(x.dtype)", "s = repr(x.T)", "s = repr(x.sum())", "s = format(x.sum(), '.2f')", "s = repr([x, x.shape])", "s = repr(x.max())", "s = repr(x.stride())", "s = str(x.device) + x.type()"]))  # fmt: skip
    return lines


AREAS = {"new": new, "distribution": distribution, "draw": draw, "text": text}
