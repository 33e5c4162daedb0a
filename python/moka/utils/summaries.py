"""The messages that TensorBoard shows, as bytes."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import io
import json
import time
from typing import Any

import numpy as np

from moka._C import Tensor

from .event_files import bytes_of, doubles, fixed32, fixed64, number, png

__all__ = ["audio", "histogram", "hparams", "image", "pr_curve", "scalar", "tensor_floats", "text"]


def as_numpy(x: Any) -> np.ndarray:
    """Values of tensors, arrays and numbers."""
    if isinstance(x, Tensor):
        x = x.detach().cpu()  # type: ignore[attr-defined]
        return (x.float() if x.dtype.name == "bfloat16" else x).numpy()
    return np.asarray(x)


def _value(tag: str, content: bytes) -> bytes:
    return bytes_of(1, bytes_of(1, tag) + content)


def _metadata(plugin: str, content: bytes = b"") -> bytes:
    return bytes_of(9, bytes_of(1, bytes_of(1, plugin) + bytes_of(2, content)))


def tensor_floats(values: Any) -> bytes:
    """A TensorProto of float32."""
    array = np.asarray(values, np.float32)
    shape = b"".join(bytes_of(2, number(1, size)) for size in array.shape)
    return bytes_of(8, number(1, 1) + bytes_of(2, shape) + bytes_of(4, array.tobytes()))


def scalar(name: str, tensor: Any, new_style: bool = False, double_precision: bool = False) -> bytes:
    """One number."""
    value = as_numpy(tensor).squeeze()
    if value.ndim:
        raise ValueError(f"add_scalar: {name!r} must be one number, but shape {value.shape} came")
    if new_style or double_precision:
        kind, data = (2, np.float64(value)) if double_precision else (1, np.float32(value))
        return _value(name, bytes_of(8, number(1, kind) + bytes_of(4, data.tobytes())) + _metadata("scalars"))
    return _value(name, fixed32(2, float(value)))


def _default_bins() -> np.ndarray:
    edges, at = [], 1e-12
    while at < 1e20:
        edges.append(at)
        at *= 1.1
    return np.array([-edge for edge in reversed(edges)] + [0.0] + edges)


def histogram(name: str, values: Any, bins: Any = "tensorflow", max_bins: int | None = None) -> bytes:
    """How often values lie in which range."""
    array = as_numpy(values).reshape(-1)
    if array.size == 0:
        raise ValueError("The input has no element.")
    array = array.astype(np.float64)
    counts, limits = np.histogram(array, bins=_default_bins() if bins == "tensorflow" else bins)
    if max_bins is not None and len(counts) > max_bins:
        step = len(counts) // max_bins
        counts = np.pad(counts, (0, -len(counts) % step)).reshape(-1, step).sum(axis=1)
        limits = np.append(limits[:-1:step], limits[-1])[: len(counts) + 1]
    filled = np.flatnonzero(counts)
    if filled.size == 0:
        raise ValueError("The histogram is empty, please file a bug report.")
    first, last = filled[0], filled[-1] + 1
    kept = counts[first - 1 : last] if first else np.append(0, counts[:last])
    message = fixed64(1, array.min()) + fixed64(2, array.max()) + fixed64(3, len(array))
    message += fixed64(4, array.sum()) + fixed64(5, array.dot(array))
    message += doubles(6, limits[first : last + 1]) + doubles(7, kept)
    return _value(name, bytes_of(5, message))


def raw_histogram(
    name: str, min: float, max: float, num: int, sum: float, sum_squares: float, limits: Any, counts: Any
) -> bytes:
    """A histogram that was counted elsewhere."""
    message = b"".join(fixed64(i + 1, v) for i, v in enumerate((min, max, num, sum, sum_squares)))
    return _value(name, bytes_of(5, message + doubles(6, limits) + doubles(7, counts)))


def _grid(images: np.ndarray, columns: int = 8) -> np.ndarray:
    count, channels, height, width = images.shape
    columns = min(count, columns)
    rows = -(-count // columns)
    whole = np.zeros((channels, rows * height, columns * width), images.dtype)
    for i in range(count):
        top, left = i // columns * height, i % columns * width
        whole[:, top : top + height, left : left + width] = images[i]
    return whole


def image_of(tensor: Any, dataformats: str) -> np.ndarray:
    """[height, width, channels] of bytes from any order of dimensions, such as "CHW" or "NHWC"."""
    array, order = as_numpy(tensor), dataformats.upper()
    if len(set(order)) != len(order) or set(order) - set("NCHW") or array.ndim != len(order):
        raise AssertionError(
            f"size of input tensor and input format are different. tensor shape: {array.shape}, "
            f"input_format: {dataformats}"
        )
    scale = 1 if array.dtype == np.uint8 else 255
    if order == "HW":
        array = array[..., None]
        order = "HWC"
    if "N" in order:
        array = _grid(array.transpose([order.index(axis) for axis in "NCHW"])).transpose(1, 2, 0)
    else:
        array = array.transpose([order.index(axis) for axis in "HWC"])
    if array.shape[2] == 1:
        array = np.concatenate([array] * 3, axis=2)
    return (array.astype(np.float32) * scale).clip(0, 255).astype(np.uint8)


def image(tag: str, tensor: Any, rescale: float = 1, dataformats: str = "CHW") -> bytes:
    """A picture; floats from 0 to 1, bytes from 0 to 255. `rescale` changes its size."""
    pixels = image_of(tensor, dataformats)
    if rescale != 1:
        rows = (np.arange(int(pixels.shape[0] * rescale)) / rescale).astype(int)
        columns = (np.arange(int(pixels.shape[1] * rescale)) / rescale).astype(int)
        pixels = pixels[rows][:, columns]
    height, width, channels = pixels.shape
    message = number(1, height) + number(2, width) + number(3, channels) + bytes_of(4, png(pixels))
    return _value(tag, bytes_of(4, message))


def audio(tag: str, tensor: Any, sample_rate: int = 44100) -> bytes:
    """A sound of one channel, numbers from -1 to 1, as a WAV file."""
    import wave

    samples = as_numpy(tensor).squeeze()
    if np.abs(samples).max(initial=0) > 1:
        samples = samples.clip(-1, 1)
    if samples.ndim != 1:
        raise AssertionError("input tensor should be 1 dimensional.")
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes((samples * np.iinfo(np.int16).max).astype("<i2").tobytes())
    message = fixed32(1, sample_rate) + number(2, 1) + number(3, len(samples))
    return _value(tag, bytes_of(6, message + bytes_of(4, out.getvalue()) + bytes_of(5, "audio/wav")))


def text(tag: str, text: str) -> bytes:
    """Text, shown as Markdown."""
    shape = bytes_of(2, bytes_of(2, number(1, 1)))
    tensor = bytes_of(8, number(1, 7) + shape + bytes_of(8, text))
    return _value(tag + "/text_summary", tensor + _metadata("text", number(1, 0)))


def custom_scalars(layout: dict[str, dict[str, Any]]) -> bytes:
    """Charts of several scalars: {category: {chart: ["Multiline" or "Margin", [tags]]}}."""
    categories = b""
    for category, charts in layout.items():
        message = bytes_of(1, category)
        for title, (kind, tags) in charts.items():
            chart = bytes_of(1, title)
            if kind == "Margin":
                if len(tags) != 3:
                    raise AssertionError(f"a Margin chart takes 3 tags, got {len(tags)}")
                series = bytes_of(1, tags[0]) + bytes_of(2, tags[1]) + bytes_of(3, tags[2])
                chart += bytes_of(3, bytes_of(1, series))
            else:
                chart += bytes_of(2, b"".join(bytes_of(1, tag) for tag in tags))
            message += bytes_of(2, chart)
        categories += bytes_of(2, message)
    tensor = bytes_of(8, number(1, 7) + bytes_of(2, b"") + bytes_of(8, categories))
    return _value("custom_scalars__config__", tensor + _metadata("custom_scalars"))


def pr_curve(
    tag: str, labels: Any, predictions: Any, num_thresholds: int = 127, weights: Any = None
) -> bytes:
    """Precision and recall at thresholds from 0 to 1."""
    count = min(num_thresholds, 127)
    truth, guess = as_numpy(labels).reshape(-1), as_numpy(predictions).reshape(-1)
    weight = np.ones(len(truth)) if weights is None else as_numpy(weights).reshape(-1)
    places = np.floor(guess * (count - 1)).astype(np.int64)
    hits, misses = (
        np.histogram(places, bins=count, range=(0, count - 1), weights=part * weight)[0][::-1].cumsum()[::-1]
        for part in (truth.astype(np.float64), 1.0 - truth)
    )
    missed, rejected = hits[0] - hits, misses[0] - misses
    tiny = 1e-7
    rows = [hits, misses, rejected, missed, hits / np.maximum(tiny, hits + misses)]
    return raw_pr_curve(tag, *rows, hits / np.maximum(tiny, hits + missed), count)


def raw_pr_curve(
    tag: str, tp: Any, fp: Any, tn: Any, fn: Any, precision: Any, recall: Any, num_thresholds: int = 127
) -> bytes:
    """The same of rows that were counted elsewhere."""
    rows = np.stack([as_numpy(row).astype(np.float64) for row in (tp, fp, tn, fn, precision, recall)])
    content = number(1, 0) + number(2, min(num_thresholds, 127))
    return _value(tag, tensor_floats(rows) + _metadata("pr_curves", content))


def _hparam(value: Any) -> tuple[int, bytes]:
    """TensorBoard's kind of a value, and the value as a google.protobuf.Value."""
    if isinstance(value, Tensor):
        value = value.item()
    if isinstance(value, (bool, np.bool_)):
        return 2, number(4, value)
    if isinstance(value, (int, float, np.number)):
        return 3, fixed64(2, float(value))
    if isinstance(value, str):
        return 1, bytes_of(3, value)
    raise ValueError("value should be one of int, float, str, bool, or torch.Tensor")


