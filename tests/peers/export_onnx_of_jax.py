"""Programs of JAX as ONNX files, by jax2tf and tf2onnx.

python export_onnx_of_jax.py FOLDER [NAME ...]

Needs jax and jaxlib 0.4.30 (later ones no longer write graphs that tf2onnx reads), tensorflow-cpu and tf2onnx
in one Python. Writes NAME.OPSET.onnx, of opset 17 with an open first size, and the inputs NAME.npz, as
compare_onnx_with_onnxruntime.py wants them; says what a converter refused.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import jax
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from jax import lax
from jax import numpy as jnp
from jax.experimental import jax2tf

dice = np.random.default_rng(0)
PICTURES = ("NHWC", "HWIO", "NHWC")


def real(*shape: int) -> np.ndarray:
    return dice.standard_normal(shape).astype(np.float32)


up, bias, down = real(32, 64) * 0.2, real(64) * 0.1, real(64, 10) * 0.2
filters = [real(3, 3, 3, 16) * 0.2, real(3, 3, 16, 32) * 0.1, real(3, 3, 1, 6), real(3, 3, 3, 5)]
query, key, value, out = (real(32, 32) * 0.2 for _ in range(4))
into, again = real(8, 16) * 0.3, real(16, 16) * 0.3


def perceptron(x: Any) -> Any:
    return jax.nn.softmax(jax.nn.gelu(x @ up + bias) @ down)


def convolutions(x: Any) -> Any:
    y = jax.nn.relu(lax.conv_general_dilated(x, filters[0], (1, 1), "SAME", dimension_numbers=PICTURES))
    y = lax.reduce_window(y, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    y = lax.conv_general_dilated(y, filters[1], (2, 2), "SAME", dimension_numbers=PICTURES)
    return jnp.mean(jax.nn.silu(y), axis=(1, 2))


def depthwise(x: Any) -> Any:
    return lax.conv_general_dilated(
        x, filters[2], (1, 1), "SAME", dimension_numbers=PICTURES, feature_group_count=3
    )


def attention(x: Any) -> Any:
    batch, length, width = x.shape

    def heads(weight: Any) -> Any:
        return (x @ weight).reshape(batch, length, 4, 8).transpose(0, 2, 1, 3)

    scores = jnp.einsum("bhqd,bhkd->bhqk", heads(query), heads(key)) / np.sqrt(8)
    scores = jnp.where(jnp.tril(jnp.ones((length, length), bool)), scores, -1e9)
    mixed = jnp.einsum("bhqk,bhkd->bqhd", jax.nn.softmax(scores, -1), heads(value))
    y = x + mixed.reshape(batch, length, width) @ out
    return (y - y.mean(-1, keepdims=True)) / jnp.sqrt(y.var(-1, keepdims=True) + 1e-5)


def recurrent(x: Any) -> Any:
    def step(state: Any, now: Any) -> Any:
        state = jnp.tanh(now @ into + state @ again)
        return state, state

    return lax.scan(step, jnp.zeros((x.shape[1], 16)), x)


def loop(x: Any) -> Any:
    return lax.while_loop(lambda s: s[0] < 5, lambda s: (s[0] + 1, jnp.sin(s[1]) + s[1] * 0.5), (0, x))[1]


def branches(x: Any) -> Any:
    return lax.cond(x.sum() > 0, lambda v: v * 2, lambda v: v - 1, x)


def gradient(x: Any) -> Any:
    return jax.grad(lambda v: jnp.sum(perceptron(v)[:, 0] ** 2))(x)


def parts(x: Any) -> Any:
    return (
        lax.dynamic_slice(x, (1, 2), (3, 4)),
        lax.dynamic_update_slice(x, jnp.ones((2, 2)), (1, 1)),
        jnp.pad(x, ((1, 2), (0, 1))),
        jnp.pad(x, 1, mode="reflect"),
        jnp.roll(x, 2, 1),
        jnp.flip(x, 0),
    )


def sums(x: Any) -> Any:
    return (
        jnp.prod(x, 0),
        jnp.any(x > 1, -1),
        jnp.argmin(x, 0),
        jnp.linalg.norm(x, axis=-1),
        jax.nn.logsumexp(x, -1),
        jax.ops.segment_sum(x, jnp.array([0, 1, 0, 2, 1, 0]), num_segments=3),
        lax.associative_scan(jnp.maximum, x),
        jnp.einsum("ij,kj->ik", x, x),
    )


def integers(x: Any) -> Any:
    i = (x * 100).astype(jnp.int32)
    return i & 7, i | 8, i ^ 3, i << 2, jnp.abs(i) >> 1, jnp.clip(i, -5, 5)


def pictures(x: Any) -> Any:
    return (
        jax.image.resize(x, (*x.shape[:1], 12, 12, 3), "bilinear"),
        jax.image.resize(x, (*x.shape[:1], 12, 12, 3), "nearest"),
        lax.conv_transpose(x, filters[3], (2, 2), "SAME", dimension_numbers=PICTURES),
        lax.reduce_window(x, 0.0, lax.add, (1, 3, 3, 1), (1, 2, 2, 1), "SAME"),
    )


PROGRAMS: dict[str, tuple[Callable[[Any], Any], np.ndarray]] = {
    "attention": (attention, real(2, 6, 32)),
    "branches": (branches, real(3, 4)),
    "convolutions": (convolutions, real(2, 16, 16, 3)),
    "depthwise": (depthwise, real(1, 8, 8, 3)),
    "gradient": (gradient, real(4, 32)),
    "integers": (integers, real(4, 6)),
    "loop": (loop, real(3, 4)),
    "parts": (parts, real(6, 8)),
    "perceptron": (perceptron, real(4, 32)),
    "pictures": (pictures, real(1, 6, 6, 3)),
    "recurrent": (recurrent, real(7, 3, 8)),
    "spectrum": (lambda x: jnp.abs(jnp.fft.rfft(x)), real(4, 16)),
    "sums": (sums, real(6, 5)),
    "vectors": (jax.vmap(lambda v: jnp.dot(v, v) * v), real(4, 6)),
}


def skip_empty_attributes() -> None:
    """jax2tf writes attributes without elements, whose type tf2onnx cannot tell."""
    make = onnx.helper.make_attribute

    def made(name: str, given: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return make(name, given, *args, **kwargs)
        except ValueError:
            return make(name, [], *args, **{**kwargs, "attr_type": onnx.AttributeProto.INTS})

    onnx.helper.make_attribute = made


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    skip_empty_attributes()
    for name in sys.argv[2:] or PROGRAMS:
        function, x = PROGRAMS[name]
        np.savez(folder / f"jax_{name}.npz", x=x)
        for opset in (13, 17, 18):
            shapes = {"polymorphic_shapes": ["b, ..."]} if opset == 17 else {}
            size = [None, *x.shape[1:]] if opset == 17 else x.shape
            signature = [tf.TensorSpec(size, tf.float32, name="x")]
            try:
                graph = jax2tf.convert(function, native_serialization=False, enable_xla=False, **shapes)
                program = tf.function(graph, input_signature=signature, autograph=False)
                model, _ = tf2onnx.convert.from_function(program, input_signature=signature, opset=opset)
            except Exception as error:  # what a converter cannot say
                print(f"jax_{name}.{opset}: {type(error).__name__}: {str(error).splitlines()[0][:120]}")
                continue
            onnx.save(model, folder / f"jax_{name}.{opset}.onnx")
            print(f"jax_{name}.{opset}", flush=True)


if __name__ == "__main__":
    main()
