"""torch.utils.tensorboard and flop_counter: files that TensorBoard reads, counts of operations."""
# SPDX-License-Identifier: Apache-2.0

import struct
import wave
import zlib
from io import BytesIO

import numpy as np
from moka.utils.event_files import _checksum, png
from moka.utils.summaries import audio, histogram, image_of

from tests.python.test_compat_torch import inside


def fields(message):
    """{field: [values]} of a protocol buffer; numbers as they are, fixed ones and messages as bytes."""
    out, at = {}, 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        kind = key & 7
        if kind == 0:
            value = varint()
        else:
            size = varint() if kind == 2 else {1: 8, 5: 4}[kind]
            value = message[at : at + size]
            at += size
        out.setdefault(key >> 3, []).append(value)
    return out


def records(path):
    data, at = path.read_bytes(), 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        assert data[at + 8 : at + 12] == _checksum(data[at : at + 8])
        event = data[at + 12 : at + 12 + length]
        assert data[at + 12 + length : at + 16 + length] == _checksum(event)
        yield fields(event)
        at += 16 + length


def test_check_sums_are_those_of_record_files():
    # CRC-32C of "123456789" is e3069283 (RFC 3720, section B.4 gives further ones).
    crc = 0xE3069283
    assert _checksum(b"123456789") == struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def test_a_writer_leaves_events_in_order(tmp_path):
    inside(
        f"""
        import torch
        from torch.utils.tensorboard import SummaryWriter
        with SummaryWriter({str(tmp_path)!r}) as writer:
            writer.add_scalar("loss", torch.tensor(0.5), 3)
            writer.add_histogram("weights", torch.tensor([1.0, 2.0, 2.5]), 4)
            writer.add_image("picture", torch.rand(3, 4, 5), 5)
            writer.add_text("note", "hello", 6)
        print(writer.get_logdir())
        """
    )
    (path,) = tmp_path.glob("events.out.tfevents.*")
    version, *events = records(path)
    assert version[3] == [b"brain.Event:2"]
    assert [event[2][0] for event in events] == [3, 4, 5, 6]
    values = [fields(fields(event[5][0])[1][0]) for event in events]
    assert [value[1][0] for value in values] == [b"loss", b"weights", b"picture", b"note/text_summary"]
    assert struct.unpack("<f", values[0][2][0]) == (0.5,)
    counted = fields(values[1][5][0])
    assert [struct.unpack("<d", counted[i][0])[0] for i in (1, 2, 3, 4, 5)] == [1, 2.5, 3, 5.5, 11.25]
    assert fields(values[2][4][0])[1] == [4] and fields(values[2][4][0])[2] == [5]


def test_histograms_keep_every_value_once():
    value = fields(fields(histogram("h", np.array([-1.0, 0.0, 3.0, 3.0])))[1][0])
    counted = fields(value[5][0])
    limits, counts = (np.frombuffer(counted[i][0], "<f8") for i in (6, 7))
    assert len(limits) == len(counts) and counts.sum() == 4 and limits[-1] >= 3 and counts[-1] == 2


def test_pictures_and_sounds_are_files_of_their_kind():
    pixels = image_of(np.linspace(0, 1, 24).reshape(1, 4, 6), "CHW")
    data = png(pixels)
    width, height = struct.unpack(">II", data[16:24])
    start = data.index(b"IDAT")
    (length,) = struct.unpack(">I", data[start - 4 : start])
    rows = np.frombuffer(zlib.decompress(data[start + 4 : start + 4 + length]), "uint8").reshape(4, 19)
    assert (width, height) == (6, 4) and (rows[:, 1:].reshape(4, 6, 3) == pixels).all()
    assert image_of(np.zeros((5, 3, 2, 2), "uint8"), "NCHW").shape == (2, 10, 3)
    sound = fields(fields(fields(audio("a", np.array([0.0, 0.5]), 8000))[1][0])[6][0])
    with wave.open(BytesIO(sound[4][0])) as file:
        assert (file.getframerate(), file.getnframes(), file.getsampwidth()) == (8000, 2, 2)


def test_products_and_convolutions_are_counted():
    told = inside(
        """
        import torch
        from torch.utils.flop_counter import FlopCounterMode
        net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
        with FlopCounterMode(display=False) as counter:
            y = net(torch.ones(5, 4))
        print(counter.get_total_flops(), counter.get_flop_counts()["Sequential.0"])
        with FlopCounterMode(display=False) as counter:
            net(torch.ones(5, 4)).sum().backward()
        print(counter.get_total_flops())
        with FlopCounterMode(display=False) as counter:
            torch.nn.Conv2d(3, 8, 3, padding=1)(torch.ones(2, 3, 8, 8))
            q = torch.ones(1, 2, 4, 8)
            torch.nn.functional.scaled_dot_product_attention(q, q, q)
        print(counter.get_total_flops())
        print(counter.get_table().splitlines()[0].split())
        """
    )
    assert told.splitlines() == [
        "560 {<OpOverloadPacket(op='aten.addmm')>: 320}",
        "1360",
        f"{2 * 2 * 8 * 8 * 8 * 27 + 2 * 2 * 2 * 4 * 4 * 8}",
        "['Module', 'FLOP', '%', 'Total']",
    ]
