"""Random numbers after a seed: where torch's generator gives certain numbers, Moka gives the same."""
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - one call a line

from __future__ import annotations

from values import FLOATS, INTS, Values

COUNTS = ["1", "2", "5", "8", "15", "16", "17", "31", "33", "100", "(3, 4)", "(2, 9)", "(4, 4)", "(0,)", "(2, 3, 5)", "(40,)", "()"]


def one_draw(v: Values, generator: str) -> str:
    size, dtype = v.pick(COUNTS), v.pick(FLOATS)
    whole = v.pick(INTS)
    shape = size if size.startswith("(") else f"({size},)"
    g = f", generator={generator}" if generator else ""
    x = f"T.zeros({shape}, dtype=T.{dtype})"
    part = v.pick(["", "", "", ".T.contiguous().T", "[..., None].expand(*, 2)[..., 0]" if False else ""])
    n = v.randint(1, 40)
    return v.pick(
        [
            f"T.rand({size}, dtype=T.{dtype}{g})",
            f"T.rand({size}{g})",
            f"T.randn({size}, dtype=T.{dtype}{g})",
            f"T.randn({size}{g})",
            f"T.randn({size}, dtype=T.{v.pick(['complex64', 'complex128'])}{g})",
            f"T.rand({size}, dtype=T.complex64{g})",
            f"T.randint({v.pick(['10', '2', '1000', '2**31', '2**32', '2**33', '2**40', '2**62'])}, {shape}{g})",
            f"T.randint({v.pick(['-5', '0', '3'])}, {v.pick(['10', '100'])}, {shape}, dtype=T.{v.pick([*INTS, dtype])}{g})",
            f"T.randperm({n}{g})",
            f"T.randperm({v.pick([str(n), '1000', '40000'])}, dtype=T.{v.pick(['int64', 'int32', 'int16', 'float32', 'float64'])}{g})",
            f"T.normal(0.5, 2.0, {shape}{g})",
            f"T.normal(T.linspace(-1, 1, {n}), 2.0{g})",
            f"T.normal(0.5, T.linspace(0, 1, {n}){g})",
            f"T.normal(T.linspace(-1, 1, {n}), T.linspace(0, 1, {n}){g})",
            f"{x}{part}.normal_({v.pick(['', '1, 2', '-3.5, 0.25'])}{g if not g else ', generator=' + generator})".replace("_(, ", "_("),
            f"{x}.uniform_({v.pick(['', '1, 2', '-3.5, 0.25'])}{g})".replace("_(, ", "_("),
            f"{x}.exponential_({v.pick(['', '2.0', '0.1'])}{g})".replace("_(, ", "_("),
            f"T.zeros({shape}, dtype=T.{v.pick([dtype, whole])}).geometric_({v.pick(['0.5', '0.1', '0.9'])}{g})",
            f"{x}.cauchy_({v.pick(['', '1, 2', '0, 0.5'])}{g})".replace("_(, ", "_("),
            f"{x}.log_normal_({v.pick(['', '1, 0.5', '0, 2'])}{g})".replace("_(, ", "_("),
            f"T.zeros({shape}, dtype=T.{v.pick([dtype, whole, 'bool'])}).random_({v.pick(['', '0, 2', '2', '100' if whole != 'int8' else '50'])}{g})".replace("_(, ", "_("),
            f"T.bernoulli(T.linspace(0, 1, {n}, dtype=T.{dtype}){g})",
            f"T.bernoulli(T.full({shape}, 0.3, dtype=T.{dtype}){g})",
            f"T.zeros({shape}, dtype=T.{v.pick([dtype, whole, 'bool'])}).bernoulli_({v.pick(['0.5', '0.2', 'T.tensor(0.3)', 'T.tensor(0.3, dtype=T.float64)', '1.0', '0.0'])}{g})",
            f"T.zeros({n}, dtype=T.{v.pick([dtype, whole])}).bernoulli_(T.linspace(0, 1, {n}, dtype=T.{v.pick(['float32', 'float64'])}){g})",
            f"T.multinomial(T.arange(1., {n} + 1), {v.randint(1, n)}{g})",
            f"T.multinomial(T.arange(1., {n} + 1), {v.randint(1, 30)}, True{g})",
            f"T.multinomial(T.arange(1., 13, dtype=T.{dtype}).reshape(3, 4), {v.randint(1, 4)}, {v.pick(['True', 'False'])}{g})",
            f"T.poisson(T.linspace(0, {v.pick(['5', '40'])}, {n}, dtype=T.{v.pick(['float32', 'float64'])}){g})",
            f"T.binomial(T.full(({n},), {v.pick(['3.', '10.', '60.'])}), T.linspace(0, 1, {n}){g})",
            f"T._standard_gamma(T.linspace(0.1, {v.pick(['2', '20'])}, {n}, dtype=T.{v.pick(['float32', 'float64'])}){g})",
            f"T._sample_dirichlet(T.ones(2, 3){g})",
            f"T.rand_like({x})",
            f"T.randn_like({x})",
            f"T.randint_like({x}, {v.pick(['10', '3, 9'])})",
            f"F.dropout(T.ones({shape}, dtype=T.{dtype}), {v.pick(['0.5', '0.1', '0.9'])})",
            "F.dropout1d(T.ones(2, 5, 3), 0.5)",
            "F.dropout2d(T.ones(2, 5, 3, 2), 0.4)",
            "F.dropout3d(T.ones(2, 5, 2, 3, 2), 0.4)",
            f"F.alpha_dropout(T.linspace(-1, 1, {n}), 0.3)",
            f"F.feature_alpha_dropout(T.ones(3, {n}, 2), 0.3)",
            f"F.rrelu(T.linspace(-1, 1, {n}), training=True)",
            f"F.gumbel_softmax(T.linspace(-1, 1, {n}), tau=0.7, hard={v.chance(0.5)})",
            "F.fractional_max_pool2d(T.arange(100.).reshape(1, 2, 5, 10), 2, output_ratio=0.6)",
            "F.scaled_dot_product_attention(T.ones(1, 2, 4, 4), T.ones(1, 2, 4, 4), T.arange(32.).reshape(1, 2, 4, 4), dropout_p=0.5)",
        ]
    )


