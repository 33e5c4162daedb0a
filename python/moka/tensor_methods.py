"""Methods of Tensor that are easier said in Python; `import moka` adds them to the extension's class."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from typing import Any

from . import _C, layouts
from ._C import Tensor

__all__ = ["install"]


def is_nonzero(self: Tensor) -> bool:
    """Whether the one element is not zero."""
    return bool(self)


def _repr(self: Tensor, *, tensor_contents: str | None = None) -> str:
    from . import tensor_text

    return tensor_text.writer(self, tensor_contents)


def to_sparse(self: Tensor, *args: Any, **kwargs: Any) -> Any:
    """The elements that are not zero, as a moka.sparse.SparseTensor."""
    from . import sparse

    return sparse.to_sparse(self, *args, **kwargs)


def sparse_mask(self: Tensor, mask: Any) -> Any:
    """The elements at the places of a sparse tensor."""
    from . import sparse

    return sparse.sparse_mask(self, mask)


def to_sparse_csr(self: Tensor, *args: Any) -> Any:
    """The elements of a matrix that are not zero, as compressed rows."""
    from . import sparse

    return sparse.to_sparse_csr(self, *args)


def _html(self: Tensor) -> str:
    from .tensor_text import html

    return html(self)


def _format(self: Tensor, spec: str) -> str:
    return format(self.item() if self.dim() == 0 and not self.is_meta else str(self), spec)


def _iterate(self: Tensor) -> Iterator[Tensor]:
    if self.dim() == 0:
        raise TypeError("iter: a 0-d tensor cannot be iterated over")
    return (self[i] for i in range(self.shape[0]))


def _contains(self: Tensor, value: Any) -> bool:
    if not isinstance(value, (Tensor, int, float, complex)):
        raise RuntimeError(f"in: a Tensor or a number is expected, but {type(value).__name__} came")
    return bool((self == value).any().item())


def _deepcopy(self: Tensor, memo: dict[int, Any]) -> Tensor:
    if not self.is_leaf:
        raise RuntimeError(
            "deepcopy: only tensors that no recorded operation made can be copied; use detach().clone()"
        )
    known = memo.get(id(self))
    if known is None:
        known = copy_with_storage(self, memo)
        if type(self) is not Tensor:
            known = known.as_subclass(type(self))
        known.requires_grad_(self.requires_grad)
        memo[id(self)] = known
        if getattr(self, "__dict__", None):
            known.__dict__.update(copy.deepcopy(self.__dict__, memo))
        if self.grad is not None:
            known.grad = copy.deepcopy(self.grad, memo)
    return known


def copy_with_storage(self: Tensor, memo: dict[int, Any]) -> Tensor:
    """A copy that shares memory with the copies of tensors that share memory."""
    plain = self.detach()
    if not plain.numel():
        return plain.clone()
    from .storage import untyped_storage_of

    memory = untyped_storage_of(plain)._flat()
    place = ("moka memory", memory.data_ptr())
    copied = memo.get(place)  # type: ignore[call-overload]
    if copied is None:
        copied = memo[place] = memory.clone()  # type: ignore[index]
    flat = copied.view(plain.dtype)
    return _C.as_strided(flat, plain.shape, plain.stride(), plain.storage_offset()).detach()


def _lu(self: Tensor, pivot: bool = True, get_infos: bool = False) -> Any:
    from .linalg import _packed_lu

    return _packed_lu(self, pivot, get_infos)


def _array_namespace(self: Tensor, api_version: str | None = None) -> Any:
    from . import array_api

    if api_version not in (None, "2021.12", "2022.12", "2023.12", "2024.12"):
        raise ValueError(f"__array_namespace__: version {api_version!r} is not there; 2024.12 is the latest")
    return array_api


def _to_device(self: Tensor, device: Any, /, *, stream: Any = None) -> Tensor:
    if stream is not None:
        raise ValueError(f"to_device: no streams are there, but {stream!r} came")
    return self.to(device)


def _histogram(self: Tensor, *args: Any, **keywords: Any) -> Any:
    from .histograms import histogram

    return histogram(self, *args, **keywords)


def _copy(self: Tensor) -> Tensor:
    """Another tensor on the same memory."""
    other = self.detach()
    if type(self) is not Tensor:
        other = other.as_subclass(type(self))
    other.requires_grad_(self.requires_grad)
    if getattr(self, "__dict__", None):
        other.__dict__.update(self.__dict__)
    return other


_CARRIERS = {"bfloat16": "int16", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8", "complex32": "int32"}


def _reduce(self: Tensor, protocol: int) -> Any:
    if self.device.type == "meta":
        shown = (tuple(self.shape), tuple(self.stride()), self.dtype, self.requires_grad)
        return _rebuild_meta, (type(self), *shown)
    plain = self.detach().contiguous()
    if type(self) is not Tensor:
        state = dict(getattr(self, "__dict__", None) or {})
        plain = plain.as_subclass(Tensor)
        return _rebuild_subclass, (type(self), *_reduce(plain, protocol)[1][:2], self.requires_grad, state)
    carrier = _CARRIERS.get(self.dtype.name)
    array = plain.view(getattr(_C, carrier)).numpy() if carrier else plain.numpy()
    return _rebuild, (array, self.dtype.name, self.requires_grad)


def _rebuild_meta(cls: type, size: Any, stride: Any, dtype: Any, requires_grad: bool) -> Any:
    made = _C.empty_strided(size, stride, dtype=dtype, device="meta")
    if cls is not Tensor:
        return Tensor._make_subclass(cls, made, requires_grad)
    return made.requires_grad_(requires_grad)


def _rebuild(array: Any, dtype: str, requires_grad: bool) -> Tensor:
    tensor = _C.from_numpy(array.copy())
    if tensor.dtype.name != dtype:
        tensor = tensor.view(getattr(_C, dtype))
    return tensor.requires_grad_(requires_grad)


def _rebuild_subclass(cls: type, array: Any, dtype: str, requires_grad: bool, state: dict[str, Any]) -> Any:
    made = Tensor._make_subclass(cls, _rebuild(array, dtype, False), requires_grad)
    made.__dict__.update(state)
    return made


_LETTERS = {
    **{"float32": "Float", "float64": "Double", "float16": "Half", "bfloat16": "BFloat16", "uint8": "Byte"},
    **{"int8": "Char", "int16": "Short", "int32": "Int", "int64": "Long", "bool": "Bool"},
    **{"complex32": "ComplexHalf", "complex64": "ComplexFloat", "complex128": "ComplexDouble"},
}
_TYPES = {f"{word}Tensor": name for name, word in _LETTERS.items()}


def type_(self: Tensor, dtype: Any = None, non_blocking: bool = False, **_: Any) -> Any:
    """The name of the tensor's type ("torch.FloatTensor"), or the tensor in another type, given as a dtype,
    a class such as torch.FloatTensor or its name.
    """
    if dtype is None:
        return f"torch.{_LETTERS.get(self.dtype.name, self.dtype.name)}Tensor"
    if isinstance(dtype, str):
        place, _, last = dtype.rpartition(".")
        if place not in ("torch", "moka") or last not in _TYPES:
            raise ValueError(f"type: invalid type: {dtype!r}")
        return self.to(getattr(_C, _TYPES[last]))
    if isinstance(dtype, _C.dtype):
        return self.to(dtype)
    if dtype is Tensor:
        return self.to(_C.get_default_dtype())
    kind = getattr(dtype, "dtype", None)
    if not isinstance(kind, _C.dtype):
        raise TypeError(f"type: a dtype, a type of tensors or its name is needed, but {dtype!r:.40} came")
    return self.to(kind)


def new(self: Tensor, *args: Any, **_: Any) -> Tensor:
    """A tensor of the same type: of sizes, with memory of no particular value, or of data."""
    if len(args) == 1 and not isinstance(args[0], int):
        if isinstance(args[0], (_C.Size,)):
            return _C.empty(args[0], dtype=self.dtype)
        return _C.tensor(args[0], dtype=self.dtype)
    return _C.empty(*(args or (0,)), dtype=self.dtype)


def as_subclass(self: Tensor, cls: type) -> Any:
    """The same elements and history as a tensor of a subclass."""
    if not (isinstance(cls, type) and issubclass(cls, Tensor)):
        raise TypeError(f"as_subclass: a subclass of Tensor is needed, but {cls!r:.40} came")
    before = _C._overrides_disabled(1)  # subclasses use it to come back to plain tensors
    try:
        shown = _C.view_as(self, self)
        if cls is Tensor:
            return shown
        if shown.requires_grad:
            return _with_history(cls, shown)
        return Tensor._make_subclass(cls, shown, False)
    finally:
        _C._overrides_disabled(before)


def _with_history(cls: type, shown: Tensor) -> Any:
    made = Tensor._make_subclass(cls, shown.detach(), False)
    _C._become(made, shown, "as_subclass")
    return made


def _no_device(name: str) -> Callable[..., Any]:
    def refused(self: Tensor, *_: Any, **__: Any) -> Any:
        raise RuntimeError(f"Tensor.{name}: this build of Moka has the CPU only")

    refused.__name__ = name
    return refused


def cuda(self: Tensor, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> Tensor:
    """Refused where there is no CUDA: AssertionError, as torch has it without CUDA."""
    raise AssertionError("Torch not compiled with CUDA enabled: this build of Moka has the CPU only")


def get_device(self: Tensor) -> int:
    """The number of the device; -1 for the CPU."""
    return -1


def _share_memory_(self: Tensor) -> Tensor:
    """Move the tensor into memory that processes share; gives it back. Views keep the memory they had."""
    from .shared_memory import share

    return share(self)


def _is_shared(self: Tensor) -> bool:
    """Whether other processes can write into the tensor's memory."""
    shared = sys.modules.get("moka.shared_memory")
    return shared is not None and shared.is_shared(self)


