"""Operators of onnxruntime's own domain, against their formulas in NumPy."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import moka.onnx
import numpy as np
import onnx
import pytest
from onnx import helper

RNG = np.random.default_rng(11)


def floats(*shape: int) -> np.ndarray:
    return (RNG.standard_normal(shape) * 0.5).astype(np.float32)


def bytes_(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape).astype(np.uint8)


def number(x: float, kind: Any = np.float32) -> np.ndarray:
    return np.array(x, kind)


def run(op: str, inputs: list[Any], outputs: int = 1, open_sizes: bool = False, **settings: Any) -> list[Any]:
    names = [f"i{k}" if a is not None else "" for k, a in enumerate(inputs)]
    results = [f"o{k}" for k in range(outputs)]
    node = helper.make_node(op, names, results, domain="com.microsoft", **settings)
    declared, given = [], {}
    for name, a in zip(names, inputs, strict=True):
        if a is None:
            continue
        shape = [f"{name}_{d}" if open_sizes else s for d, s in enumerate(a.shape)]
        declared.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), shape))
        given[name] = a
    graph = helper.make_graph([node], "g", declared, [onnx.ValueInfoProto(name=r) for r in results])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return moka.onnx.load(helper.make_model(graph, opset_imports=opsets).SerializeToString()).run(given)


def tanh_gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def layer_norm(x: np.ndarray, scale: np.ndarray, shift: Any = 0, mean: bool = True) -> np.ndarray:
    x = x - (x.mean(-1, keepdims=True) if mean else 0)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * scale + shift


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def heads(x: np.ndarray, count: int) -> np.ndarray:
    return x.reshape(*x.shape[:2], count, -1).transpose(0, 2, 1, 3)


def attended(q: np.ndarray, k: np.ndarray, v: np.ndarray, bias: Any = 0) -> np.ndarray:
    y = softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]) + bias) @ v
    return y.transpose(0, 2, 1, 3).reshape(y.shape[0], y.shape[2], -1)


def real(x: np.ndarray, scale: Any, zero: Any) -> np.ndarray:
    return (x.astype(np.float32) - float(zero)) * scale


def whole(y: np.ndarray, scale: Any, zero: Any) -> np.ndarray:
    return np.clip(np.rint(y / scale) + float(zero), 0, 255).astype(np.uint8)


X, SKIP, SCALE, SHIFT = floats(2, 3, 8), floats(2, 3, 8), floats(8), floats(8)
FORMULAS: dict[str, tuple[str, list[Any], dict[str, Any], Callable[..., Any]]] = {
    "fast gelu": ("FastGelu", [X, SHIFT], {}, lambda x, b: tanh_gelu(x + b)),
    "quick gelu": ("QuickGelu", [X], {"alpha": 1.5}, lambda x: x / (1 + np.exp(-1.5 * x))),
    "product": (
        "FusedMatMul",
        [floats(2, 4, 3), floats(2, 5, 4)],
        {"transA": 1, "transB": 1, "alpha": 0.5},
        lambda a, b: 0.5 * a.swapaxes(1, 2) @ b.swapaxes(1, 2),
    ),
    "activated product": (
        "FusedGemm",
        [floats(3, 4), floats(4, 5), floats(5)],
        {"activation": "LeakyRelu", "activation_alpha": 0.3},
        lambda a, b, c: np.where((y := a @ b + c) > 0, y, 0.3 * y),
    ),
    "sum and norm": (
        "SkipLayerNormalization",
        [X, SKIP, SCALE, SHIFT, SHIFT],
        {"epsilon": 1e-5},
        lambda x, s, g, b, more: layer_norm(x + s + more, g, b),
    ),
    "sum and root mean square": (
        "SkipSimplifiedLayerNormalization",
        [X, SKIP, SCALE],
        {"epsilon": 1e-5},
        lambda x, s, g: layer_norm(x + s, g, mean=False),
    ),
    "attention": (
        "Attention",
        [X, floats(8, 24), floats(24), np.array([[1, 1, 0], [1, 1, 1]], np.int32)],
        {"num_heads": 2},
        lambda x, w, b, m: attended(
            *(heads(p, 2) for p in np.split(x @ w + b, 3, -1)), (1.0 - m)[:, None, None] * -1e4
        ),
    ),
    "attention of ends": (
        "Attention",
        [X, floats(8, 24), floats(24), np.array([2, 3], np.int32)],
        {"num_heads": 2},
        lambda x, w, b, m: attended(
            *(heads(p, 2) for p in np.split(x @ w + b, 3, -1)),
            (np.arange(3) >= m[:, None])[:, None, None] * -1e4,
        ),
    ),
    "heads": (
        "MultiHeadAttention",
        [X, SKIP, floats(2, 3, 8)],
        {"num_heads": 2, "unidirectional": 1},
        lambda q, k, v: attended(
            heads(q, 2), heads(k, 2), heads(v, 2), np.triu(np.full((3, 3), -1e30), 1)
        ),
    ),
    "quantized sum": (
        "QLinearAdd",
        [bytes_(2, 3), number(0.02), number(7, np.uint8), bytes_(3), number(0.03), number(9, np.uint8),
         number(0.05), number(3, np.uint8)],
        {},
        lambda a, sa, za, b, sb, zb, sy, zy: whole(real(a, sa, za) + real(b, sb, zb), sy, zy),
    ),
    "quantized mean": (
        "QLinearGlobalAveragePool",
        [bytes_(1, 4, 4, 3), number(0.02), number(7, np.uint8), number(0.03), number(3, np.uint8)],
        {"channels_last": 1},
        lambda x, s, z, sy, zy: whole(real(x, s, z).mean((1, 2), keepdims=True), sy, zy),
    ),
    "product of integers": (
        "MatMulIntegerToFloat",
        [bytes_(2, 3, 4), bytes_(4, 5), number(0.02), np.abs(floats(5)), number(7, np.uint8), bytes_(5),
         floats(5)],
        {},
        lambda a, b, sa, sb, za, zb, c: real(a, sa, za) @ ((b.astype(np.float32) - zb) * sb) + c,
    ),
}  # fmt: skip


@pytest.mark.parametrize("open_sizes", [False, True], ids=["fixed", "open"])
@pytest.mark.parametrize("name", FORMULAS)
def test_an_operator_of_onnxruntime_gives_what_its_formula_gives(name: str, open_sizes: bool) -> None:
    op, inputs, settings, formula = FORMULAS[name]
    (found,) = run(op, inputs, open_sizes=open_sizes, **settings)
    expected = formula(*inputs)
    if expected.dtype == np.uint8:
        assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_weights_of_few_bits_are_unpacked(bits: int) -> None:
    columns, k, block = 6, 40, 16
    packed, scales = bytes_(columns, 3, block * bits // 8), np.abs(floats(columns, 3))
    parts = [(packed >> at) & (2**bits - 1) for at in range(0, 8, bits)]
    w = np.stack(parts, -1).reshape(columns, 3, block).astype(np.float32) - 2 ** (bits - 1)
    w = (w * scales[:, :, None]).reshape(columns, -1)[:, :k]
    a = floats(2, 3, k)
    (found,) = run("MatMulNBits", [a, packed, scales], K=k, N=columns, bits=bits, block_size=block)
    np.testing.assert_allclose(found, a @ w.T, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("capacity", [4, 12])
def test_heads_share_a_cache_that_grows_or_has_room(capacity: int) -> None:
    past = 4
    q, k, v = floats(1, 1, 64), floats(1, 1, 32), floats(1, 1, 32)
    before = [floats(1, 2, capacity, 16) for _ in range(2)]
    found, keys, _ = run(
        "GroupQueryAttention",
        [q, k, v, *before, np.array([past], np.int32), np.array(past + 1, np.int32)],
        3,
        num_heads=4,
        kv_num_heads=2,
    )
    both = [np.concatenate([b[:, :, :past], heads(x, 2)], 2) for b, x in zip(before, (k, v), strict=True)]
    np.testing.assert_allclose(keys[:, :, : past + 1], both[0], rtol=1e-6)
    assert keys.shape[2] == max(capacity, past + 1)
    expected = attended(heads(q, 4), *(b.repeat(2, 1) for b in both))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_seed_of_a_node_gives_the_numbers_of_the_reference() -> None:
    from onnx.reference import ReferenceEvaluator

    nodes = [
        helper.make_node("RandomUniform", [], ["u"], seed=5.0, shape=[4], low=-1.0, high=2.0),
        helper.make_node("RandomNormal", [], ["n"], seed=6.0, shape=[5], mean=1.0, scale=0.5),
    ]
    outputs = [helper.make_tensor_value_info(name, 1, [None]) for name in "un"]
    model = helper.make_model(
        helper.make_graph(nodes, "g", [], outputs), opset_imports=[helper.make_opsetid("", 18)]
    )
    expected = ReferenceEvaluator(model).run(None, {})
    for found, wanted in zip(moka.onnx.load(model.SerializeToString()).run(), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_a_mask_without_dimensions_is_refused() -> None:
    with pytest.raises(ValueError, match="out of range for 0 dimensions"):
        run("Attention", [X, floats(8, 24), floats(24), np.array(1, np.int32)], num_heads=2)
