"""moka.save and moka.load: what goes in comes out; damaged files are refused; nothing in a file is run."""
# SPDX-License-Identifier: Apache-2.0

import errno
import io
import json
import math
import os
import random
import struct
import sys
from collections import OrderedDict, namedtuple

import numpy as np
import pytest
from moka.checkpoint import CheckpointError

import moka
from moka import atomic, safetensors


def through(value):
    file = io.BytesIO()
    moka.save(value, file)
    file.seek(0)
    return moka.load(file)


PLAIN = {
    "numbers": [1, -(10**30), 2.5, 1e-320, True, None, 3 + 4j],
    "text": ("", "café \u1234 \U0001f600 \ud800", b"\0\xff"),
    "nested": OrderedDict(b=1, a=[(), {}, [[]]]),
    5: {(1, "two"): 3, None: 4, 2.5: 5, True: 6},
    "$odd": {"$tensor": "a name that is only text"},
}


def test_plain_data_come_back_equal_and_of_the_same_types():
    found = through(PLAIN)
    assert found == PLAIN
    assert type(found["nested"]) is OrderedDict and list(found["nested"]) == ["b", "a"]
    assert type(found["text"]) is tuple and type(found["numbers"][4]) is bool


def test_numbers_that_json_lacks_come_back():
    found = through([math.nan, math.inf, -math.inf, complex(math.inf, -0.0)])
    assert math.isnan(found[0]) and found[1:3] == [math.inf, -math.inf]
    assert math.copysign(1, found[3].imag) == -1


DTYPES = "bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64 complex64".split()


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("shape", [(), (3,), (0, 2), (2, 3, 2)])
def test_tensors_of_every_dtype_come_back(name, shape):
    dtype = getattr(moka, name)
    tensor = moka.arange(max(math.prod(shape), 0)).reshape(shape).to(dtype)
    found = through({"t": tensor})["t"]
    assert found.dtype == dtype and tuple(found.shape) == shape and found.tolist() == tensor.tolist()


def test_views_and_transposes_keep_their_values():
    base = moka.arange(12).reshape(3, 4)
    found = through([base.t(), base[1:, ::2]])
    assert found[0].tolist() == base.t().tolist() and found[1].tolist() == base[1:, ::2].tolist()


def test_tensors_that_share_memory_share_it_again():
    base = moka.zeros(3, 4)
    apart = moka.zeros(2)
    found = through({"whole": base, "row": base[1], "turned": base.t(), "again": base, "apart": apart})
    found["row"][2] = 5.0
    assert found["whole"][1, 2].item() == 5.0 and found["turned"][2, 1].item() == 5.0
    assert found["again"].data_ptr() == found["whole"].data_ptr()
    assert found["apart"].tolist() == [0.0, 0.0]


def test_parts_of_one_storage_that_do_not_overlap_are_stored_without_the_rest():
    base = moka.zeros(100000)
    file = io.BytesIO()
    moka.save({"a": base[:3], "b": base[-3:]}, file)
    assert len(file.getvalue()) < 2000


def test_parameters_come_back_as_tensors_and_numpy_scalars_as_numbers():
    found = through({"p": moka.nn.Parameter(moka.ones(2)), "n": np.float32(0.5), "i": np.int64(3)})
    assert type(found["p"]) is moka.Tensor and not found["p"].requires_grad
    assert found["n"] == 0.5 and type(found["n"]) is float and type(found["i"]) is int


def test_loaded_tensors_own_their_memory():
    found = through({"a": moka.zeros(2), "b": moka.zeros(2)})
    found["a"][0] = 1.0
    assert found["b"].tolist() == [0.0, 0.0]


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, {2, 3}]}, "a.1 is set, not plain data; save sorted"),
        (
            {"net": moka.nn.Linear(1, 1)},
            r"net is moka.nn.linear.Linear, not plain data; save its state_dict\(\)",
        ),
        ([open], "0 is builtin_function_or_method"),
        (np.zeros(3), "numpy.ndarray, not plain data; use moka.from_numpy"),
        ({"p": Point(1, 2)}, "p is .*Point, not plain data"),
        ({frozenset(): 1}, "has a key of frozenset"),
    ],
)
def test_what_is_not_plain_data_is_refused_with_its_place(value, text):
    with pytest.raises(TypeError, match=text):
        moka.save(value, io.BytesIO())