def stream(v: Values) -> list[str]:
    seed = v.pick(["0", "1", "42", "-1", "123456789", "2**32", "2**63 - 1", "2**40 + 7"])
    if v.chance(0.4):
        lines, generator = [f"G = T.Generator().manual_seed({seed})"], "G"
    else:
        lines, generator = [f"T.manual_seed({seed})"], ""
    for name in "abcdef"[: v.randint(1, 5)]:
        if v.chance(0.08):
            lines.append(v.pick(["s = T.get_rng_state()", "s = T.random.get_rng_state()"]) if not generator else "s = G.get_state()")
            lines.append("T.rand(3)" if not generator else "T.rand(3, generator=G)")
            lines.append("T.set_rng_state(s)" if not generator else "G.set_state(s)")
        lines.append(f"{name} = {one_draw(v, generator)}")
    return lines


LAYERS = [
    "nn.Linear({0}, {1})", "nn.Linear({0}, {1}, bias=False)", "nn.Conv1d({0}, {1}, 3)", "nn.Conv2d({0}, {1}, (3, 2))", "nn.Conv2d({0} * 2, {1} * 2, 3, groups=2)", "nn.Conv3d({0}, {1}, 2)", "nn.ConvTranspose1d({0}, {1}, 3)",
    "nn.ConvTranspose2d({0}, {1}, 3)", "nn.Embedding({0}, {1})", "nn.Embedding({0}, {1}, padding_idx=0)", "nn.EmbeddingBag({0}, {1})", "nn.LSTM({0}, {1}, num_layers=2, bidirectional=True)", "nn.LSTM({0}, {1}, proj_size=1)", "nn.GRU({0}, {1})", "nn.RNN({0}, {1})",
    "nn.LSTMCell({0}, {1})", "nn.GRUCell({0}, {1})", "nn.RNNCell({0}, {1})", "nn.Bilinear({0}, {1}, 2)", "nn.MultiheadAttention({0} * 2, 2)", "nn.MultiheadAttention({0} * 2, 2, kdim=3, vdim=4, add_bias_kv=True)", "nn.TransformerEncoderLayer({0} * 2, 2, 5)",
    "nn.TransformerDecoderLayer({0} * 2, 2, 5)", "nn.Transformer({0} * 2, 2, 1, 1, 4)", "nn.PReLU({0})", "nn.BatchNorm2d({0})", "nn.LayerNorm({0})", "nn.AdaptiveLogSoftmaxWithLoss({0}, 12, [3, 6])", "nn.LazyLinear({1})",
]  # fmt: skip
INITS = """uniform_(x)|uniform_(x, -1, 3)|normal_(x)|normal_(x, 1, 0.5)|constant_(x, 0.3)|ones_(x)|zeros_(x)|eye_(x)|dirac_(x)|xavier_uniform_(x)|xavier_uniform_(x, gain=2)|xavier_normal_(x)|kaiming_uniform_(x)|kaiming_uniform_(x, a=1, mode='fan_out')
    kaiming_uniform_(x, nonlinearity='relu')|kaiming_normal_(x)|kaiming_normal_(x, mode='fan_out', nonlinearity='relu')|trunc_normal_(x)|trunc_normal_(x, std=2, a=-1, b=0.5)|orthogonal_(x)|orthogonal_(x, gain=0.5)|sparse_(x, 0.4)|kaiming_uniform_(x, mode='x')
    kaiming_uniform_(x, nonlinearity='x')|calculate_gain('leaky_relu', 0.2)|calculate_gain('tanh')|calculate_gain('x')|xavier_uniform(x)""".replace("\n", "|").split("|")


