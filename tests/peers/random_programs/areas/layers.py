"""Layers with random arguments: state, text, results, gradients, errors."""
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - one call a line

from __future__ import annotations

from values import Values

# arguments in {a|b|c} are chosen; the second entry gives sizes of the input
LAYERS = [
    ("Linear({1|3|0}, {2|4})", ["*, 3", "3", "2, 1"]),
    ("Linear(3, 2, bias={True|False}, dtype={None|T.float64})", ["2, 3", "2, 2, 3"]),
    ("Bilinear(3, 3, {1|2})", None),
    ("Identity({1|2}, a=3)", ["2"]),
    ("Flatten({0|1|-1}{|, 1|, -1|, 0})", ["2, 3, 2", "2", "1, 2, 3, 2"]),
    ("Unflatten({1|'a'|0}, {(2, -1)|(3, 2)|2|[2, 3]})", ["2, 6", "6"]),
    ("Conv1d({2|4}, {2|4|3}, {1|2|3}{|, 2|, stride=2}{|, padding=1|, padding='same'|, padding='valid'}{|, groups=2}{|, bias=False}{|, padding_mode='reflect'|, padding_mode='circular'|, padding_mode='replicate'|, padding_mode='x'})", ["1, 2, 5", "2, 4, 6", "2, 5"]),
    ("Conv2d({2|4}, {2|4}, {1|2|(2, 3)}{|, 2|, stride=(1, 2)}{|, padding=1|, padding='same'|, padding=(1, 0)|, padding='full'}{|, dilation=2}{|, groups=2|, groups=0|, groups=3}{|, bias=False}{|, padding_mode='reflect'|, padding_mode='circular'|, padding_mode='replicate'})", ["1, 2, 5, 6", "2, 4, 6, 5", "2, 5, 5"]),
    ("Conv3d(2, {2|4}, {1|2|(2, 1, 2)}{|, padding=1|, padding=(1, 0, 2)}{|, padding_mode='replicate'|, padding_mode='circular'})", ["1, 2, 4, 3, 4", "2, 4, 4, 4"]),
    ("ConvTranspose1d(2, {2|3}, {1|3}{|, 2}{|, padding=1}{|, output_padding=1}{|, dilation=2}{|, bias=False})", ["1, 2, 5", "2, 5"]),
    ("ConvTranspose2d(2, {2|4}, {1|3|(2, 3)}{|, 2|, (1, 2)}{|, padding=1}{|, output_padding=1|, output_padding=(0, 1)}{|, groups=2}{|, padding_mode='reflect'})", ["1, 2, 4, 3", "2, 3, 4"]),
    ("ConvTranspose3d(2, 2, 2{|, 2})", ["1, 2, 2, 3, 2"]),
    ("MaxPool1d({2|3}{|, 1}{|, padding=1|, padding=2}{|, ceil_mode=True}{|, return_indices=True})", ["1, 2, 7", "2, 6"]),
    ("MaxPool2d({2|(2, 3)}{|, 1|, stride=(2, 1)}{|, padding=1}{|, dilation=2}{|, ceil_mode=True})", ["1, 2, 7, 6", "2, 6, 5"]),
    ("MaxPool3d({2|3}{|, 1})", ["1, 2, 4, 4, 5"]),
    ("AvgPool1d({2|3}{|, 1}{|, padding=1}{|, ceil_mode=True}{|, count_include_pad=False})", ["1, 2, 7", "2, 6"]),
    ("AvgPool2d({2|(2, 3)}{|, 1}{|, padding=1}{|, ceil_mode=True}{|, count_include_pad=False}{|, divisor_override=3|, divisor_override=0})", ["1, 2, 7, 6", "2, 6, 5"]),
    ("AvgPool3d({2|3}{|, 1}{|, divisor_override=2})", ["1, 2, 4, 4, 5"]),
    ("LPPool1d({2|1.5}, {2|3}{|, 1}{|, ceil_mode=True})", ["1, 2, 7"]),
    ("LPPool2d({2|3}, {2|(2, 3)}{|, 1}{|, ceil_mode=True})", ["1, 2, 6, 7"]),
    ("AdaptiveAvgPool1d({1|3|5|None})", ["1, 2, 7", "2, 6"]),
    ("AdaptiveAvgPool2d({1|(3, 2)|(None, 2)|None})", ["1, 2, 5, 6", "2, 6, 5"]),
    ("AdaptiveMaxPool1d({1|3}{|, return_indices=True})", ["1, 2, 7"]),
    ("AdaptiveMaxPool2d({1|(3, 2)|(None, 2)})", ["1, 2, 5, 6"]),
    ("AdaptiveAvgPool3d({1|(2, 1, 3)})", ["1, 2, 3, 4, 5"]),
    ("FractionalMaxPool2d({2|(2, 3)}, {output_size=2|output_ratio=0.5|output_ratio=(0.5, 0.6)|output_ratio=2})", ["1, 2, 6, 7"]),
    ("Upsample({size=4|scale_factor=2|scale_factor=1.5|size=(3, 5)|scale_factor=(2, 1.5)|}{|, mode='bilinear'|, mode='bicubic'|, mode='nearest-exact'}{|, align_corners=True|, align_corners=False})", ["1, 2, 3, 3", "1, 2, 3"]),
    ("UpsamplingNearest2d({size=4|scale_factor=2})", ["1, 2, 3, 3"]),
    ("UpsamplingBilinear2d({size=4|scale_factor=2})", ["1, 2, 3, 3"]),
    ("PixelShuffle({2|1|3})", ["1, 4, 2, 3", "8, 2, 2", "1, 3, 2, 2"]),
    ("PixelUnshuffle({2|1|3})", ["1, 1, 4, 6", "2, 2, 2"]),
    ("ChannelShuffle({2|1|3})", ["1, 4, 2, 3", "2, 6, 3"]),
    ("Unfold({2|(2, 3)}{|, dilation=2}{|, padding=1}{|, stride=2})", ["1, 2, 5, 6", "2, 5, 5"]),
    ("Fold({(4, 5)|4}, {2|(2, 2)}{|, stride=2}{|, padding=1})", ["1, 8, 12", "1, 8, 4", "4, 9"]),
    ("ReflectionPad1d({1|(1, 2)|9})", ["1, 2, 5", "2, 5"]),
    ("ReflectionPad2d({1|(1, 2, 0, 1)|(-1, 1, 0, 0)})", ["1, 2, 5, 4", "2, 3, 4"]),
    ("ReflectionPad3d({1|(1, 1, 0, 1, 1, 0)})", ["1, 2, 3, 3, 3"]),
    ("ReplicationPad1d({1|(1, 2)})", ["1, 2, 5"]),
    ("ReplicationPad2d({1|(1, 2, 0, 1)})", ["1, 2, 5, 4"]),
    ("ReplicationPad3d({1|(1, 2, 0, 1, 1, 1)})", ["1, 2, 3, 2, 4"]),
    ("ZeroPad1d({1|(1, 2)})", ["1, 2, 5"]),
    ("ZeroPad2d({1|(1, 2, 0, 1)|(1, 2)})", ["1, 2, 5, 4"]),
    ("ConstantPad1d({1|(1, 2)}, {3.5|0})", ["1, 2, 5"]),
    ("ConstantPad2d({1|(1, -1, 0, 1)}, {3.5|1})", ["1, 2, 5, 4"]),
    ("ConstantPad3d({1|(1, -1, 0, 1, 1, 1)}, 2)", ["1, 2, 3, 4, 3"]),
    ("CircularPad1d({1|(1, 2)})", ["1, 2, 5"]),
    ("CircularPad2d({1|(1, 2, 0, 1)})", ["1, 2, 5, 4"]),
    ("BatchNorm1d({2|3}{|, eps=0.1}{|, momentum=None|, momentum=0.5}{|, affine=False}{|, track_running_stats=False})", ["3, 2", "2, 2, 3", "1, 2", "2", "2, 3"]),
    ("BatchNorm2d(2{|, eps=0.1}{|, momentum=None}{|, affine=False}{|, track_running_stats=False})", ["2, 2, 2, 3", "2, 2, 3"]),
    ("BatchNorm3d(2{|, momentum=None})", ["2, 2, 2, 1, 3"]),
    ("InstanceNorm1d({2|3}{|, eps=0.1}{|, affine=True}{|, track_running_stats=True})", ["2, 2, 3", "2, 4", "2, 3, 1"]),
    ("InstanceNorm2d(2{|, affine=True}{|, track_running_stats=True})", ["2, 2, 2, 3", "2, 2, 3"]),
    ("InstanceNorm3d(2)", ["2, 2, 2, 1, 3"]),
    ("LayerNorm({3|(2, 3)|[3]|(3, 2)}{|, eps=0.1}{|, elementwise_affine=False}{|, bias=False})", ["2, 3", "4, 2, 3"]),
    ("RMSNorm({3|(2, 3)}{|, eps=0.1}{|, elementwise_affine=False})", ["2, 3", "4, 2, 3"]),
    ("GroupNorm({1|2|3}, {4|2|6}{|, eps=0.1}{|, affine=False})", ["2, 4, 3", "2, 2", "1, 6, 2, 2"]),
    ("LocalResponseNorm({1|2|3}{|, alpha=0.1, beta=0.5, k=2})", ["1, 4, 3", "2, 3, 2, 2"]),
    ("CrossMapLRN2d({1|3})", ["1, 4, 3, 2"]),
    ("Dropout({0.5|0|1|1.5|-0.1}{|, inplace=True})", ["2, 3"]),
    ("Dropout2d({0.5|0.2})", ["2, 3, 2, 2", "3, 2, 2"]),
    ("Dropout1d(0.5)", ["2, 3, 2", "3, 2"]),
    ("AlphaDropout(0.5)", ["2, 3"]),
    ("FeatureAlphaDropout(0.5)", ["2, 3, 2"]),
    ("Softmax({|0|1|dim=-1|dim=5})", ["2, 3", "2"]),
    ("LogSoftmax({|0|1|dim=-1})", ["2, 3", "2", "1, 2, 3, 2"]),
    ("Softmin(dim=-1)", ["2, 3"]),
    ("Softmax2d()", ["1, 2, 2, 3", "2, 3, 3", "2, 3"]),
    ("GLU({|0|1|dim=-1})", ["2, 4", "3, 2"]),
    ("PReLU({|2|3|num_parameters=2, init=0.1})", ["2, 2", "2, 3, 2", "3"]),
    ("RReLU({|0.1, 0.3|0.5, 0.1}{|, inplace=True})", ["2, 3"]),
    ("Threshold({0.1|1}, {20|-1}{|, inplace=True})", ["2, 3"]),
    ("{ReLU|ReLU6|SELU|SiLU|Mish|Hardswish|Hardsigmoid}({|inplace=True|True})", ["2, 3"]),
    ("{Sigmoid|Tanh|LogSigmoid|Softsign|Tanhshrink}()", ["2, 3"]),
    ("{ELU|CELU}({|0.5|alpha=2.0|alpha=0}{|, inplace=True})".replace("({|0.5|alpha=2.0|alpha=0}{|, inplace=True})", "({alpha=1.0|0.5|alpha=2.0}{|, inplace=True})"), ["2, 3"]),
    ("LeakyReLU({0.01|0.5|negative_slope=0.2}{|, inplace=True})", ["2, 3"]),
    ("Hardtanh({-1, 1|-2, 0.5|1, -1|min_val=-0.5, max_val=2}{|, inplace=True})", ["2, 3"]),
    ("{Hardshrink|Softshrink}({|0.2|lambd=1.0|-1})", ["2, 3"]),
    ("Softplus({|2|beta=0.5, threshold=1})", ["2, 3"]),
    ("GELU({|'tanh'|approximate='tanh'|approximate='x'})", ["2, 3"]),
    ("MultiheadAttention({4|6|5}, {2|1}{|, bias=False}{|, batch_first=True}{|, add_zero_attn=True}{|, add_bias_kv=True})", "attention"),
    ("TransformerEncoderLayer(4, {2|1|3}, 6{|, 0.0}{|, activation='gelu'|, activation=F.gelu|, activation='x'}{|, batch_first=True}{|, norm_first=True}{|, bias=False})", ["3, 2, 4", "3, 4"]),
    ("TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 6), {1|2}{|, norm=nn.LayerNorm(4)}{|, enable_nested_tensor=False})", ["3, 2, 4"]),
    ("TransformerDecoderLayer(4, 2, 6{|, batch_first=True}{|, norm_first=True})", "decoder"),
    ("{LSTM|GRU}({3|2}, {2|4}{|, 2}{|, bias=False}{|, batch_first=True}{|, bidirectional=True}{|, dropout=0.5})", ["4, 2, 3", "4, 3"]),
    ("LSTM(3, 4{|, 2}, proj_size={2|4|5}{|, bidirectional=True})", ["4, 2, 3"]),
    ("RNN(3, {2|4}{|, 2}{|, nonlinearity='relu'|, nonlinearity='x'}{|, bidirectional=True})", ["4, 2, 3", "4, 3"]),
    ("{LSTMCell|GRUCell|RNNCell}({3|2}, 2{|, bias=False})", ["2, 3", "3", "1, 2, 3"]),
    ("Embedding({4|3}, 2{|, padding_idx=0|, padding_idx=-1|, padding_idx=9}{|, max_norm=0.5}{|, scale_grad_by_freq=True})", "indices"),
    ("EmbeddingBag({4|3}, 2{|, mode='sum'|, mode='max'|, mode='x'}{|, padding_idx=0}{|, include_last_offset=True})", "indices"),
    ("CosineSimilarity({|dim=0|dim=1, eps=0.1})", "pair"),
    ("PairwiseDistance({|p=1|p=inf}{|, eps=0.1}{|, keepdim=True})".replace("({|p=1|p=inf}{|, eps=0.1}{|, keepdim=True})", "({2|p=1|p=inf}{|, eps=0.1}{|, keepdim=True})"), "pair"),
    ("{MSELoss|L1Loss|SmoothL1Loss|HuberLoss|KLDivLoss|SoftMarginLoss|HingeEmbeddingLoss|BCEWithLogitsLoss|PoissonNLLLoss|MultiLabelSoftMarginLoss}({|reduction='sum'|reduction='none'|reduction='x'|size_average=False|reduce=False})", "pair"),
    ("{CrossEntropyLoss|MultiMarginLoss|NLLLoss}({|reduction='sum'|reduction='none'|weight=T.tensor([1., 2., 0.5])})", "classes"),
    ("CrossEntropyLoss({ignore_index=1|label_smoothing=0.2|label_smoothing=1.5})", "classes"),
    ("Sequential({nn.Linear(3, 2), nn.ReLU()|nn.Linear(3, 4), nn.Sequential(nn.Tanh(), nn.Linear(4, 1))||1})", ["2, 3"]),
    ("ModuleList([nn.Linear(3, 2), nn.ReLU(){|, nn.Linear(1, 1)}])", None),
    ("ModuleDict({a=1|})".replace("({a=1|})", "(dict(a=nn.Linear(1, 2), b=nn.Tanh()))"), None),
    ("ParameterList([T.ones(2), nn.Parameter(T.ones(3)){|, 5}])", None),
    ("ParameterDict(dict(a=T.ones(2), b=nn.Parameter(T.ones(1))))", None),
]


