"""Damaged copies of model files: bit flips, truncations, edited length fields, also behind checksums.

python mutations.py KIND ORIGINAL SEED FIRST LAST    load copies FIRST to LAST - 1 and say what happened
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import binascii
import io
import json
import random
import resource
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["KINDS", "answer_to", "mutate"]

_EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**64 - 1)


def _flip_bits(data: bytearray, dice: random.Random) -> None:
    for _ in range(dice.choice((1, 1, 1, 2, 8))):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def _set_bytes(data: bytearray, dice: random.Random) -> None:
    at = dice.randrange(len(data))
    data[at : at + dice.choice((1, 2, 4, 8, 32))] = bytes([dice.choice((0, 1, 0x7F, 0x80, 0xFF))])


def _cut_off(data: bytearray, dice: random.Random) -> None:
    del data[dice.randrange(len(data)) :]


def _take_out(data: bytearray, dice: random.Random) -> None:
    at = dice.randrange(len(data))
    del data[at : at + dice.choice((1, 2, 4, 16, 256))]


def _double(data: bytearray, dice: random.Random) -> None:
    at, count = dice.randrange(len(data)), dice.choice((1, 4, 16, 256, 4096))
    data[at:at] = data[at : at + count]


def _edit_length(data: bytearray, dice: random.Random) -> None:
    """Overwrite what may be a number of bytes or elements: little-endian words and protobuf's varints."""
    at, value = dice.randrange(len(data)), dice.choice(_EDGES)
    if dice.random() < 0.5:
        width = dice.choice((1, 2, 4, 8))
        data[at : at + width] = (value & (256**width - 1)).to_bytes(width, "little")
        return
    varint = bytearray()
    while value >= 0x80:
        varint.append(value & 0x7F | 0x80)
        value >>= 7
    varint.append(value)
    data[at : at + 1] = varint


def _swap_number(data: bytearray, dice: random.Random) -> None:
    """Replace a run of digits, as texts have them."""
    places = [i for i in range(len(data)) if 48 <= data[i] <= 57]
    if not places:
        return _flip_bits(data, dice)
    begin = end = dice.choice(places)
    while end < len(data) and 48 <= data[end] <= 57:
        end += 1
    data[begin:end] = str(dice.choice((*_EDGES, -1, 3, 17))).encode()


_CHANGES: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip_bits, _flip_bits, _set_bytes, _cut_off, _take_out, _double, _edit_length, _edit_length, _swap_number
)  # fmt: skip


def _changed(data: bytes, dice: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        if out:
            dice.choice(_CHANGES)(out, dice)
    return bytes(out)


def _inside_zip(data: bytes, dice: random.Random) -> bytes:
    """One entry changed, with checksums that are right again."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    chosen = dice.choice(sorted(entries))
    entries[chosen] = _changed(entries[chosen], dice)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


def _inside_safetensors(data: bytes, dice: random.Random) -> bytes:
    """The header changed, of a checkpoint its structure too; lengths and checksums are right again."""
    (length,) = struct.unpack("<Q", data[:8])
    text, rest = data[8 : 8 + length], data[8 + length :]
    header = json.loads(text)
    metadata = header.get("__metadata__", {})
    if "moka.structure" in metadata and dice.random() < 0.7:
        structure = _changed(metadata["moka.structure"].encode(), dice).decode(errors="replace")
        sums = json.loads(metadata["moka.checksums"])
        sums["structure"] = zlib.crc32(structure.encode())
        metadata["moka.structure"], metadata["moka.checksums"] = structure, json.dumps(sums)
        text = json.dumps(header).encode()
    else:
        text = _changed(text, dice)
    return struct.pack("<Q", len(text)) + text + rest


def mutate(data: bytes, kind: str, seed: int, index: int) -> bytes:
    """Copy number `index` of `data`, damaged; the same for the same numbers."""
    dice = random.Random(f"{kind} {seed} {index}")
    if index % 2 and kind == "package":
        return _inside_zip(data, dice)
    if index % 2 and kind in ("safetensors", "checkpoint"):
        return _inside_safetensors(data, dice)
    return _changed(data, dice)


# ---- loading, in a process of its own


def _load_package(path: Path, _: Path) -> None:
    import moka

    _run(moka.jit.load(path).run, moka.jit.load(path).graph)


def _load_onnx(path: Path, _: Path) -> None:
    import moka

    model = moka.onnx.load(path)
    _run(model.__call__, model.graph)


def _load_netdef(path: Path, original: Path) -> None:
    import moka

    whole = {name: original.with_name(name) for name in ("init_net.pb", "predict_net.pb")}
    whole[original.name] = path
    model = moka.caffe2.load(*whole.values())
    model(*[moka.zeros(1, 1, 8, 8)] * len(model.input_names))


def _load_safetensors(path: Path, _: Path) -> None:
    import moka

    for tensor in moka.safetensors.load_file(path).values():
        tensor.sum() if tensor.dtype.is_floating_point else tensor.numel()


def _load_checkpoint(path: Path, _: Path) -> None:
    import moka

    moka.load(path)


def _run(call: Callable[..., Any], graph: Any) -> None:
    """One run on zeros of the shapes that the graph declares; free sizes are 1."""
    import moka

    inputs = []
    for text in graph.input_types:
        name, _, sizes = text.rstrip("]").partition("[")
        shape = [int(size) if size.strip().isdigit() else 1 for size in sizes.split(",") if size.strip()]
        dtype = getattr(moka, name, moka.float32)
        count = 1
        for size in shape:
            count *= size
        if not isinstance(dtype, moka.dtype) or count > 1 << 24:
            return
        inputs.append(moka.zeros(shape, dtype=dtype))
    call(*inputs)


# How each file of the demo is loaded: kind -> (name, loader).
KINDS: dict[str, tuple[str, Callable[[Path, Path], None]]] = {
    "package": ("model.moka", _load_package),
    "onnx": ("model.onnx", _load_onnx),
    "init_net": ("init_net.pb", _load_netdef),
    "predict_net": ("predict_net.pb", _load_netdef),
    "safetensors": ("weights.safetensors", _load_safetensors),
    "checkpoint": ("training.ckpt", _load_checkpoint),
}
# What a loader may answer with; anything else, and any text about an internal error, is a finding.
ANSWERS = (
    ValueError,
    OSError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    IndexError,
    MemoryError,
    binascii.Error,
)


def answer_to(error: BaseException) -> str:
    """What a loader answered with; begins with WRONG where that is a finding."""
    name = type(error).__name__
    expected = isinstance(error, ANSWERS) and not isinstance(error, RecursionError)
    return name if expected and "internal error" not in str(error) else f"WRONG {name}: {error}"


def main() -> None:
    """Load one copy after the other; a line before and after each shows the parent what it died of."""
    kind, original, seed, first, last = sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:6])
    name, load = KINDS[kind]
    data = original.read_bytes()
    path = Path(sys.argv[6]) / f"{kind}-{first}-{name}"
    import moka

    moka.set_num_threads(1)
    load(original, original)  # what loading whole files costs is not counted
    for index in range(first, last):
        path.write_bytes(mutate(data, kind, seed, index))
        print(f"at {index}", flush=True)
        begin, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        answer = "loaded"
        try:
            load(path, original)
        except BaseException as error:
            answer = answer_to(error)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
        print(
            f"done {index} {time.monotonic() - begin:.2f} {grown} {' '.join(answer.split())[:300]}",
            flush=True,
        )


if __name__ == "__main__":
    main()