def initial(v: Values) -> list[str]:
    lines = [f"T.manual_seed({v.randint(0, 99)})"]
    if v.chance(0.5):
        shape = v.pick(["3, 4", "5, 2", "4, 3, 2", "2, 3, 3, 3", "6", "", "0, 3", "6, 6"])
        lines += [f"x = T.empty({shape}, dtype=T.{v.pick(['float32', 'float32', 'float64'])}).zero_()" if shape else "x = T.tensor(0.)"]
        lines.append(f"y = nn.init.{v.pick(INITS).strip()}")
        return lines
    for name in "MN"[: v.randint(1, 2)]:
        layer = v.pick(LAYERS).replace("{0}", str(v.randint(1, 5))).replace("{1}", str(v.randint(1, 5)))
        lines.append(f"{name} = {layer}")
        lines.append(f"{name.lower()} = dict({name}.state_dict())" if "Lazy" not in layer else f"{name.lower()} = list({name}.state_dict())")
    lines.append("t = T.rand(2)")
    return lines


def splits(v: Values) -> list[str]:
    """Samplers, splits and loaders draw as torch's do."""
    n = v.randint(1, 20)
    batch, seed = v.randint(1, 6), v.randint(0, 99)
    lines = [f"T.manual_seed({seed})", f"S = {v.pick([f'list(range({n}))', f'data.TensorDataset(T.arange({n}), T.arange(2. * {n}).reshape({n}, 2))', f'[(i, float(i)) for i in range({n})]'])}"]
    g = v.pick(["", "", f", generator=T.Generator().manual_seed({v.randint(0, 9)})"])
    lines.append(
        v.pick(
            [
                f"y = list(data.RandomSampler(S{g}))",
                f"y = list(data.RandomSampler(S, replacement=True, num_samples={v.randint(1, 70)}{g}))",
                f"y = list(data.RandomSampler(S, num_samples={v.randint(0, 30)}{g}))",
                f"y = list(data.WeightedRandomSampler(list(range(1, {n} + 1)), {v.randint(1, 30)}, {v.pick(['True', 'False'])}{g}))",
                f"y = list(data.SubsetRandomSampler(list(range(0, {n}, 2)){g}))",
                f"y = [p.indices for p in data.random_split(S, {v.pick(['[0.5, 0.5]', f'[{n // 2}, {n - n // 2}]', '[0.2, 0.3, 0.5]', '[1, 1]', '[0.9, 0.3]'])}{g})]",
                f"y = [b for b in data.DataLoader(S, {batch}, shuffle=True, drop_last={v.chance(0.4)}{g})]",
                f"y = [b for b in data.DataLoader(S, {batch}, shuffle={v.chance(0.3)}, num_workers={v.pick([0, 0, 0, 1])}{g})]",
                f"y = list(data.BatchSampler(data.SequentialSampler(S), {batch}, {v.chance(0.5)}))",
                f"y = [b for b in data.DataLoader(S, batch_sampler=data.BatchSampler(data.RandomSampler(S), {batch}, False))]",
                f"y = [b for b in data.DataLoader(S, batch_size=None, sampler=data.SubsetRandomSampler(range({n // 2})))]",
                f"y = [b for b in data.DataLoader(data.Subset(S, list(range({n}))[::2]), {batch}, shuffle=True)]",
                f"y = [b for b in data.DataLoader(data.ConcatDataset([S, S]), {batch}, shuffle=True, collate_fn=list)]",
                f"y = len(data.DataLoader(S, {batch}, drop_last={v.chance(0.5)}))",
                f"y = list(data.DistributedSampler(S, {v.randint(1, 4)}, {v.randint(0, 4)}, shuffle={v.chance(0.6)}, seed={seed}, drop_last={v.chance(0.4)}))",
                f"y = data.DataLoader(S, {v.pick(['0', '-1', 'None', '2.5', 'True'])})",
                "y = data.DataLoader(S, 2, shuffle=True, sampler=data.SequentialSampler(S))",
                "y = data.DataLoader(S, 2, batch_sampler=data.BatchSampler(data.SequentialSampler(S), 2, False))",
                "y = data.DataLoader(S, 2, num_workers=-1)",
                "y = data.DataLoader(S, 2, prefetch_factor=2)",
                "y = data.DataLoader(S, 2, persistent_workers=True)",
                "y = data.DataLoader(S, None, drop_last=True)",
                "y = data.RandomSampler(S, replacement=1)",
                "y = data.RandomSampler(S, num_samples=-1)",
                "y = data.RandomSampler([])",
                "y = data.BatchSampler(data.SequentialSampler(S), 0, False)",
                "y = data.WeightedRandomSampler([[1, 2]], 2)",
                "y = data.WeightedRandomSampler([1, 2], 5, False)",
                "y = data.TensorDataset(T.ones(2), T.ones(3))",
                "y = data.StackDataset(S, S)[0]",
                "y = data.StackDataset(a=S, b=S)[-1]",
                "y = data.ConcatDataset([])",
                f"y = data.ConcatDataset([S, S])[{v.pick(['0', '-1', '50', '-50', str(n)])}]",
                f"y = data.Subset(S, [0])[{v.pick(['0', '[0]', '1'])}]",
                f"y = data.dataset.random_split(range({n}), [{n}])[0][:]",
            ]
        )
    )
    lines.append("t = T.rand(2)")
    return lines


