"""save and load: nested plain data and tensors in one safetensors file that cannot run code and survives
crashes.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import base64
import binascii
import json
import math
import os
import zlib
from collections import OrderedDict
from typing import Any, BinaryIO

import numpy as np

from moka import _C
from moka._C import Tensor

from . import safetensors
from .atomic import replace_file

__all__ = ["CheckpointError", "load", "save"]

_MAX_DEPTH = 200
_FORMAT = "moka.format"
_STRUCTURE = "moka.structure"
_CHECKSUMS = "moka.checksums"


class CheckpointError(ValueError):
    """A file is not a whole checkpoint; the text names the file and says what is wrong with it."""


def save(obj: Any, f: str | os.PathLike[str] | BinaryIO, format: str = "moka") -> None:
    """Write plain data to a file, or to a binary file object.

    `format="pt"` writes a file for torch.load (weights_only=True) instead, with no checksums but torch's own.

    Plain data are None, bool, int, float, complex, str, bytes, Tensor, and dict, OrderedDict, list and tuple
    of plain data (NumPy's scalars become Python numbers, Parameters become Tensors). Whatever else comes is
    an error that says where it stands. Tensors that share memory share it again when loaded.

    The file is a safetensors file, with the structure in its metadata and a checksum for every tensor. It is
    written under a temporary name and renamed, so that at every moment the old or the new file is there
    whole, also when the process is killed or the disk is full.

    >>> moka.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}, "run.ckpt")
    """
    if format == "pt":
        from .torch_files import write

        write(obj, f)
        return
    if format != "moka":
        raise ValueError(f"save: format must be 'moka' or 'pt', but {format!r} came")
    writer = _Writer()
    encoded = writer.encode(obj, "", 0)
    arrays = writer.arrays()  # completes the references in `encoded`
    structure = json.dumps(encoded, separators=(",", ":"))
    sums = {
        key: _checksum(dtype, array.shape, array.reshape(-1).view(np.uint8))
        for key, (dtype, array) in arrays.items()
    }
    checksums = json.dumps(
        {"structure": zlib.crc32(structure.encode()), "tensors": sums}, separators=(",", ":")
    )
    pieces = safetensors.pack(arrays, {_FORMAT: "1", _STRUCTURE: structure, _CHECKSUMS: checksums})
    if isinstance(f, (str, os.PathLike)):
        replace_file(f, pieces, "save")
    else:
        for piece in pieces:
            f.write(memoryview(piece).cast("B"))


def load(f: str | os.PathLike[str] | BinaryIO, map_location: Any = None) -> Any:
    """Read what `save` wrote, from a file, or from the position of a binary file object that can seek; checks
    everything.

    A safetensors file from elsewhere gives the dict of its tensors; a file of torch.save (zip or legacy)
    its plain
    data and tensors, whatever device they were on. Loading never runs code from the file. map_location:
    where the
    tensors go: the CPU, or meta, which keeps their shapes alone.
    Raises CheckpointError when the file is damaged, cut short, or of another kind.
    """
    if map_location is not None and not callable(map_location) and not isinstance(map_location, dict):
        place = _C.device(str(map_location))
        if place.type == "meta":
            from .utils.pytree import tree_map

            return tree_map(lambda x: x.to(place) if isinstance(x, Tensor) else x, load(f))
        if place.type != "cpu":
            raise RuntimeError(f"load: map_location {place} is not there; this build has the CPU only")
    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb") as file:
            return _load(file, os.fspath(f))
    return _load(f, getattr(f, "name", "<file object>"))


def _checksum(dtype: str, shape: Any, data: np.ndarray) -> int:
    """CRC-32 over what the header says of a tensor and over its bytes."""
    return zlib.crc32(memoryview(data), zlib.crc32(f"{dtype}{list(shape)}".encode()))


class _Writer:
    """Turns an object into JSON with references to tensors, and collects the tensors."""

    def __init__(self) -> None:
        self._places: dict[int, dict[str, Any]] = {}  # id of a tensor -> its reference
        self._kept: list[tuple[Tensor, dict[str, Any], str]] = []
        self._names: set[str] = set()
        self._open: set[int] = set()

    def encode(self, value: Any, path: str, depth: int) -> Any:
        kind = type(value)
        if value is None or kind in (bool, int, str):
            return value
        if kind is float:
            return value if math.isfinite(value) else {"$float": repr(value)}
        if isinstance(value, Tensor):
            return self._tensor(value, path)
        if kind is complex:
            return {"$complex": [self.encode(value.real, path, depth), self.encode(value.imag, path, depth)]}
        if kind is bytes:
            return {"$bytes": base64.b64encode(value).decode()}
        if isinstance(value, np.generic) and not isinstance(value, (np.void, np.datetime64, np.timedelta64)):
            return self.encode(value.item(), path, depth)
        if isinstance(value, (dict, list, tuple)):
            return self._container(value, path, depth)
        raise TypeError(
            f"save: {path or 'the object'} is {_full_name(kind)}, not plain data; {_advice(value)}"
        )

    def _container(self, value: Any, path: str, depth: int) -> Any:
        if id(value) in self._open:
            raise ValueError(f"save: {path or 'the object'} contains itself")
        if depth >= _MAX_DEPTH:
            raise ValueError(f"save: data are nested more than {_MAX_DEPTH} deep, at {path[:80]}...")
        kind = type(value)
        if kind not in (dict, OrderedDict, list, tuple) and not isinstance(value, _C.Size):
            raise TypeError(
                f"save: {path or 'the object'} is {_full_name(kind)}, not plain data; {_advice(value)}"
            )
        self._open.add(id(value))
        try:
            if isinstance(value, (list, tuple)):
                items = [
                    self.encode(item, f"{path}.{i}" if path else str(i), depth + 1)
                    for i, item in enumerate(value)
                ]
                return items if kind is list else {"$tuple": items}
            pairs = []
            for key, item in value.items():
                if type(key) not in (str, int, float, bool, tuple, bytes, type(None)):
                    raise TypeError(
                        f"save: {path or 'the object'} has a key of {_full_name(type(key))}, not plain data"
                    )
                below = f"{path}.{key}" if path else str(key)
                pairs.append([self.encode(key, below, depth + 1), self.encode(item, below, depth + 1)])
            if kind is OrderedDict:
                return {"$ordered": pairs}
            if all(type(key) is str and not key.startswith("$") for key in value):
                return dict(pairs)
            return {"$dict": pairs}
        finally:
            self._open.discard(id(value))

    def _tensor(self, tensor: Tensor, path: str) -> dict[str, Any]:
        known = self._places.get(id(tensor))
        if known is not None:
            return known
        name = base = path or "tensor"
        number = 1
        while name in self._names or name == "__metadata__":
            number += 1
            name = f"{base}#{number}"
        self._names.add(name)
        reference: dict[str, Any] = {"$tensor": name}
        self._places[id(tensor)] = reference
        self._kept.append((tensor, reference, path))
        return reference

    def arrays(self) -> dict[str, tuple[str, np.ndarray]]:
        """The arrays to store; references of tensors that overlap in memory are turned into views of one
        array.
        """
        spans = []
        found: dict[str, tuple[str, np.ndarray]] = {}
        for tensor, reference, path in self._kept:
            if tensor.numel() == 0:
                self._store(found, tensor, reference, path)
                continue
            reach = sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))
            begin = tensor.data_ptr()
            spans.append((begin, begin + (reach + 1) * tensor.element_size(), tensor, reference, path))
        spans.sort(key=lambda span: (span[0], -span[1]))
        group: list[Any] = []
        end = -1
        for span in [*spans, None]:
            if span is not None and group and span[0] < end:
                group.append(span)
            else:
                self._store_group(found, group)
                group = [span]
            if span is not None:
                end = max(end, span[1])
        return found

    def _store_group(self, found: dict[str, tuple[str, np.ndarray]], group: list[Any]) -> None:
        if len(group) == 1:
            _, _, tensor, reference, path = group[0]
            self._store(found, tensor, reference, path)
            return
        if not group:
            return
        if len({span[2].dtype for span in group}) > 1:
            paths = ", ".join(span[4] for span in group[:4])
            raise TypeError(f"save: {paths} share memory but have different dtypes; save clones of them")
        begin, end = group[0][0], max(span[1] for span in group)
        first, name = group[0][2], group[0][3]["$tensor"]
        if first.dtype == _C.bfloat16:
            raise TypeError(
                f"save: {name} shares memory with others; of bfloat16 tensors only clones can be saved"
            )
        width = first.element_size()
        dtype, array = safetensors.to_array(first.detach().reshape(-1)[:0], f"save: {name}")
        values = first.detach().numpy()
        whole = np.lib.stride_tricks.as_strided(values, [(end - begin) // width], [width])
        found[name] = dtype, np.ascontiguousarray(whole, array.dtype)
        for start, _, tensor, reference, _ in group:
            reference["$tensor"] = name
            reference["view"] = [list(tensor.shape), list(tensor.stride()), (start - begin) // width]

    def _store(
        self, found: dict[str, tuple[str, np.ndarray]], tensor: Tensor, reference: dict[str, Any], path: str
    ) -> None:
        found[reference["$tensor"]] = safetensors.to_array(tensor, f"save: {path or 'the object'}")


def _full_name(kind: type) -> str:
    return (
        kind.__qualname__
        if kind.__module__ in ("builtins", "__main__")
        else f"{kind.__module__}.{kind.__qualname__}"
    )


def _advice(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return "use moka.from_numpy(array)"
    if hasattr(value, "state_dict"):
        return "save its state_dict()"
    if isinstance(value, (set, frozenset)):
        return "save sorted(it)"
    return "turn it into dicts, lists, numbers, strings and tensors"


class _Reader:
    """Turns the structure of a file back into objects; every shape and offset is checked."""

    def __init__(self, name: str, tensors: dict[str, Tensor]) -> None:
        self._name = name
        self._tensors = tensors
        self._views: dict[str, Tensor] = {}

    def _wrong(self, what: str) -> CheckpointError:
        return CheckpointError(f"{self._name}: damaged: {what}")

    def decode(self, value: Any, depth: int) -> Any:
        if depth > _MAX_DEPTH + 1:
            raise self._wrong(f"its data are nested more than {_MAX_DEPTH} deep")
        if isinstance(value, list):
            return [self.decode(item, depth + 1) for item in value]
        if not isinstance(value, dict):
            return value
        tag = next((key for key in value if key.startswith("$")), None)
        if tag is None:
            return {key: self.decode(item, depth + 1) for key, item in value.items()}
        return self._tagged(tag, value, depth)

    def _tagged(self, tag: str, value: dict[str, Any], depth: int) -> Any:
        body = value[tag]
        try:
            if tag == "$tensor":
                return self._tensor(value)
            if len(value) != 1:
                raise self._wrong(f"{tag} with other entries beside it")
            if tag == "$tuple" and isinstance(body, list):
                return tuple(self.decode(item, depth + 1) for item in body)
            if tag in ("$dict", "$ordered") and isinstance(body, list):
                pairs = [(self.decode(key, depth + 1), self.decode(item, depth + 1)) for key, item in body]
                return OrderedDict(pairs) if tag == "$ordered" else dict(pairs)
            if tag == "$bytes" and isinstance(body, str):
                return base64.b64decode(body, validate=True)
            if tag == "$float" and body in ("nan", "inf", "-inf"):
                return float(body)
            if tag == "$complex" and isinstance(body, list):
                real, imaginary = (self.decode(part, depth + 1) for part in body)
                return complex(real, imaginary)
        except (TypeError, binascii.Error) as error:
            raise self._wrong(f"{tag} is not well formed ({error})") from None
        except ValueError as error:
            if isinstance(error, CheckpointError):
                raise
            raise self._wrong(f"{tag} is not well formed ({error})") from None
        raise self._wrong(f"{tag[:40]} is not known, or holds what it must not")

    def _tensor(self, reference: dict[str, Any]) -> Tensor:
        name = reference["$tensor"]
        stored = self._tensors.get(name) if isinstance(name, str) else None
        if stored is None:
            raise self._wrong(f"its structure names tensor {str(name)[:80]!r}, which is not there")
        if set(reference) == {"$tensor"}:
            return stored
        view = reference.get("view")
        if set(reference) != {"$tensor", "view"} or not isinstance(view, list) or len(view) != 3:
            raise self._wrong(f"the view of tensor {name!r} is not well formed")
        key = json.dumps([name, view])
        if key not in self._views:
            self._views[key] = self._view(name, stored, *view)
        return self._views[key]

    def _view(self, name: str, stored: Tensor, shape: Any, strides: Any, offset: Any) -> Tensor:
        sound = isinstance(shape, list) and isinstance(strides, list) and len(shape) == len(strides) <= 64
        if not sound or any(type(n) is not int or not 0 <= n < 1 << 62 for n in (*shape, *strides, offset)):
            raise self._wrong(f"the view of tensor {name!r} is not well formed")
        last = offset + sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
        if 0 in shape or stored.dim() != 1 or last >= stored.numel():
            raise self._wrong(f"a view of tensor {name!r} reaches beyond its data")
        values = stored.numpy()
        steps = [step * values.itemsize for step in strides]
        return _C.from_numpy(np.lib.stride_tricks.as_strided(values[offset:], shape, steps))


def _load(file: Any, name: str) -> Any:
    if _is_torch_file(file):
        from .torch_files import read

        return read(file, name)
    try:
        entries, metadata, start = safetensors.read_header(file, name)
        sums, structure = _read_metadata(name, metadata)
        tensors = {}
        for key, entry in entries.items():
            tensors[key], data = safetensors.read_tensor(file, name, key, entry, start)
            if sums is not None and sums.get(key) != _checksum(entry.dtype, entry.shape, data):
                raise CheckpointError(f"{name}: damaged: the checksum of tensor {key!r} is wrong")
    except safetensors.SafetensorsError as error:
        raise CheckpointError(str(error)) from None
    if structure is None:
        return tensors
    try:
        return _Reader(name, tensors).decode(json.loads(structure), 0)
    except (RecursionError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{name}: damaged: its structure cannot be read ({error})") from None


def _read_metadata(name: str, metadata: dict[str, str]) -> tuple[dict[str, int] | None, str | None]:
    """Checksums and structure, both None in a safetensors file that `save` did not write."""
    ours = {_FORMAT, _STRUCTURE, _CHECKSUMS}
    if not ours & set(metadata):
        return None, None
    if not ours <= set(metadata):
        raise CheckpointError(f"{name}: damaged: {', '.join(sorted(ours - set(metadata)))} is missing")
    version = metadata[_FORMAT]
    if version != "1":
        raise CheckpointError(
            f"{name}: written in format {version[:20]!r} by a later Moka; this one reads format 1"
        )
    structure = metadata[_STRUCTURE]
    try:
        checksums = json.loads(metadata[_CHECKSUMS])
        sums, own = checksums["tensors"], checksums["structure"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CheckpointError(f"{name}: damaged: its checksums cannot be read") from None
    if own != zlib.crc32(structure.encode("utf-8", "surrogatepass")) or not isinstance(sums, dict):
        raise CheckpointError(f"{name}: damaged: the checksum of its structure is wrong")
    return sums, structure


def _is_torch_file(file: Any) -> bool:
    """Whether what follows begins like a file of torch.save: a zip archive, or a pickle."""
    begin = file.tell()
    head = file.read(8)
    file.seek(begin)
    pickled = head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    return head[:4] == b"PK\x03\x04" or (pickled and head[2:8] != bytes(6))