def pin_memory(self: Tensor, device: Any = None) -> Tensor:
    """Refused: memory is pinned for a device, and there is none."""
    raise RuntimeError("pin_memory: memory is pinned for an accelerator, and this build has none")


def _false(self: Tensor, *_: Any, **__: Any) -> bool:
    """False."""
    return False


def set_(
    self: Tensor, source: Any = None, storage_offset: int = 0, size: Any = None, stride: Any = None
) -> Tensor:
    """Show the memory of another tensor or storage from now on, or none."""
    if source is None:
        _C._set(self, _C.empty(0, dtype=self.dtype))
        return self
    if isinstance(source, Tensor):
        if size is None:
            _C._set(self, source.detach())
            return self
        from .storage import storage_of

        source = storage_of(source)
    flat = source.as_elements(self.dtype)
    sizes = [flat.numel()] if size is None else list(size)
    if stride is None:
        stride, step = [], 1
        for length in reversed(sizes):
            stride.insert(0, step)
            step *= length
    _C._set(self, _C.as_strided(flat, sizes, stride, storage_offset))
    return self


def is_set_to(self: Tensor, tensor: Tensor) -> bool:
    """Whether both show the same elements of the same memory."""
    return (
        self.data_ptr() == tensor.data_ptr()
        and self.shape == tensor.shape
        and self.stride() == tensor.stride()
    )