def fill(v: Values, text: str) -> str:
    while (end := text.find("}")) >= 0:
        begin = text.rfind("{", 0, end)
        text = text[:begin] + v.pick(text[begin + 1 : end].split("|")) + text[end + 1 :]
    return text.replace("(, ", "(")


def layer(v: Values) -> list[str]:
    text, sizes = v.pick(LAYERS)
    made = fill(v, text)
    lines = [f"T.manual_seed({v.randint(0, 9)})", f"M = nn.{made}"]
    wide = v.chance(0.5)
    if wide:
        lines.append("M = M.double()")
    lines.append("r = repr(M)")
    lines.append("s = dict(M.state_dict())")
    kind = ", dtype=T.float64" if wide else ""
    if sizes is None:
        lines.append(v.pick(["t = str(M)", "n = len(M)", "p = [n for n, _ in M.named_parameters()]", "q = [type(m).__name__ for m in M.modules()]", "e = M.extra_repr()", "c = [n for n, _ in M.named_modules()]"]))
        return lines
    if v.chance(0.3):
        lines.append(v.pick(["M = M.eval()", "M = copy.deepcopy(M)", "M = roundtrip(M)", "M.requires_grad_(False) and None", "M.load_state_dict(copy.deepcopy(M.state_dict())) and None", "e = str(M.load_state_dict({}, strict=False))", "M.load_state_dict({'x': T.ones(1)})", "e = M.extra_repr()", "d = {k: x for k, x in vars(M).items() if isinstance(x, (int, float, str, tuple)) and not k.startswith('_')}", "M.to(T.float16)", "M.to(T.int64)", "p = [n for n, _ in M.named_parameters()]", "b = [n for n, _ in M.named_buffers()]", "M = T.nn.utils.parametrizations.weight_norm(M) if hasattr(M, 'weight') else M", "M.reset_parameters()", "M.share_memory() and None", "M.zero_grad(set_to_none=False)", "M.foo"]))  # fmt: skip
    if sizes == "attention":
        lines += [f"x = T.linspace(-1, 1, 24{kind}).reshape(3, 2, 4).requires_grad_()", f"y = M(x, x, x{v.pick(['', ', need_weights=False', ', average_attn_weights=False', ', is_causal=True', ', attn_mask=T.ones(3, 3, dtype=T.bool).triu(1)', ', key_padding_mask=T.zeros(2, 3, dtype=T.bool)'])})", "z = y[0]"]
    elif sizes == "decoder":
        lines += [f"x = T.linspace(-1, 1, 24{kind}).reshape(3, 2, 4).requires_grad_()", "z = M.eval()(x, x * 2)"]
    elif sizes == "indices":
        lines += [f"z = M(T.tensor({v.pick(['[[0, 1], [2, 0]]', '[0, 1, 1]', '[[4]]', '[0.5]', '[[]]', '2'])}){v.pick(['', '', ', T.tensor([0, 1])'])})"]
    elif sizes == "pair":
        lines += [f"x = T.linspace(-1, 1, 6{kind}).reshape(2, 3).requires_grad_()", f"z = M(x, {v.pick(['x.detach().flip(0).sigmoid()', 'T.ones_like(x)', 'T.ones(2, 1)', 'T.ones(3, 2)', 'x[0]', '-T.ones_like(x)'])})"]
    elif sizes == "classes":
        lines += [f"x = T.linspace(-1, 1, 6{kind}).reshape(2, 3).requires_grad_()", f"z = M(x, T.tensor({v.pick(['[0, 2]', '[1, 1]', '[0, 3]', '[0]', '[[0, 1]]', '[0.5, 1]', '1'])}))"]
    else:
        size = v.pick(sizes).replace("*", str(v.randint(1, 3)))
        lines += [f"x = (T.arange(1.{kind} + 0).new_empty(0) if False else T.linspace(-2, 3, math.prod(({size},)){kind}).reshape({size})).requires_grad_()" if False else f"x = T.linspace(-2, 3, math.prod(({size},)){kind}).reshape({size}).requires_grad_()", "z = M(x * 1)", "z = z[0] if isinstance(z, tuple) else z"]
    lines += ["(z * T.linspace(-1, 2, z.numel(), dtype=z.dtype).reshape(z.shape)).sum().backward()", "g = {n: p.grad for n, p in M.named_parameters()}", "s = dict(M.state_dict())"]
    return lines


