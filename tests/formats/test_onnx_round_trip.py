"""Every operator by its samples: traced, written as ONNX, checked, read back and compared.

`python tests/formats/test_onnx_round_trip.py OPSET [RUNTIME]` lists what fails at an opset; with the name of
a module that has onnxruntime's InferenceSession the files run there too.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import moka.onnx
import numpy as np
import onnx
import pytest

import moka
from moka import _C, jit

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "ops"))
from table import TABLE, make_case, outputs

# Operators all of whose samples are written and read back, at least so many of the table.
FLOORS = {9: 405, 13: 430, 18: 445, 24: 445}


def flat(case: Any) -> tuple[list[moka.Tensor], Any]:
    """The tensors of a case, and the case as a function of them."""
    leaves: list[moka.Tensor] = []

    def strip(value: Any) -> tuple[str, Any]:
        if isinstance(value, moka.Tensor):
            leaves.append(value)
            return "tensor", len(leaves) - 1
        if isinstance(value, (list, tuple)) and any(isinstance(v, moka.Tensor) for v in value):
            return "list", [strip(v) for v in value]
        return "constant", value

    def build(form: tuple[str, Any], tensors: Any) -> Any:
        kind, value = form
        if kind == "list":
            return [build(v, tensors) for v in value]
        return tensors[value] if kind == "tensor" else value

    args = [strip(a) for a in case.args]
    kwargs = {name: strip(value) for name, value in case.kwargs.items()}

    def program(*tensors: moka.Tensor) -> tuple[moka.Tensor, ...]:
        given = {name: build(form, tensors) for name, form in kwargs.items()}
        return tuple(outputs(_C._operators[case.op["base"]](*[build(a, tensors) for a in args], **given)))

    return leaves, program


def same(found: Any, wanted: np.ndarray) -> bool:
    found = np.asarray(found)
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return False
    if wanted.dtype.kind not in "fc":
        return bool((found == wanted).all())
    scale = max(1.0, float(np.abs(np.where(np.isfinite(wanted), wanted, 0)).max(initial=0)))
    return bool(np.isclose(found, wanted, rtol=1e-4, atol=1e-4 * scale, equal_nan=True).all())


def parts(value: moka.Tensor) -> moka.Tensor:
    """Complex tensors as files have them."""
    return moka.view_as_real(value) if value.is_complex() else value


def trip(op: dict, index: int, opset: int, runtime: Any = None) -> str:
    """What goes wrong with one sample; "" when nothing does, "-" where eager calls refuse it too or where
    it is empty and not written."""
    leaves, program = flat(make_case(op, index, "float32"))
    try:
        wanted = [moka.onnx._to_array(parts(value).detach().clone()) for value in program(*leaves)]
    except (RuntimeError, TypeError, ValueError):
        return "-"
    try:
        traced = jit.trace(program, tuple(leaves), check_trace=False, dynamic={})
        data = moka.onnx.export(traced, opset_version=opset)
    except (RuntimeError, NotImplementedError, ValueError, TypeError, IndexError) as error:
        return str(error) if all(leaf.numel() for leaf in leaves) else "-"
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    feed = [parts(leaf).numpy() for leaf in leaves]
    results = [moka.onnx.load(data).run(feed)]
    if runtime is not None:
        names = [value.name for value in model.graph.input]
        session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
        results.append(session.run(None, dict(zip(names, feed, strict=True))))
    for found in results:  # behind the results stand inputs that the program writes to
        assert len(found) >= len(wanted)
        if not op["random"] and not all(same(x, y) for x, y in zip(found, wanted, strict=False)):
            return "the results differ"
    return ""


def failing(opset: int, runtime: Any = None) -> tuple[int, dict[str, str]]:
    """How many operators make the trip with all their samples, and what is wrong with the others."""
    good, bad = 0, {}
    for name, op in TABLE.items():
        wrong = ""
        for index in range(len(op["samples"])):
            try:
                wrong = wrong or trip(op, index, opset, runtime).strip("-")
            except Exception as error:  # whatever a checker or a runtime raises
                wrong = f"{type(error).__name__}: {error}"
        if wrong:
            bad[name] = wrong
        elif op["samples"]:
            good += 1
    return good, bad


@pytest.mark.parametrize("opset", FLOORS)
def test_operators_make_the_trip(opset: int) -> None:
    good, bad = failing(opset)
    assert good >= FLOORS[opset], "\n".join(f"{name}: {wrong[:120]}" for name, wrong in bad.items())


COMMON = """
abs add addmm amax any argmax argsort avg_pool2d batch_norm bmm cat chunk clamp conv1d conv2d
conv_transpose2d cross_entropy cumsum div.mode einsum embedding exp expand flatten flip floor_divide
gather gelu group_norm hardswish index_add index_select layer_norm leaky_relu linear log_softmax
logsumexp masked_fill matmul max.dim max_pool2d mean mse_loss nll_loss one_hot pad_constant permute
pixel_shuffle pow prelu relu6 remainder repeat reshape roll rsqrt scatter scatter_add select sigmoid
silu slice softmax softplus sort split stack std sum tanh topk transpose tril unfold unsqueeze
var_mean where
"""


@pytest.mark.parametrize("opset", [16, 18, 23])
def test_common_operators_make_the_trip(opset: int) -> None:
    for name in COMMON.split():
        for index in range(len(TABLE[name]["samples"])):
            assert trip(TABLE[name], index, opset) in ("", "-"), f"{name}, sample {index}"


if __name__ == "__main__":
    count, wrong = failing(
        int(sys.argv[1]), importlib.import_module(sys.argv[2]) if len(sys.argv) > 2 else None
    )
    for key, text in wrong.items():
        print(f"{key}: {text[:200]!r}")
    print(f"{count} of {len(TABLE)} operators")


COUNTS = moka.tensor([-1, 0, 3, 62, 63, 64, 100])
CORNERS = {
    "shifts by counts that nothing survives": (
        lambda x, n: (x << n, x >> n, x >> 2),
        (moka.tensor([-8, 8, -1, 5, -5, 7, -9]), COUNTS),
    ),
    "shifts of bytes": (
        lambda x, n: (x << n, x >> n),
        (moka.arange(250, 257).to(moka.uint8), COUNTS.to(moka.uint8)),
    ),
    "a histogram of equal values": (lambda x: moka.histc(x, 4), (moka.full((5,), 2.5),)),
    "a diagonal of nothing": (lambda x: moka.diag_embed(x, -1), (moka.zeros(0),)),
    "places among the values of nothing": (
        lambda x: moka.unique(x, return_inverse=True)[1],
        (moka.zeros(2, 4, 0),),
    ),
    "a mask that is filled by a number": (
        lambda x, m: x.masked_fill(m, 1),
        (moka.zeros(2) > 0, moka.ones(2) > 0),
    ),
    "a sum of exponentials of truth": (lambda x: moka.logsumexp(x, [0]), (moka.ones(2, 3) > 0,)),
}


@pytest.mark.parametrize("name", CORNERS)
def test_corners(name: str) -> None:
    program, inputs = CORNERS[name]
    traced = jit.trace(program, inputs, check_trace=False)
    wanted = outputs(program(*inputs))
    again = _C.Executable(_C._OnnxSource(_C._onnx_save(traced.graph, 18, {}), "x").read())
    for found in map(outputs, (traced(*inputs), again.run(*inputs))):
        assert [(v.dtype, v.tolist()) for v in found] == [(v.dtype, v.tolist()) for v in wanted]