def is_same_size(self: Tensor, other: Tensor) -> bool:
    """Whether the shapes are equal."""
    return self.shape == other.shape


def storage(self: Tensor) -> Any:
    """The whole memory of which the tensor shows a part."""
    from .storage import storage_of

    return storage_of(self)


def storage_type(self: Tensor) -> Any:
    """The class of storages of the tensor's dtype, such as FloatStorage."""
    from .storage import KINDS
    from .torch_files import STORAGES

    return KINDS[STORAGES[self.dtype.name]]


def untyped_storage(self: Tensor) -> Any:
    """The whole memory of which the tensor shows a part, as bytes."""
    from .storage import untyped_storage_of

    return untyped_storage_of(self)


def apply_(self: Tensor, callable: Callable[[Any], Any]) -> Tensor:
    """Replace every element by the function of it; slow."""
    return self.copy_(
        _C.tensor([callable(x) for x in self.reshape(-1).tolist()], dtype=self.dtype).view(self.shape)
    )


def map_(self: Tensor, tensor: Tensor, callable: Callable[[Any, Any], Any]) -> Tensor:
    """Replace every element by the function of it and of the element of `tensor` in its place; slow."""
    other = tensor.expand(self.shape).reshape(-1).tolist()
    values = [callable(x, y) for x, y in zip(self.reshape(-1).tolist(), other, strict=True)]
    return self.copy_(_C.tensor(values, dtype=self.dtype).view(self.shape))