def test_data_that_contain_themselves_or_are_too_deep_are_refused():
    loop = []
    loop.append(loop)
    with pytest.raises(ValueError, match="0 contains itself"):
        moka.save(loop, io.BytesIO())
    deep = []
    for _ in range(300):
        deep = [deep]
    with pytest.raises(ValueError, match="nested more than 200 deep"):
        moka.save(deep, io.BytesIO())


def test_the_same_list_twice_is_not_a_loop():
    shared = [1]
    assert through([shared, shared]) == [[1], [1]]


def sample_bytes():
    file = io.BytesIO()
    w = moka.arange(12.0).reshape(3, 4)
    moka.save({"w": w, "row": w[1], "steps": (1, 2.5, b"x"), "n": moka.zeros(0)}, file)
    return file.getvalue()


def test_any_reader_of_safetensors_can_open_a_checkpoint(tmp_path):
    moka.save({"model": {"weight": moka.ones(2, 3)}, "epoch": 3}, tmp_path / "run.ckpt")
    found = safetensors.load_file(tmp_path / "run.ckpt")
    assert list(found) == ["model.weight"] and found["model.weight"].tolist() == [[1.0] * 3] * 2


def test_every_kind_of_damage_is_seen():
    data, generator = sample_bytes(), random.Random(1)
    for _ in range(1500):
        damaged = bytearray(data)
        place = generator.randrange(len(data))
        kind = generator.randrange(4)
        if kind == 0:
            damaged[place] ^= 1 << generator.randrange(8)
        elif kind == 1:
            del damaged[place:]
        elif kind == 2:
            damaged[place:place] = generator.randbytes(generator.randrange(1, 9))
        else:
            del damaged[place : place + generator.randrange(1, 9)]
        if damaged == data:
            continue
        try:
            found = moka.load(io.BytesIO(bytes(damaged)))
        except CheckpointError:
            continue
        # The only harmless damage: blanks that fill the header up.
        assert damaged.replace(b" ", b"") == data.replace(b" ", b"")
        assert found["w"].tolist() == moka.arange(12.0).reshape(3, 4).tolist()


def with_structure(structure, header=None):
    """A file whose checksums are right, but whose structure or header is made up."""
    import zlib

    text = structure if isinstance(structure, str) else json.dumps(structure)
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    body = struct.pack("<2f", 1, 2)
    sums = {"t": zlib.crc32(body, zlib.crc32(b"F32[2]"))}
    checksums = json.dumps({"structure": zlib.crc32(text.encode()), "tensors": sums})
    metadata = {"moka.format": "1", "moka.structure": text, "moka.checksums": checksums}
    packed = json.dumps({"__metadata__": metadata, "t": entry, **(header or {})}).encode()
    return struct.pack("<Q", len(packed)) + packed + body


@pytest.mark.parametrize(
    "structure",
    [
        {"$tensor": "missing"},
        {"$tensor": ["t"]},
        {"$tensor": "t", "view": [[2], [1], 1]},
        {"$tensor": "t", "view": [[2], [2**61], 0]},
        {"$tensor": "t", "view": [[2], [-1], 1]},
        {"$tensor": "t", "view": [[0], [1], 0]},
        {"$tensor": "t", "view": [[2]]},
        {"$tensor": "t", "other": 1},
        {"$tuple": 3},
        {"$dict": [[1]]},
        {"$dict": [[[1], 2]]},
        {"$bytes": "*"},
        {"$float": "1"},
        {"$complex": [1]},
        {"$complex": ["a", "b"]},
        {"$pickle": "cos\nsystem\n"},
        {"$tuple": [], "$dict": []},
        "[" * 1000 + "]" * 1000,
        "[" * 100000 + "]" * 100000,
        "{",
    ],
)
def test_made_up_structures_are_refused(structure):
    with pytest.raises(CheckpointError, match="damaged|cannot be read"):
        moka.load(io.BytesIO(with_structure(structure)))