OPTIMIZERS = ["SGD(P, {0.1|-1|0}{|, momentum=0.9|, momentum=0.9, nesterov=True|, nesterov=True}{|, weight_decay=0.1}{|, maximize=True}{|, dampening=0.5})", "Adam(P, {0.1|-1}{|, betas=(0.5, 0.9)|, betas=(1.5, 0.9)}{|, amsgrad=True}{|, weight_decay=0.1}{|, eps=0.1|, eps=-1})", "AdamW(P, 0.1{|, weight_decay=0.5}{|, amsgrad=True})", "Adagrad(P, 0.1{|, lr_decay=0.1}{|, initial_accumulator_value=1})", "Adadelta(P{|, 0.5}{|, rho=0.5|, rho=2})", "Adamax(P{|, 0.5})", "NAdam(P, 0.1{|, momentum_decay=0.1})", "RAdam(P, 0.1{|, weight_decay=0.1}{|, decoupled_weight_decay=True})", "RMSprop(P, 0.1{|, momentum=0.5}{|, centered=True}{|, alpha=0.5})", "Rprop(P, 0.1{|, etas=(0.4, 1.5)})", "ASGD(P, 0.1{|, t0=1})", "Adafactor(P, 0.1)", "SGD([{0}'params': P[:1], 'lr': 0.5{1}, {0}'params': P[1:]{1}], 0.1)"]  # fmt: skip
SCHEDULES = ["StepLR(O, {2|1}{|, gamma=0.5})", "MultiStepLR(O, [1, 3]{|, gamma=0.5})", "ExponentialLR(O, 0.5)", "CosineAnnealingLR(O, {3|5}{|, eta_min=0.01})", "CosineAnnealingWarmRestarts(O, {2|1}{|, T_mult=2|, T_mult=0})", "LinearLR(O{|, start_factor=0.5|, start_factor=2}{|, total_iters=3})", "ConstantLR(O, 0.5, {2|1})", "PolynomialLR(O, 3{|, power=2})", "LambdaLR(O, lambda e: 0.9 ** e)", "MultiplicativeLR(O, lambda e: 0.9)", "OneCycleLR(O, 0.5, {total_steps=5|epochs=2, steps_per_epoch=3|total_steps=2}{|, pct_start=0.5}{|, three_phase=True}{|, anneal_strategy='linear'|, anneal_strategy='x'})", "CyclicLR(O, 0.01, 0.5{|, step_size_up=2}{|, mode='triangular2'|, mode='x'}, cycle_momentum=False)", "ReduceLROnPlateau(O{|, patience=0}{|, factor=0.5|, factor=1.0}{|, mode='max'})", "SequentialLR(O, [T.optim.lr_scheduler.ConstantLR(O, 0.1, 2), T.optim.lr_scheduler.ExponentialLR(O, 0.9)], [2])", "ChainedScheduler([T.optim.lr_scheduler.ConstantLR(O, 0.1, 2), T.optim.lr_scheduler.ExponentialLR(O, 0.9)])"]  # fmt: skip