def map2_(self: Tensor, x: Tensor, y: Tensor, callable: Callable[[Any, Any, Any], Any]) -> Tensor:
    """Replace every element by the function of it and of those of `x` and `y` in its place; slow."""
    others = (t.expand(self.shape).reshape(-1).tolist() for t in (x, y))
    values = [callable(*entry) for entry in zip(self.reshape(-1).tolist(), *others, strict=True)]
    return self.copy_(_C.tensor(values, dtype=self.dtype).view(self.shape))


def _frexp(self: Tensor) -> Any:
    from .written_functions import frexp

    return frexp(self)


def fill_diagonal_(self: Tensor, fill_value: float, wrap: bool = False) -> Tensor:
    """Set the elements whose indices are all equal; `wrap` goes on below a tall matrix's square parts."""
    if self.dim() < 2:
        raise RuntimeError("dimensions must larger than 1")
    if self.dim() > 2 and len(set(self.shape)) > 1:
        raise RuntimeError("all dimensions of input must be of equal length")
    step = sum(self.stride())
    least = min(self.shape)
    diagonal = _C.as_strided(self, [least], [step], self.storage_offset())
    diagonal.fill_(fill_value)
    if wrap and self.dim() == 2 and self.shape[0] > self.shape[1] + 1:
        rows, columns = self.shape
        for top in range(columns + 1, rows, columns + 1):
            part = self[top:]
            part.fill_diagonal_(fill_value)
    return self


def dim_order(self: Tensor, **_: Any) -> tuple[int, ...]:
    """The dimensions from the outermost in memory to the innermost."""
    strides = self.stride()
    return tuple(sorted(range(self.dim()), key=lambda i: (-strides[i], i)))


def _reversed(self: Tensor) -> Tensor:
    return self.flip(0) if self.dim() else self


def _array_wrap(self: Tensor, array: Any, *_: Any, **__: Any) -> Tensor:
    """What a function of NumPy gave, as a tensor of the same memory; truth comes as uint8, as in PyTorch."""
    if array.dtype == bool:
        array = array.astype("uint8")
    alike = array.ndim and array.flags.writeable and min(array.strides, default=0) >= 0
    return _C.from_numpy(array) if alike else _C.tensor(array)


def _output_nr(self: Tensor) -> int:
    """Which result of its node this is; 0 for leaves."""
    return 0 if self.grad_fn is None else self._gradient_edge()[1]


def _polygamma(self: Tensor, n: int) -> Tensor:
    """The n-th derivative of digamma."""
    return _C.polygamma(n, self)


def _polygamma_(self: Tensor, n: int) -> Tensor:
    """polygamma, into this tensor."""
    return self.copy_(_C.polygamma(n, self))


