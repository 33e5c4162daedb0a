"""ONNX nodes that are read as single operators, and their other forms."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import moka.onnx
import numpy as np
import pytest
from onnx import TensorProto, helper
from test_onnx_forms import F, I, check, floats, model_of


@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("scale", [(3, 4), (4,), (1,)])
def test_layer_normalization(axis: int, scale: tuple[int, ...]) -> None:
    if axis == -1 and len(scale) == 2:
        scale = (4,)
    layer = helper.make_node("LayerNormalization", ["x", "s", "b"], ["y"], axis=axis, epsilon=1e-3)
    constants = {"s": floats(*scale), "b": floats(*scale)}
    for sizes in (["n", 3, 4], ["n", "h", "w"]):
        model = model_of([layer], [("x", F, sizes)], ["y"], constants, opset=17)
        check(model, {"x": floats(2, 3, 4)}, {"x": floats(5, 3, 4)})
    loaded = moka.onnx.load(model_of([layer], [("x", F, ["n", 3, 4])], ["y"], constants).SerializeToString())
    assert ("layer_norm" in str(loaded.graph)) == (scale == ((4,) if axis == -1 else (3, 4)))


@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 1, 3)])
def test_rows_of_a_table(shape: tuple[int, ...]) -> None:
    rows = helper.make_node("Gather", ["w", "i"], ["y"], axis=0)
    sizes = [f"d{k}" for k in range(len(shape))]
    model = model_of([rows], [("i", I, sizes)], ["y"], {"w": floats(7, 4)})
    places = np.random.default_rng(5).integers(-7, 7, shape)
    check(model, {"i": places})
    with pytest.raises((IndexError, RuntimeError, ValueError)):
        moka.onnx.load(model.SerializeToString()).run([np.full(shape, 7)])


def wide_weights(before: int, after: int, inside: bool) -> np.ndarray:
    """What each place of a shrunk row takes of the row: a triangle as wide as a step, whose part beyond the
    border is the border's or, with `inside`, left out."""
    scale = after / before
    places = (np.arange(after)[:, None] + 0.5) / scale - 0.5
    beyond = np.arange(-before, 2 * before)
    weights = np.maximum(0, 1 - np.abs(beyond - places) * scale)
    if inside:
        weights[:, (beyond < 0) | (beyond >= before)] = 0
    weights /= weights.sum(1, keepdims=True)
    out = np.zeros((after, before))
    np.add.at(out.T, np.clip(beyond, 0, before - 1), weights.T)
    return out


@pytest.mark.parametrize("after", [8, 7, 5, 10, 13])
@pytest.mark.parametrize("inside", [False, True])
def test_shrinking_with_antialias(after: int, inside: bool) -> None:
    """As wide kernels of ours, which end at the border, and as those that repeat it."""
    settings = {"mode": "linear", "antialias": 1, "exclude_outside": int(inside)}
    nodes = [helper.make_node("Resize", ["x", "", "", "s"], ["y"], **settings)]
    sizes = helper.make_tensor("s", TensorProto.INT64, [4], [1, 1, 10, after])
    graph = helper.make_graph(
        nodes,
        "resize",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 10, 10])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [sizes],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    (y,) = moka.onnx.load(model).run([np.eye(10, dtype=np.float32)[None, None]])
    if after <= 10:
        assert np.allclose(y[0, 0].T, wide_weights(10, after, inside), atol=1e-6)
    assert np.allclose(y.sum(-2), 1, atol=1e-5)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("place", ["asymmetric", "half_pixel"])
def test_sizes_and_places_of_resize_are_those_of_float32(mode: str, place: str) -> None:
    """9 * 1.4444444 is 13 and 12 / 2.4 is 5 there, not a little less."""
    settings = {"mode": mode, "coordinate_transformation_mode": place, "nearest_mode": "floor"}
    resize = helper.make_node("Resize", ["x", "", "s"], ["y"], **settings)
    scales = np.array([1, 1, 13 / 9, 24 / 10], np.float32)
    for sizes in ([1, 2, 9, 10], ["n", "c", "h", "w"]):
        model = model_of([resize], [("x", F, sizes)], ["y"], {"s": scales}, opset=17)
        x = floats(1, 2, 9, 10)
        (found,) = moka.onnx.load(model.SerializeToString()).run([x])
        assert found.shape == (1, 2, 13, 24)
        if mode == "nearest" and place == "asymmetric":
            rows, columns = (
                np.floor(np.arange(n, dtype=np.float32) / scale).astype(int)
                for n, scale in zip((13, 24), scales[2:], strict=True)
            )
            assert (found == x[:, :, rows][..., columns]).all()


