"""Tensors from numbers and from memory, in the call forms that one schema cannot say."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from warnings import warn

from . import _C
from ._C import Tensor

__all__ = ["arange", "asarray", "frombuffer", "linspace", "logspace", "randint", "range_"]

Number = int | float


def arange(
    start: Number,
    end: Number | None = None,
    step: Number = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    layout: Any = None,
    pin_memory: bool = False,
    out: Tensor | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, ... below end; `arange(end)` starts at 0. int64, unless a float is among them."""
    if end is None:
        start, end = 0, start
    values = _C.arange(start, end, step, dtype=_type_for(out, dtype, "arange"), device=device)
    if out is not None:
        return _into(out, values)
    return values.requires_grad_() if requires_grad else values


def _type_for(out: Tensor | None, dtype: Any, name: str) -> Any:
    """The type to compute in: that of the output given, which a named one has to be."""
    if out is None:
        return dtype
    if dtype is not None and (named := _C.empty(0, dtype=dtype).dtype) != out.dtype:
        raise RuntimeError(f"{name}: dtype {named} does not match the type of out=, {out.dtype}")
    return out.dtype


def _into(out: Tensor, values: Tensor) -> Tensor:
    """An output of as many elements keeps its shape."""
    if out.numel() != values.numel():
        out.resize_(values.shape)
    return out.copy_(values.reshape(out.shape))


def linspace(start: Any, end: Any, steps: int, **options: Any) -> Tensor:
    """`steps` numbers from start to end at equal distances; complex ones go along a line."""
    return _spaced(_C.linspace, start, end, steps, **options)


def logspace(start: Any, end: Any, steps: int, base: float = 10.0, **options: Any) -> Tensor:
    """base to the power of each number of linspace(start, end, steps)."""
    exponents = _line_type(start, end)
    if exponents is None:
        return _spaced(lambda a, b, n, **o: _C.logspace(a, b, n, base, **o), start, end, steps, **options)
    kind = options.get("dtype") or exponents
    return _finished(_C.pow(base, linspace(start, end, steps, dtype=kind)), **options)


def _line_type(start: Any, end: Any) -> Any:
    """The complex type of a line between these ends, None of a real one."""
    for value in (start, end):
        if isinstance(value, complex) or (isinstance(value, Tensor) and value.is_complex()):
            return _C.complex128 if _C.get_default_dtype() == _C.float64 else _C.complex64
    return None


def _spaced(line: Any, start: Any, end: Any, steps: int, **options: Any) -> Tensor:
    for name, value in (("start", start), ("end", end)):
        if isinstance(value, Tensor) and value.dim():
            raise RuntimeError(
                f"linspace only supports 0-dimensional start and end tensors, but {name} has shape "
                f"{list(value.shape)}"
            )
    kind = _line_type(start, end)
    if kind is None:
        return line(start, end, steps, **options)
    given = options.get("dtype")
    given = given if given is None else _C.empty(0, dtype=given).dtype
    if given is not None and not given.is_complex:
        raise RuntimeError(f"linspace: the ends are complex, but dtype is {given}")
    first, last = (complex(v.item()) if isinstance(v, Tensor) else complex(v) for v in (start, end))
    parts = (line(a, b, steps, dtype=_C.float64) for a, b in zip(_parts(first), _parts(last), strict=True))
    return _finished(_C.complex(*parts).to(given or kind), **options)


def _parts(z: complex) -> tuple[float, float]:
    return z.real, z.imag


def _finished(
    values: Tensor, *, out: Tensor | None = None, requires_grad: bool = False, **_: Any
) -> Tensor:
    if out is not None:
        return _into(out, values)
    return values.requires_grad_() if requires_grad else values