METHODS: dict[str, Any] = {
    "__array_wrap__": _array_wrap,
    "__reversed__": _reversed,
    "apply_": apply_,
    "as_subclass": as_subclass,
    "cuda": cuda,
    "dim_order": dim_order,
    "fill_diagonal_": fill_diagonal_,
    "get_device": get_device,
    "has_names": _false,
    "ipu": _no_device("ipu"),
    "is_conj": _false,
    "is_distributed": _false,
    "is_neg": _false,
    "is_nonzero": is_nonzero,
    "is_pinned": _false,
    "is_same_size": is_same_size,
    "is_set_to": is_set_to,
    "is_shared": _is_shared,
    "frexp": _frexp,
    "map2_": map2_,
    "map_": map_,
    "new": new,
    "pin_memory": pin_memory,
    "polygamma": _polygamma,
    "polygamma_": _polygamma_,
    "record_stream": lambda self, s: None,
    "set_": set_,
    "share_memory_": _share_memory_,
    "sparse_mask": sparse_mask,
    "storage": storage,
    "storage_type": storage_type,
    "to_sparse": to_sparse,
    "to_sparse_coo": to_sparse,
    "to_sparse_csr": to_sparse_csr,
    "_typed_storage": storage,
    "to_dense": lambda self, dtype=None, **_: self if dtype is None else self.to(dtype),
    "type": type_,
    "untyped_storage": untyped_storage,
    "xpu": _no_device("xpu"),
}
PROPERTIES: dict[str, Any] = {
    "is_cpu": lambda self: self.device.type == "cpu",
    "is_maia": lambda self: False,
    "is_meta": lambda self: self.device.type == "meta",
    "is_mkldnn": lambda self: False,
    "is_mps": lambda self: False,
    "is_mtia": lambda self: False,
    "is_nested": lambda self: False,
    "is_sparse_csr": lambda self: False,
    "is_vulkan": lambda self: False,
    "is_xla": lambda self: False,
    "is_xpu": lambda self: False,
    "is_hpu": lambda self: False,
    "is_ipu": lambda self: False,
    "layout": lambda self: layouts.strided,
    "name": lambda self: None,
    "output_nr": _output_nr,
    "retains_grad": lambda self: self._retains_grad(),
    "volatile": lambda self: False,
}


def _torch_function(cls: type, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
    """What calls with values of a subclass do: the function, whose results become of that class."""
    from .overrides import default_torch_function

    return default_torch_function(cls, func, types, args, kwargs)


def _make_wrapper_subclass(cls: type, size: Any, *args: Any, **kwargs: Any) -> Any:
    """A tensor of class `cls` without elements, whose __torch_dispatch__ answers for operators on it."""
    from .dispatching import make_wrapper_subclass

    return make_wrapper_subclass(cls, size, *args, **kwargs)


def _init_subclass(cls: type, **kwargs: Any) -> None:
    super(Tensor, cls).__init_subclass__(**kwargs)
    if hasattr(cls, "__torch_dispatch__"):
        from .dispatching import install as hear_of_operators

        hear_of_operators()
    how = cls.__torch_function__  # type: ignore[attr-defined]
    if getattr(how, "__name__", "") != "disabled_torch_function_impl":
        from .overrides import prepare

        prepare(cls)


def disabled_torch_function_impl(func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
    """The __torch_function__ of types whose values are treated as plain tensors: the function, called."""
    before = _C._overrides_disabled(1)
    try:
        return func(*args, **(kwargs or {}))
    finally:
        _C._overrides_disabled(before)


def install() -> None:
    """Add the methods that the extension's class does not have itself."""
    for name, method in {
        "__repr__": _repr,
        "__str__": lambda self: repr(self),
        "_repr_html_": _html,
        "__format__": _format,
        "__iter__": _iterate,
        "__contains__": _contains,
        "__copy__": _copy,
        "__deepcopy__": _deepcopy,
        "__reduce_ex__": _reduce,
        "__array_namespace__": _array_namespace,
        "__init_subclass__": classmethod(_init_subclass),
        "_make_wrapper_subclass": staticmethod(_make_wrapper_subclass),
        "__torch_function__": classmethod(_torch_function),
        "histogram": _histogram,
        "lu": _lu,
        "to_device": _to_device,
        **METHODS,
        **{name: property(read) for name, read in PROPERTIES.items()},
    }.items():
        if name not in Tensor.__dict__:
            if getattr(method, "__name__", name).startswith(("_", "<")):  # what programs see of it
                method.__name__ = name  # type: ignore[attr-defined]
            setattr(Tensor, name, method)