@pytest.mark.parametrize("time", [0, 1])
@pytest.mark.parametrize("known", [False, True])
def test_sequences_of_any_rank_are_reversed(time: int, known: bool) -> None:
    node = helper.make_node("ReverseSequence", ["x", "n"], ["y"], time_axis=time, batch_axis=1 - time)
    inputs = [("x", F, ["a", "b", "c", "d"] if known else None), ("n", I, ["k"])]
    model = model_of([node], inputs, ["y"], {}, opset=17)
    x = floats(4, 4, 2, 3)
    lengths = np.array([1, 4, 3, 2])
    wanted = (x if time == 1 else x.swapaxes(0, 1)).copy()
    for row, length in zip(wanted, lengths, strict=True):
        row[:length] = row[:length][::-1]
    (found,) = moka.onnx.load(model.SerializeToString()).run([x, lengths])
    assert (found == (wanted if time == 1 else wanted.swapaxes(0, 1))).all()


@pytest.mark.parametrize(
    ("op", "settings"),
    [
        ("LpPool", {"kernel_shape": [20, 3], "p": 3}),
        ("LpPool", {"kernel_shape": [5, 6], "p": 2, "strides": [2, 3], "pads": [1, 2, 3, 4]}),
        ("LpPool", {"kernel_shape": [5, 3], "p": 1, "dilations": [2, 3]}),
        ("AveragePool", {"kernel_shape": [20, 3], "auto_pad": "SAME_UPPER"}),
        ("AveragePool", {"kernel_shape": [4, 3], "pads": [3, 0, 1, 2], "strides": [3, 2]}),
    ],
)
def test_pools_that_are_sums_over_windows(op: str, settings: dict) -> None:
    node = helper.make_node(op, ["x"], ["y"], **settings)
    for sizes in ([1, 3, 31, 29], ["n", 3, "h", "w"]):
        check(model_of([node], [("x", F, sizes)], ["y"], {}, opset=22), {"x": floats(1, 3, 31, 29)})


def test_a_window_as_wide_as_a_number_makes_no_long_graph() -> None:
    node = helper.make_node("LpPool", ["x"], ["y"], kernel_shape=[1 << 20], auto_pad="SAME_LOWER")
    model = model_of([node], [("x", F, [1, 1, 8])], ["y"], {}, opset=22)
    loaded = moka.onnx.load(model.SerializeToString())
    assert len(str(loaded.graph)) < 5000
    x = floats(1, 1, 8)
    np.testing.assert_allclose(loaded.run([x])[0], np.full((1, 1, 8), np.linalg.norm(x)), rtol=1e-5)


