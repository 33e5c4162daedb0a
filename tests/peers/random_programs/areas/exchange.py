"""NumPy, pickles, DLPack, copies, conversions, and what Python asks of tensors."""
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - one call a line

from __future__ import annotations

from values import ALL, WIDE_UNSIGNED, Values


def arrays(v: Values) -> list[str]:
    shape, dtype = v.shape(0, 3), v.pick([*ALL, *WIDE_UNSIGNED, "float32"])
    lines = [f"x = {v.tensor(shape, dtype)}", f"y = {v.layout('x', len(shape))}"]
    kind = v.pick(["float32", "float64", "int64", "uint8", "bool", "complex64", "int16", "uint32", "float16", "U1", "object", ">f4", "M8[s]"])
    array = f"np.arange(12).reshape(3, 4).astype({kind!r})" if kind not in ("U1", "object", "M8[s]") else f"np.zeros((2, 2), dtype={kind!r})"
    part = v.pick(["", "", ".T", "[::2]", "[:, 1]", "[0, 0:0]", "[:, ::-1]", "[1, 2]"])
    ufunc = v.pick(["np.sin", "np.exp", "np.abs", "np.negative", "np.sum", "np.mean", "np.sqrt", "np.max", "np.argsort", "np.transpose", "np.ravel", "np.isnan", "np.sort", "np.shape", "np.size", "np.std", "np.unique", "np.array", "np.asarray", "np.ascontiguousarray", "np.squeeze", "np.float64", "list", "len"])  # fmt: skip
    lines.append(
        v.pick(
            [
                "n = y.numpy()",
                "n = np.asarray(y)",
                "n = np.array(y)",
                f"n = np.asarray(y, dtype={v.pick(['float32', 'int64', 'complex128'])!r})",
                "n = y.__array__()",
                "n = y.numpy(force=True)",
                "n = (y * 1).requires_grad_().numpy()",
                "n = y.requires_grad_().detach().numpy()",
                "n = np.asarray(y.clone().float().requires_grad_())",
                f"n = {ufunc}(y)",
                f"n = {ufunc}(y)",
                "n = np.add(y, 1)",
                "n = np.add(y, y)",
                "n = np.multiply(np.ones(1), y)",
                "n = np.ones(1) * y",
                "n = y * np.ones(1)",
                "n = y + np.float64(1.5)",
                "n = np.float64(1.5) * y",
                "n = np.int32(2) + y",
                "n = y == np.ones(1)",
                "n = np.concatenate([y.flatten(), y.flatten()])",
                f"n = {array}{part}; z = T.from_numpy(n)",
                f"n = {array}{part}; z = T.tensor(n)",
                f"n = {array}{part}; z = T.as_tensor(n)",
                f"n = {array}{part}; z = T.asarray(n)",
                f"n = {array}; z = T.from_numpy(n); z += 1",
                f"n = {array}; z = T.from_numpy(n); n[0] = 0",
                "n = y.numpy(); n *= 2",
                f"n = {array}; n.flags.writeable = False; z = T.as_tensor(n)",
                f"z = T.zeros(3, 4); z[:] = {array}",
                f"z = T.zeros(3, 4); z[0] = T.as_tensor({array})[0]",
                f"z = T.tensor([{array}, {array}])",
                f"z = T.arange(12.)[{array}.ravel()[:3]]",
                "z = T.stack([T.as_tensor(q) for q in np.ones((2, 3))])",
                "z = y.tolist()",
                "z = memoryview(y.numpy()).format",
                "z = T.is_tensor(y.numpy())",
                "n = np.asarray(y)[...]; z = T.from_numpy(n)",
                "n = np.where(np.asarray(y) > 0, y, 0)",
                "n = np.random.default_rng(0).permutation(y)",
                "n = np.matmul(y, y.T)",
                "n = np.testing.assert_allclose(y, y)",
                "z = T.utils.data.default_collate([np.float32(1), np.float32(2)])",
                "z = y.__array__(np.float32)",
                "n = np.stack([y, y])",
            ]
        )
    )
    return lines