def test_a_made_up_view_inside_the_data_is_fine():
    found = moka.load(io.BytesIO(with_structure({"$tensor": "t", "view": [[2, 2], [0, 1], 0]})))
    assert found.tolist() == [[1.0, 2.0], [1.0, 2.0]]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "has 0 bytes"),
        (b"PK\x03\x04" + bytes(60), "the file is cut short"),
        (b"\x80\x02}q\x00(X\x01", "ends in the middle of a value"),
        (b"hello world, this is text", "cut short or not a safetensors file"),
    ],
)
def test_files_of_other_kinds_are_told(tmp_path, data, text):
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(CheckpointError, match=text) as caught:
        moka.load(tmp_path / "file")
    assert str(tmp_path / "file") in str(caught.value)


def test_a_later_format_says_so():
    data = sample_bytes().replace(b'"moka.format":"1"', b'"moka.format":"2"')
    with pytest.raises(CheckpointError, match="written in format '2' by a later Moka"):
        moka.load(io.BytesIO(data))


def test_loading_runs_nothing():
    events = []
    hook = lambda event, args: events.append(event) if watching else None
    watching = False
    sys.addaudithook(hook)
    data = sample_bytes()
    through(PLAIN)  # modules that loading needs are imported by now
    watching = True
    try:
        moka.load(io.BytesIO(data))
    finally:
        watching = False
    forbidden = (
        "import",
        "exec",
        "compile",
        "pickle.find_class",
        "subprocess.Popen",
        "os.system",
        "socket.connect",
    )
    assert not set(events) & set(forbidden)


# Writing


def test_a_new_file_replaces_the_old_one_and_keeps_its_mode(tmp_path):
    path = tmp_path / "run.ckpt"
    moka.save(1, path)
    os.chmod(path, 0o640)
    moka.save(2, path)
    assert moka.load(path) == 2 and path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["run.ckpt"]


def test_a_link_stays_a_link(tmp_path):
    moka.save(1, tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    moka.save(2, tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and moka.load(tmp_path / "real") == 2


def test_folders_that_are_not_there_and_folders_as_files_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder .*; make it with os.makedirs"):
        moka.save(1, tmp_path / "no" / "file")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        moka.save(1, tmp_path)


def test_what_killed_writers_left_is_swept_but_not_what_living_ones_write(tmp_path):
    import fcntl

    left, living, foreign = (tmp_path / f".{name}.0123456789abcdef.moka-tmp" for name in ("a", "a", "b"))
    living = tmp_path / ".a.fedcba9876543210.moka-tmp"
    for path in (left, living, foreign):
        path.write_bytes(b"half")
    with open(living) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        moka.save(1, tmp_path / "a")
        assert sorted(os.listdir(tmp_path)) == sorted(["a", living.name, foreign.name])


CALLS = ("open", "write", "fsync", "replace")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_failing_disk_gives_a_clear_error_and_leaves_the_old_file(tmp_path, monkeypatch, code):
    path = tmp_path / "run.ckpt"
    failed = 0
    for call in CALLS:
        for turn in range(20):
            moka.save({"old": moka.ones(3)}, path)
            count = [0]
            real = getattr(os, call)

            def fails(*args, _real=real, _turn=turn, _count=count, **kwargs):
                _count[0] += 1
                if _count[0] == _turn + 1:
                    raise OSError(code, os.strerror(code))
                return _real(*args, **kwargs)

            with monkeypatch.context() as patch:
                patch.setattr(atomic.os, call, fails)
                try:
                    moka.save({"new": moka.zeros(3)}, path)
                except OSError as error:
                    failed += 1
                    assert error.errno == code and "save: cannot write" in str(error)
                    assert os.strerror(code) in str(error) and str(path) in str(error)
            if count[0] <= turn:
                break
            found = moka.load(path)
            # Once renamed, the new file is there, and only its durability is in doubt.
            assert "old" in found or call in ("open", "fsync")
            assert os.listdir(tmp_path) == ["run.ckpt"]
    assert failed >= 6


def test_an_interrupt_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "run.ckpt"
    moka.save(1, path)

    def interrupted(descriptor):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            moka.save(2, path)
    assert moka.load(path) == 1 and os.listdir(tmp_path) == ["run.ckpt"]