@pytest.mark.parametrize("pads", [[0, 0, 1, 1], [1, 0, 0, 2], [2, 2, 2, 2]])
@pytest.mark.parametrize("filters", [4, 16])
def test_pads_before_convolutions_and_pools(pads: list[int], filters: int) -> None:
    """As in files of TensorFlow: padding behind the picture alone, channels last around the layers."""
    around = np.array([0, 0, *pads[:2], 0, 0, *pads[2:]])
    nodes = [
        helper.make_node("Transpose", ["x"], ["x_"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["x_", "w", "b"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Transpose", ["a"], ["a_"], perm=[0, 2, 3, 1]),
        helper.make_node("Relu", ["a_"], ["r"]),
        helper.make_node("Mul", ["r", "m"], ["s"]),
        helper.make_node("Transpose", ["s"], ["s_"], perm=[0, 3, 1, 2]),
        helper.make_node("Pad", ["s_", "p"], ["q"]),
        helper.make_node("Conv", ["q", "d"], ["c"], strides=[2, 2], group=filters),
        helper.make_node("Pad", ["c", "p", "low"], ["e"]),
        helper.make_node("MaxPool", ["e"], ["f"], kernel_shape=[3, 2], strides=[2, 1]),
        helper.make_node("Transpose", ["f"], ["y"], perm=[0, 2, 3, 1]),
    ]
    constants = {
        "w": floats(filters, 3, 3, 3),
        "b": floats(filters),
        "m": floats(filters),
        "d": floats(filters, 1, 3, 3),
        "p": around,
        "low": np.array(-np.inf, np.float32),
    }
    model = model_of(nodes, [("x", F, ["n", 17, 15, 3])], ["y"], constants, opset=17)
    check(model, {"x": floats(2, 17, 15, 3)}, {"x": floats(1, 17, 15, 3)})


def trial(op: str, inputs: list[str], feed: list[np.ndarray], sizes: list[object], **settings: object) -> Any:
    """What an operator gives that ONNX's package does not know any more."""
    node = helper.make_node(op, inputs, ["y"], **settings)
    kind = I if feed and feed[0].dtype == np.int64 else F
    model = model_of([node], [(name, kind, sizes) for name in inputs], ["y"], {}, opset=7)
    return moka.onnx.load(model.SerializeToString()).run(feed)[0]


@pytest.mark.parametrize("known", [False, True])
def test_operators_that_onnx_took_back(known: bool) -> None:
    sizes = [2, 3, 8, 9] if known else ["n", 3, "h", "w"]
    x = floats(2, 3, 8, 9)
    places = np.array([4, 2])
    settings = {"input_as_shape": 1, "extra_shape": [3], "value": 2.0, "dtype": 7}
    filled = trial("ConstantFill", ["s"], [places], [2], **settings)
    assert filled.dtype == np.int64 and filled.shape == (4, 2, 3) and (filled == 2).all()
    assert (trial("ConstantFill", ["x"], [x], sizes, value=0.5) == np.full_like(x, 0.5)).all()
    assert trial("ConstantFill", [], [], [], shape=[2, 1]).tolist() == [[0.0], [0.0]]
    given = trial("GivenTensorFill", [], [], [], shape=[2, 2], values=[1.0, 2.0, 3.0, 4.0])
    assert given.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    bias = [1.0, 2.0, 3.0]
    wanted = x * np.float32(0.5) + np.array(bias, np.float32)[:, None, None]
    np.testing.assert_allclose(trial("ImageScaler", ["x"], [x], sizes, scale=0.5, bias=bias), wanted)
    assert (trial("Scale", ["x"], [x], sizes, scale=2.0) == 2 * x).all()
    assert (trial("Crop", ["x"], [x], sizes, border=[1, 2, 3, 1]) == x[:, :, 2:7, 1:6]).all()
    cut = trial("Crop", ["x"], [x], sizes, border=[1, 2, 0, 0], scale=[4, 5])
    assert (cut == x[:, :, 2:6, 1:6]).all()
    soft = trial("ParametricSoftplus", ["x"], [x], sizes, alpha=2.0, beta=0.5)
    np.testing.assert_allclose(soft, 2 * np.log1p(np.exp(x / 2)), rtol=1e-5)


@pytest.mark.parametrize("producer", ["pytorch", "backend-test"])
def test_corners_are_aligned_over_whole_lengths_in_files_of_frameworks(producer: str) -> None:
    settings = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
    resize = helper.make_node("Resize", ["x", "", "s"], ["y"], **settings)
    x = floats(1, 1, 2, 7)
    for sizes in ([1, 1, 2, 7], ["n", 1, "h", "w"]):
        scales = np.array([1, 1, 1, 1.7], np.float32)
        model = model_of([resize], [("x", F, sizes)], ["y"], {"s": scales}, opset=18)
        model.producer_name = producer
        (found,) = moka.onnx.load(model.SerializeToString()).run([x])
        places = np.arange(11) * 6 / ((11 if producer == "pytorch" else 7 * 1.7) - 1)
        wanted = np.stack([np.interp(places, np.arange(7), row) for row in x[0, 0]])[None, None]
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_pictures_of_open_sizes_are_resampled_by_one_operator(mode: str) -> None:
    settings = {"mode": mode, "nearest_mode": "floor"}
    settings["coordinate_transformation_mode"] = "asymmetric" if mode == "nearest" else "pytorch_half_pixel"
    resize = helper.make_node("Resize", ["x", "", "s"], ["y"], **settings)
    scales = np.array([1, 1, 2, 3], np.float32)
    model = model_of([resize], [("x", F, ["n", 2, "h", "w"])], ["y"], {"s": scales}, opset=18)
    assert "resample" in str(moka.onnx.load(model.SerializeToString()).graph)
    check(model, {"x": floats(2, 2, 3, 4)}, {"x": floats(1, 2, 5, 3)})
    # Sizes of which batch and channels are those of the picture.
    nodes = [
        helper.make_node("Shape", ["x"], ["k"], start=0, end=2),
        helper.make_node("Concat", ["k", "s"], ["t"], axis=0),
        helper.make_node("Resize", ["x", "", "", "t"], ["y"], **settings),
    ]
    model = model_of(nodes, [("x", F, ["n", 2, "h", "w"])], ["y"], {"s": np.array([8, 9])}, opset=18)
    assert "resample" in str(moka.onnx.load(model.SerializeToString()).graph)
    check(model, {"x": floats(2, 2, 3, 4)}, {"x": floats(1, 2, 5, 3)})


@pytest.mark.parametrize("usual", [True, False])  # one operator, or a loop over the steps
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_sequences_of_different_lengths_run_as_each_alone(kind: str, direction: str, usual: bool) -> None:
    ways, gates = (2 if direction == "bidirectional" else 1), {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]
    constants = {
        "w": floats(ways, gates * 4, 3),
        "r": floats(ways, gates * 4, 4),
        "b": floats(ways, gates * 8),
    }
    states = ["h", "c"] if kind == "LSTM" else ["h"]
    settings: dict[str, Any] = {"direction": direction, "hidden_size": 4}
    if kind == "GRU":
        settings["linear_before_reset"] = 1
    if not usual:
        settings["clip"] = 100.0

    def model(*names: str) -> Any:
        node = helper.make_node(
            kind, ["x", "w", "r", "b", *names, *states], ["y", *(f"{s}n" for s in states)], **settings
        )
        inputs = [("x", F, ["t", "b", 3]), *((s, F, [ways, "b", 4]) for s in states)]
        inputs += [("n", TensorProto.INT32, ["b"])] if names[0] else []
        whole = model_of([node], inputs, list(node.output), constants, opset=14)
        return moka.onnx.load(whole.SerializeToString())

    together, alone = model("n"), model("")
    for steps, lengths in ((6, [2, 6, 4]), (5, [5, 5]), (4, [1]), (4, [0, 3, 0]), (3, [2, 1, 2, 1, 2])):
        feed = {"x": floats(steps, len(lengths), 3)}
        feed |= {s: floats(ways, len(lengths), 4) for s in states}
        y, *last = together.run(feed | {"n": np.array(lengths, np.int32)})
        for i, n in enumerate(lengths):
            assert (y[n:, :, i] == 0).all()
            if n == 0:  # as onnxruntime has it
                assert all((state[:, i] == 0).all() for state in last)
                continue
            one = {name: value[:, i : i + 1] for name, value in feed.items()}
            wanted, *ends = alone.run(one | {"x": feed["x"][:n, i : i + 1]})
            np.testing.assert_allclose(y[:n, :, i : i + 1], wanted, atol=1e-6)
            for state, end in zip(last, ends, strict=True):
                np.testing.assert_allclose(state[:, i : i + 1], end, atol=1e-6)


@pytest.mark.parametrize("sizes", [[0], [1], [5]])
def test_constants_are_split_into_sequences(sizes: list[int]) -> None:
    nodes = [
        helper.make_node("SplitToSequence", ["c"], ["s"], keepdims=0),
        helper.make_node("SequenceLength", ["s"], ["n"]),
        helper.make_node("Identity", ["s"], ["y"]),
    ]
    constant = np.arange(sizes[0], dtype=np.float32)
    model = model_of(nodes, [("x", F, [1])], ["n", "y"], {"c": constant}, opset=17)
    n, y = moka.onnx.load(model.SerializeToString()).run([floats(1)])
    assert n == sizes[0] and [float(v) for v in y] == constant.tolist()