def copies(v: Values) -> list[str]:
    shape, dtype = v.shape(0, 3), v.pick(ALL)
    grad = dtype in ("float32", "float64") and v.chance(0.4)
    lines = [f"x = {v.tensor(shape, dtype, grad=grad)}", f"y = {v.layout('x', len(shape))}"]
    lines.append(v.pick(["y = y", "y = y[:1]", "y = y.T", "y = y[..., ::2]", "y = y.expand(2, *y.shape)", "y = y.conj()", "y = y.detach()", "y = nn.Parameter(y.detach().float())", "y = y.to(T.float64)"]))
    for name in "zw"[: v.randint(1, 2)]:
        lines.append(
            v.pick(
                [
                    f"{name} = copy.copy(y)",
                    f"{name} = copy.deepcopy(y)",
                    f"{name} = copy.deepcopy(x)",
                    f"{name} = copy.deepcopy([x, y])",
                    f"{name} = roundtrip(x)",
                    f"{name} = roundtrip(y.detach())",
                    f"{name} = roundtrip([x.detach(), y.detach()])",
                    f"B = io.BytesIO(); T.save([x, y.detach()], B); B.seek(0); {name} = T.load(B)",
                    f"{name} = T.from_dlpack(y.detach())",
                    f"{name} = T.utils.dlpack.from_dlpack(T.utils.dlpack.to_dlpack(y.detach()))",
                    f"{name} = np.from_dlpack(y.detach())",
                    f"{name} = y.clone()",
                    f"{name} = y.clone(memory_format=T.{v.pick(['contiguous_format', 'preserve_format', 'channels_last'])})",
                    f"{name} = y.contiguous()",
                    f"{name} = y.to(T.float64)",
                    f"{name} = y.to(y)",
                    f"{name} = y.to('cpu')",
                    f"{name} = y.to(y.dtype, copy=True)",
                    f"{name} = y.to(T.float32, memory_format=T.contiguous_format)",
                    f"{name} = y.type_as(T.ones(1))",
                    f"{name} = y.cpu()",
                    f"{name} = y.data",
                    f"{name} = y.detach().requires_grad_()",
                    f"{name} = T.empty_like(y).copy_(y)",
                    f"{name} = T.Tensor(y.detach().float())",
                    f"{name} = T.tensor(y.detach())",
                    f"{name} = y.new_tensor(y.detach())",
                    f"{name} = nn.Parameter(y.detach())",
                    f"{name} = y.untyped_storage().nbytes()",
                    f"{name} = y.element_size() * y.nelement()",
                    f"{name} = [y.is_contiguous(), y.ndim, y.numel(), y.is_floating_point(), y.is_complex(), y.is_signed(), y.nbytes, y.itemsize]",
                    f"{name} = [q for q in y]",
                    f"{name} = y.tolist()",
                    f"{name} = y.is_set_to(x)",
                    f"{name} = T.equal(y, x)",
                    f"{name} = y.storage_offset()",
                    f"{name} = y.is_shared()",
                    f"{name} = T.utils._pytree.tree_map(lambda q: q + 1, [x])",
                    f"{name} = bool(y)",
                    f"{name} = float(y)",
                    f"{name} = int(y)",
                    f"{name} = y.item()",
                    f"{name} = y.__contains__(1)",
                    f"{name} = y in [1]",
                    f"{name} = sorted(y)",
                    f"{name} = sum(y)",
                    f"{name} = max(y)",
                    f"{name} = any(y)",
                    f"{name} = y.map_(y, lambda a, b: a + b)",
                    f"{name} = reversed(y)",
                    f"{name} = y.apply_(lambda a: a + 1)",
                ]
            )
        )
    if v.chance(0.4):
        lines.append(v.pick(["x.data.fill_(1)", "y.data.fill_(2)", "with T.no_grad(): y.fill_(1)", "with T.no_grad(): x.zero_()", "y.data = x.data", "x.detach().fill_(3)"]))
    return lines


AREAS = {"arrays": arrays, "copies": copies}
