"""Models of TensorFlow, scikit-learn, LightGBM and XGBoost as ONNX files, by the usual converters.

python export_onnx_of_others.py FOLDER [NAME ...]

Needs tensorflow-cpu, tf2onnx, pandas, skl2onnx, lightgbm, xgboost and onnxmltools in one Python. Writes
NAME.VERSION.onnx and the inputs NAME.npz, as compare_onnx_with_onnxruntime.py wants them; says what a
converter refused.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import onnx

Made = Iterator[tuple[str, onnx.ModelProto, dict[str, np.ndarray]]]
dice = np.random.default_rng(0)


def real(*shape: int) -> np.ndarray:
    return dice.standard_normal(shape).astype(np.float32)


# ---- TensorFlow


def of_function(
    name: str,
    function: Callable[..., Any],
    inputs: dict[str, np.ndarray],
    shapes: dict[str, Any],
    *opsets: int,
) -> Made:
    import tensorflow as tf
    import tf2onnx

    for opset in opsets or (13, 17):
        signature = [
            tf.TensorSpec(shapes.get(key, value.shape), tf.as_dtype(value.dtype), name=key)
            for key, value in inputs.items()
        ]
        model, _ = tf2onnx.convert.from_function(
            tf.function(function, signature), input_signature=signature, opset=opset
        )
        yield f"{name}.tf{opset}", model, inputs


def applications() -> Made:
    import keras

    for name, size in {
        "MobileNet": 128,
        "MobileNetV2": 128,
        "MobileNetV3Small": 128,
        "EfficientNetB0": 128,
        "EfficientNetV2B0": 128,
        "NASNetMobile": 224,
        "DenseNet121": 128,
        "ResNet50V2": 128,
        "InceptionV3": 160,
        "Xception": 128,
        "ConvNeXtTiny": 128,
        "VGG16": 64,
    }.items():
        keras.utils.set_random_seed(0)
        model = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3))
        yield from of_function(
            f"keras_{name.lower()}",
            lambda x, model=model: model(x, training=False),
            {"x": real(2, size, size, 3)},
            {"x": (None, size, size, 3)},
            13 if len(name) % 2 else 18,
        )


def sequences() -> Made:
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    text = dice.integers(0, 100, (3, 11)).astype(np.int32)
    for kind in ("LSTM", "GRU", "SimpleRNN"):
        layer = getattr(layers, kind)
        model = keras.Sequential(
            [
                layers.Embedding(100, 16),
                layers.Bidirectional(layer(12, return_sequences=True)),
                layers.Bidirectional(layer(8)),
                layers.Dense(5, activation="softmax"),
            ]
        )
        model(text)
        yield from of_function(f"keras_bi{kind.lower()}", model, {"x": text}, {"x": (None, None)})
    model = keras.Sequential(
        [
            layers.Conv1D(16, 3, padding="causal", dilation_rate=2, activation="tanh"),
            layers.LayerNormalization(),
            layers.SeparableConv1D(24, 5, padding="same", strides=2),
            layers.GlobalMaxPooling1D(),
            layers.Dense(4, activation="swish"),
        ]
    )
    x = real(2, 20, 8)
    model(x)
    yield from of_function("keras_conv1d", model, {"x": x}, {"x": (None, None, 8)})
    inputs = keras.Input((None, 32))
    y = layers.MultiHeadAttention(4, 8)(inputs, inputs, use_causal_mask=True)
    y = layers.LayerNormalization()(inputs + y)
    model = keras.Model(inputs, layers.Dense(32, "silu")(y) + y)
    yield from of_function("keras_attention", model, {"x": real(2, 7, 32)}, {"x": (None, None, 32)})
    inputs = keras.Input((8, 8, 8, 3))
    y = layers.Conv3DTranspose(4, 3, strides=2, padding="same")(layers.Conv3D(6, 3, padding="same")(inputs))
    model = keras.Model(inputs, layers.AveragePooling3D(2)(layers.PReLU()(y)))
    yield from of_function("keras_conv3d", model, {"x": real(1, 8, 8, 8, 3)}, {})


def pictures() -> Made:
    import tensorflow as tf

    boxes = dice.random((1, 40, 4)).astype(np.float32)
    boxes[..., 2:] += boxes[..., :2]

    def detect(boxes: Any, scores: Any) -> Any:
        return tf.image.combined_non_max_suppression(
            boxes[:, :, None], scores, 5, 20, iou_threshold=0.4, score_threshold=0.1
        )

    def choose(boxes: Any, scores: Any) -> Any:
        kept = tf.image.non_max_suppression(boxes[0], scores[0, :, 0], 10, 0.5, 0.2)
        best, places = tf.math.top_k(scores[0, :, 1], 5)
        return tf.gather(boxes[0], kept), best, places

    given = {"boxes": boxes, "scores": dice.random((1, 40, 3)).astype(np.float32)}
    free = {"boxes": (1, None, 4), "scores": (1, None, 3)}
    yield from of_function("tf_detect", detect, given, {})
    yield from of_function("tf_choose", choose, given, free)

    for method in ("bilinear", "nearest", "bicubic", "area"):
        yield from of_function(
            f"tf_resize_{method}",
            lambda x, method=method: tf.image.resize(x, (13, 24), method=method),
            {"x": real(2, 9, 10, 3)},
            {},
        )
    yield from of_function(
        "tf_crop",
        lambda x, b: tf.image.crop_and_resize(x, b, tf.zeros(tf.shape(b)[:1], tf.int32), (5, 6)),
        {"x": real(1, 12, 14, 3), "b": boxes[0, :4] / 2},
        {"b": (None, 4)},
    )
    yield from of_function(
        "tf_spaces",
        lambda x: tf.nn.space_to_depth(tf.nn.depth_to_space(x, 2) * 2.0, 4),
        {"x": real(1, 4, 6, 8)},
        {"x": (None, None, None, 8)},
    )


def programs() -> Made:
    import tensorflow as tf

    def counted(x: Any, n: Any) -> Any:
        i, total = tf.constant(0), tf.zeros_like(x)
        parts = tf.TensorArray(tf.float32, size=n)
        while i < n:
            total = tf.where(total > 3.0, total * 0.5, total + x)
            parts = parts.write(i, tf.reduce_sum(total))
            i += 1
        return total, parts.stack()

    yield from of_function("tf_while", counted, {"x": real(5), "n": np.array(4, np.int32)}, {"x": (None,)})

    def branches(x: Any) -> Any:
        if tf.reduce_sum(x) > 0:
            y = tf.sort(x, direction="DESCENDING")
        elif tf.reduce_max(x) > 1:
            y = tf.reverse(x, [0])
        else:
            y = x * 2.0
        return y

    yield from of_function("tf_if", branches, {"x": real(6)}, {"x": (None,)})

    def indexed(x: Any, i: Any) -> Any:
        rows = tf.gather_nd(x, i[:, None])
        put = tf.tensor_scatter_nd_update(x, i[:, None], tf.zeros_like(rows))
        where = tf.where(x > 0.5)
        parts = tf.math.unsorted_segment_sum(x, tf.range(tf.shape(x)[0]) % 3, 3)
        return rows, put, where, parts, tf.boolean_mask(x, x[:, 0] > 0), tf.one_hot(i, 7)

    given = {"x": real(6, 4), "i": np.array([0, 3, 5], np.int32)}
    yield from of_function("tf_indexed", indexed, given, {"x": (None, 4), "i": (None,)})

    def numbers(x: Any) -> Any:
        return (
            tf.einsum("bij,bkj->bik", x, x),
            tf.math.cumsum(x, 1, reverse=True, exclusive=True),
            tf.math.erf(x) + tf.math.softplus(x) + tf.nn.elu(x) + tf.nn.selu(x),
            tf.math.floormod(x, 0.7),
            tf.linalg.band_part(x, 1, 0),
            tf.reduce_logsumexp(x, -1),
            tf.math.atan2(x, x + 1.0),
            tf.pad(x, [[0, 0], [1, 2], [2, 1]], "REFLECT"),
            tf.math.l2_normalize(x, -1),
            tf.roll(x, [1, -2], [1, 2]),
            tf.math.segment_max(x, [0, 0]),
            tf.clip_by_value(tf.math.rsqrt(tf.abs(x)), 0.1, 3.0),
        )

    yield from of_function("tf_numbers", numbers, {"x": real(2, 4, 4)}, {})


# ---- scikit-learn and trees


def flowers() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_iris

    x, y = load_iris(return_X_y=True)
    return x.astype(np.float32), y


def estimators() -> Made:
    import skl2onnx
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn import (
        cluster,
        decomposition,
        discriminant_analysis,
        ensemble,
        feature_selection,
        gaussian_process,
        kernel_approximation,
        linear_model,
        mixture,
        multiclass,
        multioutput,
        naive_bayes,
        neighbors,
        neural_network,
        preprocessing,
        svm,
        tree,
    )

    x, y = flowers()
    makers: list[Any] = [
        linear_model.LogisticRegression(max_iter=500),
        linear_model.LinearRegression(),
        linear_model.SGDClassifier(loss="modified_huber"),
        linear_model.RidgeClassifier(),
        linear_model.Lasso(0.01),
        linear_model.PoissonRegressor(),
        linear_model.Perceptron(),
        svm.SVC(probability=True, random_state=0),
        svm.SVC(kernel="poly", decision_function_shape="ovo"),
        svm.LinearSVC(),
        svm.SVR(kernel="sigmoid"),
        svm.NuSVC(nu=0.2),
        svm.OneClassSVM(),
        tree.DecisionTreeClassifier(max_depth=4),
        tree.DecisionTreeRegressor(),
        tree.ExtraTreeClassifier(),
        ensemble.RandomForestClassifier(20),
        ensemble.RandomForestRegressor(15),
        ensemble.ExtraTreesClassifier(10),
        ensemble.GradientBoostingClassifier(n_estimators=10),
        ensemble.GradientBoostingRegressor(n_estimators=10),
        ensemble.HistGradientBoostingClassifier(max_iter=10),
        ensemble.HistGradientBoostingRegressor(max_iter=10),
        ensemble.AdaBoostClassifier(n_estimators=8),
        ensemble.AdaBoostRegressor(n_estimators=8),
        ensemble.BaggingClassifier(n_estimators=5),
        ensemble.IsolationForest(n_estimators=10),
        ensemble.VotingClassifier(
            [("a", linear_model.LogisticRegression(max_iter=500)), ("b", naive_bayes.GaussianNB())],
            voting="soft",
        ),
        ensemble.StackingClassifier([("a", tree.DecisionTreeClassifier()), ("b", naive_bayes.GaussianNB())]),
        naive_bayes.GaussianNB(),
        naive_bayes.BernoulliNB(binarize=1.5),
        naive_bayes.MultinomialNB(),
        naive_bayes.ComplementNB(),
        neighbors.KNeighborsClassifier(),
        neighbors.KNeighborsRegressor(weights="distance"),
        neighbors.RadiusNeighborsClassifier(radius=2.0),
        neural_network.MLPClassifier(hidden_layer_sizes=(8,), max_iter=100),
        neural_network.MLPRegressor(hidden_layer_sizes=(8,), activation="tanh", max_iter=100),
        discriminant_analysis.LinearDiscriminantAnalysis(),
        discriminant_analysis.QuadraticDiscriminantAnalysis(),
        gaussian_process.GaussianProcessRegressor(gaussian_process.kernels.RBF(), alpha=0.1),
        mixture.GaussianMixture(3, random_state=0),
        cluster.KMeans(3, n_init=2),
        decomposition.PCA(2),
        decomposition.KernelPCA(2, kernel="rbf"),
        decomposition.TruncatedSVD(2),
        feature_selection.SelectKBest(k=2),
        multiclass.OneVsRestClassifier(linear_model.LogisticRegression(max_iter=500)),
        multioutput.MultiOutputClassifier(tree.DecisionTreeClassifier(max_depth=3)),
        kernel_approximation.Nystroem(n_components=5),
        preprocessing.StandardScaler(),
        preprocessing.MinMaxScaler(),
        preprocessing.RobustScaler(),
        preprocessing.Normalizer(),
        preprocessing.KBinsDiscretizer(3, encode="onehot-dense"),
        preprocessing.PolynomialFeatures(2),
        preprocessing.PowerTransformer(),
        preprocessing.Binarizer(threshold=2.0),
    ]
    for maker in makers:
        labels = np.stack([y, y % 2], 1) if "MultiOutput" in type(maker).__name__ else y
        fitted = maker.fit(x, labels)
        name = f"sk_{type(maker).__name__.lower()}_{getattr(maker, 'kernel', '')}".rstrip("_")
        try:
            kind = [("x", FloatTensorType([None, 4]))]
            model = skl2onnx.to_onnx(fitted, initial_types=kind, target_opset={"": 18, "ai.onnx.ml": 3})
        except Exception as error:  # whatever the converter raises
            print(f"{name}: not written: {str(error)[:90]}", flush=True)
            continue
        yield f"{name}.sk18", model, {"x": x[::7]}


def tables() -> Made:
    """Columns of text and numbers, words of sentences."""
    import pandas as pd
    import skl2onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import LabelEncoder, OneHotEncoder, OrdinalEncoder, StandardScaler
    colours = np.array(["red", "green", "blue", "red", "blue", "green", "red", "blue"])
    sizes = np.array([1.0, 2.0, np.nan, 4.0, 5.0, 1.5, np.nan, 3.0], np.float32)
    y = np.array(["yes", "no", "yes", "no", "no", "yes", "yes", "no"])
    frame = pd.DataFrame({"colour": colours, "size": sizes})
    encoders = {"onehot": OneHotEncoder(handle_unknown="ignore"), "ordinal": OrdinalEncoder()}
    for name, encoder in encoders.items():
        pipeline = Pipeline(
            [
                (
                    "columns",
                    ColumnTransformer(
                        [
                            ("c", encoder, ["colour"]),
                            ("s", Pipeline([("i", SimpleImputer()), ("z", StandardScaler())]), ["size"]),
                        ]
                    ),
                ),
                ("model", LogisticRegression()),
            ]
        ).fit(frame, y)
        model = skl2onnx.to_onnx(
            pipeline,
            initial_types=[("colour", StringTensorType([None, 1])), ("size", FloatTensorType([None, 1]))],
            target_opset={"": 17, "ai.onnx.ml": 3},
        )
        yield (
            f"sk_table_{name}.sk17",
            model,
            {"colour": colours[:, None].astype(object), "size": sizes[:, None]},
        )
    sentences = np.array(["the cat sat on the mat", "a dog and a cat", "mat, dog; the end", "the the the"])
    for name, words in {
        "count": CountVectorizer(),
        "tfidf": TfidfVectorizer(ngram_range=(1, 2)),
        "chars": TfidfVectorizer(analyzer="char", ngram_range=(2, 3)),
    }.items():
        pipeline = Pipeline([("words", words), ("model", LogisticRegression())]).fit(sentences, [0, 1, 1, 0])
        model = skl2onnx.to_onnx(
            pipeline,
            initial_types=[("text", StringTensorType([None, 1] if name != "chars" else [None]))],
            target_opset={"": 17, "ai.onnx.ml": 3},
        )
        given = sentences.astype(object)
        yield f"sk_words_{name}.sk17", model, {"text": given if name == "chars" else given[:, None]}
    labels = LabelEncoder().fit(colours)
    model = skl2onnx.to_onnx(labels, initial_types=[("x", StringTensorType([None]))], target_opset=15)
    yield "sk_labels.sk15", model, {"x": colours.astype(object)}


def boosted() -> Made:
    import lightgbm
    import onnxmltools
    import xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    x, y = flowers()
    kind = [("x", FloatTensorType([None, 4]))]
    gaps = x[::5].copy()
    gaps[::4, 1] = np.nan
    for name, model in {
        "classes": lightgbm.LGBMClassifier(n_estimators=10, verbose=-1),
        "numbers": lightgbm.LGBMRegressor(n_estimators=10, verbose=-1),
        "two": lightgbm.LGBMClassifier(n_estimators=10, verbose=-1),
    }.items():
        model.fit(x, (y > 0).astype(int) if name == "two" else y)
        for zipped in (True, False) if name != "numbers" else (False,):
            made = onnxmltools.convert_lightgbm(model, initial_types=kind, target_opset=15, zipmap=zipped)
            yield f"lgbm_{name}.{'map' if zipped else 'array'}", made, {"x": gaps}
    for name, model in {
        "classes": xgboost.XGBClassifier(n_estimators=10),
        "numbers": xgboost.XGBRegressor(n_estimators=10),
        "ranks": xgboost.XGBRegressor(n_estimators=10, objective="count:poisson"),
        "forest": xgboost.XGBRFClassifier(n_estimators=10),
        "two": xgboost.XGBClassifier(n_estimators=10, booster="dart"),
    }.items():
        model.fit(x, (y > 0).astype(int) if name == "two" else y)
        try:
            made = onnxmltools.convert_xgboost(model, initial_types=kind, target_opset=15)
        except Exception as error:
            print(f"xgb_{name}: not written: {str(error)[:90]}", flush=True)
            continue
        yield f"xgb_{name}.ml15", made, {"x": gaps}


FAMILIES = (applications, sequences, pictures, programs, estimators, tables, boosted)


def main() -> int:
    folder, wanted = Path(sys.argv[1]), set(sys.argv[2:])
    folder.mkdir(exist_ok=True)
    for family in FAMILIES:
        if wanted and family.__name__ not in wanted:
            continue
        made = family()
        while True:
            try:
                name, model, inputs = next(made)
            except StopIteration:
                break
            except Exception:  # of a converter
                traceback.print_exc(limit=-2)
                break
            if {value.name for value in model.graph.input} != set(inputs):
                print(f"{name}: not written: the converter made inputs of constants", flush=True)
                continue
            onnx.save(model, folder / f"{name}.onnx")
            np.savez(folder / f"{name.split('.')[0]}.npz", **inputs)
            print(name, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