COLLATED = """[1, 2]|[1.5, 2]|[True, False]|['a', 'b']|[b'a', b'b']|[T.ones(2), T.zeros(2)]|[T.ones(2), T.zeros(3)]|[np.ones(2), np.zeros(2)]|[np.float32(1), np.float32(2)]|[np.int16(1), np.int16(2)]|[(1, 2), (3, 4)]|[[1, 2], [3, 4]]|[[1, 2], [3]]
    [{'a': 1, 'b': T.ones(1)}, {'a': 2, 'b': T.zeros(1)}]|[{'a': [1, 2]}, {'a': [3, 4]}]|[None, None]|[1, 'a']|[T.tensor(1), T.tensor(2)]|[T.ones(2, requires_grad=True)]|[(T.ones(1), {'x': (1, 'z')})] * 2|[]|[set([1])]|[1j, 2j]|[np.array('a')]|[np.array([1, 2], dtype=object)]
    [range(2), range(2)]|[{'a': 1}, {'b': 1}]|[T.ones(2, dtype=T.bool), T.zeros(2, dtype=T.bool)]|[T.ones(1), 1]|[np.uint16(3)]|[np.ones((2, 2))[:, ::-1]]|[''.encode()]|['']|[T.ones(0), T.ones(0)]|[T.ones(2).to_sparse()]""".replace("\n", "|").split("|")


def collate(v: Values) -> list[str]:
    batch = v.pick(COLLATED).strip()
    return [v.pick([f"y = data.default_collate({batch})", f"y = data.default_convert({batch})", f"y = list(data.DataLoader({batch}, 2))", f"y = list(data.DataLoader({batch}, None))", f"y = data._utils.collate.collate({batch}, collate_fn_map={{int: lambda b, *, collate_fn_map=None: len(b)}})"])]


AREAS = {"streams": stream, "initial": initial, "splits": splits, "collate": collate}
