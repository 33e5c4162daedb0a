"""Files of torch.save (recorded in tests/corpus/torch with torch 2.15): read whole, damaged and hostile."""
# SPDX-License-Identifier: Apache-2.0

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
from moka.checkpoint import CheckpointError

import moka
from moka import nn

CORPUS = Path(__file__).resolve().parent.parent / "corpus" / "torch"


@pytest.mark.parametrize("kind", ["", "_legacy"])
def test_everything_that_torch_can_say_of_plain_data_is_read(kind):
    d = moka.load(CORPUS / f"everything{kind}.pt")
    assert d["epoch"] == 3 and d["loss"] == 0.5 and d["big"] == 2**70 and d["negative"] == -5
    assert d["name"] == "run é" and d[5] == "key" and d["bytes"] == b"ab\xff" and d["set"] == {1, 2}
    assert d["number"] == 1 + 2j and d["list"] == [1, None, True, False, 1e300]
    assert type(d["ordered"]) is OrderedDict and d["ordered"] == {"a": 1, "b": (1, 2, (3,))}
    assert d["size"] == moka.Size([1, 2]) and d["dtype"] == moka.float32 and d["device"].type == "cpu"
    matrix = [[float(4 * i + j) for j in range(4)] for i in range(3)]
    assert d["matrix"].tolist() == matrix
    assert d["transposed"].tolist() == [list(row) for row in zip(*matrix, strict=True)]
    assert d["transposed"].stride() == (1, 4) and d["view"].tolist() == [2.0, 3.0, 4.0]
    assert d["bool"].tolist() == [True, False] and d["uint8"].tolist() == [255]
    assert d["half"].dtype == moka.float16 and d["bfloat16"].tolist() == [1.5, 1.5]
    assert d["int64"].item() == 7 and d["int64"].dtype == moka.int64 and d["empty"].shape == (0, 3)
    assert d["complex"].dtype == moka.complex64 and d["leaf"].requires_grad
    assert isinstance(d["parameter"], nn.Parameter) and d["parameter"].requires_grad


@pytest.mark.parametrize("kind", ["", "_legacy"])
def test_views_of_one_storage_share_memory_that_can_be_written(kind):
    d = moka.load(CORPUS / f"everything{kind}.pt")
    d["view"].fill_(99.0)
    assert d["matrix"][0, 2].item() == 99.0 and d["transposed"][2, 0].item() == 99.0


@pytest.mark.parametrize("kind", ["", "_legacy"])
def test_a_run_goes_on(kind):
    run = moka.load(CORPUS / f"run{kind}.pt")
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    model.load_state_dict(run["model"])
    optimizer = moka.optim.Adam(model.parameters())
    optimizer.load_state_dict(run["optimizer"])
    assert optimizer.param_groups[0]["lr"] == 0.125
    assert optimizer.state[model[0].weight]["step"] == 1
    model(moka.ones(4, 3)).sum().backward()
    optimizer.step()
    assert optimizer.state[model[0].weight]["step"] == 2


@pytest.mark.parametrize("kind", ["", "_legacy"])
def test_narrow_types_are_read(kind):
    d = moka.load(CORPUS / f"narrow{kind}.pt")
    assert d["uint16"].tolist() == [65535] and d["float8"].dtype == moka.float8_e4m3fn


def test_whole_modules_are_refused_with_advice():
    with pytest.raises(CheckpointError, match=r"torch.nn.modules.container.Sequential.*save the state_dict"):
        moka.load(CORPUS / "module.pt")


def test_file_objects_are_read():
    data = (CORPUS / "run.pt").read_bytes()
    assert moka.load(io.BytesIO(data))["epoch"] == 1


@pytest.mark.parametrize("name", ["run.pt", "run_legacy.pt"])
def test_files_are_read_from_where_they_stand(name):
    data = (CORPUS / name).read_bytes()
    file = io.BytesIO(pickle.dumps(41) + data)
    assert pickle.load(file) == 41
    assert str(moka.load(file)) == str(moka.load(io.BytesIO(data)))
    stream = io.BytesIO(b"before")
    stream.seek(6)
    moka.save({"x": moka.ones(3)}, stream)
    stream.seek(6)
    assert moka.load(stream)["x"].tolist() == [1, 1, 1]