def randint(
    *args: Any,
    low: int = 0,
    high: int | None = None,
    size: Sequence[int] | None = None,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    layout: Any = None,
    pin_memory: bool = False,
    out: Tensor | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Integers from low to high - 1, drawn alike: `randint(high, size)`, which starts at 0, or
    `randint(low, high, size)`; all three may be keywords.
    """
    given = list(args)
    if size is None and given and not _is_number(given[-1]):
        size = given.pop()
    if high is None and given:
        high = given.pop()
    if given:
        low = given.pop()
    if size is None or high is None or given or isinstance(size, int):
        raise TypeError(
            "randint: give the size as a tuple: randint(high, (2, 3)) or randint(low, high, (2, 3))"
        )
    if out is not None:
        dtype = _type_for(out, dtype, "randint")
        return _C.randint(low, high, tuple(size), generator=generator, dtype=dtype, out=out)
    values = _C.randint(low, high, tuple(size), generator=generator, dtype=dtype, device=device)
    return values.requires_grad_() if requires_grad else values


def _is_number(value: Any) -> bool:
    return not isinstance(value, (list, tuple)) and (not isinstance(value, Tensor) or value.dim() == 0)


def frombuffer(
    buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False
) -> Tensor:
    """A vector on the memory of an object with the buffer protocol: `count` elements from byte `offset` on.

    Errors: no buffer; an offset outside it; a length that is no whole number of elements.
    """
    try:
        data = memoryview(buffer)
    except TypeError:
        raise ValueError(
            f"frombuffer: object does not implement Python buffer protocol. Got {type(buffer).__name__}"
        ) from None
    size, length = dtype.itemsize, data.nbytes
    if length == 0 or count == 0:
        raise ValueError(f"frombuffer: both buffer length ({length}) and count ({count}) must not be 0")
    if not 0 <= offset < length:
        raise ValueError(
            f"frombuffer: offset ({offset} bytes) must be non-negative and less than buffer length "
            f"({length} bytes)"
        )
    if count < 0:
        if (length - offset) % size:
            raise ValueError(
                f"frombuffer: buffer length ({length - offset} bytes) after offset ({offset} bytes) must be "
                f"a multiple of element size ({size})"
            )
        count = (length - offset) // size
    if offset + count * size > length:
        raise ValueError(
            f"frombuffer: requested buffer length ({count} * {size} bytes) after offset ({offset} bytes) "
            f"must not be greater than actual buffer length ({length} bytes)"
        )
    if data.readonly:
        warn(
            "The given buffer is not writable, so the tensor of frombuffer refuses to be written to; clone() "
            "it to get one that can be",
            stacklevel=2,
        )
    elements = _C.as_tensor(data.cast("B"))[offset : offset + count * size].view(dtype)
    return elements.requires_grad_() if requires_grad else elements


def asarray(
    obj: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    copy: bool | None = None,
    requires_grad: bool | None = None,
) -> Tensor:
    """obj as a tensor, on its memory where it is a tensor, an array, a DLPack capsule or a buffer.

    `copy=True` always copies, `copy=False` is an error where a copy would be needed.
    """
    shared = _shared(obj)
    if shared is None:
        if copy is False:
            raise ValueError("asarray: can't alias arbitrary sequence into a tensor.")
        return _C.tensor(obj, dtype=dtype, device=device, requires_grad=bool(requires_grad))
    converts = dtype is not None and shared.dtype != dtype
    moves = device is not None and _C.device(device) != shared.device
    if copy is False and (moves or converts):
        part, of, to = "dtype", shared.dtype, dtype
        if moves:
            part, of, to = "device", shared.device, device
        raise ValueError(f"asarray: can't alias tensor with {part} '{of}' into {part} '{to}'.")
    result = shared
    if copy or converts or moves:
        result = shared.to(dtype=dtype, device=device, copy=bool(copy))
    if requires_grad is False and result.requires_grad:
        return result.detach()
    return result.requires_grad_() if requires_grad and not result.requires_grad else result


def _shared(obj: Any) -> Tensor | None:
    """A tensor on the memory of obj; None where obj has no memory of that kind."""
    if isinstance(obj, Tensor):
        return obj
    if isinstance(obj, (list, tuple, range, int, float, complex, str)):
        return None
    if type(obj).__name__ == "PyCapsule":
        return _C._from_dlpack(obj)
    try:
        memoryview(obj)
    except TypeError:
        return None
    return _C.as_tensor(obj)


def range_(
    start: Number,
    end: Number | None = None,
    step: Number = 1,
    *,
    out: Tensor | None = None,
    dtype: Any = None,
    device: Any = None,
    layout: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, ... up to and with end, floats unless dtype is given; arange is the newer form."""
    warn("range: is deprecated; arange, which leaves the end out, is the newer form", stacklevel=2)
    if end is None:
        start, end = 0, start
    if step == 0:
        raise RuntimeError("range: step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError(
            f"range: upper bound and lower bound inconsistent with step sign: from {start} to {end} by {step}"
        )
    wanted = _C.empty(0, dtype=_type_for(out, dtype, "range")).dtype
    count = int((end - start) / step) + 1
    exact = not wanted.is_floating_point and not wanted.is_complex
    places = _C.arange(0, count, 1, dtype=_C.int64 if exact else _C.float64, device=device)
    values = (places * step + start).to(wanted)
    if out is not None:
        return _into(out, values)
    return values.requires_grad_() if requires_grad else values
