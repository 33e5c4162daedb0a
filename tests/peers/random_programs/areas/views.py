"""Chains of views, writes through them, and gradients of both."""
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - one call a line

from __future__ import annotations

from values import ALL, Values


def view(v: Values, name: str, rank: int) -> str:
    """A view of a tensor whose sizes are unknown here: both libraries may refuse it."""
    d, e = (v.randint(-rank, rank - 1) if rank else 0 for _ in range(2))
    n = v.randint(0, 3)
    return v.pick(
        [
            f"{name}.transpose({d}, {e})",
            f"{name}.unsqueeze({v.randint(-rank - 1, rank)})",
            f"{name}.squeeze()",
            f"{name}.squeeze({d})",
            f"{name}.squeeze(({d},))",
            f"{name}.narrow({d}, {n}, {v.randint(0, 2)})",
            f"{name}.select({d}, {v.randint(-2, 1)})",
            f"{name}[{v.randint(0, 1)}:]",
            f"{name}[..., ::2]",
            f"{name}.unfold({d}, {v.randint(0, 2)}, {v.randint(1, 2)})",
            f"{name}.movedim({d}, {e})",
            f"{name}.flatten({v.pick(['', str(d), f'{d}, {e}', '0, -1'])})",
            f"{name}.view(-1)",
            f"{name}.view({name}.shape)",
            f"{name}.view(2, -1)",
            f"{name}.reshape({v.pick(['-1', '2, -1', '-1, 3', '()', '1, -1, 1'])})",
            f"{name}.unflatten({d}, ({v.pick(['2, -1', '-1, 1', '1, -1', '-1', '3, -1'])}))",
            f"{name}.expand({v.pick([f'2, *{name}.shape', '-1, 3', f'*{name}.shape', '2, -1', '(3, 3)'])})",
            f"{name}.diagonal({v.pick(['', '1', '-1', '0, 0, -1', '0, -2, -1', '5'])})",
            f"{name}.chunk({v.randint(1, 4)}, {d})[-1]",
            f"{name}.split({v.randint(0, 3)}, {d})[0]",
            f"{name}.split([1, {n}], {d})[1]",
            f"{name}.tensor_split({v.pick(['2', '3', '(1, 2)', '(0, -1)', '5'])}, {d})[-1]",
            f"{name}.unbind({d})[0]",
            f"{name}.swapaxes({d}, {e})",
            f"{name}.permute({', '.join(map(str, v.sample(range(rank), rank)))})" if rank else f"{name}.permute(())",
            f"{name}.t()",
            f"{name}.mT",
            f"{name}.T",
            f"{name}.H.resolve_conj()",
            f"{name}.adjoint().resolve_conj()",
            f"{name}.as_strided({v.pick(['(2, 2), (1, 1)', '(2,), (0,)', '(3, 2), (2, 1)', '(), ()', '(2, 2), (1, 2), 1', '(0, 2), (3, 1), 2'])})",
            f"{name}.detach()",
            f"{name}.real",
            f"{name}.imag",
            f"T.view_as_real({name})",
            f"T.view_as_complex({name})",
            f"{name}.view(T.{v.pick(['int32', 'int16', 'uint8', 'float32', 'float64', 'int64', 'complex64', 'float16', 'bool'])})",
            f"{name}.conj().resolve_conj()",
            f"{name}.T.contiguous()",
            f"{name}.atleast_2d()" if v.chance(0.3) else f"T.atleast_3d({name})",
            f"T.broadcast_to({name}, (2, *{name}.shape))",
            f"{name}.contiguous()",
            f"{name}.clone()",
            f"{name}.resolve_conj()",
            f"{name}.hsplit(2)[0]" if rank else f"{name}.ravel()",
            f"{name}.vsplit(2)[1]" if rank > 1 else f"{name}.ravel()",
            f"{name}.swapdims({d}, {e})",
            f"{name}.moveaxis({d}, {e})",
            f"T.narrow_copy({name}, {d}, 0, 1)" if v.chance(0.1) else f"{name}.expand_as({name})",
            f"{name}.view_as({name})",
            f"{name}.positive()",
            f"{name}.to({name}.dtype)",
            f"{name}.flip(0)",
            f"{name}.alias()" if v.chance(0.01) else f"{name}[()]",
        ]
    )


def write(v: Values, name: str) -> str:
    number = v.number("float32")
    return v.pick(
        [
            f"{name}.fill_({v.randint(-3, 3)})",
            f"{name}.add_({v.randint(1, 4)})",
            f"{name}.mul_({number})",
            f"{name}[0] = {v.randint(-3, 3)}",
            f"{name}.zero_()",
            f"{name}.copy_({name}.flip(0))",
            f"{name}.copy_(T.ones(()))",
            f"{name} *= 2",
            f"{name}.neg_()",
            f"{name}.add_({name})",
            f"{name}.squeeze_()",
            f"{name}.unsqueeze_(0)",
            f"{name}.t_()",
            f"{name}.transpose_(0, -1)",
            f"{name}.swapaxes_(0, -1)",
            f"{name}.clamp_(min=0)",
            f"{name}[..., 0] += 1",
            f"T.add({name}, 1, out={name})",
            f"{name}.set_(x)" if v.chance(0.02) else f"{name}.sub_({name}[:1])",
            f"{name}.masked_fill_({name} == {name}, 2)",
            f"{name}.cumsum_(0)",
            f"{name}.index_fill_(0, T.tensor([0]), 3)",
            f"{name}.resize_({name}.shape)",
            f"{name}.as_strided_((1,), (1,))" if v.chance(0.1) else f"{name}.sign_()",
        ]
    )


def chain(v: Values) -> list[str]:
    shape, dtype = v.shape(0, 4, 0.06), v.pick([*ALL, "float32", "complex64"])
    lines, names = [f"a = {v.tensor(shape, dtype, distinct=True)}"], ["a"]
    for name in "bcdef"[: v.randint(1, 5)]:
        lines.append(f"{name} = {view(v, v.pick(names), v.randint(max(len(shape) - 1, 0), len(shape)))}")
        names.append(name)
        if v.chance(0.3):
            lines.append(write(v, v.pick(names)))
    return lines


def chain_with_grad(v: Values) -> list[str]:
    shape, dtype = v.shape(0, 3, 0.04), v.pick(["float64"] * 4 + ["complex128"])
    lines, names = [f"x = {v.tensor(shape, dtype, grad=True)}", f"a = x {v.pick(['* 2', '+ 1', '* x', '* 1.5'])}"], ["a"]
    for name in "bcdef"[: v.randint(1, 5)]:
        if v.chance(0.1):
            lines.append(f"with T.no_grad(): {name} = {view(v, v.pick(names), len(shape))}")
        else:
            lines.append(f"{name} = {view(v, v.pick(names), len(shape))}")
        names.append(name)
        if v.chance(0.6):
            at = v.pick(names)
            lines.append(v.pick([write(v, at), f"{at}.mul_({v.pick(names)})", f"{at}.copy_({v.pick(names)} * 2)", f"{at}.add_(x.sum())", f"{at}[0] = x.flatten()[0]", f"with T.no_grad(): {at}.add_(1)"]))  # fmt: skip
        if v.chance(0.1):
            lines.append(f"{v.pick(names)}.requires_grad_()")
    total = " + ".join(f"({n} * {n}).abs().sum()" if dtype != "float64" else f"({n} * {n} + {n}).sum()" for n in names[-3:])
    lines += [f"s = {total}", "s.backward()"]
    if v.chance(0.1):
        lines.append("s.backward()")
    return lines


AREAS = {"views": chain, "views_grad": chain_with_grad}