# What we write


def test_what_is_written_in_torchs_format_comes_back(tmp_path):
    d = moka.load(CORPUS / "everything.pt")
    moka.save(d, tmp_path / "ours.pt", format="pt")
    again = moka.load(tmp_path / "ours.pt")
    assert list(again) == list(d)
    for key, value in d.items():
        if isinstance(value, moka.Tensor):
            assert again[key].tolist() == value.tolist() and again[key].dtype == value.dtype
            assert type(again[key]) is type(value) and again[key].requires_grad == value.requires_grad
        else:
            assert again[key] == value and type(again[key]) is type(value)


def test_entries_are_stored_and_aligned_and_tied_weights_stay_tied(tmp_path):
    w = moka.randn(3, 3)
    moka.save({"a": w, "b": w.detach()}, tmp_path / "f.pt", format="pt")
    with zipfile.ZipFile(tmp_path / "f.pt") as archive:
        names = archive.namelist()
        assert names == [f"archive/{n}" for n in ("data.pkl", "byteorder", "data/0", "version")]
        for info in archive.infolist():
            assert info.compress_type == zipfile.ZIP_STORED
            start = info.header_offset + 30 + len(info.filename) + len(info.extra)
            assert start % 64 == 0
    loaded = moka.load(tmp_path / "f.pt")
    loaded["a"].fill_(1.0)
    assert loaded["b"].sum().item() == 9.0


@pytest.mark.parametrize("value", [object(), nn.Linear(1, 1), lambda: 0])
def test_only_plain_data_are_written(value, tmp_path):
    with pytest.raises(TypeError, match="entry is .*not plain data"):
        moka.save({"entry": value}, tmp_path / "f.pt", format="pt")
    assert not (tmp_path / "f.pt").exists()


# Hostile files


def archive(program, storages=(), byteorder=b"little"):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as z:
        z.writestr("a/data.pkl", program)
        z.writestr("a/byteorder", byteorder)
        for i, data in enumerate(storages):
            z.writestr(f"a/data/{i}", data)
    return io.BytesIO(stream.getvalue())


def tensor_program(offset, sizes, strides, count=4, kind="FloatStorage"):
    def number(n):
        return b"\x8a\x08" + struct.pack("<q", n)

    def numbers(values):
        return b"(" + b"".join(map(number, values)) + b"t"

    storage = b"(X\x07\0\0\0storagectorch\n" + kind.encode() + b"\nX\x01\0\0\x000X\x03\0\0\0cpu"
    head = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(count) + b"tQ"
    return head + number(offset) + numbers(sizes) + numbers(strides) + b"\x89ccollections\nOrderedDict\n)RtR."


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('executed')",))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_no_code_is_executed(protocol):
    with pytest.raises(CheckpointError, match="names (builtins|__builtin__).exec, which is not on the list"):
        moka.load(archive(pickle.dumps(Evil(), protocol)))
    with pytest.raises(CheckpointError, match="not a file of torch.save|not on the list"):
        moka.load(io.BytesIO(pickle.dumps(Evil(), protocol)))


DATA = struct.pack("<4f", 1, 2, 3, 4)


def test_sound_views_are_read():
    assert moka.load(archive(tensor_program(0, (2, 2), (2, 1)), [DATA])).tolist() == [[1, 2], [3, 4]]
    assert moka.load(archive(tensor_program(1, (3, 2), (0, 2)), [DATA])).tolist() == [[2, 4]] * 3


@pytest.mark.parametrize(
    ("offset", "sizes", "strides", "text"),
    [
        (0, (5,), (1,), "reaches beyond its storage of 4"),
        (3, (2,), (1,), "reaches beyond"),
        (-1, (2,), (1,), "do not fit"),
        (0, (-2,), (1,), "hold -2"),
        (0, (2,), (-1,), "hold -1"),
        (0, (2, 2), (1,), "do not fit"),
        (0, (2**62, 2**62), (0, 0), "overflow|large|64 bits|elements"),
        (0, (3, 2), (2**62, 2**62), "overflow|beyond|64 bits|large"),
        (2**62, (1,), (1,), "reaches beyond"),
    ],
)
def test_tensors_that_do_not_lie_in_their_storage_are_refused(offset, sizes, strides, text):
    with pytest.raises(CheckpointError, match=text):
        moka.load(archive(tensor_program(offset, sizes, strides), [DATA]))


