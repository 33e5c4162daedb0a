"""ai.onnx.ml: every operator on small inputs, against results that follow from its definition."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import moka.onnx
import numpy as np
import pytest
from onnx import TensorProto, helper

KINDS = {"O": TensorProto.STRING, "i": TensorProto.INT64, "f": TensorProto.FLOAT}
STRING, SCALAR = TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, [])
ROWS = np.array([[1.0, 2.0], [-3.0, 0.5]], np.float32)


def run(op: str, inputs: Any, outputs: int = 1, version: int = 3, **attributes: Any) -> list[Any]:
    names = [f"x{i}" for i in range(len(inputs))]
    kinds = [
        helper.make_tensor_value_info(name, KINDS[a.dtype.kind], list(a.shape))
        if isinstance(a, np.ndarray)
        else helper.make_value_info(name, a[0])
        for name, a in zip(names, inputs, strict=True)
    ]
    results = [helper.make_empty_tensor_value_info(f"y{i}") for i in range(outputs)]
    node = helper.make_node(op, names, [r.name for r in results], domain="ai.onnx.ml", **attributes)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", version)]
    model = helper.make_model(helper.make_graph([node], "g", kinds, results), opset_imports=opsets)
    values = [a if isinstance(a, np.ndarray) else a[1] for a in inputs]
    return moka.onnx.load(model.SerializeToString()).run(values)


def words(*items: str) -> np.ndarray:
    return np.array(items, dtype=object)


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "expected"),
    [
        ("ArrayFeatureExtractor", [ROWS, np.array([1])], {}, [[2.0], [0.5]]),
        ("Binarizer", [ROWS], {"threshold": 0.7}, [[1.0, 1.0], [0.0, 0.0]]),
        ("Scaler", [ROWS], {"offset": [1.0, 0.0], "scale": [2.0, 4.0]}, [[0.0, 8.0], [-8.0, 2.0]]),
        ("Normalizer", [ROWS], {"norm": "L1"}, [[1 / 3, 2 / 3], [-3 / 3.5, 0.5 / 3.5]]),
        ("Normalizer", [ROWS], {"norm": "MAX"}, [[0.5, 1.0], [-6.0, 1.0]]),
        ("FeatureVectorizer", [ROWS, ROWS[:, :1]], {"inputdimensions": [2, 1]}, [[1, 2, 1], [-3, 0.5, -3]]),
        (
            "Imputer",
            [ROWS],
            {"imputed_value_floats": [7.0, 8.0], "replaced_value_float": 2.0},
            [[1, 8], [-3, 0.5]],
        ),
        ("LinearRegressor", [ROWS], {"coefficients": [1.0, 10.0], "intercepts": [0.5]}, [[21.5], [2.5]]),
        ("OneHotEncoder", [np.array([3, 5, 4])], {"cats_int64s": [4, 3]}, [[0, 1], [0, 0], [1, 0]]),
        ("OneHotEncoder", [words("b", "z")], {"cats_strings": ["a", "b"]}, [[0, 1], [0, 0]]),
        ("CategoryMapper", [words("b", "z")], {"cats_strings": ["a", "b"], "cats_int64s": [5, 6]}, [6, -1]),
        (
            "CategoryMapper",
            [np.array([6, 1])],
            {"cats_strings": ["a", "b"], "cats_int64s": [5, 6]},
            ["b", "_Unused"],
        ),
        (
            "LabelEncoder",
            [words("b", "z")],
            {"keys_strings": ["b"], "values_floats": [1.5], "default_float": 2.5},
            [1.5, 2.5],
        ),
        (
            "SVMRegressor",
            [ROWS],
            {
                "coefficients": [1.0, -1.0],
                "n_supports": 2,
                "rho": [0.25],
                "support_vectors": [1.0, 0.0, 0.0, 1.0],
            },
            [[-0.75], [-3.25]],
        ),
    ],
)
def test_one_operator(op: str, inputs: Any, attributes: Any, expected: Any) -> None:
    (got,) = run(op, inputs, **attributes)
    if isinstance(np.ravel(expected)[0], str):
        assert got.tolist() == expected
    else:
        np.testing.assert_allclose(got, np.array(expected), rtol=1e-6)


def test_a_linear_classifier_names_classes() -> None:
    labels, scores = run(
        "LinearClassifier",
        [ROWS],
        2,
        coefficients=[1.0, 0.0, 0.0, 1.0, -1.0, 0.0],
        intercepts=[0.0, 0.0, 0.0],
        classlabels_strings=["a", "b", "c"],
        post_transform="SOFTMAX",
    )
    raw = np.array([[1, 2, -1], [-3, 0.5, 3]])
    assert labels.tolist() == ["b", "c"]
    np.testing.assert_allclose(scores, np.exp(raw) / np.exp(raw).sum(1, keepdims=True), rtol=1e-5)


TREE = {
    "nodes_treeids": [0, 0, 0],
    "nodes_nodeids": [0, 1, 2],
    "nodes_featureids": [0, 0, 0],
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
    "nodes_values": [0.0, 0.0, 0.0],
    "nodes_truenodeids": [1, 0, 0],
    "nodes_falsenodeids": [2, 0, 0],
    "nodes_missing_value_tracks_true": [1, 0, 0],
}


def test_trees_vote() -> None:
    votes = {"treeids": [0, 0], "nodeids": [1, 2], "ids": [0, 0], "weights": [2.0, 5.0]}
    rows = np.array([[1.0], [-1.0], [np.nan]], np.float32)
    target = {f"target_{k}": v for k, v in votes.items()}
    (got,) = run("TreeEnsembleRegressor", [rows], n_targets=1, base_values=[0.5], **TREE, **target)
    assert got.tolist() == [[5.5], [2.5], [2.5]]
    classes = {f"class_{k}": v for k, v in (votes | {"ids": [0, 1], "weights": [1.0, 1.0]}).items()}
    labels, scores = run("TreeEnsembleClassifier", [rows], 2, classlabels_int64s=[7, 9], **TREE, **classes)
    assert labels.tolist() == [9, 7, 7]
    assert scores.tolist() == [[0, 1], [1, 0], [1, 0]]


@pytest.mark.parametrize(
    "broken",
    [{"nodes_truenodeids": [9, 0, 0]}, {"nodes_values": [0.0]}, {"nodes_modes": ["NO", "LEAF", "LEAF"]}],
)
def test_broken_trees_are_refused(broken: Any) -> None:
    votes = {"target_treeids": [0], "target_nodeids": [1], "target_ids": [0], "target_weights": [2.0]}
    with pytest.raises(Exception, match=r"node|length|mode"):
        run("TreeEnsembleRegressor", [ROWS], n_targets=1, **(TREE | broken), **votes)


def test_a_tree_that_goes_in_a_circle_is_refused() -> None:
    votes = {"target_treeids": [0], "target_nodeids": [1], "target_ids": [0], "target_weights": [2.0]}
    with pytest.raises(ValueError, match="circle"):
        run(
            "TreeEnsembleRegressor",
            [ROWS],
            n_targets=1,
            **(TREE | {"nodes_truenodeids": [0, 0, 0], "nodes_falsenodeids": [0, 0, 0]}),
            **votes,
        )


def test_support_vectors_vote_for_classes() -> None:
    labels, scores = run(
        "SVMClassifier",
        [ROWS],
        2,
        classlabels_ints=[0, 1],
        coefficients=[1.0, -1.0],
        kernel_type="LINEAR",
        rho=[0.0],
        support_vectors=[1.0, 0.0, 0.0, 1.0],
        vectors_per_class=[1, 1],
    )
    assert labels.tolist() == [1, 1]  # 1 - 2 and -3 - 0.5 are below zero
    np.testing.assert_allclose(scores, [[1.0, -1.0], [3.5, -3.5]])


def test_maps_come_out_and_go_in() -> None:
    (maps,) = run("ZipMap", [ROWS], classlabels_strings=["a", "b"])
    assert maps == [{"a": 1.0, "b": 2.0}, {"a": -3.0, "b": 0.5}]
    kind = helper.make_map_type_proto(STRING, SCALAR)
    (got,) = run("DictVectorizer", [(kind, {"b": 3.0, "a": 1.5})], string_vocabulary=["a", "c", "b"])
    assert got.tolist() == [[1.5, 0.0, 3.0]]
    kind = helper.make_map_type_proto(TensorProto.INT64, SCALAR)
    numbers = {5: 0.5, 1: 1.5}
    assert run("CastMap", [(kind, numbers)])[0].tolist() == [[1.5, 0.5]]
    assert run("CastMap", [(kind, numbers)], map_form="SPARSE", max_map=4)[0].tolist() == [[0, 1.5, 0, 0]]


def test_a_one_hot_encoder_may_refuse_unknown_categories() -> None:
    known = {"cats_int64s": [1, 5, 7], "zeros": 0}
    (found,) = run("OneHotEncoder", [np.array([[5, 7]])], **known)
    np.testing.assert_array_equal(found, [[[0, 1, 0], [0, 0, 1]]])
    with pytest.raises(ValueError, match="a category is unknown"):
        run("OneHotEncoder", [np.array([[5, 6]])], **known)
