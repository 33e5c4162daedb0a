"""Names of `torch` itself that stand elsewhere in Moka, or have little to do here."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from moka import _C
from moka._C import Tensor
from moka.nn import Module
from moka.random import initial_seed, seed
from moka.storage import TypedStorage, UntypedStorage
from moka.tensor_methods import set_

from .refusing import refused_function

__all__ = [
    "BFloat16Tensor",
    "BoolTensor",
    "ByteTensor",
    "CharTensor",
    "DoubleTensor",
    "FloatTensor",
    "HalfTensor",
    "IntTensor",
    "LongTensor",
    "ShortTensor",
    "are_deterministic_algorithms_enabled",
    "compile",
    "e",
    "eig",
    "get_float32_matmul_precision",
    "get_num_interop_threads",
    "inf",
    "initial_seed",
    "is_complex",
    "is_floating_point",
    "is_storage",
    "is_tensor",
    "lstsq",
    "matrix_rank",
    "nan",
    "newaxis",
    "numel",
    "pi",
    "seed",
    "set_default_device",
    "set_default_tensor_type",
    "set_float32_matmul_precision",
    "set_num_interop_threads",
    "solve",
    "symeig",
    "typename",
    "use_deterministic_algorithms",
    "vmap",
]

inf, nan, pi, e = math.inf, math.nan, math.pi, math.e
newaxis = None


def _removed(name: str, instead: str) -> Callable[..., Any]:
    why = f"This function was deprecated since version 1.9 and is now removed; use {instead}"
    return refused_function(f"torch.{name}", why)


eig = _removed("eig", "torch.linalg.eig, which returns complex tensors")
lstsq = _removed("lstsq", "torch.linalg.lstsq, which takes A first")
matrix_rank = _removed("matrix_rank", "torch.linalg.matrix_rank")
solve = _removed("solve", "torch.linalg.solve, which takes A first")
symeig = _removed("symeig", "torch.linalg.eigh")


class _Typed(type):
    """The type of torch.FloatTensor and the like: makes tensors, and recognizes those of its dtype."""

    dtype: Any

    def __call__(cls, *args: Any, device: Any = None) -> Tensor:
        if device is not None and _C.device(device).type != "cpu":
            raise RuntimeError(
                f"{cls.__name__}: legacy constructor expects device type: cpu but got {device}"
            )
        if len(args) == 1 and isinstance(args[0], (Tensor, TypedStorage, UntypedStorage)):
            return _shared(args[0], cls.dtype)
        if len(args) == 1 and not isinstance(args[0], (int, _C.Size)):
            return _C.tensor(args[0], dtype=cls.dtype)
        return _C.empty(*args, dtype=cls.dtype) if args else _C.empty(0, dtype=cls.dtype)

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, Tensor) and value.dtype == cls.dtype


def _shared(source: Any, dtype: Any) -> Tensor:
    """The same memory as a tensor of that dtype."""
    if not isinstance(source, Tensor):
        return set_(_C.empty(0, dtype=dtype), source)
    if source.dtype != dtype:
        raise TypeError(f"expected a tensor of {dtype}, got one of {source.dtype}; convert it first")
    return source.detach()


def _typed(name: str, dtype: Any) -> Any:
    doc = f"Tensors of {dtype}: `{name}(sizes)` is empty memory, `{name}(data)` holds the data."
    return _Typed(name, (), {"dtype": dtype, "__doc__": doc})


FloatTensor = _typed("FloatTensor", _C.float32)
DoubleTensor = _typed("DoubleTensor", _C.float64)
HalfTensor = _typed("HalfTensor", _C.float16)
BFloat16Tensor = _typed("BFloat16Tensor", _C.bfloat16)
ByteTensor = _typed("ByteTensor", _C.uint8)
CharTensor = _typed("CharTensor", _C.int8)
ShortTensor = _typed("ShortTensor", _C.int16)
IntTensor = _typed("IntTensor", _C.int32)
LongTensor = _typed("LongTensor", _C.int64)
BoolTensor = _typed("BoolTensor", _C.bool)


def is_tensor(obj: object) -> bool:
    """Whether obj is a tensor."""
    return isinstance(obj, Tensor)


def is_storage(obj: object) -> bool:
    """Whether obj is a storage."""
    return isinstance(obj, (TypedStorage, UntypedStorage))


def is_floating_point(input: Tensor) -> bool:
    """Whether the elements are floating-point numbers."""
    return input.dtype.is_floating_point


def is_complex(input: Tensor) -> bool:
    """Whether the elements are complex numbers."""
    return input.dtype.is_complex


def numel(input: Tensor) -> int:
    """The number of elements."""
    return input.numel()


def typename(obj: Any) -> str:
    """The name of an object's type; of a tensor "torch.FloatTensor" and so on."""
    if isinstance(obj, Tensor) and type(obj) is Tensor:
        for name in __all__:
            if name.endswith("Tensor") and isinstance(obj, globals()[name]):
                return f"torch.{name}"
    kind = type(obj)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def compile(model: Callable[..., Any] | None = None, **_: Any) -> Any:
    """Gives back a function, and a Module one step down: eager operators run as they are. `moka.jit.trace`
    makes graphs.
    """
    if model is None:
        return compile
    if isinstance(model, Module):
        from .dynamo import OptimizedModule

        return OptimizedModule(model)
    return model


def set_default_device(device: Any) -> None:
    """Make tensors that name no device there: the CPU, which None means too, or meta."""
    _C._default_device("cpu" if device is None else device)


def set_default_tensor_type(t: Any) -> None:
    """Make the dtype of a type such as torch.DoubleTensor the default."""
    if isinstance(t, str):
        t = globals()[t.rpartition(".")[2]]
    _C.set_default_dtype(getattr(t, "dtype", t))


_switches: dict[str, Any] = {"matmul": "highest", "deterministic": False, "fill": True}


def set_float32_matmul_precision(precision: str) -> None:
    """Kept and without effect: matrix products of float32 are computed in float32."""
    if precision not in ("highest", "high", "medium"):
        raise ValueError(f"precision must be 'highest', 'high' or 'medium', but {precision!r} came")
    _switches["matmul"] = precision


def get_float32_matmul_precision() -> str:
    """What was set."""
    return _switches["matmul"]


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Fills what empty() gives; with the same number of threads results have the same bits anyway."""
    _switches["deterministic"] = bool(mode)
    fills_unset(_switches["fill"])


def fills_unset(value: bool | None = None) -> bool:
    """Whether deterministic algorithms fill what empty() gives; sets it where a value is given."""
    if value is not None:
        _switches["fill"] = value
        _C._fill_unset(_switches["deterministic"] and value)
    return _switches["fill"]


def are_deterministic_algorithms_enabled() -> bool:
    """What was set."""
    return _switches["deterministic"]


def get_num_interop_threads() -> int:
    """One: operators run one after the other."""
    return 1


def set_num_interop_threads(count: int) -> None:
    """Kept out: operators run one after the other."""
    if count < 1:
        raise RuntimeError(f"set_num_interop_threads: the number must be above zero, but is {count}")


def vmap(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[..., Any]:
    """The function over a batch; see moka.func.vmap."""
    from moka import func as transforms

    return transforms.vmap(func, *args, **kwargs)
