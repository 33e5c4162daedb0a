"""The predictor's C interface (moka/predictor/moka.h) through ctypes; a status becomes an exception."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import ctypes as ct
import functools
import os
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Interface", "Status"]

CODES = (
    "MOKA_OK MOKA_ERROR_RUNTIME MOKA_ERROR_VALUE MOKA_ERROR_TYPE MOKA_ERROR_INDEX MOKA_ERROR_NOT_IMPLEMENTED "
    "MOKA_ERROR_OUT_OF_MEMORY MOKA_ERROR_FILE MOKA_ERROR_CANCELLED MOKA_ERROR_INTERNAL"
).split()
KINDS = {"i": 0, "u": 1, "f": 2, "b": 6}


class Status(Exception):
    """A status that is not NULL, as "CODE: text"."""

    __module__ = "builtins"  # tracebacks show the bare name

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{CODES[code]}: {text}")


class _DType(ct.Structure):
    _fields_ = [("kind", ct.c_uint8), ("bits", ct.c_uint8), ("lanes", ct.c_uint16)]


class _Tensor(ct.Structure):
    _fields_ = [
        ("struct_size", ct.c_size_t),
        ("data", ct.c_void_p),
        ("dtype", _DType),
        ("ndim", ct.c_int32),
        ("shape", ct.POINTER(ct.c_int64)),
        ("strides", ct.POINTER(ct.c_int64)),
        ("owner", ct.c_void_p),
    ]


class _Port(ct.Structure):
    _fields_ = [
        ("struct_size", ct.c_size_t),
        ("name", ct.c_char_p),
        ("dtype", _DType),
        ("ndim", ct.c_int32),
        ("shape", ct.POINTER(ct.c_int64)),
    ]


class _LoadOptions(ct.Structure):
    _fields_ = [("struct_size", ct.c_size_t), ("optimize", ct.c_int32), ("max_bytes", ct.c_uint64)]


class _RunOptions(ct.Structure):
    _fields_ = [("struct_size", ct.c_size_t), ("deadline_seconds", ct.c_double)]


@functools.cache
def _library() -> ct.CDLL:
    library = ct.CDLL(str(Path(os.environ["MOKA_BUILD"], "lib", "libmoka.so")))
    for name in ("load", "load_bytes", "input", "run"):
        getattr(library, f"moka_predictor_{name}").restype = ct.c_void_p
    library.moka_set_num_threads.restype = ct.c_void_p
    library.moka_status_message.restype = ct.c_char_p
    return library


def _check(status: int | None) -> None:
    if status is None:
        return
    pointer = ct.c_void_p(status)
    code, text = _library().moka_status_code(pointer), _library().moka_status_message(pointer).decode()
    _library().moka_status_free(pointer)
    raise Status(code, text)


def _int64s(values: Any) -> Any:
    return (ct.c_int64 * len(values))(*values)


class Interface:
    """The functions of moka.h; arguments that a C program could get wrong may be given wrong here too."""

    def load(self, path: str | None, max_bytes: int = 0) -> ct.c_void_p:
        predictor = ct.c_void_p()
        options = _LoadOptions(ct.sizeof(_LoadOptions), 1, max_bytes)
        name = None if path is None else path.encode()
        _check(_library().moka_predictor_load(name, ct.byref(options), ct.byref(predictor)))
        return predictor

    def load_bytes(self, data: bytes, max_bytes: int = 0) -> ct.c_void_p:
        predictor = ct.c_void_p()
        options = _LoadOptions(ct.sizeof(_LoadOptions), 1, max_bytes)
        _check(
            _library().moka_predictor_load_bytes(
                data, ct.c_size_t(len(data)), ct.byref(options), ct.byref(predictor)
            )
        )
        return predictor

    def input(self, predictor: ct.c_void_p, index: int, struct_size: int | None = None) -> _Port:
        port = _Port(ct.sizeof(_Port) if struct_size is None else struct_size)
        _check(_library().moka_predictor_input(predictor, ct.c_size_t(index), ct.byref(port)))
        return port

    def run(
        self,
        predictor: ct.c_void_p | None,
        arrays: list[np.ndarray],
        outputs: int = 1,
        deadline: float = 0,
        **wrong: Any,
    ) -> None:
        tensors = (_Tensor * max(len(arrays), 1))()
        for tensor, array in zip(tensors, arrays, strict=False):
            shape = wrong.get("shape", array.shape)
            tensor.struct_size = wrong.get("struct_size", ct.sizeof(_Tensor))
            tensor.data = wrong.get("data", array.ctypes.data)
            tensor.dtype = _DType(KINDS[array.dtype.kind], wrong.get("bits", 8 * array.dtype.itemsize), 1)
            tensor.ndim = wrong.get("ndim", len(shape))
            tensor.shape = _int64s(shape)
            if "strides" in wrong:
                tensor.strides = _int64s(wrong["strides"])
        results = (_Tensor * outputs)(*(_Tensor(ct.sizeof(_Tensor)) for _ in range(outputs)))
        options = _RunOptions(ct.sizeof(_RunOptions), deadline)
        count = ct.c_size_t(len(arrays))
        status = _library().moka_predictor_run(
            predictor, tensors, count, results, ct.c_size_t(outputs), ct.byref(options)
        )
        for result in results if status is None else ():
            _library().moka_tensor_release(ct.byref(result))
        _check(status)

    def set_num_threads(self, threads: int) -> None:
        _check(_library().moka_set_num_threads(ct.c_int32(threads)))