def hparams(
    hparam_dict: Any = None, metric_dict: Any = None, hparam_domain_discrete: Any = None
) -> tuple[bytes, bytes, bytes]:
    """Three summaries that belong in one file: the experiment, its start with the values, its end."""
    for name, given in (("hparam_dict", hparam_dict), ("metric_dict", metric_dict)):
        if not isinstance(given, dict):
            raise TypeError(f"{name} should be a dictionary, nothing logged.")
    domains = hparam_domain_discrete or {}
    infos, values = b"", b""
    for name, value in hparam_dict.items():
        if value is None:
            continue
        kind, encoded = _hparam(value)
        info = bytes_of(1, name) + number(4, kind)
        if name in domains:
            info += bytes_of(5, b"".join(bytes_of(1, _hparam(one)[1]) for one in domains[name]))
        infos += bytes_of(4, info)
        values += bytes_of(1, bytes_of(1, name) + bytes_of(2, encoded))
    for name in metric_dict:
        infos += bytes_of(5, bytes_of(1, bytes_of(2, name)))

    def plugin(tag: str, field: int, message: bytes) -> bytes:
        return _value(f"_hparams_/{tag}", _metadata("hparams", number(1, 0) + bytes_of(field, message)))

    start = plugin("session_start_info", 3, values + fixed64(5, time.time()))
    end = plugin("session_end_info", 4, number(1, 1) + fixed64(2, time.time()))
    return plugin("experiment", 2, infos), start, end


def mesh(tag: str, vertices: Any, colors: Any, faces: Any, config_dict: Any) -> bytes:
    """Points in space, with colours and faces where given."""
    config = json.dumps(config_dict or {}, sort_keys=True)
    out = b""
    present = [(kind, given) for kind, given in ((1, vertices), (2, faces), (3, colors)) if given is not None]
    mask = sum(1 << kind for kind, _ in present)
    for kind, given in present:
        array = as_numpy(given)
        shape = b"".join(number(5, size) for size in array.shape)
        content = number(1, 0) + bytes_of(2, tag) + number(3, kind) + bytes_of(4, config) + shape
        name = f"{tag}_{('VERTEX', 'FACE', 'COLOR')[kind - 1]}"
        out += _value(name, tensor_floats(array) + _metadata("mesh", content + number(6, mask)))
    return out