def optimizer(v: Values) -> list[str]:
    wide = v.pick(["", ", dtype=T.float64"])
    made = fill(v, v.pick(OPTIMIZERS).replace("{0}", "\1").replace("{1}", "\2")).replace("\1", "{").replace("\2", "}")
    lines = [f"P = [T.linspace(-1, 1, 6{wide}).reshape(2, 3).requires_grad_(), T.ones(2{wide}).requires_grad_()]", f"O = T.optim.{made}", "r = repr(O)"]
    steps = v.randint(1, 5)
    plan = v.chance(0.6)
    if plan:
        lines.append(f"S = T.optim.lr_scheduler.{fill(v, v.pick(SCHEDULES))}")
    for k in range(steps):
        lines.append("((P[0] * P[0]).sum() + (P[1] ** 3).sum() + P[0].sum() * P[1].sum()).backward()")
        if v.chance(0.15):
            lines.append(v.pick(["n = nn.utils.clip_grad_norm_(P, 0.5)", "nn.utils.clip_grad_value_(P, 0.3)", "n = nn.utils.clip_grad_norm_(P, 1.0, norm_type=inf)", "P[1].grad = None", "n = nn.utils.get_total_norm([p.grad for p in P])"]))
        lines.append("O.step()")
        if plan:
            lines.append("S.step(0.5)" if "Plateau" in lines[3] else "S.step()")
            lines.append("l = S.get_last_lr()")
        lines.append(v.pick(["O.zero_grad()", "O.zero_grad()", "O.zero_grad(set_to_none=False)", f"k{k} = 0"]))
        lines.append("p, q = P")
        if v.chance(0.1):
            lines.append("O.load_state_dict(copy.deepcopy(O.state_dict()))")
        if v.chance(0.1):
            lines.append(v.pick(["O = roundtrip(O)", "O = copy.deepcopy(O)", "s = O.state_dict()", "O.add_param_group({'params': P[0]})", "O.add_param_group({'params': [T.ones(1, requires_grad=True)], 'lr': 0.3})"]))
    lines += ["d = O.state_dict()"]
    if plan:
        lines.append("e = {k: x for k, x in S.state_dict().items() if isinstance(x, (int, float, list))}")
    return lines


AREAS = {"layers": layer, "optimizers": optimizer}
