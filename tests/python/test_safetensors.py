"""The safetensors format: what the rules of the format allow, and what they forbid."""
# SPDX-License-Identifier: Apache-2.0

import json
import struct

import pytest
from moka.safetensors import SafetensorsError

import moka
from moka import safetensors


def build(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype="F32", shape=(2,), begin=0, end=8):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def test_the_layout_is_the_published_one():
    data = safetensors.save({"b": moka.tensor([1, 2], dtype=moka.int16), "a": moka.tensor([1.0])}, {"k": "v"})
    (length,) = struct.unpack("<Q", data[:8])
    assert (8 + length) % 8 == 0
    assert json.loads(data[8 : 8 + length]) == {
        "__metadata__": {"k": "v"},
        "a": entry("F32", [1], 0, 4),
        "b": entry("I16", [2], 4, 8),
    }
    assert data[8 + length :] == struct.pack("<fhh", 1.0, 1, 2)


def test_files_from_elsewhere_are_read():
    data = build({"x": entry("U8", [3], 8, 11), "y": entry()}, struct.pack("<2f3B", 1, 2, 3, 4, 5))
    found = safetensors.load(data)
    assert found["x"].tolist() == [3, 4, 5] and found["y"].tolist() == [1.0, 2.0]


def test_half_types_keep_their_bits():
    values = moka.tensor([1.0, -2.5, float("inf")])
    for dtype in (moka.float16, moka.bfloat16):
        found = safetensors.load(safetensors.save({"x": values.to(dtype)}))["x"]
        assert found.dtype == dtype and found.tolist() == values.tolist()


def test_files_go_through_the_disk(tmp_path):
    safetensors.save_file({"x": moka.ones(2, 2)}, tmp_path / "f.safetensors")
    assert safetensors.load_file(tmp_path / "f.safetensors")["x"].tolist() == [[1.0, 1.0], [1.0, 1.0]]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "has 0 bytes"),
        (struct.pack("<Q", 1 << 62), "cut short or not a safetensors file"),
        (struct.pack("<Q", 1 << 26) + b"{" * (1 << 26), "more than the limit"),
        (build(b"[]"), "does not begin with {"),
        (build(b'{"a": }'), "its header is not what the format asks for"),
        (build(b"{" + b'"a":{' * 50000), "its header is not what the format asks for"),
        (build(b'{"a":1,"a":2}'), "a name stands there twice"),
        (build(b"\xff{}"), "its header"),
        (build({"x": entry()}, b"1234567"), "need 8 bytes of data, but 7 are there; the file is cut short"),
        (build({"x": entry()}, b"123456789"), "need 8 bytes of data, but 9 are there"),
        (build({"x": entry(begin=4, end=12)}, b"0" * 12), "leaves a hole before it"),
        (build({"x": entry(), "y": entry(begin=4, end=12)}, b"0" * 12), "overlaps"),
        (build({"x": entry(end=4)}, b"0" * 4), "needs 8 bytes, its offsets give 4"),
        (build({"x": entry(shape=[2**62, 2**62])}, b"0" * 8), "its offsets give 8"),
        (build({"x": entry(shape=[2.0])}, b"0" * 8), "list of at most 64 sizes"),
        (build({"x": entry(shape=[True, 2])}, b"0" * 8), "list of at most 64 sizes"),
        (build({"x": entry(shape=[-1])}, b"0" * 8), "list of at most 64 sizes"),
        (build({"x": entry(shape=[1] * 65)}, b"0" * 8), "list of at most 64 sizes"),
        (build({"x": entry(dtype="F33")}, b"0" * 8), "dtype 'F33' is not known"),
        (build({"x": {**entry(), "more": 1}}, b"0" * 8), "nothing else"),
        (build({"x": []}), "are needed"),
        (build({"__metadata__": {"a": 1}}), "map from string to string"),
    ],
)
def test_what_breaks_the_rules_is_refused(data, text):
    with pytest.raises(SafetensorsError, match=text):
        safetensors.load(data)


def test_what_cannot_be_written_is_told():
    with pytest.raises(TypeError, match="'x' must be a Tensor, but is int"):
        safetensors.save({"x": 3})
    with pytest.raises(ValueError, match="cannot be the name"):
        safetensors.save({"__metadata__": moka.ones(1)})