@pytest.mark.parametrize(
    ("program", "text"),
    [
        (b"", "ends in the middle"),
        (b"\x80\x02.", "values left over"),
        (b"\x80\x02N", "ends in the middle"),
        (b"\x80\x09N.", "protocol 9"),
        (b"\x80\x02h\x05.", "never kept"),
        (b"\x80\x02t.", "did not begin"),
        (b"\x80\x02(0.", "too few values"),
        (b"\x80\x02X\xff\xff\xff\x7fab.", "ends in the middle"),
        (b"\x80\x02X\x01\0\0\0\xff.", "not UTF-8"),
        (b"\x80\x02NNb.", "takes none"),
        (b"\x80\x02]N)R.", "no name"),
        (b"\x80\x02cos\nsystem\n.", "names os.system"),
        (b"\x80\x02ctorch\nSize\nNR.", "no tuple"),
        (b"\x80\x02}]Ns.", "can be none"),
        (b"\x80\x02NQ.", "not that of a storage"),
        (b"\x80\x02" + b"(" * 100 + b"N" + b"t" * 100 + b".", "nested more than"),
        (b"\x80\x02]q\x00h\x00a(h\x00t.", "left over"),
        (b"\x80\x02" + b"I1\n.", "opcode 73"),
    ],
)
def test_programs_that_are_not_sound_are_refused(program, text):
    with pytest.raises(CheckpointError, match=text):
        moka.load(archive(program))


def test_lists_that_hold_themselves_and_shared_values_are_right():
    found = moka.load(archive(b"\x80\x02]q\x00h\x00a."))
    assert found[0] is found
    # A list that holds a tuple that holds the list.
    found = moka.load(archive(b"\x80\x02]q\x00h\x00\x85a."))
    assert found[0][0] is found


def test_values_that_double_do_not_explode():
    # Sixty lists, each holding the one before twice: 2^60 places, but sixty objects.
    stack = (
        b"\x80\x02" + b"]q\x000" + b"".join(b"](h%ch%ceq%c0" % (i, i, i + 1) for i in range(60)) + b"h\x3c."
    )
    found = moka.load(archive(stack))
    assert found[0] is found[1] and found[0][0] is found[1][1]


def test_missing_wrong_and_foreign_storages_are_refused():
    good = tensor_program(0, (4,), (1,))
    for data, text in (([], "lacks a/data/0"), ([DATA[:8]], "should have 16 bytes")):
        with pytest.raises(CheckpointError, match=text):
            moka.load(archive(good, data))
    with pytest.raises(CheckpointError, match="not little-endian"):
        moka.load(archive(good, [DATA], b"big"))
    with pytest.raises(CheckpointError, match="bool"):
        moka.load(archive(tensor_program(0, (4,), (1,), kind="BoolStorage"), [b"\x07\0\0\0"]))
    with pytest.raises(CheckpointError, match="impossible size"):
        moka.load(archive(tensor_program(0, (4,), (1,), count=-4), [DATA]))


def test_compressed_and_foreign_archives_are_refused():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("a/data.pkl", b"\x80\x02N." * 50)
    with pytest.raises(CheckpointError, match="is compressed"):
        moka.load(io.BytesIO(stream.getvalue()))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as z:
        z.writestr("notes.txt", b"hello")
    with pytest.raises(CheckpointError, match="no data.pkl"):
        moka.load(io.BytesIO(stream.getvalue()))


@pytest.mark.parametrize("name", ["run.pt", "run_legacy.pt", "everything.pt"])
def test_no_damage_does_more_than_raise(name):
    data = (CORPUS / name).read_bytes()
    for end in range(0, len(data), 37):
        with pytest.raises(CheckpointError):
            moka.load(io.BytesIO(data[:end]))
    whole = moka.load(io.BytesIO(data))
    for place in range(0, len(data), 7):
        for bit in (0x01, 0x80):
            changed = bytearray(data)
            changed[place] ^= bit
            try:
                loaded = moka.load(io.BytesIO(changed))
            except CheckpointError:
                continue
            if name != "run_legacy.pt":  # entries of archives have checksums
                assert repr(loaded) == repr(whole)
